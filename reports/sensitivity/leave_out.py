"""Claims one at a time: what the answer owes to each, and whether everything else agrees with it.

Both come from one refit per claim, without that claim: how far revenue shifts, and what that posterior expects of the
claim.

Conflict. Leaving a claim out splits its node (Presanis et al. 2013, Statistical Science 28, 376): everything else gives
a distribution of the quantity, the claim another one, and p is twice the smaller tail probability of their difference
at zero. For a row of evidence that is the prior predictive p-value (Box 1980, JRSS A 143, 383) of the row given all
others: the row replicated, its own error and its source's included, against the number stated. Evans & Moshonov (2006,
Bayesian Analysis 1, 893) order outcomes by their predictive density instead; the predictive of a log aggregate has one
mode and is nearly symmetric, where the two agree, and tails need no density estimate. For a prior claim, of which a
prior that says next to nothing takes the place, the claim is the distribution elicited from its range: its width
counts, as that of the row's error does. So p asks "could both be right?"; `p_centre` asks the harsher "is the middle of
the range where the rest puts it?", with the claim taken as exact, and `inside` and `above` say where the rest puts the
quantity relative to the stated range. A direction is judged by the probability of its sign. p-values here are a screen
of many claims, not independent tests: with thirty of them one or two below 0.05 are to be expected.

Power. A claim that nothing else informs is compared with the prior that took its place, which says next to nothing, and
p then says nothing either: such a claim has no p but the verdict "nothing to compare with". Of the others `notices`
says how far from the rest's median the claim would have to lie to have p below 0.05: as a factor, or for a fraction as
points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from xarray import DataArray, Dataset

from postcgrp.inference.diagnostics import SAMPLE, mcse_mean
from postcgrp.models import variables as v
from postcgrp.priors import Evidence, InputError, Prior, PriorSet, effective
from postcgrp.priors.ledger import Claim
from postcgrp.priors.lookup import Key, number_name
from postcgrp.reports.forecast.conflict import AGREES, CONFLICT, DISAGREES, NO_POWER
from postcgrp.reports.runs.evidence import bounds, rarer
from postcgrp.reports.sensitivity.refits import Refit
from postcgrp.reports.sensitivity.tornado import CLEAR, total_revenue

Array = NDArray[np.float64]
REPLICATION_SEED = 20
LINE_DIRECTION = "line_use_direction"
OF_DIRECTIONS = ("uptake_region_size", "line_use_region_size", "line_use_region_sd")  # numbers that may have a range
LEAST_INFORMED = 0.1  # of the variance of a claim's vague replacement: less, and nothing else informs it
SMALLEST_TAIL = 1e-12  # tail of a prior in which draws have normal scores


@dataclass(frozen=True)
class LeftOut:
    """One claim left out: its id, its role, and the prior set without it; `claim` is None for a user's own row."""

    id: str
    role: str
    without: PriorSet
    claim: Claim | None = None


def claims_left_out(pset: PriorSet) -> tuple[list[LeftOut], dict[str, str]]:
    """Every claim and row of evidence that the model uses, left out in turn; and why some claims cannot be, by id."""
    extra, used = further_rows(pset), {row.id for row in pset.evidence}
    out, forbidden = list[LeftOut](), dict[str, str]()
    for claim in pset.ledger.claims:
        if claim.id in pset.settings.leave_out or not (claim.role == "prior" or claim.id in used):
            continue
        settings = replace(pset.settings, leave_out=(*pset.settings.leave_out, claim.id))
        try:
            without = effective(pset.ledger, settings).with_correlations(pset.correlations)
        except InputError as error:
            forbidden[claim.id] = str(error)
            continue
        out.append(LeftOut(claim.id, claim.role, without.with_evidence([*without.evidence, *extra]), claim))
    for row in extra:
        rest = [other for other in pset.evidence if other.id != row.id]
        out.append(LeftOut(row.id, f"evidence: {row.source}", pset.with_evidence(rest)))
    return out, forbidden


def further_rows(pset: PriorSet) -> list[Evidence]:
    """The rows of evidence that are not the ledger's."""
    stated = {claim.id for claim in pset.ledger.claims}
    return [row for row in pset.evidence if row.id not in stated]


def claim_groups(pset: PriorSet) -> dict[str, PriorSet | str]:
    """Prior sets without several claims at once, by name, or why there is none.

    What no single claim moves, for the others say the same, a group may: every forecast, all revenue, and all that is
    said of one modality. A group of one is no group.
    """
    first, used = pset.ledger.years[0], {row.id for row in pset.evidence}
    claims = [c for c in pset.ledger.claims if c.role == "prior" or c.id in used]
    named = {
        "every forecast of revenue": [c for c in claims if c.id in used and c.year is not None and c.year > first],
        "all revenue": [c for c in claims if c.quantity in ("revenue", "revenue_share")],
        **{f"all of {m.name}": [c for c in claims if c.modality == m.name] for m in pset.ledger.modalities},
    }
    out: dict[str, PriorSet | str] = {}
    for group, of in named.items():
        ids = [claim.id for claim in of if claim.id not in pset.settings.leave_out]
        if len(ids) < 2:  # noqa: PLR2004
            continue
        name, settings = (
            f"{group} ({len(ids)} claims)",
            replace(pset.settings, leave_out=(*pset.settings.leave_out, *ids)),
        )
        try:
            without = effective(pset.ledger, settings).with_correlations(pset.correlations)
            out[name] = without.with_evidence([*without.evidence, *further_rows(pset)])
        except InputError as error:
            out[name] = str(error)
    return out


def note_on_unused_claims(pset: PriorSet) -> str:
    """One line on the claims that the model does not read, empty if it reads all."""
    roles = {role: sum(c.role == role for c in pset.ledger.claims) for role in ("check", "context")}
    counts = " and ".join(f"{count} with role {role}" for role, count in roles.items() if count)
    return f"claims {counts} do not enter the model: leaving them out changes nothing" if counts else ""


def variables_for_conflicts(pset: PriorSet) -> tuple[str, ...]:
    """The variables that :func:`conflicts` needs from a refit besides revenue."""
    claimed = {
        name for name, block in pset.blocks.items() if any(p.origin.startswith("report: ") for p in block.priors)
    }
    effects = {
        name(pset, m)
        for m in pset.ledger.modalities
        if m.uptake != "everyone"
        for name in (v.uptake_region, v.uptake_region_sd)
    }
    dates = (v.LAUNCH_YEAR, v.SUCCESS) if pset.bounds else ()
    ranged = [name for name in pset.blocks if name.startswith(OF_DIRECTIONS)]
    return (v.EVIDENCE_MEAN, *dates, *sorted(claimed), *sorted(effects), v.LINE_USE_REGION, *ranged)


def modality_shares(draws: Dataset) -> DataArray:
    """Each modality's share of revenue at the last anchor [chain, draw, modality]."""
    last = draws["revenue_modality"].isel(anchor=-1)
    return (last / last.sum("modality")).transpose(*SAMPLE, "modality")


def shift_in_sds(values: Array, base: Array) -> tuple[float, float]:
    """How far the mean of draws [chain, draw] lies from that of `base`, in sds of `base`, and its Monte-Carlo error."""
    sd = float(base.std())
    if sd == 0:
        return 0.0, 0.0
    return float(values.mean() - base.mean()) / sd, float(np.hypot(mcse_mean(values), mcse_mean(base))) / sd


def influence(base: Refit, pset: PriorSet, claims: list[LeftOut], fits: Mapping[str, Refit]) -> pd.DataFrame:
    """What leaving each claim out does to the last year's total and its split by modality, the largest shift first.

    Parameters: `fits` by claim id. Returns one row per claim: `shift` of the mean total, in sds of the posterior with
    all claims, its Monte-Carlo error `se`, and whether the shift is `clear` of it (three errors); the total's `mean`
    and 90 % interval, in millions; the `modality` whose share shifts most, in sds of that share, and that share before
    and after. Ranked by the larger of the two shifts; those within Monte-Carlo error come last, because their order
    says nothing.
    """
    year, rows = pset.ledger.years[-1], []
    before, shares = total_revenue(base, year), modality_shares(base.draws)
    for left in claims:
        fit = fits[left.id]
        row: dict[str, object] = {"claim": left.id, "role": left.role}
        if not fit.missed:
            after, shares_without = total_revenue(fit, year), modality_shares(fit.draws)
            moved, error = shift_in_sds(after, before)
            by_modality = {
                str(m): shift_in_sds(shares_without.sel(modality=m).values, shares.sel(modality=m).values)
                for m in shares["modality"].values
            }
            shifted_most = max(by_modality, key=lambda m: abs(by_modality[m][0]))
            low, high = np.quantile(after, [0.05, 0.95])
            row |= {
                "shift": moved,
                "se": error,
                "clear": bool(abs(moved) > CLEAR * error),
                "mean": float(after.mean()),
                "low_90": float(low),
                "high_90": float(high),
                "modality": shifted_most,
                "split_shift": by_modality[shifted_most][0],
                "split_se": by_modality[shifted_most][1],
                "split_clear": bool(abs(by_modality[shifted_most][0]) > CLEAR * by_modality[shifted_most][1]),
                "share": float(shares.sel(modality=shifted_most).mean()),
                "share_without": float(shares_without.sel(modality=shifted_most).mean()),
            }
        rows.append({**row, "missed": fit.missed})
    table = pd.DataFrame(rows)
    if "shift" not in table:
        return table
    size = table[["shift", "split_shift"]].abs()
    clear = size.where(size.to_numpy() > CLEAR * table[["se", "split_se"]].to_numpy(), 0.0)
    order = pd.DataFrame({"clear": clear.max(axis=1), "any": size.max(axis=1)})
    return table.loc[order.sort_values(["clear", "any"], ascending=False).index].reset_index(drop=True)


def conflicts(pset: PriorSet, claims: list[LeftOut], fits: Mapping[str, Refit]) -> pd.DataFrame:
    """How well each claim agrees with all the rest, the worst first; see the head of this module for definitions.

    Parameters: `fits` by claim id, with :func:`variables_for_conflicts`. Returns one row per claim: what it states;
    what the rest expects (`q05`, `median`, `q95`, in `unit`; for a row of evidence, of its replications); `verdict`;
    `p` and its Monte-Carlo error, `p_centre`, and `inside` and `above`, the mass in and above the stated range;
    `informed`, the share of the replaced prior's variance that the rest removes (of prior claims), and `notices`.
    """
    rows = []
    for left in claims:
        fit = fits[left.id]
        row: dict[str, object] = {"claim": left.id, "role": left.role}
        if not fit.missed:
            row |= _judged(_conflict(pset, left, fit.draws))
        rows.append({**row, "missed": fit.missed})
    table = pd.DataFrame(rows)
    return table.sort_values("p", na_position="last").reset_index(drop=True) if "p" in table else table


def _conflict(pset: PriorSet, left: LeftOut, draws: Dataset) -> dict[str, object]:
    observed = next((row for row in pset.evidence if row.id == left.id), None)
    if observed is not None:
        return _row_conflict(observed, left, draws)
    for name, block in left.without.blocks.items():
        for index, prior in enumerate(block.priors):
            if prior.open and not pset.blocks[name].priors[index].open and name in draws:
                values = draws[name].transpose(*SAMPLE, ...).values
                cell = values.reshape(*values.shape[:2], -1)[..., index]
                return _prior_conflict(pset.blocks[name].priors[index], cell) | {"informed": _informed(prior, cell)}
    return _sign_conflict(left, draws) if left.claim is not None else {}


def _informed(vague: Prior, values: Array) -> float:
    """How much of a vague prior's variance everything else removes, as normal scores [chain, draw]: 0 if nothing."""
    scores = ndtri(np.clip(vague.cdf(values), SMALLEST_TAIL, 1 - SMALLEST_TAIL))
    return float(1 - scores.var())


def _judged(row: dict[str, object]) -> dict[str, object]:
    """A row of :func:`conflicts` with its verdict; without p where nothing informs the claim but its own prior."""
    p, informed = row.get("p"), row.get("informed", 1.0)
    if not isinstance(p, float) or not isinstance(informed, float):
        return row
    if informed < LEAST_INFORMED:
        return row | {"verdict": NO_POWER, "p": np.nan, "p_se": np.nan, "p_centre": np.nan}
    return row | {"verdict": CONFLICT if p < DISAGREES else AGREES}


def _row_conflict(row: Evidence, left: LeftOut, draws: Dataset) -> dict[str, object]:
    if row.is_bound:
        return _bound_conflict(left.without, row, draws)
    mean = draws[v.EVIDENCE_MEAN].sel({v.EVIDENCE_ROW: row.id}).transpose(*SAMPLE).values
    replicated = mean + row.log_sd * np.random.default_rng(REPLICATION_SEED).standard_normal(mean.shape)
    claim = left.claim
    low, high = (None, None) if claim is None else (claim.low, claim.high)
    stated = {"value": row.value, "low": low, "high": high, "unit": row.unit}
    exact = (mean > row.stated).astype(float)
    return (
        stated
        | _expected(row.natural(replicated))
        | _tails(ndtr((mean - row.stated) / row.log_sd), exact)
        | _inside(row.natural(mean), low, high)
        | {"notices": _notices(replicated, as_factor=not row.is_dated)}
    )


def _bound_conflict(pset: PriorSet, row: Evidence, draws: Dataset) -> dict[str, object]:
    """What all the rest says of a bound on a launch: `p`, the chance that it holds, or 1 where that is likely."""
    part = bounds(draws, pset, [row])
    holds = np.exp(part.terms()).reshape(draws.sizes["chain"], draws.sizes["draw"])
    p = rarer(float(holds.mean()))
    chance = {"p": p, "p_se": mcse_mean(holds) if p < 1 else 0.0}
    return {"value": row.stated, "unit": "year"} | _expected(part.dates) | chance


def _prior_conflict(prior: Prior, values: Array) -> dict[str, object]:
    """What all the rest says of a quantity [chain, draw], against the distribution elicited from its claim."""
    above = values > prior.quantile(0.5)
    positive = not prior.unit.startswith("fraction") and bool((values > 0).all())
    stated = {"value": float(prior.quantile(0.5)), "low": prior.low, "high": prior.high, "unit": prior.unit}
    return (
        stated
        | _expected(values)
        | _tails(prior.cdf(values), above.astype(float))
        | _inside(values, prior.low, prior.high)
        | {"notices": _notices(np.log(values) if positive else values, as_factor=positive)}
    )


def _sign_conflict(left: LeftOut, draws: Dataset) -> dict[str, object]:
    """The probability, without the claim, that a region differs from the mean of all regions as the claim says."""
    claim, pset = left.claim, left.without
    if claim is None or not claim.value or claim.region is None:
        return {}
    effect = _line_effect(pset, claim, draws) if claim.quantity == LINE_DIRECTION else _effect(pset, claim, draws)
    if effect is None:
        return {}
    lean = effect.sel(region=claim.region) - effect.mean("region")
    agrees = (np.sign(claim.value) * lean.transpose(*SAMPLE).values > 0).astype(float)
    # Before anything is known of it, a sign is as likely as its opposite.
    informed = abs(2 * float(agrees.mean()) - 1)
    chance = {"p": float(agrees.mean()), "p_se": mcse_mean(agrees), "informed": informed}
    return {"value": claim.value, "unit": claim.unit} | chance


def _effect(pset: PriorSet, claim: Claim, draws: Dataset) -> DataArray | None:
    """Effects of regions on the uptake of the first modality that a claim is about [chain, draw, region]."""
    for m in pset.ledger.modalities:
        name, spread = v.uptake_region(pset, m), v.uptake_region_sd(pset, m)
        if m.uptake == "everyone" or claim.modality not in (None, m.name) or name not in draws or spread not in draws:
            continue
        size = _number(pset, draws, "uptake_region_size", modality=m.name)
        signs = DataArray(pset.signs(claim.quantity, "region", m.name), {"region": pset.coords["region"]}, ("region",))
        return draws[spread] * draws[name] + size * signs
    return None


def _line_effect(pset: PriorSet, claim: Claim, draws: Dataset) -> DataArray | None:
    """Effects of regions on the use of the first line that a claim is about [chain, draw, region]."""
    for line in map(str, pset.coords["line_claimed"]):
        if claim.line not in (None, line) or v.LINE_USE_REGION not in draws:
            continue
        spread = _number(pset, draws, "line_use_region_sd", line=line)
        size = _number(pset, draws, "line_use_region_size", line=line)
        deviations = draws[v.LINE_USE_REGION].sel(line_claimed=line)
        signs = DataArray(pset.line_signs("region", line), {"region": pset.coords["region"]}, ("region",))
        return spread * deviations + size * signs
    return None


def _number(pset: PriorSet, draws: Dataset, name: str, **where: Key) -> DataArray | float:
    """A number of the assumptions: fixed, or its draws where the ledger has a range."""
    block = number_name(pset.ledger, name, where)
    return draws[block] if block in pset.blocks else pset.number(name, **where)


def _notices(values: Array, *, as_factor: bool) -> float:
    """How far from the median of what the rest expects a claim must lie to have p below 0.05: a factor, or points."""
    low, middle, high = np.quantile(values, [DISAGREES / 2, 0.5, 1 - DISAGREES / 2])
    far = float(max(high - middle, middle - low))
    return float(np.exp(far)) if as_factor else far


def _expected(values: Array) -> dict[str, object]:
    return dict(zip(("q05", "median", "q95"), map(float, np.quantile(values, [0.05, 0.5, 0.95])), strict=True))


def _tails(above: Array, exact: Array) -> dict[str, object]:
    """Two-sided p-values [chain, draw]: `above`, P(the rest exceeds the claim); `exact`, the same of an exact claim."""
    chance, centre = float(above.mean()), float(exact.mean())
    return {
        "p": 2 * min(chance, 1 - chance),
        "p_se": 2 * mcse_mean(above),
        "p_centre": 2 * min(centre, 1 - centre),
    }


def _inside(values: Array, low: float | None, high: float | None) -> dict[str, object]:
    if low is None or high is None:
        return {"inside": np.nan, "above": np.nan}
    return {"inside": float(((values >= low) & (values <= high)).mean()), "above": float((values > high).mean())}
