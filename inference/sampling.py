"""Sample any PyMC model of continuous variables and gather everything known of the draws in one DataTree."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
import pymc as pm
import pytensor
from numpy.typing import NDArray
from pymc.backends.arviz import find_constants, find_observations
from xarray import Dataset, DataTree

from postcgrp.inference import chunks
from postcgrp.inference.density import Flat, density, derived, layout
from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.inference.evaluate import POINTS, evaluate
from postcgrp.inference.forward import draw_prior, observed_sampler, unconstrain
from postcgrp.inference.hmc import jittered_hmc
from postcgrp.inference.jaxify import Arrays, check_precision, model_data
from postcgrp.inference.kernels import Info, LogDensity, Sampler
from postcgrp.inference.nuts import blackjax_nuts, numpyro_nuts
from postcgrp.inference.programs import Programs
from postcgrp.inference.progress import Clock, Progress
from postcgrp.inference.settings import Sampling, workers
from postcgrp.inference.starting import CANDIDATES, spread, starts, within_reach

_SAMPLERS: dict[str, Callable[[Sampling], Sampler]] = {
    "hmc": jittered_hmc,
    "numpyro": numpyro_nuts,
    "blackjax": blackjax_nuts,
}
REFERENCE = "pymc"  # samples without JAX, and so without programs


def sample(
    model: pm.Model,
    settings: Sampling | None = None,
    *,
    progress: Progress | None = None,
    clock: Clock | None = None,
    key: str | None = None,
) -> DataTree:
    """Draw from the posterior of a model.

    Parameters: `model`, any PyMC model whose free variables are continuous; `progress`, told of transitions; `clock`,
    to which stage times are added; `key`, a name of the model's graph (equal keys promise models that differ in the
    values of their `pm.Data` alone) under which traced programs are kept, see :class:`Programs`.

    Returns a DataTree with `prior`, `prior_predictive`, `posterior`, `posterior_predictive`, `log_prior`,
    `log_likelihood`, `sample_stats`, `observed_data` and `constant_data`. Equal settings and versions on one machine
    give equal draws.
    """
    check_precision(model)
    settings, clock = settings or Sampling(), clock or Clock()
    prior_seed, chain_seed, *predictive_seeds = map(int, np.random.SeedSequence(settings.seed).generate_state(4))
    sampler = None if settings.sampler == REFERENCE else _SAMPLERS[settings.sampler](settings)
    program_key = None if key is None else f"{key} {sampler.program if sampler else REFERENCE}"
    # Recording where each node of the graphs was created costs more than creating it.
    with pytensor.config.change_flags(traceback__limit=0), ThreadPoolExecutor(2 * max(2, workers())) as pool:
        data = model_data(model)
        programs = Programs(program_key, pool, data)
        programs.begin()
        with clock("prior draws"):
            prior = draw_prior(model, settings.prior_draws, prior_seed)
            example = {name: draws[0] for name, draws in prior.items()}
            flat = layout(model, example)
            prior_points = flat.join(prior)
        chains = None
        if sampler is not None:
            with clock("sampler's program"):
                chains = _Chains(lambda: density(model, example).logp, data, prior_points, settings, sampler, programs)
            chains.launch(chain_seed, progress or (lambda stage, done, total: None))
        # Compiling and sampling do not hold Python's lock: what needs no posterior draws is done meanwhile.
        try:
            with clock("derived quantities' program"):
                evaluate = _Evaluator(lambda: derived(model, example), flat, data, programs)
            with clock("predictive program"):
                predict = observed_sampler(model)
            with clock("derive prior"):
                before = evaluate(prior_points, (1, settings.prior_draws))
            with clock("wait for sampler"):
                if chains is not None:
                    points, stats = chains.gather(clock)
                else:
                    logp = density(model, example).logp
                    points, stats = _reference(model, settings, flat, chain_seed, evaluate, logp, prior_points)
        finally:
            if chains is not None:
                chains.stop.set()
        with clock("derive"):
            after = evaluate(points, (settings.chains, settings.draws))
        with clock("predict"):
            predictive = [
                _predict(predict, draws["posterior"], seed)
                for draws, seed in zip((before, after), predictive_seeds, strict=True)
            ]
    groups: dict[str, Arrays] = {
        "prior": before["posterior"],
        "prior_predictive": predictive[0],
        "posterior": after["posterior"],
        "posterior_predictive": predictive[1],
        "log_prior": after["log_prior"],
        "log_likelihood": after["log_likelihood"],
        "sample_stats": stats,
    }
    tree = {name: _dataset(model, arrays, SAMPLE) for name, arrays in groups.items()}
    tree["observed_data"] = _dataset(model, find_observations(model), ())
    tree["constant_data"] = _dataset(model, find_constants(model), ())
    return DataTree.from_dict(tree)


class _Sampled(NamedTuple):
    """Positions and statistics [chain, draw, ...] by name, and when the chains began, were tuned, and ended."""

    draws: dict[str, NDArray[Any]]
    times: tuple[float, float, float]


class _Chains:
    """The chains of one model: their compiled programs, and threads that run them."""

    def __init__(
        self,
        logp: Callable[[], LogDensity],
        data: Arrays,
        prior: NDArray[np.float64],
        settings: Sampling,
        sampler: Sampler,
        programs: Programs,
    ) -> None:
        self.data, self.settings, self.sampler = data, settings, sampler
        self.stop, self.running = threading.Event(), list[Future[_Sampled]]()
        self.prior, (self.centre, self.scale) = prior[:CANDIDATES], spread(prior)

        @cache
        def traced() -> tuple[Any, Any, Any]:
            joint = logp()
            return *chunks.as_programs(sampler.kernel(joint), joint), self._begin(0, 0)

        def trace_advance() -> tuple[Any, tuple[Any, ...]]:
            start, advance, begin = traced()
            return advance, (jax.eval_shape(start, *begin), data, *chunks.first_controls(sampler))

        self.start = programs.compile("start", lambda: (traced()[0], traced()[2]))
        self.advance = programs.compile("advance", trace_advance)

    def launch(self, seed: int, progress: Progress) -> None:
        """Begin sampling all chains in the background."""
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

    def __init__(self, everything: Callable[[], Any], flat: Flat, data: Arrays, programs: Programs) -> None:
        self.data, self.pool = data, programs.pool
        points = np.zeros((POINTS, flat.size))
        self.program = programs.compile("derive", lambda: (jax.vmap(everything(), in_axes=(0, None)), (points, data)))

    def __call__(self, points: NDArray[np.float64], shape: tuple[int, int]) -> dict[str, Arrays]:
        """Everything derived from points [prod(shape), size], as [*shape, ...] by group."""
        return evaluate(self.program.result(), points, self.data, shape, self.pool.map)


def _reference(
    model: pm.Model,
    settings: Sampling,
    flat: Flat,
    seed: int,
    evaluate: _Evaluator,
    logp: LogDensity,
    prior: NDArray[np.float64],
) -> tuple[NDArray[np.float64], Arrays]:
    """Points and statistics by PyMC's own NUTS, whose chains start where those of other samplers do."""
    apart = starts(prior[:CANDIDATES], settings.chains, seed)
    near = jax.jit(partial(within_reach, logp))(apart, spread(prior)[0], model_data(model))
    begin = evaluate(np.asarray(near), (1, settings.chains))["posterior"]
    run = pm.sample(
        init="adapt_diag",
        initvals=[{rv.name: begin[rv.name][0, chain] for rv in model.free_RVs} for chain in range(settings.chains)],
        draws=settings.draws,
        tune=settings.tune,
        chains=settings.chains,
        cores=1,  # JAX has started, after which a process must not fork
        random_seed=seed,
        nuts_sampler="pymc",
        target_accept=settings.target_accept,
        progressbar=False,
        compute_convergence_checks=False,
        model=model,
    )
    posterior, stats = run["posterior"], run["sample_stats"]
    free = {rv.name: _flat_draws(posterior[rv.name].values) for rv in model.free_RVs}
    return flat.join(unconstrain(model, free)), {name: stats[name].values for name in Info._fields}


def _predict(predict: Callable[..., Arrays], draws: Arrays, seed: int) -> Arrays:
    """Predictive draws [chain, draw, ...] of the observed variables, for draws [chain, draw, ...] of all others."""
    shape = next(iter(draws.values())).shape[:2]
    predicted = predict({name: _flat_draws(values) for name, values in draws.items()}, seed)
    return {name: values.reshape(*shape, *values.shape[1:]) for name, values in predicted.items()}


def _flat_draws(values: NDArray[Any]) -> NDArray[Any]:
    """Draws [chain, draw, ...] as [chain * draw, ...]."""
    return values.reshape(-1, *values.shape[2:])


def _dataset(model: pm.Model, arrays: Mapping[str, Any], leading: tuple[str, ...]) -> Dataset:
    """Arrays [*leading, ...] with the model's dims and coords."""
    variables, coords = {}, {}
    for name, values in arrays.items():
        array = np.asarray(values)
        extra = array.ndim - len(leading)
        # The log density of a multivariate variable lacks the dims of one value: one density covers them all.
        dims = model.named_vars_to_dims.get(name, [f"{name}_dim_{i}" for i in range(extra)])[:extra]
        variables[name] = ((*leading, *dims), array)
        for dim, length in zip((*leading, *dims), array.shape, strict=True):
            labels = model.coords.get(dim)
            coords[dim] = np.arange(length) if labels is None else np.array(list(labels))
    return Dataset(variables, coords=coords)
