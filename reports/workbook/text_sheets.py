"""The sheets to read: the answer, percentile paths, every assumption, and where the numbers come from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from postcgrp.priors.ledger import Quantified
from postcgrp.reports.export.thinning import statement
from postcgrp.reports.forecast.colours import ACCENT, CONTRAST, SEGMENT_COLOURS
from postcgrp.reports.runs.folder import DRAWS as DRAWS_FILE
from postcgrp.reports.valuation.tables import EVERY
from postcgrp.reports.workbook.cells import BAD, Book, Page, chart, series
from postcgrp.reports.workbook.content import EVERY_SEGMENT, Content
from postcgrp.reports.workbook.layout import (
    BY_DRAW_SHEET,
    CASH_SHEET,
    DRAWS_SHEET,
    INPUTS_SHEET,
    PATHS_HEADER,
    PATHS_SHEET,
    PICKER_SHEET,
    STATISTICS,
    YEAR0,
    path_stat_row,
    yearly,
)
from postcgrp.reports.workbook.value_sheet import FIRST_FIGURE, VALUE_SHEET, live_figures

SUMMARY_SHEET, ASSUMPTIONS_SHEET, PROVENANCE_SHEET = "Summary", "Assumptions", "Provenance"
SCHEMA = "postcgrp.workbook/1"
HEADLINE = (
    ("year", "Year", "year"),
    ("report", "Report", "report"),
    ("median", "Median", "bold money"),
    ("low_50", "50 % interval, from", "money"),
    ("high_50", "to", "money"),
    ("low_90", "90 % interval, from", "money"),
    ("high_90", "to", "money"),
    ("p_above_report", "P(above report)", "percent"),
)
WHAT_IS_WHERE = (
    (INPUTS_SHEET, "what you may change: discounting, share, launch, income, tax, risk, captured segments"),
    (VALUE_SHEET, "what it is worth: mean, quantiles, P(NPV < 0), on every joint draw; beside Python's figures"),
    (PICKER_SHEET, "one joint draw by its number: its paths by modality and region"),
    (CASH_SHEET, "year by year: share, costs, discount factors, and the picked draw line by line"),
    (PATHS_SHEET, "mean and percentiles of each year, by modality and region"),
    (BY_DRAW_SHEET, "flows and value of every draw and of the percentile paths (formulas)"),
    (DRAWS_SHEET, "the joint draws of revenue by year, modality and region"),
    (ASSUMPTIONS_SHEET, "every input, prior, piece of evidence, claim and assumption, with source and reason"),
    (PROVENANCE_SHEET, "run, recipe, hashes, versions, seed, gate"),
)
CAVEATS = (
    "Blue on yellow is for you to change; the rest follows. Excel 2010 or later, or LibreOffice.",
    "There are no actuals for this market yet: intervals state what report, assumptions and trust imply together.",
)
PRIOR_COLUMNS = (
    "Kind",
    "Name",
    "Year",
    "Segment",
    "Stated",
    "5 %",
    "Median",
    "95 %",
    "Unit",
    "Role",
    "Source or quote",
    "Reason",
)


def summary_sheet(book: Book, c: Content) -> None:
    """The answer for the last year in one sentence, the headline table, value now, and what is where."""
    page = book.page(SUMMARY_SHEET, ACCENT if c.passed else BAD)
    report, totals = c.pset.ledger.report, c.table[c.table["quantity"] == "revenue_total"]
    page.widths(22, *[16] * (len(HEADLINE) - 1))
    last = len(HEADLINE) - 1
    page.text(0, 0, report.title, "title")
    page.text(
        1,
        0,
        f"Revenue {c.years[0]}–{c.years[-1]}, {c.money} a year; one report ({report.vendor}) read by a Bayesian model",
        "line",
    )
    if not c.passed:
        page.sheet.merge_range(2, 0, 2, last, "", book.format("failed"))
        page.text(
            2, 0, f"This run missed its convergence gate: do not use its numbers. See “{PROVENANCE_SHEET}”.", "failed"
        )
        page.sheet.set_row(2, 24)
    page.sheet.merge_range(3, 0, 3, last, "", book.format("message"))
    page.text(3, 0, answer_in_words(c), "message")
    page.sheet.set_row(3, 40)
    page.line(5, 0, [label for _, label, _ in HEADLINE], "head right")
    page.sheet.set_row(5, 32)
    headline = totals[totals["year"].isin(report.anchors)].to_dict("records")
    for k, row in enumerate(headline):
        for j, (name, _, style) in enumerate(HEADLINE):
            page.number(6 + k, j, row[name], style)
    at = 6 + len(headline) + 1
    at = _worth(page, c, at)
    _fan(page, c, at)
    at += 20
    page.text(at, 0, "What is where", "section")
    for k, (name, about) in enumerate(WHAT_IS_WHERE, start=1):
        page.sheet.write_url(at + k, 0, f"internal:'{name}'!A1", string=name)
        page.text(at + k, 1, about)
    for k, line in enumerate(CAVEATS):
        page.text(at + len(WHAT_IS_WHERE) + 2 + k, 0, line, "line")
    page.sheet.fit_to_pages(1, 1)


def answer_in_words(c: Content) -> str:
    """The answer in one or two sentences, as the page has it."""
    totals = c.table[c.table["quantity"] == "revenue_total"]
    row = totals[totals["year"] == c.years[-1]].iloc[0]
    text = (
        f"In {row['year']} the market is as likely above as below {c.currency} {row['median']:,.0f} million; "
        f"90 % of the probability lies between {row['low_90']:,.0f} and {row['high_90']:,.0f}."
    )
    if np.isfinite(row["report"]):
        above = 100 * row["p_above_report"]
        text += f" The report says {row['report']:,.0f}; the chance of more than that is {above:.0f} %."
    return text


def _worth(page: Page, c: Content, row: int) -> int:
    """Value as it follows the inputs and, for a deal, as its author wrote it."""
    deal = c.deal.name if c.full is not None else "what the inputs capture (no deal was given)"
    page.text(row, 0, "Value", "section")
    page.text(row, 1, f"{deal}; {c.money}", "line")
    page.text(row + 1, 0, "", "head")
    page.text(row + 2, 0, "live, on the inputs")
    for k, (_, label, _, number, unit) in enumerate(live_figures(c)[:5]):
        style = "percent" if unit == "fraction" else "value"
        page.text(row + 1, 1 + k, label, "head right")
        page.formula(row + 2, 1 + k, f"'{VALUE_SHEET}'!B{FIRST_FIGURE + k + 1}", number, style)
        if c.full is not None:
            row_of_label = (c.full["quantity"] == label) & (c.full["given"] == EVERY)
            page.number(row + 3, 1 + k, c.full.loc[row_of_label, "value"].iloc[0], style)
    page.sheet.set_row(row + 1, 32)
    if c.full is not None:
        page.text(row + 3, 0, "the deal in full")
        page.text(row + 3, 6, "fixed: inputs spread as stated", "unit")
    return row + 5


def _fan(page: Page, c: Content, row: int) -> None:
    fan = chart(page, {"type": "line"}, f"Total revenue ({c.money})", ("year", c.money), (900, 370))
    years = yearly(c, PATHS_SHEET, PATHS_HEADER)
    looks = {"5 %": ("#b9cde4", 1.25), "10 %": ("#9db8d6", 1.0), "25 %": ("#6f97c2", 1.5), "50 %": (ACCENT, 3.0)}
    looks |= {"75 %": looks["25 %"], "90 %": looks["10 %"], "95 %": looks["5 %"]}
    for name, (colour, width) in reversed({s: looks[s] for s in STATISTICS if s in looks}.items()):
        at = path_stat_row(0, name)
        fan.add_series(
            series([PATHS_SHEET, at, 2], years, yearly(c, PATHS_SHEET, at), line={"color": colour, "width": width})
        )
    at = report_row(c)
    marker = {"type": "circle", "size": 8, "fill": {"color": CONTRAST}, "border": {"color": CONTRAST}}
    fan.add_series(series([PATHS_SHEET, at, 2], years, yearly(c, PATHS_SHEET, at), line={"none": True}, marker=marker))
    page.sheet.insert_chart(row, 0, fan)


def report_row(c: Content) -> int:
    """Row of the report's totals on the sheet of paths, below the last path."""
    return PATHS_HEADER + 1 + len(c.paths)


def paths_sheet(book: Book, c: Content) -> None:
    """Mean and percentiles of revenue by year."""
    page = book.page(PATHS_SHEET, ACCENT)
    n = len(c.years)
    page.widths(26, 22, 12)
    page.sheet.set_column(YEAR0, YEAR0 + n - 1, 10)
    page.title(
        "Percentile paths: each year on its own",
        f"{c.money} a year, over all {c.kept.header['thinning']['of']} draws. "
        f"A percentile path is no possible world: for those see “{PICKER_SHEET}”.",
        "Means add up over modalities and regions; percentiles do not.",
    )
    page.line(PATHS_HEADER, 0, ("Modality", "Region", "Statistic"), "head")
    page.line(PATHS_HEADER, YEAR0, c.years, "head year")
    shown = {EVERY_SEGMENT: EVERY_SEGMENT}
    for k, row in enumerate(c.paths.itertuples(index=False, name=None), start=PATHS_HEADER + 1):
        modality, region, statistic, *values = row
        style = "bold money" if statistic == "50 %" else "money"
        page.text(k, 0, shown.get(modality) or c.labels["modality", modality])
        page.text(k, 1, shown.get(region) or c.labels["region", region])
        page.text(k, 2, statistic)
        page.line(k, YEAR0, values, style)
    at = report_row(c)
    points = c.table[c.table["quantity"] == "revenue_total"]["report"]
    page.line(at, 0, (EVERY_SEGMENT, EVERY_SEGMENT, "the report"))
    page.line(at, YEAR0, points, "report")
    page.sheet.autofilter(PATHS_HEADER, 0, at, YEAR0 + n - 1)
    page.sheet.freeze_panes(PATHS_HEADER + 1, YEAR0)
    page.sheet.repeat_rows(PATHS_HEADER)
    _stacked(page, c)


def _stacked(page: Page, c: Content) -> None:
    """A chart of means by modality, stacked, since means add up."""
    stacked = chart(page, {"type": "column", "subtype": "stacked"}, f"Mean revenue by modality ({c.money})",
                 ("year", c.money), (760, 360))  # fmt: skip
    years = yearly(c, PATHS_SHEET, PATHS_HEADER)
    for k in range(len(c.pset.ledger.modalities)):
        at = path_stat_row(1 + k, "mean")
        fill = {"color": SEGMENT_COLOURS[k % len(SEGMENT_COLOURS)]}
        stacked.add_series(series([PATHS_SHEET, at, 0], years, yearly(c, PATHS_SHEET, at), gap=40, fill=fill))
    page.sheet.insert_chart(PATHS_HEADER, YEAR0 + len(c.years) + 1, stacked)


def assumptions_sheet(book: Book, c: Content) -> None:
    """One table of everything that the numbers rest on."""
    page = book.page(ASSUMPTIONS_SHEET)
    widths = (14, 34, 7, 26, 24, 11, 11, 11, 20, 14, 60, 70)
    page.widths(*widths)
    page.title(
        "What the numbers rest on",
        "Priors and evidence are what the model was given; claims are the report's words; assumptions are not from it. "
        "Filter by kind.",
    )
    page.line(3, 0, PRIOR_COLUMNS, "head")
    rows = list(_assumed(c))
    for k, row in enumerate(rows, start=4):
        for j, value in enumerate(row):
            if value is not None and value != "":
                style = "wrap" if isinstance(value, str) else "year" if PRIOR_COLUMNS[j] == "Year" else "general"
                page.put(k, j, value, style)
        page.height(k, *((text, width - 2) for text, width in zip(row, widths, strict=True) if isinstance(text, str)))
    page.sheet.autofilter(3, 0, 3 + len(rows), len(PRIOR_COLUMNS) - 1)
    page.sheet.freeze_panes(4, 2)
    page.sheet.repeat_rows(3)


def _assumed(c: Content) -> Iterator[tuple[Any, ...]]:
    pset, ledger = c.pset, c.pset.ledger
    for row in c.stated.to_dict("records"):
        kind = "deal input" if c.full is not None else "live input"
        yield (
            kind,
            row["input"],
            None,
            "",
            row["stated"],
            row["q05"],
            row["median"],
            row["q95"],
            "",
            "",
            row["source"],
            "",
        )
    for name, value in vars(pset.settings).items():
        yield ("setting", name, None, "", str(value), None, None, None, "", "", "how the run was made", "")
    for row in pset.table().to_dict("records"):
        span = "" if pd.isna(row["low"]) else f"{row['low']:g} to {row['high']:g} ({row['coverage']:.0%})"
        yield (
            "prior",
            row["prior"],
            None,
            "",
            span,
            row["q05"],
            row["median"],
            row["q95"],
            row["unit"],
            row["family"],
            row["origin"],
            row["because"],
        )
    for e in pset.evidence:
        yield (
            "evidence",
            e.id,
            e.year,
            _segment(e.modality, e.line, e.region, e.depth),
            f"own {e.error}",
            None,
            e.value,
            None,
            e.unit,
            e.quantity,
            e.source,
            e.note,
        )
    for t in (pset.trust, *ledger.sources):
        size = f"log-sd {t.base_log_sd:g} to {t.final_log_sd:g}; log-bias {t.base_log_bias:g} to {t.final_log_bias:g}"
        yield ("source's error", t.name, None, "", size, None, None, None, "log", "", t.source, t.reason)
    for claim in ledger.claims:
        yield (
            "claim",
            claim.id,
            claim.year,
            _segment(claim.modality, claim.region, claim.depth),
            _in_words(claim),
            None,
            claim.value,
            None,
            claim.unit,
            claim.role,
            claim.quote,
            claim.reason,
        )
    for a in ledger.assumptions:
        yield (
            "assumption",
            a.id,
            a.year,
            _segment(a.modality, a.region, a.depth),
            _in_words(a),
            None,
            a.value,
            None,
            a.unit,
            "",
            a.source,
            a.reason,
        )


def _segment(*names: str | None) -> str:
    return ", ".join(name for name in names if name is not None)


def _in_words(row: Quantified) -> str:
    if row.value is not None:
        return f"{row.value:g}"
    low, high = ("…" if end is None else f"{end:g}" for end in (row.low, row.high))
    return f"{low} to {high}"


def provenance_sheet(book: Book, c: Content) -> None:
    """Where the numbers come from, so that they can be reproduced."""
    page = book.page(PROVENANCE_SHEET, None if c.passed else BAD)
    page.widths(30, 20, 24, 26, 60)
    page.title("Where these numbers come from")
    record, header = c.record, c.kept.header
    thinned = header["thinning"]
    rows: list[tuple[str, Any]] = [
        ("schema of this workbook", SCHEMA),
        ("gate of the run", record.get("status")),
        ("run made", record.get("created")),
        ("manifest sha256", header["manifest_sha256"]),
        ("recipe sha256", record.get("recipe_sha256")),
        ("draws sha256 (posterior.nc)", record.get("files", {}).get(DRAWS_FILE)),
        ("exported draws sha256", header["content_sha256"]),
        ("draws kept", statement(thinned, c.money)),
        ("chosen by", thinned["method"]),
        ("deal", c.deal.name if c.full is not None else "none: neutral inputs"),
        ("deal sha256", c.deal.fingerprint()),
        ("seed of the deal's inputs", c.seed),
        ("written by", f"postcgrp {version('postcgrp')}, XlsxWriter {version('xlsxwriter')}"),
    ]
    for part in ("settings", "sampling", "versions"):
        rows += [(f"{part}: {name}", value) for name, value in record.get(part, {}).items()]
    rows += [(name, record.get(name)) for name in ("backend", "float", "python")]
    for k, (name, value) in enumerate(rows, start=2):
        page.text(k, 0, name, "line")
        missed = name == "gate of the run" and not c.passed
        page.put(k, 1, value if isinstance(value, int | float | str | date) else str(value), "missed" if missed else "")
    at = len(rows) + 3
    page.line(at, 0, ("Gate: check", "Verdict", "Worst figure", "Rule", "Where, and advice"), "head")
    for k, check in enumerate(record.get("gate", []), start=at + 1):
        page.text(k, 0, check["check"])
        page.text(k, 1, "met" if check["passed"] else "missed", "" if check["passed"] else "missed")
        page.number(k, 2, check["figure"], "general")
        page.text(k, 3, check["rule"])
        page.text(k, 4, " ".join(filter(None, (check["where"], check["advice"]))), "wrap")
