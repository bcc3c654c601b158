"""CSV files as spreadsheets and R save them: encodings, delimiters, hints, empty cells, row names."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from postcgrp.priors.errors import InputError

ENCODINGS = ("utf-8-sig", "utf-16", "cp1252")  # Excel's "CSV UTF-8", "Unicode text" and plain CSV
UTF16 = (b"\xff\xfe", b"\xfe\xff")  # how such a file begins
DELIMITERS = (";", "\t", ",")


@dataclass(frozen=True)
class CsvTable:
    """A CSV file: the names in its heading as written, and its rows, each with the line on which it ends.

    `delimiter` tells where the file comes from: with commas, from where the decimal mark is a point. Row numbers, as R
    and pandas write them into a first column without a name, are left out. Every row has as many cells as there are
    names; blanks around them, and line ends inside them, are removed.
    """

    path: Path
    delimiter: str
    names: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    def here(self, line: int) -> str:
        """Returns how a message on a line of this file begins."""
        return f"{self.path}: line {line}"


def read_csv_table(path: Path, empty: str) -> CsvTable:
    """Returns a CSV file as read.

    Parameters: `empty`, the way out for a file without content. Raises :class:`InputError`, with every fault of the
    table's form: cells beyond the heading, cells under no name, a heading that stands again.
    """
    # `newline=None` keeps the line ends inside quotes, whichever system wrote them.
    lines = list(io.StringIO(text_of_csv(path), newline=None))
    if lines and lines[0].strip().casefold().startswith("sep="):
        lines = ["", *lines[1:]]  # a hint to spreadsheets; empty, so that line numbers stay right
    start = next((k for k, line in enumerate(lines) if line.strip(';,\t\n "')), None)
    if start is None:
        raise InputError(f"{path}: is empty: {empty}")
    delimiter = max(DELIMITERS, key=lines[start].count)
    heading = _clean(next(csv.reader([lines[start]], delimiter=delimiter)))
    rows = [row for row in _parsed(path, lines[start + 1 :], start + 1, delimiter) if any(row[1])]
    if rows and all(len(cells) == len(heading) + 1 for _, cells in rows) and _are_numbers(rows):
        heading = ("", *heading)  # R's write.table gives row names and no heading over them
    if not heading[0] and _are_numbers(rows):
        heading, rows = heading[1:], [(line, cells[1:]) for line, cells in rows]
    faults = [f"{path}: line {line}: {fault}" for line, cells in rows for fault in _misfits(heading, cells, delimiter)]
    if faults:
        raise InputError(*faults)
    named = [k for k, name in enumerate(heading) if name]
    # Excel leaves out empty cells at the end of a row.
    full = [(line, tuple(cells[k] if k < len(cells) else "" for k in named)) for line, cells in rows]
    return CsvTable(path, delimiter, tuple(heading[k] for k in named), tuple(full))


def _parsed(path: Path, lines: Sequence[str], before: int, delimiter: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yields the cells of each row with its line in the file, `before` of which come first."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            yield before + reader.line_num, _clean(cells)
    except csv.Error as error:
        raise InputError(f"{path}: line {before + reader.line_num}: {error}: close the quotes") from None


def _misfits(heading: Sequence[str], cells: Sequence[str], delimiter: str) -> Iterator[str]:
    """Yields what is wrong with the form of a row."""
    names = [name for name in heading if name]
    if [cell for cell in cells if cell] == names and not any(name.isdecimal() for name in names):
        yield "repeats the heading: remove this line"
    elif any(cells[len(heading) :]):
        yield (
            f"has {len(cells)} cells, but the header has {len(heading)}: put text that holds {delimiter!r} in double "
            "quotes"
        )
    else:
        for k, (name, cell) in enumerate(zip(heading, cells, strict=False), start=1):
            if cell and not name:
                yield f"column {k} has no name, but holds {cell!r}: name it or remove it"


def _are_numbers(rows: Sequence[tuple[int, Sequence[str]]]) -> bool:
    """Whether the first cells number the rows, as R does from 1 and pandas from 0."""
    first = [cells[0] for _, cells in rows]
    return any(first == [str(k + start) for k in range(len(rows))] for start in (0, 1))


def _clean(cells: Sequence[str]) -> tuple[str, ...]:
    return tuple(" ".join(cell.split()) for cell in cells)


def text_of_csv(path: Path) -> str:
    """Returns the text of a CSV file in any of `ENCODINGS`. Raises :class:`InputError` for what is none."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): give the path of a readable CSV file") from None
    if content.startswith(b"PK"):
        raise InputError(f"{path}: is a workbook, not a CSV file: save it as CSV UTF-8")
    for encoding in ENCODINGS:
        if (encoding == "utf-16") != content.startswith(UTF16):
            continue
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise InputError(f"{path}: is not text: save it as CSV UTF-8")
