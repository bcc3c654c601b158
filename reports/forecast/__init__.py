"""What will the market be: the main job, its tables, figures and page."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.reports.forecast.figure_set import Figure, run_figures
    from postcgrp.reports.forecast.gallery import save_figures
    from postcgrp.reports.forecast.pipeline import Forecast, forecast

__all__ = [
    "Figure",
    "Forecast",
    "forecast",
    "run_figures",
    "save_figures",
]

if not TYPE_CHECKING:  # or the type checker would take any name for a public one
    __getattr__ = lazy.attributes(
        __name__,
        {
            "Figure": "figure_set",
            "Forecast": "pipeline",
            "forecast": "pipeline",
            "run_figures": "figure_set",
            "save_figures": "gallery",
        },
    )
