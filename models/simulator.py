"""A second implementation of the model, to test the first against: docs/model.md in plain NumPy, from that page alone.

It shares nothing with the PyMC model but the priors and the evidence of a :class:`PriorSet`, draws prior and prior
predictive together, and can also draw from markets that depart from the model in a named way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from postcgrp.priors import Evidence, PriorSet
from postcgrp.priors.catalogue import SIZES
from postcgrp.priors.elicit import STUDENT_DF
from postcgrp.priors.ledger import Modality

Array = NDArray[np.float64]
Arrays = dict[str, Array]

MISSPECIFICATIONS = ("shock", "share_drift", "vendor_high")
SHOCK_DF = 3.0  # heavy tails: now and then a year that no normal walk would bring
SHOCK_SCALE = 0.05  # a year's shock has then an sd of 9 %, more than a yearly step of any price in the shipped ledger
DRIFT = 0.03  # the odds of the deepest depth grow by a third in ten years: steady, and unseen in any one of them
VENDOR_FACTOR = 1.3  # a neighbouring market counted in: more than two sd of the base year's error at default trust

_HALVINGS = 64  # of a bracket a few logits wide: beyond double precision
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
    market["revenue"] = market["patients"][..., None] * market["use"] * market["intensity"] / _MILLION
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
        family = block.priors[0].family if block.priors else "normal"
        heavy = family.endswith("student")
        z = self.rng.standard_t(STUDENT_DF, (self.draws, len(mean))) if heavy else self.z(len(mean))
        value = mean + sd * (z @ block.cholesky.T)
        if family not in ("normal", "student"):
            value = np.exp(value) if family.startswith("log") and not family.startswith("logit") else expit(value)
        return value if block.dims else value[:, 0]

    def number(self, name: str, assumption: str, *dims: int, **where: str) -> Array:
        """A number of the assumptions: [], or where the ledger has a range [draw, *dims], of which all are 1."""
        if name not in self.pset.blocks:
            return np.asarray(self.pset.number(assumption, **where))
        return self.prior(name).reshape(self.draws, *dims)

    def rising(self, name: str) -> Array:
        """A prior whose values [draw, cell] may not fall along the cells; or may not rise, if its block is falling.

        A claimed one is raised to the claimed ones before it; one that is left open is moved between the claimed ones
        around it, and then raised to any left open before it.
        """
        value, claimed = self.prior(name), self.pset.blocks[name].open == 0
        if self.pset.blocks[name].falling:
            value = 1 - value
        out = np.zeros_like(value)
        for k in range(value.shape[1]):
            before = [value[:, j] for j in range(k) if claimed[j]]
            least = np.max([np.zeros(self.draws), *before], axis=0)
            out[:, k] = np.maximum(value[:, k], least)
            after = [j for j in range(k + 1, value.shape[1]) if claimed[j]]
            if not claimed[k] and after:
                out[:, k] = np.minimum(out[:, k], np.maximum(value[:, after[0]], least))
        kept = np.maximum.accumulate(out, axis=1)
        return 1 - kept if self.pset.blocks[name].falling else kept

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
        level = dice.prior("payer_block_level")
        spread = dice.number("payer_block_region_sd", "payer_block_region_sd", 1)
        market["payer_block"] = expit(logit(level)[:, None] + spread * dice.z(len(pset.ledger.regions)))
    use = {m.name: np.ones_like(patients) for m in pset.modalities("everyone")}
    use |= {m.name: _launched_use(dice, m, patients) for m in pset.modalities("launch")}
    launched = _launched(pset, patients, use) if pset.settings.adoption_scope == "with_launched" else None
    for modality in pset.modalities("adoption"):
        mean = _path(dice, modality, launched)
        use[modality.name] = placed(patients, _adoption_offset(dice, modality, market), mean)
        market |= {pset.own("adoption_mean", modality): mean, pset.own("adoption", modality): use[modality.name]}
    market["use"] = np.stack([use[m.name] for m in pset.ledger.modalities], axis=-1)
    market["price"] = np.stack([_price(dice, m, k) for k, m in enumerate(pset.ledger.modalities)], axis=-1)
    market["intensity"] = market["price"][:, :, None, None] * _relative_spend(dice, patients, market["use"])
    return market


def _launched(pset: PriorSet, patients: Array, use: dict[str, Array]) -> Array:
    """Share of patients who have had a launched procedure by each anchor, each patient once [draw, anchor]."""
    yearly = sum((patients * use[m.name]).sum(axis=(2, 3)) for m in pset.modalities("launch"))
    at = np.searchsorted(pset.ledger.years, pset.ledger.report.anchors)
    return np.asarray(np.cumsum(yearly, axis=1)[:, at] / patients.sum(axis=(2, 3))[:, at])


def _region_patients(dice: Dice) -> Array:
    """Patients of each region [draw, year, region]: the count of the year that its claim names, and growth."""
    ledger = dice.pset.ledger
    counted = {
        claim.region: ledger.report.first_year if claim.year is None else claim.year
        for claim in ledger.claims
        if claim.quantity == "patients" and claim.role == "prior"
    }
    since = np.array(ledger.years)[:, None] - np.array([counted[name] for name in ledger.segments["region"]])
    spread = dice.number("patient_growth_region_sd", "patient_growth_region_sd", 1)
    deviation = spread * dice.z(len(ledger.regions))
    growth = dice.prior("patient_growth")[:, None] + deviation
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


def _path(dice: Dice, modality: Modality, launched: Array | None = None) -> Array:
    """Mean uptake of those who may have it [draw, year]: the levels at the anchors, uneven steps between them.

    What is `launched` by each anchor [draw, anchor] is taken off the levels.
    """
    pset, launch = dice.pset, modality.uptake == "launch"
    level = dice.rising(pset.own(f"{modality.uptake}_level", modality))
    if launched is not None:
        level = np.maximum.accumulate(np.maximum(level - launched, _LEAST_SHARE), axis=1)
    if launch:
        level = np.pad(level, ((0, 0), (1, 0)))
    concentration = pset.number(f"{modality.uptake}_path_concentration", modality=modality.name)
    knots = pset.uptake_years(modality)
    path = [level[:, :1]]
    for k, (start, end) in enumerate(pairwise(knots)):
        rising = np.arange(1.0, end - start + 1)
        shapes = {"even": np.ones(end - start), "early": rising[::-1], "late": rising}
        share: Array = rising if launch and k == 0 else shapes[pset.settings.uptake_shape]
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
    name = pset.own("adoption_step_region_sd", modality)
    spread = dice.number(name, "adoption_step_region_sd", 1, modality=modality.name)
    steeper = spread * dice.z(len(pset.ledger.regions))
    rise = dice.rise(pset.own("adoption_step", modality))[:, None]
    offset = _region_offset(dice, modality) + rise * np.exp(steeper)[..., None]
    if "moh" in market:
        offset = offset + dice.prior(pset.own("moh_effect", modality))[:, None, None] * logit(market["moh"])
    if "payer_block" in market:
        brake = dice.prior(pset.own("payer_brake", modality))[:, None] * logit(market["payer_block"])
        offset = offset - brake[..., None]
    return offset[:, None]


def _launched_use(dice: Dice, modality: Modality, patients: Array) -> Array:
    """Procedures per patient and year [draw, year, region, depth]: exactly zero before the launch."""
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
    years, anchors = np.array(dice.pset.ledger.years), dice.pset.anchors(modality)
    growth = dice.prior(f"price_growth_{modality.key}") * np.diff(anchors)
    at_anchor = np.log(dice.prior("price")[:, [index]]) + np.pad(growth.cumsum(axis=1), ((0, 0), (1, 0)))
    # Weights [anchor, year] that interpolate, and before the first anchor hold its value.
    between = np.array([np.interp(years, anchors, unit) for unit in np.eye(len(anchors))])
    walk = dice.z(len(years)).cumsum(axis=1)
    pinned = walk - walk[:, np.searchsorted(years, anchors)] @ between
    noise = dice.number(f"price_noise_{modality.key}", "price_noise", 1, modality=modality.name)
    log_price = at_anchor @ between + noise * pinned
    return np.asarray(np.exp(log_price))


def _relative_spend(dice: Dice, patients: Array, use: Array) -> Array:
    """Spend of a segment over the average of the treated [draw, year, region, depth, modality]."""
    pset, modalities = dice.pset, dice.pset.ledger.modalities
    deviation = pset.number("region_premium_modality_sd") * dice.z(len(pset.ledger.regions), len(modalities))
    premium = dice.prior("region_premium")[..., None] + deviation
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
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        over = (share * expit(middle + offset)).sum(axis=(-2, -1), keepdims=True) > target
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    return expit((low + high) / 2 + offset)


# ---- evidence ------------------------------------------------------------------------------------------------------


def _evidence(dice: Dice, market: Arrays, vendor_factor: float) -> Arrays:
    """Each source's error in each year it speaks of, and each row's mean and value on the log scale."""
    pset, rows = dice.pset, dice.pset.evidence
    if not rows:
        return {}
    errors, mean = {}, np.stack([_log_aggregate(pset, market, row) for row in rows], axis=1)
    for source in dict.fromkeys(row.source for row in rows):
        sizes = [k for k, row in enumerate(rows) if row.source == source and row.quantity in SIZES]
        if not sizes:
            continue
        is_report = source == pset.ledger.report.id
        years = sorted({rows[k].year for k in sizes} | set(pset.ledger.report.anchors if is_report else ()))
        variance = np.diff(pset.source_log_sd(source, years) ** 2, prepend=0.0)
        walk = (np.sqrt(np.maximum(variance, 0.0)) * dice.z(len(years))).cumsum(axis=1)
        error = pset.source_log_bias(source, years) + walk
        name = "source_error" if is_report else f"source_error_{re.sub(r'[^0-9A-Za-z]+', '_', source).strip('_')}"
        errors[name] = error
        for k in sizes:
            mean[:, k] += error[:, years.index(rows[k].year)]
            if is_report and rows[k].quantity == "revenue":
                mean[:, k] += np.log(vendor_factor)
    value = mean + np.array([row.log_sd for row in rows]) * dice.z(len(rows))
    return {**errors, "evidence_log_mean": mean, "evidence": value}


def _log_aggregate(pset: PriorSet, market: Arrays, row: Evidence) -> Array:
    """The log of the true value [draw] of what one row of evidence is about."""
    year = pset.ledger.years.index(row.year)
    where: list[Any] = [slice(None)]
    for dim, names in pset.ledger.segments.items():
        name = getattr(row, dim)
        where.append(slice(None) if name is None else slice(names.index(name), names.index(name) + 1))
    region_depth, patients = tuple(where[:3]), market["patients"][:, year]

    def total(cells: Array) -> Array:
        return np.asarray(cells.reshape(len(cells), -1).sum(axis=1))

    if row.quantity == "adoption":
        number = total((patients[..., None] * market["use"][:, year])[tuple(where)]) / total(patients[region_depth])
    elif row.quantity in ("acute_use", "moh", "payer_block"):
        share = market[row.quantity]
        share = share if share.ndim == patients.ndim else share[:, :, None]
        number = total((patients * share)[region_depth]) / total(patients[region_depth])
    elif row.quantity.startswith("patients"):
        number = total(patients[region_depth]) / (total(patients) if row.quantity.endswith("_share") else 1.0)
    else:
        revenue = market["revenue"][:, year]
        number = total(revenue[tuple(where)]) / (total(revenue) if row.quantity.endswith("_share") else 1.0)
    return np.asarray(np.log(number))
