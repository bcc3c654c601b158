"""The report's ranges and the assumptions beside them, as prior distributions.

Names are imported on first use (PEP 562): the ledger needs pydantic, priors need NumPy and SciPy, tables need pandas,
and no command should wait for what it does not use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from postcgrp.priors.build import effective, from_json
    from postcgrp.priors.data_files import ASSUMPTIONS_FILE, REPORT_FILE, shipped_sets
    from postcgrp.priors.elicit import Prior, coupling, from_range
    from postcgrp.priors.errors import InputError
    from postcgrp.priors.evidence import Evidence
    from postcgrp.priors.evidence_file import read_evidence
    from postcgrp.priors.ledger import Assumption, Claim, Ledger, Trust, load_ledger
    from postcgrp.priors.priorset import Block, PriorSet
    from postcgrp.priors.sets import Overlay, load_overlay, prior_set
    from postcgrp.priors.settings import ADOPTION_SCOPES, UPTAKE_SHAPES, Settings

__all__ = [
    "ADOPTION_SCOPES",
    "ASSUMPTIONS_FILE",
    "REPORT_FILE",
    "UPTAKE_SHAPES",
    "Assumption",
    "Block",
    "Claim",
    "Evidence",
    "InputError",
    "Ledger",
    "Overlay",
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
    "read_evidence",
    "shipped_sets",
]

_MODULES = {
    "build": ("effective", "from_json"),
    "data_files": ("ASSUMPTIONS_FILE", "REPORT_FILE", "shipped_sets"),
    "elicit": ("Prior", "coupling", "from_range"),
    "errors": ("InputError",),
    "evidence": ("Evidence",),
    "evidence_file": ("read_evidence",),
    "ledger": ("Assumption", "Claim", "Ledger", "Trust", "load_ledger"),
    "priorset": ("Block", "PriorSet"),
    "sets": ("Overlay", "load_overlay", "prior_set"),
    "settings": ("ADOPTION_SCOPES", "UPTAKE_SHAPES", "Settings"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value  # found without this function from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
