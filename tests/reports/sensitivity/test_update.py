"""New evidence on a finished run: against closed forms and a refit; what is refused, said and written."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import ndtri
from xarray import DataArray, Dataset

from postcgrp.inference import Sampling, sample
from postcgrp.models import build_model
from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.forecast.layers import BANDS
from postcgrp.reports.runs.run import Run, open_run
from postcgrp.reports.sensitivity import movement
from postcgrp.reports.sensitivity.movement import WeightedDraws, brief, decomposition, forecast_quantities, moved, said
from postcgrp.reports.sensitivity.updating import brief_rows, refit, save_update, surprise, update
from postcgrp.tests.helpers.markets import other_market, row
from postcgrp.tests.helpers.stored import prior_run, write

pytestmark = pytest.mark.fit

CHAINS, LENGTH = 4, 2000
MEAN, SPREAD = np.log(500.0), 0.12  # of the log total of every year in the synthetic run


@pytest.fixture(scope="module")
def lognormal(pset: PriorSet, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which revenue is log-normal, the same in every year, and nothing else moves."""
    names = pset.ledger.segments | {"year": pset.ledger.years}
    dims = ("year", "region", "depth", "modality")
    size = CHAINS * LENGTH
    z = np.random.default_rng(3).permutation(ndtri((np.arange(size) + 0.5) / size)).reshape(CHAINS, LENGTH)
    total = np.exp(MEAN + SPREAD * z)
    shape = [len(names[d]) for d in dims]
    cells = np.broadcast_to(total[(...,) + (None,) * 4] / np.prod(shape[1:]), (CHAINS, LENGTH, *shape))
    coords = {d: np.array(names[d]) for d in dims}
    revenue = DataArray(cells, coords, ("chain", "draw", *dims))
    posterior = Dataset({"revenue": revenue, "revenue_total": revenue.sum(dims[1:])})
    folder = tmp_path_factory.mktemp("stored") / "run"
    return write(pset.with_evidence([]), folder, posterior)


def test_an_update_is_the_conjugate_posterior(lognormal: Run) -> None:
    """Two rows by a source whose error they share, and one by another: a normal posterior in closed form."""
    pset = lognormal.priors
    rows = [
        row(pset, "vendor: second", 560, year=2025),
        row(pset, "vendor: second", 590, year=2030),
        row(pset, "actuals", 530, year=2026, log_sd=0.02),
    ]
    result = update(lognormal, rows)
    walk = pset.source_log_sd("vendor: second", [2025, 2030]) ** 2
    cov = np.zeros((3, 3))
    cov[:2, :2] = [[walk[0], walk[0]], [walk[0], walk[1]]]
    cov[2, 2] = pset.source_log_sd("actuals", [2026])[0] ** 2
    precision = np.linalg.inv(cov + np.diag([r.log_sd**2 for r in rows]))
    variance = 1 / (1 / SPREAD**2 + precision.sum())
    mean = variance * (MEAN / SPREAD**2 + precision.sum(axis=0) @ np.log([r.value for r in rows]))
    assert result.moved is not None
    after: Any = result.moved[(result.moved["state"] == "after") & (result.moved["year"] == 2030)].iloc[0]
    for name, probability in BANDS.items():
        exact = np.exp(mean + np.sqrt(variance) * ndtri(probability))
        assert after[name] == pytest.approx(exact, abs=4 * max(after["mcse_median"], after["mcse_high_90"]))
    assert after["median"] - 500 > 10 * after["mcse_median"]  # a forgotten row would be seen
    assert result.weights.k < result.weights.limit
    before: Any = result.moved[(result.moved["state"] == "before") & (result.moved["year"] == 2030)].iloc[0]
    assert before["median"] == pytest.approx(500, rel=1e-3)
    assert before["high_90"] == pytest.approx(500 * np.exp(SPREAD * ndtri(0.95)), rel=1e-3)


def test_the_order_and_the_split_of_files_do_not_matter(lognormal: Run) -> None:
    pset = lognormal.priors
    rows = [row(pset, "vendor: b", 560), row(pset, "actuals", 510, year=2026), row(pset, "vendor: b", 600, year=2030)]
    one, other = update(lognormal, rows), update(lognormal, rows[::-1])
    assert np.allclose(one.weights.values, other.weights.values, rtol=1e-9)


def test_a_row_s_surprise_is_its_predictive_tail(lognormal: Run) -> None:
    new = row(lognormal.priors, "vendor: second", 700)
    found = update(lognormal, [new]).rows.iloc[0]
    sd = np.sqrt(SPREAD**2 + 0.1**2 + 0.05**2)
    z = (np.log(700) - MEAN) / sd
    assert found["p"] == pytest.approx(2 * stats.norm.sf(z), rel=0.01)
    assert found["expected"] == pytest.approx(500, rel=2e-3)
    assert [found["low_90"], found["high_90"]] == pytest.approx(500 * np.exp(sd * ndtri([0.05, 0.95])), rel=5e-3)
    assert surprise(new, np.zeros((1, 10)), 0.1)["p"] == pytest.approx(1)


def test_what_cannot_be_reweighted_is_refused_and_not_written(lognormal: Run, tmp_path: Path) -> None:
    new = [row(lognormal.priors, "actuals", 850, year=2026, log_sd=0.005)]
    result = update(lognormal, new)
    assert result.moved is None
    assert "Pareto k" in result.weights.refused
    assert result.rows["p"].iloc[0] < 1e-3
    with pytest.raises(InputError, match="there are no weights to write: refit"):
        save_update(result, lognormal, [], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_worth_few_draws_are_refused_though_k_is_fine(lognormal: Run, tmp_path: Path) -> None:
    """Their tail is short, yet the interval's ends would hang on a few hundred draws: the gate asks more of a fit."""
    result = update(lognormal, [row(lognormal.priors, "actuals", 655, year=2026, log_sd=0.002)])
    assert not result.weights.refused
    assert result.weights.k < result.weights.limit
    assert result.worth < 400
    assert re.fullmatch(r"the weights are worth \d+ of 8,000 draws, and the gate wants more than 400", result.refused)
    assert result.moved is None
    with pytest.raises(InputError, match="the gate wants more than 400: there are no weights to write: refit"):
        save_update(result, lognormal, [], tmp_path / "out")
    assert update(lognormal, [row(lognormal.priors, "actuals", 520, year=2026)]).refused == ""


@pytest.mark.slow
def test_a_figure_s_error_is_shown_with_it(lognormal: Run) -> None:
    result = update(lognormal, [row(lognormal.priors, "vendor: second", 560)])
    assert result.moved is not None
    table = brief(result.moved[result.moved["sd"] > 1e-9])
    for column in ("before", "after", "90 % before", "90 % after"):
        assert table[column].str.contains("±").all(), column
    assert brief_rows(result.rows)["p"].str.contains("±").all()
    seeds = [1 + np.random.default_rng(seed).normal(size=(4, 500)) for seed in range(200)]
    found = [surprise(row(lognormal.priors, "x", 1.0), z, 0.5) for z in seeds]
    for name in ("expected", "p"):
        spread = np.std([each[name] for each in found])
        assert np.mean([each[f"mcse_{name}"] for each in found]) == pytest.approx(spread, rel=0.15)


def test_the_move_of_the_total_is_split_by_what_moved(pset: PriorSet, tmp_path: Path) -> None:
    """Draws in which one factor alone differs: all of the move is that factor's."""
    draws = prior_run(pset, tmp_path / "run", 200).read(movement.READ)
    ledger, year = pset.ledger, pset.ledger.years[-1]
    dearer = draws.copy(deep=True)
    dearer["revenue"].loc[{"modality": "non_invasive"}] *= 1.1
    more = draws.assign(patients=draws["patients"] * 1.2, revenue=draws["revenue"] * 1.2)
    taken = draws.copy(deep=True)
    for name in ("use", "revenue"):
        taken[name].loc[{"modality": "implantable"}] *= 0.5
    for after, part, modality in (
        (dearer, "price", "non_invasive"),
        (more, "patients", None),
        (taken, "uptake", "implantable"),
    ):
        found = decomposition(WeightedDraws(draws), WeightedDraws(after), ledger)
        gap = (after["revenue"] - draws["revenue"]).sel(year=year).sum(["region", "depth", "modality"]).mean()
        assert found["moves"].sum() == pytest.approx(float(gap))
        own = found[(found["part"] == part) & (found["modality"] == modality if modality else True)]
        assert own["moves"].sum() == pytest.approx(float(gap))
    gone = draws.assign(use=draws["use"] * 0, revenue=draws["revenue"] * 0)
    found = decomposition(WeightedDraws(draws), WeightedDraws(gone), ledger)
    assert set(found.loc[found["moves"] != 0, "part"]) == {"uptake"}


def test_one_sentence_says_where_the_total_moved(pset: PriorSet, tmp_path: Path) -> None:
    run = prior_run(pset, tmp_path / "run", 1000)
    result = update(run, [row(pset, "study", 0.18, "adoption", year=2027, modality="non_invasive", log_sd=0.2)])
    assert result.moved is not None
    assert result.parts is not None
    text = said(result.parts, result.moved)
    assert text.count(".\n") == 0
    assert re.search(
        r"^The median of 2035 goes from [\d,]+ ± \d+ to [\d,]+ ± \d+ USD million; its mean moves by ", text
    )
    assert re.search(r"patients [+-][\d.]+, uptake [+-][\d.]+, price [+-][\d.]+; (most by|no part)", text)


def test_evidence_at_odds_with_itself_is_refused(lognormal: Run) -> None:
    twice = [row(lognormal.priors, "actuals", 500), row(lognormal.priors, "actuals", 510)]
    with pytest.raises(InputError):
        update(lognormal, twice)


def test_files_say_where_they_come_from(lognormal: Run, tmp_path: Path) -> None:
    csv = tmp_path / "new.csv"
    csv.write_text("source,quantity,year,value,unit\nactuals,revenue,2026,520,USD million\n", encoding="utf-8")
    result, out = update(lognormal, [row(lognormal.priors, "actuals", 520, year=2026)]), tmp_path / "out"
    save_update(result, lognormal, [csv], out)
    save_update(result, lognormal, [csv], out)  # an earlier update may be replaced
    assert {path.name for path in out.iterdir()} == {
        *(
            "update.csv",
            "update_parts.csv",
            "evidence.csv",
            "evidence-1.csv",
            "weights.csv",
            "inputs.json",
            "manifest.json",
        )
    }
    assert (out / "evidence-1.csv").read_bytes() == csv.read_bytes()
    weights = pd.read_csv(out / "weights.csv")
    assert list(weights.columns) == [".chain", ".iteration", ".draw", "weight"]
    assert weights["weight"].sum() == pytest.approx(1)
    one = weights[(weights[".chain"] == 3) & (weights[".iteration"] == 5)].iloc[0]
    assert one["weight"] == pytest.approx(result.weights.values[2, 4])
    assert one[".draw"] == 2 * LENGTH + 5
    record = json.loads((out / "manifest.json").read_text())
    assert record["run"]["recipe_sha256"] == lognormal.priors.fingerprint()
    assert record["evidence"] == {"evidence-1.csv": hashlib.sha256(csv.read_bytes()).hexdigest()}
    assert record["weights"]["worth"] == result.worth
    assert record["weights"]["k"] == result.weights.k
    table = pd.read_csv(out / "update.csv")
    assert set(table["state"]) == {"before", "after"}
    assert len(brief(table)) == len(table) / 2


def test_runs_and_other_files_are_left_alone(lognormal: Run, tmp_path: Path) -> None:
    result = update(lognormal, [row(lognormal.priors, "actuals", 520, year=2026)])
    other = write(lognormal.priors, tmp_path / "other", lognormal.read(movement.READ))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    for out in (lognormal.folder, other.folder, tmp_path / "mine"):
        with pytest.raises(InputError, match="holds other files"):
            save_update(result, lognormal, [], out)
    with pytest.raises(InputError, match="is a file: name a folder"):
        save_update(result, lognormal, [], tmp_path / "mine" / "thesis.txt")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    with pytest.raises(InputError, match="is the run that is updated"):
        refit(result, lognormal, [], lognormal.folder)
    with pytest.raises(InputError, match="holds other files"):
        refit(result, lognormal, [], tmp_path / "mine")


def test_a_run_is_closed_once_it_is_read(lognormal: Run, tmp_path: Path) -> None:
    """With a real run, an open handle and another one to the same file end the process (netCDF4 1.7)."""
    folder = write(lognormal.priors, tmp_path / "run", lognormal.read(movement.READ)).folder
    record = json.loads((folder / "manifest.json").read_text())
    record["files"]["inputs.json"] = hashlib.sha256((folder / "inputs.json").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(record))
    before = len(list(Path("/dev/fd").iterdir()))
    run = open_run(folder).tree
    assert len(list(Path("/dev/fd").iterdir())) == before
    assert "revenue_total" in run["posterior"]


def test_what_is_no_run_or_was_changed_is_refused(lognormal: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        open_run(tmp_path)
    changed = write(lognormal.priors, tmp_path / "changed", lognormal.read(movement.READ))
    with (changed.folder / "posterior.nc").open("ab") as file:
        file.write(b"x")
    with pytest.raises(InputError, match="was changed after the run"):
        open_run(changed.folder)


def test_reweighting_starts_no_compiler(lognormal: Run) -> None:
    """JAX, PyMC, SciPy's distributions and what draws figures take seconds to import: none may be needed."""
    code = f"""
import sys
from pathlib import Path
from postcgrp.priors import Evidence
from postcgrp.reports.cli import main as cli
from postcgrp.reports.runs.run import open_run
from postcgrp.reports.sensitivity.updating import update
stored = open_run(Path({str(lognormal.folder)!r}))
row = Evidence("a", "actuals", "revenue", 2026, None, None, None, 520.0, "USD million", 0.02)
assert update(stored, [row]).moved is not None
print(*(m for m in ("jax", "pymc", "pytensor", "arviz_stats", "scipy.stats", "vl_convert") if m in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", ["only everyone", "five modalities", "no evidence"])
def test_any_market_is_updated(name: str, tmp_path: Path) -> None:
    market = other_market(name)
    stored = prior_run(market, tmp_path / "run")
    year = market.ledger.years[1]
    total = float(stored.read(movement.READ)["revenue_total"].sel(year=year).median())
    result = update(stored, [row(market, "actuals", total, year=year, log_sd=0.3)])
    assert result.moved is not None
    taken_up = [m for m in market.ledger.modalities if m.uptake != "everyone"]
    rows = len(market.ledger.report.anchors) + 2 * len(market.ledger.modalities) + len(taken_up) + 2
    assert len(result.moved) == 2 * rows
    assert result.parts is not None
    last = result.moved[
        (result.moved["quantity"] == "revenue_total") & (result.moved["year"] == market.ledger.years[-1])
    ]
    assert result.parts["moves"].sum() == pytest.approx(last["mean"].diff().iloc[-1], rel=1e-6, abs=1e-9)
    assert result.rows["p"].iloc[0] > 0.8


@pytest.mark.slow
def test_reweighting_agrees_with_a_refit(pset: PriorSet, tmp_path: Path) -> None:
    """The worked examples, and rows of a source that the run has. They leave too little of a thousand draws a chain."""
    run = sample(build_model(pset), Sampling(draws=4000))
    rows = [
        row(pset, "vendor: second", 500, year=2025),
        row(pset, "actuals", 455, year=2026, log_sd=0.02),
        row(pset, pset.ledger.report.id, 135_000, "patients", year=2028),
    ]
    result = update(write(pset, tmp_path / "run", run["posterior"].to_dataset()), rows)
    assert not result.weights.refused
    fitted = sample(build_model(result.priors), Sampling(seed=2))["posterior"].to_dataset()
    assert result.moved is not None
    now = forecast_quantities(fitted, pset.ledger)
    refitted = moved(now, now)
    for (_, one), (_, other) in zip(result.moved.iterrows(), refitted.iterrows(), strict=True):
        if one["state"] == "after":
            for name in movement.WITH_ERROR:
                assert abs(one[name] - other[name]) <= 4 * np.hypot(one[f"mcse_{name}"], other[f"mcse_{name}"])
