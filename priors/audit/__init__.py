"""The report against itself."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.priors.audit.checks import Finding, audit

__all__ = [
    "Finding",
    "audit",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "Finding": "checks",
        "audit": "checks",
    },
)
