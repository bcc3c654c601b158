"""The report's ranges and the assumptions beside them, as prior distributions."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.priors.build import Block, PriorSet, effective, from_json
    from postcgrp.priors.elicit import Prior, coupling, from_range
    from postcgrp.priors.errors import InputError
    from postcgrp.priors.evidence import Evidence
    from postcgrp.priors.ledger.ledger import Assumption, Claim, Ledger, Trust, load_ledger
    from postcgrp.priors.sets import load_overlay, prior_set
    from postcgrp.priors.settings import Settings

__all__ = [
    "Assumption",
    "Block",
    "Claim",
    "Evidence",
    "InputError",
    "Ledger",
    "Prior",
    "PriorSet",
    "Settings",
    "Trust",
    "coupling",
    "effective",
    "from_json",
    "from_range",
    "load_ledger",
    "load_overlay",
    "prior_set",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "Assumption": "ledger.ledger",
        "Block": "build",
        "Claim": "ledger.ledger",
        "Evidence": "evidence",
        "InputError": "errors",
        "Ledger": "ledger.ledger",
        "Prior": "elicit",
        "PriorSet": "build",
        "Settings": "settings",
        "Trust": "ledger.ledger",
        "coupling": "elicit",
        "effective": "build",
        "from_json": "build",
        "from_range": "elicit",
        "load_ledger": "ledger.ledger",
        "load_overlay": "sets",
        "prior_set": "sets",
    },
)
