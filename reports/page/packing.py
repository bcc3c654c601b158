"""Draws as text that a page can carry: small where they are looked at, exact where money is computed from them.

Three encodings, each undone by `js/unpack.js`:

- *cells* of the market, [dims..., leaf, draw]: whole numbers of steps on the log scale, of which only what differs from
  the neighbouring cells of the same leaf and draw is kept (the Lorenzo predictor of Ibarria et al. 2003, Computer
  Graphics Forum 22, 343), deflated. Zero stays zero. A cell is off by at most half a step, whatever its size. Leaves
  (products) have too little in common for differences between them to be small.
- *rows* of single quantities, [row, draw]: 48 binary digits between the smallest and the largest draw of the row.
- *moves* of a quantity, [row, draw], by draw: 16 binary digits, of which one is the sign. What does not move stays
  exactly zero, and what moves keeps its sign, so that chances of more and of less are those of the draws.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ESCAPE = 255  # a byte that stands for a larger number, kept apart
ROW_STEPS = 2**48 - 1
MOVE_STEPS = 2**15 - 1
LEVEL = 6  # of zlib; 9 takes three times as long for half a per cent


@dataclass(frozen=True)
class Cells:
    """Draws [dims..., leaf, draw] as text; `step` on the log scale, `low` the log of the smallest positive draw."""

    shape: tuple[int, ...]
    low: float
    step: float
    bytes: str
    larger: str

    @property
    def size(self) -> int:
        """Characters that the page spends on it."""
        return len(self.bytes) + len(self.larger)

    def data(self) -> dict[str, Any]:
        """The same for JSON."""
        return {"shape": list(self.shape), "low": self.low, "step": self.step, "bytes": self.bytes,
                "larger": self.larger}  # fmt: skip


def pack_cells(values: Array, step: float) -> Cells:
    """Pack draws of quantities that are not negative [dims..., leaf, draw], each to within half a `step` of its log."""
    positive = values > 0
    low = float(np.log(values[positive].min())) if positive.any() else 0.0
    levels = np.zeros(values.shape, dtype=np.int32)
    levels[positive] = np.rint((np.log(values[positive]) - low) / step).astype(np.int32) + 1
    for axis in range(values.ndim - 2):
        levels = np.diff(levels, axis=axis, prepend=0)
    folded = ((levels << 1) ^ (levels >> 31)).astype(np.uint32).ravel()  # 0, -1, 1, -2, ... as 0, 1, 2, 3, ...
    small = np.minimum(folded, ESCAPE).astype(np.uint8)
    return Cells(values.shape, low, step, _deflated(small), _deflated(folded[folded >= ESCAPE].astype("<u4")))


def pack_rows(values: Array) -> dict[str, Any]:
    """Pack rows of draws [row, draw], each in 48 binary digits between its ends; a constant row keeps its value."""
    low, high = values.min(axis=1, keepdims=True), values.max(axis=1, keepdims=True)
    width = np.where(high > low, high - low, 1.0)
    levels = np.rint((values - low) / width * ROW_STEPS).astype(np.uint64)
    return {
        "low": low[:, 0].tolist(),
        "width": (high - low)[:, 0].tolist(),
        "draws": values.shape[1],
        "top": _text((levels >> np.uint64(32)).astype("<u2")),
        "rest": _text((levels & np.uint64(2**32 - 1)).astype("<u4")),
    }


def pack_moves(values: Array) -> dict[str, Any]:
    """Pack rows of differences [row, draw], each to within a step: its largest size by `MOVE_STEPS`."""
    step = np.abs(values).max(axis=1, keepdims=True) / MOVE_STEPS
    levels = np.rint(np.divide(values, step, out=np.zeros_like(values), where=step > 0))
    levels = np.where((levels == 0) & (values != 0), np.sign(values), levels)
    return {"step": step[:, 0].tolist(), "draws": values.shape[1], "bytes": _deflated(levels.astype("<i2"))}


def _text(numbers: NDArray[Any]) -> str:
    return base64.b64encode(numbers.tobytes()).decode("ascii")


def _deflated(numbers: NDArray[Any]) -> str:
    return base64.b64encode(zlib.compress(numbers.tobytes(), LEVEL)).decode("ascii")
