"""The report against itself: every check, and its findings as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from postcgrp.priors.audit.arithmetic import ARITHMETIC
from postcgrp.priors.audit.finding import Finding
from postcgrp.priors.audit.plausible import PLAUSIBLE
from postcgrp.priors.audit.statements import STATEMENTS
from postcgrp.priors.ledger import Ledger

if TYPE_CHECKING:
    import pandas as pd

CHECKS = (*ARITHMETIC, *PLAUSIBLE, *STATEMENTS)


def audit(ledger: Ledger) -> tuple[Finding, ...]:
    """Returns every comparison that the claims of a ledger allow; one whose claims are missing is left out."""
    return tuple(finding for check in CHECKS for finding in check(ledger))


def findings_rows(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """Returns findings as rows of a table, claim ids joined by a comma."""
    return [{**vars(finding), "claims": ", ".join(finding.claims)} for finding in findings]


def findings_table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Returns :func:`findings_rows` as a data frame, with its columns even if there are no findings."""
    import pandas as pd  # an audit by itself takes less time than this import (0.3 s)

    return pd.DataFrame(findings_rows(findings), columns=list(Finding.__dataclass_fields__))
