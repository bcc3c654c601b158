"""Where things are in the workbook: names of sheets, rows, columns, and references to them."""

from __future__ import annotations

from xlsxwriter.utility import xl_col_to_name

from postcgrp.reports.workbook.content import Content, level_text
from postcgrp.reports.workbook.live_model import LEVELS

INPUTS_SHEET, PICKER, CASH, BY_DRAW, DRAWS_SHEET, PATHS = (
    "Inputs",
    "Draw picker",
    "Cash flow",
    "NPV by draw",
    "Draws",
    "Paths",
)
PATH_NAMES = ("picked draw", "mean of each year", *(f"{level_text(level)} of each year" for level in LEVELS))
FIRST_INPUT = 6
YEAR0 = 3  # first column of a year, on all sheets with years across
TIMES = ("lower", "upper", "part", "begun", "grown", "lost", "share", "times", "discount", "kept")
FIRST_TIME, FIRST_COST = 5, 20
PRINTED = 40  # draws on paper, to show what is there
IDS = 3  # columns of draw numbers on the sheet of draws
WEIGHT_ROW, HEADER_ROW, FIRST_DRAW = 4, 8, 9
MONEY0 = 4  # first year's column on the sheet of values by draw
FIRST_END = 5
PATHS_HEADER = 4
STATISTICS = ("mean", *(level_text(level) for level in LEVELS))


def cash(row: str, j: int) -> str:
    """Reference to a yearly row of the cash-flow sheet."""
    return f"'{CASH}'!{xl_col_to_name(YEAR0 + j)}${FIRST_TIME + TIMES.index(row) + 1}"


def spent(c: Content, end: int, j: int, *, milestone: bool = False) -> str:
    """Reference to what is paid in a year in one way to end; the last is success."""
    return f"'{CASH}'!{xl_col_to_name(YEAR0 + j)}${FIRST_COST + 2 * (end % len(c.model.costs)) + milestone + 1}"


def yearly(c: Content, sheet: str, row: int) -> list[str | int]:
    """A row of years as charts take it."""
    return [sheet, row, YEAR0, row, YEAR0 + len(c.years) - 1]


def path_row(c: Content) -> int:
    """Row of the picked draw on the sheet of values by draw; the other paths follow."""
    return FIRST_END + len(c.model.phases)


def draw_row(c: Content) -> int:
    """Row of the first draw there."""
    return path_row(c) + len(PATH_NAMES) + 1


def block(c: Content, j: int, row: int, *, row_abs: bool = False) -> str:
    """The segments of a year in a row of the sheet of draws."""
    first, last = (xl_col_to_name(IDS + j * len(c.cut) + k) for k in (0, len(c.cut) - 1))
    number = f"${row + 1}" if row_abs else f"{row + 1}"
    return f"{first}{number}:{last}{number}"


def path_stat_row(group: int, statistic: str) -> int:
    """Row of a statistic of a group on the sheet of percentile paths."""
    return PATHS_HEADER + 1 + group * len(STATISTICS) + STATISTICS.index(statistic)
