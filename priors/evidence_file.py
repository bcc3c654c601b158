"""Evidence files: CSV as spreadsheets save it, one row per observed aggregate."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from postcgrp.priors.catalogue import DATES, NOT_BEFORE, OBSERVED, Family
from postcgrp.priors.csv_table import CsvTable, read_csv_table
from postcgrp.priors.elicit import from_range
from postcgrp.priors.errors import Faults, InputError
from postcgrp.priors.evidence import PARTS, Evidence, error_model, usual_error
from postcgrp.priors.evidence_checks import check_beside, check_row
from postcgrp.priors.ledger import PERCENT, Ledger, Trust, misfit_coverage
from postcgrp.priors.ledger.rows import LARGEST_LOG, RANGE_ENDS
from postcgrp.priors.lines import line_labels
from postcgrp.priors.lookup import label_of
from postcgrp.priors.messages import nearest_or
from postcgrp.priors.settings import Settings

REQUIRED = ("source", "quantity", "year", "value", "unit")
COVERAGE = Settings().coverage
EVIDENCE_COLUMNS = (
    *("source", "quantity", "year_from", "year", *PARTS),
    *("value", *RANGE_ENDS, "coverage", "unit", "log_sd", "sd", "note"),
)
MISSING = ("", "NA")  # R writes the second for the first
# Digits grouped in threes (or twos, as in India) by one mark, by blanks as in France or by apostrophes as in
# Switzerland, then a decimal mark; or a plain number with a point or a comma.
GROUPED = re.compile(r"[+-]?\d{1,3}(?:(?P<mark>[.,' ])(?:\d{2,3}(?P=mark))*\d{3})(?:(?!(?P=mark))[.,]\d*)?")
PLAIN = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
ONE_MARK = re.compile(r"[+-]?\d{1,3}[.,]\d{3}")


def read_evidence(
    paths: Sequence[Path], ledger: Ledger, trust: Trust, known: Sequence[Evidence] = (), coverage: float = COVERAGE
) -> tuple[Evidence, ...]:
    """Returns the rows of evidence files (format: docs/evidence.md), in order.

    A segment goes by its name, its label or an alias; an empty one means all of it. An empty `log_sd` means the
    source's usual one. Parameters: `known`, rows that the files may not contradict, as they may not contradict each
    other; `coverage` of ranges that have none of their own. Raises :class:`InputError` with one line per fault, naming
    the file and line, the value, the rule and the way out.
    """
    faults = Faults()
    rows: dict[str, Evidence] = {}  # by where each stands
    for path in paths:
        with faults.caught():
            table = read_csv_table(path, "`postcgrp evidence template` writes one to fill in")
            names = _header(table)
            if not table.rows:
                raise InputError(f"{path}: has a header and no rows: fill in at least one")
            for line, cells in table.rows:
                with faults.caught(f"{table.here(line)}: "):
                    row = _row(dict(zip(names, cells, strict=True)), ledger, trust, table.delimiter, coverage)
                    _check_new(row, rows)
                    check_beside(ledger, trust, row, [*known, *rows.values()])
                    rows[table.here(line)] = row
    faults.raise_any()
    return tuple(rows.values())


def _check_new(row: Evidence, rows: Mapping[str, Evidence]) -> None:
    """Refuse a number that these files, or one of them, state twice. Raises :class:`InputError`."""
    for there, other in rows.items():
        if (row.source, row.cell) == (other.source, other.cell):
            raise InputError(f"states {row.value:g} for {row.id!r}, and {there} {other.value:g}: keep one of them")


def template(ledger: Ledger) -> str:
    """Returns an evidence file to fill in: totals of the first years, one per kind of source, then one of each kind."""
    kinds = [row.kind for row in ledger.sources] or [ledger.report.id]
    rows = [
        {
            "source": kind,
            "quantity": "revenue",
            "year": year,
            "note": "value to be filled in; delete what you do not need",
        }
        for kind, year in zip((*kinds, kinds[-1]), ledger.years, strict=False)
    ]
    rows += [{"source": kinds[-1], **row} for row in _kinds(ledger)]
    for row in rows:
        row["unit"] = OBSERVED[str(row["quantity"])].unit.format(currency=ledger.report.currency)
    lines = [EVIDENCE_COLUMNS, *([row.get(name, "") for name in EVIDENCE_COLUMNS] for row in rows)]
    return "\r\n".join(",".join(map(str, line)) for line in lines) + "\r\n"


def _kinds(ledger: Ledger) -> Iterator[dict[str, str | int]]:
    """Yields a row of each kind of evidence that a ledger can have, without source, unit and figures."""
    first, second, *_ = ledger.years
    sold = next((m.name for m in ledger.modalities if m.uptake != "launch"), None)
    if sold is not None:
        yield {"quantity": "price", "year": first, "modality": sold, "note": "mean spend per user of a modality"}
    yield {"quantity": "revenue_growth", "year_from": first, "year": second, "note": "revenue of year over year_from"}
    labels = line_labels(ledger)
    if used := labels["line_claimed"]:
        note = "share of its modality's users on a line; low and high may stand in place of a value"
        yield {"quantity": "line_use", "year": first, "line": used[0], "note": note}
    for launch in labels["launch"][:1]:
        of = {"line" if launch in labels["line"] else "modality": launch}
        yield {"quantity": "launch_year", **of, "note": "when sales start; 2029.5 is the middle of 2029; sd in years"}
        yield {"quantity": NOT_BEFORE, **of, "note": "no sales before this date"}
        yield {"quantity": "revenue", "year": first, **of, "note": "0 where nothing was sold"}


def _header(table: CsvTable) -> list[str]:
    """Returns the columns of an evidence file. Raises :class:`InputError` with all that is wrong with its heading."""
    path, names = table.path, ["_".join(name.casefold().split()) for name in table.names]
    if not set(names) & set(EVIDENCE_COLUMNS):
        raise InputError(
            f"{path}: the first row names none of the columns: write {', '.join(EVIDENCE_COLUMNS)}, separated by "
            "commas, semicolons or tabs"
        )
    unknown = [name for name in names if name not in EVIDENCE_COLUMNS]
    otherwise = f"remove it; the columns are {', '.join(EVIDENCE_COLUMNS)}"
    faults = [f"{path}: column {n!r} is not known: {nearest_or(n, EVIDENCE_COLUMNS, otherwise)}" for n in unknown]
    faults += [
        f"{path}: column {name!r} appears {names.count(name)} times: keep one"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    meant = [nearest_or(name, EVIDENCE_COLUMNS, "") for name in unknown]
    faults += [
        f"{path}: column {name!r} is missing: the first row names {', '.join(EVIDENCE_COLUMNS)}"
        for name in REQUIRED
        if name not in names
        and not (name == "value" and set(RANGE_ENDS) <= set(names))
        and f"write {name!r}" not in meant
    ]
    if faults:
        raise InputError(*faults)
    return names


def _row(cells: Mapping[str, str], ledger: Ledger, trust: Trust, delimiter: str, coverage: float) -> Evidence:
    """Returns the row of evidence that cells state. Raises :class:`InputError` with all that is wrong with it."""
    faults = Faults()
    cells = {name: "" if text in MISSING and name not in PARTS else text for name, text in cells.items()}
    cells = _in_its_unit(cells, ledger)
    ranged = any(cells.get(name) for name in RANGE_ENDS)
    needed = [each for name in REQUIRED for each in (RANGE_ENDS if ranged and name == "value" else (name,))]
    if cells["quantity"] in DATES:
        needed.remove("year")
    if empty := [name for name in needed if not cells.get(name)]:
        are = "is" if len(empty) == 1 else "are"
        raise InputError(f"{' and '.join(empty)} {are} empty: fill it in or delete the row")
    segment: dict[str, str | None] = {}
    for dim in PARTS:
        with faults.caught():
            segment[dim] = _label(ledger, dim, cells.get(dim, ""))
    years: dict[str, int | None] = {}
    for name in ("year_from", "year"):
        with faults.caught():
            years[name] = _year(name, cells.get(name, ""), ledger, delimiter)
    usual, value, error = None, 0.0, None
    with faults.caught():
        usual = getattr(error_model(ledger, trust, cells["source"]), "row_log_sd", None)
    with faults.caught():
        value, error = _range(cells, delimiter, coverage) if ranged else _point(cells, delimiter)
    faults.raise_any()
    row = Evidence(
        id=" ".join(filter(None, [cells["source"], cells["quantity"], _span(**years), *segment.values()])),
        source=cells["source"],
        quantity=cells["quantity"],
        value=value,
        unit=cells["unit"],
        log_sd=0.0 if error is None else error,
        note=cells.get("note", ""),
        year=years["year"],
        year_from=years["year_from"],
        region=segment["region"],
        depth=segment["depth"],
        modality=segment["modality"],
        line=segment["line"],
    )
    _check_error(row, cells)
    if error is None:
        row = replace(row, log_sd=usual_error(ledger, row) if usual is None or row.is_dated else usual)
    check_row(ledger, row)
    return row


def _check_error(row: Evidence, cells: Mapping[str, str]) -> None:
    """Refuse an error on another scale than that of its row. Raises :class:`InputError`."""
    if row.is_dated and cells.get("log_sd"):
        raise InputError(f"log_sd = {cells['log_sd']}: a date is off by years: write them into `sd`")
    if not row.is_dated and cells.get("sd"):
        raise InputError(f"sd = {cells['sd']}: is of a date, in years: write how far a size may be off into `log_sd`")


def _in_its_unit(cells: Mapping[str, str], ledger: Ledger) -> Mapping[str, str]:
    """Returns cells with the unit as the ledger spells it, and percentages marked as such."""
    entry = OBSERVED.get(cells["quantity"])
    unit = entry.unit.format(currency=ledger.report.currency) if entry else cells["unit"]
    if cells["unit"].casefold() == unit.casefold():
        return {**cells, "unit": unit}
    if (cells["unit"], unit) == ("%", "fraction"):
        marked = {name: f"{text.removesuffix('%')}%" for name in ("value", *RANGE_ENDS) if (text := cells.get(name))}
        return {**cells, "unit": unit, **marked}
    return cells


def _year(name: str, text: str, ledger: Ledger, delimiter: str) -> int | None:
    if not text:
        return None
    year = _number(name, text, delimiter)
    if not year.is_integer():
        raise InputError(f"{name} = {text} is not a whole number: write one such as {ledger.years[0]}")
    return int(year)


def _span(year_from: int | None, year: int | None) -> str:
    return "-".join(str(year) for year in (year_from, year) if year is not None)


def _figure(cells: Mapping[str, str], name: str, delimiter: str) -> float:
    """Returns a value, or the end of a range, in the unit of its row. Raises :class:`InputError`."""
    percent, counts = cells["unit"] == "fraction", cells["unit"] == "patients"
    return _number(name, cells[name], delimiter, percent=percent, counts=counts)


def _point(cells: Mapping[str, str], delimiter: str) -> tuple[float, float | None]:
    """Returns a value and, where the row gives it, how far it may be off. Raises :class:`InputError`."""
    if text := cells.get("coverage"):
        raise InputError(f"coverage = {text}: is of a range: give `low` and `high`, or leave it empty")
    value = _figure(cells, "value", delimiter)
    if text := cells.get("sd"):
        return value, _number("sd", text, delimiter)
    if text := cells.get("log_sd"):
        log_sd = _number("log_sd", text, delimiter, percent=True)
        if log_sd > LARGEST_LOG:
            raise InputError(f"log_sd = {text}: is a factor of over 20: write percentages with a % or as fractions")
        return value, log_sd
    return value, None


def _range(cells: Mapping[str, str], delimiter: str, coverage: float) -> tuple[float, float | None]:
    """Returns the value and error that put the coverage of a range into it, as a claim's range does.

    Raises :class:`InputError`.
    """
    if also := [name for name in ("value", "log_sd", "sd") if cells.get(name)]:
        raise InputError(f"{' and '.join(also)} beside `low` and `high`, which say it: keep one")
    if cells["quantity"] == NOT_BEFORE:
        raise InputError(f"low = {cells['low']}: {NOT_BEFORE} is one date: write `value`, and `sd` for how sure it is")
    low, high = (_figure(cells, name, delimiter) for name in RANGE_ENDS)
    if text := cells.get("coverage"):
        coverage = _number("coverage", text, delimiter, percent=True)
        if wrong := misfit_coverage(coverage):
            raise InputError(wrong)
    if low <= 0:
        raise InputError(f"low = {cells['low']} has no logarithm: evidence must be above zero")
    if low >= high:
        raise InputError(f"low = {cells['low']} is not below high = {cells['high']}: swap or widen them")
    if cells["unit"] == "fraction" and high > 1:
        raise InputError(f"high = {cells['high']} is a share over 1: write percentages as fractions or with a %")
    family: Family = "normal" if cells["quantity"] in DATES else "lognormal"
    middle, error = from_range(low, high, coverage, family)
    return middle if family == "normal" else float(np.exp(middle)), error


def _label(ledger: Ledger, dim: str, text: str) -> str | None:
    """Returns the segment that a cell names, by any of its names; None for all. R writes NA for an empty cell."""
    if not text:
        return None
    try:
        return label_of(ledger, dim, text)
    except InputError:
        if text in MISSING:
            return None
        raise


def _number(name: str, text: str, delimiter: str, *, percent: bool = False, counts: bool = False) -> float:
    """Returns a number from the text of a cell, as people and spreadsheets write numbers.

    Parameters: `percent`, whether `12 %` may stand for 0.12; `counts`, whether it is a count, which has no three
    decimals. Raises :class:`InputError`.
    """
    bare = re.sub("[\\s\u2019']", lambda mark: "'" if mark[0] in "'\u2019" else " ", text).strip("' ")
    share = bare.endswith("%")
    bare = bare.removesuffix("%").rstrip()
    grouped = GROUPED.fullmatch(bare)
    if not (grouped or PLAIN.fullmatch(bare)):
        raise InputError(f"{name} = {text!r} is not a number: correct it")
    if share and not percent:
        raise InputError(f"{name} = {text!r}: only a value in unit 'fraction' may be a percentage: correct it")
    if ONE_MARK.fullmatch(bare) and (groups := _groups(bare, delimiter, counts=counts)) is not True:
        if groups is None:
            plain = re.sub(r"[.,]", "", bare)
            raise InputError(
                f"{name} = {text!r}: may be {plain} or {plain[:-3]}.{plain[-3:]}: write it without a thousands "
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
