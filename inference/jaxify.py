"""From a PyMC model to JAX functions of its free variables and its data."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import jax
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import optdb
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.replace import clone_replace
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.graph.traversal import graph_inputs
from pytensor.tensor import TensorVariable

from postcgrp.models.shapes import Fixed
from postcgrp.priors import InputError

FLOAT = "float64"
# Rewrites that XLA makes by itself, and those that look far around each matrix product for a diagonal or a selection:
# together over half of the time. Those that keep numbers stable must stay.
_NEEDLESS = ("fusion", "specialize", "uncanonicalize", "dot_diag_to_elemwise", "selection_dot_to_indexing")
# For the whole process, whatever its environment asks for.
_JAX_SETTINGS: dict[str, Any] = {
    "jax_enable_x64": True,  # double precision, in which our models are written
    # Programs run in the thread that calls them: chains have threads of their own, and handing over costs time
    # (docs/performance.md).
    "jax_cpu_enable_async_dispatch": False,
    # There is nothing to run but compiled programs, in which a proposal may well be rejected for a density of NaN; the
    # gate asks whether any is left in the draws.
    "jax_disable_jit": False,
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    # PyTensor's graphs mix types and ranks as NumPy does.
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
}
for _name, _value in _JAX_SETTINGS.items():
    jax.config.update(_name, _value)
pytensor.config.floatX = FLOAT

Arrays = dict[str, Any]
JaxFunction = Callable[[Arrays, Arrays], list[Any]]


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


def jaxify(model: pm.Model, outputs: Sequence[TensorVariable], inputs: Arrays) -> JaxFunction:
    """One JAX function `f(point, data) -> outputs` from graphs of value variables.

    The model's data are arguments, so other hyperparameters or observations need no new compilation. Parameters:
    `outputs`, graphs whose only free inputs are named in `inputs` or are the model's data; `inputs`, one example array
    per named input, whose shape becomes static (JAX needs it, PyMC leaves it open).
    """
    jax_funcify, without = _dispatch()
    data = model_data(model)
    example = {**inputs, **data}
    replace: dict[Any, Any] = {}
    arguments: dict[str, TensorVariable] = {}
    for var in graph_inputs(outputs):
        if var.name in example:
            value = np.asarray(example[var.name])
            arguments[var.name] = pt.tensor(var.name, dtype=value.dtype, shape=value.shape)
            replace[var] = arguments[var.name]
        elif isinstance(var, SharedVariable):
            replace[var] = pt.constant(var.get_value())
    graphs = clone_replace(list(outputs), replace=replace, rebuild_strict=False)
    fgraph = FunctionGraph(list(arguments.values()), graphs, clone=True)
    query = RewriteDatabaseQuery(include=["fast_run", "jax"], exclude=without)
    optdb.query(query).rewrite(fgraph)
    function = jax_funcify(fgraph)
    names = tuple(arguments)

    def call(point: Arrays, data: Arrays) -> list[Any]:
        return list(function(*(point[n] if n in point else data[n] for n in names)))

    return call


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
