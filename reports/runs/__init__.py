"""Finished runs: the folder, what is in it, and stored draws against evidence."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.reports.runs.run import Run, open_run

__all__ = [
    "Run",
    "open_run",
]

if not TYPE_CHECKING:  # or the type checker would take any name for a public one
    __getattr__ = lazy.attributes(
        __name__,
        {
            "Run": "run",
            "open_run": "run",
        },
    )
