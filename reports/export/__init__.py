"""The joint draws in the formats that analysts use."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.reports.export.exporting import Chosen, export
    from postcgrp.reports.export.read import read_export
    from postcgrp.reports.export.schema import Export

__all__ = [
    "Chosen",
    "Export",
    "export",
    "read_export",
]

if not TYPE_CHECKING:  # or the type checker would take any name for a public one
    __getattr__ = lazy.attributes(
        __name__,
        {
            "Chosen": "exporting",
            "Export": "schema",
            "export": "exporting",
            "read_export": "read",
        },
    )
