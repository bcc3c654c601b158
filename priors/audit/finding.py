"""A finding of an audit, and what a check is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from postcgrp.priors.ledger import Ledger

Status = Literal["agrees", "differs", "implausible", "ambiguous", "derived"]


@dataclass(frozen=True)
class Finding:
    """One comparison of the report with itself.

    `check` names the comparison; `status` is its outcome (`derived`: nothing is stated to
    compare with; `implausible`: so far off that a unit must have slipped); `claims`
    are the ids of the claims it rests on; `expected` and `found` are its two sides, with units; `treatment` says how
    the forecast treats it.
    """

    check: str
    status: Status
    claims: tuple[str, ...]
    expected: str
    found: str
    treatment: str


type AuditCheck = Callable[[Ledger], Iterator[Finding]]
