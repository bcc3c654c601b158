"""The report against itself."""

from postcgrp.priors.audit.checks import CHECKS, audit, findings_table
from postcgrp.priors.audit.finding import Finding, Status

__all__ = ["CHECKS", "Finding", "Status", "audit", "findings_table"]
