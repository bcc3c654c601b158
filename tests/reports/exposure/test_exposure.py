"""Revenue by country and company: sums in every draw, shares as the file says, weights, lines, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from xarray import DataTree

from postcgrp.models import variables as v
from postcgrp.priors import InputError, PriorSet
from postcgrp.priors.files import sha256
from postcgrp.priors.shares import Shares, load_shares
from postcgrp.priors.shipped import ASSUMPTIONS_FILE, SHARES_FILE
from postcgrp.reports.export.read import read_export
from postcgrp.reports.exposure.answer import exposure, shares_file
from postcgrp.reports.exposure.draws import exposure_export
from postcgrp.reports.exposure.figures import company_revenue
from postcgrp.reports.exposure.split import EXACT, Exposure, divide_draws, divide_revenue
from postcgrp.reports.exposure.tables import (
    NOT_THE_REPORTS,
    WHOLE,
    company_table,
    country_table,
    exposure_sentence,
    exposure_table,
)
from postcgrp.reports.runs.run import Run
from postcgrp.tests.helpers.exported import RECORD, brief, market
from postcgrp.tests.helpers.paths import OTHER_MARKET
from postcgrp.tests.helpers.stored import write

MADE = RECORD | {"recipe_sha256": "0", "created": "2026-01-01", "files": {"posterior.nc": "0"}}
CORNERS = settings(max_examples=25, deadline=None)
LINES = {"toxin": 0, "cgrp_antibody": 0, "gepant": 0, "acute": 0, "pacap": 0, "device": 1, "implant_case": 2}


@pytest.fixture(scope="module")
def shares(pset: PriorSet) -> Shares:
    return load_shares(pset.ledger)


def run_of(pset: PriorSet, chains: int = 2, draws: int = 20, seed: int = 1) -> Run:
    return Run.in_memory(without_lines(market(pset, chains, draws, seed)), brief(pset), MADE)


def without_lines(tree: DataTree) -> DataTree:
    return DataTree.from_dict({"/posterior": tree["posterior"].to_dataset().drop_dims("line")})


def with_lines(pset: PriorSet, only: dict[str, int] | None = None, draws: int = 20) -> Run:
    """A run whose revenue is also by line, in random parts that sum to the modality's; `only`, its lines."""
    lines = LINES if only is None else only
    tree = without_lines(market(pset, draws=draws))
    revenue = tree["posterior"].to_dataset()["revenue"].values
    parts = np.random.default_rng(4).dirichlet(np.ones(len(lines)), revenue.shape[:-1])
    for modality in range(revenue.shape[-1]):
        own = [at for at, of in enumerate(lines.values()) if of == modality]
        if own:
            parts[..., own] *= revenue[..., [modality]] / parts[..., own].sum(axis=-1, keepdims=True)
    data = tree["posterior"].to_dataset().assign_coords(line=list(lines))
    data[v.REVENUE_LINE] = (("chain", "draw", "year", "region", "depth", "line"), parts)
    return Run.in_memory(DataTree.from_dict({"/posterior": data}), brief(pset), MADE)


def totals(run: Run) -> xr.DataArray:
    return run.read(["revenue_total"])["revenue_total"]


def assert_sums(run: Run, divided: Exposure) -> None:
    """Countries, companies and their parts are the market, the modalities and the regions, in every draw."""
    by_modality = run.read(["revenue"])["revenue"].sum(["region", "depth"])
    for sums in (divided.countries.sum(["country", "modality"]), divided.companies.sum(["company", "part"])):
        np.testing.assert_allclose(sums.transpose("chain", "draw", "year"), totals(run), rtol=EXACT)
    by_country = divided.countries.sum("country").transpose("chain", "draw", "year", "modality")
    np.testing.assert_allclose(by_country, by_modality, rtol=EXACT)
    for modality in by_modality["modality"].values:
        parts = [part for part, of in divided.modality_of.items() if of == modality]
        sums = divided.companies.sel(part=parts).sum(["part", "company"])
        np.testing.assert_allclose(sums, by_modality.sel(modality=modality), rtol=EXACT)
    for shares, over in ((divided.country_shares, "country"), (divided.company_shares, "company")):
        assert (shares >= 0).all()
        np.testing.assert_allclose(shares.sum(over), 1, rtol=EXACT)


@st.composite
def any_shares(draw: st.DrawFn, pset: PriorSet) -> Shares:
    """Shares of any number of countries and companies, from nearly certain to nearly nothing known."""
    segments = pset.ledger.segments
    assumed = {"source": "assumption", "reason": "made up"}
    weights = st.lists(st.floats(0.01, 1), min_size=1, max_size=4)
    concentration = st.floats(1e-3, 1e6)
    countries: list[dict[str, Any]] = []
    stakes: list[dict[str, Any]] = []
    splits: list[dict[str, Any]] = []
    for dim, rows, holder in (("region", countries, "name"), ("modality", stakes, "company")):
        for label in segments[dim]:
            parts = np.array(draw(weights))
            rows += [{holder: f"h{k}", dim: label, "share": p, **assumed} for k, p in enumerate(parts / parts.sum())]
            if len(parts) > 1:
                splits.append({dim: label, "concentration": draw(concentration), **assumed})
    companies = [{"name": name} for name in dict.fromkeys(stake["company"] for stake in stakes)]
    content = {"header": {"report": "smr"}, "countries": countries, "companies": companies, "stakes": stakes}
    return Shares.model_validate(content | {"splits": splits})


@CORNERS
@given(data=st.data(), seed=st.integers(0, 1000))
def test_sums_hold_for_any_shares(pset: PriorSet, data: st.DataObject, seed: int) -> None:
    run = run_of(pset, chains=2, draws=3, seed=seed)
    assert_sums(run, divide_revenue(run, data.draw(any_shares(pset)), seed))


def test_sums_hold_by_modality_and_by_line(pset: PriorSet, shares: Shares) -> None:
    for run in (run_of(pset, draws=20), with_lines(pset, draws=20)):
        assert_sums(run, divide_revenue(run, shares))


def test_a_run_with_lines_is_divided_by_line(pset: PriorSet, shares: Shares) -> None:
    divided = divide_revenue(with_lines(pset, draws=20), shares)
    assert [*divided.companies["part"].values] == [*LINES]
    assert divided.modality_of["gepant"] == "pharmacologic"
    held = divided.company_shares.sel(part="toxin", company="Amgen")
    assert (held == 0).all()


def test_a_modality_without_lines_is_divided_as_such(pset: PriorSet, shares: Shares) -> None:
    run = with_lines(pset, {name: of for name, of in LINES.items() if of == 0}, draws=20)
    divided = divide_revenue(run, shares)
    assert {*divided.modality_of.values()} == {*pset.ledger.segments["modality"]}
    assert_sums(run, divided)


@pytest.mark.fit
def test_shares_have_the_mean_and_spread_of_the_file(pset: PriorSet, shares: Shares) -> None:
    divided = divide_revenue(run_of(pset, chains=4, draws=2000), shares)
    for country in shares.parts(("EU5", None, None)):
        drawn = divided.country_shares.sel(region="EU5", country=country.holder).values.ravel()
        sd = (country.share * (1 - country.share) / (shares.concentration(country.whole) + 1)) ** 0.5
        assert drawn.mean() == pytest.approx(country.share, abs=4 * sd / drawn.size**0.5)
        assert drawn.std() == pytest.approx(sd, rel=0.06)
    assert (divided.country_shares.sel(region="Japan", country="Japan") == 1).all()


def test_others_are_those_of_every_region(pset: PriorSet, shares: Shares) -> None:
    run = run_of(pset, draws=20)
    divided = divide_revenue(run, shares)
    by_region = run.read(["revenue"])["revenue"].sum(["depth", "modality"])
    others = divided.country_shares.sel(country="Others")
    wanted = sum(by_region.sel(region=r) * others.sel(region=r) for r in ("Other Developed", "Rest of World"))
    found = divided.countries.sel(country="Others").sum("modality")
    np.testing.assert_allclose(found, wanted, rtol=EXACT)


def test_the_same_seed_gives_the_same_shares_and_one_side_does_not_change_the_other(
    pset: PriorSet, shares: Shares
) -> None:
    run = run_of(pset, draws=20)
    first, again, other = (divide_revenue(run, shares, seed) for seed in (1, 1, 2))
    assert first.countries.identical(again.countries)
    assert first.companies.identical(again.companies)
    assert not first.countries.equals(other.countries)
    splits = [split for split in shares.splits if split.region != "EU5"]
    countries = [c for c in shares.countries if c.region != "EU5" or c.name == "Germany"]
    alone = [c.model_copy(update={"share": 1.0}) if c.name == "Germany" else c for c in countries]
    fewer = shares.model_copy(update={"countries": tuple(alone), "splits": tuple(splits)})
    assert divide_revenue(run, fewer).companies.identical(first.companies)


def test_a_counterfactual_is_divided_by_the_same_shares(pset: PriorSet, shares: Shares) -> None:
    run = run_of(pset)
    data = run.read(["revenue"])
    more = data.assign(revenue=data["revenue"] * (1 + 0.5 * (data["modality"] == "non_invasive")))
    paired = divide_draws(more, shares).companies - divide_revenue(run, shares).companies
    assert (paired.sel(part=["pharmacologic", "implantable"]) == 0).all()
    base = divide_revenue(run, shares).companies.sel(part="non_invasive")
    np.testing.assert_allclose(paired.sel(part="non_invasive"), base / 2, rtol=EXACT)


def test_an_updated_run_is_divided_by_its_weights(pset: PriorSet, shares: Shares) -> None:
    base = run_of(pset, chains=2, draws=50)
    weights = np.random.default_rng(2).dirichlet(np.full(100, 0.3)).reshape(2, 50)
    updated = Run(Path(), base.priors, MADE, base, weights)
    divided = divide_revenue(updated, shares)
    assert_sums(updated, divided)
    assert not np.allclose(divided.countries.sum(["country", "modality"]), totals(base))


def test_tables_are_those_of_the_draws(pset: PriorSet, shares: Shares) -> None:
    run = with_lines(pset, draws=200)
    divided = divide_revenue(run, shares)
    table = country_table(divided, "USD million")
    rows = table[(table["country"] == "Germany") & (table["year"] == 2030)].set_index("modality")
    germany = divided.countries.sel(country="Germany", year=2030)
    assert rows.loc[WHOLE, "median"] == pytest.approx(float(germany.sum("modality").median()), rel=EXACT)
    ends = np.quantile(germany.sel(modality="non_invasive").values, [0.05, 0.95])
    assert (rows.loc["non_invasive", "low_90"], rows.loc["non_invasive", "high_90"]) == pytest.approx(
        tuple(ends), rel=EXACT
    )
    companies = company_table(divided, "USD million")
    salvia = companies[(companies["company"] == "Salvia BioElectronics") & (companies["year"] == 2025)]
    assert salvia["p_any"].tolist() == [0, 0]  # in all and in its one line: before a launch nothing is sold
    assert "toxin" not in {*companies[companies["company"] == "Amgen"]["part"]}
    assert {"unit", "mean", "sd", "low_50", "high_80", "low_90"} <= {*companies.columns}


def test_exposure_is_a_share_of_the_company(pset: PriorSet, shares: Shares) -> None:
    divided = divide_revenue(with_lines(pset, draws=200), shares)
    table = exposure_table(divided)
    assert all(table[column].between(0, 1).all() for column in ("share", "low_90", "high_90"))
    alone = table[(table["company"] == "electroCore")]
    assert (alone["share"] == 1).all()
    assert {*table[table["company"] == "AbbVie"]["part"]} == {"toxin", "gepant", "acute", "pacap"}
    abbvie = divided.companies.sel(company="AbbVie", year=2030)
    wanted = float((abbvie.sel(part="toxin") / abbvie.sum("part")).median())
    row = table[(table["company"] == "AbbVie") & (table["part"] == "toxin") & (table["year"] == 2030)]
    assert row["share"].item() == pytest.approx(wanted)
    assert not ((table["company"] == "Salvia BioElectronics") & (table["year"] == 2025)).any()


def test_the_sentence_says_whose_the_shares_are(pset: PriorSet, shares: Shares) -> None:
    sentence = exposure_sentence(divide_revenue(run_of(pset, draws=50), shares), "USD million")
    assert sentence.startswith("Largest in 2035, USD million")
    assert sentence.endswith(NOT_THE_REPORTS)


def test_the_figure_stacks_the_parts_of_each_company(pset: PriorSet, shares: Shares) -> None:
    table = company_table(divide_revenue(with_lines(pset, draws=50), shares), "USD million")
    bars, ends = company_revenue(table, 2030)["layer"]
    assert {(row["company"], row["part"]) for row in bars["data"]["values"]} >= {
        ("AbbVie", "toxin"),
        ("AbbVie", "acute"),
    }
    assert {row["part"] for row in ends["data"]["values"]} == {WHOLE}


@pytest.mark.parametrize("to", ["parquet", "csv"])
def test_draws_come_back_as_exports(pset: PriorSet, tmp_path: Path, to: str) -> None:
    run = run_of(pset, draws=4)
    answer = exposure(run, out=tmp_path / "out", draws=to)
    read = read_export(tmp_path / "out" / "draws")
    xr.testing.assert_equal(read.data, exposure_export(run, answer.exposure).data)
    total = read.data["revenue_country"].sum(["country", "modality"])
    np.testing.assert_allclose(total, totals(run).stack(sample=["chain", "draw"]).transpose("sample", ...), rtol=EXACT)
    assert read.header["tables"]["revenue_company"]["dims"] == ["year", "company", "part"]
    assert "not the report's" in read.header["tables"]["revenue_company"]["about"]
    table = pd.read_csv(tmp_path / "out" / "companies.csv")
    assert {"company", "part", "median"} <= {*table.columns}


def test_a_line_without_shares_is_named(pset: PriorSet, shares: Shares) -> None:
    run = with_lines(pset, {"toxin": 0, "steroid": 0, "device": 1, "implant_case": 2}, draws=4)
    with pytest.raises(InputError, match="line 'steroid' of this run has no shares: add"):
        divide_revenue(run, shares)


def test_lines_of_another_modality_than_the_ledger_s_are_refused(pset: PriorSet, shares: Shares) -> None:
    run = with_lines(pset, {"toxin": 0, "acute": 1, "device": 1, "implant_case": 2})  # acute is one of drugs
    with pytest.raises(InputError, match=r"the lines of 'pharmacologic' in the shares .* do not sum to its revenue"):
        divide_revenue(run, shares)


def test_a_ledger_without_shares_says_so(tmp_path: Path) -> None:
    from postcgrp.priors import effective, load_ledger

    other = effective(load_ledger(OTHER_MARKET / "report.toml", OTHER_MARKET / "assumptions.toml"))
    with pytest.raises(InputError, match="its ledger has no shares of countries and companies: write a"):
        exposure(Run.in_memory(market(other), brief(other), MADE))


def test_a_run_keeps_to_the_shares_that_it_was_made_with(pset: PriorSet, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = write(pset, folder, market(pset)["posterior"].to_dataset())
    assert shares_file(run) == ASSUMPTIONS_FILE.with_name(SHARES_FILE)  # an older run of the report has none of its own
    own = shutil.copy(ASSUMPTIONS_FILE.with_name(SHARES_FILE), folder)
    kept = Run(folder, run.priors, {**run.manifest, "files": {**run.manifest["files"], SHARES_FILE: sha256(own)}})
    assert shares_file(kept) == folder / SHARES_FILE
    (folder / SHARES_FILE).write_text("changed")
    with pytest.raises(InputError, match="is missing or was changed after the run"):
        shares_file(kept)


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        ({"seed": -1}, "--seed -1: is negative"),
        ({"draws": "xlsx"}, "--draws xlsx: is not a format"),
        ({"draws": "csv"}, "goes into the folder --out"),
        ({"shares": Path("nowhere.toml")}, "nowhere.toml: cannot be read"),
    ],
)
def test_bad_settings_are_one_line(pset: PriorSet, wrong: dict[str, Any], wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        exposure(run_of(pset, draws=2), **wrong)
