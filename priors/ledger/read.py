"""From the two TOML files to a checked ledger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from postcgrp.priors.errors import Faults, InputError
from postcgrp.priors.ledger.checks import row_faults
from postcgrp.priors.ledger.ledger import Ledger
from postcgrp.priors.messages import InputFault, faults_in_words, nearest_or
from postcgrp.priors.shipped import ASSUMPTIONS_FILE, REPORT_FILE
from postcgrp.priors.toml_file import TomlFile

CLAIM_TABLES = {"report": "report", "region": "regions", "depth": "depths", "modality": "modalities", "claim": "claims"}
ASSUMPTION_TABLES = {"assumption": "assumptions", "trust": "trust", "source": "sources"}
TABLE_OF = {field: name for name, field in (CLAIM_TABLES | ASSUMPTION_TABLES).items()}
# Rows that nothing else refers to by name: the others can be checked without them.
ALONE = ("claims", "assumptions", "trust", "sources")


def load_ledger(report: str | Path = REPORT_FILE, assumptions: str | Path = ASSUMPTIONS_FILE) -> Ledger:
    """Returns the checked ledger of a report's claims and the assumptions beside them.

    Parameters: `report`, `assumptions`, the two TOML files (format: docs/ledger.md).
    Raises :class:`InputError` with one line per fault: the file and line, the value, the rule and the way out.
    """
    kinds = (CLAIM_TABLES, ASSUMPTION_TABLES)
    files = [TomlFile.read_versioned(Path(path)) for path in (report, assumptions)]
    faults = Faults()
    for file, names in zip(files, kinds, strict=True):
        with faults.caught():
            _check_tables(file, names)
    faults.raise_any()  # or the tables that they should have been would be called missing
    ledger, found = checked_ledger(
        {
            field: file.content[name]
            for file, names in zip(files, kinds, strict=True)
            for name, field in names.items()
            if name in file.content
        }
    )
    for file, names in zip(files, kinds, strict=True):
        in_file = {field: name for name, field in names.items()}
        own = [
            InputFault((in_file[str(fault.at[0])], *fault.at[1:]) if fault.at else (), fault.text)
            for fault in found
            if (str(fault.at[0]) in in_file if fault.at else names is CLAIM_TABLES)
        ]
        with faults.caught():
            if own:
                raise file.error(own)
    faults.raise_any()
    assert ledger is not None  # noqa: S101  no faults, so there is one
    return ledger


def _check_tables(file: TomlFile, names: Mapping[str, str]) -> None:
    """Refuse tables that a file of this kind does not have. Raises :class:`InputError`."""
    known = ", ".join(f"[{name}]" if name == "report" else f"[[{name}]]" for name in names)
    unknown = [name for name in file.content if name not in names]
    if len(unknown) > 1 and len(unknown) == len(file.content):
        raise InputError(f"{file.name}: none of its tables is known here ({', '.join(unknown)}): use {known}")
    if unknown:
        ways_out = {name: nearest_or(name, list(names), f"use {known}") for name in unknown}
        raise file.error([InputFault((n,), f"table {n!r} is not known: {way}") for n, way in ways_out.items()])


def checked_ledger(tables: Mapping[str, Any]) -> tuple[Ledger | None, list[InputFault]]:
    """Returns the ledger of plain tables, or what is wrong with them, each fault at its field and position.

    Rows that are wrong by themselves are left out and the others checked against each other all the same. What is then
    wrong with the whole may follow from the rows that are left out, so only what is wrong with further rows is kept.
    """
    kept = {field: list(range(len(tables[field]))) for field in ALONE if isinstance(tables.get(field), list | tuple)}
    found: list[InputFault] = []
    while True:
        ledger, faults = _checked({**tables, **{field: [tables[field][k] for k in at] for field, at in kept.items()}})
        of_rows = [_in_file(fault, kept) for fault in faults if len(fault.at) > 1 and fault.at[0] in kept]
        others = [fault for fault in faults if len(fault.at) <= 1 or fault.at[0] not in kept]
        found += of_rows if found else [*others, *of_rows]
        if not of_rows or any(fault.at for fault in others):  # nothing refers to a faulty head or segment in vain
            return (None if found else ledger), found
        for field, position, *_ in {fault.at[:2] for fault in of_rows}:
            kept[str(field)].remove(int(position))


def _checked(tables: Mapping[str, Any]) -> tuple[Ledger | None, list[InputFault]]:
    try:
        ledger = Ledger.model_validate(tables)
    except ValidationError as error:
        faults = faults_in_words(error, Ledger, tables, guide="docs/ledger.md", tables=TABLE_OF)
        if any(fault.at for fault in faults):
            return None, faults
        return None, [*faults, *row_faults(_unchecked(tables))]  # only the whole is wrong
    return ledger, row_faults(ledger)


def _unchecked(tables: Mapping[str, Any]) -> Ledger:
    """Returns a ledger of rows that are right by themselves, not checked against each other."""
    fields = {name: TypeAdapter[Any](info.annotation or Any) for name, info in Ledger.model_fields.items()}
    return Ledger.model_construct(**{name: each.validate_python(tables.get(name, ())) for name, each in fields.items()})


def _in_file(fault: InputFault, kept: Mapping[str, list[int]]) -> InputFault:
    """Returns a fault with the position that its row has in the file."""
    field, position, *rest = fault.at
    return InputFault((field, kept[str(field)][int(position)], *rest), fault.text)
