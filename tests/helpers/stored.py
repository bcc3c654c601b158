"""Run folders to test on without fitting: prior draws of a model, or any draws, on disk as a run has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
from numpy.typing import NDArray
from pymc.distributions.shape_utils import change_dist_size
from pytensor.graph.traversal import ancestors
from xarray import DataArray, Dataset, DataTree

from postcgrp.inference import forward
from postcgrp.models import build_model
from postcgrp.priors import PriorSet
from postcgrp.priors.files import sha256
from postcgrp.reports.runs.folder import DRAWS, INPUTS, SCHEMA
from postcgrp.reports.runs.place import MANIFEST
from postcgrp.reports.runs.run import Run, open_run

CHAINS = 2
SEED = 7


def prior_run(pset: PriorSet, folder: Path, draws: int = 500, seed: int = SEED) -> Run:
    """A run whose posterior is prior draws of everything, free or derived, in two chains."""
    model = build_model(pset)
    posterior = {
        name: _array(model, name, values.reshape(CHAINS, -1, *values.shape[1:]), "chain", "draw")
        for name, values in prior_draws(model, CHAINS * draws, seed).items()
    }
    return write(pset, folder, Dataset(posterior), _constants(model))


def prior_tree(pset: PriorSet, draws: int = 300) -> DataTree:
    """Prior draws of everything, free or derived, as if they were a run of one chain: nothing is written."""
    model = build_model(pset)
    drawn = {name: _array(model, name, x[None], "chain", "draw") for name, x in prior_draws(model, draws).items()}
    return DataTree.from_dict({"posterior": Dataset(drawn)})


def prior_draws(model: pm.Model, draws: int, seed: int = SEED) -> dict[str, NDArray[Any]]:
    """Prior draws [draw, ...] of everything, free or derived, in one evaluation without compilation."""
    outputs = {v.name: v for v in (*model.free_RVs, *model.deterministics)}
    roots = [rv for rv in model.free_RVs if not set(ancestors([rv])) & (set(model.basic_RVs) - {rv})]
    graphs = forward._batched(
        [*outputs.values()], {rv: change_dist_size(rv, draws, expand=True) for rv in roots}, draws
    )
    return forward._function(dict(zip(outputs, graphs, strict=True)), [])({}, seed)


def restated(run: Run, pset: PriorSet, folder: Path) -> Run:
    """A run of another prior set that has the draws of `run`, where only what is stated matters: quickly made."""
    return write(pset, folder, run.read(run.names()), _constants(build_model(pset)))


def _constants(model: pm.Model) -> Dataset:
    names = [v.name for v in model.data_vars if v.name != "evidence_log_value"]
    return Dataset({name: _array(model, name, model[name].get_value()) for name in names})


def _array(model: pm.Model, name: str, values: Any, *lead: str) -> DataArray:
    dims = tuple(model.named_vars_to_dims.get(name) or ())
    coords = {d: np.array(list(model.coords[d])) for d in dims if model.coords[d] is not None}
    return DataArray(values, coords, (*lead, *dims))


def write(pset: PriorSet, folder: Path, posterior: Dataset, constants: Dataset | None = None) -> Run:
    """A run folder with these draws and no more than what reading them asks for."""
    folder.mkdir()
    tree = DataTree.from_dict({"posterior": posterior, "prior": posterior, "constant_data": constants or Dataset()})
    tree.to_netcdf(folder / DRAWS, engine="netcdf4")
    (folder / INPUTS).write_text(pset.to_json(), encoding="utf-8")
    files = {name: sha256(folder / name) for name in (DRAWS, INPUTS)}
    record = {"schema": SCHEMA, "status": "passed", "created": "2025-01-01T00:00:00+00:00", "files": files}
    record |= {"recipe_sha256": pset.fingerprint(), "sampling": {}}
    (folder / MANIFEST).write_text(json.dumps(record), encoding="utf-8")
    return open_run(folder)
