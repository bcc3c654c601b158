"""Functions of what a run has drawn: a model's graphs, cut where a draw is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pymc as pm
from numpy.typing import NDArray
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor import TensorVariable

from postcgrp.inference.evaluate import POINTS, evaluate
from postcgrp.inference.flat import Flat
from postcgrp.inference.jaxify import jaxify, model_data
from postcgrp.inference.numerics import Arrays
from postcgrp.inference.programs import Programs

DERIVED = "derived"  # the one group of what is evaluated


@dataclass(frozen=True)
class OfDraws:
    """Graphs as one compiled program of draws.

    `known`: the model's variables that a draw must have; `flat`: the layout of these and the other inputs in a vector.
    """

    known: tuple[str, ...]
    flat: Flat
    data: Arrays
    program: Callable[..., Any]
    programs: Programs

    def __call__(self, draws: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        """The graphs' values [chain, draw, ...] by name, of every input [chain, draw, ...] by name."""
        chains, number = next(iter(draws.values())).shape[:2]
        points = self.flat.join({name: np.asarray(draws[name]) for name in self.flat.shapes})
        points = points.reshape(chains * number, -1)
        found: dict[str, NDArray[np.float64]]
        found = evaluate(self.program, points, self.data, (chains, number), self.programs.pool.map)[DERIVED]
        return found


def of_draws(
    model: pm.Model, graphs: Mapping[str, TensorVariable], inputs: Mapping[str, tuple[int, ...]], key: str | None
) -> OfDraws:
    """Graphs over a model's variables as a program of draws.

    The graphs are cut at the free variables and Deterministics of the model: each is an input by its name, beside the
    `inputs` that the graphs have already, by name with their shapes. Parameters: `key` names the graphs, as for
    :class:`Programs`.
    """
    named = {*model.free_RVs, *model.deterministics}
    known = [each for each in ancestors([*graphs.values()], blockers=named) if each in named]
    cut = graph_replace([*graphs.values()], {each: each.type(each.name) for each in known}, strict=False)
    shapes = {each.name: _shape(model, each) for each in known} | dict(inputs)
    flat, data = Flat(dict(sorted(shapes.items()))), model_data(model)
    programs = Programs(key, None, data)

    def trace() -> tuple[Callable[..., Any], tuple[Any, ...]]:
        function = jaxify(model, cut, {n: np.zeros(s) for n, s in flat.shapes.items()})

        def every(vector: Any, data: Arrays) -> dict[str, Arrays]:
            return {DERIVED: dict(zip(graphs, function(flat.split(vector), data), strict=True))}

        return jax.vmap(every, in_axes=(0, None)), (np.zeros((POINTS, flat.size)), data)

    program = programs.compile("of_draws", trace).result()
    return OfDraws(tuple(each.name for each in known), flat, data, program, programs)


def _shape(model: pm.Model, variable: TensorVariable) -> tuple[int, ...]:
    """The shape of a variable by the labels of its dims."""
    return tuple(len(model.coords[dim]) for dim in model.named_vars_to_dims.get(variable.name) or ())
