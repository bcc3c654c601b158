"""Sample any PyMC model of continuous variables and gather everything known of the draws in one DataTree."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import jax
import numpy as np
import pymc as pm
import pytensor
from numpy.typing import NDArray
from pymc.backends.arviz import find_constants, find_observations
from xarray import Dataset, DataTree

from postcgrp.inference.density import Flat, density, derived, layout
from postcgrp.inference.evaluate import BATCH, evaluate
from postcgrp.inference.forward import draw_prior, observed_sampler, unconstrain
from postcgrp.inference.hmc import FIRST_STEP, controls, jittered_hmc
from postcgrp.inference.jaxify import Arrays, model_data
from postcgrp.inference.kernels import (
    CHUNK,
    NUTS,
    STATS,
    WARM_AT_START,
    Kernel,
    Potential,
    flattened,
    vectorized,
    within_reach,
)
from postcgrp.inference.programs import Programs
from postcgrp.priors import InputError

SAMPLERS = ("hmc", *NUTS, "pymc")
CHAIN_METHODS = ("parallel", "vectorized")
STARTS = 200  # prior draws that chains may start from
SETS = 100  # of them, to choose from
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Sampling:
    """How to sample: numbers of draws, tuning draws and chains, the seed, and the sampler's settings."""

    draws: int = 1000
    tune: int = 300
    chains: int = 4
    seed: int = 1
    sampler: str = "hmc"
    chain_method: str = "parallel"
    target_accept: float = 0.8
    prior_draws: int = 4000  # as many as of the posterior; a prior mass of 90 % is then known to half a point

    def __post_init__(self) -> None:
        for name, least in (("draws", 4), ("tune", 1), ("chains", 1), ("prior_draws", 1), ("seed", 0)):
            if (value := getattr(self, name)) < least:
                raise InputError(f"{name} = {value} is too small: use at least {least}")
        if self.sampler not in SAMPLERS:
            raise InputError(f"sampler {self.sampler!r} is not known: use one of {', '.join(SAMPLERS)}")
        if self.chain_method not in CHAIN_METHODS:
            raise InputError(f"chain method {self.chain_method!r} is not known: use one of {', '.join(CHAIN_METHODS)}")
        if not 0 < self.target_accept < 1:
            raise InputError(f"target_accept = {self.target_accept:g} is not between 0 and 1: 0.8 is usual")

    @property
    def program(self) -> str:
        """What of these settings is compiled into the sampler's programs."""
        # Jittered HMC takes the others as arguments.
        rest = "" if self.sampler == "hmc" else f"tune={self.tune} target_accept={self.target_accept}"
        return f"{self.sampler} together={self.together} {rest}"

    @property
    def together(self) -> int:
        """How many chains advance as one program, 0 where each runs by itself."""
        return self.chains if self.sampler == "hmc" or self.chain_method == "vectorized" else 0

    def kernel(self, logp: Potential) -> Kernel:
        """The kernel of a log density: of one chain, or of all of them together."""
        if self.sampler == "hmc":
            return jittered_hmc(logp, self.chains)
        one = NUTS[self.sampler](logp, self.tune, self.target_accept)
        return vectorized(one, self.together) if self.together else one


@dataclass
class Clock:
    """Wall seconds by stage, added up as stages end."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time one stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def sample(
    model: pm.Model,
    settings: Sampling | None = None,
    *,
    progress: Progress | None = None,
    clock: Clock | None = None,
    key: str | None = None,
) -> DataTree:
    """Draw from the posterior of a model.

    Parameters: `model`, any PyMC model whose free variables are continuous; `progress`, called with the stage, the
    transitions done and their total; `clock`, to which stage times are added; `key`, a name of the model's graph
    (equal keys promise models that differ in the values of their `pm.Data` alone) under which traced programs are
    kept, see :class:`Programs`.

    Returns a DataTree with `prior`, `prior_predictive`, `posterior`, `posterior_predictive`, `log_prior`,
    `log_likelihood`, `sample_stats`, `observed_data` and `constant_data`. Equal settings and versions on one machine
    give equal draws.
    """
    settings, clock = settings or Sampling(), clock or Clock()
    seeds = [int(s) for s in np.random.SeedSequence(settings.seed).generate_state(4)]
    with pytensor.config.change_flags(traceback__limit=0), ThreadPoolExecutor(2 * max(2, os.cpu_count() or 2)) as pool:
        programs = Programs(None if key is None else f"{key} {settings.program}", pool)
        programs.begin()
        with clock("prior draws"):
            prior = draw_prior(model, settings.prior_draws, seeds[0])
            example = {name: draws[0] for name, draws in prior.items()}
            flat, data = layout(model, example), model_data(model)
            joined = flat.join(prior)
        chains = None
        if settings.sampler != "pymc":
            with clock("sampler's program"):
                chains = _Chains(lambda: density(model, example).logp, data, joined, settings, programs)
            chains.launch(seeds[1], progress or (lambda stage, done, total: None))
        # Compiling and sampling leave Python's lock free: all that needs no posterior draws is done meanwhile.
        try:
            with clock("derived quantities' program"):
                evaluate = _Evaluator(lambda: derived(model, example), flat, data, programs)
            with clock("predictive program"):
                predict = observed_sampler(model)
            with clock("derive prior"):
                before = evaluate(joined, (1, settings.prior_draws))
            with clock("wait for sampler"):
                if chains is None:
                    logp = density(model, example).logp
                    apart = starts(joined[:STARTS], settings.chains, seeds[1])
                    near = jax.jit(partial(within_reach, logp))(apart, spread(joined)[0], data)
                    begin = evaluate(np.asarray(near), (1, settings.chains))["posterior"]
                    points, stats = _reference(model, settings, flat, seeds[1], begin)
                else:
                    points, stats = chains.gather(clock)
        finally:
            if chains is not None:
                chains.stop.set()
        with clock("derive"):
            drawn = evaluate(points, (settings.chains, settings.draws))
        with clock("predict"):
            predictive = [
                _predict(predict, draws["posterior"], seed) for draws, seed in ((before, seeds[2]), (drawn, seeds[3]))
            ]
    groups: dict[str, Arrays] = {
        "prior": before["posterior"],
        "prior_predictive": predictive[0],
        "posterior": drawn["posterior"],
        "posterior_predictive": predictive[1],
        "log_prior": drawn["log_prior"],
        "log_likelihood": drawn["log_likelihood"],
        "sample_stats": stats,
    }
    tree = {name: _dataset(model, arrays, ("chain", "draw")) for name, arrays in groups.items()}
    tree["observed_data"] = _dataset(model, find_observations(model), ())
    tree["constant_data"] = _dataset(model, find_constants(model), ())
    return DataTree.from_dict(tree)


def spread(prior: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Medians [size] and scales [size] of prior draws [draw, size]: the scales are the first metric."""
    low, centre, high = np.quantile(prior, [0.159, 0.5, 0.841], axis=0)
    return centre, np.maximum((high - low) / 2, 1e-8)


def starts(prior: NDArray[np.float64], chains: int, seed: int) -> NDArray[np.float64]:
    """Where chains start [chain, size]: as far apart as the prior is wide, or R-hat could not see what they all missed.

    Of some sets of prior draws [draw, size] the one that fills the quantiles of each variable most evenly.
    """
    ranks = prior.argsort(axis=0).argsort(axis=0) / len(prior)
    sets = np.random.default_rng(seed).integers(len(prior), size=(SETS, chains))
    even = (np.arange(chains)[:, None] + 0.5) / chains
    uneven = np.square(np.sort(ranks[sets], axis=1) - even).sum(axis=(1, 2))
    return np.asarray(prior[sets[uneven.argmin()]])


class _Chains:
    """Compiled programs for the chains of one model: start one, advance it by up to `CHUNK` draws."""

    def __init__(
        self,
        logp: Callable[[], Any],
        data: Arrays,
        prior: NDArray[np.float64],
        settings: Sampling,
        programs: Programs,
    ) -> None:
        self.data, self.settings = data, settings
        self.warm = settings.sampler in WARM_AT_START
        self.stop, self.chains = threading.Event(), list[Future[Any]]()
        self.prior, (self.centre, self.scale) = prior[:STARTS], spread(prior)

        @cache
        def traced() -> tuple[Any, Any, Any]:
            start, advance = flattened(settings.kernel(joint := logp()), joint)
            return start, advance, (*self._begin(0, 0), self.centre, self.scale, data)

        self.begin = programs.compile("start", lambda: (traced()[0], traced()[2]))
        self.advance = programs.compile(
            "advance",
            lambda: (traced()[1], (jax.eval_shape(traced()[0], *traced()[2]), data, *self._controls(0, 1, FIRST_STEP))),
        )

    def launch(self, seed: int, report: Progress) -> None:
        """Begin sampling all chains in the background."""
        settings, lock, done = self.settings, threading.Lock(), [0]
        total = settings.chains * (settings.draws + settings.tune)

        def one(first: int) -> tuple[list[Any], list[float]]:
            begin, program = self.begin.result(), self.advance.result()
            kept, times, step_size = [], [time.perf_counter()], FIRST_STEP
            state, tune = (
                begin(*self._begin(seed, first), self.centre, self.scale, self.data),
                0 if self.warm else settings.tune,
            )
            for stage, since, until in (("tune", 0, tune), ("draw", tune, tune + settings.draws)):
                for begun in range(since, until, CHUNK):
                    if self.stop.is_set():
                        raise KeyboardInterrupt
                    steps = min(CHUNK, until - begun)
                    out = program(state, self.data, *self._controls(begun, steps, step_size))
                    state, x, stats = jax.block_until_ready(out)
                    rows = [self._rows(leaf, steps) for leaf in (x, *stats)]
                    step_size = float(rows[-1][0, -1])
                    if stage == "draw":
                        kept.append(rows)
                    with lock:
                        done[0] += steps * max(1, settings.together)
                        report(stage, done[0], total)
                times.append(time.perf_counter())
            return kept, times

        # As many at a time as there are cores: more would only slow each other down.
        workers = ThreadPoolExecutor(os.cpu_count() or 1)
        self.chains = [workers.submit(one, c) for c in range(0, settings.chains, settings.together or 1)]
        workers.shutdown(wait=False)

    def gather(self, clock: Clock) -> tuple[NDArray[np.float64], Arrays]:
        """Wait for all chains: points [chain * draw, size] and statistics [chain, draw]."""
        results = [chain.result() for chain in self.chains]
        x, *stats = (
            np.concatenate([np.concatenate([chunk[i] for chunk in kept], axis=1) for kept, _ in results])
            for i in range(1 + len(STATS))
        )
        begun, tuned, ended = np.array([times for _, times in results]).T
        clock.seconds["sampling alone"] = float(ended.max() - begun.min())
        share = (tuned - begun).sum() / (ended - begun).sum()
        clock.seconds["of which tuning"] = float(share) * clock.seconds["sampling alone"]
        return x.reshape(-1, x.shape[-1]), dict(zip(STATS, stats, strict=True))

    def _begin(self, seed: int, chain: int) -> tuple[Any, Any]:
        """Key and starting points of a chain, or of all together."""
        chains, together = self.settings.chains, self.settings.together
        key = jax.random.key(seed)
        return (
            jax.random.key_data(key if together else jax.random.split(key, chains)[chain]),
            starts(self.prior, chains, seed)[slice(None) if together else chain],
        )

    def _controls(self, begun: int, steps: int, step_size: float) -> tuple[Any, ...]:
        if (settings := self.settings).sampler != "hmc":
            return (np.int64(steps),)
        return np.int64(steps), *controls(begun, steps, settings.tune, settings.target_accept, step_size)

    def _rows(self, leaf: Any, steps: int) -> NDArray[Any]:
        """A program's output [step, chain, ...] as [chain, step, ...]."""
        rows = np.asarray(leaf)[:steps]
        return np.swapaxes(rows, 0, 1) if self.settings.together else rows[None]


class _Evaluator:
    """The compiled program for everything derived from draws, in batches of a fixed size."""

    def __init__(self, everything: Callable[[], Any], flat: Flat, data: Arrays, programs: Programs) -> None:
        self.data, self.pool = data, programs.pool
        points = np.zeros((BATCH, flat.size))
        self.program = programs.compile("derive", lambda: (jax.vmap(everything(), in_axes=(0, None)), (points, data)))

    def __call__(self, points: NDArray[np.float64], shape: tuple[int, int]) -> dict[str, Arrays]:
        """Everything derived from points [prod(shape), size], as [*shape, ...] by group."""
        return evaluate(self.program.result(), points, self.data, shape, self.pool.map)


def _reference(
    model: pm.Model, settings: Sampling, flat: Flat, seed: int, begin: Arrays
) -> tuple[NDArray[np.float64], Arrays]:
    """PyMC's own NUTS, in one process (JAX has started: no forking); chains `begin` [1, chain, ...] as others do."""
    run = pm.sample(
        init="adapt_diag",
        initvals=[{rv.name: begin[rv.name][0, chain] for rv in model.free_RVs} for chain in range(settings.chains)],
        draws=settings.draws,
        tune=settings.tune,
        chains=settings.chains,
        cores=1,
        random_seed=seed,
        nuts_sampler="pymc",
        target_accept=settings.target_accept,
        progressbar=False,
        compute_convergence_checks=False,
        model=model,
    )
    posterior, stats = run["posterior"], run["sample_stats"]
    free = {rv.name: posterior[rv.name].values for rv in model.free_RVs}
    rows = {n: v.reshape(-1, *v.shape[2:]) for n, v in free.items()}
    return flat.join(unconstrain(model, rows)), {name: stats[name].values for name in STATS}


def _predict(sampler: Callable[..., Arrays], draws: Arrays, seed: int) -> Arrays:
    shape = next(iter(draws.values())).shape[:2]
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in draws.items()}
    return {n: v.reshape(*shape, *v.shape[1:]) for n, v in sampler(flat, seed).items()}


def _dataset(model: pm.Model, arrays: Mapping[str, Any], leading: tuple[str, ...]) -> Dataset:
    """Arrays [*leading, ...] with the model's dims and coords."""
    variables, coords = {}, {}
    for name, values in arrays.items():
        array = np.asarray(values)
        extra = array.ndim - len(leading)
        # The log density of a multivariate variable has only its batch dims.
        dims = model.named_vars_to_dims.get(name, [f"{name}_dim_{i}" for i in range(extra)])[:extra]
        variables[name] = ((*leading, *dims), array)
        for dim, length in zip((*leading, *dims), array.shape, strict=True):
            labels = model.coords.get(dim)
            coords[dim] = np.arange(length) if labels is None else np.array(list(labels))
    return Dataset(variables, coords=coords)
