"""The files that the package ships: the report's ledger, its assumptions and the prior sets. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from postcgrp.priors.settings import Settings

REPORT_FILE = Path(__file__).with_name("report.toml")
ASSUMPTIONS_FILE = Path(__file__).with_name("assumptions.toml")
FUNNEL_FILE, SHARES_FILE = "funnel.toml", "shares.toml"  # beside a ledger's assumptions, if it has them
SETS_FOLDER = Path(__file__).with_name("sets")


def shipped() -> dict[str, Path]:
    """Returns the file of each shipped prior set, by name, the report's own first."""
    files = {path.stem: path for path in sorted(SETS_FOLDER.glob("*.toml"))}
    return {Settings.priors: files.pop(Settings.priors), **files}
