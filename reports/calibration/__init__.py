"""Is the sampler right on this model."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.reports.calibration.check import Calibration, calibrate

__all__ = [
    "Calibration",
    "calibrate",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "Calibration": "check",
        "calibrate": "check",
    },
)
