"""The tables behind a run's figures, each from its draws and priors: what a figure shows and its CSV file holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from xarray import DataArray, Dataset, DataTree

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.models import variables as v
from postcgrp.priors import Prior, PriorSet
from postcgrp.priors.ledger import Modality
from postcgrp.reports.forecast.layers import quantiles, stated, with_stated
from postcgrp.reports.forecast.summary import interval, report_point, spend_per_user_draws
from postcgrp.reports.forecast.words import words_of
from postcgrp.reports.runs.groups import group

CURVE_POINTS = 201  # of an exceedance curve
BINS_OF_DRAWS = 40  # over the middle 99 % of the draws
MIDDLE = 99  # per cent
DENSITY_POINTS = 60
DENSITY_TAIL = 0.003  # on either side of a prior's curve


def total_by_year(run: DataTree, pset: PriorSet) -> pd.DataFrame:
    """Total revenue by year, and what the report states of it; in millions."""
    return with_stated(quantiles(group(run)["revenue_total"]), stated(pset.ledger, "revenue"))


def revenue_by_modality(run: DataTree, pset: PriorSet) -> pd.DataFrame:
    """Revenue by modality and year, and what the report states of it; in millions."""
    by_modality, rows = group(run)["revenue"].sum(["region", "depth"]), []
    for name in pset.ledger.segments["modality"]:
        said = stated(pset.ledger, "revenue", modality=name)
        rows.append(with_stated(quantiles(by_modality.sel(modality=name)), said).assign(modality=name))
    return pd.concat(rows, ignore_index=True)


def adoption_by_year(run: DataTree, pset: PriorSet) -> pd.DataFrame:
    """Patient-weighted adoption of each modality that is adopted, as fractions, and what the report states of it."""
    rows = []
    for modality in pset.modalities("adoption"):
        draws = group(run)[pset.own(v.ADOPTION_MEAN, modality)]
        rows.append(with_stated(quantiles(draws), _stated_adoption(pset, modality)).assign(modality=modality.name))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def spend_by_year(run: DataTree, pset: PriorSet) -> pd.DataFrame:
    """Spend per treated patient-year by modality, from its first year of sales on."""
    tables = []
    for modality in pset.ledger.modalities:
        first = pset.anchors(modality)[0] if modality.uptake == "launch" else pset.ledger.years[0]
        draws = spend_per_user_draws(run, modality.name).sel(year=slice(first, None))
        tables.append(quantiles(draws).assign(modality=modality.name))
    return pd.concat(tables, ignore_index=True)


def exceedance_table(run: DataTree, pset: PriorSet) -> pd.DataFrame:
    """Levels of total revenue and the probability of more, at each anchor, and the same of the report's points.

    Columns: `year`, `level` in millions, `probability`, and `what`: curve or report.
    """
    total, probability = group(run)["revenue_total"], np.linspace(0, 1, CURVE_POINTS)
    tables = []
    for year in pset.ledger.report.anchors:
        draws, point = total.sel(year=year).values.ravel(), report_point(pset.ledger, year)
        curve = {"level": np.quantile(draws, probability), "probability": 1 - probability}
        tables.append(pd.DataFrame({"year": year, **curve, "what": "curve"}))
        if point > 0:
            above = float((draws > point).mean())
            tables.append(pd.DataFrame({"year": [year], "level": point, "probability": above, "what": "report"}))
    return pd.concat(tables, ignore_index=True)


def shares_of_revenue(run: DataTree, pset: PriorSet, dim: str) -> pd.DataFrame:
    """Each region's or depth's share of revenue by year: mean, median and intervals, as fractions."""
    revenue = group(run)["revenue"].sum([d for d in ("region", "depth", "modality") if d != dim])
    share = revenue / revenue.sum(dim)
    return pd.concat(
        [
            quantiles(part).assign(mean=part.mean(SAMPLE).values, **{dim: name})
            for name in pset.ledger.segments[dim]
            for part in (share.sel({dim: name}, drop=True),)
        ],
        ignore_index=True,
    )


def before_and_after(run: DataTree, pset: PriorSet) -> pd.DataFrame:
    """Total revenue by year from the priors alone and from the posterior; column `draws` says which."""
    said = stated(pset.ledger, "revenue")
    tables = [
        with_stated(quantiles(group(run, name)["revenue_total"]), said).assign(draws=name)
        for name in ("prior", "posterior")
    ]
    return pd.concat(tables, ignore_index=True)


def priors_and_posteriors(run: DataTree, pset: PriorSet) -> pd.DataFrame:
    """Histograms of the quantities that a reader argues about, before and after the evidence.

    Columns: `quantity`, `draws` (prior or posterior), `low` and `high` of a bin, and `density`. Prior and posterior
    have bins of their own, over their own middle 99 %, so that neither can lie outside; what is known from the start,
    such as the share of the only region, is left out.
    """
    found = {name: quantities_shown(group(run, name), pset) for name in ("prior", "posterior")}
    rows = []
    for name in found["prior"]:
        both = {which: values[name].values.ravel() for which, values in found.items()}
        if all(np.ptp(draws) > 0 for draws in both.values()):
            rows += [_histogram(draws).assign(quantity=str(name), draws=which) for which, draws in both.items()]
    return pd.concat(rows, ignore_index=True)[["quantity", "draws", "low", "high", "density"]]


def ranged_priors(pset: PriorSet) -> pd.DataFrame:
    """The density of priors that were elicited from a range: `prior`, `unit`, `x`, `density`, and its `low`..`high`.

    Of priors on one quantity that differ by region alone, or have the same range, the first stands for all.
    """
    regions = set(pset.ledger.segments["region"])

    def stands_for(prior: Prior) -> tuple[object, ...]:
        head, *labels = re.split(r"\[|, |\]", prior.name)
        common = [label for label in labels if label not in regions]
        return (head, prior.low, prior.high) if common == labels else (head, *common)

    ranged = [p for block in pset.blocks.values() for p in block.priors if p.low is not None and p.high is not None]
    first = {stands_for(prior): prior for prior in reversed(ranged)}
    tables = []
    for prior in reversed(first.values()):
        probability = np.linspace(DENSITY_TAIL, 1 - DENSITY_TAIL, DENSITY_POINTS)
        x = prior.quantile(probability)
        curve = {"x": x, "density": np.gradient(probability, x), "low": prior.low, "high": prior.high}
        tables.append(pd.DataFrame({"prior": prior.name, "unit": prior.unit, **curve}))
    columns = ["prior", "unit", "x", "density", "low", "high"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def quantities_shown(draws: Dataset, pset: PriorSet) -> Dataset:
    """The quantities of :func:`priors_and_posteriors` [chain, draw], by the name that is shown."""
    words, first, last = words_of(pset.ledger), pset.ledger.years[0], pset.ledger.years[-1]
    out: dict[str, DataArray] = {
        f"Revenue {first}, {words.money}": draws["revenue_total"].sel(year=first),
        f"Revenue {last}, {words.money}": draws["revenue_total"].sel(year=last),
        f"Patients {last}": draws["patients"].sel(year=last).sum(["region", "depth"]),
    }
    for modality in pset.ledger.modalities:
        m, label = modality.name, words.labels["modality"][modality.name]
        out[f"{label}: {words.price}, {last}"] = draws["price"].sel(modality=m, year=last)
        if modality.uptake == "adoption":
            out[f"{label}: adoption {last}"] = draws[pset.own(v.ADOPTION_MEAN, modality)].sel(year=last)
        if modality.uptake == "launch":
            out[f"{label}: ceiling of uptake"] = draws[v.LAUNCH_CEILING].sel(launch=m)
    region = pset.ledger.segments["region"][0]
    by_region = draws["revenue"].sel(year=first).sum(["depth", "modality"])
    share = by_region.sel(region=region) / by_region.sum("region")
    out[f"{words.labels['region'][region]}: share of revenue {first}"] = share
    keep = {name: values.reset_coords(drop=True) for name, values in out.items()}
    return Dataset({k: x.drop_vars([c for c in x.coords if c not in SAMPLE]) for k, x in keep.items()})


def _stated_adoption(pset: PriorSet, modality: Modality) -> pd.DataFrame:
    """What the priors of the adoption levels were made from: points and ranges by year."""
    rows: list[Mapping[str, Any]] = []
    for prior in pset.blocks[v.level(pset, modality)].priors:
        year = int(prior.name.split("[")[1].split(",")[0].rstrip("]"))
        claims = [c for c in pset.ledger.claims if c.quantity == "adoption" and c.year == year]
        mine = [c for c in claims if c.modality == modality.name] or [c for c in claims if c.modality is None]
        if prior.low is not None and prior.high is not None:
            rows.append({"year": year, "report": np.nan, "report_low": prior.low, "report_high": prior.high})
        elif mine and mine[0].value is not None:
            rows.append({"year": year, "report": mine[0].value, "report_low": np.nan, "report_high": np.nan})
    return pd.DataFrame(rows, columns=["year", "report", "report_low", "report_high"]).astype({"year": int})


def _histogram(draws: Any) -> pd.DataFrame:
    low, high = interval(DataArray(draws), MIDDLE)
    if not low < high:  # nearly all draws are alike
        low, high = float(draws.min()), float(draws.max())
    density, edges = np.histogram(draws, np.linspace(low, high, BINS_OF_DRAWS + 1), density=True)
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "density": density})
