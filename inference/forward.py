"""Forward sampling: draws of a model's variables in one vectorised call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from numpy.typing import NDArray
from pymc.distributions.shape_utils import change_dist_size
from pymc.pytensorf import reseed_rngs
from pytensor.compile.mode import Mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.replace import vectorize_graph
from pytensor.graph.traversal import ancestors, graph_inputs
from pytensor.tensor.random.type import RandomType

Draws = dict[str, NDArray[Any]]

# Compiled once and called once or twice: compiling less is faster than running faster.
ONCE = Mode(linker="py", optimizer="fast_compile")


def draw_prior(model: pm.Model, draws: int, seed: int) -> Draws:
    """Prior draws of every free variable on the unconstrained scale, by value-variable name [draws, ...].

    The draws are batched inside the graph: one evaluation, where `pm.sample_prior_predictive` makes one for each.
    """
    batched: dict[Any, Any] = {}
    for rv in model.free_RVs:
        parents = {p: batched[p] for p in ancestors([rv]) if p in batched}
        batched[rv] = vectorize_graph(rv, replace=parents) if parents else change_dist_size(rv, draws, expand=True)
    outputs = {}
    for rv, new in batched.items():
        transform, value = model.rvs_to_transforms[rv], model.rvs_to_values[rv]
        outputs[value.name] = new if transform is None else transform.forward(new, *new.owner.inputs)
    return _function(outputs, [])({}, seed)


def observed_sampler(model: pm.Model) -> Callable[[Mapping[str, NDArray[Any]], int], Draws]:
    """A function of draws [draws, ...] and a seed to one predictive draw of every observed variable for each.

    The draws are of the free variables and the Deterministics: what is known is not computed again.
    """
    known = {v: _batch(v) for v in (*model.free_RVs, *model.deterministics)}
    outputs = {rv.name: vectorize_graph(rv, replace=known) for rv in model.observed_RVs}
    return _function(outputs, list(known.values()))


def unconstrain(model: pm.Model, free: Mapping[str, NDArray[Any]]) -> Draws:
    """Draws of the free variables [draws, ...] on the unconstrained scale, by value-variable name."""
    batched = {rv: _batch(rv) for rv in model.free_RVs}
    outputs = {}
    for rv, new in batched.items():
        transform, value = model.rvs_to_transforms[rv], model.rvs_to_values[rv]
        outputs[value.name] = new if transform is None else transform.forward(new, *rv.owner.inputs)
    return _function(outputs, list(batched.values()))(free, 0)


def _batch(variable: Any) -> Any:
    return pt.tensor(variable.name, dtype=variable.dtype, shape=(None, *variable.type.shape))


def _function(outputs: Mapping[str, Any], inputs: list[Any]) -> Callable[[Mapping[str, NDArray[Any]], int], Draws]:
    rngs = [
        v for v in graph_inputs(outputs.values()) if isinstance(v, SharedVariable) and isinstance(v.type, RandomType)
    ]
    compiled = pytensor.function(inputs, list(outputs.values()), mode=ONCE, on_unused_input="ignore")

    def call(values: Mapping[str, NDArray[Any]], seed: int) -> Draws:
        reseed_rngs(rngs, seed)
        results = compiled(*(values[v.name] for v in inputs))
        return {name: np.asarray(result) for name, result in zip(outputs, results, strict=True)}

    return call
