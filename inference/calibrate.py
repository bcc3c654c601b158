"""Simulation-based calibration: draw truths, simulate evidence, refit every posterior, rank the truths in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from postcgrp.inference.batch import LIKELIHOOD, Batch, Fit, evaluate_at, programs_of
from postcgrp.inference.evaluate import evaluate
from postcgrp.inference.flat import Flat
from postcgrp.inference.numerics import Arrays
from postcgrp.inference.ranks import pit, ranks
from postcgrp.inference.target import prior_points
from postcgrp.priors import InputError

JOINT_LIKELIHOOD = "log_likelihood"  # of all simulated evidence: the quantity that shows if evidence was left out
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Truths:
    """Known truths: unconstrained `points` [truth, size], and the data `simulated` from each, by data name."""

    points: Array
    simulated: Arrays

    def __len__(self) -> int:
        """The number of truths."""
        return len(self.points)

    def data(self, place: int) -> Arrays:
        """The data simulated from one truth."""
        return {name: values[place] for name, values in self.simulated.items()}


def prior_truths(batch: Batch, number: int, seed: int) -> Truths:
    """Truths from the prior (Talts et al. 2018, algorithm 1); a larger number begins with the truths of a smaller."""
    prior_seed, data_seed = _seeds(seed)
    points = draw_truths(batch, number, prior_seed)
    return Truths(points, simulate(batch, points, data_seed))


def posterior_truths(batch: Batch, draws: Mapping[str, NDArray[Any]], number: int, seed: int) -> Truths:
    """Truths from a posterior, for calibration around it (Saeilynoja et al. 2025).

    A refit must see the simulated data beside the posterior's own. Parameters: `draws`, of every free variable
    [chain, draw, ...], of which `number` are taken, evenly spaced. Raises :class:`InputError` for too few draws.
    """
    free = {name: np.asarray(draws[name]) for name in batch.free}
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in free.items()}
    available = len(next(iter(flat.values())))
    if number > available:
        raise InputError(f"{number} refits around a run of {available} draws: ask for fewer, or a longer run")
    chosen = np.linspace(0, available - 1, number).astype(int)
    points = unconstrained(batch, {name: values[chosen] for name, values in flat.items()})
    return Truths(points, simulate(batch, points, _seeds(seed)[1]))


def _seeds(seed: int) -> tuple[int, int]:
    """Seeds for truths and for data simulated from them."""
    first, second = np.random.SeedSequence(seed).generate_state(2)
    return int(first), int(second)


def draw_truths(batch: Batch, number: int, seed: int) -> NDArray[np.float64]:
    """Prior draws on the unconstrained scale [number, size], see :meth:`postcgrp.inference.target.Target.prior`.

    Raises :class:`InputError` for a model of which JAX does not know every distribution.
    """
    return prior_points(_drawing(batch, "prior"), batch.outline, batch.data, number, seed)


def unconstrained(batch: Batch, free: Arrays) -> NDArray[np.float64]:
    """Draws of the free variables [draw, ...] by name as points on the unconstrained scale [draw, size]."""
    values = Flat(batch.outline.natural).join(free)
    found = evaluate(_drawing(batch, "unconstrain"), values, batch.data, (1, len(values)))["unconstrained"]
    return np.asarray(found["points"][0])


def simulate(batch: Batch, points: NDArray[np.float64], seed: int) -> Arrays:
    """One simulated data set per unconstrained point [point, size], by name of the observed data [point, ...].

    Raises :class:`InputError` for a model that observes anything but `pm.Data`, or see :func:`draw_truths`.
    """
    for name, data in batch.outline.observed.items():
        if not data:
            raise InputError(f"{name!r} observes a constant: give it pm.Data, so that it can be simulated")
    drawn = evaluate(_drawing(batch, "derive"), points, batch.data, (1, len(points)), seed=seed)["predictive"]
    return {batch.outline.observed[name]: values[0] for name, values in drawn.items()}


def _drawing(batch: Batch, name: str) -> Any:
    """A program of a batch, whose model must be one that programs can draw from."""
    if not batch.outline.drawable:
        raise InputError("the model has distributions that JAX cannot draw from: nothing can be simulated by it")
    [program] = programs_of(batch, name)
    return program


def truth_at(batch: Batch, truths: Truths, place: int, data: Arrays) -> Arrays:
    """Everything that a fit keeps, computed at one of the truths under the `data` of its refit: [1, 1, ...] by name."""
    return evaluate_at(batch, truths.points[place : place + 1], batch.posterior(data).data)


def ranked_quantities(draws: Mapping[str, Any], labels: Mapping[str, Sequence[str]]) -> tuple[list[str], Array]:
    """Names of the quantities to rank, and their draws [draw, quantity], from a fit's draws [chain, draw, ...] by name.

    Every cell of every variable kept, every log likelihood and their sum: a likelihood depends on the data, without
    which ranks would not show that data were ignored (Modrak et al. 2023).
    """
    flat = {n: np.reshape(values, (np.shape(values)[0] * np.shape(values)[1], -1)) for n, values in draws.items()}
    joint = sum(values.sum(axis=1) for name, values in flat.items() if name.startswith(LIKELIHOOD))
    names = [JOINT_LIKELIHOOD, *(label for name in flat for label in labels[name])]
    return names, np.column_stack([joint, *flat.values()])


def labels(batch: Batch, coords: Mapping[str, Any], draws: Mapping[str, Any]) -> dict[str, list[str]]:
    """Names of the cells of each variable of a fit [chain, draw, ...], by `coords`, the labels of the model's dims."""
    out = {}
    for name, values in draws.items():
        shape = np.shape(values)[2:]
        dims = batch.outline.dims.get(name.removeprefix(LIKELIHOOD), [""] * len(shape))
        keys = [(coords.get(dim) or range(size)) for dim, size in zip(dims, shape, strict=False)]
        out[name] = [
            f"{name}[{', '.join(str(keys[axis][i]) for axis, i in enumerate(where))}]" if where else name
            for where in np.ndindex(*shape)
        ]
    return out


def rank_fits(
    fits: Iterable[tuple[int, Fit]],
    truth: Callable[[int], Arrays],
    label: Callable[[Arrays], dict[str, list[str]]],
    seed: int,
    fault: Callable[[Array], Array] | None = None,
) -> tuple[list[str], Array, list[int]]:
    """Names of the quantities, PITs of the truths [truth, quantity], and the places of fits that missed the gate.

    A fit that missed the gate says nothing of the model and leaves a row of NaN. Parameters: `truth`, from a place to
    the truth's quantities [1, 1, ...] by name, all those of the fit or some; `label`, see :func:`labels`; `fault`,
    applied to the draws [draw, quantity] of each fit, to show what a wrong sampler would give.
    """
    rows: dict[int, Array] = {}
    missed, names = [], list[str]()
    for place, fit in fits:
        true = truth(place)
        drawn = {name: values for name, values in fit.draws.items() if name in true}
        cells = label(drawn)
        names, values = ranked_quantities(drawn, cells)
        _, at = ranked_quantities({name: true[name] for name in drawn}, cells)
        values = values if fault is None else fault(values)
        rows[place] = pit(ranks(at[0], values, [seed, place]), len(values), [seed, place])
        if not fit.passed:
            missed.append(place)
            rows[place] = np.full(len(names), np.nan)
    return names, np.array([rows[place] for place in sorted(rows)]), sorted(missed)


def coverage(pits: Array, names: Sequence[str], masses: Sequence[float] = (0.5, 0.9)) -> pd.DataFrame:
    """How often the central intervals of each quantity held the truth, and its mean PIT; one row per quantity."""
    inside = {f"covered_{mass:g}": (np.abs(2 * pits - 1) < mass).mean(axis=0) for mass in masses}
    return pd.DataFrame({"quantity": list(names), "refits": len(pits), **inside, "mean_pit": pits.mean(axis=0)})
