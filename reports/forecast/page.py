"""The page of a forecast: one HTML file that opens offline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from xarray import DataTree

from postcgrp.inference.convergence import Check
from postcgrp.priors import PriorSet
from postcgrp.priors.audit import Finding
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.forecast.summary import exceedance, growth

NEARLY_CERTAIN = 0.995  # probabilities above it would round to 100 %


def environment() -> Environment:
    """The template environment, which escapes HTML and raises for missing values."""
    env = Environment(loader=PackageLoader("postcgrp.reports.forecast"), autoescape=True, undefined=StrictUndefined)
    env.filters["money"] = lambda x: "–" if pd.isna(x) else f"{x:,.0f}"
    env.filters["percent"] = lambda x, digits=0: "–" if pd.isna(x) else f"{100 * x:.{digits}f} %"
    env.filters["chance"] = lambda p: (
        "more than 99 %" if p > NEARLY_CERTAIN else "less than 1 %" if p < 1 - NEARLY_CERTAIN else f"{100 * p:.0f} %"
    )
    env.filters["short"] = lambda x: "–" if pd.isna(x) else short(x)
    return env


def page(
    run: DataTree,
    pset: PriorSet,
    table: pd.DataFrame,
    checks: tuple[Check, ...],
    findings: tuple[Finding, ...],
    record: dict[str, Any],
    bench: Mapping[str, pd.DataFrame],
) -> str:
    """The page as HTML.

    Parameters: `table`, the summary; `checks`, the gate; `findings`, the audit; `record`, the manifest; `bench`, the
    variance budget (empty with too few draws), the growth bridge and the claim about it, by file name.
    """
    totals = table[table["quantity"] == "revenue_total"]
    anchors = list(pset.ledger.report.anchors)
    levels = exceedance(run, pset.ledger)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=pset.ledger.report,
            headline=totals[totals["year"].isin(anchors)].to_dict("records"),
            segments=table[table["quantity"] == "revenue"].to_dict("records"),
            labels={s.name: s.label or s.name for s in (*pset.ledger.modalities, *pset.ledger.regions)},
            anchors=anchors,
            levels=levels.reset_index().to_dict("records"),
            growth=growth(run, pset.ledger),
            vendor_sd=dict(zip(anchors, pset.vendor_log_sd(anchors), strict=True)),
            trust=pset.trust,
            settings=pset.settings,
            checks=checks,
            findings=findings,
            priors=pset.table().to_dict("records"),
            evidence=pset.evidence_table().to_dict("records"),
            record=record,
            budget=bench["variance_budget"].to_dict("records"),
            claim=bench["growth_claim"].to_dict("records"),
        )
    )
