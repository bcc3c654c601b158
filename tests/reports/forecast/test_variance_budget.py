"""The variance budget: Shapley effects known in closed form, shares that add up, standard errors that cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from xarray import DataTree

from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.forecast import variance_budget
from postcgrp.tests.helpers.markets import CHANGES, prior_set_of
from postcgrp.tests.helpers.stored import prior_tree

CHAINS, LENGTH = 4, 1000


def gaussian(rho: float, seed: int, length: int = LENGTH) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """y = a + 2 b, with a and b standard normal of correlation rho, and c that has no part in it."""
    rng = np.random.default_rng(seed)
    a, e, c = rng.normal(size=(3, CHAINS, length))
    b = rho * a + np.sqrt(1 - rho**2) * e
    return a + 2 * b, {"a": a[..., None], "b": b[..., None], "c": c[..., None]}


def shapley(rho: float) -> tuple[float, float]:
    """Owen & Prieur (2017): two dependent normal inputs with coefficients 1 and 2."""
    variance = 5 + 4 * rho
    half = rho**2 / 2
    return tuple((own * (1 - half) + 2 * rho + other * half) / variance for own, other in ((1, 4), (4, 1)))  # type: ignore[return-value]


@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.6])
def test_dependent_normal_inputs_have_their_closed_form(rho: float) -> None:
    table: Any = variance_budget.budget(*gaussian(rho, 1)).set_index("group")
    for name, share, weight, other in zip("ab", shapley(rho), (1, 2), (2, 1), strict=True):
        row, variance = table.loc[name], 5 + 4 * rho
        assert row["share"] == pytest.approx(share, abs=0.02)
        assert row["first_order"] == pytest.approx((weight + rho * other) ** 2 / variance, abs=0.03)
        assert row["total"] == pytest.approx(weight**2 * (1 - rho**2) / variance, abs=0.02)
        assert abs(row["share"] - share) < 4 * row["se"] + 1e-3
    assert table.loc["c", "share"] == pytest.approx(0, abs=2e-3)
    assert table["share"].sum() == pytest.approx(1, abs=1e-12)


def test_standard_errors_cover() -> None:
    """The spread of shares over many runs is what each run says of it."""
    tables: Any = [variance_budget.budget(*gaussian(0.5, seed, 250)).set_index("group") for seed in range(60)]
    for column, error in (("share", "se"), ("first_order", "first_order_se"), ("total", "total_se")):
        for name in ("a", "b"):
            spread = np.std([table.loc[name, column] for table in tables], ddof=1)
            assert 0.7 < np.mean([table.loc[name, error] for table in tables]) / spread < 1.4, (column, name)


def test_curves_are_seen_and_interactions_are_left_over() -> None:
    rng = np.random.default_rng(4)
    a, b, c = rng.normal(size=(3, CHAINS, LENGTH))
    table: Any = variance_budget.budget(a**2, {"a": a[..., None], "b": b[..., None]}).set_index("group")
    assert table.loc["a", "share"] > 0.9  # a line sees nothing of it
    table = variance_budget.budget(a * b + c, {"a": a[..., None], "b": b[..., None], "c": c[..., None]}).set_index(
        "group"
    )
    assert table.loc[variance_budget.UNATTRIBUTED, "share"] == pytest.approx(0.5, abs=0.06)
    assert table.loc["c", "share"] == pytest.approx(0.5, abs=0.06)


@given(arrays(float, (3, 16), elements=st.floats(0, 1)))
@settings(deadline=None, max_examples=50)
def test_shapley_values_add_up_and_treat_groups_alike(explained: np.ndarray) -> None:
    explained[:, 0] = 0
    values: Any = variance_budget._shapley(explained, 4)
    assert np.allclose(values.sum(axis=1), explained[:, -1])
    swapped = [int(f"{s:04b}"[:2] + f"{s:04b}"[3] + f"{s:04b}"[2], 2) for s in range(16)]  # groups 0 and 1
    assert np.allclose(variance_budget._shapley(explained[:, swapped], 4), values[:, [1, 0, 2, 3]])


def test_copies_share_what_either_explains() -> None:
    y, of = gaussian(0.0, 2)
    table: Any = variance_budget.budget(y, {**of, "copy of b": of["b"] + 1e-6 * of["c"]}).set_index("group")
    assert table.loc["b", "share"] == pytest.approx(table.loc["copy of b", "share"], abs=0.01)
    assert table.loc["b", "share"] == pytest.approx(0.4, abs=0.02)
    assert table.loc["b", "total"] == pytest.approx(0, abs=0.01)


def test_chance_is_not_explained() -> None:
    """Many inputs that have nothing to do with it: a fit would explain a share of their number over that of draws."""
    rng = np.random.default_rng(6)
    y, many = rng.normal(size=(CHAINS, 250)), rng.normal(size=(CHAINS, 250, 40))
    table: Any = variance_budget.budget(y, {"many": many}).set_index("group")
    assert table.loc["many", "share"] == 0
    assert table.loc[variance_budget.UNATTRIBUTED, "share"] == 1


def test_too_few_draws_are_refused() -> None:
    y, of = gaussian(0.0, 3, 10)
    with pytest.raises(InputError, match="40 draws are too few for a variance budget: make the run with 45 or more"):
        variance_budget.budget(y, of)


@pytest.fixture(scope="module")
def real(pset: PriorSet) -> DataTree:
    return prior_tree(pset, 2000)


@pytest.mark.fit
@pytest.mark.parametrize("year", [2025, 2028, 2035])
def test_the_groups_explain_the_report_s_revenue(real: DataTree, pset: PriorSet, year: int) -> None:
    """Revenue is patients x use x price, so hardly anything may be left over."""
    table: Any = variance_budget.variance_budget(real, pset, year).set_index("group")
    groups: Any = table.drop(variance_budget.UNATTRIBUTED)
    assert table["share"].sum() == pytest.approx(1, abs=1e-12)
    assert (groups["share"] >= 0).all()
    assert table.loc[variance_budget.UNATTRIBUTED, "share"] < 0.05
    assert ("yearly noise" in groups.index) is (year == 2028)
    causes = {"patients", "adoption", "exclusivity", "launch: implantable", "price: pharmacologic", "region structure"}
    assert causes - ({"launch: implantable"} if year == 2025 else set()) <= set(groups.index)
    assert not [name for name in groups.index if "error" in name]  # what the report errs by is no cause
    revenue = real["posterior"].to_dataset()["revenue_total"].sel(year=year).values
    assert table["half_width"].sum() == pytest.approx(np.diff(np.quantile(revenue, [0.05, 0.95]))[0] / 2)
    known = table["half_width"].sum() * np.sqrt(1 - groups["first_order"].clip(0, 1))
    assert np.allclose(groups["half_width_if_known"], known)


@pytest.mark.fit
@pytest.mark.parametrize("name", ["no evidence", "only everyone", "one region", "two launches, listed first"])
def test_any_market_has_a_budget(name: str) -> None:
    market = prior_set_of(CHANGES[name])
    table: Any = variance_budget.variance_budget(prior_tree(market, 1000), market).set_index("group")
    assert table["share"].sum() == pytest.approx(1, abs=1e-12)
    assert "patients" in table.index
    assert np.isfinite(table["share"]).all()


@pytest.mark.fit
def test_a_year_outside_is_refused(real: DataTree, pset: PriorSet) -> None:
    with pytest.raises(InputError, match=r"year 2040 is outside 2025\.\.2035"):
        variance_budget.variance_budget(real, pset, 2040)
