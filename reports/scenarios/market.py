"""A run's market under scenarios: the same draws, evaluated once more by one compiled program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray
from xarray import Dataset, DataTree

from postcgrp.inference import enable_cache
from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.inference.given import OfDraws, of_draws
from postcgrp.models import counterfactual as cf
from postcgrp.models import variables as v
from postcgrp.models.structure import structure_key
from postcgrp.priors import InputError
from postcgrp.priors.drivers import BY_YEAR, DRIVERS, driver_labels
from postcgrp.priors.scenarios import Plan, Scenario, plan
from postcgrp.reports.runs.evidence import bounds
from postcgrp.reports.runs.groups import CONSTANTS, POSTERIOR
from postcgrp.reports.runs.run import Run
from postcgrp.reports.scenarios.factual import NEEDED, Factual
from postcgrp.reports.scenarios.paths import levers_of, new_levels

Array = NDArray[np.float64]


class WhatIf:
    """A run's market, to be seen under any scenario. Parameters: `seed`, see :class:`Factual`."""

    def __init__(self, run: Run, seed: int = 1) -> None:
        if seed < 0:
            raise InputError(f"--seed {seed}: is negative: use 0 or more")
        self.run, self.seed = run, seed

    @cached_property
    def factual(self) -> Factual:
        """The run's drivers as drawn."""
        pset, draws = self.run.priors, self.run.read(NEEDED)
        certain = self.run.read([v.SUCCESS_MEASURED], CONSTANTS) if pset.coords["launch"] else {}
        measured = np.asarray(certain[v.SUCCESS_MEASURED]) if certain else np.zeros(0)
        return Factual(pset, draws, measured, self._bounds(draws), self.seed)

    def _bounds(self, draws: Dataset) -> Array:
        """How likely what bounds launches was, had they come [chain, draw, launch]; 1 without any."""
        pset, shape = self.run.fitted.priors, (draws.sizes["chain"], draws.sizes["draw"])
        hold = np.ones((*shape, len(pset.coords["launch"])))
        for launch, rows in pset.bounds.items():
            log_hold = bounds(draws, pset, rows).log_holds.sum(axis=1)
            hold[..., pset.coords["launch"].index(launch)] = np.exp(log_hold).reshape(shape)
        return hold

    @cached_property
    def program(self) -> OfDraws:
        """The compiled program of every scenario of this market."""
        enable_cache()
        pset = self.run.priors
        made = self._made
        return of_draws(made.model, made.graphs, made.inputs, f"counterfactual {structure_key(pset)} {centres(made)}")

    @cached_property
    def _as_drawn(self) -> Dataset:
        """What the program starts from."""
        names = [name for name in self.program.flat.shapes if name not in map(cf.lever, cf.LEVERS)]
        found = self.run.read(names)
        if missing := [name for name in names if name not in found]:
            raise InputError(f"{self.run.label}: has no draws of {missing[0]}: make it again with this version")
        return found

    def levels(self, planned: Plan) -> dict[str, Array]:
        """The paths that a scenario sets, see :func:`new_levels`."""
        return new_levels(self.factual, planned)

    def described(self, planned: Plan, name: str, level: Array) -> Iterator[dict[str, object]]:
        """A driver that a scenario sets, one row for each cell that it does set, beside the run's own level."""
        labels, governs = driver_labels(self.run.priors.ledger, name), planned.governs[name]
        cells = list(product(*labels.values()))
        before, after = (x.reshape(-1, governs.size) for x in (self.factual.level(name), level))
        for k in np.flatnonzero(governs.ravel() >= 0):
            where = dict(zip(labels, cells[k], strict=True))
            year = where.pop(BY_YEAR, None)
            low, median, high = np.quantile(after[:, k], [0.05, 0.5, 0.95])
            yield {
                "scenario": planned.scenario.name,
                "driver": name,
                "year": year,
                "segment": ", ".join(map(str, where.values())),
                "unit": DRIVERS[name].unit,
                "base_median": float(np.median(before[:, k])),
                "median": float(median),
                "low_90": float(low),
                "high_90": float(high),
            }

    def under(self, planned: Plan) -> Dataset:
        """Everything that a forecast is read for, under a scenario, in the draws of the run [chain, draw, ...]."""
        return self._evaluated(levers_of(self.factual, self.levels(planned)))

    def _evaluated(self, levers: Mapping[str, Array]) -> Dataset:
        """What the program makes of levers [chain, draw, ...]."""
        drawn = self._as_drawn
        inputs = {str(name): drawn[name].transpose(*SAMPLE, ...).values for name in drawn.data_vars}
        inputs |= {cf.lever(name): array for name, array in levers.items()}
        found = self.program(inputs)
        coords = {dim: drawn[v.PATIENTS][dim] for dim in SAMPLE} | dict(self.run.priors.coords)
        data = Dataset({name: ((*SAMPLE, *self._made.dims[name]), array) for name, array in found.items()})
        return data.assign_coords({dim: coords[str(dim)] for dim in data.dims})

    def run_under(self, scenario: Scenario) -> Run:
        """The run as it would be under a scenario: in memory, with the same draws of what the scenario leaves.

        Every command that reads draws takes it. Drivers with one number for the whole window are those of the scenario
        too; those with a path by year are as drawn, and only what follows from them has moved. Raises
        :class:`InputError` where the scenario does not fit the run.
        """
        run, planned = self.run, plan(self.run.priors.ledger, scenario)
        levers = levers_of(self.factual, self.levels(planned))
        changed = {str(name): array for name, array in self._evaluated(levers).data_vars.items()}
        for name in (v.SUCCESS, v.LAUNCH_YEAR, v.LAUNCH_CEILING, v.LINE_EXCLUSIVITY_YEAR):
            if name in levers:
                changed[name] = run.posterior[name].transpose(*SAMPLE, ...).copy(data=levers[name])
        tree = DataTree.from_dict({POSTERIOR: run.posterior.assign(changed)})
        return Run.in_memory(tree, run.priors, {**run.manifest, "scenario": scenario.name})

    @cached_property
    def _made(self) -> cf.Counterfactual:
        return cf.counterfactual(self.run.priors)


def centres(made: cf.Counterfactual) -> str:
    """What of the program follows from assumptions that change no graph of the model: whether there are centres."""
    return "centres" if cf.lever(cf.CENTRE_SHARE) in made.inputs else ""


def plans(run: Run, scenarios: Sequence[Scenario]) -> Iterator[Plan]:
    """Scenarios held against a run's ledger. Raises :class:`InputError` also for two of one name."""
    names = [scenario.name for scenario in scenarios]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"scenario {name!r}: two have this name: rename one of them")
    for scenario in scenarios:
        yield plan(run.priors.ledger, scenario)


def under_scenario(run: Run, scenario: Scenario, seed: int = 1) -> Run:
    """A run as it would be under a scenario, see :meth:`WhatIf.run_under`."""
    return WhatIf(run, seed).run_under(scenario)
