"""Models that are built only where a program of them must be traced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from postcgrp.models.coords import coords
from postcgrp.models.inputs import arrays
from postcgrp.models.outcomes import outcome_coords
from postcgrp.models.structure import structure_key
from postcgrp.priors import PriorSet

if TYPE_CHECKING:  # what a blueprint is for: a process with stored programs imports no PyMC
    import pymc as pm


@dataclass(frozen=True)
class Blueprint:
    """A model by what its programs need, and how to build it.

    `key`: a name of its graph, see :func:`structure_key`; `data`, the values of its `pm.Data` by name; `coords`, the
    labels of its dims.
    """

    key: str
    data: Mapping[str, NDArray[np.generic]]
    coords: Mapping[str, Any]
    build: Callable[[], pm.Model]


def market_blueprint(pset: PriorSet) -> Blueprint:
    """The model of a prior set, see :func:`postcgrp.models.build_model`."""

    def build() -> pm.Model:
        from postcgrp.models.market import build_model

        return build_model(pset)

    return Blueprint(structure_key(pset), arrays(pset), coords(pset), build)


def outcome_blueprint(pset: PriorSet) -> Blueprint:
    """The same with what refits are compared by, see :func:`postcgrp.models.outcomes.outcome_model`."""

    def build() -> pm.Model:
        from postcgrp.models.outcomes import outcome_model

        return outcome_model(pset)

    key = f"outcomes {structure_key(pset)}"
    return Blueprint(key, arrays(pset), {**coords(pset), **outcome_coords(pset)}, build)
