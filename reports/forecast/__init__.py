"""What will the market be: the main job, its tables, figures and page."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.reports.forecast.pipeline import Forecast, forecast

__all__ = [
    "Forecast",
    "forecast",
]

if not TYPE_CHECKING:  # or the type checker would take any name for a public one
    __getattr__ = lazy.attributes(
        __name__,
        {
            "Forecast": "pipeline",
            "forecast": "pipeline",
        },
    )
