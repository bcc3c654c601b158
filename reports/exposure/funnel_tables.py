"""Tables of the patient funnel: every step, what the claimed pool asks of them, its path, who may get what."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd
from xarray import DataArray, Dataset

from postcgrp.priors import Ledger
from postcgrp.priors.evidence_file import EVIDENCE_COLUMNS
from postcgrp.priors.funnel import Branch, Funnel, FunnelStep, step_prior
from postcgrp.priors.shipped import FUNNEL_FILE
from postcgrp.reports.exposure.funnel import ALL, opinion, pool
from postcgrp.reports.forecast.summary import INTERVALS, interval

EVIDENCE_SOURCE = "study: patient funnel"  # a kind of the shipped ledger; another needs a [[source]] row


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
