"""Groups of a run's tree, and the columns that number its draws in tables."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from xarray import Dataset, DataTree

INDEX = (".chain", ".iteration", ".draw")  # as R's posterior package has them, from one
POSTERIOR = "posterior"
CONSTANTS = "constant_data"
OF_POSTERIOR = (POSTERIOR, "posterior_predictive", "log_prior", "log_likelihood", "sample_stats")  # draw by draw


def group(tree: DataTree, name: str = POSTERIOR) -> Dataset:
    """One group of a run's tree as a dataset."""
    return tree.children[name].to_dataset()


def draw_numbers(chains: int, draws: int) -> dict[str, NDArray[np.intp]]:
    """The columns `INDEX` of a table with one row per draw, chain after chain."""
    number = np.arange(chains * draws)
    return {name: at + 1 for name, at in zip(INDEX, (number // draws, number % draws, number), strict=True)}
