"""Claims and series in words, with units."""

from __future__ import annotations

from itertools import pairwise

from postcgrp.priors.audit.derived import Series, YearlyFigure, yearly_rate
from postcgrp.priors.audit.reading import Ends, ends_of, is_closed, place_of
from postcgrp.priors.ledger import Claim, middle

PERCENT_SUFFIX = {"fraction": " %", "fraction per year": " % a year"}
DIRECTION = {-1: "down", 0: "no direction", 1: "up"}


def rates_in_words(series: Series) -> str:
    """Returns the yearly growth of a series with its span, and of each of its steps if there are several."""
    first, last = series[0], series[-1]
    rate = yearly_rate(first.value, last.value, last.year - first.year)
    whole = f"{percent(rate)} % a year from {first.year} to {last.year}"
    steps = [f"{percent(yearly_rate(a.value, b.value, b.year - a.year))} % to {b.year}" for a, b in pairwise(series)]
    return whole + (f" ({', '.join(steps)})" if len(steps) > 1 else "")


def path_in_words(series: Series, unit: str) -> str:
    """Returns figures by year with their ends; those without a unit are derived and get three digits."""

    def figure(point: YearlyFigure) -> str:
        numbers = [n if unit else float(f"{n:.3g}") for n in (point.value, point.low, point.high)]
        value, low, high = (f"{n:,.10g}" for n in numbers)
        return value if low == high else f"{value} ({low} to {high})"

    path = ", ".join(f"{figure(point)} in {point.year}" for point in series)
    return f"{path} {unit}".rstrip()


def percent(share: float) -> str:
    """Returns a fraction in percent, to three digits, without the sign."""
    return f"{100 * share:.3g}"


def _number(number: float, unit: str) -> str:
    return percent(number) if unit in PERCENT_SUFFIX else f"{number:,.10g}"


def range_in_words(ends: Ends, unit: str) -> str:
    """Returns a range, or a point for two equal ends, with its unit; fractions as percentages."""
    low, high = (_number(end, unit) for end in ends)
    return (low if low == high else f"{low} to {high}") + PERCENT_SUFFIX.get(unit, f" {unit}")


def bare_range(claim: Claim) -> str:
    """Returns what a claim states without its unit; a percent sign stays."""
    return range_in_words(ends_of(claim), claim.unit).removesuffix(f" {claim.unit}")


def claim_in_words(claim: Claim) -> str:
    """Returns what a claim states, with its unit."""
    if is_closed(claim):
        return range_in_words(ends_of(claim), claim.unit)
    end = middle(claim)
    return f"{'at least' if claim.high is None else 'at most'} {range_in_words((end, end), claim.unit)}"


def place_in_words(claim: Claim) -> str:
    """Returns the year and segment that a claim is about, in words."""
    return str(place_of(claim))


def direction_in_words(claim: Claim) -> str:
    """Returns the direction of a claim whose unit is `sign`."""
    value = claim.value or 0.0
    return DIRECTION[(value > 0) - (value < 0)]
