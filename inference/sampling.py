"""Sample any PyMC model of continuous variables and gather everything known of the draws in one DataTree."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray
from xarray import Dataset, DataTree

from postcgrp.inference import chunks
from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.inference.evaluate import evaluate
from postcgrp.inference.hmc import jittered_hmc
from postcgrp.inference.kernels import Sampler
from postcgrp.inference.numerics import Arrays
from postcgrp.inference.nuts import blackjax_nuts, numpyro_nuts
from postcgrp.inference.programs import Programs
from postcgrp.inference.progress import Clock, Progress
from postcgrp.inference.settings import Sampling, workers
from postcgrp.inference.starting import CANDIDATES, spread, starts, within_reach
from postcgrp.inference.target import Target
from postcgrp.models.blueprint import Blueprint

if TYPE_CHECKING:  # a process with stored programs needs no model, and so no PyMC
    import pymc as pm

_SAMPLERS: dict[str, Callable[[Sampling], Sampler]] = {
    "hmc": jittered_hmc,
    "numpyro": numpyro_nuts,
    "blackjax": blackjax_nuts,
}
REFERENCE = "pymc"  # samples without JAX, by the model itself


def sample(
    model: pm.Model | Blueprint,
    settings: Sampling | None = None,
    *,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> DataTree:
    """Draw from the posterior of a model.

    Parameters: `model`, any PyMC model whose free variables are continuous, or a :class:`Blueprint`, whose traced
    programs are kept under its key and which is built only to trace them, see :class:`Programs`; `progress`, told of
    transitions; `clock`, to which stage times are added.

    Returns a DataTree with `prior`, `prior_predictive`, `posterior`, `posterior_predictive`, `log_prior`,
    `log_likelihood`, `sample_stats`, `observed_data` and `constant_data`. Equal settings and versions on one machine
    give equal draws.
    """
    settings, clock = settings or Sampling(), clock or Clock()
    prior_seed, chain_seed, *predictive_seeds = map(int, np.random.SeedSequence(settings.seed).generate_state(4))
    sampler = None if settings.sampler == REFERENCE else _SAMPLERS[settings.sampler](settings)
    key = f"{model.key} {sampler.program if sampler else REFERENCE}" if isinstance(model, Blueprint) else None
    with ThreadPoolExecutor(max(2, workers())) as pool:
        target = Target(model, lambda data: Programs(key, pool, data))
        target.programs.begin("prior", "start", "advance", "derive")
        with clock("outline"):
            flat = target.outline.flat
        with clock("prior's program"):
            target.begin_prior()
        chains = None
        if sampler is not None:
            with clock("sampler's program"):
                chains = _Chains(target, settings, sampler)
        with clock("prior draws"):
            prior_points = target.prior(settings.prior_draws, prior_seed)
        if chains is not None:
            chains.launch(prior_points, chain_seed, progress or (lambda stage, done, total: None))
        # Compiling and sampling do not hold Python's lock: what needs no posterior draws is done meanwhile.
        try:
            with clock("derived quantities' program"):
                evaluate = _Evaluator(target)
            with clock("derive prior"):
                before = evaluate(prior_points, (1, settings.prior_draws), predictive_seeds[0])
            with clock("wait for sampler"):
                if chains is not None:
                    points, stats = chains.gather(clock)
                else:
                    points, stats = _by_pymc(target, settings, chain_seed, evaluate, prior_points)
        finally:
            if chains is not None:
                chains.stop.set()
        with clock("derive"):
            after = evaluate(points.reshape(-1, flat.size), (settings.chains, settings.draws), predictive_seeds[1])
    groups: dict[str, Arrays] = {
        "prior": before["posterior"],
        "prior_predictive": before["predictive"],
        "posterior": after["posterior"],
        "posterior_predictive": after["predictive"],
        "log_prior": after["log_prior"],
        "log_likelihood": after["log_likelihood"],
        "sample_stats": stats,
    }
    tree = {name: _dataset(target, arrays, SAMPLE) for name, arrays in groups.items()}
    tree["observed_data"] = _dataset(target, target.observations(), ())
    tree["constant_data"] = _dataset(target, target.constants(), ())
    return DataTree.from_dict(tree)


class _Sampled(NamedTuple):
    """Positions and statistics [chain, draw, ...] by name, and when the chains began, were tuned, and ended."""

    draws: dict[str, NDArray[Any]]
    times: tuple[float, float, float]


class _Chains:
    """The chains of one model: their compiled programs, and threads that run them."""

    def __init__(self, target: Target, settings: Sampling, sampler: Sampler) -> None:
        self.data, self.settings, self.sampler = target.data, settings, sampler
        self.stop, self.running = threading.Event(), list[Future[_Sampled]]()
        size = target.outline.flat.size  # all that tracing must know of where chains start
        self.prior, self.centre, self.scale = np.zeros((CANDIDATES, size)), np.zeros(size), np.ones(size)

        @cache
        def traced() -> tuple[Any, Any, Any]:
            joint = target.density.logp
            return *chunks.as_programs(sampler.kernel(joint), joint), self._begin(0, 0)

        def trace_advance() -> tuple[Any, tuple[Any, ...]]:
            start, advance, begin = traced()
            return advance, (jax.eval_shape(start, *begin), self.data, *chunks.first_controls(sampler))

        self.start = target.programs.compile("start", lambda: (traced()[0], traced()[2]))
        self.advance = target.programs.compile("advance", trace_advance)

    def launch(self, prior: NDArray[np.float64], seed: int, progress: Progress) -> None:
        """Begin sampling all chains in the background, from some of the prior draws [draw, size]."""
        self.prior, (self.centre, self.scale) = prior[:CANDIDATES], spread(prior)
        sampler, lock, done = self.sampler, threading.Lock(), [0]
        total = self.settings.chains * (sampler.tune + self.settings.draws)

        def sample_from(first: int) -> _Sampled:
            start, advance = self.start.result(), self.advance.result()
            begun = tuned = time.perf_counter()
            state, kept = start(*self._begin(seed, first)), list[dict[str, NDArray[Any]]]()
            made = chunks.run_chunks(advance, state, self.data, sampler, self.settings.draws, stopped=self.stop.is_set)
            for chunk in made:
                if chunk.tuning:
                    tuned = time.perf_counter()
                else:
                    rows = {"x": chunk.positions, **chunk.info._asdict()}
                    kept.append({name: self._by_chain(values) for name, values in rows.items()})
                with lock:
                    done[0] += chunk.steps * max(1, sampler.together)
                    progress("tune" if chunk.tuning else "draw", done[0], total)
            draws = {name: np.concatenate([rows[name] for rows in kept], axis=1) for name in kept[0]}
            return _Sampled(draws, (begun, tuned, time.perf_counter()))

        # As many at a time as there are cores: more would only slow each other down.
        first = range(0, self.settings.chains, sampler.together or 1)
        threads = ThreadPoolExecutor(workers(len(first)))
        self.running = [threads.submit(sample_from, chain) for chain in first]
        threads.shutdown(wait=False)

    def gather(self, clock: Clock) -> tuple[NDArray[np.float64], Arrays]:
        """Wait for all chains: points [chain * draw, size] and statistics [chain, draw]."""
        results = [chain.result() for chain in self.running]
        draws = {name: np.concatenate([each.draws[name] for each in results]) for name in results[0].draws}
        begun, tuned, ended = np.array([each.times for each in results]).T
        clock.seconds["sampling alone"] = float(ended.max() - begun.min())
        share = (tuned - begun).sum() / (ended - begun).sum()
        clock.seconds["of which tuning"] = float(share) * clock.seconds["sampling alone"]
        x = draws.pop("x")
        return x.reshape(-1, x.shape[-1]), draws

    def _begin(self, seed: int, chain: int) -> tuple[Any, ...]:
        """The arguments of `start` for a chain, or for all chains together."""
        chains, together = self.settings.chains, self.sampler.together
        key = jax.random.key(seed)
        return (
            jax.random.key_data(key if together else jax.random.split(key, chains)[chain]),
            starts(self.prior, chains, seed)[slice(None) if together else chain],
            self.centre,
            self.scale,
            self.data,
        )

    def _by_chain(self, values: NDArray[Any]) -> NDArray[Any]:
        """A chunk's output [step, ...] or [step, chain, ...] as [chain, step, ...]."""
        return np.swapaxes(values, 0, 1) if self.sampler.together else values[None]


class _Evaluator:
    """The compiled program for everything derived from draws, in batches of a fixed size."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.program = target.programs.compile("derive", target.trace_derived)

    def __call__(self, points: NDArray[np.float64], shape: tuple[int, int], seed: int) -> dict[str, Arrays]:
        """Everything derived from points [prod(shape), size], and predictive draws, as [*shape, ...] by group."""
        found = evaluate(self.program.result(), points, self.target.data, shape, self.target.programs.pool.map, seed)
        if "predictive" not in found:  # JAX does not know all of the model's distributions: PyMC does
            from postcgrp.inference.forward import observed_sampler

            flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in found["posterior"].items()}
            drawn = observed_sampler(self.target.model)(flat, seed)
            found["predictive"] = {name: values.reshape(*shape, *values.shape[1:]) for name, values in drawn.items()}
        return found


def _by_pymc(
    target: Target, settings: Sampling, seed: int, evaluate: _Evaluator, prior: NDArray[np.float64]
) -> tuple[NDArray[np.float64], Arrays]:
    """Points and statistics by PyMC's own NUTS, whose chains start where those of other samplers do."""
    from postcgrp.inference.by_pymc import nuts

    apart = starts(prior[:CANDIDATES], settings.chains, seed)
    near = jax.jit(partial(within_reach, target.density.logp))(apart, spread(prior)[0], target.data)
    begin = evaluate(np.asarray(near), (1, settings.chains), seed)["posterior"]
    return nuts(target.model, target.outline.flat, settings, seed, begin)


def _dataset(target: Target, arrays: Mapping[str, Any], leading: tuple[str, ...]) -> Dataset:
    """Arrays [*leading, ...] with the model's dims and coords."""
    variables, coords = {}, {}
    for name, values in arrays.items():
        array = np.asarray(values)
        extra = array.ndim - len(leading)
        # The log density of a multivariate variable lacks the dims of one value: one density covers them all.
        dims = target.outline.dims.get(name, [f"{name}_dim_{i}" for i in range(extra)])[:extra]
        variables[name] = ((*leading, *dims), array)
        for dim, length in zip((*leading, *dims), array.shape, strict=True):
            labels = target.coords.get(dim)
            coords[dim] = np.arange(length) if labels is None else np.array(list(labels))
    return Dataset(variables, coords=coords)
