"""Correlations between named priors: what a prior set asks for, and which priors can have one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import model_validator

from postcgrp.priors.elicit import Prior, is_heavy
from postcgrp.priors.ledger import Number, Text
from postcgrp.priors.ledger.rows import Row
from postcgrp.priors.messages import nearest_or

# Blocks that are not drawn by themselves in every model, and why.
_BY_REVENUE = "is drawn by way of the revenue that the report states"
_DRAWN_OTHERWISE = {
    "region_premium": _BY_REVENUE,
    "price_noise": "scales the noise of years, which is drawn beside it",
    "price": _BY_REVENUE,  # and growth of the price
    "vendor_build_up": "is drawn only where the report's revenue is in evidence",
}


class CorrelationRow(Row):
    """A row of a prior set: the correlation of two priors, by their names in `postcgrp priors`, on their links."""

    between: tuple[Text, Text]
    value: Number
    source: Text | None = None
    reason: Text

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not -1 < self.value < 1:
            raise ValueError(f".value = {self.value:g} must lie between -1 and 1, which would make them one number")
        if self.between[0] == self.between[1]:
            raise ValueError(f".between names {self.between[0]!r} twice: name two priors")
        return self


@dataclass(frozen=True)
class PriorCorrelation:
    """The correlation of the scores of two priors, in sds from their centres on their link scales."""

    first: str
    second: str
    value: float
    origin: str
    because: str

    @property
    def names(self) -> tuple[str, str]:
        """The names of the two priors."""
        return self.first, self.second

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.first} and {self.second}"


def faults(blocks: Mapping[str, Sequence[Prior]], rows: Iterable[PriorCorrelation]) -> Iterator[tuple[int, str]]:
    """Yields what is wrong with single rows, each with the row's position.

    Parameters: `blocks`, the priors by block.
    """
    priors = {prior.name: (block, prior) for block, of in blocks.items() for prior in of}
    seen = set[frozenset[str]]()
    for k, row in enumerate(rows):
        if (pair := frozenset(row.names)) in seen:
            yield k, f"the correlation of {row.name} is given twice: keep one"
        seen.add(pair)
        for name in row.names:
            if name not in priors:
                way_out = nearest_or(name, list(priors), "`postcgrp priors` lists them")
                yield k, f"between: {name!r} is no prior here: {way_out}"
                continue
            block, prior = priors[name]
            kind = next((key for key in _DRAWN_OTHERWISE if block == key or block.startswith(f"{key}_")), "")
            if prior.sd == 0:
                yield k, f"between: {name!r} is a fixed number: give it a range, or remove the row"
            elif prior.open:
                yield k, f"between: {name!r} is left out, so nothing is claimed of it: remove the row"
            elif is_heavy(prior.family):
                yield k, f"between: {name!r} has heavy tails ({prior.family}): make its `family` a normal one"
            elif kind:
                yield k, f"between: {name!r} {_DRAWN_OTHERWISE[kind]}, and takes no correlation: remove the row"


def possible(blocks: Mapping[str, Sequence[Prior]], rows: Iterable[PriorCorrelation]) -> tuple[PriorCorrelation, ...]:
    """Returns the rows whose priors are there and can have a correlation, as when a claim is left out."""
    rows = tuple(rows)
    wrong = {k for k, _ in faults(blocks, rows)}
    return tuple(row for k, row in enumerate(rows) if k not in wrong)
