"""Another market, and every shape of ledger that it could have: the model comes from the ledger alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postcgrp.inference import Sampling, sample
from postcgrp.models import build_model
from postcgrp.priors import InputError
from postcgrp.tests.helpers.coherence import check, in_ranges
from postcgrp.tests.helpers.markets import (
    CHANGES,
    Tables,
    anchors,
    assumption,
    burden,
    claim,
    depths,
    drop,
    evidence,
    keep_regions,
    launch_in,
    lines,
    modalities,
    prior_set_of,
)
from postcgrp.tests.helpers.stored import Structure, prior_draws
from postcgrp.tests.helpers.variants import variants

pytestmark = pytest.mark.fit

DRAWS = 300


MOST_UNLIKE = (  # each other and the shipped one
    "one region, one depth, one modality",
    "only launch",
    "two adoption curves",
    "lines of an adopted modality",
    "a pipeline line",
    "evidence between anchors",
    "burden as points",
    "adoption that falls",
)


@pytest.mark.parametrize("name", variants(dict.fromkeys([*MOST_UNLIKE, *CHANGES]), stay=len(MOST_UNLIKE)))
def test_any_shape_of_ledger_gives_a_coherent_model(name: str) -> None:
    pset = prior_set_of(CHANGES[name])
    model = Structure.of(pset).model
    dims = [model.named_vars_to_dims.get(rv.name, ()) for rv in model.free_RVs]
    assert all(model.coords.get(dim) != () for variable in dims for dim in variable), "a variable without elements"
    draws = prior_draws(pset, DRAWS)
    check(pset, draws)
    in_ranges(pset, draws, within=0.1)


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, Any]:
    """A market of any size: regions, depths, and modalities of any uptake with any number of lines."""
    uptakes = draw(st.lists(st.sampled_from(["everyone", "adoption", "launch"]), min_size=1, max_size=3))
    of: dict[str, str] = {}
    for k, uptake in enumerate(uptakes):
        names = [f"line_{k}{end}" for end in "ab"[: draw(st.integers(0, 2))]]
        names += [f"pipeline_{k}"] * bool(names and uptake != "launch" and draw(st.booleans()))
        of |= dict.fromkeys(names, f"m{k}")
    return {
        "regions": draw(st.integers(1, 4)),
        "depths": draw(st.sampled_from([(1.0,), (0.6, 0.4), (0.2, 0.3, 0.5)])),
        "uptakes": {f"m{k}": uptake for k, uptake in enumerate(uptakes)},
        "lines": of,
        "burden": draw(st.booleans()),
    }


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(shapes())
def test_markets_that_nobody_thought_of_are_coherent(shape: dict[str, Any]) -> None:
    def change(tables: Tables) -> None:
        keep_regions(tables, shape["regions"])
        depths(tables, *shape["depths"])
        modalities(tables, **shape["uptakes"])
        if shape["burden"]:
            burden(tables, moh=(0.3, 0.4), acute_use=(0.5, 0.6), payer_block=(0.1, 0.3))
        if set(shape["uptakes"].values()) == {"launch"}:
            drop(tables, year=2024, quantity="revenue")
        lines(tables, **shape["lines"])

    pset = prior_set_of(change)
    check(pset, prior_draws(pset, 60))


def test_a_count_of_another_year_is_the_count_of_that_year() -> None:
    pset = prior_set_of(CHANGES["patients of another year"])
    draws = prior_draws(pset, DRAWS)
    counts = draws["patients"].sum(axis=3)
    assert np.median(counts[:, 3, 0]) == pytest.approx(42_000, rel=0.05)
    assert np.median(counts[:, 0, 1]) == pytest.approx(38_000, rel=0.05)
    spread = np.log(counts[:, [0, 3, 8], :2]).std(axis=0)
    assert spread[1, 0] < spread[0, 0]  # growth is counted from the year that the report names
    assert spread[0, 1] < spread[2, 1]


def test_each_modality_takes_the_direction_said_of_it() -> None:
    def change(tables: Tables) -> None:
        modalities(tables, a="adoption", b="adoption", c="launch", drugs="everyone")
        for modality, region, sign in (("a", "Europe", 1), ("b", "Europe", -1), (None, "China", 1), ("b", "China", 0)):
            tables["claims"].append(
                claim("adoption_direction", unit="sign", region=region, modality=modality, value=sign)
            )

    pset = prior_set_of(change)
    said = {m: list(pset.signs("adoption_direction", "region", m)) for m in "abc"}
    assert said == {"a": [0, 1, 1, 0], "b": [0, -1, 0, 0], "c": [0, 0, 1, 0]}


@pytest.mark.parametrize(
    ("fields", "share", "message"),
    [
        (
            {"year": 2030, "modality": "implant", "depth": "one biologic"},
            0.0,
            "nothing is sold in 2030 to depth one bio",
        ),
        (
            {"year": 2025, "modality": "implant"},
            0.5,
            "evidence in 2025, before its vendor_launch_year 2026: make .* or move",
        ),
        ({"year": 2030}, {None: 0.0, "two or more": 0.0}, "eligible_share of implant is 0 at every depth: raise one"),
    ],
)
def test_evidence_on_what_is_never_sold_is_refused(fields: Tables, share: Any, message: str) -> None:
    def change(tables: Tables) -> None:
        launch_in(tables, 2026)
        shares = share if isinstance(share, dict) else {"one biologic": share}
        tables["assumptions"] = [a for a in tables["assumptions"] if a["id"] != "eligible_share"]
        for depth, value in ({None: 0.5} | shares).items():
            tables["assumptions"].append(assumption("eligible_share", "fraction", depth=depth, value=value))
        evidence(tables, value=5.0, **fields)

    with pytest.raises(InputError, match=message):
        prior_set_of(change)


def test_a_total_before_anything_is_sold_is_refused() -> None:
    def change(tables: Tables) -> None:
        modalities(tables, a="launch")

    with pytest.raises(
        InputError, match=r"'revenue_2024': nothing is sold in 2024 to depth any, .*: make the claim a check"
    ):
        prior_set_of(change)


def bare(tables: Tables) -> None:
    """As little as can be: one region, one depth, every year an anchor, no evidence."""
    anchors(tables, 2024, 2025, 2026)
    keep_regions(tables, 1)
    depths(tables, 1.0)
    modalities(tables, drugs="everyone", implant="launch")
    drop(tables, role="evidence")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["as it is", "bare", "evidence on parts", "five modalities"])
def test_another_market_is_sampled(name: str) -> None:
    pset = prior_set_of(bare if name == "bare" else CHANGES[name])
    run = sample(build_model(pset), Sampling(draws=100, tune=100, chains=2, prior_draws=200))
    for group in ("prior", "posterior"):
        check(pset, {str(n): v.values.reshape(-1, *v.shape[2:]) for n, v in run[group].data_vars.items()})
    assert ("evidence" in run["observed_data"]) == bool(pset.evidence)
    if name == "as it is":
        total = run["posterior"]["revenue_total"].sel(year=2024)
        assert float(total.median()) == pytest.approx(1500, rel=0.15)
        assert run["posterior"].sizes["region"] == 4
