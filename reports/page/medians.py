"""Why this centre, part by part: medians from bottom-up to the posterior to the report, modality by modality."""

from __future__ import annotations

import numpy as np
import pandas as pd
from xarray import Dataset

from postcgrp.reports.forecast.summary import report_point
from postcgrp.reports.runs.run import Run

SKEW, ALL_PARTS = "skew of the sum", "total"


def median_bridge(run: Run, year: int | None = None) -> pd.DataFrame:
    """Medians of a year's revenue by modality, before and after the evidence, and what the report says.

    One row per modality, then the skew of the sum (the median of the total less the sum of the medians: wide skewed
    parts add up to more than their medians), then the total, so that each column adds up. Columns: `part`, `bottom_up`
    (NaN where the run kept no prior draws), `posterior`, `report` (NaN where it says nothing; in its skew, what the
    report's total has that its parts do not). `year` is by default the last.
    """
    ledger = run.priors.ledger
    year = ledger.report.last_year if year is None else year
    names = ledger.segments["modality"]
    before = run.read(["revenue"], "prior") if run.has("prior") else Dataset()
    columns = {
        "bottom_up": _medians(before, year, names),
        "posterior": _medians(run.read(["revenue"]), year, names),
        "report": _adding_up([report_point(ledger, year, modality=name) for name in names], report_point(ledger, year)),
    }
    return pd.DataFrame({"part": [*names, SKEW, ALL_PARTS], **columns})


def _medians(draws: Dataset, year: int, names: tuple[str, ...]) -> list[float]:
    if "revenue" not in draws:
        return [np.nan] * (len(names) + 2)
    parts = draws["revenue"].sel(year=year).sum(["region", "depth"])
    each = [float(parts.sel(modality=name).median()) for name in names]
    return _adding_up(each, float(parts.sum("modality").median()))


def _adding_up(parts: list[float], total: float) -> list[float]:
    return [*parts, total - sum(parts), total]
