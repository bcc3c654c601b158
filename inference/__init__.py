"""Sampling any PyMC model with JAX, the gate that judges the draws, and what can be asked of draws without a refit."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.inference.batch import Batch, Fit, fit_many, prepare
    from postcgrp.inference.cache import enable_cache
    from postcgrp.inference.convergence import Check, gate, passed
    from postcgrp.inference.powerscale import power_scaling, scaled, shifts
    from postcgrp.inference.progress import Clock
    from postcgrp.inference.psis import Weights, reweight
    from postcgrp.inference.sampling import sample
    from postcgrp.inference.settings import Sampling

__all__ = [
    "Batch",
    "Check",
    "Clock",
    "Fit",
    "Sampling",
    "Weights",
    "enable_cache",
    "fit_many",
    "gate",
    "passed",
    "power_scaling",
    "prepare",
    "reweight",
    "sample",
    "scaled",
    "shifts",
]

if not TYPE_CHECKING:  # or the type checker would take any name for a public one
    __getattr__ = lazy.attributes(
        __name__,
        {
            "Batch": "batch",
            "Check": "convergence",
            "Clock": "progress",
            "Fit": "batch",
            "Sampling": "settings",
            "Weights": "psis",
            "enable_cache": "cache",
            "fit_many": "batch",
            "gate": "convergence",
            "passed": "convergence",
            "power_scaling": "powerscale",
            "prepare": "batch",
            "reweight": "psis",
            "sample": "sampling",
            "shifts": "powerscale",
            "scaled": "powerscale",
        },
    )
