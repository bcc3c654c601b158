"""Checks of assumptions: each must be one that the model uses, in the unit and form that it expects."""

from __future__ import annotations

from postcgrp.priors.catalogue import ASSUMPTIONS, HEAVY, Entry
from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger import MONEY_PATTERN, Assumption, Ledger, check_support
from postcgrp.priors.messages import nearest_or

SEGMENTS = ("year", "region", "depth", "modality")
NARROWED = (*SEGMENTS, "line")  # what a row may name to be about a part of the market


def check_assumptions(ledger: Ledger) -> None:
    """Refuse assumptions that are unknown, in another unit or form, or narrower than the model distinguishes.

    Raises :class:`InputError`.
    """
    for row in ledger.assumptions:
        where = {s: key for s in NARROWED if (key := getattr(row, s)) is not None}
        here = f"assumption {row.id!r} {segment_in_words(where)}"
        entry = ASSUMPTIONS.get(row.id)
        if entry is None:
            way_out = nearest_or(row.id, list(ASSUMPTIONS), "remove it (docs/ledger.md lists all)")
            raise InputError(f"{here} is not one that the model knows: {way_out}")
        if row.unit != (unit := entry.unit.format(currency=ledger.report.currency)):
            raise InputError(f"{here}: unit {row.unit!r}, but it is in {unit!r}: convert it")
        for dim in NARROWED:
            if (key := getattr(row, dim)) is not None and dim not in entry.by:
                may = f"may name {' or '.join(entry.by)} only" if entry.by else "is one for the whole market"
                raise InputError(f"{here}: {dim} {key!r}, but it {may}: remove `{dim}`")
        (_check_number if entry.family is None else _check_range)(row, entry, here)


def check_currency(ledger: Ledger) -> None:
    """Refuse amounts in another currency than the report's. Raises :class:`InputError`."""
    currency = ledger.report.currency
    for row in (*ledger.claims, *ledger.assumptions):
        if (money := MONEY_PATTERN.fullmatch(row.unit)) and money[1] != currency:
            raise InputError(
                f"{row.id!r}: unit {row.unit!r}, but the report's currency is {currency!r}: convert the number and "
                f"write '{currency} {money[2]}'"
            )


def segment_in_words(where: dict[str, str | int]) -> str:
    """Returns the part of the market that a row is about, in words."""
    return "for " + ", ".join(f"{s} {key}" for s, key in where.items()) if where else "for the whole market"


def _check_number(row: Assumption, entry: Entry, here: str) -> None:
    if row.value is None:
        raise InputError(f"{here} is a range {row.low:g}..{row.high:g}: it must be a fixed `value`")
    positive = entry.positive or entry.family == "lognormal"
    signed = entry.family == "normal"
    if (row.value < 0 and not signed) or (positive and row.value == 0):
        least = "above zero: write a small one (0.001)" if positive else "at least zero: correct it"
        raise InputError(f"{here}: value = {row.value:g} must be {least}")


def _check_range(row: Assumption, entry: Entry, here: str) -> None:
    if row.value is not None and entry.fixable:
        _check_number(row, entry, here)
        return
    if row.value is not None:
        raise InputError(f"{here} is the number {row.value:g}: this one needs `low` and `high`")
    usual = entry.family or "normal"
    if row.family not in (None, usual, HEAVY[usual]):
        may = f"may be {usual} or {HEAVY[usual]}"
        raise InputError(f"{here}: family {row.family!r}, but its prior {may}: remove `family` or correct it")
    try:
        check_support(row, entry.family or "normal")
    except ValueError as error:
        raise InputError(f"assumption {error}") from None
