"""From prior blocks to random variables: each prior's hyperparameters are named data of the graph."""

from __future__ import annotations

from typing import Any

import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from postcgrp.models import variables as v
from postcgrp.models.correlated import joint_scores
from postcgrp.models.inputs import inputs, multiples
from postcgrp.priors import PriorSet
from postcgrp.priors.elicit import LARGEST_LOGIT, STUDENT_DF, is_heavy


def give(pset: PriorSet) -> None:
    """Gives the model in context its data (:func:`inputs`), before any graph asks for them."""
    for name, given in inputs(pset).items():
        pm.Data(name, given.values, dims=given.dims)


def hyper(name: str) -> TensorVariable:
    """Data of the model in context: a hyperparameter or a fixed number."""
    return pm.modelcontext(None)[name]


def assumed(pset: PriorSet, name: str) -> TensorVariable:
    """A number of the assumptions by its name in the model: data, or a variable where the ledger has a range."""
    return variable(pset, name) if name in pset.blocks else hyper(name)


def multiplied(pset: PriorSet, name: str) -> TensorVariable:
    """Data of :func:`multiples`, times the numbers that are drawn because the ledger has a range for them."""
    multiple = multiples(pset)[name]
    blocks, data = multiple.blocks(pset), hyper(multiple.named(pset, name))
    drawn = {block: variable(pset, block) for block in dict.fromkeys(blocks) if block is not None}
    if not drawn:
        return data
    return (data.T * pt.stack([pt.ones(()) if block is None else drawn[block] for block in blocks])).T


def variable(pset: PriorSet, name: str) -> TensorVariable:
    """The variable of one prior block [the block's dims], on its natural scale.

    A logit-normal is a normal `{name}_logit` and its sigmoid: PyMC 6.4's `LogitNormal` has no default transform. A
    log-Student-t is likewise a `{name}_log` and its exponential.
    """
    block = pset.blocks[name]
    if not block.priors:  # one depth has no steps, one anchor no growth
        return pt.zeros(0)
    if name in pset.connected:
        return from_standard(pset, name, *block.dims)
    family = block.priors[0].family
    if family == "lognormal":
        return pm.LogNormal(name, *hyperparameters(name), dims=block.dims)
    drawn = draw_on_link(pset, name, v.link_name(pset, name), *hyperparameters(name), dims=block.dims)
    if drawn.name == name:
        return drawn
    inverse = pm.math.sigmoid if family.startswith("logit") else pt.exp
    return pm.Deterministic(name, inverse(drawn), dims=block.dims)


def from_standard(pset: PriorSet, name: str, *dims: str, cholesky: TensorVariable | None = None) -> TensorVariable:
    """The variable of one prior block [the block's dims], moved from its median by standard draws `{name}_z` [dims].

    Where it is nearly its prior in the posterior, this suits the sampler, and a cell may be a fixed number (an sd of
    zero). Parameters: `dims`, the first of the block's dims: cells along the others move together; `cholesky`, of the
    correlation along the last of `dims`, by default the block's own.
    """
    block = pset.blocks[name]
    mu, sd = hyperparameters(name)
    family = block.priors[0].family
    if (score := _connected(pset, name)) is None:
        score = _draws(pset, name, dims)
        if cholesky is None and block.correlation is not None:
            cholesky = hyper(v.cholesky(name))
        if cholesky is not None:
            score = (score[..., None, :] * cholesky).sum(axis=-1)  # PyTensor looks at every dot product for long
    on_link = mu + sd * score[(...,) + (None,) * (len(block.dims) - len(dims))]
    if family.startswith("logit"):
        value = pt.switch(pt.le(mu, -LARGEST_LOGIT), 0.0, pm.math.sigmoid(on_link))
    else:
        value = pt.exp(on_link) if family.startswith("log") else on_link
    return pm.Deterministic(name, value, dims=block.dims)


def _connected(pset: PriorSet, name: str) -> TensorVariable | None:
    """The scores [the draws' dims] of a block that rows of the prior set connect with others, None for any other block.

    They are made of the draws of the block and of those before it, see :func:`joint_scores`.
    """
    joint = joint_scores(pset)
    if joint is None or name not in joint.at:
        return None
    names, parts = list(joint.at), []
    for other in names[: names.index(name) + 1]:
        z = _draws(pset, other, joint.standards[other].dims)
        parts.append((hyper(v.weights(name, other)) * z.flatten()).sum(axis=-1))
    return sum(parts[1:], parts[0]).reshape(joint.standards[name].cells.shape[:-1])


def _draws(pset: PriorSet, name: str, dims: tuple[str, ...]) -> TensorVariable:
    """The standard draws `{name}_z` [dims] of a block, drawn when they are first asked for."""
    model, z = pm.modelcontext(None), v.standard(name)
    if z in model.named_vars:
        return model[z]
    if is_heavy(pset.blocks[name].priors[0].family):
        return pm.StudentT(z, nu=STUDENT_DF, mu=0.0, sigma=1.0, dims=dims)
    return pm.Normal(z, dims=dims)


def draw_on_link(
    pset: PriorSet, block: str | None, name: str, mu: Any, sd: Any, dims: str | tuple[str, ...] | None = None
) -> TensorVariable:
    """A variable [dims] on the link scale of a prior block: normal, or Student-t where the block's family is.

    Parameters: `block`, None for a normal; `name`, the variable's; `mu` and `sd`, its location and scale, which
    broadcast to `dims`.
    """
    if block is not None and is_heavy(pset.blocks[block].priors[0].family):
        # PyTensor 3.3 batches a variable by its first parameter alone, so that one must follow the mean.
        return pm.StudentT(name, nu=STUDENT_DF + pt.zeros_like(mu), mu=mu, sigma=sd, dims=dims)
    return pm.Normal(name, mu, sd, dims=dims)


def hyperparameters(block: str) -> tuple[TensorVariable, TensorVariable]:
    """Mean and sd [the block's dims] of a prior block on its link scale."""
    return hyper(v.mu(block)), hyper(v.sd(block))


def ordered(pset: PriorSet, name: str) -> TensorVariable:
    """Correlated logit-normals of one block [its dim], non-decreasing in every draw, each marginal as elicited.

    Between two neighbours the running maximum acts in at most 0.1 % of draws (see :func:`postcgrp.priors.coupling`).
    Levels of which nothing is claimed give way instead: they are moved between their neighbours. Where the block is
    falling, all this holds of one minus the levels.
    """
    block = pset.blocks[name]
    mu, sd = hyperparameters(name)
    if (score := _connected(pset, name)) is None:
        z = pm.Normal(v.standard(name), dims=block.dims)
        score = hyper(v.cholesky(name)) @ z
    level = pm.math.sigmoid(mu + sd * score)
    if block.falling:
        level = 1 - level
    is_open = hyper(v.is_open(name))
    low = [pt.switch(is_open[0], 0.0, level[0])]
    high = [pt.ones(())]
    for k in range(1, len(block.priors)):
        low.append(pt.maximum(low[-1], pt.switch(is_open[k], 0.0, level[k])))
    for k in reversed(range(1, len(block.priors))):
        high.insert(0, pt.switch(is_open[k], high[0], low[k]))
    running = [pt.switch(is_open[k], pt.clip(level[k], low[k], high[k]), low[k]) for k in range(len(block.priors))]
    for k in range(1, len(block.priors)):  # neighbours of which nothing is claimed keep the order too
        running[k] = pt.maximum(running[k - 1], running[k])
    kept = pt.stack(running)
    return pm.Deterministic(name, 1 - kept if block.falling else kept, dims=block.dims)


def deviation(name: str, *dims: str) -> TensorVariable:
    """Standard-normal deviations [dims], to be scaled by a spread (non-centred partial pooling).

    Zeros, and no random variable, if a dim has no labels.
    """
    sizes = [len(pm.modelcontext(None).coords[dim] or ()) for dim in dims]
    return pm.Normal(name, dims=dims) if all(sizes) else pt.zeros(sizes)
