"""Another market, and every shape of ledger that it could have: the model comes from the ledger alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from postcgrp.inference import Sampling, sample
from postcgrp.models import build_model
from postcgrp.models.variables import source_years
from postcgrp.priors import InputError, PriorSet
from postcgrp.tests.helpers.markets import (
    CHANGES,
    Tables,
    anchors,
    assumption,
    claim,
    depths,
    drop,
    evidence,
    keep_regions,
    launch_in,
    modalities,
    prior_set_of,
)
from postcgrp.tests.helpers.stored import prior_draws

pytestmark = pytest.mark.fit

DRAWS = 300


def check(pset: PriorSet, draws: dict[str, NDArray[Any]]) -> None:
    """What must hold of any market in every draw: finite, positive, coherent, ordered, and at the stated ranges."""
    ledger, years = pset.ledger, pset.ledger.years
    for name, values in draws.items():
        assert np.isfinite(values).all(), name
    patients, use, revenue = draws["patients"], draws["use"], draws["revenue"]
    sizes = [len(names) for names in ledger.segments.values()]
    assert revenue.shape[1:] == (len(years), *sizes)
    assert np.allclose(revenue.sum(axis=(2, 3, 4)), draws["revenue_total"], rtol=1e-9, atol=0)
    assert np.allclose(patients[..., None] * use * draws["intensity"] / 1e6, revenue, rtol=1e-9, atol=0)
    assert np.allclose(draws["depth_share"].sum(axis=-1), 1, atol=1e-12)
    assert (patients > 0).all()
    assert (draws["intensity"] > 0).all()
    assert (revenue >= 0).all()
    assert ((use >= 0) & (use <= 1)).all()
    assert (np.diff(draws["intensity"], axis=3) >= -1e-9 * draws["intensity"][..., :1, :]).all()
    for k, modality in enumerate(ledger.modalities):
        of, weight = use[..., k], patients.sum(axis=(2, 3))
        mean = (patients * of).sum(axis=(2, 3)) / weight
        if modality.uptake == "everyone":
            assert (of == 1).all()
            continue
        level = draws[pset.own(f"{modality.uptake}_level", modality)]
        turn = -1 if pset.blocks[pset.own(f"{modality.uptake}_level", modality)].falling else 1
        assert (turn * np.diff(level, axis=1) >= 0).all()
        if modality.uptake == "adoption":
            assert (of > 0).all()
            assert np.allclose(of, draws[pset.own("adoption", modality)])
            assert np.allclose(mean, draws[pset.own("adoption_mean", modality)])
            assert (np.diff(of, axis=3) >= 0).all()
        else:
            share = np.array(
                [pset.number("eligible_share", depth=d, modality=modality.name) for d in ledger.segments["depth"]]
            )
            launch = int(pset.number("launch_year", modality=modality.name))
            before = [year < launch for year in years]
            assert (of[:, before] == 0).all()
            assert (of[:, np.invert(before)][..., share > 0] > 0).all()
            assert (of[..., share == 0] == 0).all()
            mean = mean * weight / (patients * share).sum(axis=(2, 3))
        assert (turn * np.diff(mean, axis=1) >= -1e-6 * mean[:, 1:]).all()
        reached = mean[:, [years.index(a) for a in pset.anchors(modality)]]
        assert np.allclose(
            reached, level, rtol=1e-4
        )  # 1e-5 but for odds that differ between regions by a factor of 400
    users = patients[..., None] * use
    sold = users.sum(axis=(2, 3)) > 0
    spend = (users * draws["intensity"]).sum(axis=(2, 3))
    assert np.allclose(spend[sold], (draws["price"] * users.sum(axis=(2, 3)))[sold], rtol=1e-9)
    check_burden(pset, draws)
    check_evidence(pset, draws)


def check_burden(pset: PriorSet, draws: dict[str, NDArray[Any]]) -> None:
    base = draws["patients"][:, 0]
    for k, name in enumerate(p.name for p in pset.blocks["burden_level"].priors) if "burden_level" in draws else ():
        mean = (base * draws[name]).sum(axis=(1, 2)) / base.sum(axis=(1, 2))
        assert np.allclose(mean, draws["burden_level"][:, k], rtol=1e-4)
    if "acute_use" in draws:
        assert (np.diff(draws["acute_use"], axis=2) >= 0).all()
        assert (draws.get("moh", draws["acute_use"]) <= draws["acute_use"]).all()


def check_evidence(pset: PriorSet, draws: dict[str, NDArray[Any]]) -> None:
    """Each row is observed around the logarithm of the sum of its cells and, but for shares, the report's error."""
    for k, row in enumerate(pset.evidence):
        whole = draws["patients" if row.quantity == "patients" else "revenue"][:, pset.ledger.years.index(row.year)]
        part = whole
        for axis, (dim, names) in enumerate(list(pset.ledger.segments.items())[: whole.ndim - 1], start=1):
            if (label := getattr(row, dim)) is not None:
                part = part.take([names.index(label)], axis=axis)
        mean = np.log(part.reshape(len(part), -1).sum(axis=1))
        if row.quantity == "revenue_share":
            mean -= np.log(whole.reshape(len(whole), -1).sum(axis=1))
        else:
            mean += draws["source_error"][:, source_years(pset).index(row.year)]
        assert np.allclose(mean, draws["evidence_log_mean"][:, k], atol=1e-4), row.id


def in_ranges(pset: PriorSet, draws: dict[str, NDArray[Any]]) -> None:
    """Stated ranges hold their mass, within what so few draws can tell."""
    for name, block in pset.blocks.items():
        for k, prior in enumerate(block.priors):
            if name.startswith(("adoption_level", "burden_level", "launch_level")) and prior.coverage is not None:
                inside = (draws[name][:, k] > prior.low) & (draws[name][:, k] < prior.high)
                assert inside.mean() == pytest.approx(prior.coverage, abs=0.1), prior.name


SLOW = {
    "adoption first",
    "launch before the last anchor",
    "launch a year after the start",
    "launched in the first year",
    "a long window",
    "burden overlapping",
    "patients of another year",
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in CHANGES])
def test_any_shape_of_ledger_gives_a_coherent_model(name: str) -> None:
    pset = prior_set_of(CHANGES[name])
    model = build_model(pset)
    dims = [model.named_vars_to_dims.get(rv.name, ()) for rv in model.free_RVs]
    assert all(model.coords.get(dim) != () for variable in dims for dim in variable), "a variable without elements"
    draws = prior_draws(model, DRAWS)
    check(pset, draws)
    in_ranges(pset, draws)


def test_an_adoption_that_neither_rises_nor_falls_throughout_is_refused() -> None:
    def up_and_down(tables: Tables) -> None:
        CHANGES["adoption that falls"](tables)
        tables["claims"] = [c | ({"low": 0.3, "high": 0.4} if c["year"] == 2027 else {}) for c in tables["claims"]]

    assert prior_set_of(CHANGES["adoption that falls"]).blocks["adoption_level"].falling
    with pytest.raises(InputError, match=r"then .* must not fall"):
        prior_set_of(up_and_down)


def test_a_count_of_another_year_is_the_count_of_that_year() -> None:
    pset = prior_set_of(CHANGES["patients of another year"])
    draws = prior_draws(build_model(pset), DRAWS)
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
        ({"year": 2025, "modality": "implant"}, 0.5, "evidence in 2025, before its launch_year 2026: make .* or move"),
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


@pytest.mark.parametrize(
    "name",
    [
        "as it is",
        pytest.param("bare", marks=pytest.mark.slow),
        pytest.param("evidence on parts", marks=pytest.mark.slow),
        pytest.param("five modalities", marks=pytest.mark.slow),
    ],
)
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
