"""Claims and series in words, with units."""

from __future__ import annotations

from itertools import pairwise

from postcgrp.priors.audit.derived import Series, YearlyFigure, _rate
from postcgrp.priors.audit.reading import Ends, _cell, _closed, _ends
from postcgrp.priors.ledger import Claim, middle

PERCENT_SUFFIX = {"fraction": " %", "fraction per year": " % a year"}
DIRECTION = {-1: "down", 0: "no direction", 1: "up"}


def _rates(series: Series) -> str:
    first, last = series[0], series[-1]
    whole = f"{_percent(_rate(first.value, last.value, last.year - first.year))} % a year"
    steps = [f"{_percent(_rate(a.value, b.value, b.year - a.year))} % to {b.year}" for a, b in pairwise(series)]
    return whole + (f" ({', '.join(steps)})" if len(steps) > 1 else "")


def _path(series: Series, unit: str) -> str:
    """Figures by year; those worked out (no unit of a claim) to three digits, with their ends."""

    def figure(point: YearlyFigure) -> str:
        numbers = [n if unit else float(f"{n:.3g}") for n in (point.value, point.low, point.high)]
        value, low, high = (f"{n:,.10g}" for n in numbers)
        return value if low == high else f"{value} ({low} to {high})"

    path = ", ".join(f"{figure(point)} in {point.year}" for point in series)
    return f"{path} {unit}".rstrip()


def _percent(share: float) -> str:
    return f"{100 * share:.3g}"


def _number(number: float, unit: str) -> str:
    return _percent(number) if unit in PERCENT_SUFFIX else f"{number:,.10g}"


def _text(ends: Ends, unit: str) -> str:
    low, high = (_number(end, unit) for end in ends)
    return (low if low == high else f"{low} to {high}") + PERCENT_SUFFIX.get(unit, f" {unit}")


def _ends_text(claim: Claim) -> str:
    return _text(_ends(claim), claim.unit).removesuffix(f" {claim.unit}")


def _stated(claim: Claim) -> str:
    if _closed(claim):
        return _text(_ends(claim), claim.unit)
    end = middle(claim)
    return f"{'at least' if claim.high is None else 'at most'} {_text((end, end), claim.unit)}"


def _where(claim: Claim) -> str:
    return str(_cell(claim))


def _direction(claim: Claim) -> str:
    value = claim.value or 0.0
    return DIRECTION[(value > 0) - (value < 0)]
