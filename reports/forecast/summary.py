"""The numbers a reader came for: credible intervals around the report's points."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from xarray import DataArray, DataTree

from postcgrp.priors import Ledger
from postcgrp.reports.runs.groups import group

INTERVALS = (50, 80, 90)
SUMMARY_COLUMNS = (
    "quantity",
    "year",
    "region",
    "modality",
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
    for claim in ledger.claims:
        here = (claim.year, claim.region, claim.modality, claim.depth)
        if claim.quantity == "revenue" and here == (year, region, modality, None) and claim.value is not None:
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


def describe(draws: DataArray, report: float) -> dict[str, float]:
    """Mean, median, sd, equal-tailed intervals, the report's point (NaN for none) and P(more than that)."""
    row = {"mean": float(draws.mean()), "median": float(draws.median()), "sd": float(draws.std(ddof=1))}
    for width in INTERVALS:
        row[f"low_{width}"], row[f"high_{width}"] = interval(draws, width)
    above = float((draws > report).mean()) if np.isfinite(report) else float("nan")
    return {**row, "report": report, "p_above_report": above}


def summary(run: DataTree, ledger: Ledger) -> pd.DataFrame:
    """Total revenue by year, and by modality and by region at the anchors, in millions; columns `SUMMARY_COLUMNS`."""
    posterior = group(run)
    by_segment = posterior["revenue"].sum("depth")

    def rows() -> Iterable[dict[str, object]]:
        for year in ledger.years:
            draws = posterior["revenue_total"].sel(year=year)
            yield {"quantity": "revenue_total", "year": year, **describe(draws, report_point(ledger, year))}
        for dim, other in (("modality", "region"), ("region", "modality")):
            for label in ledger.segments[dim]:
                for year in ledger.report.anchors:
                    draws = by_segment.sel({"year": year, dim: label}).sum(other)
                    point = report_point(ledger, year, **{dim: label})
                    yield {"quantity": "revenue", "year": year, dim: label, **describe(draws, point)}

    return pd.DataFrame(rows()).assign(unit=f"{ledger.report.currency} million").reindex(columns=list(SUMMARY_COLUMNS))


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


def exceedance(run: DataTree, ledger: Ledger, steps: int = 9) -> pd.DataFrame:
    """P(total revenue > level) for round levels (rows, in millions) at each anchor (columns)."""
    draws = group(run)["revenue_total"].sel(year=list(ledger.report.anchors))
    low, high = np.quantile(draws.values, [0.02, 0.98])
    unit = 10 ** np.floor(np.log10((high - low) / steps))
    step = unit * min((1, 2, 2.5, 5, 10), key=lambda m: abs(m * unit - (high - low) / steps))
    levels = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    table = {year: [float((draws.sel(year=year) > x).mean()) for x in levels] for year in ledger.report.anchors}
    return pd.DataFrame(table, index=pd.Index(levels, name="level"))


def growth(run: DataTree, ledger: Ledger) -> dict[str, float]:
    """Compound yearly growth of total revenue over the years of the report: `low` (5 %), `median` and `high` (95 %)."""
    total = group(run)["revenue_total"]
    first, last = ledger.report.first_year, ledger.report.last_year
    rate = (total.sel(year=last) / total.sel(year=first)) ** (1 / (last - first)) - 1
    return dict(zip(("low", "median", "high"), map(float, np.quantile(rate.values, [0.05, 0.5, 0.95])), strict=True))


def spend_per_user_draws(run: DataTree, modality: str) -> DataArray:
    """Spend per treated patient-year of one modality [chain, draw, year], in the report's currency."""
    return group(run)["price"].sel(modality=modality)
