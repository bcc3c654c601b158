"""The fixed numbers of a prior set: what has no prior, and is as much a choice as what has one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from postcgrp.priors.catalogue import ASSUMPTIONS
from postcgrp.priors.errors import InputError
from postcgrp.priors.lookup import Key, assumption, prior_claims
from postcgrp.priors.reads import in_reserve, rows_read
from postcgrp.priors.segments import NARROWED

if TYPE_CHECKING:
    import pandas as pd

    from postcgrp.priors.ledger import Assumption, Ledger
    from postcgrp.priors.priorset import PriorSet

DIRECTIONS = ("adoption_direction", "line_use_direction")


@dataclass(frozen=True)
class FixedNumber:
    """A number that a model takes as it is: a spread, a correlation, a date, a share, or a direction of the report.

    `place` names the part of the market that its row is about, empty for all of it; `origin` is a source, or the claim.
    """

    id: str
    place: tuple[tuple[str, Key], ...]
    value: float
    unit: str
    origin: str
    because: str

    @property
    def name(self) -> str:
        """The id with the labels of its place, as priors are named."""
        return _named(self.id, self.place)


def fixed_numbers(pset: PriorSet) -> tuple[FixedNumber, ...]:
    """Returns every fixed number that a model of a prior set takes, in the order of the ledger; then directions.

    Between them, the correlations between named priors.

    A number that stands where a range may stand is a prior of no width, and not among them.
    """
    read = rows_read(pset.ledger)
    numbers = [
        FixedNumber(row.id, _place(row), row.value, row.unit, row.source, row.reason)
        for k, row in enumerate(pset.ledger.assumptions)
        if k in read and row.value is not None and not ASSUMPTIONS[row.id].fixable
    ]
    return (*numbers, *_between_and_directions(pset))


def _between_and_directions(pset: PriorSet) -> Iterator[FixedNumber]:
    """The fixed numbers that are not rows of the assumptions."""
    claims = [c for quantity in DIRECTIONS for c in prior_claims(pset.ledger, quantity)]
    signs = [c for c in claims if c.id not in pset.settings.leave_out]
    between = [(tuple(("prior", name) for name in sorted(row.names)), row) for row in pset.correlations]
    yield from (FixedNumber("correlation", pair, r.value, "correlation", r.origin, r.because) for pair, r in between)
    for c in signs:
        yield FixedNumber(c.quantity, _place(c), c.value or 0.0, c.unit, f"report: {c.id}", c.quote)


def number_at(pset: PriorSet, number: FixedNumber) -> float | None:
    """Returns what a prior set has where another one has a fixed number; None if it has a range or nothing there."""
    if number.id not in ASSUMPTIONS:
        there = _between_and_directions(pset)
        return next((n.value for n in there if (n.id, n.place) == (number.id, number.place)), None)
    try:
        return assumption(pset.ledger, number.id, dict(number.place)).value
    except InputError:
        return None


def numbers_table(pset: PriorSet) -> pd.DataFrame:
    """Returns the fixed numbers, each with family `fixed` and the number as every quantile.

    Its columns are those of :meth:`postcgrp.priors.PriorSet.table`.
    """
    import pandas as pd

    columns = list(pset.table().columns)
    rows = [
        {
            "variable": number.id,
            "prior": number.name,
            "family": "fixed",
            "q05": number.value,
            "median": number.value,
            "q95": number.value,
            "unit": number.unit,
            "origin": number.origin,
            "because": number.because,
        }
        for number in fixed_numbers(pset)
    ]
    return pd.DataFrame(rows, columns=columns)


def unread_rows(ledger: Ledger) -> tuple[str, ...]:
    """Returns the assumptions of a ledger that no model of it takes, by name: they may stay, but change nothing.

    Without spreads of points that the report does not make: a prior set may.
    """
    read = rows_read(ledger)
    rows = [
        row
        for k, row in enumerate(ledger.assumptions)
        if k not in read and row.id in ASSUMPTIONS and not in_reserve(ledger, row.id)
    ]
    return tuple(map(row_name, rows))


def row_name(row: Assumption) -> str:
    """Returns the id of a row with the labels of its place, as priors are named."""
    return _named(row.id, _place(row))


def _named(name: str, place: tuple[tuple[str, Key], ...]) -> str:
    return f"{name}[{', '.join(str(key) for _, key in place)}]" if place else name


def _place(row: object) -> tuple[tuple[str, Key], ...]:
    return tuple((dim, key) for dim in NARROWED if (key := getattr(row, dim)) is not None)
