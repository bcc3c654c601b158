"""What `postcgrp scenario` answers: the sentence, the tables, the draws by scenario, and a folder of all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from xarray import Dataset, concat

from postcgrp.models import variables as v
from postcgrp.priors import InputError
from postcgrp.priors.scenarios import BASE, Plan, Scenario, load_scenario
from postcgrp.priors.shares import load_shares
from postcgrp.priors.shipped import shipped_scenarios
from postcgrp.reports.exposure.answer import shares_file
from postcgrp.reports.forecast.words import words_of
from postcgrp.reports.runs.folder import write_manifest
from postcgrp.reports.runs.place import check_folder, new_folder
from postcgrp.reports.runs.run import Run
from postcgrp.reports.scenarios.exposed import exposed_table
from postcgrp.reports.scenarios.figures import scenario_differences
from postcgrp.reports.scenarios.market import WhatIf, plans
from postcgrp.reports.scenarios.tables import kept, scenario_draws, scenario_table, scenarios_said

SCHEMA = "postcgrp.scenario/1"
SCENARIO_DRAWS = "scenarios.nc"
DRIVER_COLUMNS = ("scenario", "driver", "year", "segment", "unit", "base_median", "median", "low_90", "high_90")


@dataclass(frozen=True)
class ScenarioAnswer:
    """What was found: the sentence that answers first; `tables` by the name of their file; `draws` by scenario.

    `scenarios`, those that change something in this market, and the base, first; `notes`: what of the shipped ones it
    does not have, and why a table is left out.
    """

    sentence: str
    tables: dict[str, pd.DataFrame]
    draws: Dataset
    scenarios: tuple[Scenario, ...]
    notes: tuple[str, ...]


def scenarios(
    run: Run,
    named: Sequence[str | Path | Scenario] = (),
    *,
    weights: Mapping[str, float] | None = None,
    seed: int = 1,
    out: Path | None = None,
    market: WhatIf | None = None,
) -> ScenarioAnswer:
    """Evaluate scenarios on the draws of a run, and write the answer to the folder `out` if one is given.

    Parameters: `named`, names of shipped ones, files or scenarios, by default every shipped one; the base is always
    among them; `weights`, a probability of each by name, adds the mixture; `seed`, of the shares of countries and
    companies and of what centres see; `market`, of this run and seed, where the caller has it already. Raises
    :class:`InputError` for a scenario that does not fit, before anything is compiled, and for a folder that must not
    or cannot be written.
    """
    if out is not None:
        check_folder(out, SCHEMA)
    chosen = [each if isinstance(each, Scenario) else load_scenario(each) for each in named or shipped_scenarios()]
    chosen += [load_scenario(name) for name in weights or () if name not in {each.name for each in chosen}]
    chosen = [load_scenario(BASE), *(each for each in chosen if each.name != BASE)]
    planned = list(plans(run, chosen))
    notes = tuple(f"scenario {one.scenario.name!r}: skipped: {why}" for one in planned for why in one.skipped)
    acting = [one for one in planned if one.rows or not one.scenario.settings]
    if weights and (lost := set(weights) - {one.scenario.name for one in acting}):
        raise InputError(f"--weights: scenario {min(lost)!r} changes nothing in this market: leave it out")
    market = market or WhatIf(run, seed)
    for one in acting:
        market.levels(one)  # what is wrong with its numbers is said before anything is compiled
    found = {one.scenario.name: kept(market.under(one), run.priors) for one in acting}
    _check_base(run, found[BASE])
    compared = {name: scenario_draws(data, run.priors) for name, data in found.items()}
    table = scenario_table(compared[BASE], {name: x for name, x in compared.items() if name != BASE}, weights)
    tables = {"scenarios": table, "drivers": driver_table(market, acting)}
    exposed, missing = _exposed(run, found, seed)
    tables |= exposed
    draws = concat(found.values(), dim="scenario").assign_coords(scenario=list(found))
    told = scenarios_said(table, run.money)
    answer = ScenarioAnswer(told, tables, draws, tuple(one.scenario for one in acting), (*notes, *missing))
    if out is not None:
        _write(answer, run, acting, weights, seed, out)
    return answer


def _exposed(run: Run, found: dict[str, Dataset], seed: int) -> tuple[dict[str, pd.DataFrame], tuple[str, ...]]:
    """The table of who is exposed, or a note that says why there is none."""
    try:
        shares = load_shares(run.priors.ledger, shares_file(run))
    except InputError as error:
        return {}, (f"who is exposed is left out: {error}",)
    return {"exposed": exposed_table(found, shares, seed, list(run.priors.ledger.report.anchors), run.money)}, ()


def driver_table(market: WhatIf, planned: Sequence[Plan]) -> pd.DataFrame:
    """What each scenario makes of the drivers that it sets, where it does, beside what the run has.

    Columns `DRIVER_COLUMNS`; a driver without a path by year has no year.
    """
    rows = []
    for one in planned:
        for name, level in market.levels(one).items():
            rows += list(market.described(one, name, level))
    return pd.DataFrame(rows, columns=list(DRIVER_COLUMNS)).astype({"year": "Int64"})


def _check_base(run: Run, base: Dataset) -> None:
    """Refuse a run that this version's model does not give back on its factual paths."""
    own = run.read([v.REVENUE_TOTAL])[v.REVENUE_TOTAL].transpose(*base[v.REVENUE_TOTAL].dims)
    if not np.allclose(base[v.REVENUE_TOTAL], own, rtol=1e-9, atol=0):
        raise InputError(f"{run.label}: was made by another version of the model: make it again")


def _write(
    answer: ScenarioAnswer, run: Run, acting: Sequence[Plan], weights: Mapping[str, float] | None, seed: int, out: Path
) -> None:
    record = {
        "schema": SCHEMA,
        **run.provenance,
        "given": run.manifest.get("given", []),
        "scenarios": {one.scenario.name: one.scenario.model_dump(mode="json", by_alias=True) for one in acting},
        "weights_of_scenarios": dict(weights or {}),
        "seed": seed,
        "sentence": answer.sentence,
        "notes": list(answer.notes),
    }
    with new_folder(out) as folder:
        for name, table in answer.tables.items():
            table.to_csv(folder / f"{name}.csv", index=False)
        spec = scenario_differences(answer.tables["scenarios"], words_of(run.priors.ledger))
        if spec is not None:
            (folder / "differences.vl.json").write_text(json.dumps(spec, indent=1) + "\n", encoding="utf-8")
        answer.draws.assign_attrs(units=run.money, recipe_sha256=run.recipe).to_netcdf(
            folder / SCENARIO_DRAWS, engine="netcdf4"
        )
        write_manifest(record, folder)
