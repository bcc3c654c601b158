"""How to sample: settings as plain data, without JAX."""

from __future__ import annotations

import os
from dataclasses import dataclass

from postcgrp.priors import InputError

_SAMPLERS = ("hmc", "numpyro", "blackjax", "pymc")
CHAIN_METHODS = ("parallel", "vectorized")
MINIMA = {"draws": 4, "tune": 1, "chains": 1, "prior_draws": 1, "seed": 0}


def workers(units: int | None = None) -> int:
    """How many threads or processes to start: the cores that this process may use, and no more than `units` of work.

    A container or a batch system may grant fewer cores than the machine has.
    """
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if hasattr(os, "process_cpu_count"):  # from Python 3.13, where PYTHON_CPU_COUNT has a say too
        granted = os.process_cpu_count() or granted
    return max(1, granted if units is None else min(granted, units))


@dataclass(frozen=True)
class Sampling:
    """How to sample: numbers of draws, tuning transitions and chains, the seed, and the sampler's settings.

    `sampler`: `hmc`, jittered HMC whose chains share what they learn; NUTS by `numpyro` or `blackjax`; or `pymc`, the
    slow reference. `chain_method`: whether chains of NUTS run in threads or advance together as one program.
    `target_accept`: the acceptance that step sizes are tuned for. Raises :class:`InputError` for a setting that cannot
    be.
    """

    draws: int = 1000
    tune: int = 300
    chains: int = 4
    seed: int = 1
    sampler: str = "hmc"
    chain_method: str = "parallel"
    target_accept: float = 0.8
    prior_draws: int = 4000  # as many as of the posterior; a prior mass of 90 % is then known to half a point

    def __post_init__(self) -> None:
        for name, least in MINIMA.items():
            if (value := getattr(self, name)) < least:
                raise InputError(f"{name} = {value} is too small: use at least {least}")
        if self.sampler not in _SAMPLERS:
            raise InputError(f"sampler {self.sampler!r} is not known: use one of {', '.join(_SAMPLERS)}")
        if self.chain_method not in CHAIN_METHODS:
            raise InputError(f"chain method {self.chain_method!r} is not known: use one of {', '.join(CHAIN_METHODS)}")
        if not 0 < self.target_accept < 1:
            raise InputError(f"target_accept = {self.target_accept:g} is not between 0 and 1: 0.8 is usual")
