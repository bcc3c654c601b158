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
from pytensor.tensor.random.basic import BernoulliRV, LogNormalRV, NormalRV
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.random.type import RandomType
from pytensor.tensor.type_other import NoneTypeT

from postcgrp.inference.jaxify import jaxify, knows, quickly
from postcgrp.inference.numerics import FLOAT
from postcgrp.inference.within import draws_within
from postcgrp.priors import InputError

Draws = dict[str, NDArray[Any]]
Seed = int | Sequence[int]
Function = Callable[..., Draws]

# For functions that are called once or twice: optimising their graphs takes longer than it saves.
ONCE = Mode(linker="py", optimizer=None)


def draw_prior(model: pm.Model, draws: int, seed: int) -> Draws:
    """Prior draws of every free variable on the unconstrained scale, by value-variable name [draws, ...].

    The draws are batched inside the graph, which is evaluated once; `pm.sample_prior_predictive` evaluates it for each
    draw. Draws where the model's density is zero are replaced, see :func:`draws_within`.
    """
    outputs = _transformed(model)

    def batched() -> list[Any]:
        roots = [rv for rv in model.free_RVs if not set(ancestors([rv])) & (set(model.basic_RVs) - {rv})]
        return _batched([*outputs.values()], {rv: change_dist_size(rv, draws, expand=True) for rv in roots}, draws)

    sampler = _sampler(outputs, {}, batched)
    return draws_within(draws, lambda tried: sampler({}, [seed, tried] if tried else seed, draws))


def drawable(model: pm.Model) -> bool:
    """Whether JAX can draw from every variable of a model: each is a plain distribution of a kind that it knows.

    Counts are left to NumPy, which refuses a mean that is too large; in JAX's they overflow in silence.
    """
    kinds = {type(rv.owner.op): rv for rv in model.basic_RVs}
    return all((isinstance(rv.owner.op, BernoulliRV) or rv.dtype == FLOAT) and knows(rv) for rv in kinds.values())


@quickly
def prior_function(model: pm.Model, shapes: Mapping[str, tuple[int, ...]]) -> Callable[[Draws, Any, Draws], Draws]:
    """A JAX function from standard normals, a key and the data to one draw of the value variables, by name.

    For a model that is :func:`drawable`; the draws are those of :func:`draw_prior` in distribution. Normal and
    log-normal variables are made of the normals, by name: XLA would generate them again wherever they are used.
    Parameters: `shapes` of the free variables.
    """
    outputs = _transformed(model)
    graphs, noise = _from_noise([*outputs.values()], shapes)
    streams = {rng: name for name, rng in _streams(dict(zip(outputs, graphs, strict=True))).items()}
    function = jaxify(model, graphs, noise, streams)
    return lambda z, key, data: dict(zip(outputs, function(z, data, key), strict=True))


def _from_noise(outputs: Sequence[Any], shapes: Mapping[str, tuple[int, ...]]) -> tuple[list[Any], Draws]:
    """Graphs whose normal and log-normal variables are made of standard normal inputs, and examples of these."""
    new: dict[Any, Any] = {}
    noise: Draws = {}
    for node in toposort(outputs):
        inputs = [new.get(v, v) for v in node.inputs]
        if isinstance(node.op, NormalRV | LogNormalRV) and (variable := node.outputs[1]).name in shapes:
            mu, sigma = inputs[2:]
            z = pt.tensor(variable.name, dtype=variable.dtype, shape=shapes[variable.name])
            noise[variable.name] = np.zeros(z.type.shape)
            value = mu + sigma * z
            new[variable] = pt.exp(value) if isinstance(node.op, LogNormalRV) else value
        elif any(after is not before for after, before in zip(inputs, node.inputs, strict=True)):
            new.update(zip(node.outputs, node.clone_with_new_inputs(inputs, strict=False).outputs, strict=True))
    return [new.get(v, v) for v in outputs], noise


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


def natural_shapes(model: pm.Model) -> dict[str, tuple[int, ...]]:
    """The shapes of the free variables: by their types, else by the labels of their dims, else computed."""

    def shape(rv: Any) -> tuple[int, ...]:
        if None not in rv.type.shape:
            return tuple(rv.type.shape)
        dims = model.named_vars_to_dims.get(rv.name) or ()
        if all(model.coords.get(dim) is not None for dim in dims) and len(dims) == rv.ndim:
            return tuple(len(model.coords[dim]) for dim in dims)
        return tuple(int(size) for size in rv.shape.eval())

    return {rv.name: shape(rv) for rv in model.free_RVs}


def value_shapes(model: pm.Model, natural: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The shapes of the value variables, of free variables of these shapes."""
    shapes = {}
    for rv in model.free_RVs:
        transform, shape = model.rvs_to_transforms[rv], natural[rv.name]
        if transform is not None and transform.ndim_supp:
            value = transform.forward(pt.ones(shape), *rv.owner.inputs)
            shape = tuple(int(size) for size in value.shape.eval())
        shapes[model.rvs_to_values[rv].name] = shape
    return shapes


@quickly
def unconstrain_function(model: pm.Model, shapes: Mapping[str, tuple[int, ...]]) -> Callable[[Draws, Draws], Draws]:
    """A JAX function from values of the free variables, of these shapes, and the data to their value variables."""
    outputs = _transformed(model)
    given = {rv: rv.type(rv.name) for rv in model.free_RVs}
    graphs = graph_replace([*outputs.values()], given, strict=False)
    function = jaxify(model, graphs, {name: np.zeros(shape) for name, shape in shapes.items()})
    return lambda values, data: dict(zip(outputs, function(values, data), strict=True))


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
