"""Sensitivity beyond one claim and one year: groups of claims, other headlines, and the sign of a deal's value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from xarray import Dataset

from postcgrp.inference.psis import reweight
from postcgrp.models import variables as v
from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.runs.evidence import needed, source_densities
from postcgrp.reports.sensitivity.deal_flips import _pairs, deal_flips
from postcgrp.reports.sensitivity.flip import headline_of, parse_flip
from postcgrp.reports.sensitivity.refits import Refit
from postcgrp.reports.sensitivity.study import sensitivity
from postcgrp.reports.sensitivity.tornado import elicited_numbers, log_ratio, shift_prior
from postcgrp.reports.sensitivity.variants import together
from postcgrp.reports.valuation.deal import load_deal
from postcgrp.reports.valuation.valuation import price
from postcgrp.tests.helpers.paths import EXAMPLES
from postcgrp.tests.helpers.stored import prior_run

pytestmark = pytest.mark.fit

CHAINS, DRAWS = 4, 1000


def test_claims_that_say_the_same_are_left_out_together(pset: PriorSet) -> None:
    found = {variant.name: variant for variant in together(pset)}
    assert {variant.kind for variant in found.values()} == {"claims left out together"}
    forecasts = next(variant for name, variant in found.items() if name.startswith("every forecast of revenue ("))
    assert forecasts.pset is not None
    first = pset.ledger.years[0]
    assert {row.year for row in forecasts.pset.evidence} == {first, None}  # a share of the whole window is no forecast
    of_devices = next(variant for name, variant in found.items() if name.startswith("all of non_invasive"))
    assert of_devices.pset is not None
    assert not [row for row in of_devices.pset.evidence if row.modality == "non_invasive"]
    mine = replace(pset.evidence[0], id="mine", source="vendor: other", year=2031)
    assert all(
        "mine" in [row.id for row in v.pset.evidence]
        for v in together(pset.with_evidence([*pset.evidence, mine]))
        if v.pset
    )


def test_a_run_of_few_draws_is_refused_in_one_line_and_leaves_no_folder(pset: PriorSet, tmp_path: Path) -> None:
    run = prior_run(pset, tmp_path / "run", draws=2)
    with pytest.raises(InputError, match="4 draws are too few for a variance budget"):
        sensitivity(run, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_any_headline_can_be_asked_for(pset: PriorSet) -> None:
    year = pset.ledger.years[-1]
    draws = 800 + 100 * np.random.default_rng(3).standard_normal((CHAINS, DRAWS))
    anchors = list(pset.ledger.report.anchors)
    total = np.stack([draws * (1 + 0.01 * k) for k in range(len(pset.ledger.years))], axis=-1)
    parts = np.stack([0.7 * total[..., -1:], 0.3 * total[..., -1:]], axis=-1).repeat(len(anchors), axis=2)
    fit = Refit(
        Dataset(
            {
                "revenue_total": (("chain", "draw", "year"), total),
                "revenue_modality": (("chain", "draw", "anchor", "modality"), parts.repeat(2, axis=-1)[..., :3]),
            },
            {"year": list(pset.ledger.years), "anchor": anchors, "modality": [m.name for m in pset.ledger.modalities]},
        )
    )
    np.testing.assert_allclose(headline_of(fit, pset, parse_flip("870:0.5")), total[..., -1])
    np.testing.assert_allclose(headline_of(fit, pset, parse_flip(f"revenue {year - 1}:870:0.5")), total[..., -2])
    np.testing.assert_allclose(headline_of(fit, pset, parse_flip("pharmacologic 2030:500:0.5")), parts[..., 1, 0])
    assert headline_of(fit, pset, parse_flip("growth a year:0.06:0.5")) == pytest.approx(1.1**0.1 - 1)
    with pytest.raises(InputError, match=r"headline 'revenue 2053' is not known: name one such as revenue 20"):
        headline_of(fit, pset, parse_flip("revenue 2053:870:0.5"))


@pytest.mark.slow
def test_a_deal_flips_where_its_value_is_zero(pset: PriorSet, tmp_path: Path) -> None:
    """On draws that depend on one assumption alone the shift is known: the mean moves in proportion."""
    pset = pset.with_evidence([])  # no draw of the priors is likely under the report's rows
    run = prior_run(pset, tmp_path / "run", draws=1500)
    deal = load_deal(EXAMPLES / "cgrp_royalty.toml")
    numbers = elicited_numbers(pset)
    table: Any = deal_flips(run, deal, numbers, 1)
    assert set(table["outcome"]) <= {"flips", "stored draws do not reach it"}
    flips = table[table["outcome"] == "flips"]
    assert len(flips)
    assert flips["flips_at_sds"].abs().is_monotonic_increasing
    first = flips.iloc[0]
    number = next(n for n in numbers if n.name == first["input"])
    ratio = log_ratio(run.tree, pset, number, shift_prior(pset, number, first["flips_at_sds"]))
    assert ratio is not None
    rnpv = price(run, deal, 1).rnpv.reshape(run.sizes)
    assert float((reweight(ratio).values * rnpv).sum()) == pytest.approx(0, abs=0.05 * rnpv.std())
    assert first["value"] == pytest.approx(number.value(first["flips_at_sds"]))


@pytest.mark.slow
def test_two_inputs_are_moved_where_one_does_not_reach(pset: PriorSet, tmp_path: Path) -> None:
    pset = pset.with_evidence([])
    run = prior_run(pset, tmp_path / "run", draws=1500)
    rnpv = price(run, load_deal(EXAMPLES / "noninvasive_us.toml"), 1).rnpv.reshape(run.sizes)
    names = ("line_list_price[device, United States]", "line_net_ratio[device, United States]", "patient_growth[2035]")
    numbers = [n for n in elicited_numbers(pset) if n.name in names]
    table: Any = pd.DataFrame(_pairs(run.tree, pset, numbers, rnpv - 0.8 * rnpv.mean()))
    assert len(table)
    assert table["flips_at_sds"].abs().between(0.05, 3).all()
    assert table["input"].str.contains(r"^.+ \(.* sd\) and .+ sd\)$").all()


def test_what_a_source_says_has_its_error_integrated_out(pset: PriorSet, tmp_path: Path) -> None:
    """One row whose log error is the sum of its own and its source's: the density is that of their sum."""
    (stated,) = (row for row in pset.evidence if row.id == "revenue_2030")
    row = replace(stated, source="actuals: books")
    alone = pset.with_evidence([row])
    run = prior_run(alone, tmp_path / "run", draws=50)
    density = source_densities(run.read(needed(alone, [row])), alone)[row.source]
    total = run.read(["revenue_total"])["revenue_total"].sel(year=2030)
    variance = row.log_sd**2 + pset.source_log_sd(row.source, [2030])[0] ** 2
    residual = np.log(row.value) - np.log(total) - pset.source_log_bias(row.source, [2030])[0]
    np.testing.assert_allclose(density, -(residual**2) / variance / 2)


def test_the_report_says_what_its_run_expected_of_it(pset: PriorSet, tmp_path: Path) -> None:
    """Its revenue is about its own launches and funnel: it is set against what the run expected of it."""
    (row,) = (row for row in pset.evidence if row.id == "revenue_2030")
    alone = pset.with_evidence([row])
    run = prior_run(alone, tmp_path / "run", draws=50)
    density = source_densities(run.read(needed(alone, [row])), alone)[row.source]
    draws = run.read([v.EVIDENCE_MEAN, v.source_error(pset, row.source)])
    error = draws[v.source_error(pset, row.source)].sel({v.source_year(pset, row.source): 2030}, drop=True)
    expected = draws[v.EVIDENCE_MEAN].sel({v.EVIDENCE_ROW: row.id}, drop=True) - error
    variance = row.log_sd**2 + pset.source_log_sd(row.source, [2030])[0] ** 2
    residual = np.log(row.value) - expected - pset.source_log_bias(row.source, [2030])[0]
    np.testing.assert_allclose(density, -(residual**2) / variance / 2)
