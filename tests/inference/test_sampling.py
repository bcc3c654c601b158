"""The sampling layer on models with known answers, and the gate on draws that must not pass."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytest
import xarray as xr
from arviz_stats import ess, rhat
from blackjax.adaptation.window_adaptation import build_schedule
from scipy.stats.qmc import Halton
from xarray import DataTree

from postcgrp.inference import Check, Sampling, gate, passed, programs, sample
from postcgrp.inference.convergence import gate_arrays, parameters
from postcgrp.inference.diagnostics import Diagnostics
from postcgrp.inference.hmc import _AFTER, _BEFORE, JITTER, TRAJECTORY, WINDOW, Adaptation, controls, phases
from postcgrp.inference.kernels import CHUNK
from postcgrp.inference.programs import Programs
from postcgrp.inference.starting import _MARGIN, MOST_HALVINGS, within_reach
from postcgrp.priors import InputError
from postcgrp.tests.helpers.blueprints import named
from postcgrp.tests.helpers.variants import variants

TOTAL_SETTINGS = (
    ("hmc", "parallel"),
    ("numpyro", "vectorized"),
    ("blackjax", "parallel"),
    ("pymc", "parallel"),
    ("numpyro", "parallel"),
    ("blackjax", "vectorized"),
)


def conjugate() -> tuple[pm.Model, dict[str, tuple[float, float]]]:
    """A normal mean with known variance and a gamma rate of exponentials, with their exact posteriors."""
    y = np.array([1.2, 0.4, 2.1, 1.7, 0.9])
    waits = np.array([0.3, 1.1, 0.7, 0.2])
    with pm.Model(coords={"case": range(5)}) as model:
        mu = pm.Normal("mu", 0, 2)
        rate = pm.Gamma("rate", 2, 1)
        pm.Normal("y", mu, 1, observed=y, dims="case")
        pm.Exponential("wait", rate, observed=waits)
        pm.Deterministic("twice", 2 * mu)
    variance = 1 / (1 / 4 + y.size)
    shape, inverse_scale = 2 + waits.size, 1 + waits.sum()
    exact = {
        "mu": (variance * y.sum(), variance**0.5),
        "rate": (shape / inverse_scale, shape**0.5 / inverse_scale),
        "twice": (2 * variance * y.sum(), 2 * variance**0.5),
    }
    return model, exact


@pytest.fixture(scope="module", params=variants(TOTAL_SETTINGS, stay=4), ids="-".join)
def conjugate_run(request: pytest.FixtureRequest) -> tuple[DataTree, dict[str, tuple[float, float]]]:
    sampler, method = request.param
    model, exact = conjugate()
    return sample(model, Sampling(draws=2000, tune=500, sampler=sampler, chain_method=method, seed=7)), exact


@pytest.mark.fit
def test_known_posteriors(conjugate_run: tuple[DataTree, dict[str, tuple[float, float]]]) -> None:
    run, exact = conjugate_run
    for name, (mean, sd) in exact.items():
        draws = run.children["posterior"].dataset[name]
        mcse = float(draws.std() / np.sqrt(float(ess(run.children["posterior"].to_dataset()[[name]])[name])))
        assert abs(float(draws.mean()) - mean) < 4 * mcse, name
        assert float(draws.std()) == pytest.approx(sd, rel=0.06), name


@pytest.mark.fit
def test_layout_is_the_same_for_every_sampler(conjugate_run: tuple[DataTree, Any]) -> None:
    run, _ = conjugate_run
    assert run.children["posterior"].dataset["mu"].dims == ("chain", "draw")
    assert run.children["log_likelihood"].dataset["y"].dims == ("chain", "draw", "case")
    assert run.children["posterior_predictive"].dataset["y"].shape == (4, 2000, 5)
    assert {"diverging", "n_steps", "acceptance_rate", "energy", "lp", "step_size"} == set(
        run.children["sample_stats"].dataset
    )
    assert list(run.children["log_prior"].dataset) == ["mu", "rate"]
    assert passed(gate(run, ["mu", "rate"], ["twice"]))


@pytest.mark.fit
def test_predictive_draws_follow_the_model() -> None:
    model, exact = conjugate()
    run = sample(model, Sampling(draws=2000, prior_draws=4000, seed=1))
    before, after = run.children["prior_predictive"].dataset["y"], run.children["posterior_predictive"].dataset["y"]
    assert float(before.std()) == pytest.approx(5**0.5, rel=0.05)
    assert float(after.mean()) == pytest.approx(exact["mu"][0], abs=0.05)
    assert float(after.std()) == pytest.approx((1 + exact["mu"][1] ** 2) ** 0.5, rel=0.05)


@pytest.mark.fit
def test_same_seed_same_draws_other_seed_other_draws() -> None:
    model, _ = conjugate()
    first, again, other = (sample(model, Sampling(draws=50, tune=50, seed=s)) for s in (3, 3, 4))
    for group in ("prior", "posterior", "posterior_predictive", "prior_predictive"):
        assert first.children[group].dataset.equals(again.children[group].dataset), group
        assert not first.children[group].dataset.equals(other.children[group].dataset), group


@pytest.mark.fit
def test_stored_programs_give_the_same_draws_without_a_model(cache: Path) -> None:
    model, _ = conjugate()
    settings = Sampling(draws=50, tune=50, seed=3)
    plain, stored = sample(model, settings), sample(named(model, "conjugate"), settings)
    assert [path.name for path in cache.glob("*/*")]
    unbuilt = replace(named(model, "conjugate"), build=lambda: pytest.fail("its programs are stored"))
    again = sample(unbuilt, settings)
    for other in (stored, again):
        assert plain.children["posterior"].dataset.equals(other.children["posterior"].dataset)


def doubled() -> tuple[Callable[[Any], Any], tuple[Any]]:
    return lambda x: 2 * x, (np.ones(3),)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda content: content[:100],
    "cut at the end": lambda content: content[:-1],
    "flipped": lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:],
    "empty": lambda content: b"",
    "foreign": lambda content: b"PK\x03\x04" + b"x" * 500,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_program_is_traced_again(damage: str, cache: Path) -> None:
    Programs("key").exported("double", doubled)
    [path] = cache.glob("*/*")
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    again = Programs("key")
    again.begin("double")
    assert again.compile("double", doubled).result()(np.ones(3)) == pytest.approx(2 * np.ones(3))
    Programs("key").exported("double", lambda: pytest.fail("it is whole again: no need to trace"))


def test_a_whole_program_that_cannot_be_read_is_a_bug_and_raised(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Programs("key").exported("double", doubled)
    monkeypatch.setattr("jax.export.deserialize", lambda content: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Programs("key").exported("double", doubled)


@pytest.mark.fit
def test_other_models_and_settings_have_other_programs(cache: Path) -> None:
    model, _ = conjugate()
    for key, tune in (("a", 50), ("b", 50), ("a", 60)):
        sample(named(model, key), Sampling(draws=20, tune=tune, sampler="numpyro"))
    sample(named(model, "a"), Sampling(draws=40, tune=50, seed=8, sampler="numpyro"))  # length and seed are arguments
    assert len(list(cache.iterdir())) == 3


def test_the_source_of_any_folder_and_the_version_name_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tmp_path / "package"
    for path in programs.sources():
        target = copied / path.relative_to(programs.PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    monkeypatch.setattr(programs, "PACKAGE", copied)
    digests = [Programs("key").digest]
    for name in ("priors", "models", "inference", "reports", "reports/nested/deeper"):
        (copied / name).mkdir(exist_ok=True, parents=True)
        (copied / name / "added.py").write_text("FORMULA = 2", encoding="utf-8")
        digests.append(Programs("key").digest)
    monkeypatch.setattr(programs, "version", lambda name: "0.0.0" if name == "postcgrp" else version(name))
    digests.append(Programs("key").digest)
    assert len(set(digests)) == len(digests)


@pytest.mark.slow
def test_samplers_agree_on_the_real_model(run: DataTree, model: pm.Model) -> None:
    """Within Monte-Carlo error: 5 standard errors of the difference, for every yearly total."""
    other = (
        sample(model, Sampling(sampler="blackjax", draws=500, seed=11)).children["posterior"].dataset["revenue_total"]
    )
    ours = run.children["posterior"].dataset["revenue_total"]
    for year in ours["year"].values:
        a, b = ours.sel(year=year), other.sel(year=year)
        error = sum(float(x.var()) / float(ess(xr.Dataset({"x": x}))["x"]) for x in (a, b)) ** 0.5
        assert abs(float(a.mean() - b.mean())) < 5 * error, year


def draws(values: np.ndarray, diverging: int = 0) -> DataTree:
    flags = np.zeros(values.shape, bool)
    flags[0, :diverging] = True
    stats = xr.Dataset({"diverging": (("chain", "draw"), flags)}, {"chain": range(values.shape[0])})
    posterior = xr.Dataset({"x": (("chain", "draw"), values)})
    return DataTree.from_dict({"posterior": posterior, "log_prior": posterior, "sample_stats": stats})


def failing(checks: tuple[Check, ...]) -> set[str]:
    return {check.check for check in checks if not check.passed}


def test_gate_passes_good_draws_and_names_what_fails() -> None:
    good = np.random.default_rng(0).normal(size=(4, 1000))
    assert passed(gate(draws(good), ["x"]))
    assert failing(gate(draws(good, diverging=1), ["x"])) == {"divergences"}
    assert failing(gate(draws(good + np.arange(4)[:, None]), ["x"])) >= {"rhat"}
    assert failing(gate(draws(good[:, :50]), ["x"])) >= {"ess_bulk", "ess_tail"}


@pytest.mark.parametrize("fault", ["nan", "constant", "stuck"])
def test_gate_rejects_draws_that_pass_comparisons(fault: str) -> None:
    values = np.random.default_rng(0).normal(size=(4, 1000))
    if fault == "nan":
        values[2, 17] = np.nan
    elif fault == "constant":
        values[:] = 1.0
    else:
        values[3] = 0.3
    checks = gate(draws(values), ["x"])
    assert not passed(checks)
    assert failing(checks) == {"finite" if fault == "nan" else "moving"}


@pytest.mark.parametrize("group", ["log_prior", "log_likelihood"])
def test_gate_rejects_a_density_that_is_not_finite(group: str) -> None:
    values = np.random.default_rng(0).normal(size=(4, 1000))
    run, odd = draws(values), values.copy()
    odd[1, 5] = np.inf
    run[group] = DataTree(xr.Dataset({"y": (("chain", "draw"), odd)}))
    [failed] = [check for check in gate(run, ["x"]) if not check.passed]
    assert (failed.check, failed.where, failed.figure) == ("finite", f"{group}/y", 1.0)


@pytest.mark.parametrize("statistic", ["rhat", "ess_bulk", "ess_tail"])
@pytest.mark.parametrize("place", [0, 1])
def test_gate_rejects_a_statistic_without_a_value(statistic: str, place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stands: NaN loses every comparison, in a search for the worst too."""
    values = np.random.default_rng(0).normal(size=(4, 1000))
    run = draws(values)
    posterior = run.children["posterior"].to_dataset().assign(y=(("chain", "draw"), values[::-1].copy()))
    run = DataTree.from_dict({"posterior": posterior, "sample_stats": run.children["sample_stats"].to_dataset()})
    module = sys.modules["postcgrp.inference.convergence"]
    known: Callable[[np.ndarray], Diagnostics] = module.diagnostics
    assert passed(gate(run, ["x", "y"]))

    def without(data: np.ndarray) -> Diagnostics:
        figures = known(data)
        return figures._replace(**{statistic: np.where(np.arange(2) == place, np.nan, getattr(figures, statistic))})

    monkeypatch.setattr(module, "diagnostics", without)
    failed = [check for check in gate(run, ["x", "y"]) if not check.passed]
    assert [(check.check, check.where) for check in failed] == [(statistic, "xy"[place])]


def test_gate_of_arrays_is_the_gate_of_a_run() -> None:
    good = np.random.default_rng(0).normal(size=(4, 1000))
    fine, flags = np.zeros((2, *good.shape), bool)
    assert gate_arrays({"x": good}, fine, ["x"]) == gate(draws(good), ["x"])
    flags[2, :3] = True
    apart = np.stack((good, good + np.arange(4)[:, None]), axis=-1)
    (alone,) = (c for c in gate_arrays({"x": good[:1]}, fine[:1], ["x"]) if c.check == "rhat")
    assert (alone.passed, alone.advice) == (
        False,
        "R-hat needs two chains, to see whether they agree: use --chains 2 or more",
    )
    checks = gate_arrays({"z": good, "x": good, "y": apart}, flags, ["x"], ["y", "z"])
    assert all(type(check.passed) is bool for check in checks)  # JSON takes no other
    failed = {check.check: check.where for check in checks if not check.passed}
    assert failed == {"divergences": "chain 2", "rhat": "y", "ess_bulk": "y", "ess_tail": "y"}


def test_gate_does_not_judge_what_is_the_same_in_every_draw() -> None:
    """Sales before a launch are zero in all draws and have nothing to converge; a free variable has to move."""
    good = np.random.default_rng(2).standard_normal((4, 1000, 2))
    fine = np.zeros((4, 1000), dtype=bool)
    still = good * [1.0, 0.0]
    assert passed(gate_arrays({"x": good, "y": still}, fine, ["x"], ["y"]))
    assert passed(gate_arrays({"x": good, "y": 0.0 * good}, fine, ["x"], ["y"]))
    assert not passed(gate_arrays({"x": still}, fine, ["x"]))
    apart = still + np.arange(4)[:, None, None]  # each chain has a value of its own
    assert not passed(gate_arrays({"x": good, "y": apart}, fine, ["x"], ["y"]))


def test_gate_judges_the_figures_of_arviz() -> None:
    values = np.random.default_rng(0).normal(size=(4, 1000)).cumsum(axis=1)
    run = draws(values)
    posterior = run.children["posterior"].to_dataset()
    figures = {check.check: check.figure for check in gate(run, ["x"])}
    for name, known in {
        "rhat": rhat(posterior),
        "ess_bulk": ess(posterior, method="bulk"),
        "ess_tail": ess(posterior, method="tail", prob=(0.05, 0.95)),
    }.items():
        assert figures[name] == pytest.approx(float(known["x"]), rel=1e-9), name


def test_gate_rejects_a_single_chain() -> None:
    assert "rhat" in failing(gate(draws(np.random.default_rng(0).normal(size=(1, 4000))), ["x"]))


def test_gate_fails_an_empty_verdict() -> None:
    assert not passed(())


def test_parameters_have_one_row_each(run: DataTree) -> None:
    table = parameters(run)
    free = run.children["posterior"].to_dataset()[list(run.children["log_prior"].dataset.data_vars)]
    assert len(table) == sum(values[0, 0].size for values in free.data_vars.values())
    assert table["parameter"].is_unique
    assert table["rhat"].max() < 1.01


@pytest.mark.parametrize(
    ("field", "value"),
    [("draws", 0), ("chains", 0), ("tune", 0), ("seed", -1), ("sampler", "nuts"), ("target_accept", 80.0)],
)
def test_bad_settings_say_what_to_do(field: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"{field.replace('_', '.')}.*: .*"):
        Sampling(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("tune", [1, 19, 20, 84, 124, 125, 300, 500, 1000])
def test_tuning_windows_are_blackjax_s(tune: int) -> None:
    slow, ends = np.asarray(build_schedule(tune, _BEFORE, _AFTER, WINDOW)).T
    names = [Adaptation.END_OF_WINDOW, Adaptation.STEP_AND_WINDOW]
    expected = np.select([ends == 1, slow == 1], names, Adaptation.STEP)
    expected[-1] = Adaptation.END_OF_TUNING
    assert list(phases(tune)) == list(expected)


@pytest.mark.parametrize("begun", [0, 100, 12_300])
def test_trajectory_lengths_follow_a_halton_sequence(begun: int) -> None:
    turns = Halton(1, scramble=False).fast_forward(begun).random(CHUNK)[:, 0]
    expected = np.rint(TRAJECTORY * (1 - JITTER + 2 * JITTER * turns) / 0.01)
    assert list(controls(300, 0.8, begun, 0.01).leapfrogs) == list(expected)


def test_starts_are_drawn_in_by_halves_until_their_density_is_not_far_below_the_centre() -> None:
    def logp(z: Any, data: Any) -> Any:
        return -0.5 * jnp.sum((z / data["sd"]) ** 2)

    reach = 3 * np.sqrt(2 * (2 + _MARGIN))  # where a normal of sd 3 in two dimensions lies so far below its top
    x = np.array([[1.0, -2.0], [reach - 0.1, 0], [reach + 0.1, 0], [0, 64.0 * reach - 0.1], [1e30, 1e30]])
    found = within_reach(logp, x, np.zeros(2), {"sd": 3.0})
    halved = np.array([0, 0, 1, 6, MOST_HALVINGS])[:, None]
    np.testing.assert_allclose(found, x / 2.0**halved)
