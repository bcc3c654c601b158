"""What the page says beside the draws: the bridge of medians, what would narrow the interval, what fits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from xarray import DataTree

from postcgrp.priors import PriorSet
from postcgrp.reports.page.content import _levers, _weights
from postcgrp.reports.page.market import CELL_STEPS, MIN_DRAWS, Leaf, by_leaf, drawn, market_data
from postcgrp.reports.page.medians import SKEW, median_bridge
from postcgrp.reports.page.narrowing import left_of_variance, narrowing
from postcgrp.reports.page.svg import bar, ticks
from postcgrp.reports.page.without import without_rows
from postcgrp.reports.runs.run import Run

CHAINS, DRAWS = 2, 400
ROOM = 20_000  # characters, for fewer than all draws


@pytest.fixture(scope="module")
def drawn_run(pset: PriorSet) -> Run:
    """A run whose modalities are lognormal and independent, before the evidence twice as wide."""
    coords = {"chain": range(CHAINS), "draw": range(DRAWS), **pset.coords}
    dims = ("chain", "draw", "year", "region", "depth", "modality")
    rng = np.random.default_rng(4)
    years = np.arange(len(pset.coords["year"]))
    z = rng.normal(size=(CHAINS, DRAWS, 1, 1, 1, 3))
    walk = np.cumsum(rng.normal(size=(CHAINS, DRAWS, len(years), 1, 1, 1)), axis=2)

    def group(spread: float) -> xr.Dataset:
        shape = tuple(len(coords[dim]) for dim in dims)
        values = np.broadcast_to(10 * np.exp(spread * (z + 0.3 * walk)), shape).copy()
        revenue = xr.DataArray(values, {dim: coords[dim] for dim in dims}, dims)
        error = xr.DataArray(0.1 * walk[:, :, [0, 5, 10], 0, 0, 0], dims=("chain", "draw", "source_year"))
        total = revenue.sum(["region", "depth", "modality"])
        return xr.Dataset({"revenue": revenue, "revenue_total": total, "source_error": error})

    return Run.in_memory(DataTree.from_dict({"posterior": group(0.3), "prior": group(0.6)}), pset)


def test_each_column_of_the_centre_adds_up(drawn_run: Run) -> None:
    table = median_bridge(drawn_run).set_index("part")
    for column in ("bottom_up", "posterior", "report"):
        *parts, whole = table[column].tolist()
        assert sum(parts) == pytest.approx(whole)
    columns = ["bottom_up", "posterior", "report"]
    wide, narrow, _ = (float(number) for number in table.loc[[SKEW], columns].to_numpy()[0])
    assert wide > narrow > 0  # wider parts, more skew
    assert table["report"].tolist()[-1] == 870


def test_a_run_without_prior_draws_has_no_bottom_up(drawn_run: Run, pset: PriorSet) -> None:
    alone = Run.in_memory(DataTree.from_dict({"posterior": drawn_run.posterior}), pset)
    assert median_bridge(alone)["bottom_up"].isna().all()


def test_what_stays_of_a_variance_is_that_of_a_joint_normal() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=100_000)
    noise = np.array([[0.25]])
    assert left_of_variance(x, x[:, None]) == pytest.approx(0, abs=1e-6)
    assert left_of_variance(x, x[:, None], noise) == pytest.approx(0.2, abs=0.01)  # 1 - 1 / 1.25
    assert left_of_variance(x, rng.normal(size=(100_000, 1))) == pytest.approx(1, abs=1e-3)


def test_more_knowledge_never_widens(drawn_run: Run) -> None:
    table = narrowing(drawn_run)
    assert table["learned"].iloc[0] == "as it is"
    assert len(table) == 4
    assert (table["left"].iloc[1:] < 1).all()
    assert (table["half_width"].iloc[1:] < table["half_width"].iloc[0]).all()


def test_a_market_is_packed_as_finely_as_there_is_room(drawn_run: Run) -> None:
    roomy, tight = market_data(drawn_run, 10_000_000), market_data(drawn_run, ROOM)
    assert roomy["cells"]["step"] == CELL_STEPS[0]
    assert roomy["sample"] == {"chains": CHAINS, "draws": DRAWS}
    assert tight["cells"]["step"] == CELL_STEPS[-1]
    assert MIN_DRAWS <= tight["sample"]["draws"] < DRAWS
    assert tight["stride"] > 1
    size = sum(len(tight[name][part]) for name in ("cells", "totals") for part in ("bytes", "larger"))
    assert size <= 1.2 * ROOM


def test_of_more_draws_than_a_page_carries_every_second_is_taken(drawn_run: Run) -> None:
    took = drawn(drawn_run, CHAINS * DRAWS // 2)
    assert (took.chains, took.draws, took.stride) == (CHAINS, DRAWS // 2, 2)
    assert took.take(drawn_run.posterior["revenue_total"]).sizes["draw"] == took.draws
    assert drawn(drawn_run).stride == 1


def test_a_modality_with_lines_is_carried_by_line(drawn_run: Run) -> None:
    revenue = drawn_run.posterior["revenue"]
    drugs = revenue.sel(modality="pharmacologic", drop=True)
    by_line = xr.concat([0.25 * drugs, 0.75 * drugs], pd.Index(["one", "other"], name="line"))
    of = {"one": "pharmacologic", "other": "pharmacologic", "device": "non_invasive"}
    cells, leaves = by_leaf(revenue, by_line, of)
    assert leaves == (
        Leaf("pharmacologic", "one"),
        Leaf("pharmacologic", "other"),
        Leaf("non_invasive"),
        Leaf("implantable"),
    )
    xr.testing.assert_allclose(cells.sum("leaf"), revenue.sum("modality"))
    assert by_leaf(revenue, None, {})[1] == tuple(Leaf(name) for name in revenue["modality"].values)


@pytest.mark.parametrize(("low", "high"), [(0, 1091), (-3.2, 4.4), (0.0001, 0.0009), (5, 5)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found
    assert all(low - 1e-9 * abs(low) <= value <= high * (1 + 1e-9) for value in found)
    assert len(found) <= 7
    assert pd.Series(found).is_monotonic_increasing


def test_attributes_of_figures_are_escaped() -> None:
    assert 'class="bar &#34;&gt;"' in bar(0, 1, 0, 1, '">')


def test_what_a_row_of_evidence_does_is_told_by_weights(pset: PriorSet) -> None:
    """One normal quantity, two rows of which one is left out: the median goes to what the other says."""
    rng = np.random.default_rng(6)
    years = pset.coords["year"]
    draws = rng.normal(500, 10, (4, 2000))  # the posterior of rows at 490 and 510, each with an sd of 14.1
    total = xr.DataArray(np.repeat(draws[..., None], len(years), -1), {"year": years}, ("chain", "draw", "year"))
    rows = xr.DataArray(
        np.stack([-((draws - at) ** 2) / (4 * 100) for at in (490, 510)] + [-((draws - 500) ** 2) / 2], -1),
        {"evidence_row": ["low", "high", "sharp"]},
        ("chain", "draw", "evidence_row"),
    )
    posterior = xr.Dataset({"revenue_total": total})
    tree = DataTree.from_dict({"posterior": posterior, "log_likelihood": xr.Dataset({"evidence": rows})})
    found = without_rows(Run.in_memory(tree, pset))
    assert found["low"].median == pytest.approx(510, abs=1.5)
    assert found["high"].median == pytest.approx(490, abs=1.5)
    assert np.isnan(found["sharp"].median)
    assert "Pareto k" in found["sharp"].refused
    assert without_rows(Run.in_memory(DataTree.from_dict({"posterior": posterior}), pset)) == {}


def test_levers_and_weights_are_shown_where_a_run_has_them(pset: PriorSet) -> None:
    levers = pd.DataFrame(
        {"prior": ["a", "b"], "change": [0.12, -0.06], "sourced": [True, False], "source": ["book", "assumption"]}
    )
    assert [row["prior"] for row in _levers(levers)] == ["a", "b"]
    assert _levers(None) == []
    centres = pd.DataFrame(
        {
            "year": [2030, 2035, 2035],
            "modality": ["implantable", "implantable", None],
            "report_weight": [0.1, 0.4, np.nan],
        }
    )
    assert [(row["label"], row["report_weight"]) for row in _weights(centres, pset.ledger)] == [
        ("Implantable / interventional", 0.4)
    ]
    assert _weights(None, pset.ledger) == []
