"""Numbers as readers see them."""

from __future__ import annotations


def short(number: float, digits: int = 3) -> str:
    """A number to so many digits; from a thousand on whole, its thousands set apart."""
    rounded = float(f"{number:.{digits}g}") + 0.0  # no -0
    return f"{number:,.0f}" if abs(rounded) >= 1000 else f"{rounded:.{digits}g}"  # noqa: PLR2004


def number_of(number: float, unit: str, digits: int = 3) -> str:
    """A number of a unit: a date to a tenth of a year and without thousands, anything else as :func:`short`."""
    return f"{number:.1f}" if unit == "year" else short(number, digits)
