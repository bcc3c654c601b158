"""The answer to what if: names of files and columns, paired differences, mixtures, conditions, deals, and refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from postcgrp.models import variables as v
from postcgrp.priors import InputError, PriorSet
from postcgrp.priors.scenarios import BASE, Scenario, load_scenario
from postcgrp.priors.shipped import shipped_scenarios
from postcgrp.reports.cli.main import main
from postcgrp.reports.cli.terminal import BAD_INPUT, DONE
from postcgrp.reports.runs.run import Run
from postcgrp.reports.scenarios.answer import DRIVER_COLUMNS, ScenarioAnswer, scenarios
from postcgrp.reports.scenarios.conditions import given
from postcgrp.reports.scenarios.exposed import EXPOSED_COLUMNS
from postcgrp.reports.scenarios.market import under_scenario
from postcgrp.reports.scenarios.tables import MIXED, SCENARIO_COLUMNS, ScenarioDraws, quantiles_of, scenario_table
from postcgrp.reports.valuation.decision import Decision
from postcgrp.reports.valuation.under import UNDER_COLUMNS, WORTH_COLUMNS, worth_of_knowing
from postcgrp.tests.helpers.paths import DOCS
from postcgrp.tests.helpers.stored import prior_run

pytestmark = pytest.mark.fit  # compiles
WEIGHTS = {"base": 0.5, "conservative": 0.2, "payers-open": 0.3}


@pytest.fixture(scope="module")
def run(pset: PriorSet, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return prior_run(pset, tmp_path_factory.mktemp("answer") / "run", 600)


@pytest.fixture(scope="module")
def answered(run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[ScenarioAnswer, Path]:
    out = tmp_path_factory.mktemp("answered") / "out"
    return scenarios(run, ["conservative", "payers-open", "implants-never"], weights=WEIGHTS, out=out), out


def made(**row: Any) -> Scenario:
    return Scenario.model_validate({"name": "made", "says": "Made for a test.", "set": [row]})


def flat(run: Run, name: str, **where: Any) -> np.ndarray:
    return np.asarray(run.read([name])[name].sel(where).values.ravel())


def total(table: pd.DataFrame, scenario: str, year: int) -> pd.Series:
    rows = table[(table["quantity"] == v.REVENUE_TOTAL) & (table["year"] == year) & (table["scenario"] == scenario)]
    return rows.iloc[0]


def test_names_of_files_columns_and_dims(answered: tuple[ScenarioAnswer, Path], run: Run) -> None:
    _, out = answered
    names = {"scenarios.csv", "drivers.csv", "exposed.csv", "scenarios.nc", "differences.vl.json", "manifest.json"}
    assert {path.name for path in out.iterdir()} == names
    assert list(pd.read_csv(out / "scenarios.csv", nrows=1)) == list(SCENARIO_COLUMNS)
    assert (
        *("scenario", "quantity", "year", "region", "modality", "line", "unit", "mean", "median"),
        *("low_50", "high_50", "low_80", "high_80", "low_90", "high_90", "base_median"),
        *("difference_mean", "difference_median", "difference_low_50", "difference_high_50", "difference_low_80"),
        *("difference_high_80", "difference_low_90", "difference_high_90", "p_above", "p_below"),
    ) == SCENARIO_COLUMNS
    assert list(pd.read_csv(out / "drivers.csv", nrows=1)) == list(DRIVER_COLUMNS)
    assert list(pd.read_csv(out / "exposed.csv", nrows=1)) == list(EXPOSED_COLUMNS)
    with xr.open_dataset(out / "scenarios.nc") as draws:
        assert draws[v.REVENUE].dims == ("scenario", "chain", "draw", "year", "region", "modality")
        assert draws[v.REVENUE_LINE].dims == ("scenario", "chain", "draw", "year", "region", "line")
        assert draws["scenario"].values.tolist() == [BASE, "conservative", "payers-open", "implants-never"]
        own = run.read([v.REVENUE_TOTAL])[v.REVENUE_TOTAL]
        np.testing.assert_allclose(draws[v.REVENUE_TOTAL].sel(scenario=BASE), own, rtol=1e-9)
    record = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert record["schema"] == "postcgrp.scenario/1"
    assert record["weights_of_scenarios"] == WEIGHTS
    assert record["scenarios"]["payers-open"]["set"][0]["from"] == 2027


def test_differences_are_paired_with_the_runs_own_draws(answered: tuple[ScenarioAnswer, Path], run: Run) -> None:
    table = answered[0].tables["scenarios"]
    there = under_scenario(run, load_scenario("payers-open"))
    difference = flat(there, v.REVENUE_TOTAL, year=2035) - flat(run, v.REVENUE_TOTAL, year=2035)
    row = total(table, "payers-open", 2035)
    assert row["difference_median"] == pytest.approx(np.median(difference))
    assert row["difference_low_90"] == pytest.approx(np.quantile(difference, 0.05))
    assert row["p_above"] == (difference > 0).mean()
    assert 0.9 < row["p_above"] < 1  # not in all: devices take from acute drugs
    before = table[(table["scenario"] != MIXED) & (table["year"] < 2026)]
    assert (before["difference_mean"] == 0).all()
    assert total(table, "implants-never", 2035)["p_above"] == 0
    assert 0 < total(table, "implants-never", 2035)["p_below"] < 1  # the others fail anyway


def test_the_base_does_not_differ_from_itself(answered: tuple[ScenarioAnswer, Path]) -> None:
    own = answered[0].tables["scenarios"].query("scenario == 'base'")
    assert (own[["difference_low_90", "difference_high_90", "p_above", "p_below"]] == 0).all(axis=None)


def test_a_mixture_has_the_weighted_mean_and_probabilities(answered: tuple[ScenarioAnswer, Path]) -> None:
    table = answered[0].tables["scenarios"]
    for column in ("mean", "difference_mean", "p_above", "p_below"):
        expected = sum(weight * total(table, name, 2035)[column] for name, weight in WEIGHTS.items())
        assert total(table, MIXED, 2035)[column] == pytest.approx(expected)


def test_a_mixture_has_the_quantiles_of_draws_repeated_by_weight(answered: tuple[ScenarioAnswer, Path]) -> None:
    draws = answered[0].draws[v.REVENUE_TOTAL].sel(year=2035)
    repeated = [draws.sel(scenario=name).values.ravel() for name, w in WEIGHTS.items() for _ in range(round(10 * w))]
    row = total(answered[0].tables["scenarios"], MIXED, 2035)
    for column, level in {"low_90": 0.05, "median": 0.5, "high_90": 0.95}.items():
        expected = np.quantile(np.concatenate(repeated), level, method="inverted_cdf")
        assert row[column] == pytest.approx(expected, rel=1e-12), column


def test_weighted_quantiles_are_those_of_repeated_draws() -> None:
    rng = np.random.default_rng(3)
    draws, times = rng.normal(size=(40, 3)), rng.integers(1, 6, 40)
    repeated = np.repeat(draws, times, axis=0)
    found = quantiles_of(draws, [0.1, 0.5, 0.9], times / times.sum())
    expected = np.quantile(repeated, [0.1, 0.5, 0.9], axis=0, method="inverted_cdf")
    np.testing.assert_allclose(found, expected)


def test_rounding_is_no_difference() -> None:
    rows = pd.DataFrame(
        {"quantity": ["x"], "year": [2030], "region": None, "modality": None, "line": None, "unit": "u"}
    )
    base = np.full((10, 1), 3.0)
    table = scenario_table(ScenarioDraws(rows, base), {"s": ScenarioDraws(rows, base * (1 + 1e-13))})
    assert (table[["p_above", "p_below", "difference_mean"]] == 0).all(axis=None)


def test_who_is_exposed_sums_to_the_market(answered: tuple[ScenarioAnswer, Path]) -> None:
    tables = answered[0].tables
    for scenario in ("base", "payers-open"):
        own = tables["exposed"].query(f"scenario == {scenario!r} and year == 2035").groupby("holder")
        for column in ("mean", "difference_mean"):
            expected = total(tables["scenarios"], scenario, 2035)[column]
            assert own[column].sum().to_numpy() == pytest.approx([expected, expected])
    first = tables["exposed"].query("year == 2025")  # before any scenario begins: nobody holds more or less in one
    assert (first[["difference_low_90", "difference_high_90"]] == 0).all(axis=None)


def test_a_table_that_cannot_be_made_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(of: Run) -> Path:
        raise InputError(f"{of.label}: its ledger has no shares")

    monkeypatch.setattr("postcgrp.reports.scenarios.answer.shares_file", without)
    found = scenarios(run, ["base"])
    assert "exposed" not in found.tables
    assert found.notes == (f"who is exposed is left out: {run.label}: its ledger has no shares",)


def test_the_drivers_are_told_beside_the_runs_own(answered: tuple[ScenarioAnswer, Path], run: Run) -> None:
    rows = answered[0].tables["drivers"].query("scenario == 'payers-open' and segment == 'Japan'")
    assert rows["year"].tolist() == list(range(2027, 2036))
    block = np.median(flat(run, v.PAYER_BLOCK, region="Japan"))
    np.testing.assert_allclose(rows["base_median"], block)
    np.testing.assert_allclose(rows["median"], block / 2)


def test_shipped_scenarios_move_the_way_their_names_say(run: Run) -> None:
    table = scenarios(run).tables["scenarios"]
    assert [*dict.fromkeys(table["scenario"])] == [BASE, *(name for name in shipped_scenarios() if name != BASE)]
    up = {"upside", "payers-open", "centres-scale", "pool-swells"}
    down = {"conservative", "payers-close", "implants-slip", "implants-never", "biosimilars-early"}
    for name in up | down:
        assert (total(table, name, 2035)["difference_mean"] > 0) == (name in up), name


def test_a_condition_keeps_the_draws_that_meet_it(run: Run) -> None:
    level = float(np.median(flat(run, v.PAYER_BLOCK, region="United States")))
    kept = given(run, [f"payer_block[United States] < {level}"])
    assert flat(kept, v.PAYER_BLOCK, region="United States").max() < level
    assert kept.manifest["weights"]["ess"] == pytest.approx(600, abs=1)
    both = scenarios(kept, ["payers-open"]).tables["scenarios"]
    assert total(both, BASE, 2035)["median"] == pytest.approx(np.median(flat(kept, v.REVENUE_TOTAL, year=2035)))


CONDITIONS = {
    "payer_block[United States] < 0.01": "no draw meets it: ask for less",
    "payer_block[United States] < 0.17": "and more than 400 are needed: ask for less",
    "payer_blok[United States] < 0.2": "'payer_blok' is no variable of the run: write 'payer_block'",
    "payer_block < 0.2": r"payer_block has \[region\]: give one label for each",
    "payer_block[Mars] < 0.2": "region 'Mars' is not declared",
    "revenue_total[2050] > 1": "year '2050' is none",
    "pool_error[x] > 1": "pool_error has no labels: give one label for each",
    "payer_block[Japan] = 0.2": "is not understood: write",
    "payer_block[Japan] < lots": "is not understood: write",
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_that_cannot_be_met_or_read_is_refused(run: Run, condition: str) -> None:
    with pytest.raises(InputError, match=CONDITIONS[condition]):
        given(run, [condition])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"driver": "persistence", "factor": 2.0},
            r"persistence: factor = 2 takes it out of 0\.\.1 in .* of the draws",
        ),
        ({"driver": "payer_block", "shift": -0.5}, r"payer_block: shift = -0.5 takes it out of 0\.\.1"),
        (
            {"driver": "launch_year", "shift": -9.0},
            r"launch_year: shift = -9 takes .* before 2025, when nothing was sold",
        ),
    ],
)
def test_a_change_that_takes_draws_out_of_bounds_is_refused_before_compiling(
    run: Run, row: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postcgrp.reports.scenarios.market.of_draws", None)
    with pytest.raises(InputError, match=f"scenario 'made': {said}"):
        scenarios(run, [made(**row)])


def test_two_of_one_name_and_a_weight_without_a_scenario_are_refused(run: Run) -> None:
    with pytest.raises(InputError, match="two have this name"):
        scenarios(run, ["payers-open", "payers-open"])
    with pytest.raises(InputError, match="scenario 'mine' is not shipped"):
        scenarios(run, ["payers-open"], weights={"mine": 1.0})


def test_a_run_of_another_version_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    other = run.posterior.assign({v.REVENUE_TOTAL: run.posterior[v.REVENUE_TOTAL] * 1.001})
    tree = xr.DataTree.from_dict({"posterior": other, "constant_data": run.read([v.SUCCESS_MEASURED], "constant_data")})
    with pytest.raises(InputError, match="was made by another version of the model"):
        scenarios(Run.in_memory(tree, run.priors, run.manifest), ["payers-open"])


def test_the_commands(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, deal = tmp_path / "out", str(DOCS / "examples" / "noninvasive_us.toml")
    assert main(["scenario", str(run.folder), "--scenario", "payers-open", "--out", str(out)]) == DONE
    said = capsys.readouterr().out
    assert said.startswith("Total revenue of 2035, USD million: median")
    assert "payers-open +" in said
    command = ["value", str(run.folder), "--deal", deal, "--scenario", "payers-open", "--out", str(tmp_path / "value")]
    assert main(command) == DONE
    table = pd.read_csv(tmp_path / "value" / "scenarios.csv")
    assert list(table) == list(UNDER_COLUMNS)
    assert table["scenario"].tolist() == [BASE, "payers-open"]
    assert table["difference"].iloc[1] > 0 == table["difference"].iloc[0]
    capsys.readouterr()
    for condition in ("payer_block[United States] < 0.17", "payer_block[Mars] < 0.2"):  # few draws meet it; no label
        assert main(["voi", str(run.folder), "--deal", deal, "--given", condition]) == BAD_INPUT
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert re.search(CONDITIONS[condition], line)
    for bad in (["--scenario", "none"], ["--weights", "base=0.4"], ["--given", "payer_block < 1"], ["--seed", "-1"]):
        assert main(["scenario", str(run.folder), *bad]) == BAD_INPUT, bad
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.slow
def test_what_is_worth_learning_under_a_condition(run: Run, tmp_path: Path) -> None:
    deal = str(DOCS / "examples" / "noninvasive_us.toml")
    learning, wide = tmp_path / "learning", "payer_block[United States] < 0.9"
    assert main(["voi", str(run.folder), "--deal", deal, "--given", wide, "--out", str(learning)]) == DONE
    assert json.loads((learning / "manifest.json").read_text())["given"] == [wide]


def test_knowing_is_worth_the_best_of_each_less_the_best_of_all() -> None:
    alternatives = ("pass", "enter")
    decisions = {
        "good": Decision(alternatives, np.array([[0.0, 8.0], [0.0, 12.0]])),
        "bad": Decision(alternatives, np.array([[0.0, -4.0], [0.0, -8.0]])),
    }
    table = worth_of_knowing(decisions, {"good": 0.5, "bad": 0.5})
    assert list(table) == list(WORTH_COLUMNS)
    assert table["best"].tolist() == ["enter", "pass", "enter"]
    assert table["gain"].tolist() == [0, 6, 3]
