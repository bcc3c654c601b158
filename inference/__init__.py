"""Sampling with JAX, and the gate that judges it."""

from postcgrp.inference.gate import Check, gate, passed
from postcgrp.inference.sample import Clock, Sampling, sample

__all__ = ["Check", "Clock", "Sampling", "gate", "passed", "sample"]
