"""Groups of a run's tree, and the dims that index its draws."""

from __future__ import annotations

from xarray import Dataset, DataTree

SAMPLE = ("chain", "draw")
POSTERIOR = "posterior"
OF_POSTERIOR = (POSTERIOR, "posterior_predictive", "log_prior", "log_likelihood", "sample_stats")  # draw by draw


def group(tree: DataTree, name: str = POSTERIOR) -> Dataset:
    """One group of a run's tree as a dataset."""
    return tree.children[name].to_dataset()
