"""Directions in which elicited numbers are moved, one alone or several at once, and how far stored draws follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import DataTree

from postcgrp.inference.psis import Weights, reweight
from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.sensitivity.tornado import ElicitedNumber, joint_log_ratio, shift_prior

Array = NDArray[np.float64]

FARTHEST = 3.0  # prior sds; a move beyond that is another assumption
GRID_STEP = 0.25  # prior sds between moves tried on stored draws
PAIRED = 6  # numbers that matter most, of which each two are moved at once
NO_DRAWS = "the run has no draws of it"


@dataclass(frozen=True)
class Move:
    """A direction: `numbers` that are moved together, each by its part of the whole, in its own prior sds.

    The squares of `parts` sum to one, so a move of two numbers has the length that it would have on paper, with one
    axis for each: two independent normal priors find all moves of one length equally probable.
    """

    numbers: tuple[ElicitedNumber, ...]
    parts: tuple[float, ...] = (1.0,)

    @property
    def name(self) -> str:
        """The names of what is moved."""
        return " and ".join(number.name for number in self.numbers)

    def to(self, pset: PriorSet, sds: float) -> PriorSet:
        """The prior set moved so far. Raises :class:`InputError` where what must be in order could not be."""
        for number, part in zip(self.numbers, self.parts, strict=True):
            pset = shift_prior(pset, number, part * sds)
        return pset

    def said(self, sds: float) -> str:
        """What is moved, and how far each."""
        return " and ".join(
            f"{n.name} ({part * sds:+.2g} sd)" for n, part in zip(self.numbers, self.parts, strict=True)
        )

    def described(self, sds: float) -> dict[str, Any]:
        """Columns: for each number `input_K`, `sds_K` that it is moved by, `value_K` there and `unit_K`."""
        out: dict[str, Any] = {}
        for k, (number, part) in enumerate(zip(self.numbers, self.parts, strict=True), start=1):
            named = {"input": number.name, "sds": part * sds, "value": number.value(part * sds)}
            out |= {f"{key}_{k}": value for key, value in (named | {"unit": number.prior.unit}).items()}
        return out

    def weights(self, run: DataTree, pset: PriorSet, sds: float) -> Weights | None:
        """Weights of stored draws under the moved prior set; None where the run has no draws of what is moved.

        Raises :class:`InputError` as :meth:`to` does.
        """
        ratio = joint_log_ratio(run, pset, self.numbers, self.to(pset, sds))
        return None if ratio is None else reweight(ratio)


def steepest_pairs(numbers: Sequence[ElicitedNumber], slopes: Mapping[str, float], rise: float) -> list[Move]:
    """Of each two of the numbers that matter most, the direction in which least is needed, the steepest first.

    That is along the gradient, as far as the outcome is linear in both. Parameters: `slopes`, of the outcome by prior
    sd, by name; `rise`, whose sign is the way that the outcome should go: moves of positive length then do.
    """
    known = [number for number in numbers if np.isfinite(slopes.get(number.name, np.nan)) and slopes[number.name] != 0]
    most = sorted(known, key=lambda number: -abs(slopes[number.name]))[:PAIRED]
    pairs = []
    for pair in combinations(most, 2):
        gradient = np.array([slopes[number.name] for number in pair]) * np.copysign(1.0, rise)
        pairs.append(
            (float(np.linalg.norm(gradient)), Move(pair, tuple((gradient / np.linalg.norm(gradient)).tolist())))
        )
    return [move for _, move in sorted(pairs, key=lambda found: -found[0])]


def guess_from_draws(
    run: DataTree, pset: PriorSet, move: Move, values: NDArray[np.bool_] | Array, level: float
) -> tuple[float | None, str]:
    """How far a move must go, in prior sds, for the mean of stored draws under importance weights to meet a level.

    Moves are tried outwards, in both directions, until the weights are refused; None if that is before the level is
    reached. Parameters: `values` [chain, draw], such as whether revenue is above X. Returns the length and how it was
    found.
    """
    start, crossings, ends = float(values.mean()) - level, list[tuple[float, str]](), list[str]()
    for side in (1.0, -1.0):
        before = start
        for sds in side * np.arange(GRID_STEP, FARTHEST + GRID_STEP / 2, GRID_STEP):
            try:
                weights = move.weights(run, pset, float(sds))
            except InputError:
                ends.append(f"{sds:+.2g} sd: its neighbours' order forbids it")
                break
            if weights is None:
                return None, NO_DRAWS
            if weights.refused:
                ends.append(f"{sds:+.2g} sd: {weights.refused}")
                break
            gap = float((weights.values * values).sum()) - level
            if gap * start <= 0:
                at = sds - side * GRID_STEP * gap / (gap - before)
                crossings.append((at, f"stored draws: {at:+.2f} sd, Pareto k {weights.k:.2f}"))
                break
            before = gap
    if not crossings:
        return None, "stored draws do not reach the level" + (f" ({'; '.join(ends)})" if ends else "")
    return min(crossings, key=lambda crossing: abs(crossing[0]))
