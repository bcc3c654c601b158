"""A finished run: where it lies, what it was made from, and its draws, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from xarray import Dataset, DataTree

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.models import variables as v
from postcgrp.priors import Evidence, InputError, PriorSet
from postcgrp.reports.runs import folder as files
from postcgrp.reports.runs.evidence import against, needed
from postcgrp.reports.runs.groups import INDEX, OF_POSTERIOR, POSTERIOR

WEIGHT = "weight"


@dataclass(frozen=True)
class Run:
    """A finished run, whose draws are read on first use.

    `written`: the folder where it lies, None for a run in memory only. `priors`: the prior set that it was made from.
    `manifest`: its recipe and the gate's verdict. `base`: None, or, where an update left weights, the run that was
    updated and whose draws these are; `weights` [chain, draw] then sum to one. Opened by :meth:`open`; a run in memory
    only is made by :meth:`in_memory`.
    """

    written: Path | None
    priors: PriorSet
    manifest: Mapping[str, Any]
    base: Run | None = None
    weights: NDArray[np.float64] | None = None
    loaded: DataTree | None = field(default=None, repr=False, compare=False)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The run in a folder: a fitted one, or one that was updated by weights.

        Raises :class:`InputError` for a folder that is no run or of another major version, and where manifest, prior
        set, draws or weights are not those of the run.
        """
        manifest = files.read_manifest(folder)
        if files.is_update(manifest):
            priors = files.read_inputs(folder, manifest)
            base = cls.open(files.updated_run(folder, manifest))
            if base.draws_sha256 != manifest["run"]["draws_sha256"]:
                raise InputError(f"{folder}: the run that it updates, {base.folder}, has other draws: update it again")
            return cls(folder, priors, manifest, base, read_weights(folder, manifest))
        files.check_files(folder, manifest, files.DRAWS)
        priors = files.read_inputs(folder, manifest)
        files.check_embedded_manifest(folder, manifest)
        return cls(folder, priors, manifest)

    @classmethod
    def in_memory(cls, tree: DataTree, priors: PriorSet, manifest: Mapping[str, Any] | None = None) -> Self:
        """A run whose draws were not written, or not yet."""
        return cls(None, priors, manifest or {}, loaded=tree)

    @property
    def folder(self) -> Path:
        """Where the run lies. Raises :class:`InputError` for a run in memory only: there are no files beside it."""
        if self.written is None:
            raise InputError("the run lies in memory only, without a folder: write one, forecast(..., out=FOLDER)")
        return self.written

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where its files lie: its own folder and that of the run it updates; empty for a run in memory only."""
        return tuple(dict.fromkeys(run.written for run in (self, self.fitted) if run.written is not None))

    @property
    def label(self) -> str:
        """What messages call the run: its folder."""
        return "the run in memory" if self.written is None else str(self.written)

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Every row of evidence that the draws, with their weights, know."""
        return self.priors.evidence

    @property
    def added(self) -> tuple[Evidence, ...]:
        """The rows that the weights stand for."""
        return () if self.base is None else self.evidence[len(self.base.evidence) :]

    @property
    def passed(self) -> bool:
        """Whether the fit met the gate."""
        return self.manifest.get("status") == "passed"

    @property
    def recipe(self) -> str:
        """sha256 of the priors, the evidence and the trust that the run was made from."""
        return str(self.manifest["recipe_sha256"])

    @property
    def draws_sha256(self) -> str:
        """sha256 of the file of draws."""
        return str(self.fitted.manifest["files"][files.DRAWS])

    @property
    def money(self) -> str:
        """The unit of revenue."""
        return f"{self.priors.ledger.report.currency} million"

    @property
    def provenance(self) -> dict[str, Any]:
        """What results made from this run say of it."""
        said: dict[str, Any] = {
            "status": self.manifest["status"],
            "recipe_sha256": self.recipe,
            "draws_sha256": self.draws_sha256,
            "run_created": self.manifest["created"],
        }
        return said if self.weights is None else said | {"weights": self.manifest["weights"]}

    @property
    def mixture(self) -> tuple[Mapping[str, Any], ...]:
        """The members of a linear pool, with their `set` and `weight`; empty for a run of one prior set."""
        return tuple(self.manifest.get(files.MIXTURE, ()))

    def need_one_prior(self, asked: str) -> None:
        """Refuse what needs the density of one prior set: a linear pool has none. Raises :class:`InputError`."""
        if self.mixture:
            raise InputError(
                f"{self.label}: is a linear pool, whose draws are of several prior sets, and {asked} needs one: ask "
                f"the runs of its members, {', '.join(each['set'] for each in self.mixture)}"
            )

    @property
    def note(self) -> str:
        """What a reader must know of where the draws are from, one sentence; empty for a run as it was fitted."""
        if self.mixture:
            parts = ", ".join(f"{each['weight']:.2f} {each['set']}" for each in self.mixture)
            most = max(self.mixture, key=lambda each: float(each["weight"]))["set"]
            return f"a linear pool of {parts}: draws of all in these shares; where priors are shown, those of {most}"
        if self.weights is None:
            return ""
        worth, k = self.manifest["weights"]["ess"], self.manifest["weights"]["k"]
        return (
            f"updated by weights: draws are repeated or dropped in proportion to them; they are worth {worth:,.0f} of "
            f"{self.weights.size:,} draws (Pareto k {'none' if k is None else f'{k:.2f}'})"
        )

    @property
    def fitted(self) -> Run:
        """The run as the sampler left it: without the weights of an update."""
        return self.base or self

    def read(self, names: Iterable[str] | None = None, group: str = POSTERIOR) -> Dataset:
        """The named variables of one group, by default all, in equally weighted draws; what the run lacks is left out.

        Where an update left weights, draws are repeated or dropped in proportion to them, in their order, so that
        every statistic of equally weighted draws holds. :attr:`fitted` has them as they were sampled.
        """
        if self.loaded is not None:
            data = _named(self.loaded.children[group].to_dataset(), names)
        elif self.base is not None:
            data = self.base.read(names, group)
        else:
            with files.opened_draws(self.folder, group) as opened:
                data = _named(opened, names).load()
        return self._equally_weighted(data) if group in OF_POSTERIOR else data

    def names(self, group: str = POSTERIOR) -> list[str]:
        """The variables of one group."""
        if self.loaded is not None:
            return [str(name) for name in self.loaded.children[group].data_vars]
        if self.base is not None:
            return self.base.names(group)
        with files.opened_draws(self.folder, group) as data:
            return [str(name) for name in data.data_vars]

    def has(self, group: str) -> bool:
        """Whether the run kept a group, such as the prior's draws."""
        if self.loaded is not None:
            return group in self.loaded.children
        return group in files.group_names(self.fitted.folder)

    @cached_property
    def tree(self) -> DataTree:
        """Every group of the run, in equally weighted draws, see :meth:`read`.

        After an update `log_likelihood` also has the rows that the weights stand for.
        """
        if self.loaded is not None:
            return self.loaded
        if self.base is None:
            return files.read_tree(self.folder)
        groups = {name: node.to_dataset() for name, node in self.base.tree.children.items()}
        if "log_likelihood" in groups:
            groups["log_likelihood"] = self._with_added_rows(groups["log_likelihood"])
        return DataTree.from_dict(
            {name: self._equally_weighted(data) if name in OF_POSTERIOR else data for name, data in groups.items()}
        )

    @cached_property
    def posterior(self) -> Dataset:
        """Every variable of the posterior [chain, draw, ...], in equally weighted draws."""
        return self.read()

    @cached_property
    def sizes(self) -> tuple[int, int]:
        """How many chains there are, and draws of each."""
        posterior = self.tree.children[POSTERIOR] if self.loaded is not None else self.fitted.read(["revenue_total"])
        return posterior.sizes["chain"], posterior.sizes["draw"]

    def _equally_weighted(self, data: Dataset) -> Dataset:
        """Draws repeated or dropped in proportion to the weights: systematic resampling (Kitagawa 1996, JCGS 5, 1).

        The draws keep their order, so those of a chain that depend on each other stay neighbours, and a Monte-Carlo
        error by batch means sees both the autocorrelation and the weights.
        """
        if self.weights is None:
            return data
        size = self.weights.size
        kept = np.searchsorted(np.cumsum(self.weights.ravel()), (np.arange(size) + 0.5) / size).clip(max=size - 1)
        chain, draw = (("sample", index) for index in np.unravel_index(kept, self.weights.shape))
        picked = data.drop_vars(SAMPLE, errors="ignore").isel(chain=chain, draw=draw)
        shape = dict(zip(SAMPLE, self.weights.shape, strict=True))
        variables = {}
        for name, values in picked.data_vars.items():
            rest = [dim for dim in values.dims if dim != "sample"]
            array = values.transpose("sample", *rest).values
            variables[name] = ((*SAMPLE, *rest), array.reshape(*shape.values(), *array.shape[1:]))
        coords = {name: coord for name, coord in picked.coords.items() if "sample" not in coord.dims}
        return Dataset(variables, coords | {dim: np.arange(length) for dim, length in shape.items()})

    def _with_added_rows(self, likelihood: Dataset) -> Dataset:
        """Log likelihoods with the rows of an update: their parts of the density that the weights were made of."""
        parts = [likelihood] if likelihood.data_vars else []
        draws = self.fitted.read(needed(self.priors, self.added))
        for part in against(draws, self.priors, self.added):
            values = part.terms().reshape(*self.sizes, len(part.rows))
            coords = {v.EVIDENCE_ROW: [row.id for row in part.rows]}
            parts.append(Dataset({v.EVIDENCE: ((*SAMPLE, v.EVIDENCE_ROW), values)}, coords))
        return xr.concat(parts, v.EVIDENCE_ROW)


def _named(data: Dataset, names: Iterable[str] | None) -> Dataset:
    """The named variables that there are, by default all."""
    return data if names is None else data[[name for name in dict.fromkeys(names) if name in data]]


def open_run(folder: str | Path) -> Run:
    """The finished run in a folder, see :meth:`Run.open`."""
    return Run.open(Path(folder))


def read_weights(folder: Path, manifest: Mapping[str, Any]) -> NDArray[np.float64]:
    """The weights [chain, draw] that an update left. Raises :class:`InputError` if they were changed."""
    files.check_files(folder, manifest, files.WEIGHTS)
    table = pd.read_csv(folder / files.WEIGHTS)
    return table[WEIGHT].to_numpy(float).reshape(table[INDEX[0]].max(), -1)
