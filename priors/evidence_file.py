"""Evidence files: CSV as spreadsheets save it, one observed aggregate a row."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from postcgrp.priors.catalogue import OBSERVED
from postcgrp.priors.checks import SEGMENTS
from postcgrp.priors.errors import InputError
from postcgrp.priors.evidence import DIMS, Evidence, check_row, error_model
from postcgrp.priors.ledger import Ledger, Trust
from postcgrp.priors.lookup import number

REQUIRED = ("source", "quantity", "year", "value", "unit")
COLUMNS = ("source", "quantity", "year", "region", "depth", "modality", "value", "unit", "log_sd", "note")
ENCODINGS = ("utf-8-sig", "utf-16", "cp1252")  # Excel's "CSV UTF-8", "Unicode text" and plain CSV
DELIMITERS = (";", "\t", ",")
PERCENT = 100


def read_evidence(path: Path, ledger: Ledger, trust: Trust) -> tuple[Evidence, ...]:
    """The rows of one evidence file (format: docs/evidence.md).

    An empty segment means all of it; an empty `log_sd` the source's usual one. Raises :class:`InputError` with one line
    naming the row, the value, the rule and the way out.
    """
    lines = _text(path).splitlines()
    if lines and lines[0].strip().casefold().startswith("sep="):
        lines = ["", *lines[1:]]  # a hint to spreadsheets; the line still counts
    start = next((k for k, line in enumerate(lines) if line.strip(';,\t "')), None)
    if start is None:
        raise InputError(f"{path}: is empty: `postcgrp evidence template` writes one to fill in")
    delimiter = max(DELIMITERS, key=lines[start].count)
    names = _header(path, next(csv.reader([lines[start]], delimiter=delimiter)))
    rows = []
    reader = csv.reader(lines[start + 1 :], delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            here = f"{path.name}: line {start + 1 + reader.line_num}"
            if any(cell.strip() for cell in cells[len(names) :]) or len(cells) < len([n for n in names if n]):
                raise InputError(
                    f"{here}: has {len(cells)} cells, but the header has {len(names)}: put text that holds "
                    f"{delimiter!r} in double quotes"
                )
            row = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if name}
            rows.append(_row(here, row, ledger, trust, comma=delimiter != ","))
    except csv.Error as error:
        raise InputError(f"{path.name}: line {start + 1 + reader.line_num}: {error}: close the quotes") from None
    if not rows:
        raise InputError(f"{path}: has a header and no rows: fill in at least one")
    return tuple(rows)


def template(ledger: Ledger) -> str:
    """An evidence file to fill in: the total of each of the first years, by whoever counts it."""
    money = OBSERVED["revenue"].unit.format(currency=ledger.report.currency)
    kinds = [row.kind for row in ledger.sources] or [ledger.report.id]
    rows = [
        [kind, "revenue", year, "", "", "", "", money, "", "value to be filled in; delete rows that you do not need"]
        for kind, year in zip((*kinds, kinds[-1]), ledger.years, strict=False)
    ]
    return "\r\n".join(",".join(map(str, row)) for row in (COLUMNS, *rows)) + "\r\n"


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
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InputError(f"{path}: is no text: save it as CSV UTF-8")


def _header(path: Path, cells: Sequence[str]) -> list[str]:
    names = [cell.strip().casefold().replace(" ", "_") for cell in cells]
    for name in names:
        if name and name not in COLUMNS:
            near = get_close_matches(name, COLUMNS, 1)
            way_out = f"write {near[0]!r}" if near else f"remove it; the columns are {', '.join(COLUMNS)}"
            raise InputError(f"{path.name}: column {name!r} is not known: {way_out}")
        if name and names.count(name) > 1:
            raise InputError(f"{path.name}: column {name!r} stands {names.count(name)} times: keep one")
    if missing := [name for name in REQUIRED if name not in names]:
        raise InputError(f"{path.name}: column {missing[0]!r} is missing: the first row names {', '.join(COLUMNS)}")
    return names


def _row(here: str, cells: Mapping[str, str], ledger: Ledger, trust: Trust, *, comma: bool) -> Evidence:
    for name in REQUIRED:
        if not cells[name]:
            raise InputError(f"{here}: {name} is empty: fill it in or delete the row")
    segment = {dim: cells.get(dim) or None for dim in DIMS}
    year = _number(here, "year", cells["year"], comma=comma)
    if year != int(year):
        raise InputError(f"{here}: year = {cells['year']}: is not whole: write one such as {ledger.years[0]}")
    try:
        model = error_model(ledger, trust, cells["source"])
        usual = getattr(model, "row_log_sd", None)
        where = {s: k for s, k in {"year": int(year), **segment}.items() if s in SEGMENTS and k is not None}
        log_sd = _number(here, "log_sd", text, comma=comma) if (text := cells.get("log_sd", "")) else usual
        row = Evidence(
            id=" ".join(filter(None, [cells["source"], cells["quantity"], str(int(year)), *segment.values()])),
            source=cells["source"],
            quantity=cells["quantity"],
            year=int(year),
            **segment,
            value=_number(here, "value", cells["value"], comma=comma),
            unit=cells["unit"],
            log_sd=number(ledger, "evidence_log_sd", **where) if log_sd is None else log_sd,
            note=cells.get("note", ""),
        )
        check_row(ledger, row)
    except InputError as error:
        said = str(error)
        raise InputError(said if said.startswith(here) else f"{here}: {said}") from None
    return row


def _number(here: str, name: str, text: str, *, comma: bool) -> float:
    """A number as people write it; `comma`: a comma may be the decimal mark, as the cells are not split by one."""
    bare = re.sub(r"[\s'\u2019\u00a0\u202f]", "", text)
    if bare.endswith("%"):
        digits = bare[:-1].replace(",", ".")
        way_out = f" ({float(digits) / PERCENT:g})" if re.fullmatch(r"[\d.]+", digits) else ""
        raise InputError(f"{here}: {name} = {text!r}: write percentages as fractions{way_out}")
    if re.fullmatch(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", bare) and ("," in bare) != comma:
        plain = re.sub(r"[.,]", "", bare)
        raise InputError(
            f"{here}: {name} = {text!r}: may be {plain} or {plain[:-3]}.{plain[-3:]}: write it without a thousands "
            "mark, or with one decimal more"
        )
    marks = [mark for mark in bare if mark in ".,"]
    if len(set(marks)) > 1:  # the last is the decimal mark, the others group thousands
        other = "," if marks[-1] == "." else "."
        bare = bare.replace(other, "").replace(marks[-1], ".")
    elif len(marks) > 1:
        bare = bare.replace(marks[0], "")
    elif marks == [","]:
        bare = bare.replace(",", ".")
    try:
        return float(bare)
    except ValueError:
        raise InputError(f"{here}: {name} = {text!r}: is not a number: correct it") from None
