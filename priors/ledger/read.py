"""From the two TOML files to a checked ledger."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger.ledger import Ledger
from postcgrp.priors.messages import first_error, in_words, nearest_or
from postcgrp.priors.shipped import ASSUMPTIONS_FILE, REPORT_FILE

LEDGER_SCHEMA = 1
CLAIM_TABLES = {
    "report": "report",
    "region": "regions",
    "depth": "depths",
    "modality": "modalities",
    "line": "lines",
    "claim": "claims",
}
ASSUMPTION_TABLES = {"assumption": "assumptions", "trust": "trust", "source": "sources"}


def load_ledger(report: str | Path = REPORT_FILE, assumptions: str | Path = ASSUMPTIONS_FILE) -> Ledger:
    """Returns the checked ledger of a report's claims and the assumptions beside them.

    Parameters: `report`, `assumptions`, the two TOML files (format: docs/ledger.md).
    Raises :class:`InputError` with one line naming the value, the rule and the way out.
    """
    report, assumptions = Path(report), Path(assumptions)
    tables: dict[str, Any] = {}
    for path, names in ((report, CLAIM_TABLES), (assumptions, ASSUMPTION_TABLES)):
        content = read_versioned(path)
        if unknown := [name for name in content if name not in names]:
            known = ", ".join(f"[{name}]" if name == "report" else f"[[{name}]]" for name in names)
            way_out = nearest_or(unknown[0], list(names), f"use {known}")
            raise InputError(f"{path.name}: table {unknown[0]!r} is not known: {way_out}")
        tables |= {field: content[name] for name, field in names.items() if name in content}
    try:
        return Ledger.model_validate(tables)
    except ValidationError as error:
        location = first_error(error)["loc"]
        in_report = not location or location[0] in CLAIM_TABLES.values()
        raise InputError(f"{(report if in_report else assumptions).name}: {ledger_error(error, tables)}") from None


def ledger_error(error: ValidationError, tables: Mapping[str, Any]) -> str:
    """Returns one line for an error in the `tables` of a ledger, by the names that its files use."""
    names = {field: name for name, field in (CLAIM_TABLES | ASSUMPTION_TABLES).items()}
    return in_words(first_error(error), Ledger, tables, guide="docs/ledger.md", tables=names)


def read_versioned(path: Path) -> dict[str, Any]:
    """Returns the content of a TOML file of this schema, without its `schema`. Raises :class:`InputError`."""
    content = read_toml(path)
    schema = content.pop("schema", None)
    if type(schema) is not int or schema != LEDGER_SCHEMA:
        raise InputError(
            f"{path.name}: schema = {schema!r}, but this version reads {LEDGER_SCHEMA} only: "
            f"write `schema = {LEDGER_SCHEMA}` as its first line"
        )
    return content


def read_toml(path: Path) -> dict[str, Any]:
    """Returns the content of a TOML file. Raises :class:`InputError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): give the path of a readable TOML file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read as UTF-8 ({error.reason}): give a TOML text file") from None
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: is not valid TOML ({reason}): correct that line") from None
