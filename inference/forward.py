"""Forward sampling: many draws of a model's variables in one vectorised call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from numpy.typing import NDArray
from pymc.distributions.distribution import SymbolicRandomVariable
from pymc.distributions.shape_utils import change_dist_size
from pymc.pytensorf import collect_default_updates
from pytensor.compile.mode import Mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.replace import graph_replace, vectorize_graph
from pytensor.graph.traversal import ancestors, graph_inputs, toposort
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.random.type import RandomType
from pytensor.tensor.type_other import NoneTypeT

from postcgrp.priors import InputError

Draws = dict[str, NDArray[Any]]
Seed = int | Sequence[int]
Function = Callable[..., Draws]

# For functions that are called once or twice: optimising their graphs takes longer than it saves.
ONCE = Mode(linker="py", optimizer=None)
RAREST = 1000  # at least one of this many prior draws must lie within the bounds of the variables' transforms


def draw_prior(model: pm.Model, draws: int, seed: int) -> Draws:
    """Prior draws of every free variable on the unconstrained scale, by value-variable name [draws, ...].

    The draws are batched inside the graph, which is evaluated once; `pm.sample_prior_predictive` evaluates it for each
    draw. A transform may cut off part of a distribution (`ordered` keeps one order of several values): draws beyond the
    cut, where the model's density is zero, are replaced. Raises :class:`InputError` if hardly any lies within.
    """
    outputs = _transformed(model)

    def batched() -> list[Any]:
        roots = [rv for rv in model.free_RVs if not set(ancestors([rv])) & (set(model.basic_RVs) - {rv})]
        return _batched([*outputs.values()], {rv: change_dist_size(rv, draws, expand=True) for rv in roots}, draws)

    sampler = _sampler(outputs, {}, batched)
    parts, tried, kept = list[Draws](), 0, 0
    while kept < draws:
        part = sampler({}, [seed, tried] if tried else seed, draws)
        within = np.ones(draws, bool)
        for values in part.values():
            within &= np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
        parts.append({name: values[within] for name, values in part.items()})
        tried, kept = tried + draws, kept + int(within.sum())
        if tried > RAREST * (kept + 10):
            raise InputError(
                f"{kept} of {tried} prior draws lie within the variables' transforms: choose priors that do"
            )
    return {name: np.concatenate([part[name] for part in parts])[:draws] for name in outputs}


def observed_sampler(
    model: pm.Model, given: Sequence[str] | None = None
) -> Callable[[Mapping[str, NDArray[Any]], int], Draws]:
    """A function from draws [draws, ...] and a seed to one predictive draw of every observed variable per draw.

    The draws are those of the free variables and the Deterministics, or only of those named in `given`: what is given
    is not computed again, all else must follow from it.
    """
    variables = (*model.free_RVs, *model.deterministics)
    known = [v for v in variables if given is None or v.name in given]
    return _conditional({rv.name: rv for rv in model.observed_RVs}, known)


def unconstrain(model: pm.Model, free: Mapping[str, NDArray[Any]]) -> Draws:
    """Draws of the free variables [draws, ...] on the unconstrained scale, by value-variable name."""
    return _conditional(_transformed(model), model.free_RVs)(free, 0)


def _transformed(model: pm.Model) -> dict[str, Any]:
    """The free variables on the unconstrained scale, by value-variable name."""
    outputs = {}
    for rv in model.free_RVs:
        transform, value = model.rvs_to_transforms[rv], model.rvs_to_values[rv]
        outputs[value.name] = rv if transform is None else transform.forward(rv, *rv.owner.inputs)
    return outputs


def _conditional(
    outputs: Mapping[str, Any], known: Sequence[Any]
) -> Callable[[Mapping[str, NDArray[Any]], int], Draws]:
    """A function from values of the known variables [draws, ...] and a seed to the outputs [draws, ...]."""
    batches = {v: pt.tensor(v.name, dtype=v.dtype, shape=(None, *v.type.shape)) for v in known}
    number = next(iter(batches.values())).shape[0]
    sampler = _sampler(outputs, batches, lambda: _batched([*outputs.values()], batches, number))
    return lambda values, seed: sampler(values, seed, len(values[known[0].name]))


def _sampler(outputs: Mapping[str, Any], known: Mapping[Any, Any], batched: Callable[[], list[Any]]) -> Function:
    """A function from values of the known variables, a seed and the number of draws to the outputs [draws, ...].

    Parameters: `known`, the batched form of each variable; `batched`, which makes the batched outputs. A graph that
    cannot be batched (a Scan over random variables) is evaluated in a loop.
    """
    try:
        return _function(dict(zip(outputs, batched(), strict=True)), [*known.values()])
    except (NotImplementedError, TypeError, ValueError):
        single = {v: v.type(v.name) for v in known}
        graphs = graph_replace([*outputs.values()], single, strict=False)
        return _function(dict(zip(outputs, graphs, strict=True)), [*single.values()], loop=True)


def _function(outputs: Mapping[str, Any], inputs: Sequence[Any], *, loop: bool = False) -> Function:
    """A compiled function of values of the inputs and a seed; with `loop`, it is called once per draw."""
    graphs = [*outputs.values()]
    rngs = _streams(outputs)
    updates = collect_default_updates(graphs) if loop else {}
    compiled = pytensor.function(inputs, graphs, updates=updates, mode=ONCE, on_unused_input="ignore")

    def call(values: Mapping[str, NDArray[Any]], seed: Seed, draws: int = 1) -> Draws:
        for stream, rng in rngs.items():
            named = np.random.SeedSequence(seed, spawn_key=tuple(stream.encode()))
            rng.set_value(np.random.default_rng(named), borrow=True)
        arrays = [values[v.name] for v in inputs]
        try:
            if loop:
                rows = [compiled(*(array[i] for array in arrays)) for i in range(draws)]
                results = [np.stack(column) for column in zip(*rows, strict=True)]
            else:
                results = _where_possible(compiled, arrays)
        except NotImplementedError as error:  # a flat prior, or a CustomDist without `random`
            cause = str(error).partition("\n")[0].rstrip(". ")
            raise InputError(f"{cause}: it has no forward draws; use a proper prior, or give `random`") from error
        return {name: np.asarray(result) for name, result in zip(outputs, results, strict=True)}

    return call


def _streams(outputs: Mapping[str, Any]) -> dict[str, SharedVariable]:
    """The generators of random numbers, by the name of the output that each serves.

    They are named and not counted, so that a seed gives a variable the same draws whatever else the model holds, in
    whatever order.
    """
    needs = {
        name: [v for v in graph_inputs([graph]) if isinstance(v, SharedVariable) and isinstance(v.type, RandomType)]
        for name, graph in outputs.items()
    }
    streams: dict[str, SharedVariable] = {}
    for name in sorted(needs, key=lambda name: (len(needs[name]), name)):  # what an output depends on comes before it
        unnamed = [rng for rng in needs[name] if rng not in streams.values()]
        streams |= {f"{name}/{i}": rng for i, rng in enumerate(unnamed)}
    return streams


def _where_possible(compiled: Callable[..., Any], arrays: Sequence[NDArray[Any]]) -> list[Any]:
    """Results for inputs [draws, ...], NaN for draws that NumPy refuses: a vague prior may ask for a count of 1e30.

    The draws that are refused are found by halving. Raises :class:`InputError` if all are.
    """
    try:
        return list(compiled(*arrays))
    except ValueError as error:
        refused = InputError(f"{str(error).partition(chr(10))[0]}: no draw can be made; use narrower priors")
        if not arrays or len(arrays[0]) < 2:  # noqa: PLR2004
            raise refused from error
    half = len(arrays[0]) // 2
    parts: list[Any] = []
    for rows in (slice(half), slice(half, None)):
        try:
            parts.append(_where_possible(compiled, [array[rows] for array in arrays]))
        except InputError:
            parts.append(None)
    made = next((part for part in parts if part is not None), None)
    if made is None:
        raise refused
    sizes = (half, len(arrays[0]) - half)
    whole = [
        [np.full((size, *result.shape[1:]), np.nan) for result in made] if part is None else part
        for size, part in zip(sizes, parts, strict=True)
    ]
    return [np.concatenate(columns) for columns in zip(*whole, strict=True)]


def _batched(outputs: Sequence[Any], known: Mapping[Any, Any], number: Any) -> list[Any]:
    """Graphs of independent draws of the outputs [number, ...], given draws of the known variables."""
    new = dict(known)
    for node in toposort(outputs, blockers=list(new)):
        inputs = {v: new.get(v, v) for v in node.inputs}
        if isinstance(node.op, RandomVariable):
            results = _batched_variable(node, inputs, number)
        elif isinstance(node.op, SymbolicRandomVariable):
            results = _batched(node.op.fgraph.bind(node.inputs), inputs, number)
        elif any(after is not before for before, after in inputs.items()):
            results = _batched_node(node, inputs)
        else:
            continue
        new.update((v, result) for v, result in zip(node.outputs, results, strict=True) if v not in new)
    return [new.get(v, v) for v in outputs]


def _batched_node(node: Any, batched: Mapping[Any, Any]) -> list[Any]:
    """The batched outputs of one node, which PyTensor finds at once where it sees nothing of the graph before it."""
    cut = {v: v.type() for v, after in batched.items() if after is not v}
    alone = node.clone_with_new_inputs([cut.get(v, v) for v in node.inputs])
    return list(vectorize_graph(alone.outputs, {new: batched[v] for v, new in cut.items()}))


def _batched_variable(node: Any, batched: Mapping[Any, Any], number: Any) -> list[Any]:
    """The batched outputs of one random variable's node; PyTensor itself batches it by its first parameter alone."""
    if all(after is before for before, after in batched.items()):
        return list(change_dist_size(node.default_output(), number, expand=True).owner.outputs)
    rng, size, *parameters = (batched[v] for v in node.inputs)
    if not isinstance(size.type, NoneTypeT):
        size = pt.concatenate([[number], size[0] if size.type.ndim > 1 else size])  # all draws have one size
    return list(node.op.make_node(rng, size, *parameters).outputs)
