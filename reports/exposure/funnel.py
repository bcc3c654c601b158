"""The patient funnel in numbers: draws of every step, the pool that they imply, and what the claimed pool asks of them.

A second opinion on the pool that a report claims: no model reads it. NumPy and SciPy only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from postcgrp.priors import Ledger, from_range
from postcgrp.priors.elicit import LINK
from postcgrp.priors.evidence_file import EVIDENCE_COLUMNS
from postcgrp.priors.funnel import Branch, Funnel, FunnelStep, claimed_pool, step_prior
from postcgrp.priors.settings import Settings
from postcgrp.priors.shipped import FUNNEL_FILE
from postcgrp.reports.forecast.summary import INTERVALS, interval

Array = NDArray[np.float64]
EVIDENCE_SOURCE = "study: patient funnel"  # a kind of the shipped ledger; another needs a [[source]] row
ALL = "funnel regions"  # the label of their sum
FUNNEL_DRAWS = 10_000  # a centile of the pool is then known to some 1 % of itself


@dataclass(frozen=True)
class Opinion:
    """How the funnel's pool compares with the claimed one.

    `claimed`: patients, of the regions that the funnel covers; `elsewhere`: what is claimed for the others.
    `p_at_least`: the funnel's probability of at least the claimed pool. `low`, `median`, `high`: its 90 % interval.
    """

    region: str
    year: int
    claimed: float
    elsewhere: float
    low: float
    median: float
    high: float
    p_at_least: float


def funnel_draws(
    funnel: Funnel, ledger: Ledger, draws: int = FUNNEL_DRAWS, seed: int = 1, coverage: float = Settings.coverage
) -> Dataset:
    """Draws of the funnel: `share` and `people` [draw, year, region, node].

    `share` is of the node's parent (of the first step: its people); `people` is the product down to the node. Steps are
    independent of each other; the same step in two regions has the correlation that the file gives it. Drifts add up
    on the link scale from the funnel's year on. The same seed gives the same draws.

    Parameters: `coverage`, the mass inside every range; the result keeps it as an attribute.
    """
    rng = np.random.default_rng(seed)
    years, regions = np.array(funnel.years), funnel.regions
    share: dict[str, Array] = {}
    people: dict[str, Array] = {}
    for node in funnel.nodes:
        parent = funnel.parent(node)
        if not isinstance(node, FunnelStep) and node.without is not None:
            share[node.name] = 1 - share[node.without]
        else:
            score = _scores(rng, float(node.correlation or 0), draws, len(regions))
            drift = _drift(rng, funnel, node.name, draws, coverage)
            levels = []
            for at, region in enumerate(regions):
                prior = step_prior(funnel, ledger, node.name, region, coverage)
                _, inverse = LINK[prior.family]
                levels.append(inverse(prior.mu + prior.sd * score[:, None, at] + drift[:, :, at]))
            share[node.name] = np.stack(levels, axis=-1)
        people[node.name] = share[node.name] * (1 if parent is None else people[parent])
    dims, coords = ("draw", "year", "region", "node"), {"year": years, "region": list(regions), "node": list(share)}
    return Dataset(
        {
            "share": (dims, np.stack(list(share.values()), axis=-1), {"long_name": "share of the node above"}),
            "people": (dims, np.stack(list(people.values()), axis=-1), {"units": "patients"}),
        },
        coords,
        {"coverage": coverage},
    )


def _scores(rng: np.random.Generator, correlation: float, draws: int, regions: int) -> Array:
    """Standard normals [draw, region] with one correlation between all regions."""
    common, own = rng.standard_normal((draws, 1)), rng.standard_normal((draws, regions))
    return np.asarray(np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own, dtype=np.float64)


def _drift(rng: np.random.Generator, funnel: Funnel, name: str, draws: int, coverage: float) -> Array:
    """What a node has drifted on its link scale by each year [draw, year, region].

    A drift that names no region is one unknown, the same everywhere.
    """
    years = np.array(funnel.years)
    total = np.zeros((draws, years.size, len(funnel.regions)))
    for drift in funnel.drifts:
        if drift.step == name:
            mu, sd = from_range(drift.low, drift.high, coverage, "normal")
            rate = mu + sd * rng.standard_normal(draws)
            elapsed = np.clip(years, drift.first_year, drift.last_year) - drift.first_year
            here = [drift.region in (None, region) for region in funnel.regions]
            total[:, :, here] += (rate[:, None] * elapsed)[:, :, None]
    return total


def pool(drawn: Dataset, funnel: Funnel, region: str = ALL) -> DataArray:
    """Patients at the end of the trunk [draw, year], of one region or of all that the funnel covers."""
    people = drawn["people"].sel(node=funnel.steps[-1].name)
    return people.sum("region") if region == ALL else people.sel(region=region)


def opinion(drawn: Dataset, funnel: Funnel, ledger: Ledger, region: str = ALL, year: int | None = None) -> Opinion:
    """How the funnel's pool compares with the claimed one in a year (by default the funnel's first)."""
    year = funnel.header.year if year is None else year
    draws = pool(drawn, funnel, region).sel(year=year)
    everywhere = {each.name: claimed_pool(ledger, each.name) or 0.0 for each in ledger.regions}
    covered = funnel.regions if region == ALL else (region,)
    claimed = sum(everywhere[name] for name in covered)
    elsewhere = sum(patients for name, patients in everywhere.items() if name not in funnel.regions)
    low, high = interval(draws, 90)
    p = float((draws >= claimed).mean())
    return Opinion(region, year, claimed, elsewhere, low, float(draws.median()), high, p)


def funnel_verdict(drawn: Dataset, funnel: Funnel, ledger: Ledger) -> str:
    """The sentence that answers first: the funnel's pool, the claimed one, and the chance of at least that."""
    now, then = (opinion(drawn, funnel, ledger, year=year) for year in (funnel.years[0], funnel.years[-1]))
    rest = ""
    if now.elsewhere:
        rest = (
            f" With the {now.elsewhere:,.0f} claimed where no funnel reaches, that is also the chance of the claimed "
            f"{now.claimed + now.elsewhere:,.0f} or more."
        )
    each = [opinion(drawn, funnel, ledger, region) for region in funnel.regions]
    alone = ", ".join(f"{one.region} {one.p_at_least:.0%}" for one in each)
    return (
        f"In {' + '.join(funnel.regions)} the funnel expects {_rounded(now.median)} patients in {now.year} (90 % "
        f"interval {_rounded(now.low)} to {_rounded(now.high)}), {now.median / now.claimed:.1f} times the "
        f"{now.claimed:,.0f} claimed; P(at least the claimed) = {now.p_at_least:.0%} (alone: {alone}).{rest} By "
        f"{then.year} it expects {_rounded(then.median)} ({_rounded(then.low)} to {_rounded(then.high)})."
    )


def _rounded(people: float) -> str:
    """A number of people to two digits."""
    return f"{float(f'{people:.2g}'):,.0f}"


def funnel_table(drawn: Dataset, funnel: Funnel) -> pd.DataFrame:
    """Every step and branch in the funnel's first year, by region and for their sum.

    Columns: region, node, label, kind (step or branch), parent, depth, stringency; `share` (median) and its 90 %
    interval `share_low_90`, `share_high_90`, of the parent; `median` of the people and the ends of their 50, 80 and
    90 % intervals; seen, source, reason.
    """

    def rows() -> Iterator[dict[str, object]]:
        now = drawn.sel(year=funnel.header.year)
        for region, people in _by_region(now["people"], funnel):
            for node in funnel.nodes:
                parent, name = funnel.parent(node), node.name
                own = people.sel(node=name)
                share = own if parent is None else own / people.sel(node=parent)
                row = None
                if region != ALL and node in funnel.ranged:
                    row = funnel.row(name, region)
                yield {
                    "region": region,
                    "node": name,
                    "label": node.label,
                    "kind": "step" if isinstance(node, FunnelStep) else "branch",
                    "parent": parent,
                    "depth": None if isinstance(node, FunnelStep) else node.depth,
                    "stringency": None if isinstance(node, FunnelStep) else node.stringency,
                    **_described(share, "share", widths=(90,)),
                    **_described(own),
                    "seen": ("claim" if row.claim else row.seen) if row else None,
                    "source": (row.source or f"claim {row.claim}") if row else None,
                    "reason": row.reason if row else None,
                }

    table = pd.DataFrame(rows())
    first = table["parent"].isna()
    table.loc[first, ["share", "share_low_90", "share_high_90"]] = np.nan
    return table


def _described(draws: DataArray, name: str = "median", widths: tuple[int, ...] = INTERVALS) -> dict[str, float]:
    """The median and equal-tailed intervals of draws; the ends are named `low_90`, or `NAME_low_90`."""
    prefix = "" if name == "median" else f"{name}_"
    row = {name: float(draws.median())}
    for width in widths:
        row[f"{prefix}low_{width}"], row[f"{prefix}high_{width}"] = interval(draws, width)
    return row


def must_be_true(drawn: Dataset, funnel: Funnel, ledger: Ledger) -> pd.DataFrame:
    """What each step must be for the claimed pool, the others at their medians: one row per region and step.

    For the sum of the regions a step is the share in all of them together. Columns: region, step, label; `low`,
    `median`, `high`, the step's 90 % interval; `needed`, the value that makes the product of the medians the claimed
    pool; `possible` (no share is above 1); `p_beyond`, the chance, under its own range, of a value as far from the
    median as the needed one, on that side; `of_variance`, the step's part of the variance of the log of the pool;
    `claimed`; `product`, of the medians.
    """
    medians = {region: _medians(funnel, ledger, region) for region in funnel.regions}
    medians[ALL] = {step.name: sum(medians[region][step.name] for region in funnel.regions) for step in funnel.steps}
    now = drawn["people"].sel(year=funnel.header.year)
    rows = []
    for region, people in _by_region(now, funnel):
        log_pool = np.log(people.sel(node=funnel.steps[-1].name).values)
        claimed = opinion(drawn, funnel, ledger, region).claimed
        above: float = 1.0
        above_draws: DataArray | float = 1.0
        for step in funnel.steps:
            median = medians[region][step.name] / above
            draws = people.sel(node=step.name) / above_draws
            needed = median * claimed / medians[region][funnel.steps[-1].name]  # the product is linear in every step
            possible = step.unit == "people" or needed < 1
            below, low, high = float((draws <= needed).mean()), *interval(draws, 90)
            if region != ALL:  # then the prior says it without the draws' noise
                prior = step_prior(funnel, ledger, step.name, region, drawn.attrs["coverage"])
                below = float(prior.cdf(needed)) if possible else 1.0
                low, high = (float(end) for end in prior.quantile([0.05, 0.95]))
            rows.append(
                {
                    "region": region,
                    "step": step.name,
                    "label": step.label,
                    "low": low,
                    "median": median,
                    "high": high,
                    "needed": needed,
                    "possible": possible,
                    "p_beyond": 1 - below if needed > median else below,
                    "of_variance": float(np.cov(np.log(draws.values), log_pool)[0, 1] / log_pool.var(ddof=1)),
                    "claimed": claimed,
                    "product": medians[region][funnel.steps[-1].name],
                }
            )
            above, above_draws = medians[region][step.name], people.sel(node=step.name)
    return pd.DataFrame(rows)


def _medians(funnel: Funnel, ledger: Ledger, region: str) -> dict[str, float]:
    """The product of the medians down to each step of the trunk."""
    medians = [float(step_prior(funnel, ledger, step.name, region).quantile(0.5)) for step in funnel.steps]
    return dict(zip((step.name for step in funnel.steps), np.cumprod(medians).tolist(), strict=True))


def pool_path(drawn: Dataset, funnel: Funnel, ledger: Ledger) -> pd.DataFrame:
    """The pool by year and region, and for their sum, with the chance that it is at least the one claimed for the base.

    Columns: region, year, median, the ends of the 50, 80 and 90 % intervals, claimed, p_at_least, `growth` (median
    yearly growth since the first year) and its 90 % interval.
    """
    rows = []
    for region in (*funnel.regions, ALL):
        draws = pool(drawn, funnel, region)
        for year in funnel.years:
            compared = opinion(drawn, funnel, ledger, region, year)
            here = draws.sel(year=year)
            row = {"region": region, "year": year, **_described(here)}
            row |= {"claimed": compared.claimed, "p_at_least": compared.p_at_least}
            if years := year - funnel.years[0]:
                growth = (here / draws.sel(year=funnel.years[0])) ** (1 / years) - 1
                row |= _described(growth, "growth", widths=(90,))
            rows.append(row)
    return pd.DataFrame(rows)


def pool_evidence(drawn: Dataset, funnel: Funnel) -> pd.DataFrame:
    """The pool of each region as rows of an evidence file, for whoever wants a forecast to weigh the funnel.

    A row's `log_sd` is the sd of the log of the funnel's pool. That regions share their errors is lost.
    """
    rows = []
    for region in funnel.regions:
        log_pool = np.log(pool(drawn, funnel, region).sel(year=funnel.header.year).values)
        row = {"source": EVIDENCE_SOURCE, "quantity": "patients", "year": funnel.header.year, "region": region}
        row |= {"value": round(float(np.exp(log_pool.mean()))), "unit": "patients", "log_sd": round(log_pool.std(), 3)}
        rows.append(row | {"note": f"product of {len(funnel.steps)} steps, {FUNNEL_FILE}"})
    return pd.DataFrame(rows).reindex(columns=list(EVIDENCE_COLUMNS))


def exposure_by_botox(drawn: Dataset, funnel: Funnel) -> pd.DataFrame:
    """Patients of the pool by CGRP exposure and Botox in the first year, as if one did not depend on the other.

    One row per region (and their sum), exposure and Botox; columns: region, exposure, botox, median and intervals of
    the people. Empty for a funnel without both groups.
    """
    now = drawn["people"].sel(year=funnel.header.year)
    whole = now.sel(node=funnel.steps[-1].name)
    groups = {group: [branch for branch in funnel.branches if branch.group == group] for group in ("exposure", "botox")}
    rows = []
    for exposure, botox in product(*groups.values()):
        cell = now.sel(node=exposure.name) * now.sel(node=botox.name) / whole
        for region, draws in _by_region(cell, funnel):
            rows.append({"region": region, "exposure": exposure.label, "botox": botox.label, **_described(draws)})
    return pd.DataFrame(rows)


def eligible_patients(drawn: Dataset, funnel: Funnel) -> pd.DataFrame:
    """Patients of the pool who may get a modality in the first year, by depth (and at all depths) and stringency.

    Columns: region, modality, stringency, depth, median and intervals of the people.
    """
    now = drawn["people"].sel(year=funnel.header.year)
    kinds: dict[tuple[str, str | None], list[Branch]] = {}
    for branch in funnel.branches:
        if branch.modality is not None:
            kinds.setdefault((branch.modality, branch.stringency), []).append(branch)
    rows = []
    for (modality, stringency), branches in kinds.items():
        parts = {branch.depth: now.sel(node=branch.name) for branch in branches}
        parts["all"] = now.sel(node=[branch.name for branch in branches]).sum("node")
        for depth, people in parts.items():
            for region, draws in _by_region(people, funnel):
                where = {"region": region, "modality": modality, "stringency": stringency, "depth": depth}
                rows.append(where | _described(draws))
    return pd.DataFrame(rows)


def _by_region(people: DataArray, funnel: Funnel) -> Iterator[tuple[str, DataArray]]:
    """People of each region, and of all."""
    for region in funnel.regions:
        yield region, people.sel(region=region)
    yield ALL, people.sum("region")
