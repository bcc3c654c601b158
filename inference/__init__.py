"""Sampling with JAX, and the gate that judges it."""

from postcgrp.inference.cache import enable_cache
from postcgrp.inference.gate import Check, gate, passed
from postcgrp.inference.sampling import Clock, Sampling, sample

__all__ = ["Check", "Clock", "Sampling", "enable_cache", "gate", "passed", "sample"]
