"""A run as an Excel workbook whose value follows the inputs."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.reports.workbook.book import workbook

__all__ = [
    "workbook",
]

if not TYPE_CHECKING:  # or the type checker would take any name for a public one
    __getattr__ = lazy.attributes(
        __name__,
        {
            "workbook": "book",
        },
    )
