"""One model as JAX functions on a flat vector: its density, and everything derived from a draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pymc as pm
from numpy.typing import NDArray

from postcgrp.inference.jaxify import Arrays, jaxify, model_data


@dataclass(frozen=True)
class Flat:
    """The layout of a model's unconstrained free variables in one vector.

    `shapes` maps each value variable to its shape, in order; `size` is the length of the vector.
    """

    shapes: dict[str, tuple[int, ...]]

    @property
    def size(self) -> int:
        """Number of free parameters."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    def split(self, vector: Any) -> Arrays:
        """Variables by name from a vector [..., size]."""
        out, start = {}, 0
        for name, shape in self.shapes.items():
            stop = start + int(np.prod(shape))
            out[name] = vector[..., start:stop].reshape((*vector.shape[:-1], *shape))
            start = stop
        return out

    def join(self, point: Arrays) -> NDArray[np.float64]:
        """The vector [..., size] of variables by name, the inverse of :meth:`split`."""
        parts = [
            np.reshape(point[n], (*np.shape(point[n])[: np.ndim(point[n]) - len(s)], -1))
            for n, s in self.shapes.items()
        ]
        return np.concatenate(parts, axis=-1)


@dataclass(frozen=True)
class Density:
    """A model's log density for JAX samplers.

    `logp(vector, data)` is on the unconstrained scale, Jacobians included; `data` holds the values of the model's
    `pm.Data`.
    """

    flat: Flat
    logp: Callable[[Any, Arrays], Any]
    data: Arrays


def layout(model: pm.Model, example: Arrays) -> Flat:
    """How the model's free variables lie in one vector; `example` is one unconstrained point, for its shapes."""
    return Flat({v.name: np.shape(example[v.name]) for v in model.value_vars})


def density(model: pm.Model, example: Arrays) -> Density:
    """The log density of any PyMC model of continuous variables.

    Parameters: `example`, one unconstrained point, by value variable, for its shapes.
    """
    flat = layout(model, example)
    joint = jaxify(model, [model.logp()], example)
    # A jitted inner function is traced once, however often a sampler's loops call it.
    return Density(flat, jax.jit(lambda vector, data: joint(flat.split(vector), data)[0]), model_data(model))


def derived(model: pm.Model, example: Arrays) -> Callable[[Arrays, Arrays], dict[str, Arrays]]:
    """A JAX function from one unconstrained point and the data to everything stored of a draw.

    It returns, by group: `posterior`, the free variables on their own scale and all Deterministics; `log_prior` and
    `log_likelihood`, the elementwise log density of each free and each observed variable, without Jacobians, as
    `pm.compute_log_prior` and `pm.compute_log_likelihood` define them.
    """
    shown = [*model.free_RVs, *model.deterministics]
    terms = dict(zip(model.basic_RVs, model.logp(model.basic_RVs, jacobian=False, sum=False), strict=True))
    graphs = {
        "posterior": dict(zip([v.name for v in shown], model.replace_rvs_by_values(shown), strict=True)),
        "log_prior": {v.name: terms[v] for v in model.free_RVs},
        "log_likelihood": {v.name: terms[v] for v in model.observed_RVs},
    }
    outputs = [graph for group in graphs.values() for graph in group.values()]
    function = jaxify(model, outputs, example, optimizer="fast_compile")

    def evaluate(point: Arrays, data: Arrays) -> dict[str, Arrays]:
        values = iter(function(point, data))
        return {group: {name: next(values) for name in names} for group, names in graphs.items()}

    return evaluate
