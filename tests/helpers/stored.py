"""Run folders to test on without fitting: prior draws of a model, or any draws, on disk as a run has them."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pymc as pm
from xarray import DataArray, Dataset, DataTree

from postcgrp.inference import forward
from postcgrp.inference.forward import Draws
from postcgrp.models import build_model, structure_key
from postcgrp.models.coords import coords
from postcgrp.models.inputs import arrays
from postcgrp.priors import PriorSet
from postcgrp.priors.files import sha256
from postcgrp.reports.runs.folder import DRAWS, INPUTS, SCHEMA
from postcgrp.reports.runs.place import MANIFEST
from postcgrp.reports.runs.run import Run, open_run
from postcgrp.tests.helpers.forward import batched

CHAINS = 2
SEED = 7
SOME = 500  # draws in one evaluation


def prior_run(pset: PriorSet, folder: Path, draws: int = 500, seed: int = SEED) -> Run:
    """A run whose posterior is prior draws of everything, free or derived, in two chains."""
    structure = Structure.of(pset)
    posterior = {
        name: structure.array(pset, name, values.reshape(CHAINS, -1, *values.shape[1:]), "chain", "draw")
        for name, values in structure.draw(pset, CHAINS * draws, seed).items()
    }
    return write(pset, folder, Dataset(posterior), structure.constants(pset))


def prior_tree(pset: PriorSet, draws: int = 300) -> DataTree:
    """Prior draws of everything, free or derived, as if they were a run of one chain: nothing is written."""
    structure = Structure.of(pset)
    drawn = {
        name: structure.array(pset, name, values[None], "chain", "draw")
        for name, values in structure.draw(pset, draws).items()
    }
    return DataTree.from_dict({"posterior": Dataset(drawn)})


def prior_draws(pset: PriorSet, draws: int, seed: int = SEED) -> Draws:
    """Prior draws [draw, ...] of everything, free or derived."""
    return Structure.of(pset).draw(pset, draws, seed)


def restated(run: Run, pset: PriorSet, folder: Path) -> Run:
    """A run of another prior set that has the draws of `run`, where only what is stated matters: quickly made."""
    return write(pset, folder, run.read(run.names()), Structure.of(pset).constants(pset))


class Structure:
    """A model's graph, built once in a process for all prior sets that differ in the values of its `pm.Data` alone."""

    built: ClassVar[dict[str, Structure]] = {}

    @classmethod
    def of(cls, pset: PriorSet) -> Structure:
        key = structure_key(pset)
        if key not in cls.built:
            cls.built[key] = cls(build_model(pset))
        return cls.built[key]

    def __init__(self, model: pm.Model) -> None:
        self.model = model

    def draw(self, pset: PriorSet, draws: int, seed: int = SEED) -> Draws:
        """Prior draws [draw, ...] of everything, free or derived, without compilation."""
        for name, values in arrays(pset).items():
            self.model[name].set_value(values)
        parts = [self._some({}, [seed, k]) for k in range(-(-draws // SOME))]
        return {name: np.concatenate([part[name] for part in parts])[:draws] for name in parts[0]}

    @cached_property
    def _some(self) -> forward.Function:
        """A function that gives `SOME` draws at a time: to make it takes a second, to call it a tenth of one."""
        outputs = {v.name: v for v in (*self.model.free_RVs, *self.model.deterministics)}
        graphs = batched(self.model, [*outputs.values()], SOME)
        return forward._function(dict(zip(outputs, graphs, strict=True)), [])

    def array(self, pset: PriorSet, name: str, values: Any, *lead: str) -> DataArray:
        """Values of a variable with its dims, after the `lead` ones, and a prior set's labels."""
        dims, labels = tuple(self.model.named_vars_to_dims.get(name) or ()), coords(pset)
        known = {dim: np.array(list(labels[dim])) for dim in dims if labels.get(dim) is not None}
        return DataArray(values, known, (*lead, *dims))

    def constants(self, pset: PriorSet) -> Dataset:
        """A prior set's numbers, as a run has them; without the evidence's."""
        given = {name: values for name, values in arrays(pset).items() if name != "evidence_log_value"}
        return Dataset({name: self.array(pset, name, values) for name, values in given.items()})


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
