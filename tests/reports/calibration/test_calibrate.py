"""Simulation-based calibration finds a right sampler right, and every planted fault."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pymc as pm
import pytest
from numpy.typing import NDArray

from postcgrp.inference import Sampling, sample
from postcgrp.inference.batch import Batch, Fit, fit_many, load_fit, prepare
from postcgrp.inference.calibrate import (
    JOINT_LIKELIHOOD,
    Truths,
    coverage,
    labels,
    posterior_truths,
    prior_truths,
    rank_fits,
    simulate,
    truth_at,
)
from postcgrp.inference.numerics import Arrays
from postcgrp.inference.ranks import CALIBRATED, NOT_CALIBRATED, TOO_FEW, outcome, verdict
from postcgrp.models.inputs import measured_twice
from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.calibration.check import FAULTS, calibrate
from postcgrp.reports.cli.main import main

pytestmark = pytest.mark.fit

REFITS = 200
OF_THE_REPORT = 210  # a verdict needs 200, and some may miss the gate twice
ROWS = ["low", "middle", "high"]


def build() -> pm.Model:
    """Three rows of evidence on functions of two quantities, with the names that the market's evidence has."""
    with pm.Model(coords={"row": ROWS}) as model:
        level = pm.Normal("level", 1, 1)
        slope = pm.LogNormal("slope", 0, 0.5)
        mean = pm.math.stack([level - slope, level, level + slope])
        value = pm.Data("evidence_log_value", np.zeros(3), dims="row")
        pm.Normal("evidence", mean, pm.Data("evidence_log_sd", [0.5, 0.3, 0.8]), observed=value, dims="row")
        pm.Deterministic("total", 3 * level)
    return model


@pytest.fixture(scope="module")
def model() -> pm.Model:
    return build()


@pytest.fixture(scope="module")
def batch(model: pm.Model) -> Batch:
    return prepare(model, Sampling(tune=150, draws=1000, prior_draws=500), keep=["total"], thin=8, lanes=25)


Refits = tuple[Truths, list[Arrays], list[tuple[int, Fit]]]


@pytest.fixture(scope="module")
def refits(batch: Batch) -> Refits:
    truths = prior_truths(batch, REFITS, seed=3)
    data = [truths.data(place) for place in range(REFITS)]
    return truths, data, list(fit_many(batch, data))


def ranked(
    model: pm.Model, batch: Batch, refits: Refits, fault: Callable[..., NDArray[np.float64]] | None = None
) -> tuple[list[str], NDArray[np.float64], list[int]]:
    truths, data, fits = refits
    return rank_fits(
        fits, lambda k: truth_at(batch, truths, k, data[k]), partial(labels, batch, model.coords), 3, fault
    )


def judged(model: pm.Model, batch: Batch, refits: Refits, fault: Callable[..., NDArray[np.float64]] | None) -> str:
    names, pits, missed = ranked(model, batch, refits, fault)
    assert len(missed) < 0.05 * REFITS
    return outcome(verdict(np.delete(pits, missed, axis=0), names, [JOINT_LIKELIHOOD, "total"]))


def enough(refits: Refits) -> Refits:
    """As if no fit had missed the gate, so that 200 remain: chance alone makes some miss."""
    truths, data, fits = refits
    passing = next(fit.checks for _, fit in fits if fit.passed)
    return truths, data, [(place, Fit(fit.key, fit.draws, passing, 1)) for place, fit in fits]


def test_a_right_sampler_is_calibrated(model: pm.Model, batch: Batch, refits: Refits) -> None:
    assert judged(model, batch, enough(refits), None) == CALIBRATED


@pytest.mark.parametrize("plant", [name for name, fault in FAULTS.items() if fault])
def test_a_wrong_sampler_is_not(plant: str, model: pm.Model, batch: Batch, refits: Refits) -> None:
    assert judged(model, batch, refits, FAULTS[plant]) == NOT_CALIBRATED


def test_evidence_that_does_not_reach_the_sampler_is_seen(model: pm.Model, batch: Batch, refits: Refits) -> None:
    """Parameters stay calibrated without a row: only what depends on the data can tell (Modrak et al. 2023)."""
    truths, data, _ = refits
    dropped = [{**one, "evidence_log_sd": np.array([0.5, 300.0, 0.8])} for one in data]
    names, pits, missed = ranked(model, batch, (truths, dropped, list(fit_many(batch, dropped))))
    checks = verdict(np.delete(pits, missed, axis=0), names, [])
    failing = {check.where for check in checks if not check.passed and check.check in ("primary", "other")}
    assert "log_likelihood/evidence[middle]" in failing
    assert failing.isdisjoint({"level", "slope", "total"})


@pytest.mark.slow
def test_around_a_posterior(model: pm.Model, batch: Batch) -> None:
    value, log_sd = np.array([-0.5, 1.5, 1.9]), batch.data["evidence_log_sd"]
    with build() as observed:
        pm.set_data({"evidence_log_value": value})
    run = sample(observed, Sampling(draws=500, seed=2))
    draws = {str(name): v.values for name, v in run.children["posterior"].dataset.items()}
    truths = posterior_truths(batch, draws, REFITS, seed=4)
    joined = [measured_twice(value, truths.data(k)["evidence_log_value"], log_sd) for k in range(REFITS)]
    alone = [truths.data(k) for k in range(REFITS)]
    for data, expected in ((joined, CALIBRATED), (alone, NOT_CALIBRATED)):
        assert judged(model, batch, enough((truths, data, list(fit_many(batch, data)))), None) == expected


def test_two_measurements_are_one_of_their_mean() -> None:
    first, second, log_sd = np.array([0.2, 1.0]), np.array([0.6, -1.0]), np.array([0.1, 0.5])
    data = measured_twice(first, second, log_sd)
    grid = np.linspace(-2, 2, 41)[:, None]
    both = -0.5 * ((first - grid) ** 2 + (second - grid) ** 2) / log_sd**2
    one = -0.5 * (data["evidence_log_value"] - grid) ** 2 / data["evidence_log_sd"] ** 2
    assert np.allclose(np.diff(both, axis=0), np.diff(one, axis=0))


def test_more_truths_begin_with_the_same(batch: Batch) -> None:
    few, many = (prior_truths(batch, number, seed=3) for number in (50, 250))
    assert len(few) == 50
    assert len(many) == 250
    for name, values in few.simulated.items():
        assert np.array_equal(values, many.simulated[name][:50])
    assert not np.array_equal(many.simulated["evidence_log_value"][:50], many.simulated["evidence_log_value"][200:])


def test_coverage_counts_truths_inside_central_intervals() -> None:
    pits = np.column_stack([(np.arange(1000) + 0.5) / 1000, np.full(1000, 0.96)])
    table = coverage(pits, ["even", "high"])
    assert list(table["quantity"]) == ["even", "high"]
    figures = table[["covered_0.5", "covered_0.9", "mean_pit"]].to_numpy(dtype=float)
    assert np.allclose(figures, [[0.5, 0.9, 0.5], [0, 0, 0.96]])


def test_constants_cannot_be_simulated() -> None:
    with pm.Model() as constant:
        pm.Normal("y", pm.Normal("x"), 1, observed=[1.0])
    with pytest.raises(InputError, match=r"'y' observes a constant: give it pm\.Data"):
        simulate(prepare(constant, Sampling(tune=20, prior_draws=50)), np.zeros((3, 1)), 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pset: PriorSet) -> Path:
    out = tmp_path_factory.mktemp("calibration") / "out"
    assert calibrate(pset, out=out, refits=8, seed=2).outcome == TOO_FEW
    return out


@pytest.mark.slow
def test_a_few_refits_of_the_real_model(folder: Path) -> None:
    record = json.loads((folder / "manifest.json").read_text())
    assert record["status"] == TOO_FEW
    missed = record["missed_the_gate"]
    assert len(missed) <= 1  # one truth in some hundreds is too hard, and which one follows from the source's hash
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json", "calibration.csv", "calibration.png", "calibration.svg", "coverage.csv", "pits.csv", "fits",
    }  # fmt: skip
    assert len(list((folder / "fits").glob("*.npz"))) == 8
    pits = np.genfromtxt(folder / "pits.csv", delimiter=",", skip_header=1)
    assert pits.shape[0] == 8 - len(missed)
    assert ((pits[:, 1:] > 0) & (pits[:, 1:] < 1)).all()


def status_of(folder: Path) -> int:
    """The exit status of a calibration that found nothing: 3 where a refit missed the gate twice."""
    return 3 if json.loads((folder / "manifest.json").read_text())["missed_the_gate"] else 0


@pytest.mark.slow
def test_a_later_call_goes_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder / "fits").iterdir()}
    status = main(["calibrate", "--refits", "9", "--seed", "2", "--out", str(folder)])
    assert status == status_of(folder)
    after = {path: path.stat().st_mtime_ns for path in (folder / "fits").iterdir()}
    assert len(after) == 9
    assert before.items() <= after.items()
    shown = capsys.readouterr().out
    assert TOO_FEW in shown
    assert CALIBRATED not in shown.replace(TOO_FEW, "")
    assert "a verdict needs 200 refits: --refits 20" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--refits", "1"], "--refits 1: a rank needs company"),
        (["--refits", "1000000000"], "--refits 1000000000: is more than 100000"),
        (["--seed", "-1"], "seed = -1 is too small"),
        (["--plant", "slow"], "--plant slow: is not known: use one of narrow, biased, dropped"),
        (["--truths", "nowhere"], "nowhere: is not a run folder"),
        (["--scheduler", "tcp://127.0.0.1:9"], "no scheduler answers"),
    ],
)
def test_bad_input_is_one_line(
    options: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("postcgrp.inference.cluster.CONNECTION_SECONDS", 1)
    assert main(["calibrate", "--out", str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("irreplaceable")
    assert main(["calibrate", "--out", str(tmp_path)]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_what_was_finished_survives(blow: signal.Signals, tmp_path: Path) -> None:
    # A process started in the background may have inherited "ignore interrupts".
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from postcgrp.reports.cli.main import main; sys.exit(main())"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", script, "calibrate", "--refits", "40", "--out", str(out), "--seed", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while not list(out.glob("fits/[!.]*.npz")):
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(blow)
    _, error = process.communicate(timeout=60)
    if blow == signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted; finished refits are kept" in error
        assert "Traceback" not in error
    whole = "fits/[!.]*.npz"  # a killed process leaves a hidden file that it was writing
    finished = {path: path.stat().st_mtime_ns for path in out.glob(whole)}
    assert 0 < len(finished) < 40
    assert json.loads((out / "manifest.json").read_text())["status"] == "unfinished"
    assert all(load_fit(path) is not None for path in finished)
    status = main(["calibrate", "--refits", "8", "--out", str(out), "--seed", "2"])
    assert status == status_of(out)
    kept = {path: path.stat().st_mtime_ns for path in out.glob(whole)}
    assert finished.items() <= kept.items()


@pytest.mark.slow
@pytest.mark.parametrize("plant", [None, *FAULTS])
def test_the_real_model(plant: str | None, pset: PriorSet, tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tmp_path_factory.getbasetemp() / "real"  # one folder: all but `dropped` share their refits
    found = calibrate(pset, out=out, refits=OF_THE_REPORT, seed=5, plant=plant).outcome
    assert found == (CALIBRATED if plant is None else NOT_CALIBRATED)


@pytest.mark.slow
def test_markets_of_the_independent_simulator(pset: PriorSet, tmp_path: Path) -> None:
    found = calibrate(pset, out=tmp_path / "out", refits=OF_THE_REPORT, seed=6, truths="stated")
    assert found.outcome == CALIBRATED
    for name in ("revenue_total", "adoption_mean", "price", "moh"):
        rows = found.coverage[found.coverage["quantity"].str.startswith(f"{name}[")]
        half, most = (float(rows[column].mean()) for column in ("covered_0.5", "covered_0.9"))
        assert 0.43 < half < 0.57, name
        assert 0.86 < most < 0.94, name
