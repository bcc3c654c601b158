"""The report's ranges and the assumptions beside them, as prior distributions."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.priors.build import effective, from_json
    from postcgrp.priors.elicit import Prior, coupling, from_range
    from postcgrp.priors.errors import InputError
    from postcgrp.priors.evidence import Evidence
    from postcgrp.priors.evidence_file import read_evidence
    from postcgrp.priors.funnel import Funnel, load_funnel
    from postcgrp.priors.ledger import Assumption, Claim, Ledger, Trust, load_ledger
    from postcgrp.priors.pool import Pool, load_pool, logarithmic_pool
    from postcgrp.priors.priorset import Block, PriorSet
    from postcgrp.priors.scenarios import Scenario, load_scenario
    from postcgrp.priors.sets import Overlay, load_overlay, prior_set
    from postcgrp.priors.settings import Settings
    from postcgrp.priors.shares import Shares, load_shares

__all__ = [
    "Assumption",
    "Block",
    "Claim",
    "Evidence",
    "Funnel",
    "InputError",
    "Ledger",
    "Overlay",
    "Pool",
    "Prior",
    "PriorSet",
    "Scenario",
    "Settings",
    "Shares",
    "Trust",
    "coupling",
    "effective",
    "from_json",
    "from_range",
    "load_funnel",
    "load_ledger",
    "load_overlay",
    "load_pool",
    "load_scenario",
    "load_shares",
    "logarithmic_pool",
    "prior_set",
    "read_evidence",
]

if not TYPE_CHECKING:  # or the type checker would take any name for a public one
    __getattr__ = lazy.attributes(
        __name__,
        {
            "Assumption": "ledger",
            "Block": "priorset",
            "Claim": "ledger",
            "Evidence": "evidence",
            "Funnel": "funnel",
            "InputError": "errors",
            "Ledger": "ledger",
            "Overlay": "sets",
            "Pool": "pool",
            "Prior": "elicit",
            "PriorSet": "priorset",
            "Scenario": "scenarios",
            "Settings": "settings",
            "Shares": "shares",
            "Trust": "ledger",
            "coupling": "elicit",
            "effective": "build",
            "from_json": "build",
            "from_range": "elicit",
            "load_funnel": "funnel",
            "load_ledger": "ledger",
            "load_overlay": "sets",
            "load_pool": "pool",
            "load_scenario": "scenarios",
            "logarithmic_pool": "pool",
            "load_shares": "shares",
            "prior_set": "sets",
            "read_evidence": "evidence_file",
        },
    )
