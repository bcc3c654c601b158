"""Who is exposed to what: the patient funnel, and revenue by country and company under assumed shares."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.reports.exposure.funnel import funnel_draws, funnel_table, must_be_true, pool_path

__all__ = [
    "funnel_draws",
    "funnel_table",
    "must_be_true",
    "pool_path",
]

if not TYPE_CHECKING:  # or the type checker would take any name for a public one
    __getattr__ = lazy.attributes(
        __name__,
        {
            "funnel_draws": "funnel",
            "funnel_table": "funnel",
            "must_be_true": "funnel",
            "pool_path": "funnel",
        },
    )
