"""The files that the package ships: the real report's ledger, its assumptions, and prior sets."""

from __future__ import annotations

from pathlib import Path

from postcgrp.priors.settings import Settings

REPORT_FILE = Path(__file__).with_name("report.toml")
ASSUMPTIONS_FILE = Path(__file__).with_name("assumptions.toml")
SETS = Path(__file__).with_name("sets")


def shipped() -> dict[str, Path]:
    """The files of the shipped prior sets, by name, the report's own first."""
    found = {path.stem: path for path in sorted(SETS.glob("*.toml"))}
    return {Settings.priors: found.pop(Settings.priors), **found}
