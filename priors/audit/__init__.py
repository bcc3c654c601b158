"""The report against itself: findings as plain objects, rows or a table."""

from postcgrp.priors.audit.checks import CHECKS, audit, findings_rows, findings_table
from postcgrp.priors.audit.finding import AuditCheck, Finding, Status
from postcgrp.priors.audit.plausible import slips

__all__ = ["CHECKS", "AuditCheck", "Finding", "Status", "audit", "findings_rows", "findings_table", "slips"]
