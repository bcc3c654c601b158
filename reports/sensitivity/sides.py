"""What a comparison of two runs is made of: both runs as they are read, and the factors between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from xarray import Dataset

from postcgrp.priors import PriorSet
from postcgrp.reports.runs.evidence import Array, flat
from postcgrp.reports.runs.run import Run

_NEGLIGIBLE = 1e-9  # a log ratio that nowhere departs from its mean by more is no change


@dataclass(frozen=True)
class Factor:
    """One change: its name, its kind (claim, assumption, trust or evidence) and how it reads.

    `log_ratio`: log of the second run's density over the first's, in the draws of each [draw].
    """

    name: str
    kind: str
    change: str
    log_ratio: tuple[Array, Array]


@dataclass(frozen=True)
class Side:
    """One of two runs, its draws and constants read."""

    run: Run
    pset: PriorSet
    draws: Dataset
    constants: Dataset

    def number(self, name: str) -> Array:
        """A constant of the model."""
        return np.asarray(self.constants[name].values, dtype=float)

    def table(self, name: str) -> Array:
        """Draws of a variable, its cells in a row [draw, cell]."""
        values = flat(self.draws[name])
        return values.reshape(len(values), -1)


Sides = tuple[Side, Side]


@dataclass
class Found:
    """The factors, and what no ratio of densities can express."""

    factors: list[Factor] = field(default_factory=list)
    structure: list[str] = field(default_factory=list)

    def add(self, name: str, kind: str, change: str, log_ratio: Iterable[Array]) -> None:
        """Keep a factor unless it is constant."""
        first, second = log_ratio
        if not all(np.isfinite(x).all() and np.ptp(x) <= _NEGLIGIBLE for x in (first, second)):
            self.factors.append(Factor(name, kind, change, (first, second)))


def both(sides: Sides, *names: str) -> bool:
    """Whether both runs have these constants."""
    return all(name in side.constants for side in sides for name in names)


def same(sides: Sides, name: str) -> bool:
    """Whether a constant is the same in both runs."""
    one, other = (side.number(name) for side in sides)
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=1e-12, atol=0))
