"""A scenario's paths in every draw of a run, and the levers of the counterfactual that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from xarray import DataArray

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.models import counterfactual as cf
from postcgrp.models import variables as v
from postcgrp.priors import InputError, PriorSet
from postcgrp.priors.drivers import BY_YEAR, DRIVERS, driver_labels
from postcgrp.priors.scenarios import Plan, Setting
from postcgrp.reports.scenarios.factual import Factual

Array = NDArray[np.float64]


def new_levels(factual: Factual, plan: Plan) -> dict[str, Array]:
    """The level of each driver that a scenario sets [chain, draw, *its dims], by name.

    Raises :class:`InputError`, with the file's line, where a factor or a shift takes draws out of a driver's bounds.
    """
    found: dict[str, Array] = {}
    for name, governs in plan.governs.items():
        before = factual.level(name)
        after = np.array(before)
        for k in np.unique(governs[governs >= 0]):
            row, cells = plan.rows[int(k)], governs == k
            after[:, :, cells] = _set(row, before[:, :, cells])
            if wrong := _out_of_bounds(factual.pset, row, before[:, :, cells], after[:, :, cells]):
                raise InputError(f"{plan.scenario.place(int(k))}{name}: {row.operation} = {row.number:g} {wrong}")
        found[name] = after
    return found


def _set(row: Setting, before: Array) -> Array:
    if row.operation == "value":
        return np.full_like(before, row.number)
    return before * row.number if row.operation == "factor" else before + row.number


def _out_of_bounds(pset: PriorSet, row: Setting, before: Array, after: Array) -> str:
    """What is wrong with the draws that a row has moved, empty if nothing is."""
    driver, first = DRIVERS[row.driver], pset.ledger.report.first_year
    if driver.name == "launch_year":
        early = ((after < first) & (before >= first)).mean()
        rule = f"before {first}, when nothing was sold"
        return f"takes {early:.1%} of the launches {rule}: give a later date" if early else ""
    if row.operation == "value" or driver.unit == BY_YEAR:
        return ""
    inside = (
        (driver.least < after) & (after < driver.most)
        if driver.strict
        else (driver.least <= after) & (after <= driver.most)
    )
    if inside.all():
        return ""
    bounds = f"{driver.least:g}..{driver.most:g}"
    return f"takes it out of {bounds} in {1 - inside.mean():.1%} of the draws: give a smaller change, or a value"


@dataclass(frozen=True)
class Levels:
    """The drivers of a run with some of them moved: `moved`, their levels, see :func:`new_levels`."""

    factual: Factual
    moved: Mapping[str, Array]

    @property
    def pset(self) -> PriorSet:
        """The run's prior set."""
        return self.factual.pset

    def of(self, name: str) -> Array:
        """The level of a driver [chain, draw, *its dims]."""
        return self.moved[name] if name in self.moved else self.factual.level(name)

    def label_first(self, name: str) -> Array:
        """The level of a driver with the last of its dims first [chain, draw, last, ...]."""
        return np.moveaxis(self.of(name), -1, 2)

    def ratio(self, name: str) -> Array:
        """The level of a driver over its factual one [chain, draw, *its dims]; 1 where the ledger has no driver."""
        if name in self.moved:
            return np.asarray(self.moved[name] / self.factual.level(name))
        labels = driver_labels(self.pset.ledger, name)
        return np.ones((*self.factual.sample, *(len(of) for of in labels.values())))


def levers_of(factual: Factual, levels: Mapping[str, Array]) -> dict[str, Array]:
    """Every lever of the counterfactual [chain, draw, *its dims] by name; as drawn where no level was moved.

    Parameters: `levels`, of the drivers that are moved, see :func:`new_levels`.
    """
    made = Levels(factual, levels)
    return {name: LEVER_OF[name](made) for name in cf.levers(factual.pset)}


def _among(ratio: Array, own: Iterable[object], every: Sequence[object]) -> Array:
    """A ratio [..., own labels] with a 1 for each other label [..., every label]."""
    out = np.ones((*ratio.shape[:-1], len(every)))
    out[..., [[*map(str, every)].index(str(label)) for label in own]] = ratio
    return out


def _pool(levels: Levels) -> Array:
    if "pool_growth" not in levels.moved:
        return np.ones_like(levels.factual.level("pool_growth"))
    return np.asarray(np.exp(np.cumsum(levels.of("pool_growth") - levels.factual.level("pool_growth"), axis=2)))


def _overuse(levels: Levels) -> Array:
    """Overuse headache: as set, else in proportion to acute use; never above that."""
    before = overuse = levels.factual.level("moh")
    claimed = bool(driver_labels(levels.pset.ledger, "acute_use"))
    if "acute_use" in levels.moved:
        overuse = before * levels.ratio("acute_use")
    if "moh" in levels.moved:
        overuse = np.where(levels.of("moh") == before, overuse, levels.of("moh"))
    return np.minimum(overuse, levels.of("acute_use")) if claimed and overuse is not before else overuse


def _success(levels: Levels) -> Array:
    """In which draws each launch comes [chain, draw, launch]: the same numbers, held against other probabilities."""
    draws = levels.factual.draws
    if "success_probability" not in levels.moved:
        return np.asarray(draws[v.SUCCESS].transpose(*SAMPLE, "launch").values)
    luck = draws[v.SUCCESS_DRAW].transpose(*SAMPLE, "launch").values
    chance, certain = levels.of("success_probability"), levels.factual.certain
    chance = np.maximum(chance, certain)
    comes = chance * levels.factual.bounds  # and was not seen too soon
    return np.asarray(np.maximum((luck * (1 - chance + comes) < comes).astype(float), certain))


def _adoption(levels: Levels) -> Array:
    ledger = levels.pset.ledger
    own = driver_labels(ledger, "adoption")["modality"]
    return _among(levels.ratio("adoption"), own, ledger.segments["modality"])


def _line_use(levels: Levels) -> Array:
    own, every = levels.pset.coords["line_claimed"], levels.pset.coords["line"]
    if not own:
        return np.ones_like(np.moveaxis(levels.factual.level("persistence"), -1, 2))
    return np.moveaxis(_among(levels.ratio("line_use"), own, every), -1, 2)


def _cost(levels: Levels) -> Array:
    lines = len(levels.pset.ledger.lines)
    return np.moveaxis(levels.ratio("persistence") * levels.ratio("price")[..., :lines], -1, 2)


def _price(levels: Levels) -> Array:
    ledger, lines = levels.pset.ledger, len(levels.pset.ledger.lines)
    return _among(levels.ratio("price")[..., lines:], levels.pset.coords["priced"], ledger.segments["modality"])


LEVER_OF: dict[str, Callable[[Levels], Array]] = {
    cf.POOL: _pool,
    v.PAYER_BLOCK: lambda levels: levels.of("payer_block"),
    v.MOH: _overuse,
    cf.CENTRE_SHARE: lambda levels: levels.of("centre_share"),
    cf.CENTRE_SHARE_NOW: lambda levels: levels.factual.level("centre_share")[:, :, 0],
    cf.CENTRE_EFFECT: lambda levels: levels.factual.centre_effect(),
    v.ADOPTION: _adoption,
    v.ELIGIBLE_SHARE: lambda levels: levels.label_first("eligible_share"),
    v.SUCCESS: _success,
    v.LAUNCH_YEAR: lambda levels: levels.label_first("launch_year"),
    v.LAUNCH_CEILING: lambda levels: levels.of("launch_ceiling"),
    v.LINE_EXCLUSIVITY_YEAR: lambda levels: levels.label_first("exclusivity_year"),
    cf.LINE_USE: _line_use,
    cf.COST: _cost,
    v.PRICE: _price,
}


def as_table(factual: Factual, name: str, level: Array) -> DataArray:
    """A driver's level as an array with labels [chain, draw, *its dims]."""
    coords = {dim: list(labels) for dim, labels in driver_labels(factual.pset.ledger, name).items()}
    return DataArray(level, coords, (*SAMPLE, *DRIVERS[name].dims))
