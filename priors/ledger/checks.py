"""Checks of a ledger's rows: each must be one that something reads, in the unit and form that it expects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from postcgrp.priors.catalogue import (
    ASSUMPTIONS,
    COMPARED,
    FIXED_BECAUSE,
    HEAVY,
    OBSERVED,
    PRIOR_CLAIMS,
    RANGED,
    Entry,
    Family,
)
from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger.ledger import Ledger
from postcgrp.priors.ledger.rows import MONEY_PATTERN, Assumption, Claim, Quantified, check_support
from postcgrp.priors.messages import InputFault, nearest_or
from postcgrp.priors.segments import NARROWED, segment_in_words

USUAL_COVERAGE = Assumption.model_fields["coverage"].default
LONGEST_NAME, LONGEST_LABEL = 80, 100  # characters
LONGEST_KEY = 180  # bytes: with what stands around it in a variable's name, NetCDF takes 256
NEARLY = 0.92  # how alike a free quantity and a known one must be spelled to be a slip (difflib's ratio)
# What others call a quantity that is known here.
SYNONYMS = {
    "cagr": "growth_rate",
    "growth": "growth_rate",
    "market_size": "revenue",
    "market_value": "revenue",
    "sales": "revenue",
    "revenues": "revenue",
    "market_share": "revenue_share",
    "value_share": "revenue_share",
    "penetration": "adoption",
    "uptake": "adoption",
    "patient_count": "patients",
    "population": "patients",
}


def check_rows(ledger: Ledger) -> None:
    """Refuse rows that nothing would read, or not as they are meant. Raises :class:`InputError` with all of them."""
    if faults := [fault.text for fault in row_faults(ledger)]:
        raise InputError(*faults)


def row_faults(ledger: Ledger) -> list[InputFault]:
    """Returns what is wrong with single rows of a ledger, each at its field and position."""
    return [*_name_faults(ledger), *_claim_faults(ledger), *_assumption_faults(ledger)]


def known_quantity(name: str, among: Sequence[str] = (), likeness: float = 0.6) -> str | None:
    """Returns the quantity that a name most likely means: a synonym's or the nearest by spelling; None for neither.

    Parameters: `among`, the quantities that may be meant, by default all that anything reads; `likeness`, how alike
    (difflib's ratio) the spelling must be.
    """
    known = list(among or (*PRIOR_CLAIMS, *OBSERVED, *COMPARED))
    plain = "_".join(name.casefold().replace("-", " ").split())
    if (other := SYNONYMS.get(plain)) in known:
        return other
    return next(iter(get_close_matches(plain, known, 1, likeness)), None)


def _name_faults(ledger: Ledger) -> Iterator[InputFault]:
    """Names that are too long for the files they go into, and labels or aliases that two segments share."""
    named = {
        "regions": [s.name for s in ledger.regions],
        "depths": [s.name for s in ledger.depths],
        "modalities": [s.name for s in ledger.modalities],
        "lines": [s.name for s in ledger.lines],
        "claims": [c.id for c in ledger.claims],
        "trust": [t.level for t in ledger.trust],
        "sources": [s.kind for s in ledger.sources],
    }
    yield from _too_long(("report", "id"), ledger.report.id, LONGEST_NAME)
    for field, names in named.items():
        for k, name in enumerate(names):
            yield from _too_long((field, k), name, LONGEST_NAME)
    keys = [("modalities", k, m.name, m.key) for k, m in enumerate(ledger.modalities)]
    for field, k, name, key in (*keys, *(("lines", k, line.name, line.key) for k, line in enumerate(ledger.lines))):
        if (size := len(key.encode())) > LONGEST_KEY:
            yield InputFault(
                (field, k),
                f"{name!r} takes {size} bytes, and names of variables at most {LONGEST_KEY}: give a shorter "
                "`name` and the full one as `label`",
            )
    for field in ("regions", "depths", "modalities", "lines"):
        meant: dict[str, str] = {}  # whose name, label or alias it is
        for k, segment in enumerate(getattr(ledger, field)):
            yield from _too_long((field, k, "label"), segment.label or "", LONGEST_LABEL)
            for key in ("name", "label", "aliases"):
                words = getattr(segment, key) or ()
                for word in (words,) if isinstance(words, str) else words:
                    owner = meant.setdefault(" ".join(word.casefold().split()), segment.name)
                    if owner != segment.name:
                        yield InputFault(
                            (field, k, key),
                            f"{segment.name!r}: {key.removesuffix('es')} {word!r} is also what {owner!r} is called: "
                            "give each its own",
                        )


def _too_long(at: tuple[int | str, ...], text: str, most: int) -> Iterator[InputFault]:
    if len(text) > most:
        yield InputFault(at, f"{text[:20]!r}... is {len(text)} characters long: shorten it to {most} at most")


def _claim_faults(ledger: Ledger) -> Iterator[InputFault]:
    for k, claim in enumerate(ledger.claims):
        yield from _currency_faults(ledger, ("claims", k, "unit"), claim)
        yield from _quantity_faults(ledger, ("claims", k, "quantity"), claim)
        if claim.coverage is not None and claim.value is not None:
            yield InputFault(("claims", k, "coverage"), f"{claim.id!r}: {_needless('coverage')}")
        elif claim.coverage is not None and claim.role not in ("prior", "evidence"):
            way_out = "remove `coverage`"
            yield InputFault(
                ("claims", k, "coverage"), f"{claim.id!r} is {claim.role}, which has no coverage: {way_out}"
            )


def _quantity_faults(ledger: Ledger, at: tuple[int | str, ...], claim: Claim) -> Iterator[InputFault]:
    """A check that is compared with nothing, and a free quantity that is a known one misspelt."""
    if claim.quantity in {*PRIOR_CLAIMS, *OBSERVED, *COMPARED} or claim.role not in ("check", "context"):
        return
    if claim.role == "check":
        others = [c for c in ledger.claims if c.quantity == claim.quantity and c is not claim]
        if not others and claim.unit != "sign":
            near = known_quantity(claim.quantity)
            way_out = f"write {near!r}" if near else "make it context"
            yield InputFault(at, f"{claim.id!r}: quantity {claim.quantity!r} is compared with nothing: {way_out}")
    elif near := known_quantity(claim.quantity, likeness=NEARLY):
        yield InputFault(
            at, f"{claim.id!r}: quantity {claim.quantity!r} is not read: write {near!r}, or a name unlike it"
        )


def _assumption_faults(ledger: Ledger) -> Iterator[InputFault]:
    for k, row in enumerate(ledger.assumptions):
        at = ("assumptions", k)
        where = {s: key for s in NARROWED if (key := getattr(row, s)) is not None}
        here = f"assumption {row.id!r} {segment_in_words(where)}"
        entry = ASSUMPTIONS.get(row.id)
        if entry is None:
            way_out = nearest_or(row.id, list(ASSUMPTIONS), "remove it (docs/ledger.md lists all)")
            yield InputFault((*at, "id"), f"{here} is not one that the model knows: {way_out}")
            continue
        if foreign := list(_currency_faults(ledger, (*at, "unit"), row)):
            yield from foreign
        elif row.unit != (unit := entry.unit.format(currency=ledger.report.currency)):
            yield InputFault((*at, "unit"), f"{here}: unit {row.unit!r}, but it is in {unit!r}: convert it")
        for dim in NARROWED:
            if (key := getattr(row, dim)) is not None and dim not in entry.by:
                may = f"may name {' or '.join(entry.by)} only" if entry.by else "is one for the whole market"
                yield InputFault((*at, dim), f"{here}: {dim} {key!r}, but it {may}: remove `{dim}`")
        family = None if row.value is not None and entry.fixable else entry.family
        if row.value is None:
            family = family or RANGED.get(row.id)
        faults = _number_faults(row, entry) if family is None else _range_faults(row, family)
        yield from (InputFault(at, text if text.startswith("assumption ") else here + text) for text in faults)


def _currency_faults(ledger: Ledger, at: tuple[int | str, ...], row: Quantified) -> Iterator[InputFault]:
    currency = ledger.report.currency
    if (money := MONEY_PATTERN.fullmatch(row.unit)) and money[1] != currency:
        yield InputFault(
            at,
            f"{row.id!r}: unit {row.unit!r}, but the report's currency is {currency!r}: convert the number and write "
            f"'{currency} {money[2]}'",
        )


def _number_faults(row: Assumption, entry: Entry) -> Iterator[str]:
    if row.value is None:
        yield f" is a range {row.low:g}..{row.high:g}: it must be a fixed `value`: {FIXED_BECAUSE[row.id]}"
        return
    if row.family is not None:
        yield f": {_needless('family')}"
    if row.coverage != USUAL_COVERAGE:
        yield f": {_needless('coverage')}"
    positive = entry.positive or entry.family == "lognormal"
    if (row.value < 0 and entry.family != "normal") or (positive and row.value == 0):
        least = "above zero: write a small one (0.001)" if positive else "at least zero: correct it"
        yield f": value = {row.value:g} must be {least}"


def _range_faults(row: Assumption, usual: Family) -> Iterator[str]:
    if row.value is not None:
        yield f" is the number {row.value:g}: this one needs `low` and `high`"
        return
    if row.family not in (None, usual, HEAVY[usual]):
        may = f"may be {usual} or {HEAVY[usual]}"
        yield f": family {row.family!r}, but its prior {may}: remove `family` or correct it"
    try:
        check_support(row, usual)
    except ValueError as error:
        yield f"assumption {error}"


def _needless(key: str) -> str:
    return f"{key} has no effect on a fixed number: remove `{key}`, or give `low` and `high`"
