"""The files that the package ships: ledger, assumptions, prior sets and scenarios. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from postcgrp.priors.settings import Settings

REPORT_FILE = Path(__file__).with_name("report.toml")
ASSUMPTIONS_FILE = Path(__file__).with_name("assumptions.toml")
FUNNEL_FILE, SHARES_FILE = "funnel.toml", "shares.toml"  # beside a ledger's assumptions, if it has them
SETS_FOLDER = Path(__file__).with_name("sets")
SCENARIOS_FOLDER = Path(__file__).with_name("scenarios")
MAIN_SCENARIOS = ("conservative", "base", "upside")  # shown first, in this order


def shipped() -> dict[str, Path]:
    """Returns the file of each shipped prior set, by name, the report's own first."""
    files = {path.stem: path for path in sorted(SETS_FOLDER.glob("*.toml"))}
    return {Settings.priors: files.pop(Settings.priors), **files}


def shipped_scenarios() -> dict[str, Path]:
    """Returns the file of each shipped scenario, by name: conservative, base and upside, then those of one question."""
    files = {path.stem: path for path in sorted(SCENARIOS_FOLDER.glob("*.toml"))}
    return {**{name: files.pop(name) for name in MAIN_SCENARIOS}, **files}
