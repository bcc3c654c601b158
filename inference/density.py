"""A model as JAX functions of one flat vector: its log density, and everything derived from a draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.replace import graph_replace
from pytensor.tensor.exceptions import NotScalarConstantError
from pytensor.tensor.random.basic import NormalRV
from pytensor.tensor.random.op import RandomVariable

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.inference.flat import Flat
from postcgrp.inference.jaxify import jaxify, model_data, quickly
from postcgrp.inference.numerics import Arrays
from postcgrp.priors import InputError


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
    """The layout of the model's free variables in one vector; `example` is one unconstrained point, for its shapes."""
    return Flat({v.name: np.shape(example[v.name]) for v in model.value_vars})


def check_free(model: pm.Model) -> None:
    """Raises :class:`InputError` for a model that cannot be sampled.

    That is one without free variables, with discrete ones, or with names that stored draws cannot have.
    """
    if not model.free_RVs:
        raise InputError("the model has no free variables: there is nothing to sample")
    if discrete := [v.name for v in model.discrete_value_vars]:
        raise InputError(
            f"{', '.join(discrete)}: a discrete free variable has no gradient; sum it out, as pm.Mixture does"
        )
    used = {*model.named_vars, *(dim for dims in model.named_vars_to_dims.values() for dim in dims)}
    if taken := sorted(name for name in used if name in SAMPLE or "/" in name):
        raise InputError(f"{taken[0]!r} cannot name a variable or a dimension of stored draws: choose another name")


@quickly
def density(model: pm.Model, example: Arrays) -> Density:
    """The log density of any PyMC model of continuous variables.

    Parameters: `example`, one unconstrained point, by value variable, for its shapes.
    """
    flat = layout(model, example)
    apart = {model.rvs_to_values[rv].name for rv in model.free_RVs if _is_standard_normal(model, rv)}
    joint = jaxify(model, [_joint(model, apart)], example)
    standard = np.concatenate([np.full(math.prod(s), float(name in apart)) for name, s in flat.shapes.items()])
    constant = standard.sum() * np.log(2 * np.pi) / 2

    def logp(vector: Any, data: Arrays) -> Any:
        return joint(flat.split(vector), data)[0] - (standard * vector**2).sum() / 2 - constant

    # Jitted, it is traced once, however often a sampler's loops call it.
    return Density(flat, jax.jit(logp), model_data(model))


@quickly
def derived(
    model: pm.Model,
    example: Arrays,
    keep: Collection[str] | None = None,
    *,
    log_prior: bool = True,
    predictive: bool = False,
) -> Callable[..., dict[str, Arrays]]:
    """A JAX function from one unconstrained point [size] and the data to everything that is stored for a draw.

    The function returns, by group: `posterior`, the free variables on their own scale and the Deterministics;
    `log_prior` and `log_likelihood`, the elementwise log density of each free and each observed variable, without
    Jacobians, as PyMC computes them; `predictive`, a draw of each observed variable, for which the function takes a key
    beside. Parameters: `keep`, names of the Deterministics to compute, by default all; `log_prior` and `predictive`,
    whether these groups are wanted, the second only of a model that is :func:`~postcgrp.inference.forward.drawable`.
    """
    shown = [*model.free_RVs, *(d for d in model.deterministics if keep is None or d.name in keep)]
    terms = _terms(model)
    groups = {
        "posterior": {v.name: v for v in shown},
        **({"log_prior": {v.name: terms[v] for v in model.free_RVs}} if log_prior else {}),
        "log_likelihood": {v.name: terms[v] for v in model.observed_RVs},
    }
    observed = model.observed_RVs if predictive else []
    # All at once, so that they share what they have in common.
    graphs = [graph for group in groups.values() for graph in group.values()]
    parameters = [each for rv in observed for each in rv.owner.op.dist_params(rv.owner)]
    outputs = model.replace_rvs_by_values([*graphs, *parameters])
    outputs, given = outputs[: len(graphs)], iter(outputs[len(graphs) :])
    for rv in observed:  # as it was before it was observed
        rng, size, *old = rv.owner.inputs
        outputs.append(rv.owner.op.make_node(rng, size, *(next(given) for _ in old)).outputs[1])
    if predictive:
        groups["predictive"] = {rv.name: rv for rv in observed}
    flat, streams = layout(model, example), {rv.owner.inputs[0]: rv.name for rv in observed}
    function = jaxify(model, outputs, example, streams)

    def evaluate(vector: Any, data: Arrays, key: Any = None) -> dict[str, Arrays]:
        values = iter(function(flat.split(vector), data, key))
        found = {group: {name: next(values) for name in names} for group, names in groups.items()}
        for rv in observed:  # JAX draws truth values where PyMC has whole numbers
            found["predictive"][rv.name] = found["predictive"][rv.name].astype(rv.dtype)
        return found

    return evaluate


def _joint(model: pm.Model, apart: Collection[str]) -> Any:
    """The log density of all variables together on the unconstrained scale, as a graph of the value variables.

    Parameters: `apart`, names of value variables whose own densities are left out.
    """
    if not _plain(model):
        return model.logp()
    jacobians = [
        transform.log_jac_det(model.rvs_to_values[rv], *rv.owner.inputs)
        for rv, transform in model.rvs_to_transforms.items()
        if transform is not None
    ]
    terms = [term for rv, term in _terms(model).items() if model.rvs_to_values[rv].name not in apart]
    parts = [*terms, *jacobians, *model.potentials] or [pt.zeros(())]  # where all that is left are standard normals
    [joint] = model.replace_rvs_by_values([pt.add(*(part.sum() for part in parts))])
    return joint


def _terms(model: pm.Model) -> dict[Any, Any]:
    """The elementwise log density of every free and observed variable, as graphs of variables or of their values."""
    if _plain(model):
        return {rv: pm.logp(rv, rv, warn_rvs=False) for rv in model.basic_RVs}
    terms = dict(zip(model.basic_RVs, model.logp(model.basic_RVs, jacobian=False, sum=False), strict=True))
    for rv in model.free_RVs:
        if model.rvs_to_transforms[rv] is not None:
            elementwise = pm.logp(rv, value := rv.type(), warn_rvs=False)
            # A transform of several values at once (ordered ones) has one Jacobian; PyMC sums their densities to match.
            if elementwise.type.ndim > terms[rv].type.ndim:
                terms[rv] = graph_replace(elementwise, {value: rv})
    return terms


def _is_standard_normal(model: pm.Model, rv: Any) -> bool:
    """Whether a variable's density is left to one sum over all such: a model of deviations has dozens of them."""
    if not _plain(model) or not isinstance(rv.owner.op, NormalRV) or model.rvs_to_transforms[rv] is not None:
        return False
    try:
        return [pt.get_underlying_scalar_constant_value(p) for p in rv.owner.op.dist_params(rv.owner)] == [0, 1]
    except NotScalarConstantError:
        return False


def _plain(model: pm.Model) -> bool:
    """Whether each variable is a distribution by itself, so that its density needs no look at the rest of the graph.

    PyMC's joint density takes such a look first, rewriting the whole graph, and then copies of it for each variable.
    """
    return all(isinstance(rv.owner.op, RandomVariable) for rv in model.basic_RVs)
