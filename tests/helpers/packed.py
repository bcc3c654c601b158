"""What a page's packed draws hold, unpacked in Python: the same steps as `reports/page/js/unpack.js`."""

from __future__ import annotations

import base64
import zlib

import numpy as np
from numpy.typing import NDArray

from postcgrp.reports.page.packing import ESCAPE, Cells


def unpack_cells(cells: Cells) -> NDArray[np.float64]:
    """The draws that a page sees, [dims..., leaf, draw]."""
    small = np.frombuffer(inflated(cells.bytes), dtype=np.uint8).astype(np.uint32)
    small[small == ESCAPE] = np.frombuffer(inflated(cells.larger), dtype="<u4")
    levels = (small >> 1).astype(np.int32) ^ -(small & 1).astype(np.int32)
    levels = levels.reshape(cells.shape)
    for axis in range(levels.ndim - 2):
        levels = np.cumsum(levels, axis=axis, dtype=np.int32)
    return np.where(levels > 0, np.exp(cells.low + (levels - 1.0) * cells.step), 0.0)


def inflated(text: str) -> bytes:
    """The bytes that deflated base64 text stands for."""
    return zlib.decompress(base64.b64decode(text))
