"""The hierarchical model: patients x use x intensity = revenue, in PyMC."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.models.market import build_model
    from postcgrp.models.structure import structure_key

__all__ = [
    "build_model",
    "structure_key",
]

if not TYPE_CHECKING:  # or the type checker would take any name for a public one
    __getattr__ = lazy.attributes(
        __name__,
        {
            "build_model": "market",
            "structure_key": "structure",
        },
    )
