"""Prior draws of a model without compilation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor
from numpy.typing import NDArray
from pymc.distributions.shape_utils import change_dist_size
from pymc.pytensorf import find_rng_nodes, reseed_rngs
from pytensor.compile.mode import Mode
from pytensor.graph.replace import vectorize_graph
from pytensor.graph.traversal import ancestors, toposort


def model_draws(model: pm.Model, names: list[str], draws: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """Prior and prior predictive draws [draw, dims] of the PyMC model, in one evaluation without compilation."""
    outputs = batched(model, [model[name] for name in names], draws)
    reseed_rngs(find_rng_nodes(outputs), seed)
    values = pytensor.function([], outputs, mode=Mode(linker="py", optimizer=None))()
    return dict(zip(names, values, strict=True))


def batched(model: pm.Model, outputs: Sequence[Any], draws: int) -> list[Any]:
    """Graphs of independent draws of the outputs [draws, ...].

    Node by node, as if each were the whole graph: what `vectorize_graph` asks of the graph before a node, to find the
    shapes, takes most of its time.
    """
    random = {*model.basic_RVs}
    roots = [rv for rv in model.basic_RVs if not {*ancestors([rv])} & (random - {rv})]
    new = {rv: change_dist_size(rv, draws, expand=True) for rv in roots}
    for node in toposort(outputs, blockers=roots):
        if given := {v: new[v] for v in node.inputs if v in new}:
            new.update(zip(node.outputs, _alone(node, given), strict=True))
    return [new.get(v, v) for v in outputs]


def _alone(node: Any, given: Mapping[Any, Any]) -> list[Any]:
    """The batched outputs of one node, given some of its inputs batched."""
    cut, stand_ins = ({v: like.type() for v, like in pairs} for pairs in ([(v, v) for v in given], given.items()))
    alone = node.clone_with_new_inputs([cut.get(v, v) for v in node.inputs])
    outputs = vectorize_graph(alone.outputs, {cut[v]: stand_ins[v] for v in given})
    new = {stand_ins[v]: after for v, after in given.items()}
    for each in toposort(outputs, blockers=[*new, *(v for v in alone.inputs if v not in cut.values())]):
        new.update(
            zip(each.outputs, each.clone_with_new_inputs([new.get(v, v) for v in each.inputs]).outputs, strict=True)
        )
    return [new.get(v, v) for v in outputs]
