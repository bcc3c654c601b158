"""Why this centre: weights on the way from bottom-up to the report, who pulls a median out of both, and leverage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from xarray import DataArray, Dataset, DataTree

from postcgrp.priors import PriorSet
from postcgrp.priors.changes import Change
from postcgrp.priors.sets import Overlay, prior_set
from postcgrp.reports.forecast.centrality import centrality
from postcgrp.reports.forecast.centre import _strongest, centre, leverage
from postcgrp.tests.helpers.stored import prior_tree

SIZE = (2, 2000)


@pytest.mark.fit
def test_prior_draws_lie_where_bottom_up_does_and_lean_on_what_moves_them(pset: PriorSet) -> None:
    run = prior_tree(pset, 2000)
    run["prior"] = run["posterior"]
    run["log_likelihood"] = run["posterior"].to_dataset()[[]]
    table: Any = centre(run, pset)
    assert (table["bottom_up"] == table["median"]).all()
    assert np.allclose(table["report_weight"].dropna(), 0)
    levers: Any = leverage(run, pset).set_index("prior")
    # One sd of a factor common to all counts moves log revenue by that sd: exactly so in prior draws.
    sd = pset.blocks["pool_error"].priors[0].sd
    assert levers.loc["pool_error", "change"] == pytest.approx(sd, abs=4 * levers.loc["pool_error", "mcse"])
    assert not levers.loc["pool_error", "sourced"]
    # So does one sd of growth in one period, the other one's median unmoved though the two are correlated.
    for prior, years in zip(pset.blocks["patient_growth"].priors, np.diff(pset.ledger.report.anchors), strict=True):
        lever = levers.loc[prior.name]
        assert lever["change"] == pytest.approx(years * prior.sd, abs=4 * lever["mcse"])


def test_a_scale_that_has_a_range_leans_by_itself_and_not_by_what_it_scales(pset: PriorSet) -> None:
    change = Change(id="price_noise", modality="implantable", low=0.04, high=0.16, reason="r")
    mine = prior_set(pset.ledger, Overlay(name="mine", says="a test", assumption=(change,)))
    (prior,) = mine.blocks["price_noise_implantable"].priors
    rng = np.random.default_rng(3)
    score, z = rng.standard_normal(SIZE), rng.standard_normal((*SIZE, 7))
    draws = {
        "price_noise_implantable": (("chain", "draw"), np.exp(prior.mu + prior.sd * score)),
        "price_noise_implantable_z": (("chain", "draw", "free_year_implantable"), z),
        "revenue_total": (("chain", "draw", "year"), np.exp(0.3 * score + z[..., 0])[..., None]),
    }
    run = DataTree.from_dict({"posterior": Dataset(draws, {"year": [2035]})})
    levers: Any = leverage(run, mine)
    assert list(levers["prior"]) == ["price_noise[implantable]"]
    assert levers["change"][0] == pytest.approx(0.3, abs=4 * levers["mcse"][0])


def test_the_row_that_pulls_is_found_also_where_launches_fail() -> None:
    rng = np.random.default_rng(1)
    z = rng.standard_normal(SIZE)
    revenue = np.where(rng.random(SIZE) < 0.4, 0.0, np.exp(z))
    rows = np.stack([0.1 * z, 2.0 * z, -3.0 * z + rng.standard_normal(SIZE)], axis=-1)
    likelihood = DataArray(rows, {"evidence_row": ["weak", "up", "down"]}, ("chain", "draw", "evidence_row"))
    draws = DataArray(revenue, dims=("chain", "draw"))
    assert _strongest(draws, likelihood, upwards=True) == "up"
    assert _strongest(draws, likelihood, upwards=False) == "down"


def test_central_rows_and_far_ones_have_their_tails() -> None:
    rng = np.random.default_rng(2)
    root = np.array([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [0.2, 0.1, 0.3]])
    predicted = rng.standard_normal((20_000, 3)) @ root.T + 5
    observed = 5 + root @ np.array([1.0, -1.0, 2.0])
    found = centrality(predicted, observed, ["a", "b", "c"])
    assert found.freedom == 3
    assert found.distance == pytest.approx(6.0, rel=0.05)
    assert found.farther == pytest.approx(stats.chi2(3).sf(6.0), abs=0.01)
    assert found.nearer + found.farther == pytest.approx(1)
    assert dict(found.rows)["a"] == pytest.approx(stats.norm.cdf(1), abs=0.01)
