"""An export as a workbook: a sheet of contents, one of provenance, one for each table."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import escape

from xlsxwriter import Workbook
from xlsxwriter.exceptions import FileCreateError

from postcgrp.reports.export.arrow import column_names, shape, to_arrow
from postcgrp.reports.export.schema import Export, Header, dump

MOST_ROWS, MOST_COLUMNS = 2**20, 2**14  # of a sheet
LONGEST_TEXT, _LONGEST_NAME = 32_000, 31  # of a cell and of a sheet: a little and exactly what Excel allows
CONTENTS, PROVENANCE = "contents", "provenance"
_OPTIONS = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
BATCH = 10_000  # rows in Python at once


class Exact(float):
    """A number whose text is the shortest that reads back as the same bits; XlsxWriter's own has a digit too few."""

    def __format__(self, spec: str) -> str:
        return repr(float(self))


def write_xlsx(export: Export, path: Path, layout: str) -> None:
    """Write the workbook; text stays text, whatever it begins with."""
    try:
        with (
            TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.") as work,
            Workbook(path, {**_OPTIONS, "tmpdir": work}) as book,
        ):
            bold = book.add_format({"bold": True})
            first = book.add_worksheet(CONTENTS)
            first.set_column(0, 6, 22)
            for i, line in enumerate(contents(export.header, layout)):
                for k, text in enumerate(line):
                    first.write_string(i, k, as_text(text), bold if k == 0 or i == 0 else None)
            second = book.add_worksheet(PROVENANCE)
            second.set_column(0, 0, 100)
            for i, text in enumerate(pieces(dump(export.header))):
                second.write_string(i, 0, as_text(text))
            for name, title in sheet_names(export.header).items():
                sheet = book.add_worksheet(title)
                sheet.freeze_panes(1, 3)
                for k, text in enumerate(column_names(name, export.header, layout)):
                    sheet.write_string(0, k, as_text(text), bold)
                rows = (
                    zip(*(column.to_pylist() for column in batch.columns), strict=True)
                    for batch in to_arrow(export, name, layout).to_batches(BATCH)
                )
                for i, row in enumerate(chain.from_iterable(rows), start=1):
                    for k, value in enumerate(row):
                        if isinstance(value, str):
                            sheet.write_string(i, k, as_text(value))
                        else:
                            sheet.write_number(i, k, Exact(value) if isinstance(value, float) else value)
    except FileCreateError as error:
        raise error.args[0] from None


def as_text(text: str) -> str:
    """A text as XlsxWriter takes it for nothing else: `<r>...</r>` would be its own markup."""
    return f"<r><t>{escape(text)}</t></r>" if text.startswith("<r>") and text.endswith("</r>") else text


def contents(header: Header, layout: str) -> list[list[str]]:
    """Rows of the sheet of contents: what each sheet holds."""
    rows = [["sheet", "quantity", "unit", "rows", "columns", "dims", "about"]]
    for name, title in sheet_names(header).items():
        spec, size = header["tables"][name], shape(name, header, layout)
        rows.append([title, name, spec["unit"], *(str(n) for n in size), " x ".join(spec["dims"]), spec["about"]])
    said = header["thinning"]
    return [
        *rows,
        [],
        ["draws", f"{said['kept']} of {said['of']}"],
        ["chosen by", said["method"]],
        ["schema", header["schema"]],
        ["run", str(header["manifest"].get("status"))],
        ["content sha256", header["content_sha256"]],
    ]


def sheet_names(header: Header) -> dict[str, str]:
    """Name of each table's sheet: the table's, cut where Excel wants it shorter, numbered where that is not unique."""
    taken, out = {CONTENTS, PROVENANCE}, {}
    for name in header["tables"]:
        title, k = name[:_LONGEST_NAME], 1
        while title.casefold() in taken:
            k += 1
            title = f"{name[: _LONGEST_NAME - len(str(k)) - 1]}_{k}"
        taken.add(title.casefold())
        out[name] = title
    return out


def pieces(text: str) -> list[str]:
    """Lines of a text, none longer than a cell may be; joined they are its JSON again."""
    return [line[i : i + LONGEST_TEXT] for line in text.split("\n") for i in range(0, max(len(line), 1), LONGEST_TEXT)]
