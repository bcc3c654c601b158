"""The sheets of inputs and of cash flow: what the user may change, and what that means for each year."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from xlsxwriter.utility import xl_col_to_name, xl_range

from postcgrp.reports.forecast.colours import ACCENT
from postcgrp.reports.valuation import cashflow
from postcgrp.reports.workbook.cells import Book, Page, here
from postcgrp.reports.workbook.content import Content
from postcgrp.reports.workbook.layout import (
    BY_DRAW_SHEET,
    CASH_SHEET,
    FIRST_COST,
    FIRST_INPUT,
    FIRST_TIME,
    INPUTS_SHEET,
    MONEY0,
    PICKER_SHEET,
    TIMES,
    YEAR0,
    cash,
    path_row,
    spent,
)
from postcgrp.reports.workbook.live_model import (
    SAME_RATE,
    TERMINAL_GROWTH,
    TERMINAL_MULTIPLE,
    TERMINAL_NONE,
    as_stated,
    terminal_factor,
    terminal_tied,
)


@dataclass(frozen=True)
class InputCell:
    """A cell with one input: its name, its label, its path in a deal, its unit and its style.

    `allowed`, what may be typed, as XlsxWriter takes it; empty for the valuation date, which depends on the run.
    """

    name: str
    label: str
    path: str
    unit: str
    style: str
    allowed: dict[str, Any]


def _between(low: float, high: float, message: str) -> dict[str, Any]:
    return {
        "validate": "decimal",
        "criteria": "between",
        "minimum": low,
        "maximum": high,
        "error_title": "Not allowed here",
        "error_message": message,
    }


def _one_of(*choices: str) -> dict[str, Any]:
    return {"validate": "list", "source": list(choices)}


def _window(c: Content) -> dict[str, Any]:
    """Any day of the run's years."""
    first, last = date(c.years[0], 1, 1), date(c.years[-1], 12, 31)
    message = f"Type a date from {first} to {last}: the run holds no other years."
    return {**_between(0, 0, message), "validate": "date", "minimum": first, "maximum": last}


A_FRACTION = _between(0, 1, "Type a fraction between 0 and 1, or a percentage.")
A_YEAR = _between(1900, 2200, "Type a calendar year such as 2029 or 2029.5.")
SOME_YEARS = _between(0, 50, "Type a number of years.")
AN_AMOUNT = _between(0, 1e9, "Type a positive amount in millions.")
SINGLE_INPUTS = (
    InputCell("discount_rate", "Discount rate", "discounting.rate", "a year", "typed percent",
              _between(0, 0.9, "Type 0.12 or 12 % for twelve per cent.")),
    InputCell("valuation_date", "Valuation date", "discounting.valuation_date", "", "typed date", {}),
    InputCell("convention", "Flows are due at this point of the year", "discounting.convention", "", "typed choice",
              _one_of("start", "mid", "end")),
    InputCell("day_count", "Time is counted in", "discounting.day_count", "", "typed choice",
              _one_of("years", "actual/365")),
    InputCell("peak_share", "Peak share of the captured revenue", "captured.peak_share", "fraction", "typed percent",
              A_FRACTION),
    InputCell("launch_year", "Launch", "captured.launch_year", "year", "typed year", A_YEAR),
    InputCell("ramp_years", "Ramp from nothing to the peak", "captured.ramp_years", "years", "typed decimal",
              SOME_YEARS),
    InputCell("loss_of_exclusivity", "Loss of exclusivity (blank: never)", "captured.loss_of_exclusivity", "year",
              "typed year", A_YEAR),
    InputCell("share_kept", "Part of the share kept after it", "captured.share_kept", "fraction", "typed percent",
              A_FRACTION),
    InputCell("net_share", "Net sales per unit of market spend", "captured.net", "fraction", "typed percent",
              A_FRACTION),
    InputCell("upfront", "Upfront paid on the valuation date", "economics.upfront", "million", "typed money",
              AN_AMOUNT),
    InputCell("working_capital", "Working capital per unit of net sales", "economics.working_capital", "fraction",
              "typed percent", A_FRACTION),
    InputCell("tax_rate", "Tax rate", "economics.tax_rate", "fraction", "typed percent", A_FRACTION),
    InputCell("loss_rule", "A year's loss is", "economics.losses", "", "typed choice",
              _one_of("carried forward", "relieved at once", "lost")),
    InputCell("loss_limit", "Most of a year's profit that old losses take", "economics.loss_limit", "fraction",
              "typed percent", A_FRACTION),
    InputCell("terminal_kind", "Beyond the last year (an assumption)", "terminal", "", "typed choice",
              _one_of(TERMINAL_NONE, TERMINAL_GROWTH, TERMINAL_MULTIPLE)),
    InputCell("terminal_growth", "  growth of the last year's flow", "terminal.growth", "a year", "typed percent",
              _between(-0.9, 0.5, "Type a yearly rate such as -5 %.")),
    InputCell("terminal_years", "  for this many years (blank: for ever)", "terminal.years", "years", "typed decimal",
              SOME_YEARS),
    InputCell("terminal_multiple", "  or a multiple of it", "terminal.multiple", "", "typed decimal", SOME_YEARS),
)  # fmt: skip
SPARE_TIERS = 2
STATED_WIDTH, SOURCE_WIDTH = 34, 80


def tiers(c: Content) -> list[tuple[float, float]]:
    """The tiers of income, and spare ones that begin beyond any sales."""
    return [*c.model.tiers, *[(1e9, c.model.tiers[-1][1])] * SPARE_TIERS]


def weight_row(c: Content) -> int:
    """First row of the segments' weights among the inputs."""
    return FIRST_INPUT + len(SINGLE_INPUTS) + 3 + len(tiers(c)) + 3 + len(c.model.phases) + 4


def inputs_sheet(book: Book, c: Content) -> None:
    """What the user may change, blue on yellow."""
    page = book.page(INPUTS_SHEET, ACCENT)
    page.widths(56, 16, 16, STATED_WIDTH, SOURCE_WIDTH, 22)
    page.title("Inputs of the live model: type over what is blue on yellow; every value follows")
    named = (
        "No deal was given: the inputs are neutral." if c.full is None else f"Filled in from the deal “{c.deal.name}”."
    )
    page.text(1, 0, f"{named} Money is in {c.money}. The costs of each year are on “{CASH_SHEET}”.", "line")
    missing = "; ".join(c.left_out) or "nothing of it"
    page.sheet.merge_range(2, 0, 2, 4, "", book.format("note"))
    page.text(2, 0, f"Left out of the live model: {missing}. Costs and milestones stand in the years that the inputs "
              "first gave them: move them there if you move the launch.", "note")  # fmt: skip
    page.sheet.set_row(2, 64)
    page.sheet.freeze_panes(FIRST_INPUT, 1)
    row = FIRST_INPUT
    page.line(row - 1, 0, ("Input", "Value", "Unit", "As the deal states it", "Source", "Name in formulas"), "head")
    for cell in SINGLE_INPUTS:
        value = c.model.x[cell.name]
        page.text(row, 0, cell.label)
        page.put(row, 1, value, cell.style)
        page.text(row, 2, c.money if cell.unit == "million" else cell.unit, "unit")
        page.text(row, 3, given := as_stated(c.deal, cell.path), "wrap")
        known = cell.path in c.deal.inputs and given != ""
        page.text(row, 4, source := c.deal.source(cell.path) if known else "", "wrap")
        page.height(row, (given, STATED_WIDTH - 2), (source, SOURCE_WIDTH))
        page.text(row, 5, cell.name, "line")
        allowed = cell.allowed or _window(c)
        page.sheet.data_validation(row, 1, row, 1, {"ignore_blank": True, **allowed})
        book.define(cell.name, page.at(row, 1))
        row += 1
    row = _tiers(book, page, c, row + 1)
    row = _phases(book, page, c, row + 1)
    _weights(page, c, row + 1)
    page.sheet.repeat_rows(FIRST_INPUT - 1)


def _tiers(book: Book, page: Page, c: Content, row: int) -> int:
    page.text(row, 0, "Income on yearly net sales (a margin is one tier from 0)", "section")
    page.line(row + 1, 0, ("Tier", "Net sales above", "Rate on them", "Step from the tier before"), "head")
    first, before = row + 2, 0.0
    for k, (above, rate) in enumerate(tiers(c)):
        at = first + k
        page.text(at, 0, f"Tier {k + 1}" if k < len(c.model.tiers) else f"Tier {k + 1} (spare: lower its level)")
        page.number(at, 1, above, "typed money")
        page.number(at, 2, rate, "typed percent")
        page.formula(at, 3, here(at, 2) + (f"-{here(at - 1, 2)}" if k else ""), rate - before, "factor")
        before = rate
    last = first + len(tiers(c)) - 1
    for name, column in (("tier_above", 1), ("tier_step", 3)):
        book.define(name, page.span(first, column, last, column))
    return last + 1


def _phases(book: Book, page: Page, c: Content, row: int) -> int:
    page.text(row, 0, "Technical risk: phases in order", "section")
    page.line(row + 1, 0, ("Phase", "Probability of success", "Ends here", "As the deal states it", "Source"), "head")
    first, probability = row + 2, c.model.probability
    for k, (name, chance) in enumerate(c.model.phases):
        at, path = first + k, f"risk.phase.{name}.probability"
        page.text(at, 0, name)
        page.number(at, 1, chance, "typed percent")
        page.sheet.data_validation(at, 1, at, 1, _between(1e-9, 1, "Type a probability above 0 and up to 1."))
        taken = f"PRODUCT({here(first, 1)}:{here(at - 1, 1)})*" if k else ""
        page.formula(at, 2, f"{taken}(1-{here(at, 1)})", probability[k], "percent")
        page.text(at, 3, given := as_stated(c.deal, path), "wrap")
        page.text(at, 4, source := c.deal.source(path) if path in c.deal.inputs else "", "wrap")
        page.height(at, (given, STATED_WIDTH - 2), (source, SOURCE_WIDTH))
    at = first + len(c.model.phases)
    page.text(at, 0, "All of them taken", "bold")
    page.formula(at, 2, f"PRODUCT({xl_range(first, 1, at - 1, 1)})", probability[-1], "percent")
    book.define("end_probability", page.span(first, 2, at - 1, 2))
    book.define("p_success", page.at(at, 2))
    return at + 1


def _weights(page: Page, c: Content, row: int) -> None:
    page.text(
        row, 0, "Captured segments: 1 all, 0 nothing, or a part; the share above is of what is captured", "section"
    )
    page.line(row + 1, 0, ("Segment", "Captured"), "head")
    for k, segment in enumerate(c.cut):
        page.text(weight_row(c) + k, 0, c.named(segment))
        page.number(weight_row(c) + k, 1, segment.weight, "typed general")
        page.sheet.data_validation(weight_row(c) + k, 1, weight_row(c) + k, 1, A_FRACTION)


def cash_flow_sheet(book: Book, c: Content) -> None:
    """What the inputs mean for each year, what is spent in each way to end, and the picked draw line by line."""
    page = book.page(CASH_SHEET, ACCENT)
    n, x = len(c.years), c.model.x
    page.widths(46, 14, 2)
    page.sheet.set_column(YEAR0, YEAR0 + n - 1, 11)
    page.title(
        "Cash flow, year by year",
        f"{c.money}; costs are blue on yellow: type over them. The draw is picked on “{PICKER_SHEET}”.",
    )
    page.sheet.freeze_panes(FIRST_TIME - 1, YEAR0)
    page.line(FIRST_TIME - 2, YEAR0, c.years, "head year")
    page.text(FIRST_TIME - 2, 0, "Year", "head")
    page.text(FIRST_TIME - 1, 0, "What the inputs mean for each year", "section")
    _timeline(page, c)
    factors = FIRST_TIME + TIMES.index("discount")
    book.define("discount_factors", page.span(factors, YEAR0, factors, YEAR0 + n - 1))
    at = FIRST_TIME + len(TIMES)
    page.text(at, 0, "Valuation date as a year")
    day = "valuation_date"
    page.formula(at, 1, f"YEAR({day})+({day}-DATE(YEAR({day}),1,1))/(DATE(YEAR({day})+1,1,1)-DATE(YEAR({day}),1,1))",
                 cashflow.year_fraction(x["valuation_date"]), "decimal")  # fmt: skip
    book.define("valued", page.at(at, 1))
    at += 1
    page.text(at, 0, "Terminal value per unit of the last flow after tax")
    growing = (
        'IF(terminal_years="",IF(discount_rate>terminal_growth,(1+terminal_growth)/(discount_rate-terminal_growth),NA()),'
        f"IF(ABS(discount_rate-terminal_growth)<{SAME_RATE},terminal_years,(1+terminal_growth)/(discount_rate-"
        "terminal_growth)*(1-((1+terminal_growth)/(1+discount_rate))^terminal_years)))"
    )  # fmt: skip
    multiple = f'IF(terminal_kind="{TERMINAL_MULTIPLE}",terminal_multiple,0)'
    factor = f'IF(terminal_kind="{TERMINAL_GROWTH}",{growing},{multiple})'
    page.formula(at, 1, factor, terminal_factor(c.model), "factor")
    book.define("terminal_factor", page.at(at, 1))
    at += 1
    page.text(at, 0, "Terminal value of the working capital tied up, per unit of the last net sales")
    freed = 'IF(terminal_years="",0,((1+terminal_growth)/(1+discount_rate))^terminal_years)'
    tied = f"working_capital*(terminal_growth/(1+terminal_growth)*terminal_factor-{freed})"
    page.formula(at, 1, f'IF(terminal_kind="{TERMINAL_GROWTH}",{tied},0)', terminal_tied(c.model), "factor")
    book.define("terminal_tied", page.at(at, 1))
    at = FIRST_COST
    page.text(at - 1, 0, "Costs, and milestones paid (received: negative)", "section")
    ends = [*(f"if {name} fails" for name, _ in c.model.phases), "if all succeeds"]
    for k, end in enumerate(ends):
        for step, (label, rows) in enumerate((("Costs", c.model.costs), ("Milestones", c.model.milestones))):
            page.text(at + 2 * k + step, 0, f"{label} {end}")
            page.line(at + 2 * k + step, YEAR0, rows[k], "typed money")
    _picked(page, c, at + 2 * len(ends) + 1)
    page.sheet.repeat_rows(FIRST_TIME - 2)


def _timeline(page: Page, c: Content) -> None:
    line, first = c.numbers.line, FIRST_TIME
    labels = ("Counted from", "Counted until", "Part of the year counted", "Share-years up to its start",
              "Share-years up to its end", "Share-years up to the loss of exclusivity",
              "Net sales per unit of captured revenue", "Years to its flow", "Discount factor",
              "Working capital stays tied up")  # fmt: skip
    for k, (name, label) in enumerate(zip(TIMES, labels, strict=True)):
        page.text(first + k, 0, label)
        for j in range(len(c.years)):
            lower, upper, part, begun, grown, lost, _, times, *_ = (here(first + i, YEAR0 + j) for i in range(10))
            year = here(FIRST_TIME - 2, YEAR0 + j)
            start = f"MAX(DATE({year},1,1),valuation_date)"
            middle = f"{start}+INT((DATE({year}+1,1,1)-{start})/2)"
            held = f"{grown}-{begun}-(1-share_kept)*({grown}-{lost})"
            formula = {
                "lower": f"MAX({year},valued)",
                "upper": f"{year}+1",
                "part": f"MAX({upper}-{lower},0)",
                "begun": _ramp(lower),
                "grown": _ramp(upper),
                "lost": f'IF(loss_of_exclusivity="",{grown},{_ramp(f"MIN(MAX(loss_of_exclusivity,{lower}),{upper})")})',
                "share": f"IF({part}=0,0,peak_share*({held})/{part}*net_share)",
                "times": (
                    f'IF({part}=0,0,IF(day_count="years",IF(convention="start",{lower},IF(convention="mid",'
                    f'({lower}+{upper})/2,{upper}))-valued,(IF(convention="start",{start},IF(convention="mid",'
                    f"{middle},DATE({year},12,31)))-valuation_date)/{cashflow.DAYS_PER_YEAR}))"
                ),
                "discount": f"IF({part}=0,0,(1+discount_rate)^(-{times}))",
                "kept": f'IF(terminal_kind="{TERMINAL_GROWTH}",1,0)' if j == len(c.years) - 1 else "1",
            }[name]
            style = "year" if name == "kept" else "decimal" if name in ("lower", "upper", "part", "times") else "factor"
            page.formula(first + k, YEAR0 + j, formula, getattr(line, name)[j], style)


def _ramp(until: str) -> str:
    """Integral of the ramp up to a time, as :func:`postcgrp.reports.valuation.cashflow.ramp` has it."""
    since = f"MAX({until}-launch_year,0)"
    rising = f"MIN({since},ramp_years)"
    return f"IF(ramp_years>0,{rising}^2/(2*ramp_years),0)+{since}-{rising}"


def _picked(page: Page, c: Content, first: int) -> None:
    """The picked draw if every phase succeeds, from its row among the paths."""
    rows, line, n = c.numbers.paths, c.numbers.line, len(c.years)
    page.text(first, 0, "The picked draw, if all succeeds", "section")
    at = path_row(c) + 1
    income = rows.profit[0] + c.model.costs[-1] + c.model.milestones[-1]
    before = np.concatenate([[0.0], rows.losses[0, :-1]])
    used = np.maximum(before - rows.losses[0], 0)
    relieved = c.model.x["loss_rule"] == "relieved at once"
    tax = c.model.x["tax_rate"] * (rows.profit[0] if relieved else np.maximum(rows.profit[0], 0) - used)
    sales_before = np.concatenate([[0.0], rows.sales[0, :-1]])
    tied = c.model.x["working_capital"] * (rows.sales[0] * line.kept - sales_before)
    labels = ("Net sales", "Income", "Costs", "Milestones", "Profit", "Losses carried forward", "Tax",
              "Into working capital", "Cash flow", "Present value")  # fmt: skip
    values = (rows.sales[0], income, -c.model.costs[-1], -c.model.milestones[-1], rows.profit[0], rows.losses[0],
              -tax, -tied, rows.flow[0], rows.flow[0] * line.discount)  # fmt: skip
    for k, (label, numbers) in enumerate(zip(labels, values, strict=True)):
        page.text(first + 1 + k, 0, label, "bold" if label in ("Cash flow", "Present value") else "")
        for j in range(n):
            sales, profit, losses, _ = (f"'{BY_DRAW_SHEET}'!{xl_col_to_name(MONEY0 + b * n + j)}{at}" for b in range(4))
            last_sales, last_losses = (
                f"'{BY_DRAW_SHEET}'!{xl_col_to_name(MONEY0 + b * n + j - 1)}{at}" if j else "0" for b in (0, 2)
            )
            rest = [here(first + 1 + i, YEAR0 + j) for i in range(len(labels))]
            formula = (
                sales,
                f"SUMPRODUCT(({rest[0]}>tier_above)*({rest[0]}-tier_above)*tier_step)*{cash('part', j)}",
                f"-{spent(c, -1, j)}",
                f"-{spent(c, -1, j, milestone=True)}",
                f"{rest[1]}+{rest[2]}+{rest[3]}",
                losses,
                f'-tax_rate*IF(loss_rule="relieved at once",{profit},MAX({profit},0)-MAX({last_losses}-{losses},0))',
                f"-working_capital*({sales}*{cash('kept', j)}-{last_sales})",
                f"{rest[4]}+{rest[6]}+{rest[7]}",
                f"{rest[8]}*{cash('discount', j)}",
            )[k]
            page.formula(first + 1 + k, YEAR0 + j, formula, numbers[j], "value")
    at = first + len(labels) + 2
    flows = xl_range(at - 2, YEAR0, at - 2, YEAR0 + n - 1)
    beyond = rows.terminal[0] * line.discount[-1]
    sums = (
        ("Present value of the flows", f"SUM({flows})", float((rows.flow[0] * line.discount).sum())),
        (
            "Beyond the last year (assumption)",
            f"'{BY_DRAW_SHEET}'!D{path_row(c) + 1}*{cash('discount', n - 1)}",
            beyond,
        ),
        ("Upfront", "-upfront", -c.model.x["upfront"]),
        ("NPV if all succeeds", f"SUM({xl_range(at, 1, at + 2, 1)})", rows.npv[0]),
        ("NPV, phases averaged out", f"'{BY_DRAW_SHEET}'!C{path_row(c) + 1}", c.numbers.risked(c.model, rows)[0]),
    )
    for k, (label, formula, value) in enumerate(sums):
        page.text(at + k, 0, label, "bold" if k > 2 else "")  # noqa: PLR2004
        page.formula(at + k, 1, formula, value, "bold value" if k > 2 else "value")  # noqa: PLR2004
