"""Counterfactuals of a run: itself on the factual path, NumPy by hand on others, and still before their year."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest
from numpy.typing import NDArray

from postcgrp.inference.forward import ONCE
from postcgrp.models import variables as v
from postcgrp.models.counterfactual import in_centres
from postcgrp.priors import PriorSet
from postcgrp.priors.scenarios import Scenario, load_scenario, plan
from postcgrp.reports.runs.run import Run
from postcgrp.reports.scenarios.market import WhatIf
from postcgrp.reports.scenarios.paths import levers_of, new_levels
from postcgrp.tests.helpers.by_hand import YEARS, by_hand, logit
from postcgrp.tests.helpers.markets import CHANGES, prior_set_of, row
from postcgrp.tests.helpers.stored import prior_run
from postcgrp.tests.helpers.variants import variants

pytestmark = pytest.mark.fit  # compiles
DRAWS = 40
Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def market(pset: PriorSet, tmp_path_factory: pytest.TempPathFactory) -> WhatIf:
    return WhatIf(prior_run(pset, tmp_path_factory.mktemp("scenarios") / "run", DRAWS))


def scenario(*rows: dict[str, Any]) -> Scenario:
    return Scenario.model_validate({"name": "made", "says": "Made for a test.", "set": rows})


def under(market: WhatIf, *rows: dict[str, Any]) -> dict[str, Array]:
    """What is evaluated under a scenario [draw, ...], by name."""
    found = market.under(plan(market.run.priors.ledger, scenario(*rows)))
    return {str(name): x.values.reshape(-1, *x.shape[2:]) for name, x in found.data_vars.items()}


def as_drawn(run: Run, name: str) -> Array:
    x = run.read([name])[name].values
    return np.asarray(x.reshape(-1, *x.shape[2:]))


def hand(market: WhatIf, **to: Array) -> dict[str, Array]:
    run = market.run
    constants = run.read(["launch_region_centre", "line_price_year"], "constant_data")
    exclusive = [str(name) for name in run.posterior["line_exclusive"].values]
    return by_hand(run.posterior, constants, exclusive, to)


def test_the_base_scenario_is_the_run(market: WhatIf) -> None:
    found = market.under(plan(market.run.priors.ledger, load_scenario("base")))
    assert {v.REVENUE, v.REVENUE_TOTAL, v.REVENUE_LINE, v.PATIENTS, v.USE, v.PRICE, v.ADOPTION_MEAN} <= {
        *found.data_vars
    }
    for name, values in found.data_vars.items():
        np.testing.assert_allclose(
            values, market.run.read([str(name)])[name], rtol=1e-9, atol=1e-300, err_msg=str(name)
        )


def agree(found: dict[str, Array], expected: dict[str, Array]) -> None:
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-12, err_msg=name)


def test_by_hand_at_the_factual_path(market: WhatIf) -> None:
    agree({name: as_drawn(market.run, name) for name in hand(market)}, hand(market))


def test_every_path_at_once_agrees_with_numpy(market: WhatIf) -> None:
    """Each driver moved, some twice and some by region, line or depth, against the equations written out."""
    run, regions = market.run, list(market.run.priors.ledger.segments["region"])
    us, japan = regions.index("United States"), regions.index("Japan")
    rows: list[dict[str, Any]] = [
        {"driver": "payer_block", "from": 2028, "factor": 0.6},
        {"driver": "payer_block", "region": "United States", "from": 2031, "value": 0.1},
        {"driver": "acute_use", "depth": "3+", "from": 2027, "factor": 0.8},
        {"driver": "pool_growth", "region": "Japan", "from": 2029, "shift": 0.04},
        {"driver": "pool_growth", "region": "United States", "from": 2033, "value": -0.02},
        {"driver": "persistence", "line": "toxin", "from": 2030, "factor": 0.7},
        {"driver": "price", "modality": "pharmacologic", "from": 2027, "factor": 0.9},
        {"driver": "price", "line": "device", "region": "Japan", "from": 2032, "factor": 1.5},
        {"driver": "line_use", "line": "gepant", "from": 2029, "factor": 0.5},
        {"driver": "exclusivity_year", "line": "cgrp_antibody", "shift": -3.0},
        {"driver": "exclusivity_year", "line": "toxin", "region": "Japan", "value": 2029.0},
        {"driver": "launch_year", "modality": "implantable", "shift": 1.5},
        {"driver": "launch_year", "line": "pacap", "region": "Japan", "value": 2028.25},
        {"driver": "success_probability", "line": "pacap", "value": 1.0},
        {"driver": "success_probability", "modality": "implantable", "factor": 0.5},
        {"driver": "launch_ceiling", "factor": 0.5},
        {"driver": "eligible_share", "depth": "2", "from": 2033, "value": 0.3},
    ]

    def path(name: str) -> Array:
        """A driver as drawn, in every year [draw, year, ...]."""
        return np.repeat(as_drawn(run, name)[:, None], len(YEARS), 1)

    to: dict[str, Array] = {}
    to["payer_block"] = path("payer_block")
    to["payer_block"][:, YEARS >= 2028] *= 0.6
    to["payer_block"][:, YEARS >= 2031, us] = 0.1
    to["acute_use"] = path("acute_use")
    to["acute_use"][:, YEARS >= 2027, :, 2] *= 0.8
    pool = np.log(as_drawn(run, "patients").sum(axis=-1))
    to["growth"] = np.diff(pool, axis=1, prepend=pool[:, :1])
    to["growth"][:, YEARS >= 2029, japan] += 0.04
    to["growth"][:, YEARS >= 2033, us] = -0.02
    to["persistence"] = np.moveaxis(path("persistence"), 2, 3).copy()
    to["persistence"][:, YEARS >= 2030, :, 0] *= 0.7
    to["price"] = np.ones_like(to["persistence"])
    to["price"][:, YEARS >= 2027, :, :5] = 0.9
    to["price"][:, YEARS >= 2032, japan, 5] = 1.5
    to["line_use"] = np.ones_like(to["persistence"])
    to["line_use"][:, YEARS >= 2029, :, 2] = 0.5
    exclusive = [str(name) for name in run.posterior["line_exclusive"].values]
    to["exclusivity_year"] = np.array(as_drawn(run, "line_exclusivity_year"))
    to["exclusivity_year"][:, exclusive.index("cgrp_antibody")] -= 3
    to["exclusivity_year"][:, exclusive.index("toxin"), japan] = 2029
    to["launch_year"] = np.array(as_drawn(run, "launch_year"))
    to["launch_year"][:, 0] += 1.5
    to["launch_year"][:, 1, japan] = 2028.25
    luck, odds = as_drawn(run, "success_draw"), as_drawn(run, "success_probability") * [0.5, 1.0]
    to["success"] = (luck < np.stack([odds[:, 0], np.ones(len(odds))], axis=-1)).astype(float)
    to["ceiling"] = as_drawn(run, "launch_ceiling") * 0.5
    to["eligible"] = np.repeat(as_drawn(run, "eligible_share")[:, 0][:, None], len(YEARS), 1)
    to["eligible"][:, YEARS >= 2033, 1] = 0.3
    agree(under(market, *rows), hand(market, **to))


PATHS: list[dict[str, Any]] = [
    {"driver": "payer_block", "value": 0.1},
    {"driver": "acute_use", "factor": 0.7},
    {"driver": "moh", "factor": 0.7},
    {"driver": "adoption", "factor": 0.5},
    {"driver": "centre_share", "value": 0.5},
    {"driver": "pool_growth", "shift": 0.05},
    {"driver": "line_use", "line": "toxin", "factor": 0.5},
    {"driver": "persistence", "factor": 0.9},
    {"driver": "price", "factor": 1.2},
    {"driver": "eligible_share", "depth": "3+", "factor": 0.5},
]


@pytest.mark.parametrize("row", variants(PATHS, stay=4), ids=[row["driver"] for row in PATHS])
def test_a_path_moves_what_follows_and_nothing_before_its_year(market: WhatIf, row: dict[str, Any]) -> None:
    found = under(market, row | {"from": 2031})
    for name in (v.REVENUE, v.REVENUE_LINE, v.PATIENTS, v.USE, v.USE_LINE):
        before = YEARS < 2031
        np.testing.assert_allclose(found[name][:, before], as_drawn(market.run, name)[:, before], rtol=1e-12)
    total = found[v.REVENUE_TOTAL] - as_drawn(market.run, v.REVENUE_TOTAL)
    launched = as_drawn(market.run, v.REVENUE)[..., 2].sum(axis=(2, 3)) > 0
    moves = launched if row["driver"] == "eligible_share" else np.ones_like(launched)
    assert (np.abs(total[:, 6:]) > 0)[moves[:, 6:]].all()


def test_adoption_and_overuse_by_hand(market: WhatIf) -> None:
    use, moh = as_drawn(market.run, v.USE)[..., 1], as_drawn(market.run, v.MOH)[:, None]
    halved = under(market, {"driver": "adoption", "from": 2030, "factor": 0.5})[v.USE][..., 1]
    np.testing.assert_allclose(halved[:, YEARS >= 2030], use[:, YEARS >= 2030] / 2)
    found = under(market, {"driver": "moh", "factor": 0.7})[v.USE][..., 1]
    effect = as_drawn(market.run, v.MOH_EFFECT)[:, None, None, None]
    np.testing.assert_allclose(logit(found), logit(use) + effect * (logit(0.7 * moh) - logit(moh)))
    held = under(market, {"driver": "moh", "value": 0.95})[v.USE][..., 1]
    acute = np.minimum(as_drawn(market.run, v.ACUTE_USE)[:, None], 0.95)  # overuse is never above acute use
    np.testing.assert_allclose(logit(held), logit(use) + effect * (logit(acute) - logit(moh)))


def test_a_launch_that_never_succeeds_sells_nothing_and_one_that_does_sells_in_every_draw(market: WhatIf) -> None:
    never = under(market, {"driver": "success_probability", "modality": "implantable", "value": 0.0})
    assert (never[v.REVENUE][..., 2] == 0).all()
    assert np.isfinite(never[v.PRICE]).all()
    sure = under(market, {"driver": "success_probability", "value": 1.0})
    was = as_drawn(market.run, v.REVENUE)[..., 2]
    there = as_drawn(market.run, v.SUCCESS)[:, 0] == 1
    np.testing.assert_allclose(sure[v.REVENUE][there][..., 2], was[there], rtol=1e-9)
    assert sure[v.REVENUE][~there][..., 2].sum() > 0
    assert (was[~there] == 0).all()


def test_another_chance_of_success_knows_what_bounds_the_launch(market: WhatIf) -> None:
    """By Bayes' rule: a launch that was not seen in time is less likely to come, whatever its chance was before."""
    launch, ledger = "implantable", market.run.priors.ledger
    plain = market.factual
    rows = [row(market.run.priors, "study", 2031.0, "launch_not_before", year=None, modality=launch, log_sd=0.5)]
    draws = plain.draws
    late = 1 / (
        1 + np.exp(-np.pi / np.sqrt(3) * (draws["launch_year"].sel(launch=launch).min("region") - 2031.0) / 0.5)
    )
    bounded = replace(market.run, priors=market.run.priors.with_evidence([*market.run.priors.evidence, *rows]))
    factual = WhatIf(bounded).factual
    at = market.run.priors.coords["launch"].index(launch)
    assert factual.bounds[..., at] == pytest.approx(late.values)
    halved = new_levels(factual, plan(ledger, scenario({"driver": "success_probability", "factor": 0.5})))
    chance = draws["success_probability"].sel(launch=launch).values / 2
    luck = draws["success_draw"].sel(launch=launch).values
    expected = luck < chance * late.values / (1 - chance + chance * late.values)
    assert (levers_of(factual, halved)["success"][..., at] == expected).all()
    assert (levers_of(plain, halved)["success"][..., at] == (luck < chance)).all()
    assert 0 < expected.sum() < (luck < chance).sum()


def test_sums_hold_under_scenarios(market: WhatIf) -> None:
    for name in ("conservative", "upside"):
        found = market.under(plan(market.run.priors.ledger, load_scenario(name)))
        total = found[v.REVENUE].sum(["region", "depth", "modality"])
        np.testing.assert_allclose(total, found[v.REVENUE_TOTAL], rtol=1e-9)
        for k, modality in enumerate(market.run.priors.ledger.modalities):
            lines = [line.name for line in market.run.priors.ledger.lines_of(modality.name)]
            own = found[v.REVENUE_LINE].sel(line=lines).sum("line")
            np.testing.assert_allclose(own, found[v.REVENUE][..., k], rtol=1e-9)
        assert (found[v.USE] <= 1).all()
        assert (found[v.USE] >= 0).all()


def test_centres_carry_the_mean_and_their_odds() -> None:
    rng = np.random.default_rng(1)
    use, now, to, odds = rng.uniform(0.01, 0.9, 50), rng.uniform(0, 1, 50), rng.uniform(0, 1, 50), rng.uniform(1, 9, 50)

    def moved_to(share: Array) -> Array:
        return np.asarray(in_centres(*map(pt.as_tensor, (use, now, share, odds))).eval(mode=ONCE))

    all_in, none_in = moved_to(np.ones(50)), moved_to(np.zeros(50))
    np.testing.assert_allclose(now * all_in + (1 - now) * none_in, use)
    np.testing.assert_allclose(all_in / (1 - all_in) / (none_in / (1 - none_in)), odds)
    np.testing.assert_allclose(moved_to(to), to * all_in + (1 - to) * none_in)


SHAPES = [
    "lines of an adopted modality",
    "only everyone",
    "only launch",
    "only acute use",
    "two adoption curves",
    "a launched modality without lines",
]


@pytest.mark.parametrize("name", variants(SHAPES, stay=1))
def test_any_shape_of_market_has_its_base_and_its_scenarios(name: str, tmp_path: Path) -> None:
    """Without lines, launches or payers too: the base is the run, and what a scenario cannot move it leaves."""
    market = WhatIf(prior_run(prior_set_of(CHANGES[name]), tmp_path / "run", 10))
    ledger = market.run.priors.ledger
    base = market.under(plan(ledger, load_scenario("base")))
    for quantity, values in base.data_vars.items():
        expected = market.run.read([str(quantity)])[quantity]
        np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-300, err_msg=str(quantity))
    dearer = market.under(plan(ledger, scenario({"driver": "price", "factor": 1.5})))
    np.testing.assert_allclose(dearer[v.REVENUE], 1.5 * base[v.REVENUE], rtol=1e-9)
    for shipped in ("conservative", "upside"):
        found = market.under(plan(ledger, load_scenario(shipped)))
        total = found[v.REVENUE].sum(["region", "depth", "modality"])
        np.testing.assert_allclose(total, found[v.REVENUE_TOTAL], rtol=1e-9)
