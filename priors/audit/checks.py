"""The report against itself: its claims compared with each other and with arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pandas as pd

from postcgrp.priors.audit.arithmetic import (
    _growth,
    _premium,
    _share_sums,
    _spend,
    _stated_shares,
    _subsets,
    _sums,
)
from postcgrp.priors.audit.finding import Finding
from postcgrp.priors.audit.statements import (
    _adoption_restated,
    _adoption_scope,
    _contradictions,
    _directions,
    _overlapping_actions,
    _region_lists,
    _restated,
)
from postcgrp.priors.ledger import Ledger

CHECKS: tuple[Callable[[Ledger], Iterator[Finding]], ...] = (
    _sums,
    _share_sums,
    _stated_shares,
    _growth,
    _subsets,
    _spend,
    _premium,
    _region_lists,
    _adoption_restated,
    _adoption_scope,
    _restated,
    _overlapping_actions,
    _directions,
    _contradictions,
)


def audit(ledger: Ledger) -> tuple[Finding, ...]:
    """Every comparison that the claims of a ledger allow; one whose claims are missing is left out."""
    return tuple(finding for check in CHECKS for finding in check(ledger))


def findings_table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Findings as a table, one row each, claim ids joined by a comma."""
    rows = [{**vars(finding), "claims": ", ".join(finding.claims)} for finding in findings]
    return pd.DataFrame(rows, columns=list(Finding.__dataclass_fields__))
