"""A second implementation of the model, to test the first against: docs/model.md in plain NumPy, from that page alone.

It shares nothing with the PyMC model but the priors and the evidence of a :class:`PriorSet`, draws prior and prior
predictive together, and can also draw from markets that depart from the model in a named way.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from postcgrp.priors import Evidence, PriorSet
from postcgrp.priors.ledger import Modality

Array = NDArray[np.float64]
Arrays = dict[str, Array]

MISSPECIFICATIONS = ("shock", "share_drift", "vendor_high")
SHOCK_DF = 3.0  # heavy tails: now and then a year that no normal walk would bring
SHOCK_SCALE = 0.05  # a year's shock has then an sd of 9 %, more than a yearly step of any price in the shipped ledger
DRIFT = 0.03  # the odds of the deepest depth grow by a third in ten years: steady, and unseen in any one of them
VENDOR_FACTOR = 1.3  # a neighbouring market counted in: more than two sd of the base year's error at default trust

HALVINGS = 64  # of a bracket a few logits wide: beyond double precision
LARGEST_SHARE = 1 - 1e-12  # where overuse meets acute use, a share of one has no logit
MILLION = 1e6


def simulate(pset: PriorSet, draws: int, seed: int, *, misspecified: str | None = None) -> Arrays:
    """Draw markets and what their report would say, as the model has it or with one departure from it.

    Parameters: `pset`, the priors and the evidence rows; `draws`; `seed`, the same market but for the departure at the
    same seed; `misspecified`, one of `MISSPECIFICATIONS`. Returns arrays named like the model's variables, with a
    leading axis of draws: `patients` [year, region, depth]; `depth_share` (of the base year) [region, depth];
    `acute_use` and `moh` [region, depth], `payer_block` [region], each where the report has it (fractions); `use`
    (fraction), `intensity` (money per treated patient-year) and `revenue` (millions) [year, region, depth, modality];
    `price` [year, modality]; `revenue_total` [year]; for each adoption curve `adoption` [year, region, depth] and
    `adoption_mean` [year]; and where there is evidence, `source_error` [source_year], `evidence_log_mean` and
    `evidence` [evidence_row], logs.
    """
    if misspecified not in (None, *MISSPECIFICATIONS):
        raise ValueError(f"misspecified = {misspecified!r}: use None or one of {', '.join(MISSPECIFICATIONS)}")
    rng, other = np.random.default_rng(seed).spawn(2)
    market = _market(Dice(pset, rng, draws))
    if misspecified == "shock":
        market = _shocked(market, other)
    if misspecified == "share_drift":
        market = _drifted(market, pset)
    market["revenue"] = market["patients"][..., None] * market["use"] * market["intensity"] / MILLION
    market["revenue_total"] = market["revenue"].sum(axis=(2, 3, 4))
    return market | _evidence(Dice(pset, rng, draws), market, VENDOR_FACTOR if misspecified == "vendor_high" else 1.0)


# ---- departures: each changes a market that the model drew ---------------------------------------------------------


def _shocked(market: Arrays, rng: np.random.Generator) -> Arrays:
    """Permanent Student-t shocks to each modality's log revenue, one a year after the first, as a change of price."""
    size = market["price"][:, 1:].shape
    steps = SHOCK_SCALE * rng.standard_t(SHOCK_DF, size)
    factor = np.exp(np.pad(steps.cumsum(axis=1), ((0, 0), (1, 0), (0, 0))))
    return market | {
        "price": market["price"] * factor,
        "intensity": market["intensity"] * factor[:, :, None, None],
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
class Dice:
    """Random numbers for `draws` markets at once, and the priors that they become."""

    pset: PriorSet
    rng: np.random.Generator
    draws: int

    def z(self, *shape: int) -> Array:
        """Independent standard normals [draw, *shape]."""
        return self.rng.standard_normal((self.draws, *shape))

    def prior(self, name: str) -> Array:
        """One prior's values [draw, cell], or [draw] if it is a single number, in the prior's unit."""
        block = self.pset.blocks[name]
        mean = np.array([prior.mu for prior in block.priors])
        sd = np.array([prior.sd for prior in block.priors])
        value = mean + sd * (self.z(len(mean)) @ block.cholesky.T)
        if block.priors and block.priors[0].family != "normal":
            value = np.exp(value) if block.priors[0].family == "lognormal" else expit(value)
        return value if block.dims else value[:, 0]

    def rising(self, name: str) -> Array:
        """A prior whose values [draw, cell] may not fall along the cells: their running maximum."""
        return np.maximum.accumulate(self.prior(name), axis=1)

    def rise(self, name: str) -> Array:
        """The sum of a prior's positive steps up to each depth [draw, depth], from zero at the first."""
        return np.pad(self.prior(name).cumsum(axis=1), ((0, 0), (1, 0)))


def _market(dice: Dice) -> Arrays:
    """Everything but revenue and evidence, under the names that :func:`simulate` gives."""
    pset = dice.pset
    share = _depth_share(dice)
    patients = _region_patients(dice)[..., None] * share[:, None]
    market = {"depth_share": share, "patients": patients, **_burden(dice, patients[:, 0])}
    if "payer_block_level" in pset.blocks:
        level, spread = dice.prior("payer_block_level"), pset.number("payer_block_region_sd")
        market["payer_block"] = expit(logit(level)[:, None] + spread * dice.z(len(pset.ledger.regions)))
    uses = []
    for modality in pset.ledger.modalities:
        if modality.uptake == "adoption":
            mean = _path(dice, modality)
            use = placed(patients, _adoption_offset(dice, modality, market), mean)
            market |= {pset.own("adoption_mean", modality): mean, pset.own("adoption", modality): use}
        else:
            use = np.ones_like(patients) if modality.uptake == "everyone" else _launched_use(dice, modality, patients)
        uses.append(use)
    market["use"] = np.stack(uses, axis=-1)
    market["price"] = np.stack([_price(dice, m, k) for k, m in enumerate(pset.ledger.modalities)], axis=-1)
    market["intensity"] = market["price"][:, :, None, None] * _relative_spend(dice, patients, market["use"])
    return market


def _region_patients(dice: Dice) -> Array:
    """Patients of each region [draw, year, region]: the count of the year that its claim names, and growth."""
    ledger = dice.pset.ledger
    counted = {
        claim.region: ledger.report.first_year if claim.year is None else claim.year
        for claim in ledger.claims
        if claim.quantity == "patients" and claim.role == "prior"
    }
    since = np.array(ledger.years)[:, None] - np.array([counted[name] for name in ledger.segments["region"]])
    own = dice.pset.number("patient_growth_region_sd") * dice.z(len(ledger.regions))
    growth = dice.prior("patient_growth")[:, None] + own
    count = dice.prior("region_patients") * np.exp(dice.prior("pool_error"))[:, None]
    return np.asarray(count[:, None] * np.exp(growth[:, None] * since))


def _depth_share(dice: Dice) -> Array:
    """Each region's mix of depths [draw, region, depth], partially pooled."""
    ledger = dice.pset.ledger
    spread = dice.prior("depth_weight_region_sd")[:, None, None] * dice.z(len(ledger.regions), len(ledger.depths))
    weight = dice.prior("depth_weight")[:, None] * np.exp(spread)
    return weight / weight.sum(axis=2, keepdims=True)


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


def _path(dice: Dice, modality: Modality) -> Array:
    """Mean uptake of those who may have it [draw, year]: the levels at the anchors, uneven steps between them."""
    pset, launch = dice.pset, modality.uptake == "launch"
    level = dice.rising(pset.own(f"{modality.uptake}_level", modality))
    if launch:
        level = np.pad(level, ((0, 0), (1, 0)))
    concentration = pset.number(f"{modality.uptake}_path_concentration", modality=modality.name)
    knots = pset.uptake_years(modality)
    path = [level[:, :1]]
    for k, (start, end) in enumerate(pairwise(knots)):
        share = np.arange(1, end - start + 1) if launch and k == 0 else np.ones(end - start)
        steps = dice.rng.dirichlet(concentration * share / share.sum(), dice.draws)
        path.append(level[:, [k]] + (level[:, [k + 1]] - level[:, [k]]) * steps.cumsum(axis=1))
    years = np.array(pset.ledger.years)
    mean = np.zeros((dice.draws, len(years)))
    mean[:, years >= knots[0]] = np.concatenate(path, axis=1)[:, max(years[0] - knots[0], 0) :]
    return mean


def _region_offset(dice: Dice, modality: Modality) -> Array:
    """How far each region's uptake lies from the whole, on the logit scale [draw, region, depth=1]."""
    pset = dice.pset
    size = pset.number("uptake_region_size", modality=modality.name)
    spread = dice.prior(pset.own(f"{modality.uptake}_region_sd", modality))[:, None]
    stated = size * pset.signs("adoption_direction", "region", modality.name)
    return (stated + spread * dice.z(len(stated)))[..., None]


def _adoption_offset(dice: Dice, modality: Modality, market: Arrays) -> Array:
    """How far each segment's adoption lies from the whole, on the logit scale [draw, year=1, region, depth]."""
    pset = dice.pset
    steeper = pset.number("adoption_step_region_sd", modality=modality.name) * dice.z(len(pset.ledger.regions))
    rise = dice.rise(pset.own("adoption_step", modality))[:, None]
    offset = _region_offset(dice, modality) + rise * np.exp(steeper)[..., None]
    if "moh" in market:
        offset = offset + dice.prior(pset.own("moh_effect", modality))[:, None, None] * logit(market["moh"])
    if "payer_block" in market:
        brake = dice.prior(pset.own("payer_brake", modality))[:, None] * logit(market["payer_block"])
        offset = offset - brake[..., None]
    return offset[:, None]


def _launched_use(dice: Dice, modality: Modality, patients: Array) -> Array:
    """Procedures a patient and year [draw, year, region, depth]: exactly zero before the launch."""
    eligible = _eligible(dice.pset, modality)
    mean, offset = _path(dice, modality), _region_offset(dice, modality)[:, None]
    sold = np.array(dice.pset.ledger.years) >= dice.pset.number("launch_year", modality=modality.name)
    use = np.zeros_like(patients)
    use[:, sold] = eligible * placed(patients[:, sold] * eligible, offset, mean[:, sold])
    return use


def _eligible(pset: PriorSet, modality: Modality) -> Array:
    """Probability that a patient may get a modality [depth]."""
    if modality.uptake == "launch":
        return pset.numbers("eligible_share", "depth", modality=modality.name)
    return np.ones(len(pset.ledger.depths))


def _price(dice: Dice, modality: Modality, index: int) -> Array:
    """Average spend per treated patient-year [draw, year]."""
    pset, years, anchors = dice.pset, np.array(dice.pset.ledger.years), dice.pset.anchors(modality)
    growth = dice.prior(f"price_growth_{modality.key}") * np.diff(anchors)
    at_anchor = np.log(dice.prior("price")[:, [index]]) + np.pad(growth.cumsum(axis=1), ((0, 0), (1, 0)))
    # Weights [anchor, year] that interpolate, and before the first anchor hold its value.
    between = np.array([np.interp(years, anchors, one) for one in np.eye(len(anchors))])
    walk = dice.z(len(years)).cumsum(axis=1)
    pinned = walk - walk[:, np.searchsorted(years, anchors)] @ between
    log_price = at_anchor @ between + pset.number("price_noise", modality=modality.name) * pinned
    return np.asarray(np.exp(log_price))


def _relative_spend(dice: Dice, patients: Array, use: Array) -> Array:
    """Spend of a segment over the average of the treated [draw, year, region, depth, modality]."""
    pset, modalities = dice.pset, dice.pset.ledger.modalities
    own = pset.number("region_premium_modality_sd") * dice.z(len(pset.ledger.regions), len(modalities))
    premium = dice.prior("region_premium")[..., None] + own
    stepped = np.array([modality.uptake != "launch" for modality in modalities])
    rel = np.exp(premium[:, :, None] + dice.rise("intensity_step")[:, None, :, None] * stepped)[:, None]
    treated = patients[..., None] * use
    # Nobody is treated before a launch: the average is then over those who may be.
    may_be = patients[..., None] * np.stack([_eligible(pset, m) for m in modalities], axis=-1)
    weight = np.where(treated.sum(axis=(2, 3), keepdims=True) > 0, treated, may_be)
    average = (weight * rel).sum(axis=(2, 3), keepdims=True) / weight.sum(axis=(2, 3), keepdims=True)
    return np.asarray(rel / average)


def placed(weight: Array, offset: Array, mean: Array) -> Array:
    """Probabilities expit(c + offset) whose weighted mean over region and depth is `mean`, by bisection for c.

    Parameters: `weight` [..., region, depth], not negative; `offset`, logits that broadcast against it; `mean` [...]
    inside (0, 1). Returns [..., region, depth].
    """
    offset, weight = np.broadcast_arrays(offset, weight)
    share = weight / weight.sum(axis=(-2, -1), keepdims=True)
    target = mean[..., None, None]
    # The mean lies between the smallest and the largest of the probabilities, so these ends hold c.
    low = logit(target) - offset.max(axis=(-2, -1), keepdims=True)
    high = logit(target) - offset.min(axis=(-2, -1), keepdims=True)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        over = (share * expit(middle + offset)).sum(axis=(-2, -1), keepdims=True) > target
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    return expit((low + high) / 2 + offset)


# ---- evidence ------------------------------------------------------------------------------------------------------


def _evidence(dice: Dice, market: Arrays, vendor_factor: float) -> Arrays:
    """The vendor's error in each year, and each row's mean and value on the log scale."""
    rows = dice.pset.evidence
    if not rows:
        return {}
    years = sorted({row.year for row in rows} | set(dice.pset.ledger.report.anchors))
    variance = np.diff(dice.pset.vendor_log_sd(years) ** 2, prepend=0.0)
    error = (np.sqrt(np.maximum(variance, 0.0)) * dice.z(len(years))).cumsum(axis=1)
    mean = np.stack([_log_aggregate(dice.pset, market, row) for row in rows], axis=1)
    for k, row in enumerate(rows):
        if row.quantity != "revenue_share":
            mean[:, k] += error[:, years.index(row.year)]
        if row.quantity == "revenue":
            mean[:, k] += np.log(vendor_factor)
    value = mean + np.array([row.log_sd for row in rows]) * dice.z(len(rows))
    return {"source_error": error, "evidence_log_mean": mean, "evidence": value}


def _log_aggregate(pset: PriorSet, market: Arrays, row: Evidence) -> Array:
    """The log of the true value [draw] of what one row of evidence is about."""
    cells = market["patients" if row.quantity == "patients" else "revenue"][:, pset.ledger.years.index(row.year)]
    part = cells
    for axis, (dim, names) in enumerate(pset.ledger.segments.items(), start=1):
        if (name := getattr(row, dim)) is not None:
            part = part.take([names.index(name)], axis=axis)
    total = part.sum(axis=tuple(range(1, part.ndim)))
    whole = cells.sum(axis=tuple(range(1, cells.ndim)))
    return np.asarray(np.log(total / whole if row.quantity == "revenue_share" else total))
