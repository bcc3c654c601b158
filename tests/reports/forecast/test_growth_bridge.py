"""The growth bridge: exact in every draw, blind to the order of factors, and right where the answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from xarray import Dataset, DataTree

from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.forecast import growth_bridge
from postcgrp.tests.helpers.markets import CHANGES, prior_set_of
from postcgrp.tests.helpers.stored import prior_tree

FACTOR = st.one_of(st.just(0.0), st.floats(1e-6, 1e6))
CELLS = arrays(float, (2, 4, 6), elements=FACTOR)


@pytest.fixture(scope="module")
def real(pset: PriorSet) -> DataTree:
    return prior_tree(pset)


# ---- the decomposition ---------------------------------------------------------------------------------------------


@given(CELLS)
@settings(deadline=None)
def test_effects_add_up_exactly_also_with_zeros(cells: np.ndarray) -> None:
    before, after = cells
    split = growth_bridge.divisia(before, after)
    change = after.prod(axis=0) - before.prod(axis=0)
    scale = np.maximum(np.maximum(after.prod(axis=0), before.prod(axis=0)), 1e-300)
    assert np.isfinite(split).all()
    assert (np.abs(split.sum(axis=0) - change) <= 1e-10 * np.maximum(scale, np.abs(split).max(axis=0))).all()


@given(CELLS, st.permutations(range(4)))
@settings(deadline=None)
def test_the_order_of_factors_does_not_matter(cells: np.ndarray, order: list[int]) -> None:
    before, after = cells
    split = growth_bridge.divisia(before, after)
    assert growth_bridge.divisia(before[order], after[order]) == pytest.approx(split[order], rel=1e-7, abs=1e-9)


@given(CELLS)
@settings(deadline=None)
def test_back_in_time_is_the_same_with_the_other_sign(cells: np.ndarray) -> None:
    split, back = growth_bridge.divisia(cells[0], cells[1]), growth_bridge.divisia(cells[1], cells[0])
    largest = np.abs(split).max(axis=0) + cells.prod(axis=1).max(axis=0)
    assert (np.abs(split + back) <= 1e-9 * largest).all()


@given(arrays(float, (2, 4, 6), elements=st.floats(1e-3, 1e3)), st.integers(0, 3))
@settings(deadline=None)
def test_a_factor_that_stays_has_no_effect_and_units_do_not_matter(cells: np.ndarray, k: int) -> None:
    cells[1, k] = cells[0, k]
    split = growth_bridge.divisia(*cells)
    assert (split[k] == 0).all()
    scaled = cells.copy()
    scaled[:, 0] *= 10.0
    assert growth_bridge.divisia(*scaled) == pytest.approx(10 * split, rel=1e-6, abs=1e-6)


def test_a_launch_belongs_to_the_factor_that_was_zero() -> None:
    one = np.ones(1)
    before, after = (10 * one, 0 * one, 3 * one), (12 * one, 0.5 * one, 4 * one)
    assert growth_bridge.divisia(before, after)[:, 0].tolist() == [0, 24, 0]
    assert growth_bridge.divisia(after, before)[:, 0].tolist() == [0, -24, 0]  # and so does an exit
    assert growth_bridge.divisia(before, before)[:, 0].tolist() == [0, 0, 0]
    none = (0 * one, 0 * one, 3 * one)
    assert growth_bridge.divisia(none, after)[:, 0].tolist() == [12, 12, 0]
    nearly = (10 * one, 1e-250 * one, 3 * one)
    assert growth_bridge.divisia(nearly, after)[:, 0] == pytest.approx(
        [0, 24, 0], abs=0.05
    )  # the limit, approached slowly


def test_two_factors_share_a_change_by_their_logarithms() -> None:
    split = growth_bridge.divisia([np.array([100.0]), np.array([1.0])], [np.array([200.0]), np.array([2.0])])
    assert split[:, 0] == pytest.approx([150, 150])
    split = growth_bridge.divisia([np.array([100.0]), np.array([1.0])], [np.array([200.0]), np.array([1.5])])
    assert split[0] / split[1] == pytest.approx(np.log(2) / np.log(1.5))


def test_a_negative_factor_is_refused() -> None:
    with pytest.raises(ValueError, match="is negative"):
        growth_bridge.divisia([np.array([-1.0])], [np.array([1.0])])


# ---- the bridge of a run -------------------------------------------------------------------------------------------


def exact(bridged: Dataset) -> None:
    total = bridged["change"].sum("effect")
    assert np.allclose(total, bridged["end"] - bridged["start"], rtol=1e-9, atol=1e-9 * float(bridged["end"].max()))


@pytest.mark.fit
def test_the_bridge_of_the_report_is_exact_and_its_implants_are_adoption(real: DataTree, pset: PriorSet) -> None:
    bridged = growth_bridge.bridge(real, pset)
    exact(bridged)
    revenue = real["posterior"]["revenue_total"]
    assert np.allclose(bridged["end"].sum(("region", "modality")), revenue.sel(year=2035))
    assert np.allclose(bridged["start"].sum(("region", "modality")), revenue.sel(year=2025))
    launched = bridged["change"].sel(modality="implantable")
    assert (bridged["start"].sel(modality="implantable") == 0).all()
    comes = real["posterior"]["success"].sel(launch="implantable", drop=True) == 1
    assert (launched.sel(effect="adoption", region="United States").where(comes, 1) > 0).all()
    assert (launched.where(~comes, 0) == 0).all()
    assert (launched.drop_sel(effect="adoption") == 0).all()
    assert (bridged["change"].sel(modality="pharmacologic", effect="adoption") == 0).all()  # everyone is treated


@pytest.mark.fit
@pytest.mark.parametrize("name", ["as it is", "launch before the last anchor", "one region, one depth, one modality"])
def test_the_bridge_of_any_market_is_exact(name: str) -> None:
    market = prior_set_of(CHANGES[name])
    run = prior_tree(market)
    bridged = growth_bridge.bridge(run, market)
    exact(bridged)
    table: Any = growth_bridge.bridge_table(bridged, market)
    sums = table[table["effect"].isin(growth_bridge.EFFECTS)].groupby(["segment", "name"])["mean"].sum()
    ends: Any = table.pivot_table("mean", ["segment", "name"], "effect")
    assert np.allclose(sums, (ends["end"] - ends["start"]).loc[sums.index])
    for dim in ("region", "modality"):  # and segments add up to the total, effect by effect
        part = table[table["segment"] == dim].groupby("effect")["mean"].sum()
        total = table[table["segment"] == ""].set_index("effect")["mean"]
        assert np.allclose(part, total.loc[part.index])


def constructed(pset: PriorSet, real: DataTree, **growth: float) -> DataTree:
    """The report's run with only these parts of it growing over the window, by these factors."""
    posterior = real["posterior"].to_dataset()[["patients", "use", "intensity"]]
    first, share = posterior.sel(year=2030), (posterior["year"] - 2025) / 10
    grown = {name: first[name] * growth.get(str(name), 1.0) ** share for name in posterior.data_vars}
    cells = grown["patients"] * grown["use"] * grown["intensity"] / 1e6
    return DataTree.from_dict({"posterior": Dataset({**grown, "revenue": cells})})


@pytest.mark.fit
@pytest.mark.parametrize(
    ("part", "effect"), [("patients", "patients"), ("use", "adoption"), ("intensity", "intensity")]
)
def test_what_alone_grows_is_all_of_the_bridge(real: DataTree, pset: PriorSet, part: str, effect: str) -> None:
    bridged = growth_bridge.bridge(constructed(pset, real, **{part: 1.7}), pset)
    change = bridged["change"].sel(effect=effect)
    assert np.allclose(change, bridged["end"] - bridged["start"])
    assert float(change.sum()) > 0
    assert np.abs(bridged["change"].drop_sel(effect=effect)).max() < 1e-6 * float(change.max())


@pytest.mark.fit
@pytest.mark.parametrize(
    ("growth", "alone", "per_patient"),
    [
        ({"patients": 1.5, "intensity": 1.2}, 0.0, 0.0),
        ({"patients": 1.2, "intensity": 1.5}, 1.0, 1.0),
        ({"patients": 1.3, "use": 1.2, "intensity": 1.2}, 0.0, 1.0),  # the two readings differ
    ],
)
def test_the_claim_is_read_in_two_ways(
    real: DataTree, pset: PriorSet, growth: dict[str, float], alone: float, per_patient: float
) -> None:
    claim: Any = growth_bridge.claim(growth_bridge.bridge(constructed(pset, real, **growth), pset)).set_index("reading")
    assert claim["probability"].to_dict() == {"intensity alone": alone, "per patient": per_patient}
    assert (claim["mcse"] == 0).all()


@pytest.mark.fit
def test_the_claim_s_probability_is_the_share_of_draws(real: DataTree, pset: PriorSet) -> None:
    bridged = growth_bridge.bridge(real, pset)
    effects = bridged["change"].sum(("region", "modality"))
    claim: Any = growth_bridge.claim(bridged).set_index("reading")
    ahead = effects.sel(effect="intensity").values > effects.sel(effect="patients").values
    assert claim.loc["intensity alone", "probability"] == pytest.approx(ahead.mean())
    assert 0 < claim.loc["intensity alone", "mcse"] < 0.1


@pytest.mark.fit
@pytest.mark.parametrize("years", [(2035, 2025), (2025, 2025), (2025, 2040), (2020, 2030)])
def test_years_that_make_no_bridge_are_refused(real: DataTree, pset: PriorSet, years: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"name two years of 2025\.\.2035"):
        growth_bridge.bridge(real, pset, *years)
