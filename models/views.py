"""Ways to look at launches: what happens, what the report's figures assume, and what a measurement would see.

Evidence is about its source's path and cells are about ours: a later launch must not raise its ceiling until
the report's figures are met all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytensor.tensor import TensorVariable

from postcgrp.models.launch import Launches
from postcgrp.priors import PriorSet

LaunchView = Callable[
    [str, Sequence[int]], TensorVariable
]  # of a launch and years: the share of its ceiling [year, region]


def happening(launches: Launches) -> LaunchView:
    """What happens: nothing, where a launch fails."""

    def view(name: str, years: Sequence[int]) -> TensorVariable:
        return launches.succeeds[launches.names.index(name)] * launches.risen(name, years)

    return view


def assumed_by_report(pset: PriorSet, launches: Launches) -> LaunchView:
    """What the report's figures are about: its own launch years, given success or as an expectation over it."""
    ledger = pset.ledger
    given = {m.name for m in ledger.modalities if m.vendor_assumes == "success"}
    given |= {line.name for line in ledger.lines if line.vendor_assumes == "success"}

    def view(name: str, years: Sequence[int]) -> TensorVariable:
        risen = launches.risen_by_rows(name, years, by_vendor=True)
        return risen if name in given else launches.probability[launches.names.index(name)] * risen

    return view


def measured(launches: Launches) -> LaunchView:
    """What figures of other sources are about: what happens."""

    def view(name: str, years: Sequence[int]) -> TensorVariable:
        return launches.succeeds[launches.names.index(name)] * launches.risen_by_rows(name, years, by_vendor=False)

    return view
