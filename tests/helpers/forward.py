"""Prior draws of a model without compilation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor
from numpy.typing import NDArray
from pymc.distributions.shape_utils import change_dist_size
from pymc.pytensorf import find_rng_nodes, reseed_rngs
from pytensor.compile.mode import Mode
from pytensor.graph.replace import vectorize_graph
from pytensor.graph.traversal import ancestors


def model_draws(model: pm.Model, names: list[str], draws: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """Prior and prior predictive draws [draw, dims] of the PyMC model, in one evaluation without compilation."""
    batched: dict[Any, Any] = {}
    for rv in model.free_RVs:
        parents = {p: batched[p] for p in ancestors([rv]) if p in batched}
        batched[rv] = vectorize_graph(rv, replace=parents) if parents else change_dist_size(rv, draws, expand=True)
    outputs = vectorize_graph([model[name] for name in names], replace=batched)
    reseed_rngs(find_rng_nodes(outputs), seed)
    values = pytensor.function([], outputs, mode=Mode(linker="py", optimizer=None))()
    return dict(zip(names, values, strict=True))
