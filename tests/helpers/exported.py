"""Small runs to export, and exports of them."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray import Dataset, DataTree

from postcgrp.priors import PriorSet
from postcgrp.reports.export.exporting import FORMATS, Chosen, default_export, export
from postcgrp.reports.export.schema import QUANTITIES, Export
from postcgrp.reports.runs.run import Run

RECORD: dict[str, Any] = {"schema": "postcgrp.run/2", "status": "passed", "sampling": {"seed": 1}, "ess": 0.1 + 0.2}
SMALL = Chosen(("revenue", "revenue_total", "acute_use"), years=(2025, 2030, 2035))


class Brief(PriorSet):
    """A prior set whose recipe is short, for files that stay small."""

    def recipe(self) -> str:
        return "prior,mean\n=1+1,0.1\n+sum,ü\r"


def brief(pset: PriorSet) -> PriorSet:
    return Brief(**{field.name: getattr(pset, field.name) for field in fields(pset)})


def market(pset: PriorSet, chains: int = 2, draws: int = 6, seed: int = 1, **labels: list[str]) -> DataTree:
    """A run as far as exports read it: random positive numbers with the run's names and dims, totals as sums."""
    coords: dict[str, list[Any]] = {
        "year": list(pset.ledger.years),
        **{dim: list(names) for dim, names in pset.ledger.segments.items()},
    }
    coords |= {dim: list(pset.coords[dim]) for dim in ("line", "launch") if pset.coords.get(dim)}
    coords |= labels
    rng = np.random.default_rng(seed)
    names: dict[str, tuple[str, ...]] = {}
    for q in QUANTITIES:
        of = [pset.own(q.name, m) for m in pset.modalities(q.uptake)] if q.uptake else [q.name]
        names |= dict.fromkeys(of, q.dims) if set(q.dims) <= coords.keys() else {}
    data = {}
    for name, dims in names.items():
        size = [len(coords[dim]) for dim in dims]
        data[name] = (("chain", "draw", *dims), np.exp(rng.standard_normal((chains, draws, *size))))
    # draws differ as a whole too, as revenue paths do
    data["revenue"][1][:] *= np.exp(rng.standard_normal((chains, draws, 1, 1, 1, 1)))
    data["revenue"][1][:, :, 0, :, :, -1] = 0  # before its launch nothing of a modality is sold
    data["revenue_total"] = (("chain", "draw", "year"), data["revenue"][1].sum(axis=(3, 4, 5)))
    if "revenue_line" in data:
        _divide_among_lines(pset, data)
    every = {**coords, "chain": list(range(chains)), "draw": list(range(draws))}
    return DataTree.from_dict({"/posterior": Dataset(data, coords=every)})


def _divide_among_lines(pset: PriorSet, data: dict[str, tuple[tuple[str, ...], Any]]) -> None:
    """Lines of a modality have random parts that sum to its revenue."""
    of = np.array([list(pset.ledger.segments["modality"]).index(line.modality) for line in pset.ledger.lines])
    parts = data["revenue_line"][1]
    for modality in set(of):
        parts[..., of == modality] *= data["revenue"][1][..., [modality]] / parts[..., of == modality].sum(
            axis=-1, keepdims=True
        )


def values(run: DataTree, name: str) -> Any:
    """The numbers of one variable of a run, to look at or to change."""
    return run.children["posterior"].dataset[name].values


def write(pset: PriorSet, out: Path, to: str, run: DataTree | None = None, **options: Any) -> Export:
    return export(Run.in_memory(run or market(pset), brief(pset), RECORD), out, to=to, **options)


def target(folder: Path, to: str) -> Path:
    return default_export(folder / "run", to)


def write_few(pset: PriorSet, folder: Path) -> dict[str, Path]:
    """One export of the same small run in each format: 4 draws of 135 cells of revenue."""
    paths = {to: target(folder, to) for to in FORMATS}
    for to, path in paths.items():
        write(pset, path, to, market(pset, draws=2), chosen=SMALL, layout="long" if to == "xlsx" else None)
    assert {path.name for path in folder.iterdir()} == {path.name for path in paths.values()}
    return paths


def same(one: Export, other: Export) -> None:
    assert json.loads(json.dumps(one.header)) == other.header
    xr.testing.assert_equal(one.data, other.data)
    for name in one.data.data_vars:
        assert one.data[name].dtype == np.float64
        assert other.data[name].attrs == one.data[name].attrs
