"""The market that a page carries: its cells on every draw, and the labels by which they are picked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import DataArray, concat

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.priors import Ledger
from postcgrp.reports.page.packing import Cells, pack_cells
from postcgrp.reports.runs.run import Run

Array = NDArray[np.float64]

MOST_CARRIED = 4000  # that a page carries; of more, every second, third, ... of each chain
TOTAL_STEP = 2.0**-11  # on the log scale, of each modality's total
CELL_STEPS = (2.0**-8, 2.0**-7, 2.0**-6, 2.0**-5)  # of its cells, the coarsest to within 1.6 %
MIN_DRAWS = 50  # of each chain, below which a page is rather too large
FEW = 100  # draws of each chain, by which the size of all is foretold
_CELL_DIMS = ("year", "region", "depth", "leaf")


@dataclass(frozen=True)
class Leaf:
    """The smallest part of the market by product: a line of a modality, or a modality as a whole (`line` None)."""

    modality: str
    line: str | None = None


@dataclass(frozen=True)
class Drawn:
    """How the draws of a page were taken from the run: shape (chain, draw) and every how many-th draw of a chain."""

    chains: int
    draws: int
    stride: int

    def take(self, values: DataArray) -> DataArray:
        """The same draws of any variable."""
        return values.isel(draw=slice(None, None, self.stride))


def drawn(run: Run, most: int = MOST_CARRIED) -> Drawn:
    """Which draws of a run a page carries: at most so many, spread evenly over each chain."""
    chains, draws = run.sizes
    stride = -(-chains * draws // most)
    return Drawn(chains, -(-draws // stride), stride)


def cells_of(run: Run) -> tuple[DataArray, tuple[Leaf, ...]]:
    """Revenue [chain, draw, year, region, depth, leaf] in millions, and what each leaf is."""
    draws = run.read(["revenue", "revenue_line"])
    of = {line.name: line.modality for line in _lines(run.priors.ledger)}
    return by_leaf(draws["revenue"], draws.get("revenue_line"), of)


def by_leaf(
    revenue: DataArray, by_line: DataArray | None, modality_of: Mapping[str, str]
) -> tuple[DataArray, tuple[Leaf, ...]]:
    """Revenue by line where a modality has several lines, else by modality, in the order of the modalities.

    Parameters: `revenue` [..., modality]; `by_line` [..., line], None without lines; `modality_of`, by line.
    """
    leaves: list[Leaf] = []
    parts: list[DataArray] = []
    for modality in map(str, revenue["modality"].values):
        own = [line for line, of in modality_of.items() if of == modality] if by_line is not None else []
        own = own if len(own) > 1 else []  # an only line is all of its modality
        leaves += [Leaf(modality, line) for line in own] or [Leaf(modality)]
        if by_line is not None and own:
            parts += [by_line.sel(line=line, drop=True) for line in own]
        else:
            parts.append(revenue.sel(modality=modality, drop=True))
    joined = concat(parts, "leaf", coords="minimal", compat="override", join="exact")
    return joined.transpose(*SAMPLE, *_CELL_DIMS), tuple(leaves)


def market_data(run: Run, most: int) -> dict[str, Any]:
    """The market for the page's JSON, in about so many characters at most.

    The finest step is taken that fits all draws; where none does, the coarsest, with every second, third, ... draw.
    """
    revenue, leaves = cells_of(run)
    took = drawn(run)
    step, took = _fitting(revenue, took, most)
    values = _flat(took.take(revenue))
    totals = pack_cells(values.sum(axis=(1, 2)), TOTAL_STEP)
    return _described(run.priors.ledger, leaves, took, pack_cells(values, step), totals)


def _fitting(revenue: DataArray, took: Drawn, most: int) -> tuple[float, Drawn]:
    """The step and the draws that fit, by what a few draws take."""
    few = replace(took, stride=max(took.stride, revenue.sizes["draw"] // FEW))
    values = _flat(few.take(revenue))
    number = values.shape[-1]
    totals = pack_cells(values.sum(axis=(1, 2)), TOTAL_STEP).size
    step, each = CELL_STEPS[-1], 0.0
    for step in CELL_STEPS:
        each = (pack_cells(values, step).size + totals) / number
        if each * took.chains * took.draws <= most:
            return step, took
    kept = max(MIN_DRAWS, int(most / each / took.chains))
    stride = -(-revenue.sizes["draw"] // kept)
    return step, Drawn(took.chains, -(-revenue.sizes["draw"] // stride), stride)


def _described(ledger: Ledger, leaves: Sequence[Leaf], took: Drawn, cells: Cells, totals: Cells) -> dict[str, Any]:
    parts = {"region": ledger.regions, "depth": ledger.depths}
    labels = segment_labels(ledger)
    return {
        "years": list(ledger.years),
        "anchors": list(ledger.report.anchors),
        "sample": {"chains": took.chains, "draws": took.draws},
        "stride": took.stride,
        "labels": {dim: [segment.label or segment.name for segment in rows] for dim, rows in parts.items()},
        "leaves": [{"modality": labels[leaf.modality], "line": leaf.line and labels[leaf.line]} for leaf in leaves],
        "cells": cells.data(),
        "totals": totals.data(),
    }


def _flat(values: DataArray) -> Array:
    """Draws [year, region, depth, leaf, draw]."""
    stacked = values.transpose(*_CELL_DIMS, *SAMPLE).values
    return np.asarray(stacked.reshape(*stacked.shape[:4], -1), dtype=float)


def points(ledger: Ledger) -> list[dict[str, Any]]:
    """What the report says of revenue: year, segment by label (None: all), value in millions, and the claim's id."""
    named = {
        dim: {s.name: s.label or s.name for s in rows}
        for dim, rows in (("region", ledger.regions), ("depth", ledger.depths), ("modality", ledger.modalities))
    }
    return [
        {"year": c.year, "value": c.value, "claim": c.id, **_labelled(named, vars(c))}
        for c in ledger.claims
        if c.quantity == "revenue" and c.value is not None and c.year in ledger.years
    ]


def _labelled(named: Mapping[str, Mapping[str, str]], claim: Mapping[str, Any]) -> dict[str, str | None]:
    return {dim: labels.get(claim[dim]) for dim, labels in named.items()}


def segment_labels(ledger: Ledger) -> dict[str, str]:
    """What a reader sees of each modality, line, region and depth, by its name."""
    segments = (*ledger.depths, *ledger.regions, *_lines(ledger), *ledger.modalities)
    return {segment.name: segment.label or segment.name for segment in segments}


def _lines(ledger: Ledger) -> Sequence[Any]:
    """The lines of a ledger that has any."""
    return getattr(ledger, "lines", ())
