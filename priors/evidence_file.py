"""Evidence files: CSV as spreadsheets save it, one row per observed aggregate."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from postcgrp.priors.catalogue import OBSERVED
from postcgrp.priors.errors import InputError
from postcgrp.priors.evidence import Evidence, check_beside, check_row, error_model
from postcgrp.priors.ledger import PERCENT, Ledger, Trust
from postcgrp.priors.lookup import number
from postcgrp.priors.messages import nearest_or
from postcgrp.priors.segments import SEGMENT_DIMS, SEGMENTS

REQUIRED = ("source", "quantity", "year", "value", "unit")
EVIDENCE_COLUMNS = ("source", "quantity", "year", "region", "depth", "modality", "value", "unit", "log_sd", "note")
ENCODINGS = ("utf-8-sig", "utf-16", "cp1252")  # Excel's "CSV UTF-8", "Unicode text" and plain CSV
DELIMITERS = (";", "\t", ",")
# Digits grouped in threes (or twos, as in India) by one mark, by blanks as in France or by apostrophes as in
# Switzerland, then a decimal mark; or a plain number with a point or a comma.
GROUPED = re.compile(r"[+-]?\d{1,3}(?:(?P<mark>[.,' ])(?:\d{2,3}(?P=mark))*\d{3})(?:(?!(?P=mark))[.,]\d*)?")
PLAIN = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
ONE_MARK = re.compile(r"[+-]?\d{1,3}[.,]\d{3}")


def read_evidence(
    paths: Sequence[Path], ledger: Ledger, trust: Trust, known: Sequence[Evidence] = ()
) -> tuple[Evidence, ...]:
    """Returns the rows of evidence files (format: docs/evidence.md), in order.

    An empty segment means all of it; an empty `log_sd` means the source's usual one. Parameters: `known`, rows that the
    files may not contradict, as they may not contradict each other. Raises :class:`InputError` with one line naming the
    row, the value, the rule and the way out.
    """
    rows: dict[str, Evidence] = {}  # by where each stands
    for path in paths:
        for here, row in _rows(path, ledger, trust):
            for there, other in rows.items():
                if (row.source, row.cell) == (other.source, other.cell):
                    raise InputError(
                        f"{here}: states {row.value:g} for {row.id!r}, and {there} {other.value:g}: keep one of them"
                    )
            try:
                check_beside(ledger, trust, row, [*known, *rows.values()])
            except InputError as error:
                raise InputError(f"{here}: {error}") from None
            rows[here] = row
    return tuple(rows.values())


def _rows(path: Path, ledger: Ledger, trust: Trust) -> Iterator[tuple[str, Evidence]]:
    """Yields each row of a file after where it stands."""
    lines = list(
        io.StringIO(_text(path), newline=None)
    )  # keeps the line ends inside quotes, whichever system wrote them
    if lines and lines[0].strip().casefold().startswith("sep="):
        lines = ["", *lines[1:]]  # a hint to spreadsheets; empty, so that line numbers stay right
    start = next((k for k, line in enumerate(lines) if line.strip(';,\t\n "')), None)
    if start is None:
        raise InputError(f"{path}: is empty: `postcgrp evidence template` writes one to fill in")
    delimiter = max(DELIMITERS, key=lines[start].count)
    names = _header(path, next(csv.reader([lines[start]], delimiter=delimiter)))
    empty = True
    reader = csv.reader(lines[start + 1 :], delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            here = f"{path}: line {start + 1 + reader.line_num}"
            if any(cell.strip() for cell in cells[len(names) :]):
                raise InputError(
                    f"{here}: has {len(cells)} cells, but the header has {len(names)}: put text that holds "
                    f"{delimiter!r} in double quotes"
                )
            # Excel leaves out empty cells at the end of a row.
            full = [*cells, *[""] * (len(names) - len(cells))]
            row = {name: " ".join(cell.split()) for name, cell in zip(names, full, strict=False) if name}
            yield here, _row(here, row, ledger, trust, delimiter)
            empty = False
    except csv.Error as error:
        raise InputError(f"{path}: line {start + 1 + reader.line_num}: {error}: close the quotes") from None
    if empty:
        raise InputError(f"{path}: has a header and no rows: fill in at least one")


def template(ledger: Ledger) -> str:
    """Returns an evidence file to fill in: the total of each of the first years, one row per kind of source."""
    money = OBSERVED["revenue"].unit.format(currency=ledger.report.currency)
    kinds = [row.kind for row in ledger.sources] or [ledger.report.id]
    rows = [
        [kind, "revenue", year, "", "", "", "", money, "", "value to be filled in; delete rows that you do not need"]
        for kind, year in zip((*kinds, kinds[-1]), ledger.years, strict=False)
    ]
    return "\r\n".join(",".join(map(str, row)) for row in (EVIDENCE_COLUMNS, *rows)) + "\r\n"


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): give the path of a readable CSV file") from None
    if content.startswith(b"PK"):
        raise InputError(f"{path}: is a workbook, not a CSV file: save it as CSV UTF-8")
    wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    for encoding in ENCODINGS:
        if (encoding == "utf-16") != wide:
            continue
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise InputError(f"{path}: is not text: save it as CSV UTF-8")


def _header(path: Path, cells: Sequence[str]) -> list[str]:
    names = ["_".join(cell.casefold().split()) for cell in cells]
    if not set(names) & set(EVIDENCE_COLUMNS):
        raise InputError(
            f"{path}: the first row names none of the columns: write {', '.join(EVIDENCE_COLUMNS)}, separated by "
            "commas, semicolons or tabs"
        )
    for name in names:
        if name and name not in EVIDENCE_COLUMNS:
            way_out = nearest_or(name, EVIDENCE_COLUMNS, f"remove it; the columns are {', '.join(EVIDENCE_COLUMNS)}")
            raise InputError(f"{path}: column {name!r} is not known: {way_out}")
        if name and names.count(name) > 1:
            raise InputError(f"{path}: column {name!r} appears {names.count(name)} times: keep one")
    if missing := [name for name in REQUIRED if name not in names]:
        raise InputError(f"{path}: column {missing[0]!r} is missing: the first row names {', '.join(EVIDENCE_COLUMNS)}")
    return names


def _row(here: str, cells: Mapping[str, str], ledger: Ledger, trust: Trust, delimiter: str) -> Evidence:
    for name in REQUIRED:
        if not cells[name]:
            raise InputError(f"{here}: {name} is empty: fill it in or delete the row")
    segment = {dim: cells.get(dim) or None for dim in SEGMENT_DIMS}
    year = _number(here, "year", cells["year"], delimiter)
    if not year.is_integer():
        raise InputError(f"{here}: year = {cells['year']} is not a whole number: write one such as {ledger.years[0]}")
    try:
        model = error_model(ledger, trust, cells["source"])
        usual = getattr(model, "row_log_sd", None)
        where = {s: k for s, k in {"year": int(year), **segment}.items() if s in SEGMENTS and k is not None}
        log_sd = _number(here, "log_sd", text, delimiter, percent=True) if (text := cells.get("log_sd", "")) else usual
        row = Evidence(
            id=" ".join(filter(None, [cells["source"], cells["quantity"], str(int(year)), *segment.values()])),
            source=cells["source"],
            quantity=cells["quantity"],
            year=int(year),
            **segment,
            value=_number(
                here,
                "value",
                cells["value"],
                delimiter,
                percent=cells["unit"] == "fraction",
                counts=cells["unit"] == "patients",
            ),
            unit=cells["unit"],
            log_sd=number(ledger, "evidence_log_sd", **where) if log_sd is None else log_sd,
            note=cells.get("note", ""),
        )
        check_row(ledger, row)
    except InputError as error:
        message = str(error)
        raise InputError(message if message.startswith(here) else f"{here}: {message}") from None
    return row


def _number(here: str, name: str, text: str, delimiter: str, *, percent: bool = False, counts: bool = False) -> float:
    """Returns a number from the text of a cell, as people and spreadsheets write numbers.

    Parameters: `percent`, whether `12 %` may stand for 0.12; `counts`, whether it is a count, which has no three
    decimals. Raises :class:`InputError`.
    """
    bare = re.sub("[\\s\u2019']", lambda mark: "'" if mark[0] in "'\u2019" else " ", text).strip("' ")
    share = bare.endswith("%")
    bare = bare.removesuffix("%").rstrip()
    grouped = GROUPED.fullmatch(bare)
    if not (grouped or PLAIN.fullmatch(bare)):
        raise InputError(f"{here}: {name} = {text!r} is not a number: correct it")
    if share and not percent:
        raise InputError(f"{here}: {name} = {text!r}: only a value in unit 'fraction' may be a percentage: correct it")
    if ONE_MARK.fullmatch(bare) and (groups := _groups(bare, delimiter, counts=counts)) is not True:
        if groups is None:
            plain = re.sub(r"[.,]", "", bare)
            raise InputError(
                f"{here}: {name} = {text!r}: may be {plain} or {plain[:-3]}.{plain[-3:]}: write it without a thousands "
                "mark, or with one more decimal"
            )
        grouped = None
    if grouped:
        bare = bare.replace(grouped["mark"], "")
    return float(bare.replace(",", ".")) / (PERCENT if share else 1)


def _groups(text: str, delimiter: str, *, counts: bool) -> bool | None:
    """Whether the mark before a number's last three digits groups thousands; None if that is not clear.

    A file with cells separated by commas comes from where the decimal mark is a point; with semicolons, mostly from
    where it is a comma; tabs tell nothing.
    """
    if text.lstrip("+-").startswith("0"):
        return False
    if delimiter == ",":
        return "," in text
    if counts:
        return None if delimiter == ";" and "," in text else True
    return False if delimiter == ";" and "," in text else None
