"""postcgrp: a hierarchical Bayesian forecast of one market, from the ranges of a market-research report."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.inference.sampling import sample
    from postcgrp.models.market import build_model
    from postcgrp.priors.ledger import load_ledger
    from postcgrp.priors.sets import prior_set
    from postcgrp.reports.export.exporting import export
    from postcgrp.reports.exposure.answer import exposure
    from postcgrp.reports.exposure.funnel_files import patient_funnel
    from postcgrp.reports.forecast.pipeline import forecast
    from postcgrp.reports.runs.run import Run, open_run
    from postcgrp.reports.sensitivity.study import sensitivity
    from postcgrp.reports.sensitivity.updating import update
    from postcgrp.reports.valuation.answer import value
    from postcgrp.reports.valuation.information_inputs import voi

__all__ = [
    "Run",
    "build_model",
    "export",
    "exposure",
    "forecast",
    "load_ledger",
    "open_run",
    "patient_funnel",
    "prior_set",
    "sample",
    "sensitivity",
    "update",
    "value",
    "voi",
]

if not TYPE_CHECKING:  # or the type checker would take any name for a public one
    __getattr__ = lazy.attributes(
        __name__,
        {
            "Run": "reports.runs.run",
            "build_model": "models.market",
            "export": "reports.export.exporting",
            "exposure": "reports.exposure.answer",
            "forecast": "reports.forecast.pipeline",
            "load_ledger": "priors.ledger",
            "open_run": "reports.runs.run",
            "patient_funnel": "reports.exposure.funnel_files",
            "prior_set": "priors.sets",
            "sample": "inference.sampling",
            "sensitivity": "reports.sensitivity.study",
            "update": "reports.sensitivity.updating",
            "value": "reports.valuation.answer",
            "voi": "reports.valuation.information_inputs",
        },
    )


def __dir__() -> list[str]:
    """The public names, also those that nothing has imported yet: completion in a notebook reads this."""
    return __all__
