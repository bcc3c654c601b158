"""Many posteriors of one program: each exact, each judged, none fitted twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pymc as pm
import pytest

from postcgrp.inference import Check, Sampling, batch
from postcgrp.inference.batch import Batch, Fit, fit_many, load_fit, prepare
from postcgrp.priors import InputError

pytestmark = pytest.mark.fit

CASES = 5
SHORT = Sampling(tune=200, draws=1000, prior_draws=500)


def build() -> pm.Model:
    """A normal mean with a known prior: the posterior has a closed form for any data and hyperparameters."""
    with pm.Model(coords={"case": range(CASES)}) as model:
        spread = pm.Data("spread", 2.0)
        y = pm.Data("y_value", np.zeros(CASES), dims="case")
        mu = pm.Normal("mu", 0, spread)
        scale = pm.LogNormal("scale", 0.0, 0.5)  # nothing is observed of it
        pm.Normal("y", mu, 1, observed=y, dims="case")
        pm.Deterministic("twice", 2 * mu)
        pm.Deterministic("unwanted", mu * scale)
    return model


def exact(data: dict[str, np.ndarray]) -> tuple[float, float]:
    variance = 1 / (1 / float(data.get("spread", 2.0)) ** 2 + CASES)
    return variance * float(np.sum(data.get("y_value", 0.0))), variance**0.5


@pytest.fixture(scope="module")
def prepared() -> Batch:
    return prepare(build(), SHORT, keep=["twice"], lanes=3)


@pytest.fixture(scope="module")
def cases() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(5)
    return [
        {"y_value": rng.normal(3 * k, 1, CASES), "spread": np.array(s)}
        for k, s in enumerate([0.5, 2.0, 1.0, 4.0, 0.1, 2.0, 3.0])
    ]


@pytest.fixture(scope="module")
def fits(prepared: Batch, cases: list[dict[str, np.ndarray]]) -> dict[int, Fit]:
    return dict(fit_many(prepared, cases))


def test_every_posterior_is_the_exact_one(fits: dict[int, Fit], cases: list[dict[str, np.ndarray]]) -> None:
    assert sorted(fits) == list(range(len(cases)))
    for place, data in enumerate(cases):
        fit, (mean, sd) = fits[place], exact(data)
        assert fit.passed
        assert fit.draws["mu"].shape == (4, 1000)
        ess = fit.checks[4].figure  # the smallest of all quantities
        assert fit.draws["mu"].mean() == pytest.approx(mean, abs=4 * sd / ess**0.5)
        assert fit.draws["mu"].std() == pytest.approx(sd, rel=4 / (2 * ess) ** 0.5 + 0.01)
        assert np.allclose(fit.draws["twice"], 2 * fit.draws["mu"])
        residual = data["y_value"] - fit.draws["mu"][..., None]
        assert np.allclose(fit.draws["log_likelihood/y"], -0.5 * residual**2 - 0.5 * np.log(2 * np.pi))
        assert "unwanted" not in fit.draws
        assert (fit.draws["scale"] > 0).all()


def test_other_data_and_hyperparameters_compile_nothing(prepared: Batch) -> None:
    list(fit_many(prepared, [{}]))
    seen: list[str] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        list(fit_many(prepared, [{"spread": 0.7}, {"y_value": np.ones(CASES)}]))
        assert not [event for event in seen if "compile" in event]
        jax.jit(lambda x: x * 3.7)(1.0)
        assert [event for event in seen if "compile" in event]  # the listener does hear
    finally:
        jax.monitoring.clear_event_listeners()


def test_company_does_not_matter(prepared: Batch, fits: dict[int, Fit], cases: list[dict[str, np.ndarray]]) -> None:
    """A posterior's draws follow from its own data: alone or with others, to the rounding of the vector units."""
    ((_, alone),) = fit_many(prepared, [cases[3]])
    assert alone.key == fits[3].key
    assert np.allclose(alone.draws["mu"][:, :5], fits[3].draws["mu"][:, :5])


def test_random_numbers_follow_data_and_seed_but_not_the_program(prepared: Batch) -> None:
    """A comment in the source makes another program by name: it must not make other draws."""
    renamed = replace(prepared, digest="another")
    reseeded = replace(prepared, settings=replace(prepared.settings, seed=prepared.settings.seed + 1))
    (_, same), (_, other) = (next(fit_many(one, [{"spread": 0.7}])) for one in (renamed, reseeded))
    ((_, first),) = fit_many(prepared, [{"spread": 0.7}])
    assert len({first.key, same.key, other.key}) == 3
    np.testing.assert_array_equal(first.draws["mu"], same.draws["mu"])
    assert not np.allclose(first.draws["mu"], other.draws["mu"])


def test_finished_fits_are_found_again(prepared: Batch, cases: list[dict[str, np.ndarray]], tmp_path: Path) -> None:
    first = dict(fit_many(prepared, cases[:3], folder=tmp_path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "fit_unit", None)  # would fail if called
        again = dict(fit_many(prepared, cases[:3], folder=tmp_path))
    for place, fit in first.items():
        assert again[place].checks == fit.checks
        assert all(np.array_equal(again[place].draws[n], v) for n, v in fit.draws.items())


@pytest.mark.parametrize("damage", ["gone", "cut", "empty"])
def test_what_is_missing_or_damaged_is_fitted_again(
    damage: str, prepared: Batch, cases: list[dict[str, np.ndarray]], tmp_path: Path
) -> None:
    first = dict(fit_many(prepared, cases[:2], folder=tmp_path))
    path = tmp_path / f"{first[1].key}.npz"
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:900] if damage == "cut" else b"")
    again = dict(fit_many(prepared, cases[:2], folder=tmp_path))
    assert np.allclose(again[1].draws["mu"][:, :5], first[1].draws["mu"][:, :5])
    assert load_fit(path) is not None
    assert not list(tmp_path.glob(".*"))


def test_any_flipped_bit_of_a_header_is_survived(tmp_path: Path) -> None:
    batch.save_fit(Fit("key", {"mu": np.ones((2, 4))}, (Check("rhat", True, 1.0, "< 1.01", "mu", ""),), 1), tmp_path)
    path = tmp_path / "key.npz"
    whole = path.read_bytes()
    central = whole.index(b"PK\x01\x02")
    for place in (*range(30), *range(central, len(whole))):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        load_fit(path)


def test_equal_posteriors_are_fitted_once(prepared: Batch, cases: list[dict[str, np.ndarray]]) -> None:
    fits = dict(fit_many(prepared, [cases[0], cases[1], cases[0]]))
    assert fits[0] is fits[2]


def test_a_posterior_that_misses_the_gate_is_tried_harder_and_then_reported(
    prepared: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    efforts: list[tuple[int, int]] = []
    run = batch.fit_unit

    def unit(one: Batch, posteriors: list[batch.Posterior], effort: int = 1, **kw: object) -> list[Fit]:
        efforts.append((len(posteriors), effort))
        return run(one, posteriors, effort, **kw)  # type: ignore[arg-type]

    monkeypatch.setattr(batch, "fit_unit", unit)
    bad = np.full(CASES, np.nan)
    fits = dict(fit_many(prepared, [{"spread": 1.0}, {"y_value": bad}, {"spread": 3.0}]))
    assert efforts == [(3, 1), (1, 2)]
    assert [fits[i].passed for i in range(3)] == [True, False, True]
    assert [fits[i].effort for i in range(3)] == [1, 2, 1]


def test_more_effort_can_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    # 400 draws can hardly be worth 400 effective ones for every parameter; 4 000 are.
    monkeypatch.setattr(batch, "EFFORTS", (batch.EFFORTS[0], batch.Effort(10, 0.7, 0.9)))
    short = prepare(build(), Sampling(tune=100, draws=100, prior_draws=200), lanes=2)
    ((_, fit),) = fit_many(short, [{}])
    assert fit.passed
    assert fit.effort == 2
    assert fit.draws["mu"].shape == (4, 100)
    assert fit.checks[4].figure > 400


@pytest.mark.parametrize(
    ("data", "message"),
    [({"nonsense": 1.0}, "'nonsense' is no data of the model"), ({"y_value": np.zeros(3)}, r"shape \(3,\)")],
)
def test_data_that_the_model_does_not_have(prepared: Batch, data: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(fit_many(prepared, [data]))


def test_progress_counts_posteriors(prepared: Batch, cases: list[dict[str, np.ndarray]]) -> None:
    seen: list[tuple[str, int, int]] = []
    list(fit_many(prepared, cases, progress=lambda *step: seen.append(step)))
    assert [done for _, done, _ in seen] == list(range(1, len(cases) + 1))
    assert {total for *_, total in seen} == {len(cases)}
