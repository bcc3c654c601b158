"""Is the sampler right on this model."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.reports.calibration.check import Calibration, calibrate

__all__ = [
    "Calibration",
    "calibrate",
]

if not TYPE_CHECKING:  # or the type checker would take any name for a public one
    __getattr__ = lazy.attributes(
        __name__,
        {
            "Calibration": "check",
            "calibrate": "check",
        },
    )
