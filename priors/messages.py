"""Validation errors in words: one line each, with the place, the value, the rule that it breaks and the way out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from postcgrp.priors.toml_lines import Location

ROW_NAMES = ("id", "name", "level", "kind")  # what a row is called by: the first of these keys that it has
LONGEST_VALUE = 60  # characters shown of a value
NO_DATE = "is no date: write it as 2026-01-01, without quotes"


def nearest_or(name: str, known: Sequence[str], otherwise: str) -> str:
    """Returns the way out of an unknown name: the nearest of the `known` ones if one is near, else `otherwise`."""
    near = get_close_matches(name, known, 1)
    return f"write {near[0]!r}" if near else otherwise


class InputFault(NamedTuple):
    """One fault of a file: `at`, the keys and positions that lead to it (empty: the whole file), and what is said."""

    at: Location
    text: str


class RowFaultsError(ValueError):
    """What a validator of the whole finds in its rows: each fault with the row that it is in."""

    def __init__(self, faults: Sequence[InputFault]) -> None:
        super().__init__("\n".join(fault.text for fault in faults))
        self.faults = tuple(faults)


class Gathered:
    """The faults of several checks of one ledger, each with where it is."""

    def __init__(self) -> None:
        self.faults: list[InputFault] = []

    @contextmanager
    def at(self, *location: int | str) -> Iterator[None]:
        """Keeps what a check inside says in a :class:`ValueError`, a fault at `location` for each of its lines."""
        try:
            yield
        except ValueError as error:
            self.faults += [InputFault(location, line) for line in str(error).split("\n")]


def faults_in_words(
    error: ValidationError,
    model: type[BaseModel],
    content: Mapping[str, Any],
    *,
    guide: str,
    tables: Mapping[str, str] | None = None,
) -> list[InputFault]:
    """Returns every fault that pydantic found, each with the place, the value, the rule and the way out.

    A place is the path of keys, joined by dots, in which a row goes by its name or its number (`claim.moh_2025.low`).
    What a validator of this package says continues the path if it begins with a blank, a dot or a colon; otherwise it
    names the place itself. A key that is missing because it is misspelt is one fault, the misspelt one, and nothing is
    said of a whole in which something is wrong.

    Parameters: `model`, what was validated; `content`, what it was made from; `guide`, the page that lists the keys;
    `tables`, how the file calls those fields of `model` that have another name there.
    """
    errors = error.errors(include_url=False)
    strange = [each["loc"] for each in errors if each["type"] == "extra_forbidden"]
    found: list[InputFault] = []
    for each in errors:
        *parent, key = each["loc"] or ("",)
        beside = [str(loc[-1]) for loc in strange if list(loc[:-1]) == parent]
        if each["type"] == "missing" and get_close_matches(str(key), beside, 1):
            continue
        cause = each.get("ctx", {}).get("error")
        own = (
            cause.faults if isinstance(cause, RowFaultsError) else _in_words(each, model, content, guide, tables or {})
        )
        found += own
    return [fault for fault in found if not any(_within(other.at, fault.at) for other in found)]


def _within(inner: Location, outer: Location) -> bool:
    """Whether one place lies inside another: what is wrong with the whole may follow from what is wrong inside."""
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _in_words(
    error: ErrorDetails, model: type[BaseModel], content: Mapping[str, Any], guide: str, tables: Mapping[str, str]
) -> list[InputFault]:
    """Returns the faults of one error: a validator of this package may say several, a line each."""
    place = _place(error["loc"], model, content, tables)
    if error["type"] != "value_error":
        return [InputFault(error["loc"], f"{place.path}{_rule(error, place, guide)}")]
    faults = []
    for line in str(error["msg"]).removeprefix("Value error, ").split("\n"):
        key = re.match(r"\.(\w+)", line)  # what continues the path with a key is about that key
        at = (*error["loc"], key[1]) if key else error["loc"]
        faults.append(InputFault(at, f"{place.path}{line}" if line.startswith((" ", ".", ":")) else line))
    return faults


class _Place(NamedTuple):
    """Where an error is.

    `path` names rows; `header` is how a table there begins in TOML, with `many` for a list of tables; `field` is what
    the model expects there, None for a key that it does not have; `known` are the keys that it has.
    """

    path: str
    header: str
    many: bool
    field: FieldInfo | None
    known: tuple[str, ...]


def _place(location: tuple[int | str, ...], model: type[BaseModel], content: Any, tables: Mapping[str, str]) -> _Place:
    """Follow an error's location through the model and, for the names of rows, through the content."""
    path, keys = "", list[str]()
    inside: Iterator[type[BaseModel]] = iter([model])
    field: FieldInfo | None = None
    known: tuple[str, ...] = ()
    many = False
    for step in location:
        content = _below(content, step)
        if isinstance(step, int):
            path += _row(content, step)
            continue
        parent = next(inside, None)
        fields = {info.alias or key: info for key, info in parent.model_fields.items()} if parent else {}
        field, known = fields.get(step), tuple(tables.get(key, key) for key in fields)
        annotation = field.annotation if field else None
        inside = _models(annotation)
        many = get_origin(annotation) is tuple and any(_models(annotation))
        key = " ".join((tables.get(step, step) if parent is model else step).split())  # a quoted key may hold line ends
        keys.append(key)
        path += f".{key}" if path else key
    header = ".".join(keys)
    return _Place(path, f"[[{header}]]" if many else f"[{header}]", many, field, known)


def _below(content: Any, step: int | str) -> Any:
    if isinstance(content, Mapping):
        return content.get(step)
    if isinstance(content, Sequence) and isinstance(step, int) and step < len(content):
        return content[step]
    return None


def _row(content: Any, position: int) -> str:
    """How a path goes on to one row, or item, of a list."""
    names = (content.get(key) for key in ROW_NAMES) if isinstance(content, Mapping) else ()
    name = next((" ".join(name.split()) for name in names if isinstance(name, str) and name.strip()), None)
    return f"[{position + 1}]" if name is None else f".{name}"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _rule(error: ErrorDetails, place: _Place, guide: str) -> str:
    """What follows the path: the value where there is one, the rule and the way out."""
    value, context = error["input"], error.get("ctx", {})
    shown = repr(value[:LONGEST_VALUE]) if isinstance(value, str) else str(value)[:LONGEST_VALUE]
    table = f" = {shown} is not a table: write it as {place.header}"
    listed = f" = {shown} is not a list: write it in brackets"
    missing = f" is missing: add it ({guide})"
    optional = place.field is not None and not place.field.is_required()
    few = f" = {shown} is too short: give at least {context.get('min_length')}{', or leave it out' if optional else ''}"
    other = f"use one of {', '.join(place.known)}" if place.known else "remove it"
    rules = {
        "missing": missing,
        "too_short": missing if place.many else few,
        "extra_forbidden": f" is not known: {nearest_or(str(error['loc'][-1]), place.known, other)}",
        "literal_error": f" = {shown} is not known: use {context.get('expected')}",
        "string_pattern_mismatch": f" = {shown} is empty: write a few words",
        "string_type": f" = {shown} is not text: write it in quotes ({str(value)[:LONGEST_VALUE]!r})",
        "bool_type": f" = {shown} is not true or false: write one of them without quotes",
        "int_type": f" = {shown} is not a whole number: write it as a whole number without quotes",
        "float_type": f" = {shown} is not a number: write it as a number without quotes",
        "date_from_datetime_parsing": f" = {shown} {NO_DATE}",
        "date_from_datetime_inexact": f" = {shown} {NO_DATE}",
        "tuple_type": table if place.many else listed,
        "model_type": table,
        "model_attributes_type": table,
    }
    return rules.get(error["type"], f" = {shown}: {error['msg']}: correct it")
