"""The hierarchical model: patients x use x intensity = revenue, in PyMC."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.models.market import build_model

__all__ = [
    "build_model",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "build_model": "market",
    },
)
