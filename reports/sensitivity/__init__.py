"""What does the answer owe to which assumption, claim or evidence."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.reports.sensitivity.comparison import Comparison, compare
    from postcgrp.reports.sensitivity.refits import Refits, powerscale_by_refit
    from postcgrp.reports.sensitivity.study import Sensitivity, sensitivity
    from postcgrp.reports.sensitivity.updating import Update, refit, update

__all__ = [
    "Comparison",
    "Refits",
    "Sensitivity",
    "Update",
    "compare",
    "powerscale_by_refit",
    "refit",
    "sensitivity",
    "update",
]

if not TYPE_CHECKING:  # or the type checker would take any name for a public one
    __getattr__ = lazy.attributes(
        __name__,
        {
            "Comparison": "comparison",
            "Sensitivity": "study",
            "Update": "updating",
            "compare": "comparison",
            "refit": "updating",
            "sensitivity": "study",
            "update": "updating",
            "powerscale_by_refit": "refits",
            "Refits": "refits",
        },
    )
