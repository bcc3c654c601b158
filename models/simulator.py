"""A second implementation of the model, to test the first against: docs/model.md in plain NumPy, from that page alone.

It shares nothing with the PyMC model but the priors and the evidence of a :class:`PriorSet`, draws prior and prior
predictive together, and can also draw from markets that depart from the model in a named way.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from postcgrp.models.simulator_dice import Array, Dice, placed
from postcgrp.models.simulator_evidence import told
from postcgrp.models.simulator_lines import Launches, Lines, View, launches, line_use, lines, procedures
from postcgrp.priors import PriorSet
from postcgrp.priors.elicit import expit, logit
from postcgrp.priors.ledger import Modality

Arrays = dict[str, Array]

MISSPECIFICATIONS = ("shock", "share_drift", "vendor_high")
SHOCK_DF = 3.0  # heavy tails: now and then a year that no normal walk would bring
SHOCK_SCALE = 0.05  # a year's shock has then an sd of 9 %, more than a yearly step of any price in the shipped ledger
DRIFT = 0.03  # the odds of the deepest depth grow by a third in ten years: steady, and unseen in any one of them
VENDOR_FACTOR = 1.3  # a neighbouring market counted in: more than two sd of the base year's error at default trust

LARGEST_SHARE = 1 - 1e-12  # where overuse meets acute use, a share of one has no logit
_LEAST_SHARE = 1e-3  # that a mean keeps after launched procedures are taken off
_MILLION = 1e6


def simulate(pset: PriorSet, draws: int, seed: int, *, misspecified: str | None = None) -> Arrays:
    """Markets and what their report would say, drawn from the model or with one departure from it.

    Parameters: `pset`, the priors and the evidence rows; `draws`; `seed`, the same market but for the departure at the
    same seed; `misspecified`, one of `MISSPECIFICATIONS`. Returns arrays named like the model's variables, with a
    leading axis of draws: `patients` [year, region, depth]; `depth_share` (of the base year) [region, depth];
    `acute_use` and `moh` [region, depth], `payer_block` [region], each where the report has it (fractions); `use`
    (fraction), `intensity` (money per treated patient-year) and `revenue` (millions) [year, region, depth, modality];
    `price` [year, modality]; `revenue_total` [year]; for each adoption curve `adoption` [year, region, depth] and
    `adoption_mean` [year]; where there is evidence, `source_error` [source_year], `evidence_log_mean` and `evidence`
    [evidence_row], logs or dates; and where a launch is bounded, `launch_bound` [launch_bounded], 1 if its bounds hold.
    """
    if misspecified not in (None, *MISSPECIFICATIONS):
        raise ValueError(f"misspecified = {misspecified!r}: use None or one of {', '.join(MISSPECIFICATIONS)}")
    rng, other = np.random.default_rng(seed).spawn(2)
    dice = Dice(pset, rng, draws)
    drawn = _drawn(dice)
    shock = _shock(drawn.spend, other) if misspecified == "shock" else np.zeros(1)
    views = {}
    for view in _looked_at(pset):
        cells = _shocked(_cells(pset, drawn, view), shock) if misspecified == "shock" else _cells(pset, drawn, view)
        cells = _drifted(cells, pset) if misspecified == "share_drift" else cells
        views[view] = _with_revenue(pset, cells)
    factor = VENDOR_FACTOR if misspecified == "vendor_high" else 1.0
    if not pset.evidence:
        return views["market"]
    if drawn.launches is not None and "other" in views:
        views["other"]["start"] = drawn.launches.market.start
    return views["market"] | told(dice, views | {"tied": _tied(pset, views["report"], _tie(dice, drawn))}, factor)


def _looked_at(pset: PriorSet) -> tuple[str, ...]:
    """The views to simulate: none for a source that says nothing about the market."""
    if not pset.evidence:
        return ("market",)
    others = pset.bounds or any(row.source != pset.ledger.report.id for row in pset.measured)
    return ("market", "report", "other") if others else ("market", "report")


def _with_revenue(pset: PriorSet, cells: Arrays) -> Arrays:
    """A market with its revenue, of cells, lines and the whole."""
    part = cells.pop("line_part", None)
    cells["revenue"] = cells["patients"][..., None] * cells["use"] * cells["intensity"] / _MILLION
    cells["revenue_total"] = cells["revenue"].sum(axis=(2, 3, 4))
    if part is not None:
        modality = [m.name for m in pset.ledger.modalities]
        cells["revenue_line"] = cells["revenue"][..., [modality.index(x.modality) for x in pset.ledger.lines]] * part
    return cells


# ---- departures: each changes a market that the model drew ---------------------------------------------------------


def _shock(spend: Array, rng: np.random.Generator) -> Array:
    """Permanent Student-t shocks to each modality's log spend, one a year after the first [year, modality]."""
    steps = SHOCK_SCALE * rng.standard_t(SHOCK_DF, (len(spend), spend.shape[1] - 1, spend.shape[2]))
    return np.pad(steps.cumsum(axis=1), ((0, 0), (1, 0), (0, 0)))


def _shocked(market: Arrays, shock: Array) -> Arrays:
    """The same market at prices that a shock has moved."""
    return market | {
        "price": market["price"] * np.exp(shock),
        "intensity": market["intensity"] * np.exp(shock)[:, :, None, None],
    }


def _drifted(market: Arrays, pset: PriorSet) -> Arrays:
    """Patients move to the deepest depth, and use and spend as that depth does: the means over patients move too."""
    years = np.array(pset.ledger.years)
    tilt = np.ones((len(years), 1, len(pset.ledger.depths)))
    tilt[:, 0, -1] = (1 + DRIFT) ** (years - years[0])
    tilted = market["patients"] * tilt
    patients = tilted * (market["patients"].sum(axis=3) / tilted.sum(axis=3))[..., None]
    moved = market | {"patients": patients}
    for modality in pset.modalities("adoption"):
        share = market[pset.own("adoption", modality)]
        moved[pset.own("adoption_mean", modality)] = np.average(share, axis=(2, 3), weights=patients)
    treated = patients[..., None] * market["use"]
    number, spend = treated.sum(axis=(2, 3)), (treated * market["intensity"]).sum(axis=(2, 3))
    moved["price"] = np.divide(spend, number, out=market["price"].copy(), where=number > 0)
    return moved


# ---- the model -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """All that is random in markets: what every view of them is made of.

    `seen`, what does not depend on who looks, under the names that :func:`simulate` gives; `use` of each modality that
    does not wait for a launch [year, region, depth]; `ceiling` of those that do [region, depth]; `level`, the adoption
    drawn at the anchors; `pool`, the log of the patients counted over those stated; `spend`, the log q
    [year, modality]; `relative` spend before it is averaged [region, depth, modality].
    """

    seen: Arrays
    use: dict[str, Array]
    ceiling: dict[str, Array]
    level: dict[str, Array]
    pool: Array
    launches: Launches | None
    lines: Lines | None
    spend: Array
    relative: Array


def _drawn(dice: Dice) -> Drawn:
    pset = dice.pset
    share, count = _depth_share(dice), _count(dice)
    number = _region_patients(dice, count)
    patients = number[..., None] * _drifting(dice, share)
    seen = {"depth_share": share, "patients": patients, **_burden(dice, patients[:, 0])}
    if "payer_block_level" in pset.blocks:
        level = dice.prior("payer_block_level")
        spread = dice.number("payer_block_region_sd", "payer_block_region_sd", 1)
        seen["payer_block"] = expit(logit(level)[:, None] + spread * dice.z(len(pset.ledger.regions)))
    begun = launches(dice)
    ceiling = {m.name: procedures(dice, begun, m) for m in pset.modalities("launch") if begun is not None}
    use = {m.name: np.ones_like(patients) for m in pset.modalities("everyone")}
    levels = {}
    stock = None
    if begun is not None and pset.settings.adoption_scope == "with_launched":
        stock = _stock(pset, patients, _launched(pset, begun, begun.report, ceiling))
    for modality in pset.modalities("adoption"):
        levels[modality.name] = dice.rising(pset.own("adoption_level", modality))
        mean = _path(dice, modality, levels[modality.name], stock)
        use[modality.name] = placed(patients, _adoption_offset(dice, modality, seen), mean)
        seen |= {pset.own("adoption_mean", modality): mean, pset.own("adoption", modality): use[modality.name]}
    users = {name: patients[:, 0] * of[:, 0] for name, of in use.items()}
    if begun is not None:
        users |= {
            m.name: patients[:, 0] * begun.eligible[:, k][:, None] for k, m in enumerate(pset.modalities("launch"))
        }
    stated = np.exp([prior.mu for prior in pset.blocks["region_patients"].priors])
    return Drawn(
        seen,
        use,
        ceiling,
        levels,
        np.log(count.sum(axis=1) / stated.sum()),
        begun,
        lines(dice, begun, users),
        np.stack([_spend(dice, m) for m in pset.ledger.modalities], axis=-1),
        _relative_spend(dice),
    )


def _launched(pset: PriorSet, begun: Launches, view: View, ceiling: dict[str, Array]) -> dict[str, Array]:
    """Procedures a year per patient of each launched modality [year, region, depth]."""
    years = np.array(pset.ledger.years)
    return {name: begun.rise(view, name, years)[..., None] * top[:, None] for name, top in ceiling.items()}


def _cells(pset: PriorSet, drawn: Drawn, view: str) -> Arrays:
    """Markets as the `market`, the `report` or any `other` source sees them, down to what a user-year costs."""
    begun, patients = drawn.launches, drawn.seen["patients"]
    seen_by: View | None = getattr(begun, view, None)
    use_of = dict(drawn.use)
    if begun is not None and seen_by is not None:
        use_of |= _launched(pset, begun, seen_by, drawn.ceiling)
    use = np.stack([use_of[m.name] for m in pset.ledger.modalities], axis=-1)
    cells = drawn.seen | {"use": use}
    built = np.ones_like(use)
    if (of := drawn.lines) is not None:
        cells["use_line"] = line_use(pset, of, begun, seen_by, use)
        worth = cells["use_line"] * of.cost[:, :, :, None]
        belongs = np.array([[line.modality == m.name for m in pset.ledger.modalities] for line in pset.ledger.lines])
        built = np.where(belongs.any(axis=0), worth @ belongs, 1.0)
        cells |= {"line_part": worth / (built @ belongs.T), "persistence": of.persistence}
    treated, may_be = patients[..., None] * use, np.ones((len(use), len(pset.ledger.depths), use.shape[-1]))
    for k, modality in enumerate(pset.ledger.modalities):
        if begun is not None and modality.name in begun.names:
            may_be[..., k] = begun.eligible[:, begun.names.index(modality.name)]
    nobody = treated.sum(axis=(2, 3), keepdims=True) == 0
    weight = np.where(nobody, patients[..., None] * may_be[:, None, None], treated)
    weight = weight / weight.sum(axis=(2, 3), keepdims=True)
    rel = drawn.relative[:, None]
    spend = np.exp(drawn.spend)[:, :, None, None] * built * rel / (weight * rel).sum(axis=(2, 3), keepdims=True)
    if begun is not None:
        cells["success"] = begun.market.success
    return cells | {"intensity": spend, "price": (weight * spend).sum(axis=(2, 3))}


def _stock(pset: PriorSet, patients: Array, use: dict[str, Array]) -> Array:
    """Share of patients who have had a launched procedure by each anchor, each patient once [anchor]."""
    yearly = sum((patients * of).sum(axis=(2, 3)) for of in use.values())
    at = np.searchsorted(pset.ledger.years, pset.ledger.report.anchors)
    return np.asarray(np.cumsum(yearly, axis=1)[:, at] / patients.sum(axis=(2, 3))[:, at])


def _count(dice: Dice) -> Array:
    """Patients of each region in the year that the report counts them [region]."""
    return np.asarray(dice.prior("region_patients") * np.exp(dice.prior("pool_error"))[:, None])


def _region_patients(dice: Dice, count: Array) -> Array:
    """Patients of each region [year, region]: the count of the year that its claim names, and growth."""
    ledger = dice.pset.ledger
    years, anchors = np.array(ledger.years), np.array(ledger.report.anchors)
    counted = {
        claim.region: ledger.report.first_year if claim.year is None else claim.year
        for claim in ledger.claims
        if claim.quantity == "patients" and claim.role == "prior"
    }
    # Years of each period passed by each year [period, year].
    passed = np.clip(years - anchors[:-1, None], 0, np.diff(anchors)[:, None])
    spread = dice.number("patient_growth_region_sd", "patient_growth_region_sd", 1)
    deviation = spread * dice.z(len(ledger.regions))
    growth = dice.prior("patient_growth")[:, None] + deviation[..., None]
    grown = growth @ passed
    since = [ledger.years.index(counted[name]) for name in ledger.segments["region"]]
    base = grown[:, np.arange(len(since)), since]
    return np.asarray(count[:, None] * np.exp(grown - base[..., None]).swapaxes(1, 2))


def _depth_share(dice: Dice) -> Array:
    """Each region's mix of depths in the base year [region, depth], partially pooled."""
    ledger = dice.pset.ledger
    spread = dice.prior("depth_weight_region_sd")[:, None, None] * dice.z(len(ledger.regions), len(ledger.depths))
    weight = dice.prior("depth_weight")[:, None] * np.exp(spread)
    return weight / weight.sum(axis=2, keepdims=True)


def _drifting(dice: Dice, share: Array) -> Array:
    """The mix of depths over time [year, region, depth]."""
    since = np.arange(len(dice.pset.ledger.years))[:, None, None] * np.arange(share.shape[-1])
    weight = share[:, None] * np.exp(dice.prior("depth_drift")[:, None, None, None] * since)
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True))


def _burden(dice: Dice, patients: Array) -> Arrays:
    """Frequent acute use and overuse headache by segment, from their means over base-year `patients`."""
    if "burden_level" not in dice.pset.blocks:
        return {}
    names = [prior.name for prior in dice.pset.blocks["burden_level"].priors]  # overuse first, it is never the larger
    mean = dict(zip(names, dice.rising("burden_level").T, strict=True))
    spread = dice.prior("burden_region_sd")[:, None]

    def segments(name: str, weight: Array, share: Array) -> Array:
        region = spread * dice.z(weight.shape[1])
        return placed(weight, region[..., None] + dice.rise(f"{name}_step")[:, None], share)

    burden = {}
    if "acute_use" in mean:
        burden["acute_use"] = segments("acute_use", patients, mean["acute_use"])
    if "moh" in mean:  # a report without acute use speaks of overuse among all patients
        acute = burden.get("acute_use", np.ones_like(patients))
        among = np.minimum(mean["moh"] / mean.get("acute_use", 1.0), LARGEST_SHARE)
        burden["moh"] = acute * segments("moh", patients * acute, among)
    return burden


def _path(dice: Dice, modality: Modality, level: Array, stock: Array | None) -> Array:
    """Mean adoption [year]: the levels at the anchors, less the `stock` of procedures, and uneven steps between."""
    pset = dice.pset
    if stock is not None:
        level = np.maximum.accumulate(np.maximum(level - stock, _LEAST_SHARE), axis=1)
    concentration = pset.number("adoption_path_concentration", modality=modality.name)
    path = [level[:, :1]]
    for k, (start, end) in enumerate(pairwise(pset.ledger.report.anchors)):
        rising = np.arange(1.0, end - start + 1)
        share = {"even": np.ones(end - start), "early": rising[::-1], "late": rising}[pset.settings.uptake_shape]
        steps = dice.rng.dirichlet(concentration * share / share.sum(), dice.draws)
        path.append(level[:, [k]] + (level[:, [k + 1]] - level[:, [k]]) * steps.cumsum(axis=1))
    return np.concatenate(path, axis=1)


def _adoption_offset(dice: Dice, modality: Modality, market: Arrays) -> Array:
    """How far each segment's adoption lies from the whole, on the logit scale [year=1, region, depth]."""
    pset = dice.pset
    stated = dice.directions(modality)
    spread = dice.prior(pset.own("adoption_region_sd", modality))[:, None] * dice.z(stated.shape[1])
    name = pset.own("adoption_step_region_sd", modality)
    steepness = dice.number(name, "adoption_step_region_sd", 1, modality=modality.name)
    steeper = steepness * dice.z(stated.shape[1])
    rise = dice.rise(pset.own("adoption_step", modality))[:, None]
    offset = (stated + spread)[..., None] + rise * np.exp(steeper)[..., None]
    if "moh" in market:
        offset = offset + dice.prior(pset.own("moh_effect", modality))[:, None, None] * logit(market["moh"])
    if "payer_block" in market:
        brake = dice.prior(pset.own("payer_brake", modality))[:, None] * logit(market["payer_block"])
        offset = offset - brake[..., None]
    return np.asarray(offset[:, None])


def _spend(dice: Dice, modality: Modality) -> Array:
    """The log q of spend per user over what the lines cost, or of the average spend without lines [year]."""
    pset, years, anchors = dice.pset, np.array(dice.pset.ledger.years), dice.pset.anchors(modality)
    if pset.ledger.lines_of(modality.name):
        first = pset.number("spend_residual_sd", modality=modality.name) * dice.z(1)
        steps = pset.number("spend_residual_step_sd", modality=modality.name) * dice.z(len(anchors) - 1)
    else:
        first = np.log(dice.prior("price")[:, [pset.coords["priced"].index(modality.name)]])
        steps = dice.prior(f"price_growth_{modality.key}") * np.diff(anchors)
    at_anchor = np.concatenate([first, steps], axis=1).cumsum(axis=1)
    # Weights [anchor, year] that interpolate, and before the first anchor hold its value.
    between = np.array([np.interp(years, anchors, unit) for unit in np.eye(len(anchors))])
    walk = dice.z(len(years)).cumsum(axis=1)
    pinned = walk - walk[:, np.searchsorted(years, anchors)] @ between
    noise = dice.number(f"price_noise_{modality.key}", "price_noise", 1, modality=modality.name)
    return np.asarray(at_anchor @ between + noise * pinned)


def _relative_spend(dice: Dice) -> Array:
    """Spend of a segment relative to others, before it is averaged [region, depth, modality]."""
    pset, modalities = dice.pset, dice.pset.ledger.modalities
    deviation = pset.number("region_premium_modality_sd") * dice.z(len(pset.ledger.regions), len(modalities))
    premium = dice.prior("region_premium")[..., None] + deviation
    stepped = np.array([modality.uptake != "launch" for modality in modalities])
    return np.asarray(np.exp(premium[:, :, None] + dice.rise("intensity_step")[:, None, :, None] * stepped))


# ---- evidence ------------------------------------------------------------------------------------------------------


def _tied(pset: PriorSet, market: Arrays, tie: Array) -> Arrays:
    """The market with the revenue that the report states, `tie` [year, modality] away from the truth."""
    factor = np.exp(tie)[:, :, None, None]
    tied = market | {"revenue": market["revenue"] * factor}
    if "revenue_line" in market:
        modality = [m.name for m in pset.ledger.modalities]
        of = [modality.index(line.modality) for line in pset.ledger.lines]
        tied["revenue_line"] = market["revenue_line"] * factor[..., of]
    return tied


def _tie(dice: Dice, drawn: Drawn) -> Array:
    """How far the report's revenue follows its own patients and adoption, and not ours, log [year, modality]."""
    pset, anchors, years = dice.pset, dice.pset.ledger.report.anchors, dice.pset.ledger.years
    between = np.array([np.interp(years, anchors, unit) for unit in np.eye(len(anchors))])
    apart = np.repeat(drawn.pool[:, None], len(years), axis=1)
    strength, ties = dice.prior("vendor_build_up")[:, None], []
    for modality in pset.ledger.modalities:
        also = np.zeros(1)
        if modality.name in drawn.level:
            block = pset.blocks[pset.own("adoption_level", modality)]
            claimed = expit([p.mu for p in block.priors])
            also = ((1 - block.open) * np.log(drawn.level[modality.name] / claimed)) @ between
        ties.append(-strength * (apart + also))
    return np.stack(ties, axis=-1)
