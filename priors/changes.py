"""What a prior set changes in a ledger: rows of an overlay, laid over the claims and assumptions that they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from pydantic import model_validator

from postcgrp.priors.catalogue import ASSUMPTIONS, PRIOR_CLAIMS, RANGED, Family
from postcgrp.priors.elicit import LINK, from_quantiles, range_of
from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger import Assumption, Claim, Ledger, Number, Text, misfit_coverage
from postcgrp.priors.ledger.rows import Placed
from postcgrp.priors.lookup import label_of
from postcgrp.priors.messages import nearest_or
from postcgrp.priors.segments import NARROWED, segment_in_words
from postcgrp.priors.settings import Settings
from postcgrp.priors.toml_lines import Location

_EVERY = "*"
SHARE_FAMILIES = ("logitnormal", "logitstudent")
ENDS = 2  # quantiles that fix a distribution of two parameters


class Change(Placed):
    """A change to an assumption or to a claim: a new number, range or pair of quantiles, or the old range moved.

    `centre` moves the middle of a range, and `spread` multiplies its width, on the link scale of its prior.
    `quantiles` has what lies below each number, in percent: `{ 50 = 0.12, 90 = 0.20 }`. The id `*` means every
    assumption that is a range, but those that `but` names.
    """

    but: tuple[Text, ...] = ()
    quantiles: dict[str, Number] | None = None
    centre: Number | None = None
    spread: Number | None = None
    coverage: Number | None = None
    family: Family | None = None
    source: Text | None = None
    reason: Text

    @model_validator(mode="after")
    def _changes(self) -> Self:
        stated = [k for k in ("value", "low", "quantiles", "centre", "spread") if getattr(self, k) is not None]
        if not stated and self.family is None and self.coverage is None:
            raise ValueError(
                " changes nothing: give `value`, `low` and `high`, `quantiles`, `centre`, `spread`, `family` or "
                "`coverage`"
            )
        if (self.low is None) != (self.high is None):
            raise ValueError(" has an open range: give both `low` and `high`")
        if len({"value", "low", "quantiles"} & set(stated)) and len(stated) > 1:
            raise ValueError(f" has {' and '.join(stated)}: keep a number, a range, or `centre` and `spread`")
        for key in ("family", "coverage"):
            if self.value is not None and getattr(self, key) is not None:
                raise ValueError(f".{key} has no effect on a fixed number: remove `{key}`, or give `low` and `high`")
        if self.coverage is not None and (wrong := misfit_coverage(self.coverage)):
            raise ValueError(f".{wrong}")
        if self.spread is not None and self.spread <= 0:
            raise ValueError(f".spread = {self.spread:g} must be above zero: 2 doubles the width")
        if self.quantiles is not None:
            self._ordered(self.quantiles)
        return self

    @model_validator(mode="after")
    def _leaves_out(self) -> Self:
        if self.but and self.id != _EVERY:
            raise ValueError(f".but has no effect on {self.id!r}: remove it, or change '{_EVERY}'")
        if unknown := [name for name in self.but if name not in ASSUMPTIONS]:
            way_out = nearest_or(unknown[0], list(ASSUMPTIONS), "remove it")
            raise ValueError(f".but = {unknown[0]!r} is no assumption: {way_out}")
        return self

    def _ordered(self, quantiles: Mapping[str, float]) -> None:
        where = f".quantiles = {dict(quantiles)}"
        try:
            levels = sorted((float(key), number) for key, number in quantiles.items())
        except ValueError:
            levels = []
        if len(levels) != ENDS or not all(0 < level < 100 for level, _ in levels):  # noqa: PLR2004  percent
            raise ValueError(f"{where}: give two, by the percentage that lies below each: {{ 50 = 0.12, 90 = 0.20 }}")
        if not levels[0][1] < levels[1][1]:
            raise ValueError(f"{where}: do not rise with the percentage: correct one of them")

    def fractions(self) -> dict[float, float]:
        """Returns the quantiles by the fraction of mass below each."""
        return {float(level) / 100: number for level, number in (self.quantiles or {}).items()}


@dataclass
class Laid:
    """A ledger while a set is laid over it: its rows, which change touched which, and what was found wrong."""

    ledger: Ledger
    name: str
    assumptions: list[Assumption] = field(init=False)
    claims: list[Claim] = field(init=False)
    touched: dict[Location, set[Location]] = field(default_factory=dict)  # rows of the ledger, by change
    seen: set[tuple[object, ...]] = field(default_factory=set)  # what was changed: table, id and place

    def __post_init__(self) -> None:
        self.assumptions, self.claims = list(self.ledger.assumptions), list(self.ledger.claims)

    def change(self, table: str, position: int, change: Change) -> None:
        """Apply one change, to the row or rows that it names. Raises :class:`InputError`, and then changes nothing."""
        where = change_place(self.ledger, change)
        if (again := (table, change.id, *where.items())) in self.seen:
            raise InputError(
                f"{table} {change.id!r} {segment_in_words(where)} is changed twice: keep one of the changes"
            )
        self.seen.add(again)
        rows: list[tuple[int, Any]]
        kept: list[Any]
        if table == "claim":
            field_name, kept, rows = "claims", self.claims, [self._claim(change, where)]
        else:
            field_name, kept, rows = "assumptions", self.assumptions, list(self._assumptions(change, where))
        for k, row in rows:
            kept[k : k + 1] = [row]
        self.touched[table, position] = {(field_name, k) for k, _ in rows}

    def _assumptions(self, change: Change, where: dict[str, Any]) -> list[tuple[int, Assumption]]:
        """Returns the rows inside the part of the market, changed; where there is none, a row for that part."""
        rows = self.assumptions
        if change.id == _EVERY:
            ranges = [k for k, row in enumerate(rows) if row.value is None and row.id not in change.but]
            every = [k for k in ranges if _covers(where, rows[k])]
            if not every:
                raise InputError(f"no range {segment_in_words(where)} is in the ledger: remove the change of '*'")
            return [(k, _changed(rows[k], change, _family(rows[k].id), self.name)) for k in every]
        known = [row for row in rows if row.id == change.id]
        if not known:
            way_out = nearest_or(change.id, [row.id for row in rows], "postcgrp priors lists them")
            raise InputError(f"assumption {change.id!r} is not in the ledger: {way_out}")
        family = _family(change.id)
        inside = [k for k, row in enumerate(rows) if row.id == change.id and _covers(where, row)]
        if inside:
            return [(k, _changed(rows[k], change, family, self.name)) for k in inside]
        wider = [row for row in known if all(getattr(row, s) in (None, where.get(s)) for s in NARROWED)]
        if not wider:
            raise InputError(f"assumption {change.id!r} {segment_in_words(where)} is not in the ledger: remove it")
        nearest = max(wider, key=lambda row: sum(getattr(row, s) is not None for s in NARROWED))
        return [(len(rows), _changed(nearest, change, family, self.name).model_copy(update=where))]

    def _claim(self, change: Change, where: dict[str, Any]) -> tuple[int, Claim]:
        at = next((k for k, row in enumerate(self.claims) if row.id == change.id), None)
        if at is None:
            way_out = nearest_or(
                change.id, [row.id for row in self.claims], "its claims are those of the report's file, by `id`"
            )
            raise InputError(f"claim {change.id!r} is not in the ledger: {way_out}")
        row = self.claims[at]
        if row.role not in ("prior", "evidence"):
            raise InputError(f"claim {change.id!r} is {row.role}, which no model reads: remove the change")
        if wrong := {dim: key for dim, key in where.items() if getattr(row, dim) != key}:
            raise InputError(f"claim {change.id!r} is not {segment_in_words(wrong)}: {self._meant(row, where, wrong)}")
        family = PRIOR_CLAIMS[row.quantity].family if row.role == "prior" else "lognormal"
        return at, _changed(row, change, family, self.name)

    def _meant(self, row: Claim, where: Mapping[str, Any], wrong: Mapping[str, Any]) -> str:
        """Returns the way out of a change that names another year or segment than its claim's."""
        place = {dim: where.get(dim, getattr(row, dim)) for dim in NARROWED}
        beside = [c for c in self.claims if c.quantity == row.quantity and c.role in ("prior", "evidence")]
        others = [c.id for c in beside if all(getattr(c, dim) == key for dim, key in place.items())]
        said = f"remove {' and '.join(f'`{dim}`' for dim in wrong)}: a change to a claim changes its numbers only"
        return f"change {' or '.join(map(repr, others))} instead, or {said}" if others else said


def change_place(ledger: Ledger, change: Change) -> dict[str, Any]:
    """Returns the part of the market that a change names, its labels by their names in the ledger.

    Raises :class:`InputError` for a label that the ledger does not have.
    """
    where = {s: key for s in NARROWED if (key := getattr(change, s)) is not None}
    try:
        return {s: label_of(ledger, s, key) if s != "year" else key for s, key in where.items()}
    except InputError as error:
        raise InputError(*(f"{change.id!r}: {fault}" for fault in error.faults)) from None


def ids_left_out(ledger: Ledger, names: Sequence[str]) -> tuple[str, ...]:
    """Returns the ids of claims to leave out; the name of a quantity stands for all evidence on it."""
    out: list[str] = []
    for name in names:
        rows = [c.id for c in ledger.claims if c.role == "evidence" and c.quantity == name]
        out += rows or [name]
    return tuple(dict.fromkeys(out))


def fitting(ledger: Ledger, settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Returns those settings of a set that a market has, and what is wrong with each of the others."""
    uptakes, known = [m.uptake for m in ledger.modalities], {claim.id for claim in ledger.claims}
    kept, unfit = dict(settings), list[str]()
    if (trust := settings.get("trust")) and trust not in (levels := [t.level for t in ledger.trust]):
        unfit.append(f"trust {kept.pop('trust')!r}: the ledger has {', '.join(levels)}")
    scope = settings.get("adoption_scope", Settings.adoption_scope)
    if scope != Settings.adoption_scope and (uptakes.count("adoption") != 1 or "launch" not in uptakes):
        unfit.append(f"adoption_scope {kept.pop('adoption_scope')!r}: there is no launch beside one adoption curve")
    for name in settings.get("leave_out", ()):
        if not set(ids_left_out(ledger, [name])) <= known:
            kept["leave_out"] = tuple(other for other in kept["leave_out"] if other != name)
            unfit.append(f"leave_out {name!r}: the report has no such evidence")
    return kept, unfit


def _covers(where: Mapping[str, Any], row: Assumption) -> bool:
    return all(getattr(row, key) == value for key, value in where.items())


def _family(name: str) -> Family | None:
    return ASSUMPTIONS[name].family or RANGED.get(name) if name in ASSUMPTIONS else None


def _changed[R: (Assumption, Claim)](row: R, change: Change, family: Family | None, name: str) -> R:
    """Returns a row with the numbers of a change and a note of who changed it."""
    family = change.family or (row.family if isinstance(row, Assumption) else None) or family
    return row.model_copy(
        update={"reason": change.reason, **_noted(row, change, name), **_numbers(row, change, family)}
    )


def _noted(row: Assumption | Claim, change: Change, name: str) -> dict[str, Any]:
    """Returns what a change says beside numbers. Raises :class:`InputError` for what a claim does not have."""
    if isinstance(row, Assumption):
        return {"source": change.source or f"prior set {name}", "family": change.family or row.family}
    for key in ("family", "source"):
        if getattr(change, key) is not None:
            raise InputError(f"claim {row.id!r}: a claim has no {key} of its own: remove `{key}`")
    return {}


def _numbers(row: Assumption | Claim, change: Change, family: Family | None) -> dict[str, Any]:
    """Returns the number or range of a row after a change, and its coverage where that changes too."""
    if change.value is not None:
        plain = {"value": change.value, "low": None, "high": None}
        return plain | {"coverage": None} if isinstance(row, Claim) else plain
    coverage = {} if change.coverage is None else {"coverage": change.coverage}
    if change.low is not None:
        return {"value": None, "low": change.low, "high": change.high, **coverage}
    if change.quantiles is not None:
        return _between(row, change, family)
    if change.centre is not None or change.spread is not None:
        return _moved(row, change, family) | coverage
    if row.value is not None:
        key = "coverage" if coverage else "family"
        raise InputError(f"{row.id!r} is a number, on which {key} has no effect: give `low` and `high`, or `value`")
    return coverage


def _between(row: Assumption | Claim, change: Change, family: Family | None) -> dict[str, Any]:
    """Returns the range that holds its coverage under the distribution with the quantiles of a change."""
    coverage = change.coverage or row.coverage or Settings.coverage
    try:
        low, high = range_of(*from_quantiles(change.fractions(), family or "normal"), coverage, family or "normal")
    except InputError as error:
        raise InputError(f"{row.id!r}: {error}") from None
    return {"value": None, **_ends(low, high, family), "coverage": coverage}


def _ends(low: float, high: float, family: Family | None) -> dict[str, float]:
    """The ends of a computed range without the last digits, in which processors differ."""
    nothing = 0.0 if family and family.startswith("log") else 1e-12 * max(abs(low), abs(high))
    return {name: float(f"{end:.12g}") if abs(end) > nothing else 0.0 for name, end in (("low", low), ("high", high))}


def _moved(row: Assumption | Claim, change: Change, family: Family | None) -> dict[str, Any]:
    if row.low is None or row.high is None:
        if change.spread is None:
            return {"value": change.centre}
        ranged = ", or `low` and `high`" if family else ""
        raise InputError(f"{row.id!r} is a number and has no spread: give another `value`{ranged}")
    forward, inverse = LINK[family or "normal"]
    with np.errstate(all="ignore"):
        low, high = float(forward(row.low)), float(forward(row.high))
        centre = (low + high) / 2 if change.centre is None else float(forward(change.centre))
        half = (high - low) / 2 * (change.spread or 1.0)
        new = _ends(float(inverse(centre - half)), float(inverse(centre + half)), family)
    if not np.isfinite(centre):
        rule = (
            "must lie between 0 and 1: write percentages as fractions"
            if family in SHARE_FAMILIES
            else "must be above zero"
        )
        raise InputError(f"{row.id!r}: centre = {change.centre:g} {rule}")
    if row.unit == "fraction" and new["high"] > 1 >= row.high:
        raise InputError(
            f"{row.id!r}: spread = {change.spread or 1:g} takes its range above 1: lower it, or leave it out"
        )
    if not new["low"] < new["high"] < np.inf:
        raise InputError(f"{row.id!r}: spread = {change.spread or 1:g} is too wide: lower it")
    return new
