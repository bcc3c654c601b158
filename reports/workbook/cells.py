"""Writing cells: named styles, text that stays text, formulas that carry their value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from xlsxwriter import Workbook
from xlsxwriter.utility import xl_range_abs, xl_rowcol_to_cell

from postcgrp.reports.export.xlsx import LONGEST_TEXT, Exact, as_text
from postcgrp.reports.forecast.colours import ACCENT, CONTRAST, GRID_LINES

WHOLE_FROM = 1000  # larger numbers are shown without decimals
LINE = 15.0  # height of a line of text, in points
SOFT, BAD = "#5c6875", "#a3231d"
MONEY_FORMAT, SMALL_MONEY_FORMAT, PERCENT_FORMAT, YEAR_FORMAT, DATE_FORMAT = (
    "#,##0",
    "#,##0.0",
    "0.0%",
    "0",
    "yyyy-mm-dd",
)
HEAD = {"bold": True, "font_color": SOFT, "bottom": 1, "text_wrap": True, "valign": "bottom"}
# Blue on yellow marks numbers to type over, as is usual in financial models; everything else is black.
TYPED = {"font_color": "#0000c8", "bg_color": "#fff8d6", "border": 1, "border_color": "#d9cf9c", "align": "right"}
STYLES: dict[str, dict[str, Any]] = {
    "": {},
    "title": {"bold": True, "font_size": 16},
    "section": {"bold": True, "font_size": 12, "font_color": ACCENT},
    "message": {"font_size": 13, "text_wrap": True, "valign": "top"},
    "note": {"font_color": SOFT, "text_wrap": True, "valign": "top"},
    "line": {"font_color": SOFT},
    "unit": {"font_color": SOFT, "indent": 1},
    "failed": {"bold": True, "font_size": 13, "font_color": "white", "bg_color": BAD, "text_wrap": True},
    "missed": {"bold": True, "font_color": BAD},
    "head": HEAD,
    "head right": {**HEAD, "align": "right"},
    "head year": {**HEAD, "align": "right", "num_format": YEAR_FORMAT},
    "wrap": {"text_wrap": True, "indent": 1},
    "bold": {"bold": True},
    "money": {"num_format": MONEY_FORMAT},
    "bold money": {"num_format": MONEY_FORMAT, "bold": True},
    "report": {"num_format": MONEY_FORMAT, "font_color": CONTRAST},
    "value": {"num_format": SMALL_MONEY_FORMAT},
    "bold value": {"num_format": SMALL_MONEY_FORMAT, "bold": True, "top": 1},
    "percent": {"num_format": PERCENT_FORMAT},
    "year": {"num_format": YEAR_FORMAT},
    "decimal": {"num_format": "0.000"},
    "factor": {"num_format": "0.0000"},
    "general": {"num_format": "0.0###"},
    "whole": {"num_format": "[>=10000]#,##0;[<=-10000]-#,##0;0"},
    "difference": {"num_format": "0.0E+00;-0.0E+00;0"},
    "grey": {"font_color": "#b0b6bd", "num_format": YEAR_FORMAT},
    "endless": {"num_format": '"–";"–"', "align": "right"},
    "typed money": {**TYPED, "num_format": "#,##0.00"},
    "typed percent": {**TYPED, "num_format": "0.0##%"},
    "typed decimal": {**TYPED, "num_format": "0.0##"},
    "typed general": {**TYPED, "num_format": "General"},
    "typed year": {**TYPED, "num_format": "0.0##"},
    "typed id": {**TYPED, "num_format": YEAR_FORMAT, "bold": True, "font_size": 14},
    "typed date": {**TYPED, "num_format": DATE_FORMAT},
    "typed choice": TYPED,
}


@dataclass
class Book:
    """An open workbook and its formats, each made once."""

    file: Workbook
    footer: str
    formats: dict[str, Any] = field(default_factory=dict)

    def format(self, style: str) -> Any:
        """The format of a style."""
        if style not in self.formats:
            self.formats[style] = self.file.add_format({"valign": "vcenter", **STYLES[style]})
        return self.formats[style]

    def page(self, name: str, colour: str | None = None) -> Page:
        """A new sheet, set up to be printed landscape and one page wide."""
        sheet = self.file.add_worksheet(name)
        sheet.hide_gridlines(2)
        sheet.set_landscape()
        sheet.set_paper(9)
        sheet.fit_to_pages(1, 0)
        sheet.set_footer(f"&L&8{self.footer}&R&8&A, &P of &N")
        if colour:
            sheet.set_tab_color(colour)
        return Page(self, sheet, name)

    def define(self, name: str, reference: str) -> None:
        """Give a cell or range a name that formulas can use."""
        self.file.define_name(name, f"={reference}")


@dataclass
class Page:
    """One sheet."""

    book: Book
    sheet: Any
    name: str

    def text(self, row: int, column: int, text: str, style: str = "") -> None:
        """Write text, never a formula, whatever it begins with."""
        self.sheet.write_string(row, column, as_text(text[:LONGEST_TEXT]), self.book.format(style))

    def number(self, row: int, column: int, value: Any, style: str = "") -> None:
        """Write a number with all its digits, or a blank for none."""
        if value is None or not np.isfinite(value):
            self.sheet.write_blank(row, column, None, self.book.format(style))
        else:
            # With optional decimals Excel shows 2 as "2."; thousands are not set apart in what may be a year
            if style == "general" and (float(value).is_integer() or abs(value) >= WHOLE_FROM):
                style = "whole"
            self.sheet.write_number(row, column, Exact(value), self.book.format(style))

    def formula(self, row: int, column: int, formula: str, value: Any, style: str = "") -> None:
        """Write a formula with its current value, for readers that do not calculate."""
        cached = value if isinstance(value, str) else float(value)
        self.sheet.write_formula(row, column, f"={formula}", self.book.format(style), cached)

    def put(self, row: int, column: int, value: Any, style: str = "") -> None:
        """Write a value according to its type."""
        if isinstance(value, str):
            self.text(row, column, value, style)
        elif isinstance(value, date):
            self.sheet.write_datetime(row, column, value, self.book.format(style))
        else:
            self.number(row, column, value, style)

    def line(self, row: int, column: int, values: Iterable[Any], style: str = "") -> None:
        """Write values side by side."""
        for k, value in enumerate(values):
            self.put(row, column + k, value, style)

    def heads(self, row: int, first: str, *rest: str) -> None:
        """Write a header: the first label flush left, those of numbers flush right."""
        self.text(row, 0, first, "head")
        self.line(row, 1, rest, "head right")

    def widths(self, *widths: float) -> None:
        """Set the widths of the first columns."""
        for k, width in enumerate(widths):
            self.sheet.set_column(k, k, width)

    def height(self, row: int, *texts: tuple[str, float]) -> None:
        """Make a row high enough for wrapped texts, each with the width of its column."""
        most = max(-(-len(text) // int(width)) for text, width in texts)
        if most > 1:
            self.sheet.set_row(row, LINE * most)

    def title(self, text: str, *notes: str) -> None:
        """Write the first rows: what this sheet is, and notes of one line each."""
        self.text(0, 0, text, "title")
        for k, note in enumerate(notes, start=1):
            self.text(k, 0, note, "line")

    def at(self, row: int, column: int) -> str:
        """Reference to a cell from any sheet."""
        return f"'{self.name}'!{xl_rowcol_to_cell(row, column, row_abs=True, col_abs=True)}"

    def span(self, row: int, column: int, last_row: int, last_column: int) -> str:
        """Reference to a range from any sheet."""
        return f"'{self.name}'!{xl_range_abs(row, column, last_row, last_column)}"

    def cells(self, row: int, column: int, last_row: int, last_column: int) -> list[Any]:
        """The range as a chart takes it."""
        return [self.name, row, column, last_row, last_column]


def here(row: int, column: int) -> str:
    """Reference to a cell from its own sheet."""
    return str(xl_rowcol_to_cell(row, column))


def chart(page: Page, kind: dict[str, str], title: str, axes: tuple[str, str], size: tuple[int, int]) -> Any:
    """An empty chart with a title and the names of its axes; `size` in pixels."""
    new_chart = page.book.file.add_chart(kind)
    new_chart.set_title({"name": title, "name_font": {"size": 12, "bold": True}, "overlay": False})
    plain = {"name_font": {"bold": False, "size": 10}, "num_font": {"size": 9}}
    new_chart.set_x_axis({"name": axes[0], **plain})
    lines = {"visible": True, "line": {"color": GRID_LINES}}
    new_chart.set_y_axis({"name": axes[1], **plain, "num_format": MONEY_FORMAT, "major_gridlines": lines})
    new_chart.set_legend({"position": "right"})
    new_chart.set_size(dict(zip(("width", "height"), size, strict=True)))
    new_chart.show_blanks_as("gap")
    return new_chart


def series(name: list[Any], categories: Sequence[Any], values: Sequence[Any], **look: Any) -> dict[str, Any]:
    """One series of a chart. Its name is a cell, because text that begins with = would be a formula."""
    return {"name": name, "categories": list(categories), "values": list(values), **look}
