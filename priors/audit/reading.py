"""Claims as an audit reads them: where each stands, its two ends, how exactly it was stated."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from postcgrp.priors.audit.finding import Status
from postcgrp.priors.ledger import Claim, Ledger

USED = frozenset({"prior", "evidence"})
DECIMALS = {"fraction": 2, "fraction per year": 3}

type Ends = tuple[float, float]


class Place(NamedTuple):
    """Where a claim stands; None: all of that dimension."""

    year: int | None = None
    region: str | None = None
    depth: str | None = None
    modality: str | None = None

    def at(self, dim: str, label: str | None) -> Place:
        """The same place with another label of one dimension."""
        return Place(**{**self._asdict(), dim: label})

    def __str__(self) -> str:
        """The labels, or the whole market."""
        return " ".join(str(label) for label in (*self[1:], self.year) if label is not None) or "whole market"


def _closed(claim: Claim) -> bool:
    return claim.value is not None or None not in (claim.low, claim.high)


def _cell(claim: Claim) -> Place:
    return Place(claim.year, claim.region, claim.depth, claim.modality)


def _cells(ledger: Ledger, quantity: str, item: str | None = None) -> dict[Place, Claim]:
    """Points and closed ranges of a quantity by cell; where two claims share one, the one in use."""
    found = [c for c in ledger.claims if (c.quantity, c.item) == (quantity, item) and _closed(c)]
    cells: dict[Place, Claim] = {}
    for claim in sorted(found, key=lambda c: c.role not in USED):
        cells.setdefault(_cell(claim), claim)
    return cells


def _years(cells: dict[Place, Claim], cell: Place) -> list[tuple[int, Claim]]:
    """The positive claims of one segment by year."""
    return sorted(
        (
            (year, claim)
            for (year, *segment), claim in cells.items()
            if year is not None and segment == list(cell[1:]) and _ends(claim)[0] > _slack(claim)
        ),
        key=lambda pair: pair[0],
    )


def _ends(claim: Claim) -> Ends:
    if claim.value is not None:
        return claim.value, claim.value
    return (
        -float("inf") if claim.low is None else claim.low,
        float("inf") if claim.high is None else claim.high,
    )


def _slack(claim: Claim) -> float:
    """Half a unit of the last digit stated."""
    numbers = [n for n in (claim.value, claim.low, claim.high) if n is not None]
    digits = [-int(Decimal(repr(float(n))).normalize().as_tuple().exponent) for n in numbers]
    # Trailing zeros are lost in a float: whole numbers count as exact to the unit, percentages to the percent.
    return 0.5 * 10.0 ** -max(*digits, DECIMALS.get(claim.unit, 0))


def _overlap(one: Ends, other: Ends, slack: float) -> bool:
    return one[0] <= other[1] + slack and other[0] <= one[1] + slack


def _nested(one: Place, other: Place) -> bool:
    return all(a == b or None in (a, b) for a, b in zip(one, other, strict=True))


def _side(low: float, high: float, sign: float) -> Status:
    """Whether a change between `low` and `high` goes the way of a sign."""
    ends = {(end > 0) - (end < 0) for end in (low, high)}
    if ends == {(sign > 0) - (sign < 0)}:
        return "agrees"
    return "ambiguous" if len(ends) > 1 else "differs"
