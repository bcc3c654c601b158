"""The sheet of value: what the live model says now, beside Python's figures, and how value is spread."""

from __future__ import annotations

import numpy as np
import pandas as pd
from xlsxwriter.utility import xl_range

from postcgrp.reports.forecast.colours import ACCENT, GRID_LINES
from postcgrp.reports.valuation.cashflow import Array
from postcgrp.reports.valuation.tables import QUANTILES
from postcgrp.reports.workbook.cells import SMALL_MONEY_FORMAT, Book, Page, chart, here, series
from postcgrp.reports.workbook.content import Content, level_text
from postcgrp.reports.workbook.layout import BY_DRAW_SHEET, INPUTS_SHEET, PATH_NAMES, PICKER_SHEET, path_row

VALUE_SHEET = "Value"
FIRST_FIGURE = 5  # its row
HISTOGRAM_BINS = 24
NEVER = 1e99  # stands for infinity in a cell


def live_figures(c: Content) -> list[tuple[str, str, str, float, str]]:
    """The figures that follow the inputs: name in :attr:`Content.check`, label, formula, value, unit."""
    probability, draws = c.model.probability, c.numbers.draws
    risked = c.numbers.risked(c.model, draws)
    negative = (draws.npv < 0).mean() * probability[-1] + (c.numbers.ends.npv < 0) @ probability[:-1]
    places = {level: f"MIN({xl_range(_ends_row() + 1, 2 + k, _ends_row() + 1 + len(c.model.phases), 2 + k)})"
              for k, level in enumerate(QUANTILES)}  # fmt: skip
    quantiles = _candidates(c).min(axis=0)
    draws_below = 'p_success*COUNTIF(draw_npv,"<0")/COUNT(draw_npv)'
    return [
        ("rnpv", "rNPV, mean", "AVERAGE(draw_rnpv)", float(risked.mean()), c.money),
        *((f"npv {level_text(q)}", f"NPV, {level_text(q)} quantile", places[q], float(quantiles[k]), c.money)
          for k, q in enumerate(QUANTILES)),
        ("loss", "P(NPV < 0)", f"{draws_below}+SUMPRODUCT((end_npv<0)*end_probability)",
         float(negative), "fraction"),
        ("approval", "P(all phases succeed)", "p_success", float(probability[-1]), "fraction"),
        ("approved", "NPV if all succeeds, mean", "AVERAGE(draw_npv)", float(draws.npv.mean()), c.money),
        ("bid", "maximum bid (upfront at which rNPV is 0), mean", f"{here(FIRST_FIGURE, 1)}+upfront",
         float(risked.mean() + c.model.x["upfront"]), c.money),
    ]  # fmt: skip


def value_sheet(book: Book, c: Content) -> None:
    """Live figures, paths, the ways to fail, a histogram, and the deal's full valuation by Python."""
    page = book.page(VALUE_SHEET, ACCENT)
    page.widths(48, 15, 17, 18, 24, 3, 40)
    page.title(
        f"Value: {c.deal.name}" if c.full is not None else "Value of what the inputs capture",
        f"Column B follows the inputs, on {len(c.revenue):,} joint draws. Column D is Python on the inputs as written; "
        "it stays.",
        "rNPV averages the phases' outcomes within each draw; the quantiles and P(NPV < 0) count each outcome by its "
        "probability.",
    )
    page.heads(FIRST_FIGURE - 1, "Figure", "Live", "Unit", "Python, inputs as written", "Live less Python")
    rows = live_figures(c)
    for k, (name, label, formula, number, unit) in enumerate(rows):
        style = "percent" if unit == "fraction" else "value"
        page.text(FIRST_FIGURE + k, 0, label)
        page.formula(FIRST_FIGURE + k, 1, formula, number, "bold value" if name == "rnpv" else style)
        page.text(FIRST_FIGURE + k, 2, unit, "unit")
        page.number(FIRST_FIGURE + k, 3, c.check[name], style)
        page.formula(
            FIRST_FIGURE + k,
            4,
            f"{here(FIRST_FIGURE + k, 1)}-{here(FIRST_FIGURE + k, 3)}",
            number - c.check[name],
            "difference",
        )
    row = _paths(page, c, FIRST_FIGURE + len(rows) + 1)
    assert row == _ends_row() - 2  # noqa: S101  the table above is of known length
    row = _ends(book, page, c)
    row = _histogram(page, c, row + 1)
    _full(page, c, row + 1)
    page.sheet.freeze_panes(FIRST_FIGURE, 1)


def _paths(page: Page, c: Content, row: int) -> int:
    page.text(row, 0, "Value on a path", "section")
    page.heads(row + 1, "Yearly revenue as in", "rNPV", "NPV if all succeeds")
    risked = c.numbers.risked(c.model, c.numbers.paths)
    for k, name in enumerate(PATH_NAMES):
        at = path_row(c) + k + 1
        page.text(row + 2 + k, 0, name if k else f"{name} (see {PICKER_SHEET})")
        page.formula(row + 2 + k, 1, f"'{BY_DRAW_SHEET}'!C{at}", risked[k], "value")
        page.formula(row + 2 + k, 2, f"'{BY_DRAW_SHEET}'!B{at}", c.numbers.paths.npv[k], "value")
    return row + 2 + len(PATH_NAMES)


def _ends_row() -> int:
    """The header's row of the table of ways to end."""
    return FIRST_FIGURE + 8 + 1 + 2 + len(PATH_NAMES) + 2


def _candidates(c: Content) -> Array:
    """Candidates [end, level] for the quantiles of value over all outcomes; each quantile is the least of its column.

    All draws together have weight P, each failure has a value a and a weight q. This mixture reaches level p at the
    least x for which, for some failure j, x >= a_j and P F(x) + Q(a_j) >= p, where Q sums the weights of failures up to
    a_j; or without any failure (a = -infinity, Q = 0).
    """
    failed, weights = c.numbers.ends.npv, c.model.probability[:-1]
    ordered, success = np.sort(c.numbers.draws.npv), c.model.probability[-1]
    at = np.concatenate([[-NEVER], failed])
    below = np.array([(weights * (failed <= a)).sum() for a in at])
    level = (np.array(QUANTILES) - below[:, None]) / success
    place = np.clip(np.ceil(level * len(ordered) - 1e-9), 1, len(ordered)).astype(int)
    reached = np.where(level <= 0, -NEVER, np.where(level > 1 + 1e-9, NEVER, ordered[place - 1]))
    return np.asarray(np.maximum(at[:, None], reached))


def _ends(book: Book, page: Page, c: Content) -> int:
    row, candidates = _ends_row(), _candidates(c)
    page.text(row - 1, 0, "The ways to fail, and where each puts the quantiles (the least is taken)", "section")
    page.heads(row, "If this fails", "NPV", *(level_text(q) for q in QUANTILES))
    failed = [-NEVER, *c.numbers.ends.npv]
    names = ["(nothing)", *(name for name, _ in c.model.phases)]
    for k, name in enumerate(names):
        at = row + 1 + k
        page.text(at, 0, name)
        formula = f"INDEX(end_npv,{k})" if k else f"-{NEVER:.0E}"
        page.formula(at, 1, formula, failed[k], "value" if k else "endless")
        below = f"SUMPRODUCT((end_npv<={here(at, 1)})*end_probability)"
        for j, q in enumerate(QUANTILES):
            level = f"(({q}-{below})/p_success)"
            count = "COUNT(draw_npv)"
            place = f"MIN({count},MAX(1,ROUNDUP({level}*{count}-1E-9,0)))"
            page.formula(
                at,
                2 + j,
                f"MAX({here(at, 1)},IF({level}<=0,-{NEVER:.0E},"
                f"IF({level}>1+1E-9,{NEVER:.0E},SMALL(draw_npv,{place}))))",
                candidates[k, j],
                "value" if abs(candidates[k, j]) < NEVER else "endless",
            )
    at = row + 1 + len(names)
    page.text(at, 0, "Failures together, each by its probability")
    failures = float(c.model.probability[:-1] @ c.numbers.ends.npv)
    page.formula(at, 1, "SUMPRODUCT(end_probability,end_npv)", failures, "value")
    book.define("failed_value", page.at(at, 1))
    return at + 1


def _histogram(page: Page, c: Content, row: int) -> int:
    numbers, probability = c.numbers, c.model.probability
    page.text(row, 0, "How NPV is spread over all outcomes", "section")
    page.line(row + 1, 0, (f"Middle of the bin, {c.money}", "from", "Probability", "up to here"), "head right")
    counted = np.concatenate([numbers.draws.npv, numbers.ends.npv if probability[:-1].sum() > 0 else []])
    low, high = float(counted.min()), float(counted.max())
    lowest, highest = (
        f"{f}({f}(draw_npv),IF(SUM(end_probability)>0,{f}(end_npv),{f}(draw_npv)))" for f in ("MIN", "MAX")
    )
    first = row + 2
    bin_width, width_cell = (high - low) / HISTOGRAM_BINS, here(first + HISTOGRAM_BINS, 1)
    edges = [low]
    for _ in range(HISTOGRAM_BINS):
        edges.append(edges[-1] + bin_width)
    total_before = 0.0
    for k in range(HISTOGRAM_BINS):
        at = first + k
        page.formula(at, 1, f"{here(at - 1, 1)}+{width_cell}" if k else lowest, edges[k], "value")
        page.formula(at, 0, f"{here(at, 1)}+{width_cell}/2", edges[k] + bin_width / 2, "value")
        edge = here(at + 1, 1)
        upto = f"p_success*SUMPRODUCT(--(draw_npv<{edge}))/COUNT(draw_npv)+SUMPRODUCT((end_npv<{edge})*end_probability)"
        total = float(
            (numbers.draws.npv < edges[k + 1]).mean() * probability[-1]
            + (numbers.ends.npv < edges[k + 1]) @ probability[:-1]
        )
        if k == HISTOGRAM_BINS - 1:
            upto, total = "1", 1.0
        page.formula(at, 3, upto, total, "percent")
        page.formula(at, 2, f"{here(at, 3)}-{here(at - 1, 3)}" if k else here(at, 3), total - total_before, "percent")
        total_before = total
    page.text(first + HISTOGRAM_BINS, 0, "width of a bin", "line")
    page.formula(first + HISTOGRAM_BINS, 1, f"({highest}-{lowest})/{HISTOGRAM_BINS}", bin_width, "value")
    histogram = chart(page, {"type": "column"}, "NPV over all outcomes", (f"NPV, {c.money}", "probability"), (620, 380))
    middles, heights = (page.cells(first, column, first + HISTOGRAM_BINS - 1, column) for column in (0, 2))
    histogram.add_series(series([VALUE_SHEET, row + 1, 2], middles, heights, fill={"color": ACCENT}, gap=8))
    histogram.set_legend({"none": True})
    histogram.set_x_axis({"name": f"NPV, {c.money}", "num_format": SMALL_MONEY_FORMAT, "label_position": "low",
                     "name_font": {"bold": False, "size": 10}, "interval_unit": 3})  # fmt: skip
    histogram.set_y_axis({"name": "probability", "num_format": "0%", "name_font": {"bold": False, "size": 10},
                     "major_gridlines": {"visible": True, "line": {"color": GRID_LINES}}})  # fmt: skip
    page.sheet.insert_chart(FIRST_FIGURE - 1, 6, histogram)
    return first + HISTOGRAM_BINS + 1


def _full(page: Page, c: Content, row: int) -> None:
    """Python's valuation of the deal as its author wrote it, which does not follow the inputs."""
    if c.full is None:
        return
    page.text(row, 0, "The deal in full, by postcgrp value (fixed numbers: they do not follow the inputs)", "section")
    page.text(
        row + 1,
        0,
        f"All {c.kept.header['thinning']['of']} draws, seed {c.seed}; "
        f"with what the live model lacks (see “{INPUTS_SHEET}”).",
        "line",
    )
    page.line(row + 2, 0, ("Figure", "Value", "Monte-Carlo error", "Given", "Unit", "", "Note"), "head")
    for k, figure in enumerate(c.full.to_dict("records")):
        at = row + 3 + k
        style = "percent" if figure["unit"] == "fraction" else "year" if figure["unit"] == "year" else "value"
        page.text(at, 0, str(figure["quantity"]))
        page.number(at, 1, figure["value"], style)
        page.number(at, 2, figure["mc_error"], "percent" if style == "percent" else "factor")
        page.text(at, 3, str(figure["given"]), "unit")
        page.text(at, 4, str(figure["unit"]), "line")
        page.text(at, 6, "" if pd.isna(figure["note"]) else str(figure["note"]), "line")
