"""Exit status 3: what was made, but from a fit that missed its gate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from postcgrp.priors import PriorSet
from postcgrp.reports.cli.main import main
from postcgrp.reports.forecast.pipeline import Forecast
from postcgrp.reports.runs.run import Run
from postcgrp.reports.sensitivity.study import Sensitivity
from postcgrp.tests.helpers.stored import prior_run

pytestmark = pytest.mark.fit

GATE = pd.DataFrame([{"check": "rhat", "passed": False, "figure": 1.2, "rule": "< 1.01", "where": "x", "advice": "go"}])


@pytest.fixture(scope="module")
def run(pset: PriorSet, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return prior_run(pset, tmp_path_factory.mktemp("run") / "run", draws=100)


@pytest.mark.parametrize("passed", [True, False])
def test_an_update_by_refit_says_whether_the_refit_met_the_gate(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, passed: bool
) -> None:
    def refitted(pset: PriorSet, **_: Any) -> Forecast:
        none = pd.DataFrame()
        return Forecast(replace(run, priors=pset), none, none, "", GATE.assign(passed=passed), passed, none)

    monkeypatch.setattr("postcgrp.reports.forecast.pipeline.forecast", refitted)
    rows = tmp_path / "rows.csv"
    rows.write_text("source,quantity,year,value,unit\nvendor,revenue,2027,500,USD million\n", encoding="utf-8")
    command = ["update", str(run.folder), "--evidence", str(rows), "--refit", "--out", str(tmp_path / "out")]
    assert main(command) == (0 if passed else 3)
    assert ("the gate failed; the run is marked so" in capsys.readouterr().err) != passed


@pytest.mark.parametrize("missed", [[], ["claim left out moh_2025 missed the gate: rhat 1.2 (< 1.01)"]])
def test_sensitivity_says_whether_a_refit_missed_the_gate(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missed: list[str]
) -> None:
    numbers = ("median", "shift", "se", "low_90", "high_90", "p_above", "sd", "mean")
    table = pd.DataFrame(
        [{"kind": "run", "name": "as it is", "clear": False, "missed": "", **dict.fromkeys(numbers, 1.0)}]
    )
    power = {"quantity": "revenue 2035", "group": "patients", "psi": 0.1, "psi_se": 0.01, "clear": True, "noise": 0.05}
    power |= {"sign": "+", "spread": "", "k_low": 0.1, "k_high": 0.1, "refused": "", "draws": 4000}
    ends = dict.fromkeys(("mean_low", "mean_high", "value_low", "value_high"), 1.0)
    moves = {"input": "moh", "unit": "fraction", "direction": "+", **ends}
    alone = {
        "input": "moh",
        "unit": "fraction",
        "value_now": 0.3,
        "value": np.nan,
        "flips_at_sds": np.nan,
        "se": np.nan,
    }
    pair = {"inputs": "moh and price", "flips_at_sds": 2.5, "se": 0.1, "value_1": 0.41, "value_2": 31.5}
    pair |= {"input_1": "moh", "unit_1": "fraction", "input_2": "price", "unit_2": "USD"}
    tables: dict[str, dict[str, Any]] = {"flips": alone | {"outcome": "no change"}, "flip_pairs": pair}
    tables |= {"tornado": moves, "conflicts": {"claim": "moh_2025", "p": np.nan}, "power_scaling": power}
    found = Sensitivity(table, {name: pd.DataFrame([row]) for name, row in tables.items()}, [], missed)
    monkeypatch.setattr("postcgrp.reports.sensitivity.study.sensitivity", lambda *_, **__: found)
    assert main(["sensitivity", str(run.folder), "--flip", "870:0.5"]) == (3 if missed else 0)
    said = capsys.readouterr().out
    assert "No assumption moved alone within three prior sds flips it" in said
    assert "Two moved at once, what takes P across 870:0.5 (1 of 1 pairs)" in said
