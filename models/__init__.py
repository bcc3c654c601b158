"""The hierarchical model: patients x use x intensity = revenue, in PyMC."""

from postcgrp.models.market import build_model

__all__ = ["build_model"]
