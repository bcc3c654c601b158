"""The claims ledger: what the report says and what was assumed beside it."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.priors.ledger.ledger import Assumption, Claim, Ledger, Trust, load_ledger

__all__ = [
    "Assumption",
    "Claim",
    "Ledger",
    "Trust",
    "load_ledger",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "Assumption": "ledger",
        "Claim": "ledger",
        "Ledger": "ledger",
        "Trust": "ledger",
        "load_ledger": "ledger",
    },
)
