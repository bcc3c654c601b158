"""From a PyMC model to JAX functions of its free variables and its data."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from typing import Any
from zlib import crc32

import jax
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import optdb
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.replace import clone_replace
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.graph.traversal import graph_inputs
from pytensor.tensor import TensorVariable
from pytensor.tensor.random.op import RandomVariable

from postcgrp.inference.numerics import FLOAT, Arrays
from postcgrp.models.shapes import Fixed
from postcgrp.priors import InputError

# Rewrites that XLA makes by itself, and those that look far around each matrix product for a diagonal or a selection:
# together over half of the time. Those that keep numbers stable must stay.
_NEEDLESS = ("fusion", "specialize", "uncanonicalize", "dot_diag_to_elemwise", "selection_dot_to_indexing")
pytensor.config.floatX = FLOAT

JaxFunction = Callable[..., list[Any]]


def quickly[**P, R](make: Callable[P, R]) -> Callable[P, R]:
    """The same function, whose graphs do not record where each node was created: that costs more than creating it."""

    @wraps(make)
    def made(*arguments: P.args, **named: P.kwargs) -> R:
        with pytensor.config.change_flags(traceback__limit=0):
            return make(*arguments, **named)

    return made


def check_precision(model: pm.Model) -> None:
    """Refuse a model that was built in another precision than draws are made in. Raises :class:`InputError`."""
    for variable in (*model.free_RVs, *model.deterministics):
        if variable.dtype.startswith("float") and variable.dtype != FLOAT:
            raise InputError(
                f"{variable.name}: is {variable.dtype}, but models are sampled in {FLOAT}: take floatX out of "
                f"PYTENSOR_FLAGS or .pytensorrc, or set pytensor.config.floatX = {FLOAT!r} before the model is built"
            )


def model_data(model: pm.Model) -> Arrays:
    """Values of the model's `pm.Data`, by name: hyperparameters and observations."""
    return {v.name: np.asarray(v.get_value()) for v in model.data_vars if isinstance(v, SharedVariable)}


def jaxify(
    model: pm.Model,
    outputs: Sequence[TensorVariable],
    inputs: Arrays,
    streams: Mapping[SharedVariable, str] | None = None,
) -> JaxFunction:
    """One JAX function `f(point, data, key) -> outputs` from graphs of value variables.

    The model's data are arguments, so other hyperparameters or observations need no new compilation. Parameters:
    `outputs`, graphs whose only free inputs are named in `inputs` or are the model's data; `inputs`, one example array
    per named input, whose shape becomes static (JAX needs it, PyMC leaves it open); `streams`, names of the graphs'
    generators of random numbers: each draws from `key` by its name, whatever else the graphs hold. Without any, `f`
    takes no key.
    """
    jax_funcify, _ = _dispatch()
    data, streams = model_data(model), streams or {}
    example = {**inputs, **data}
    replace: dict[Any, Any] = {}
    arguments: dict[str, Any] = {}
    for var in graph_inputs(outputs):
        if var in streams:
            arguments[streams[var]] = replace[var] = var.type(streams[var])
        elif var.name in example:
            value = np.asarray(example[var.name])
            arguments[var.name] = replace[var] = pt.tensor(var.name, dtype=value.dtype, shape=value.shape)
        elif isinstance(var, SharedVariable):
            replace[var] = pt.constant(var.get_value())
    graphs = clone_replace(list(outputs), replace=replace, rebuild_strict=False)
    function = jax_funcify(_rewritten(list(arguments.values()), graphs))
    names, drawn = tuple(arguments), {*streams.values()}

    def call(point: Arrays, data: Arrays, key: Any = None) -> list[Any]:
        def argument(name: str) -> Any:
            if name in drawn:
                return {"jax_state": jax.random.fold_in(key, crc32(name.encode()))}
            return point[name] if name in point else data[name]

        return list(function(*map(argument, names)))

    return call


def knows(variable: TensorVariable) -> bool:
    """Whether JAX can draw a random variable, given its parameters, by PyTensor's translation or rewriting of it."""
    from pytensor.link.jax.dispatch.random import jax_sample_fn

    if not isinstance(variable.owner.op, RandomVariable):
        return False
    rng, size, *parameters = variable.owner.inputs
    [alone] = variable.owner.op.make_node(rng, size, *(each.type() for each in parameters)).outputs[1:]
    kinds = jax_sample_fn.registry.keys() - {object}
    inputs = [each for each in graph_inputs([alone]) if not isinstance(each, Constant)]
    nodes = _rewritten(inputs, [alone]).toposort()
    return all(not kinds.isdisjoint(type(node.op).__mro__) for node in nodes if isinstance(node.op, RandomVariable))


def _rewritten(arguments: Sequence[Any], graphs: Sequence[Any]) -> FunctionGraph:
    """Graphs as they are translated."""
    fgraph = FunctionGraph(arguments, graphs, clone=True)
    query = RewriteDatabaseQuery(include=["fast_run", "jax"], exclude=_dispatch()[1])
    optdb.query(query).rewrite(fgraph)
    return fgraph


def _dispatch() -> tuple[Callable[..., Any], list[str]]:
    """PyTensor's translation to JAX, and the rewrites that it must do without.

    Imported only to trace: a process with stored programs needs none of it. `pymc.sampling.jax` sets `XLA_FLAGS` to ask
    for a hundred host devices, which the user's own JAX code, and every child process, would see: it is put back.
    """
    flags = os.environ.get("XLA_FLAGS")
    import_module("pymc.sampling.jax")  # registers JAX forms of PyMC's own ops
    from pytensor.link.jax.dispatch import jax_funcify
    from pytensor.link.jax.linker import JAXLinker

    jax_funcify.register(Fixed, lambda op, **_: jax.lax.stop_gradient)
    if flags is None:
        os.environ.pop("XLA_FLAGS", None)
    else:
        os.environ["XLA_FLAGS"] = flags
    return jax_funcify, [*_NEEDLESS, *JAXLinker.incompatible_rewrites]
