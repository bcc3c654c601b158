"""The funnel's arithmetic: products, parts that sum to their whole, ranges, drifts, and what a claimed pool needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from xarray import Dataset

from postcgrp.priors import InputError, Ledger, PriorSet
from postcgrp.priors.evidence_file import read_evidence
from postcgrp.priors.funnel import Funnel, funnel_beside, load_funnel, step_prior
from postcgrp.reports.exposure.figures import funnel as funnel_figure
from postcgrp.reports.exposure.funnel import ALL, funnel_draws, funnel_verdict, opinion, pool
from postcgrp.reports.exposure.funnel_files import patient_funnel
from postcgrp.reports.exposure.funnel_tables import (
    eligible_patients,
    exposure_by_botox,
    funnel_table,
    must_be_true,
    pool_evidence,
    pool_path,
)

DRAWS = 20_000
CORNERS = settings(max_examples=25, deadline=None)


@pytest.fixture(scope="module")
def shipped(ledger: Ledger) -> Funnel:
    return load_funnel(ledger)


@pytest.fixture(scope="module")
def drawn(shipped: Funnel, ledger: Ledger) -> Dataset:
    return funnel_draws(shipped, ledger, draws=DRAWS, seed=3)


def assumed(low: float, high: float) -> dict[str, object]:
    return {"low": low, "high": high, "seen": "assumption", "source": "assumption", "reason": "made up"}


@st.composite
def funnels(draw: st.DrawFn) -> Funnel:
    """A trunk of two to five steps, a share of each step and its complement, drifts or none."""
    count = draw(st.integers(2, 5))
    regions = draw(st.lists(st.sampled_from(["United States", "EU5", "Japan"]), min_size=1, max_size=3, unique=True))
    share, correlation = st.floats(0.01, 0.98), st.floats(0, 1)
    steps, branches, rows = [], [], []
    for at in range(count):
        unit = "fraction" if at else "people"
        name = f"s{at}"
        steps.append({"name": name, "label": name, "unit": unit, "correlation": draw(correlation), "about": "x"})
        branches.append({"name": f"b{at}", "label": "b", "of": name, "correlation": draw(correlation), "about": "x"})
        branches.append({"name": f"c{at}", "label": "c", "without": f"b{at}", "about": "x"})
        for step in (name, f"b{at}"):
            for region in regions:
                low = draw(share) * (1e6 if step == "s0" else 1.0)
                high = low * 1.5 if step == "s0" else low + (1 - low) / 2
                rows.append({"step": step, "region": region, **assumed(low, high)})
    slope = draw(st.floats(-0.3, 0.3))
    drifts = [{"step": "s1", "first_year": 2026, "last_year": 2028, **assumed(slope - 0.01, slope + 0.01)}]
    header = {"report": "smr", "year": 2025, "last_year": 2029}
    content = {"header": header, "steps": steps, "branches": branches, "rows": rows}
    return Funnel.model_validate(content | {"drifts": drifts if draw(st.booleans()) else []})


@CORNERS
@given(funnel=funnels(), seed=st.integers(0, 1000))
def test_parts_are_the_whole_and_people_are_products(ledger: Ledger, funnel: Funnel, seed: int) -> None:
    drawn = funnel_draws(funnel, ledger, draws=50, seed=seed)
    people, share = drawn["people"], drawn["share"]
    assert np.isfinite(people).all()
    assert (people > 0).all()
    product = share.sel(node="s0")
    for at, step in enumerate(funnel.steps):
        if at:
            product = product * share.sel(node=step.name)
        np.testing.assert_allclose(people.sel(node=step.name), product, rtol=1e-12)
        parts = people.sel(node=f"b{at}") + people.sel(node=f"c{at}")
        np.testing.assert_allclose(parts, people.sel(node=step.name), rtol=1e-9)
    assert (share.drop_sel(node="s0") > 0).all()
    assert (share.drop_sel(node="s0") < 1).all()


@CORNERS
@given(funnel=funnels())
def test_the_needed_value_makes_the_product_the_claimed_pool(ledger: Ledger, funnel: Funnel) -> None:
    drawn = funnel_draws(funnel, ledger, draws=50, seed=0)
    table = must_be_true(drawn, funnel, ledger)
    for region in funnel.regions:
        rows = table[table["region"] == region].set_index("step")
        medians = {
            step.name: float(step_prior(funnel, ledger, step.name, region).quantile(0.5)) for step in funnel.steps
        }
        for step in funnel.steps:
            with_needed = np.prod([*(medians | {step.name: rows.loc[step.name, "needed"]}).values()])
            assert with_needed == pytest.approx(opinion(drawn, funnel, ledger, region).claimed)
    assert table["p_beyond"].between(0, 1).all()
    assert table.groupby("region")["of_variance"].sum().tolist() == pytest.approx([1] * table["region"].nunique())
    assert (table.loc[~table["possible"], "p_beyond"] == 0).all()


def test_ranges_hold_their_mass(drawn: Dataset, shipped: Funnel, ledger: Ledger) -> None:
    now = drawn["share"].sel(year=shipped.header.year)
    for region in shipped.regions:
        for node in shipped.ranged:
            prior = step_prior(shipped, ledger, node.name, region)
            draws = now.sel(region=region, node=node.name).values
            inside = np.mean((draws > float(prior.low or 0)) & (draws < float(prior.high or 1)))
            assert inside == pytest.approx(0.9, abs=0.01)  # 4.7 standard errors


def test_regions_are_correlated_as_the_file_says(drawn: Dataset, shipped: Funnel) -> None:
    for step in shipped.steps[1:]:
        share = logit(drawn["share"].sel(year=shipped.header.year, node=step.name).values)
        found = np.corrcoef(share[:, 0], share[:, 1])[0, 1]
        assert found == pytest.approx(step.correlation, abs=0.03)


def test_definitions_of_the_implant_eligible_are_nested(drawn: Dataset) -> None:
    people = drawn["people"]
    strict, base, lenient, deep = (
        people.sel(node=name) for name in ("implant_strict", "implant_base", "implant_lenient", "depth_3")
    )
    assert ((strict < base) & (base < lenient) & (lenient < deep)).all()


def test_every_partition_of_the_shipped_funnel_sums(drawn: Dataset) -> None:
    people = drawn["people"]
    for whole, parts in {
        "exposed": ["exposed_antibody_only", "exposed_both", "exposed_gepant_only"],
        "pool": ["pool_antibody_only", "pool_both", "pool_gepant_only"],
        "botox": ["botox_combined", "botox_alone"],
    }.items():
        np.testing.assert_allclose(people.sel(node=parts).sum("node"), people.sel(node=whole), rtol=1e-9)
    depths = people.sel(node=["depth_1", "depth_2", "depth_3"]).sum("node")
    np.testing.assert_allclose(depths, people.sel(node="pool"), rtol=1e-9)


def test_a_drift_is_the_hand_written_path(ledger: Ledger, shipped: Funnel) -> None:
    """One drift, almost a point: the share's logit rises by it each year within its years, and by nothing outside."""
    rate, first, last = 0.2, 2027, 2030
    drift = {"step": "exposed", "region": "EU5", "first_year": first, "last_year": last}
    content = shipped.model_dump() | {"drifts": [drift | assumed(rate - 1e-9, rate + 1e-9)]}
    with_drift = funnel_draws(Funnel.model_validate(content), ledger, draws=200, seed=5)
    without = funnel_draws(Funnel.model_validate(content | {"drifts": []}), ledger, draws=200, seed=5)
    base = without["share"].sel(node="exposed", region="EU5", year=shipped.header.year).values
    for year in shipped.years:
        expected = expit(logit(base) + rate * (min(max(year, first), last) - first))
        found = with_drift["share"].sel(node="exposed", region="EU5", year=year).values
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    flat = with_drift["share"].sel(node="exposed", region="Japan")
    np.testing.assert_allclose(flat.max("year"), flat.min("year"), rtol=1e-12)


def test_the_same_seed_gives_the_same_draws(shipped: Funnel, ledger: Ledger) -> None:
    first, second, other = (funnel_draws(shipped, ledger, draws=20, seed=seed) for seed in (7, 7, 8))
    assert first.identical(second)
    assert not first.equals(other)


def test_tables_agree_with_the_draws(drawn: Dataset, shipped: Funnel, ledger: Ledger) -> None:
    table = funnel_table(drawn, shipped).set_index(["region", "node"])
    path = pool_path(drawn, shipped, ledger).set_index(["region", "year"])
    for region in (*shipped.regions, ALL):
        draws = pool(drawn, shipped, region).sel(year=2025)
        assert table.loc[(region, "pool"), "median"] == float(draws.median())
        assert path.loc[(region, 2025), "median"] == float(draws.median())
        compared = opinion(drawn, shipped, ledger, region)
        assert path.loc[(region, 2025), "p_at_least"] == float((draws >= compared.claimed).mean())
    assert str(table.loc[("EU5", "pool"), "source"]).startswith("assumption")
    assert table.loc[("EU5", "botox"), "seen"] == "claim"
    assert table.loc[(ALL, "pool"), ["seen", "source", "reason"]].isna().all()


def test_the_sentence_has_the_answer_first(drawn: Dataset, shipped: Funnel, ledger: Ledger) -> None:
    sentence = funnel_verdict(drawn, shipped, ledger)
    compared = opinion(drawn, shipped, ledger)
    assert sentence.startswith("In United States + EU5 + Japan the funnel expects")
    assert f"P(at least the claimed) = {compared.p_at_least:.0%}" in sentence
    total = sum(c.value or 0 for c in ledger.claims if c.quantity == "patients" and c.role == "prior")
    assert f"the claimed {total:,.0f} or more" in sentence
    assert compared.claimed + compared.elsewhere == total


def test_exposure_by_botox_has_the_words_of_the_report(drawn: Dataset, shipped: Funnel) -> None:
    table = exposure_by_botox(drawn, shipped)
    assert {*table["exposure"]} == {"CGRP mAbs", "Preventive Gepants", "Combination Exposure"}  # the report's words
    assert len(table) == 3 * 3 * (len(shipped.regions) + 1)


def test_eligible_patients_are_fewer_than_the_pool(drawn: Dataset, shipped: Funnel) -> None:
    table = eligible_patients(drawn, shipped)
    for region in (*shipped.regions, ALL):
        people = float(pool(drawn, shipped, region).sel(year=2025).median())
        whole = table[(table["region"] == region) & (table["depth"] == "all")]
        implants = whole[whole["modality"] == "implantable"].set_index("stringency")["median"]
        definitions = [implants[name] for name in ("strict", "base", "lenient")]
        assert definitions == sorted(definitions)
        assert whole["median"].max() < people
        assert len(whole) == 4


def test_the_pool_is_evidence_that_a_forecast_can_read(
    drawn: Dataset, shipped: Funnel, pset: PriorSet, tmp_path: Path
) -> None:
    path = tmp_path / "evidence.csv"
    pool_evidence(drawn, shipped).to_csv(path, index=False)
    rows = read_evidence([path], pset.ledger, pset.trust, pset.evidence)
    assert [row.region for row in rows] == [*shipped.regions]
    for row in rows:
        draws = np.log(pool(drawn, shipped, str(row.region)).sel(year=2025).values)
        assert row.value == pytest.approx(np.exp(draws.mean()), rel=0.001)
        assert row.log_sd == pytest.approx(draws.std(), abs=0.001)


def test_the_figure_narrows_step_by_step(drawn: Dataset, shipped: Funnel) -> None:
    table = funnel_table(drawn, shipped)
    spec = funnel_figure(table)
    rows = [row for row in spec["data"]["values"] if row["region"] == "EU5"]
    widths = [row["median_right"] for row in rows]
    assert widths == sorted(widths, reverse=True)
    assert all(row["tail_right"] <= row["median_right"] <= row["high_90_right"] for row in rows)
    assert all(row["median_left"] == -row["median_right"] for row in rows)


@pytest.mark.fit
def test_a_folder_is_written_whole(ledger: Ledger, tmp_path: Path) -> None:
    path, out = funnel_beside(), tmp_path / "funnel"
    answer = patient_funnel(ledger, path, draws=1000, out=out)
    assert {f"{name}.csv" for name in answer.tables} < {file.name for file in out.iterdir()}
    assert (out / "funnel.toml").read_bytes() == path.read_bytes()
    patient_funnel(ledger, path, draws=1000, out=out)  # an earlier one is replaced
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        patient_funnel(ledger, path, draws=1000, out=tmp_path / "other")


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        ({"draws": 10}, "--draws 10: use 1,000"),
        ({"seed": -1}, "--seed -1: is negative"),
        ({"coverage": 90}, "--coverage 90: is not inside 0..1"),
    ],
)
def test_settings_out_of_range(ledger: Ledger, wrong: dict[str, Any], wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        patient_funnel(ledger, funnel_beside(), **wrong)


def test_a_smaller_coverage_widens_the_pool_and_keeps_its_middle(shipped: Funnel, ledger: Ledger) -> None:
    usual, wide = (funnel_draws(shipped, ledger, 5000, 1, coverage) for coverage in (0.9, 0.5))
    now = [opinion(drawn, shipped, ledger, "EU5") for drawn in (usual, wide)]
    assert now[1].high / now[1].low > (now[0].high / now[0].low) ** 1.5
    tables = [must_be_true(drawn, shipped, ledger) for drawn in (usual, wide)]
    rows = [table[(table["region"] == "EU5") & (table["step"] == "exposed")] for table in tables]
    assert rows[1]["needed"].item() == rows[0]["needed"].item()
    assert rows[1]["p_beyond"].item() > rows[0]["p_beyond"].item()
