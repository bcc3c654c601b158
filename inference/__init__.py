"""Sampling with JAX, and the gate that judges it."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.inference.cache import enable_cache
    from postcgrp.inference.convergence import Check, gate, passed
    from postcgrp.inference.sampling import Clock, Sampling, sample

__all__ = [
    "Check",
    "Clock",
    "Sampling",
    "enable_cache",
    "gate",
    "passed",
    "sample",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "Check": "convergence",
        "Clock": "sampling",
        "Sampling": "sampling",
        "enable_cache": "cache",
        "gate": "convergence",
        "passed": "convergence",
        "sample": "sampling",
    },
)
