"""Simulation-based calibration: truths drawn, evidence simulated, every posterior refitted, truths ranked in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
from numpy.typing import NDArray

from postcgrp.inference.batch import Batch, Fit, evaluate_at
from postcgrp.inference.forward import draw_prior, observed_sampler, unconstrain
from postcgrp.inference.jaxify import Arrays, model_data
from postcgrp.inference.ranks import pit, ranks
from postcgrp.priors import InputError

JOINT = "log_likelihood"  # of all simulated evidence together, the quantity that sees evidence left out
LIKELIHOOD = f"{JOINT}/"
BLOCK = 200
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Truths:
    """Known truths: `points`, by value variable [truth, ...], and what was `simulated` from each, by data name."""

    points: Arrays
    simulated: Arrays

    def __len__(self) -> int:
        """How many."""
        return len(next(iter(self.points.values())))

    def data(self, place: int) -> Arrays:
        """The data that one truth gave."""
        return {name: values[place] for name, values in self.simulated.items()}


def prior_truths(model: pm.Model, batch: Batch, number: int, seed: int) -> Truths:
    """Truths from the prior (Talts et al. 2018, algorithm 1); more of them begin with the same."""
    blocks = []
    for block in range(-(-number // BLOCK)):
        seeds = [int(s) for s in np.random.SeedSequence([seed, block]).generate_state(2)]
        points = draw_prior(model, BLOCK, seeds[0])
        known = evaluate_at(batch, batch.flat.join(points), batch.data)
        blocks.append((points, simulate(model, {name: known[name][0] for name in batch.free}, seeds[1])))
    points, simulated = (
        {name: np.concatenate([part[name] for part in parts])[:number] for name in parts[0]}
        for parts in zip(*blocks, strict=True)
    )
    return Truths(points, simulated)


def posterior_truths(model: pm.Model, draws: Mapping[str, NDArray[Any]], number: int, seed: int) -> Truths:
    """Truths from a posterior, for calibration around it (Saeilynoja et al. 2025); data are to be joined to its own.

    Parameters: `draws`, of every free variable [chain, draw, ...]; `number` of them are taken, evenly spaced.
    """
    free = {rv.name: np.asarray(draws[rv.name]) for rv in model.free_RVs}
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in free.items()}
    available = len(next(iter(flat.values())))
    if number > available:
        raise InputError(f"{number} refits around a run of {available} draws: ask for fewer, or a longer run")
    chosen = {name: values[np.linspace(0, available - 1, number).astype(int)] for name, values in flat.items()}
    return Truths(unconstrain(model, chosen), simulate(model, chosen, seed))


def simulate(model: pm.Model, free: Mapping[str, NDArray[Any]], seed: int) -> Arrays:
    """One simulated data set for each of the draws of the free variables [draw, ...], by name of the observed data.

    Raises :class:`InputError` for a model that observes something other than `pm.Data`.
    """
    names, data = {}, model_data(model)
    for rv in model.observed_RVs:
        names[rv.name] = model.rvs_to_values[rv].name
        if names[rv.name] not in data:
            raise InputError(f"{rv.name!r} observes a constant: give it pm.Data, so that it can be simulated")
    drawn = observed_sampler(model, list(free))(free, seed)
    return {names[name]: values for name, values in drawn.items()}


def truth_at(batch: Batch, truths: Truths, place: int, data: Arrays) -> Arrays:
    """What a fit keeps, at one of the truths under the `data` of its refit: [1, 1, ...] by name."""
    point = {name: values[place : place + 1] for name, values in truths.points.items()}
    return evaluate_at(batch, batch.flat.join(point), batch.posterior(data).data)


def quantities(draws: Mapping[str, Any], labels: Mapping[str, Sequence[str]]) -> tuple[list[str], Array]:
    """Test quantities by name, and their draws [draw, quantity], from draws [chain, draw, ...] as a fit has them.

    Every cell of every variable kept and of the log likelihood, and the joint log likelihood, which depend on the data
    (Modrak et al. 2023).
    """
    flat = {n: np.reshape(values, (np.shape(values)[0] * np.shape(values)[1], -1)) for n, values in draws.items()}
    joint = sum(values.sum(axis=1) for name, values in flat.items() if name.startswith(LIKELIHOOD))
    names = [JOINT, *(label for name in flat for label in labels[name])]
    return names, np.column_stack([joint, *flat.values()])


def labels(model: pm.Model, draws: Mapping[str, Any]) -> dict[str, list[str]]:
    """For each variable of a fit [chain, draw, ...] the names of its cells, by the model's coordinates."""
    out = {}
    for name, values in draws.items():
        shape = np.shape(values)[2:]
        dims = model.named_vars_to_dims.get(name.removeprefix(LIKELIHOOD), [None] * len(shape))
        keys = [(model.coords.get(dim) or range(size)) for dim, size in zip(dims, shape, strict=False)]
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

    A fit that missed the gate leaves a row of NaN: it says nothing of the model. Parameters: `truth`, from a place to
    the truth's quantities [1, 1, ...] by name, those of the fit or fewer; `label`, see :func:`labels`; `fault`, done to
    the draws [draw, quantity] of each fit, to see what a wrong sampler would give.
    """
    rows: dict[int, Array] = {}
    missed, names = [], list[str]()
    for place, fit in fits:
        true = truth(place)
        drawn = {name: values for name, values in fit.draws.items() if name in true}
        known = label(drawn)
        names, values = quantities(drawn, known)
        _, at = quantities({name: true[name] for name in drawn}, known)
        values = values if fault is None else fault(values)
        rows[place] = pit(ranks(at[0], values, [seed, place]), len(values), [seed, place])
        if not fit.passed:
            missed.append(place)
            rows[place] = np.full(len(names), np.nan)
    return names, np.array([rows[place] for place in sorted(rows)]), sorted(missed)


def coverage(pits: Array, names: Sequence[str], masses: Sequence[float] = (0.5, 0.9)) -> pd.DataFrame:
    """How often the central intervals of each quantity held the truth, one row a quantity, and the mean PIT."""
    inside = {f"covered_{mass:g}": (np.abs(2 * pits - 1) < mass).mean(axis=0) for mass in masses}
    return pd.DataFrame({"quantity": list(names), "refits": len(pits), **inside, "mean_pit": pits.mean(axis=0)})
