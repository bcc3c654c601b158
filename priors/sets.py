"""Prior sets: small TOML overlays on the ledger, each a view that somebody could hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import ValidationError, model_validator

from postcgrp.priors.build import effective
from postcgrp.priors.catalogue import ASSUMPTIONS, PRIOR_CLAIMS, Family
from postcgrp.priors.checks import NARROWED, segment_in_words
from postcgrp.priors.elicit import LINK
from postcgrp.priors.errors import InputError
from postcgrp.priors.evidence import Evidence
from postcgrp.priors.ledger import (
    Assumption,
    Claim,
    Ledger,
    Number,
    Row,
    Text,
    Trust,
    Whole,
    ledger_error,
    read_versioned,
)
from postcgrp.priors.messages import first_error, in_words, nearest_or
from postcgrp.priors.priorset import PriorSet
from postcgrp.priors.settings import Settings
from postcgrp.priors.shipped import shipped

_EVERY = "*"
SHARE_FAMILIES = ("logitnormal", "logitstudent")


class Change(Row):
    """A change to an assumption or to a claim's range: a new number or range, or the old one moved or widened.

    `centre` moves the middle of a range, and `spread` multiplies its width, on the link scale of its prior.
    """

    id: Text
    year: Whole | None = None
    region: str | None = None
    depth: str | None = None
    modality: str | None = None
    line: str | None = None
    value: Number | None = None
    low: Number | None = None
    high: Number | None = None
    centre: Number | None = None
    spread: Number | None = None
    coverage: Number | None = None
    family: Family | None = None
    source: Text | None = None
    reason: Text

    @model_validator(mode="after")
    def _changes(self) -> Self:
        stated = [k for k in ("value", "low", "centre", "spread") if getattr(self, k) is not None]
        if not stated and self.family is None and self.coverage is None:
            raise ValueError(
                " changes nothing: give `value`, `low` and `high`, `centre`, `spread`, `family` or `coverage`"
            )
        if (self.low is None) != (self.high is None):
            raise ValueError(" has an open range: give both `low` and `high`")
        if len({"value", "low"} & set(stated)) and len(stated) > 1:
            raise ValueError(f" has {' and '.join(stated)}: keep a number, a range, or `centre` and `spread`")
        if self.spread is not None and self.spread <= 0:
            raise ValueError(f".spread = {self.spread:g} must be above zero: 2 doubles the width")
        return self


class SetSettings(Row):
    """The settings that a set changes; None leaves one as it was. See :class:`postcgrp.priors.Settings`."""

    coverage: Number | None = None
    trust: Text | None = None
    adoption_scope: Text | None = None
    uptake_shape: Text | None = None
    stringency: Text | None = None
    vendor_build_up: Number | None = None
    leave_out: tuple[Text, ...] | None = None


class Overlay(Row):
    """One prior set: its name, the line a modeller would say for it, and what it changes."""

    name: Text
    says: Text
    settings: SetSettings = SetSettings()
    trust: tuple[Trust, ...] = ()
    assumption: tuple[Change, ...] = ()
    claim: tuple[Change, ...] = ()


def load_overlay(name: str | Path) -> Overlay:
    """Returns a shipped set by its name, or the set of a TOML file.

    Raises :class:`InputError` with one line naming the value, the rule and the way out.
    """
    path = shipped().get(str(name), Path(name))
    if not path.suffix and not path.exists():
        names = ", ".join(shipped())
        raise InputError(f"prior set {str(name)!r} is not shipped: use one of {names}, or a .toml file")
    content = read_versioned(path)
    try:
        return Overlay.model_validate(content)
    except ValidationError as error:
        line = in_words(first_error(error), Overlay, content, guide="docs/prior-sets.md")
        raise InputError(f"{path.name}: {line}") from None


def apply(ledger: Ledger, overlay: Overlay) -> Ledger:
    """Returns the ledger as changed by a set.

    Raises :class:`InputError` for a change to what the ledger does not have.
    """
    assumptions = list(ledger.assumptions)
    for change in overlay.assumption:
        _change_assumption(assumptions, change, overlay.name)
    claims = list(ledger.claims)
    for change in overlay.claim:
        _change_claim(claims, change, overlay.name)
    levels = {row.level: row for row in (*ledger.trust, *overlay.trust)}
    changed = ledger.model_dump() | {
        "assumptions": [row.model_dump() for row in assumptions],
        "claims": [row.model_dump() for row in claims],
        "trust": [row.model_dump() for row in levels.values()],
    }
    try:
        return Ledger.model_validate(changed)
    except ValidationError as error:
        raise InputError(f"prior set {overlay.name!r}: {ledger_error(error, changed)}") from None


def prior_set(
    ledger: Ledger,
    overlay: Overlay | None = None,
    *,
    turned: Mapping[str, Any] | None = None,
    evidence: Sequence[Evidence] = (),
) -> PriorSet:
    """Returns the effective priors and evidence of a ledger under a set.

    Parameters: `turned`, settings that override the set's; `evidence`, rows beside the report's. Raises
    :class:`InputError`.
    """
    settings = Settings()
    if overlay is not None:
        ledger = apply(ledger, overlay)
        changed = {key: value for key, value in overlay.settings.model_dump().items() if value is not None}
        settings = replace(settings, priors=overlay.name, **changed)
    settings = replace(settings, **(turned or {}))
    settings = replace(settings, leave_out=_left_out(ledger, settings.leave_out))
    pset = effective(ledger, settings)
    return pset.with_evidence([*pset.evidence, *evidence]) if evidence else pset


def difference(first: PriorSet, second: PriorSet) -> list[dict[str, Any]]:
    """Returns what two sets disagree on: one row per setting, prior, row of evidence or source error."""
    rows = [
        {"what": "setting", "name": key, "first": value, "second": asdict(second.settings)[key]}
        for key, value in asdict(first.settings).items()
    ]
    sides = []
    for pset in (first, second):
        table = pset.table()
        entries = {
            ("prior", f"{r.variable}: {r.prior}"): f"{r.family} {r.q05:.4g} / {r.median:.4g} / {r.q95:.4g} {r.unit}"
            for r in table.itertuples()
        }
        entries |= {
            ("evidence", row.id): f"{row.value:.6g} {row.unit}, log-sd {row.log_sd:.3g} ({row.source})"
            for row in pset.evidence
        }
        entries |= {
            ("source error", f"{source} {year}"): f"log-sd {sd:.3g}, bias {bias:.3g}"
            for source in pset.sources
            for year, sd, bias in zip(
                pset.ledger.report.anchors,
                pset.source_log_sd(source, pset.ledger.report.anchors),
                pset.source_log_bias(source, pset.ledger.report.anchors),
                strict=True,
            )
        }
        sides.append(entries)
    keys = dict.fromkeys([*sides[0], *sides[1]])
    rows += [
        {"what": key[0], "name": key[1], "first": sides[0].get(key, ""), "second": sides[1].get(key, "")}
        for key in keys
    ]
    return [row for row in rows if row["first"] != row["second"]]


def _left_out(ledger: Ledger, names: Sequence[str]) -> tuple[str, ...]:
    """Returns the ids of claims to leave out; the name of a quantity stands for all evidence on it."""
    out: list[str] = []
    for name in names:
        rows = [c.id for c in ledger.claims if c.role == "evidence" and c.quantity == name]
        out += rows or [name]
    return tuple(dict.fromkeys(out))


def _change_assumption(rows: list[Assumption], change: Change, name: str) -> None:
    """Change one row, or every range (`*`), in place, or add a row for a segment that a wider row covered."""
    where = {s: key for s in NARROWED if (key := getattr(change, s)) is not None}
    if change.id == _EVERY:
        every = [k for k, row in enumerate(rows) if row.value is None and _covers(where, row)]
        if not every:
            raise InputError(
                f"prior set {name!r}: no range {segment_in_words(where)} is in the ledger: remove the change of '*'"
            )
        for k in every:
            rows[k] = _changed(
                rows[k], change, ASSUMPTIONS[rows[k].id].family if rows[k].id in ASSUMPTIONS else None, name
            )
        return
    known = [row for row in rows if row.id == change.id]
    if not known:
        way_out = nearest_or(change.id, [row.id for row in rows], "postcgrp priors lists them")
        raise InputError(f"prior set {name!r}: assumption {change.id!r} is not in the ledger: {way_out}")
    family = ASSUMPTIONS[change.id].family if change.id in ASSUMPTIONS else None
    # A change reaches every row inside its part of the market; where there is none, it becomes a row for that part.
    inside = [k for k, row in enumerate(rows) if row.id == change.id and _covers(where, row)]
    for k in inside:
        rows[k] = _changed(rows[k], change, family, name)
    if not inside:
        wider = [row for row in known if all(getattr(row, s) in (None, where.get(s)) for s in NARROWED)]
        if not wider:
            raise InputError(
                f"prior set {name!r}: assumption {change.id!r} {segment_in_words(where)} is not in the "
                "ledger: remove it"
            )
        nearest = max(wider, key=lambda row: sum(getattr(row, s) is not None for s in NARROWED))
        rows.append(_changed(nearest, change, family, name).model_copy(update=where))


def _covers(where: Mapping[str, Any], row: Assumption) -> bool:
    return all(getattr(row, key) == value for key, value in where.items())


def _change_claim(rows: list[Claim], change: Change, name: str) -> None:
    at = next((k for k, row in enumerate(rows) if row.id == change.id), None)
    if at is None:
        way_out = nearest_or(change.id, [row.id for row in rows], "postcgrp audit lists them")
        raise InputError(f"prior set {name!r}: claim {change.id!r} is not in the ledger: {way_out}")
    row = rows[at]
    if row.role not in ("prior", "evidence"):
        raise InputError(
            f"prior set {name!r}: claim {change.id!r} is {row.role}, which no model reads: remove the change"
        )
    family = PRIOR_CLAIMS[row.quantity].family if row.role == "prior" else "lognormal"
    rows[at] = _changed(row, change, family, name)


def _changed[R: (Assumption, Claim)](row: R, change: Change, family: Family | None, name: str) -> R:
    """Returns a row with the numbers of a change and a note of who changed it."""
    new: dict[str, Any] = {"reason": change.reason}
    if isinstance(row, Assumption):
        new["source"] = change.source or f"prior set {name}"
        new |= {k: v for k in ("coverage", "family") if (v := getattr(change, k)) is not None}
    elif change.coverage is not None or change.family is not None:
        raise InputError(
            f"prior set {name!r}: claim {row.id!r}: a claim has no coverage or family of its own: change `coverage` in "
            "[settings]"
        )
    if change.value is not None:
        new |= {"value": change.value, "low": None, "high": None}
    if change.low is not None:
        new |= {"value": None, "low": change.low, "high": change.high}
    if change.centre is not None or change.spread is not None:
        new |= _moved(row, change, new.get("family") or family, name)
    return row.model_copy(update=new)


def _moved(row: Assumption | Claim, change: Change, family: Family | None, name: str) -> dict[str, Any]:
    if row.low is None or row.high is None:
        if change.spread is None:
            return {"value": change.centre}
        raise InputError(f"prior set {name!r}: {row.id!r} is a number and has no spread: give another `value`")
    forward, inverse = LINK[family or "normal"]
    with np.errstate(all="ignore"):
        low, high = float(forward(row.low)), float(forward(row.high))
        centre = (low + high) / 2 if change.centre is None else float(forward(change.centre))
        half = (high - low) / 2 * (change.spread or 1.0)
        new = {"low": float(inverse(centre - half)), "high": float(inverse(centre + half))}
    if not np.isfinite(centre):
        rule = (
            "must lie between 0 and 1: write percentages as fractions"
            if family in SHARE_FAMILIES
            else "must be above zero"
        )
        raise InputError(f"prior set {name!r}: {row.id!r}: centre = {change.centre:g} {rule}")
    if not new["low"] < new["high"] < np.inf:
        raise InputError(f"prior set {name!r}: {row.id!r}: spread = {change.spread or 1:g} is too wide: lower it")
    return new
