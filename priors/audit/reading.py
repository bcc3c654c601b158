"""Claims as an audit reads them: where each stands, its two ends, how exactly it was stated."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from postcgrp.priors.audit.finding import Status
from postcgrp.priors.ledger import Claim, Ledger, Quantified

USED = frozenset({"prior", "evidence"})
DECIMALS = {"fraction": 2, "fraction per year": 3}

type Ends = tuple[float, float]


class Place(NamedTuple):
    """The year and segment that a claim is about; None stands for all labels of a dimension."""

    year: int | None = None
    region: str | None = None
    depth: str | None = None
    modality: str | None = None
    line: str | None = None

    def at(self, dim: str, label: str | None) -> Place:
        """Returns the same place with another label of one dimension."""
        return Place(**{**self._asdict(), dim: label})

    def of_all_modalities(self) -> Place:
        """Returns the same place with every modality and line."""
        return self._replace(modality=None, line=None)

    def __str__(self) -> str:
        """The labels, or the whole market."""
        return " ".join(str(label) for label in (*self[1:], self.year) if label is not None) or "whole market"


def is_closed(claim: Claim) -> bool:
    """Whether a claim states a point or both ends of a range."""
    return claim.value is not None or None not in (claim.low, claim.high)


def place_of(claim: Claim) -> Place:
    """Returns the year and segment that a claim is about."""
    return Place(claim.year, claim.region, claim.depth, claim.modality, claim.line)


def claims_by_place(ledger: Ledger, quantity: str, item: str | None = None) -> dict[Place, Claim]:
    """Returns the points and closed ranges of a quantity by place; of two claims on one place, the one in use.

    Patients without a year are those of the first one, as they are for the model.
    """
    claims = [c for c in ledger.claims if (c.quantity, c.item) == (quantity, item) and is_closed(c)]
    cells: dict[Place, Claim] = {}
    for claim in sorted(claims, key=lambda c: c.role not in USED):
        place = place_of(claim)
        if quantity == "patients" and place.year is None:
            place = place._replace(year=ledger.report.first_year)
        cells.setdefault(place, claim)
    return cells


def claims_by_year(cells: dict[Place, Claim], cell: Place) -> list[tuple[int, Claim]]:
    """Returns the claims above zero on the segment of `cell`, in the order of their years."""
    return sorted(
        (
            (year, claim)
            for (year, *segment), claim in cells.items()
            if year is not None and segment == list(cell[1:]) and ends_of(claim)[0] > rounding(claim)
        ),
        key=lambda pair: pair[0],
    )


def ends_of(claim: Quantified) -> Ends:
    """Returns the two ends of a claim or an assumption: equal for a point, infinite where a range is open."""
    if claim.value is not None:
        return claim.value, claim.value
    return (
        -float("inf") if claim.low is None else claim.low,
        float("inf") if claim.high is None else claim.high,
    )


def rounding(claim: Claim) -> float:
    """Returns half a unit of the last digit that a claim states."""
    numbers = [n for n in (claim.value, claim.low, claim.high) if n is not None]
    digits = [-int(Decimal(repr(float(n))).normalize().as_tuple().exponent) for n in numbers]
    # Trailing zeros are lost in a float: whole numbers count as exact to the unit, percentages to the percent.
    return 0.5 * 10.0 ** -max(*digits, DECIMALS.get(claim.unit, 0))


def overlap(first: Ends, second: Ends, slack: float) -> bool:
    """Whether two ranges share a number, with `slack` for rounding."""
    return first[0] <= second[1] + slack and second[0] <= first[1] + slack


def nested(first: Place, second: Place) -> bool:
    """Whether two places are the same in every dimension in which both name a label."""
    return all(a == b or None in (a, b) for a, b in zip(first, second, strict=True))


def direction_status(low: float, high: float, sign: float) -> Status:
    """Returns whether a change between `low` and `high` goes in the direction of a sign."""
    ends = {(end > 0) - (end < 0) for end in (low, high)}
    if ends == {(sign > 0) - (sign < 0)}:
        return "agrees"
    return "ambiguous" if len(ends) > 1 else "differs"
