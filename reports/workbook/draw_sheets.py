"""The sheets of draws: the joint draws, the value of each, and a picker of one."""

from __future__ import annotations

import numpy as np
from xlsxwriter.utility import xl_col_to_name, xl_range

from postcgrp.reports.forecast.colours import ACCENT, CONTRAST
from postcgrp.reports.valuation.cashflow import Array
from postcgrp.reports.workbook.cells import SOFT, Book, Page, chart, here, series
from postcgrp.reports.workbook.content import Content
from postcgrp.reports.workbook.input_sheets import weight_row
from postcgrp.reports.workbook.layout import (
    BY_DRAW_SHEET,
    DRAWS_SHEET,
    FIRST_DRAW,
    FIRST_END,
    HEADER_ROW,
    IDS,
    INPUTS_SHEET,
    MONEY0,
    PATH_NAMES,
    PATHS_HEADER,
    PATHS_SHEET,
    PICKER_SHEET,
    PRINTED,
    WEIGHT_ROW,
    YEAR0,
    block,
    cash,
    draw_row,
    path_row,
    path_stat_row,
    spent,
    yearly,
)
from postcgrp.reports.workbook.live_model import PATH_LEVELS, CashRows

DRAW_WIDTH = 16  # of a column of draws, in characters


def by_draw_sheet(book: Book, c: Content) -> None:
    """Flows and value of every draw, of every way to fail and of the paths, in the same columns."""
    page = book.page(BY_DRAW_SHEET, SOFT)
    n, count, m = len(c.years), len(c.revenue), c.numbers
    page.widths(28, 14, 14, 14)
    page.sheet.set_column(MONEY0, MONEY0 + 4 * n - 1, 10)
    page.title(
        "Value of every joint draw",
        f"{c.money}. A row is one possible world; “NPV” is that of its way to end, “rNPV” has the phases averaged out.",
        "The value of a percentile path is not that percentile of value: years are not all low in one world.",
    )
    page.heads(4, "Draw", "NPV", "rNPV", "Terminal value")
    for b, label in enumerate(("Net sales", "Profit before tax", "Losses carried forward", "Cash flow after tax")):
        page.text(3, MONEY0 + b * n, label, "section")
        page.line(4, MONEY0 + b * n, c.years, "head year")
    page.sheet.freeze_panes(FIRST_END, 1)
    page.sheet.print_area(0, 0, draw_row(c) + PRINTED, MONEY0 + 4 * n - 1)
    page.sheet.repeat_rows(3, 4)
    for k, (name, _) in enumerate(c.model.phases):
        page.text(FIRST_END + k, 0, f"{name} fails")
        for j in range(n):
            page.number(FIRST_END + k, MONEY0 + j, 0.0, "value")
        _money(page, c, FIRST_END + k, m.ends, k, end=k)
    first, top = draw_row(c), path_row(c)
    risked = m.risked(c.model, m.paths)
    for k, name in enumerate(PATH_NAMES):
        page.text(top + k, 0, name)
        for j in range(n):
            column = xl_range(first, MONEY0 + j, first + count - 1, MONEY0 + j)
            formula = (
                f"INDEX({column},draw_row)", f"AVERAGE({column})", *(f"PERCENTILE({column},{q})" for q in PATH_LEVELS)
            )[k]  # fmt: skip
            page.formula(top + k, MONEY0 + j, formula, m.paths.sales[k, j], "value")
        _money(page, c, top + k, m.paths, k, end=-1, risked=risked)
    page.text(first - 1, 0, "Every draw", "section")
    risked = m.risked(c.model, m.draws)
    weights = [block(c, j, WEIGHT_ROW, row_abs=True) for j in range(n)]
    for k, number in enumerate(c.kept.data["draw"].values):
        page.number(first + k, 0, number, "year")
        for j in range(n):
            segments = f"'{DRAWS_SHEET}'!{block(c, j, FIRST_DRAW + k)}"
            formula = f"SUMPRODUCT({segments},'{DRAWS_SHEET}'!{weights[j]})*{cash('share', j)}"
            page.formula(first + k, MONEY0 + j, formula, m.draws.sales[k, j], "value")
        _money(page, c, first + k, m.draws, k, end=-1, risked=risked)
    for name, column in (("draw_npv", 1), ("draw_rnpv", 2)):
        book.define(name, page.span(first, column, first + count - 1, column))
    book.define("end_npv", page.span(FIRST_END, 1, FIRST_END + len(c.model.phases) - 1, 1))


def _money(page: Page, c: Content, row: int, rows: CashRows, k: int, *, end: int, risked: Array | None = None) -> None:
    """Write profit, losses, flow and value of one row from its net sales, with the costs of one way to `end`."""
    n = len(c.years)
    sales, profit, losses, flow = ([here(row, MONEY0 + b * n + j) for j in range(n)] for b in range(4))
    for j in range(n):
        earlier = losses[j - 1] if j else "0"
        page.formula(
            row,
            MONEY0 + n + j,
            f"SUMPRODUCT(({sales[j]}>tier_above)*({sales[j]}-tier_above)*tier_step)*{cash('part', j)}"
            f"-{spent(c, end, j)}-{spent(c, end, j, milestone=True)}",
            rows.profit[k, j],
            "value",
        )
        page.formula(
            row,
            MONEY0 + 2 * n + j,
            f'IF(loss_rule="carried forward",IF({profit[j]}<0,{earlier}-{profit[j]},{earlier}-MIN({earlier},'
            f"loss_limit*{profit[j]})),0)",
            rows.losses[k, j],
            "value",
        )
        page.formula(
            row,
            MONEY0 + 3 * n + j,
            f'{profit[j]}-tax_rate*IF(loss_rule="relieved at once",{profit[j]},MAX({profit[j]},0)-MAX({earlier}-'
            f"{losses[j]},0))-working_capital*({sales[j]}*{cash('kept', j)}-{sales[j - 1] if j else '0'})",
            rows.flow[k, j],
            "value",
        )
    last = n - 1
    page.formula(
        row,
        1,
        f"SUMPRODUCT({flow[0]}:{flow[-1]},discount_factors)-upfront+{here(row, 3)}*{cash('discount', last)}",
        rows.npv[k],
        "value",
    )
    if risked is not None:
        page.formula(row, 2, f"p_success*{here(row, 1)}+failed_value", risked[k], "value")
    page.formula(
        row,
        3,
        f"MAX(({profit[last]}+{spent(c, end, last, milestone=True)})/{cash('part', last)}*(1-tax_rate)"
        f"*terminal_factor-terminal_tied*{sales[last]},0)",
        rows.terminal[k],
        "value",
    )


def draws_sheet(book: Book, c: Content) -> None:
    """The joint draws: one row per draw, one column per year and segment."""
    page = book.page(DRAWS_SHEET, SOFT)
    page.sheet.set_column(0, IDS - 1, 10)
    page.sheet.set_column(IDS, IDS + len(c.years) * len(c.cut) - 1, DRAW_WIDTH)
    thinning = c.kept.header["thinning"]
    page.title(
        "The joint draws of revenue",
        f"{c.money} a year. A row is one possible world: never mix draws. {thinning['kept']} of the run's "
        f"{thinning['of']} draws ({thinning['method']}).",
        "Draw numbers are those of postcgrp export. Captured weights come from the inputs.",
    )
    labels = {WEIGHT_ROW: "captured", 5: "modality", 6: "region", 7: "depth"}
    for row, label in labels.items():
        page.text(row, 0, label, "line")
    page.line(HEADER_ROW, 0, (".draw", ".chain", ".iteration"), "head right")
    every, longest = c.pset.ledger.segments["depth"], ""
    for j, year in enumerate(c.years):
        for k, s in enumerate(c.cut):
            at = IDS + j * len(c.cut) + k
            page.formula(WEIGHT_ROW, at, f"'{INPUTS_SHEET}'!$B${weight_row(c) + k + 1}", s.weight, "line")
            page.text(5, at, s.modality, "line")
            page.text(6, at, s.region, "line")
            page.text(7, at, "all" if s.depths == every else " and ".join(s.depths), "line")
            where = ",".join([str(year), s.modality, s.region, *([] if s.depths == every else s.depths)])
            page.text(HEADER_ROW, at, name := f"revenue[{where}]", "head right")
            longest = max(longest, name, key=len)
    page.height(HEADER_ROW, (longest, DRAW_WIDTH - 2))  # less two: bold is wider, and lines break only at blanks
    page.sheet.freeze_panes(FIRST_DRAW, IDS)
    page.sheet.print_area(0, 0, FIRST_DRAW + PRINTED, IDS + len(c.cut) - 1)
    page.sheet.repeat_rows(HEADER_ROW)
    ids = np.stack([c.kept.data[name].values for name in ("draw", "chain", "iteration")], axis=1)
    flat = c.revenue.reshape(len(c.revenue), -1)
    for k, (numbers, values) in enumerate(zip(ids, flat, strict=True)):
        page.line(FIRST_DRAW + k, 0, numbers.tolist(), "year")
        page.line(FIRST_DRAW + k, IDS, values.tolist(), "value")
    book.define("draw_ids", page.span(FIRST_DRAW, 0, FIRST_DRAW + len(ids) - 1, 0))


def picker_sheet(book: Book, c: Content) -> None:
    """A cell for a draw's number, and that draw's paths by modality, region and segment."""
    page = book.page(PICKER_SHEET, CONTRAST)
    n, count, picked = len(c.years), len(c.revenue), c.numbers.picked
    page.widths(4, 4, 56)
    page.sheet.set_column(YEAR0, YEAR0 + n - 1, 11)
    ids = c.kept.data["draw"].values
    page.title("One possible world: the paths of a single joint draw")
    page.text(2, 2, f"Type a draw number ({ids[0]} to {ids[-1]})", "bold")
    page.number(2, YEAR0, ids[picked], "typed id")
    page.sheet.set_row(2, 22)
    message = f"Type the number of a draw on “{DRAWS_SHEET}”: {ids[0]} to {ids[-1]}."
    page.sheet.data_validation(2, YEAR0, 2, YEAR0, {"validate": "list", "source": "=draw_ids", "ignore_blank": False,
                               "error_title": "No such draw", "error_message": message})  # fmt: skip
    book.define("draw_id", page.at(2, YEAR0))
    page.text(3, 2, "its place among the draws", "line")
    page.formula(3, YEAR0, "MATCH(draw_id,draw_ids,0)", picked + 1, "year")
    book.define("draw_row", page.at(3, YEAR0))
    page.text(4, 2, "its rNPV; its NPV if all succeeds", "line")
    row = path_row(c) + 1
    page.formula(4, YEAR0, f"'{BY_DRAW_SHEET}'!C{row}", c.numbers.risked(c.model, c.numbers.paths)[0], "value")
    page.formula(4, YEAR0 + 1, f"'{BY_DRAW_SHEET}'!B{row}", c.numbers.paths.npv[0], "value")
    page.formula(5, 2, '"draw "&draw_id', f"draw {ids[picked]}", "line")
    page.line(6, 2, (f"Revenue, {c.money} a year",), "head")
    page.line(6, YEAR0, c.years, "head year")
    labels = {dim: c.pset.ledger.segments[dim] for dim in ("modality", "region")}
    first = 8 + sum(len(names) for names in labels.values()) + 2
    last = first + len(c.cut) - 1
    revenue = c.revenue[picked]
    page.text(7, 2, "Total", "bold")
    for j in range(n):
        page.formula(
            7, YEAR0 + j, f"SUM({xl_range(first, YEAR0 + j, last, YEAR0 + j)})", revenue[j].sum(), "bold money"
        )
    at = 8
    for column, (dim, names) in enumerate(labels.items()):
        for k, name in enumerate(names):
            page.number(at, column, k + 1, "grey")
            page.text(at, 2, c.labels[dim, name])
            members = np.array([getattr(s, dim) == name for s in c.cut])
            for j in range(n):
                numbers, parts = (xl_range(first, at_column, last, at_column) for at_column in (column, YEAR0 + j))
                formula = f"SUMPRODUCT(({numbers}={here(at, column)})*{parts})"
                page.formula(at, YEAR0 + j, formula, revenue[j] @ members, "money")
            at += 1
    page.text(first - 1, 2, "Segments", "section")
    for k, s in enumerate(c.cut):
        page.number(first + k, 0, labels["modality"].index(s.modality) + 1, "grey")
        page.number(first + k, 1, labels["region"].index(s.region) + 1, "grey")
        page.text(first + k, 2, c.named(s))
        for j in range(n):
            column = xl_col_to_name(IDS + j * len(c.cut) + k)
            source = f"'{DRAWS_SHEET}'!{column}${FIRST_DRAW + 1}:{column}${FIRST_DRAW + count}"
            page.formula(first + k, YEAR0 + j, f"INDEX({source},draw_row)", revenue[j, k], "value")
    page.sheet.freeze_panes(7, YEAR0)
    _overlay(page, c, last + 2)


def _overlay(page: Page, c: Content, row: int) -> None:
    """The picked draw over the percentiles of all draws."""
    overlay = chart(page, {"type": "line"}, f"Total revenue: the picked draw among all ({c.money})",
                 ("year", c.money), (900, 340))  # fmt: skip
    for name, colour, width in (("5 %", "#9db8d6", 1.25), ("50 %", ACCENT, 1.75), ("95 %", "#9db8d6", 1.25)):
        at = path_stat_row(0, name)
        look = {"color": colour, "width": width}
        overlay.add_series(
            series([PATHS_SHEET, at, 2], yearly(c, PATHS_SHEET, PATHS_HEADER), yearly(c, PATHS_SHEET, at), line=look)
        )
    look = {"color": CONTRAST, "width": 2.5}
    overlay.add_series(series([PICKER_SHEET, 5, 2], yearly(c, PICKER_SHEET, 6), yearly(c, PICKER_SHEET, 7), line=look))
    page.sheet.insert_chart(row, 2, overlay)
