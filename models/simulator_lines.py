"""Launches, lines and their prices for the model's second implementation, `models/simulator.py`.

Written from docs/model.md alone, like the rest of it. Arrays lead with draws, then follow the dims named in brackets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from postcgrp.models.simulator_dice import Array, Dice, placed
from postcgrp.priors import PriorSet
from postcgrp.priors.elicit import expit, logit
from postcgrp.priors.ledger import Line, Modality

MIDDLE = 0.5  # of a year: a rise is read there
_SOFT = 0.1  # years over which a launch begins, where a row observes it


@dataclass(frozen=True)
class View:
    """How somebody sees the launches: `start` [launch, region], `success` [launch] and whether sales begin softly."""

    start: Array
    success: Array
    soft: bool


@dataclass(frozen=True)
class Launches:
    """What is drawn of launches: of modalities and, after them, of pipeline lines, by name in `names`.

    `ceiling` and `speed` [launch]; `eligible` [launched, depth]; the views of the `market`, of the `report` and of any
    `other` source.
    """

    names: list[str]
    ceiling: Array
    speed: Array
    eligible: Array
    market: View
    report: View
    other: View

    def rise(self, view: View, name: str, years: Array) -> Array:
        """The part of a launch's ceiling reached by the middle of each year, times success [year, region]."""
        k = self.names.index(name)
        since = years[:, None] + MIDDLE - view.start[:, None, k]
        sold = _SOFT * np.logaddexp(0.0, since / _SOFT) if view.soft else np.maximum(since, 0.0)
        risen = -np.expm1(-np.log(2.0) * (sold / self.speed[:, [k], None]) ** 2)
        return np.asarray(risen * view.success[:, [k], None])


def launches(dice: Dice) -> Launches | None:
    """Every launch that a prior set has, or None."""
    pset = dice.pset
    names = [str(name) for name in pset.coords["launch"]]
    if not names:
        return None
    start = dice.prior("launch_year", shared=True)
    chance, uniform = dice.prior("success_probability"), dice.rng.random((dice.draws, len(names)))
    success = np.where(uniform < chance, 1.0, 0.0)
    success[:, [name in _measured(pset) for name in names]] = 1.0
    launched = pset.modalities("launch")
    stated, eligible = start.copy(), np.zeros((dice.draws, 0, len(pset.ledger.depths)))
    if launched:
        stated[:, : len(launched)] = dice.prior("vendor_launch_year")[..., None]
        eligible = dice.prior("eligible_share", shared=True)
    readings = [*(m.vendor_assumes for m in launched), *(line.vendor_assumes for line in _pipeline(pset))]
    assumed = np.where(np.array(readings) == "success", 1.0, chance)
    return Launches(
        names,
        dice.prior("launch_ceiling"),
        dice.prior("launch_speed"),
        eligible,
        View(start, success, soft=False),
        View(stated, assumed, soft=True),
        View(start, success, soft=True),
    )


def _measured(pset: PriorSet) -> set[str | None]:
    """Modalities and lines of which somebody other than the report's vendor has measured sales."""
    told = [row for row in pset.evidence if row.source != pset.ledger.report.id]
    rows = [row for row in told if row.value > 0 and not row.quantity.startswith("launch_")]
    of = {line.name: line.modality for line in pset.ledger.lines}
    return {row.modality for row in rows} | {row.line for row in rows} | {of.get(str(row.line)) for row in rows}


def _pipeline(pset: PriorSet) -> list[Line]:
    return [line for line in pset.ledger.lines if line.stage == "pipeline"]


# ---- what the users of a modality use ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lines:
    """What is drawn of lines.

    `level`, the log-odds of use before displacement [year, region, depth] by claimed line; `displacement`, by label of
    that dimension; `cost` of a user-year [year, region, line]; `persistence` [line, region].
    """

    level: dict[str, Array]
    displacement: dict[str, Array]
    cost: Array
    persistence: Array


def lines(dice: Dice, begun: Launches | None, users: dict[str, Array]) -> Lines | None:
    """Every line that a prior set has, or None; `users` of each modality are those of the base year [region, depth]."""
    pset = dice.pset
    if not pset.ledger.lines:
        return None
    taken = dice.prior("displacement").T if "displacement" in pset.blocks else ()
    displacement = dict(zip(map(str, pset.coords["displacing"]), taken, strict=True))
    persistence = dice.prior("persistence", shared=True)
    return Lines(_levels(dice, users), displacement, _cost(dice, begun, persistence), persistence)


def _levels(dice: Dice, users: dict[str, Array]) -> dict[str, Array]:
    pset, years, anchors = dice.pset, dice.pset.ledger.years, dice.pset.ledger.report.anchors
    claimed = [line for line in pset.ledger.lines if line.name in pset.coords["line_claimed"]]
    if not claimed:
        return {}
    mean, steps, levels = dice.prior("line_use_level"), dice.prior("line_drift"), {}
    between = np.array([np.interp(years, anchors, unit) for unit in np.eye(len(anchors))])
    for k, line in enumerate(claimed):
        size, depth_size, spread = (
            dice.number(f"line_use_{what}_{line.key}", f"line_use_{what}", 1, line=line.name)
            for what in ("region_size", "depth_size", "region_sd")
        )
        signs = pset.line_signs("region", line.name)
        region = size * signs + spread * dice.z(len(signs))
        depth = depth_size * pset.line_signs("depth", line.name)
        offset = region[..., None] + np.expand_dims(depth, -2)
        start = logit(placed(users[line.modality], offset, mean[:, k]))
        drift = np.pad(steps[:, k].cumsum(axis=1), ((0, 0), (1, 0))) @ between
        levels[line.name] = start[:, None] + drift[..., None, None]
    return levels


def _cost(dice: Dice, begun: Launches | None, persistence: Array) -> Array:
    """What a user-year of each line costs, nominal [year, region, line]."""
    pset, time = dice.pset, np.array(dice.pset.ledger.years) + MIDDLE
    alike = pset.number("line_region_correlation")
    paid = dice.prior("line_list_price", between=alike) * dice.prior("line_net_ratio", between=alike) * persistence
    growth = dice.prior("line_price_growth", shared=True)
    ends = {}
    if pset.coords["line_exclusive"]:
        names = ("line_exclusivity_year", "line_exclusivity_fall", "line_exclusivity_speed")
        priors = [dice.prior(name, shared=True).swapaxes(0, 1) for name in names]
        ends = dict(zip(pset.coords["line_exclusive"], zip(*priors, strict=True), strict=True))
    money = pset.number("line_price_year") + MIDDLE
    factors = []
    for k, line in enumerate(pset.ledger.lines):
        until, fallen = time[:, None], np.ones(1)
        if line.name in ends:
            end, fall, speed = (part[:, None] for part in ends[line.name])
            until = np.minimum(until, end)
            fallen = 1 - fall * (1 - 10 ** (-np.maximum(time[:, None] - end, 0.0) / speed))
        grown = until - money
        if begun is not None and line.stage == "pipeline":
            grown = np.maximum(until - begun.market.start[:, None, begun.names.index(line.name)], 0.0)
        factors.append(paid[:, None, k] * np.exp(growth[:, None, k] * grown) * fallen)
    return np.asarray(np.stack(factors, axis=-1) * np.exp(dice.prior("line_price_common"))[:, None, None, None])


def line_use(pset: PriorSet, of: Lines, begun: Launches | None, view: View | None, use: Array) -> Array:
    """The share of its modality's users that uses each line [year, region, depth, line].

    Parameters: `use` of each modality [year, region, depth, modality] in that view.
    """
    years, modalities = np.array(pset.ledger.years), [m.name for m in pset.ledger.modalities]
    plain: dict[str, Array] = {}
    for line in pset.ledger.lines:
        plain[line.name] = expit(of.level[line.name]) if line.name in of.level else np.ones_like(use[..., 0])
        if line.stage == "pipeline" and begun is not None and view is not None:
            ceiling = begun.ceiling[:, begun.names.index(line.name)][:, None, None]
            risen = (ceiling * begun.rise(view, line.name, years))[..., None]
            plain[line.name] = np.broadcast_to(risen, use.shape[:-1])
    left = {name: np.ones_like(use[..., 0]) for name in plain}
    for label, share in of.displacement.items():
        delta = share[:, None, None, None]
        taking = next((line for line in _pipeline(pset) if line.name == label), None)
        if taking is not None:
            for line in pset.ledger.lines_of(taking.modality):
                if line is not taking:
                    left[line.name] = left[line.name] * (1 - delta * plain[label])
        else:
            modality, line_name = label.split(" from ")
            more = use[..., modalities.index(modality)]
            left[line_name] = left[line_name] * (1 - delta * (more - more[:, :1]))
    return np.stack([plain[name] * left[name] for name in plain], axis=-1)


def procedures(dice: Dice, begun: Launches, modality: Modality) -> Array:
    """Procedures a year per patient at the ceiling [region, depth]: what a launched modality rises to."""
    pset, k = dice.pset, begun.names.index(modality.name)
    stated = dice.directions(modality)
    spread = dice.prior(pset.own("launch_region_sd", modality))[:, None] * dice.z(stated.shape[1])
    ceiling = expit(logit(begun.ceiling[:, [k]]) + stated + spread)
    return np.asarray(ceiling[..., None] * begun.eligible[:, None, k])
