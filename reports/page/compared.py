"""A second run beside the first: its fan, its medians, and what moves the mean from one to the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from postcgrp.priors import InputError
from postcgrp.reports.page.content import Rows, total_quantiles
from postcgrp.reports.runs.run import Run
from postcgrp.reports.sensitivity.comparison import compare, last_total, leading

MOST_CAUSES = 12


def beside_another(run: Run, other: Run) -> dict[str, Any]:
    """What the page of `run` says of another run of the same market.

    Raises :class:`InputError` for a run in another currency, of other years, or without a common anchor.
    """
    found = compare(run, other)
    if run.priors.ledger.years != other.priors.ledger.years:
        years = other.priors.ledger.years
        raise InputError(f"--compare {other.label}: is about {years[0]}..{years[-1]}: compare runs of the same years")
    here, there = (total_quantiles(one) for one in (run, other))
    why, _, year = last_total(found)
    rows = leading(why, MOST_CAUSES)
    return {
        "label": name(other),
        "year": year,
        "rows": _rows(run, here, there),
        "why": [] if found.refused else [{str(k): v for k, v in row.items()} for row in rows.to_dict("records")],
        "note": f"Not attributed: {found.refused}." if found.refused else "",
        "data": {"label": name(other), "fan": there},
    }


def name(run: Run) -> str:
    """What to call a run beside another: its prior set, and the folder it lies in."""
    return f"{Path(run.label).name} (prior set {run.priors.settings.priors}, trust {run.priors.settings.trust})"


def _rows(run: Run, here: dict[str, list[float]], there: dict[str, list[float]]) -> Rows:
    years = list(run.priors.ledger.years)
    rows = []
    for year in run.priors.ledger.report.anchors:
        k = years.index(year)
        row: dict[str, Any] = {"year": year}
        for where, fan in (("here", here), ("there", there)):
            row |= {where: fan["q50"][k], f"low_{where}": fan["q05"][k], f"high_{where}": fan["q95"][k]}
        rows.append(row)
    return rows
