"""Where a page is written."""

from __future__ import annotations

from pathlib import Path

from postcgrp.priors import InputError
from postcgrp.reports.runs.place import beside, check_parent

_SUFFIXES = (".html", ".htm")


def default_html(run: Path, name: str) -> Path:
    """The file beside a run's folder that is written where none is named: RUN-page.html."""
    return beside(run, f"-{name}.html")


def check_html(out: Path) -> None:
    """Refuse, before any work, a place that no page can be written to. Raises :class:`InputError`."""
    if out.suffix.casefold() not in _SUFFIXES:
        raise InputError(f"--out {out}: is no HTML file: give it the suffix .html")
    if out.is_dir():
        raise InputError(f"--out {out}: is a folder: name a file")
    check_parent(out)
