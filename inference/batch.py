"""Many posteriors of one compiled model: other data or hyperparameters, each with its own adaptation and gate.

A :class:`Batch` is plain data, programs included. A unit of work is a function of a batch and the data of a few
posteriors, so it gives the same result in a thread here or on another machine, however often it is run.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zipfile import BadZipFile

import jax
import numpy as np
from jax import export
from numpy.typing import NDArray

from postcgrp.inference import chunks
from postcgrp.inference.cache import enable_cache
from postcgrp.inference.convergence import Check, gate_arrays, passed
from postcgrp.inference.evaluate import evaluate
from postcgrp.inference.hmc import jittered_hmc
from postcgrp.inference.kernels import FIRST_STEP
from postcgrp.inference.numerics import Arrays
from postcgrp.inference.programs import Programs, Trace, compiled
from postcgrp.inference.progress import Progress
from postcgrp.inference.settings import Sampling, workers
from postcgrp.inference.starting import CANDIDATES, spread, starts
from postcgrp.inference.target import Outline, Target
from postcgrp.models.blueprint import Blueprint
from postcgrp.priors import InputError
from postcgrp.priors.files import replacing

if TYPE_CHECKING:  # a process with stored programs needs no model, and so no PyMC
    import pymc as pm

LANES = 8  # posteriors that advance together: with more a gradient gets no cheaper, with fewer dearer
LIKELIHOOD = "log_likelihood/"  # before the name of an observed variable: its log likelihood among a fit's draws


class Effort(NamedTuple):
    """How a try differs from the settings.

    `longer`: how many times as much tuning and as many draws; `step_size`: what the step size is multiplied with;
    `target_accept`: the least acceptance to aim at.
    """

    longer: int
    step_size: float
    target_accept: float


EFFORTS = (Effort(1, 1.0, 0.0), Effort(2, 0.7, 0.9))  # the second is for a posterior that missed the gate


@dataclass(frozen=True)
class Batch:
    """A model compiled for many posteriors, as plain data.

    `programs`: StableHLO by name; `digest`: a hash of what they were made from. `outline`: what the model's draws look
    like. `data`: the values of its own `pm.Data`. `prior` [draw, size]: where chains may start, drawn toward `centre`
    [size] where a start is out of reach. `scale` [size]: the sds of prior draws. `lanes`: how many posteriors advance
    together. `thin`: one of so many draws is kept. `step_size`: that of the model's own posterior, which converts the
    length of trajectories into leapfrog steps.
    """

    programs: dict[str, bytes]
    digest: str
    outline: Outline
    data: Arrays
    prior: NDArray[np.float64]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    settings: Sampling
    lanes: int
    thin: int
    step_size: float = FIRST_STEP

    @property
    def free(self) -> list[str]:
        """Names of the free variables."""
        return [*self.outline.free]

    def posterior(self, data: Mapping[str, Any]) -> Posterior:
        """The posterior under other values of some of the model's data.

        Raises :class:`InputError` for a name that the model does not have or a value of another shape.
        """
        whole = dict(self.data)
        for name, value in data.items():
            if name not in whole:
                raise InputError(f"{name!r} is no data of the model: use one of {', '.join(whole)}")
            given = np.asarray(value, dtype=whole[name].dtype)
            if given.shape != whole[name].shape:
                raise InputError(f"{name!r} has shape {given.shape}: the model needs {whole[name].shape}")
            whole[name] = given
        about = repr((self.digest, self.settings, self.lanes, self.thin, self.step_size))
        stream = _hash(whole)
        begin = _hash({"prior": self.prior, "centre": self.centre, "scale": self.scale})
        return Posterior(whole, stream, hashlib.sha256(f"{about} {begin} {stream}".encode()).hexdigest()[:32])


@dataclass(frozen=True)
class Posterior:
    """The data that make one posterior of a batch.

    `stream`: their hash, which together with the seed determines the random numbers, whatever program uses them.
    `key`: a hash of everything that the draws follow from, this package's source included.
    """

    data: Arrays
    stream: str
    key: str


@dataclass(frozen=True)
class Fit:
    """One posterior: its `draws` [chain, draw, ...] by name, the gate's verdicts, and the number of tries it took."""

    key: str
    draws: Arrays
    checks: tuple[Check, ...]
    effort: int

    @property
    def passed(self) -> bool:
        """Whether every criterion of the gate is met."""
        return passed(self.checks)


def prepare(
    model: pm.Model | Blueprint,
    settings: Sampling | None = None,
    *,
    keep: Sequence[str] = (),
    thin: int = 1,
    lanes: int = LANES,
) -> Batch:
    """Compile a model once, for any number of posteriors that differ in the values of its `pm.Data`.

    Parameters: `model`, see :func:`postcgrp.inference.sample`; `keep`, names of Deterministics whose draws are wanted,
    where the model has them, beside the free variables and the log likelihoods; `thin`: one of so many draws is kept
    (the gate sees all); `lanes`, how many posteriors advance together. The sampler is jittered HMC, whatever the
    settings name.
    """
    settings = replace(settings or Sampling(), sampler="hmc")
    sampler = jittered_hmc(settings)
    key = f"{model.key} {lanes} {sorted(keep)} {sampler.program}" if isinstance(model, Blueprint) else None
    target = Target(model, lambda data: Programs(key))
    prior = target.prior(settings.prior_draws, int(np.random.SeedSequence(settings.seed).generate_state(1)[0]))
    starting, (centre, scale) = prior[:CANDIDATES], spread(prior)
    lane_data = _stacked([target.data] * lanes)
    begin = (*_begin([""] * lanes, settings, starting), centre, scale, lane_data)
    first_controls = chunks.first_controls(sampler)

    @cache
    def lane_programs() -> tuple[Any, Any]:
        logp = target.density.logp
        start, advance = chunks.as_programs(sampler.kernel(logp), logp)
        shared = (None,) * len(first_controls)
        return jax.vmap(start, in_axes=(0, 0, None, None, 0)), jax.vmap(advance, in_axes=(0, 0, *shared))

    def trace_advance() -> tuple[Any, tuple[Any, ...]]:
        start, advance = lane_programs()
        return advance, (jax.eval_shape(start, *begin), lane_data, *first_controls)

    traces: dict[str, Trace] = {
        "start": lambda: (lane_programs()[0], begin),
        "advance": trace_advance,
        "derive": lambda: target.trace_derived(keep, log_prior=False),
    }
    if target.outline.drawable:
        traces |= {"prior": target.trace_prior, "unconstrain": target.trace_unconstrain}
    stored = target.programs
    content = {name: bytes(stored.exported(name, trace).serialize()) for name, trace in traces.items()}
    digest = stored.digest or hashlib.sha256(b"".join(content.values())).hexdigest()
    batch = Batch(content, digest, target.outline, target.data, starting, centre, scale, settings, lanes, thin)
    return replace(batch, step_size=_pilot(batch))


def fit_many(
    batch: Batch,
    posteriors: Sequence[Mapping[str, Any]],
    *,
    folder: Path | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
    tries: int = len(EFFORTS),
) -> Iterator[tuple[int, Fit]]:
    """Fit every posterior; yields each one's place in `posteriors` and its fit as soon as it is finished.

    A posterior that misses the gate is run again with more effort; if it still misses, its fit says so. Parameters:
    `posteriors`, for each the data that differ from the model's own; `folder`, where finished fits are kept and where
    a later call with the same inputs finds them; `scheduler`, the address of a Dask scheduler, by default threads of
    this process; `tries`, 1 for no second try.
    """
    places: dict[str, list[int]] = {}
    todo: dict[str, Posterior] = {}
    for place, data in enumerate(posteriors):
        posterior = batch.posterior(data)
        places.setdefault(posterior.key, []).append(place)
        todo[posterior.key] = posterior
    done = 0
    for fit in _fits(batch, todo, folder, scheduler, tries):
        done += len(places[fit.key])
        if progress is not None:
            progress("fitting", done, len(posteriors))
        yield from ((place, fit) for place in places[fit.key])


def _fits(
    batch: Batch, todo: dict[str, Posterior], folder: Path | None, scheduler: str | None, tries: int
) -> Iterator[Fit]:
    """The final fit of every posterior: first those found in `folder`, then each as it passes or runs out of tries."""
    for key in list(todo):
        if folder is not None and (stored := load_fit(folder / f"{key}.npz")) is not None:
            del todo[key]
            yield stored
    waiting = list(todo.values())
    units = [waiting[i : i + batch.lanes] for i in range(0, len(waiting), batch.lanes)]
    if not units:
        return
    with _workers(scheduler, len(units)) as (executor, unit):
        running = {executor.submit(unit, batch, posteriors, 1): 1 for posteriors in units}
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                effort, again = running.pop(future), []
                for fit in future.result():
                    if fit.passed or effort == tries:
                        if folder is not None:
                            save_fit(fit, folder)
                        yield fit
                    else:
                        again.append(todo[fit.key])
                if again:
                    running[executor.submit(unit, batch, again, effort + 1)] = effort + 1


def fit_unit(
    batch: Batch, posteriors: Sequence[Posterior], effort: int = 1, stopped: Callable[[], bool] = lambda: False
) -> list[Fit]:
    """Fit up to `batch.lanes` posteriors together: the unit of work, whose result follows from its arguments alone."""
    how, settings = EFFORTS[effort - 1], batch.settings
    settings = replace(
        settings,
        tune=settings.tune * how.longer,
        draws=settings.draws * how.longer,
        target_accept=max(settings.target_accept, how.target_accept),
    )
    padded = [posteriors[min(lane, len(posteriors) - 1)] for lane in range(batch.lanes)]
    seeds, data = [f"{p.stream} {effort}" for p in padded], _stacked([p.data for p in padded])
    x, diverging, _ = _run(batch, seeds, data, settings, batch.step_size * how.step_size, stopped)
    fits = []
    for lane, posterior in enumerate(posteriors):
        points = x[lane].reshape(-1, batch.outline.flat.size)
        draws = evaluate_at(batch, points, posterior.data, (settings.chains, settings.draws))
        checks = gate_arrays(draws, diverging[lane], batch.free, [n for n in draws if n not in batch.free])
        kept = {name: values[:, :: batch.thin * how.longer] for name, values in draws.items()}
        fits.append(Fit(posterior.key, kept, checks, effort))
    return fits


def evaluate_at(
    batch: Batch, points: NDArray[np.float64], data: Arrays, shape: tuple[int, int] | None = None
) -> Arrays:
    """Everything that a fit keeps [chain, draw, ...] by name, at unconstrained points [chain * draw, size].

    `shape` is (chain, draw), one chain by default. Log likelihoods have the prefix `LIKELIHOOD`.
    """
    [derive] = programs_of(batch, "derive")
    groups = evaluate(derive, points, data, shape or (1, len(points)), seed=0)
    return {**groups["posterior"], **{f"{LIKELIHOOD}{name}": v for name, v in groups["log_likelihood"].items()}}


def save_fit(fit: Fit, folder: Path) -> None:
    """Write a fit to `folder`, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{fit.key}.npz"
    about = json.dumps({"key": fit.key, "effort": fit.effort, "checks": [asdict(check) for check in fit.checks]})
    with replacing(path) as beside:
        np.savez(beside, about=np.array(about), **fit.draws)


def load_fit(path: Path) -> Fit | None:
    """A fit that :func:`save_fit` wrote; None if there is none or the file is damaged."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            draws = {name: file[name] for name in file.files if name != "about"}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, RuntimeError):
        return None  # RuntimeError: zipfile takes a damaged header for encryption, or for an unknown compression
    return Fit(about["key"], draws, tuple(Check(**check) for check in about["checks"]), about["effort"])


@contextmanager
def _workers(scheduler: str | None, units: int) -> Iterator[tuple[Executor, Callable[..., list[Fit]]]]:
    """An executor for units of work, and the function to run there; on the way out, units not begun are dropped."""
    if scheduler is not None:
        from postcgrp.inference.cluster import cluster

        with cluster(scheduler) as executor:
            yield executor, _fit_there
        return
    stop = threading.Event()
    # Threads and not processes: programs do not hold Python's lock, and each process would compile its own.
    executor = ThreadPoolExecutor(workers(units))
    try:
        yield executor, partial(fit_unit, stopped=stop.is_set)
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)


def _fit_there(batch: Batch, posteriors: Sequence[Posterior], effort: int) -> list[Fit]:
    """:func:`fit_unit` in a worker of a cluster, where later processes should find the programs compiled."""
    enable_cache()
    return fit_unit(batch, posteriors, effort)


_COMPILED: dict[str, dict[str, Any]] = {}
_COMPILING = threading.Lock()


def programs_of(batch: Batch, *names: str) -> list[Any]:
    """The batch's programs of these names, each compiled once in a process, and those that are not yet side by side."""
    with _COMPILING:
        made = _COMPILED.setdefault(batch.digest, {})
        if todo := [name for name in names if name not in made]:
            loaded = [export.deserialize(bytearray(batch.programs[name])) for name in todo]
            with ThreadPoolExecutor() as pool:
                made.update(zip(todo, pool.map(compiled, loaded), strict=True))
        return [made[name] for name in names]


def _pilot(batch: Batch) -> float:
    """The step size that tuning ends with on the model's own data."""
    seeds = [f"pilot {lane}" for lane in range(batch.lanes)]
    settings = replace(batch.settings, draws=4)
    _, _, sizes = _run(batch, seeds, _stacked([batch.data] * batch.lanes), settings, batch.step_size)
    return float(np.median(sizes))


def _run(
    batch: Batch,
    seeds: Sequence[str],
    data: Arrays,
    settings: Sampling,
    step_size: float,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Positions [lane, chain, draw, size], divergences [lane, chain, draw] and step sizes [lane] of one run."""
    start, advance, _ = programs_of(batch, "start", "advance", "derive")  # the last is needed next
    sampler = jittered_hmc(settings)
    state = start(*_begin(seeds, settings, batch.prior), batch.centre, batch.scale, data)
    made = chunks.run_chunks(advance, state, data, sampler, settings.draws, lanes_step=step_size, stopped=stopped)
    kept = [chunk for chunk in made if not chunk.tuning]
    x, diverging = (
        np.swapaxes(np.concatenate(parts, axis=1), 1, 2)
        for parts in ([chunk.positions for chunk in kept], [chunk.info.diverging for chunk in kept])
    )
    return x, diverging, kept[-1].info.step_size[:, -1, 0]


def _begin(seeds: Sequence[str], settings: Sampling, prior: NDArray[np.float64]) -> tuple[Any, NDArray[np.float64]]:
    """Keys [lane] and starting points [lane, chain, size] that follow from each lane's own seed and the settings'."""
    keys, points = [], []
    for seed in seeds:
        digest = hashlib.sha256(f"{settings.seed} {seed}".encode()).digest()
        number = int.from_bytes(digest[:7])
        keys.append(jax.random.key_data(jax.random.key(number)))
        points.append(starts(prior, settings.chains, number))
    return np.stack(keys), np.stack(points)


def _hash(arrays: Arrays) -> str:
    content = b"".join(name.encode() + value.tobytes() for name, value in sorted(arrays.items()))
    return hashlib.sha256(content).hexdigest()


def _stacked(data: Sequence[Arrays]) -> Arrays:
    return {name: np.stack([each[name] for each in data]) for name in data[0]}
