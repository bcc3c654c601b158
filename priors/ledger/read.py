"""From the two TOML files to a checked ledger."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger.ledger import Ledger
from postcgrp.priors.ledger.rows import Assumption, Claim, Modality, ReportHeader, Row, Segment, Source, Trust

LEDGER_SCHEMA = 1
CLAIM_TABLES = {"report": "report", "region": "regions", "depth": "depths", "modality": "modalities", "claim": "claims"}
ASSUMPTION_TABLES = {"assumption": "assumptions", "trust": "trust", "source": "sources"}
REPORT_FILE = Path(__file__).parents[1] / "report.toml"
ASSUMPTIONS_FILE = Path(__file__).parents[1] / "assumptions.toml"


def load_ledger(report: str | Path = REPORT_FILE, assumptions: str | Path = ASSUMPTIONS_FILE) -> Ledger:
    """Read and check a report's claims and the assumptions beside them.

    Parameters: `report`, `assumptions`, the two TOML files (format: docs/ledger.md).
    Raises :class:`InputError` with one line naming the value, the rule and the way out.
    """
    report, assumptions = Path(report), Path(assumptions)
    tables: dict[str, Any] = {}
    for path, names in ((report, CLAIM_TABLES), (assumptions, ASSUMPTION_TABLES)):
        found = read_versioned(path)
        if unknown := [name for name in found if name not in names]:
            near = get_close_matches(unknown[0], names, 1)
            known = ", ".join(f"[{n}]" if n == "report" else f"[[{n}]]" for n in names)
            raise InputError(
                f"{path.name}: table {unknown[0]!r} is not known: {f'write {near[0]!r}' if near else f'use {known}'}"
            )
        tables |= {field: found[name] for name, field in names.items() if name in found}
    try:
        return Ledger.model_validate(tables)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        of_claims = not first["loc"] or first["loc"][0] in CLAIM_TABLES.values()
        raise InputError(f"{(report if of_claims else assumptions).name}: {_line(first, tables)}") from None


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
    """The content of a TOML file. Raises :class:`InputError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): give the path of a readable TOML file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read as UTF-8 ({error.reason}): give a TOML text file") from None
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: is not valid TOML ({reason}): correct that line") from None


def _line(error: ErrorDetails, tables: dict[str, Any]) -> str:
    """One line for pydantic's error: where, the value, the rule, the way out."""
    table, row, field = _place(error["loc"], tables)
    message = str(error["msg"]).removeprefix("Value error, ")
    place = f"{table}{f' {row!r}' if row else ''}"
    if error["type"] == "value_error":  # from this module; a message on a whole row names it already
        return f"{place}: {field}: {message}" if field else message
    where = table if not field else place
    return f"{where}: {worded(error, field, _fields(table), table)}"


def worded(error: ErrorDetails, field: str, known: Sequence[str], table: str = "") -> str:
    """Pydantic's error about a field, or a whole table, in words: the value, the rule, the way out.

    Parameters: `known`, the fields that there are.
    """
    found, message = error["input"], str(error["msg"])
    name, short = field or table, str(found)[:60]
    value = f"{name} = {short!r}" if isinstance(found, str) else f"{name} = {short}"
    context = error.get("ctx", {})
    near = get_close_matches(field, known, 1)
    few = f"{value} is too short: give at least {context.get('min_length')}"
    table_wanted = f"found {short!r}, not a table: write it as {table or f'[{field}]'}"
    words = {
        "missing": f"`{field}` is missing: add it" if field else "is missing: add it (docs/ledger.md shows how)",
        "too_short": few if field else "is missing: add it (docs/ledger.md shows how)",
        "extra_forbidden": f"field {field!r} is not known: {f'write {near[0]!r}' if near else 'remove it'}",
        "literal_error": f"{value} is not known: use {context.get('expected')}",
        "float_type": f"{value} is not a number: write it as a number without quotes",
        "int_type": f"{value} is not a whole number: write it as a whole number without quotes",
        "string_type": f"{value} is not text: write it in quotes ({str(found)!r})",
        "tuple_type": f"{value} is not a list: write it in brackets" if field else table_wanted,
        "model_type": table_wanted,
        "model_attributes_type": table_wanted,
    }
    return words.get(error["type"], f"{value}: {message}: correct it")


def _place(loc: tuple[int | str, ...], tables: dict[str, Any]) -> tuple[str, str, str]:
    """The table, the row's name and the field of an error's location; empty where it has none."""
    if not loc:
        return "", "", ""
    names = {field: name for name, field in (*CLAIM_TABLES.items(), *ASSUMPTION_TABLES.items())}
    content, rest = tables.get(str(loc[0])), list(loc[1:])
    if not (single := loc[0] == "report") and rest:
        index = rest.pop(0)
        content = content[index] if isinstance(content, (list, tuple)) and isinstance(index, int) else None
        row = content if isinstance(content, dict) else {}
        name = str(
            row.get("id") or row.get("name") or row.get("level") or row.get("kind") or f"number {int(index) + 1}"
        )
    else:
        name = ""
    table = names.get(str(loc[0]), str(loc[0]))
    return (f"[{table}]" if single else f"[[{table}]]"), name, ".".join(map(str, rest))


def _fields(table: str) -> list[str]:
    rows: dict[str, type[Row]] = {
        "report": ReportHeader,
        "region": Segment,
        "depth": Segment,
        "modality": Modality,
        "claim": Claim,
        "assumption": Assumption,
        "trust": Trust,
        "source": Source,
    }
    return list(rows[table.strip("[]")].model_fields)
