"""Where things are in the workbook: names of sheets, rows, columns, and references to cells."""

from __future__ import annotations

from xlsxwriter.utility import xl_col_to_name

from postcgrp.reports.workbook.content import Content, level_text
from postcgrp.reports.workbook.live_model import PATH_LEVELS

INPUTS_SHEET, PICKER_SHEET, CASH_SHEET, BY_DRAW_SHEET, DRAWS_SHEET, PATHS_SHEET = (
    "Inputs",
    "Draw picker",
    "Cash flow",
    "NPV by draw",
    "Draws",
    "Paths",
)
PATH_NAMES = ("picked draw", "mean of each year", *(f"{level_text(level)} of each year" for level in PATH_LEVELS))
FIRST_INPUT = 6
YEAR0 = 3  # column of the first year, on every sheet that has a column per year
TIMES = ("lower", "upper", "part", "begun", "grown", "lost", "share", "times", "discount", "kept")
FIRST_TIME, FIRST_COST = 5, 20
PRINTED = 40  # draws that are printed, as a sample
IDS = 3  # columns of ids before the values on the sheet of draws
WEIGHT_ROW, HEADER_ROW, FIRST_DRAW = 4, 8, 9
MONEY0 = 4  # column of the first year on the sheet of values by draw
FIRST_END = 5
PATHS_HEADER = 4
STATISTICS = ("mean", *(level_text(level) for level in PATH_LEVELS))


def cash(row: str, j: int) -> str:
    """Reference to year `j` in a row of the cash-flow sheet."""
    return f"'{CASH_SHEET}'!{xl_col_to_name(YEAR0 + j)}${FIRST_TIME + TIMES.index(row) + 1}"


def spent(c: Content, end: int, j: int, *, milestone: bool = False) -> str:
    """Reference to what is paid in year `j` if the deal ends in this way; the last way is success."""
    return f"'{CASH_SHEET}'!{xl_col_to_name(YEAR0 + j)}${FIRST_COST + 2 * (end % len(c.model.costs)) + milestone + 1}"


def yearly(c: Content, sheet: str, row: int) -> list[str | int]:
    """All years of a row, as a range for a chart."""
    return [sheet, row, YEAR0, row, YEAR0 + len(c.years) - 1]


def path_row(c: Content) -> int:
    """Row of the picked draw on the sheet of values by draw, above the other paths."""
    return FIRST_END + len(c.model.phases)


def draw_row(c: Content) -> int:
    """Row of the first draw on that sheet."""
    return path_row(c) + len(PATH_NAMES) + 1


def block(c: Content, j: int, row: int, *, row_abs: bool = False) -> str:
    """Reference to all segments of year `j` in a row of the sheet of draws."""
    first, last = (xl_col_to_name(IDS + j * len(c.cut) + k) for k in (0, len(c.cut) - 1))
    number = f"${row + 1}" if row_abs else f"{row + 1}"
    return f"{first}{number}:{last}{number}"


def path_stat_row(group: int, statistic: str) -> int:
    """Row of one statistic on the sheet of percentile paths; `group` counts the total, modalities and regions there."""
    return PATHS_HEADER + 1 + group * len(STATISTICS) + STATISTICS.index(statistic)
