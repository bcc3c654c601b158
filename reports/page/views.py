"""A deal under other views of its market: other runs, scenarios, and the run with new evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from postcgrp.models import variables as v
from postcgrp.priors.evidence_file import read_evidence
from postcgrp.priors.scenarios import BASE, Scenario, plan
from postcgrp.reports.forecast.numbers import number_of
from postcgrp.reports.runs.evidence import flat
from postcgrp.reports.runs.run import Run
from postcgrp.reports.scenarios.market import WhatIf
from postcgrp.reports.sensitivity.updating import Update, update


@dataclass(frozen=True)
class MarketView:
    """A view of a market: what it is called, and the run of it, or why there is none."""

    label: str
    run: Run | None
    note: str = ""


def scenario_views(run: Run, under: Sequence[Scenario], seed: int) -> Iterator[MarketView]:
    """The run under each scenario but the base, one at a time: each holds draws of its own.

    Raises :class:`postcgrp.priors.InputError` for a scenario that does not fit the run.
    """
    market = WhatIf(run, seed)
    for scenario in (one for one in under if one.name != BASE):
        if plan(run.priors.ledger, scenario).rows:
            yield MarketView(f"scenario {scenario.name}", market.run_under(scenario))
        else:
            yield MarketView(f"scenario {scenario.name}", None, "changes nothing in this market")


# ---- new evidence --------------------------------------------------------------------------------------------------


def evidence_view(run: Run, evidence: Sequence[Path]) -> tuple[MarketView, list[str]]:
    """The run with new evidence by weights, and in sentences what that says; where the weights are refused, why.

    Raises :class:`postcgrp.priors.InputError` for evidence that cannot be read or is at odds with the run.
    """
    priors = run.priors
    rows = read_evidence(evidence, priors.ledger, priors.trust, priors.evidence, priors.settings.coverage)
    result = update(run, rows)
    label = f"with {', '.join(path.name for path in evidence)}"
    said = [_row_said(row) for _, row in result.rows.iterrows()]
    if not result.refused:
        now = updated(run, result)
        return MarketView(label, now), [*said, _moved_said(run, now, result)]
    options = " ".join(f"--evidence {path.name}" for path in evidence)
    return MarketView(label, None, "the draws cannot tell: fit again"), [
        *said,
        f"Stored draws cannot tell what that moves: {result.refused}.",
        f"\u201cpostcgrp update RUN {options}\u201d fits again; make the memo of the run that it writes.",
    ]


def updated(run: Run, result: Update) -> Run:
    """A run updated by the weights of :func:`postcgrp.reports.sensitivity.updating.update`, in memory only."""
    about = asdict(result.weights)
    weights = {key: about[key] for key in ("k", "limit", "ess")} | {"worth": result.worth}
    manifest = {**run.fitted.manifest, "recipe_sha256": result.priors.fingerprint(), "weights": weights}
    return Run(None, result.priors, manifest, run.fitted, result.weights.values)


def _row_said(row: pd.Series) -> str:
    """A row of evidence against what the run expected of it."""
    said = {name: number_of(row[name], row["unit"]) for name in ("value", "expected", "low_90", "high_90")}
    return (
        f"{row['row']} says {said['value']} {row['unit']}, where the run expected {said['expected']} "
        f"({said['low_90']} to {said['high_90']}, 90 %; chance of something as extreme {row['p']:.2f})."
    )


def _moved_said(run: Run, now: Run, result: Update) -> str:
    year = run.priors.ledger.report.last_year
    before, after = (_interval(one, year) for one in (run, now))
    size = result.weights.values.size
    return (
        f"With it the market of {year} moves from {before} to {after}: stored draws reweighted, worth "
        f"{result.worth:,.0f} of {size:,}."
    )


def _interval(run: Run, year: int) -> str:
    draws = flat(run.read([v.REVENUE_TOTAL])[v.REVENUE_TOTAL].sel(year=[year]))
    low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95])
    return f"{middle:,.0f} ({low:,.0f} to {high:,.0f})"
