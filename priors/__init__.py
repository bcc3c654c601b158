"""The report's ranges and the assumptions beside them, as prior distributions."""

from postcgrp.priors.build import Block, PriorSet, Settings, effective, from_json
from postcgrp.priors.elicit import Prior, coupling, from_range
from postcgrp.priors.errors import InputError
from postcgrp.priors.evidence import Evidence
from postcgrp.priors.ledger.ledger import Assumption, Claim, Ledger, Trust, load_ledger

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
]
