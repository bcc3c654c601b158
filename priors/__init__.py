"""The report's ranges and the assumptions beside them, as prior distributions."""

from postcgrp.priors.build import effective, from_json
from postcgrp.priors.elicit import Prior, coupling, from_range
from postcgrp.priors.errors import InputError
from postcgrp.priors.evidence import Evidence
from postcgrp.priors.ledger import Assumption, Claim, Ledger, Trust, load_ledger
from postcgrp.priors.priorset import ADOPTION_SCOPES, UPTAKE_SHAPES, Block, PriorSet, Settings

__all__ = [
    "ADOPTION_SCOPES",
    "UPTAKE_SHAPES",
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
