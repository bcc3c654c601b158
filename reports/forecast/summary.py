"""The numbers a reader came for: credible intervals around the report's points."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import xarray as xr
from xarray import DataArray, Dataset, DataTree

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.models import variables as v
from postcgrp.priors import Ledger, PriorSet
from postcgrp.priors.catalogue import MONEY_UNIT, SPEND_UNIT
from postcgrp.reports.runs.groups import group

INTERVALS = (50, 80, 90)
INTERVAL_ENDS = {
    f"{end}_{width}": (side + (1 - 2 * side) * (1 - width / 100) / 2)
    for width in INTERVALS
    for side, end in enumerate(("low", "high"))
}
SEGMENT_LABELS = ("region", "depth", "modality", "line")
SUMMARY_COLUMNS = (
    "quantity",
    "year",
    *SEGMENT_LABELS,
    "unit",
    "mean",
    "median",
    "sd",
    *(f"{end}_{width}" for width in INTERVALS for end in ("low", "high")),
    "report",
    "p_above_report",
)


def report_point(ledger: Ledger, year: int, region: str | None = None, modality: str | None = None) -> float:
    """The revenue that the report states for a year and segment, in millions; NaN if it states none."""
    return stated_point(ledger, "revenue", year, region=region, modality=modality)


def stated_point(ledger: Ledger, quantity: str, year: int | None = None, **where: str | None) -> float:
    """The point that the report states for a quantity, year and segment; NaN if it states none."""
    place = {label: where.get(label) for label in SEGMENT_LABELS}
    for claim in ledger.claims:
        here = claim.quantity == quantity and claim.year == year
        if here and claim.value is not None and all(getattr(claim, label) == name for label, name in place.items()):
            return claim.value
    return float("nan")


def stated_range(ledger: Ledger, year: int) -> tuple[float, float]:
    """The ends of the range that the report states for a year's total revenue, in millions; NaN where it has none."""
    none = float("nan")
    for claim in ledger.claims:
        whole = (claim.region, claim.depth, claim.modality) == (None, None, None)
        if whole and (claim.quantity, claim.year, claim.value) == ("revenue", year, None):
            low, high = (none if end is None else end for end in (claim.low, claim.high))
            return low, high
    return none, none


def interval(draws: DataArray, width: float) -> tuple[float, float]:
    """The ends of the equal-tailed interval that holds `width` per cent of the draws."""
    tail = (1 - width / 100) / 2
    low, high = np.quantile(draws.values, [tail, 1 - tail])
    return float(low), float(high)


def summary(run: DataTree, pset: PriorSet) -> pd.DataFrame:
    """Every quantity that a forecast is read for, one row per year and segment; columns `SUMMARY_COLUMNS`.

    Revenue of the whole market and by modality, line, region and depth, in millions; patients by region and depth;
    adoption and the use of lines as means over patients and users; price by modality; persistence by line and region;
    growth of the total since the first year, a year. A segment's cells are empty where a row is about all of it.
    """
    posterior, ledger = group(run), pset.ledger
    money, spend = (
        MONEY_UNIT.format(currency=ledger.report.currency),
        SPEND_UNIT.format(currency=ledger.report.currency),
    )
    revenue, patients = posterior[v.REVENUE], posterior[v.PATIENTS]
    parts = [summarised(ledger, v.REVENUE_TOTAL, posterior[v.REVENUE_TOTAL], money, claim="revenue")]
    parts += [summarised(ledger, v.REVENUE, _total(revenue, dim), money) for dim in ("modality", "region", "depth")]
    if v.REVENUE_LINE in posterior:
        parts.append(
            summarised(ledger, v.REVENUE_LINE, _total(posterior[v.REVENUE_LINE], "line"), money, claim="revenue")
        )
    parts += [
        summarised(ledger, v.PATIENTS, _total(patients, *dims), "patients") for dims in ((), ("region",), ("depth",))
    ]
    for modality in pset.modalities("adoption"):
        name = pset.own(v.ADOPTION_MEAN, modality)
        adoption = posterior[name].expand_dims(modality=[modality.name])
        parts.append(summarised(ledger, v.ADOPTION_MEAN, adoption, "fraction", claim="adoption"))
    if v.USE_LINE in posterior:
        parts.append(summarised(ledger, v.USE_LINE, _mean_use(posterior, pset), "fraction", claim="line_use"))
        parts.append(summarised(ledger, v.PERSISTENCE, posterior[v.PERSISTENCE], "fraction"))
    parts.append(summarised(ledger, v.PRICE, posterior[v.PRICE], spend))
    total, first = posterior[v.REVENUE_TOTAL], ledger.report.first_year
    later = total.sel(year=[year for year in ledger.years if year > first])
    rate = (later / total.sel(year=first, drop=True)) ** (1 / (later["year"] - first)) - 1
    parts.append(summarised(ledger, "growth", rate, "fraction per year"))
    table = pd.concat(parts, ignore_index=True).reindex(columns=list(SUMMARY_COLUMNS))
    return table.astype({"year": "Int64"})  # persistence has no year


def _total(cells: DataArray, *by: str) -> DataArray:
    """Cells summed over every segment but those named [chain, draw, year, *by]."""
    return cells.sum([dim for dim in cells.dims if dim not in (*SAMPLE, "year", *by)])


def _mean_use(posterior: Dataset, pset: PriorSet) -> DataArray:
    """Share of its modality's users on each line [chain, draw, year, line]; 0 while the modality has no users."""
    means = []
    for line in pset.ledger.lines:
        users = posterior[v.PATIENTS] * posterior[v.USE].sel(modality=line.modality, drop=True)
        on_line = (users * posterior[v.USE_LINE].sel(line=line.name)).sum(("region", "depth"))
        means.append(on_line / np.maximum(users.sum(("region", "depth")), np.finfo(float).tiny))
    return xr.concat(means, "line", coords="minimal", compat="override", join="outer")


def summarised(ledger: Ledger, quantity: str, draws: DataArray, unit: str, claim: str | None = None) -> pd.DataFrame:
    """Mean, median, sd, intervals, the report's point and P(more than that), one row per cell of the draws' dims."""
    dims = [str(dim) for dim in draws.dims if dim not in SAMPLE]
    flat = draws.transpose(*SAMPLE, *dims).values.reshape(draws.sizes["chain"] * draws.sizes["draw"], -1)
    labels = [dict(zip(dims, cell, strict=True)) for cell in product(*(draws[dim].values.tolist() for dim in dims))]
    points = np.array([stated_point(ledger, claim or quantity, **cell) for cell in labels])
    quantiles = np.quantile(flat, [0.5, *INTERVAL_ENDS.values()], axis=0)
    above = np.where(np.isfinite(points), (flat > points).mean(axis=0), np.nan)
    return pd.DataFrame(labels).assign(
        quantity=quantity,
        unit=unit,
        mean=flat.mean(axis=0),
        sd=flat.std(axis=0, ddof=1),
        **dict(zip(("median", *INTERVAL_ENDS), quantiles, strict=True)),
        report=points,
        p_above_report=above,
    )


def headline(table: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """The table to read first: for the total, the report's point or range, and the median and intervals.

    Its years are the anchors and those for which the report states revenue.
    """
    ranges = {year: stated_range(ledger, year) for year in ledger.years}
    ranged = [year for year, ends in ranges.items() if np.isfinite(ends).any()]
    spoken_of = table["year"].isin([*ledger.report.anchors, *ranged]) | table["report"].notna()
    rows = table[(table["quantity"] == "revenue_total") & spoken_of]
    shown = pd.DataFrame(
        {
            "year": rows["year"].astype(int),
            "report": rows["report"],
            "report's range": [_range(*ranges[year]) for year in rows["year"].astype(int)],
            "median": rows["median"].round(),
            "50 % interval": [f"{a:,.0f} - {b:,.0f}" for a, b in zip(rows["low_50"], rows["high_50"], strict=True)],
            "90 % interval": [f"{a:,.0f} - {b:,.0f}" for a, b in zip(rows["low_90"], rows["high_90"], strict=True)],
            "P(above report)": [f"{p:.0%}" if np.isfinite(p) else "" for p in rows["p_above_report"]],
        }
    )
    return shown if ranged else shown.drop(columns="report's range")


def _range(low: float, high: float) -> str:
    ends = [f"{end:,.0f}" if np.isfinite(end) else "" for end in (low, high)]
    return " - ".join(ends).strip() if any(ends) else ""


def forecast_said(table: pd.DataFrame, ledger: Ledger) -> str:
    """The forecast in one sentence: the last year's median, its 90 % interval, and P(above the report's point)."""
    year = ledger.years[-1]
    row = table[(table["quantity"] == "revenue_total") & (table["year"] == year)].iloc[0]
    told = (
        f"Total revenue of {year}: median {row['median']:,.0f}, 90 % {row['low_90']:,.0f} to {row['high_90']:,.0f} "
        f"{ledger.report.currency} million"
    )
    if not np.isfinite(row["report"]):
        return f"{told}."
    return f"{told}; {row['p_above_report']:.0%} that it is above the report's {row['report']:,.0f}."


def growth(run: DataTree, ledger: Ledger) -> dict[str, float]:
    """Compound yearly growth of total revenue over the years of the report: `low` (5 %), `median` and `high` (95 %)."""
    total = group(run)["revenue_total"]
    first, last = ledger.report.first_year, ledger.report.last_year
    rate = (total.sel(year=last) / total.sel(year=first)) ** (1 / (last - first)) - 1
    return dict(zip(("low", "median", "high"), map(float, np.quantile(rate.values, [0.05, 0.5, 0.95])), strict=True))


def spend_per_user_draws(run: DataTree, modality: str) -> DataArray:
    """Spend per treated patient-year of one modality [chain, draw, year], in the report's currency."""
    return group(run)["price"].sel(modality=modality)
