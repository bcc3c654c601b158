"""Prior against evidence, from a run's own draws: who disagrees, how sure that is, what a failed gate advises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr
from xarray import Dataset, DataTree

from postcgrp.inference import Check
from postcgrp.priors import PriorSet
from postcgrp.reports.forecast.conflict import DISAGREEMENT_COLUMNS, advice_of_conflict, conflict_said, prior_evidence
from postcgrp.reports.forecast.pipeline import with_conflict
from postcgrp.tests.helpers.markets import row

DRAWS = 20_000


def run_of(pset: PriorSet, off: float, sd: float) -> DataTree:
    """A run whose priors expect the first row `off` above what it states, all with this spread; others as stated."""
    rng = np.random.default_rng(5)
    logs = np.log([row.value for row in pset.evidence]) + sd * rng.standard_normal((1, DRAWS, len(pset.evidence)))
    logs[..., 0] += off
    price = np.exp(8 + 0.5 * rng.standard_normal((1, DRAWS, 2, 1)))
    groups = {
        "prior_predictive": Dataset(
            {"evidence": (("chain", "draw", "evidence_row"), logs)},
            {"evidence_row": [row.id for row in pset.evidence]},
        )
    }
    for name, factor in (("prior", 1.0), ("posterior", np.exp(-off))):
        moved = price * np.array([factor, 1.0])[:, None]
        coords = {"line": ["toxin", "gepant"], "region": ["Japan"]}
        groups[name] = Dataset({"line_list_price": (("chain", "draw", "line", "region"), moved)}, coords)
    return DataTree.from_dict(groups)


def test_a_row_far_from_what_the_priors_expect_is_named_with_the_prior_it_overruled(pset: PriorSet) -> None:
    table = prior_evidence(run_of(pset, np.log(20), 0.5), pset)
    assert tuple(table.columns) == DISAGREEMENT_COLUMNS
    first: Any = table.iloc[0]
    assert (first["name"], first["verdict"]) == (pset.evidence[0].id, "disagrees")
    assert first["median"] == pytest.approx(20 * pset.evidence[0].value, rel=0.03)
    assert (table["verdict"] == "disagrees").sum() == 2
    assert table.iloc[-1]["name"] == "line_list_price[toxin, Japan]"
    text = conflict_said(table)
    assert text.startswith(f"Prior and evidence disagree on {pset.evidence[0].id} (stated ")
    assert "20 times apart" in text
    assert "overruled: line_list_price[toxin, Japan]" in text


def test_p_and_its_power_have_closed_forms(pset: PriorSet) -> None:
    table: Any = prior_evidence(run_of(pset, 0.8, 0.5), pset).set_index("name")
    first = table.loc[pset.evidence[0].id]
    assert first["p"] == pytest.approx(2 * ndtr(-0.8 / 0.5), abs=0.02)
    assert first["notices"] == pytest.approx(np.exp(1.96 * 0.5), rel=0.05)
    assert conflict_said(table.reset_index()) == "No row of evidence surprises the priors."


def test_what_the_priors_know_nothing_of_has_nothing_to_compare_with(pset: PriorSet) -> None:
    table = prior_evidence(run_of(pset, 0.0, 1.5), pset)
    assert set(table["verdict"]) == {"nothing to compare with"}
    count = len(pset.evidence)
    assert f"{count} of {count} rows have no prior narrow enough to disagree with" in conflict_said(table)


def test_what_bounds_a_launch_disagrees_where_it_would_rarely_hold(pset: PriorSet) -> None:
    """Against the priors alone: of a launch that never failed in the draws, for these know the bounds."""
    rng = np.random.default_rng(6)
    years = 2030 + rng.standard_normal((1, DRAWS, 1, 5))
    chance = np.full((1, DRAWS, 1), 0.97)
    dims, coords = ("chain", "draw", "launch"), {"launch": ["implantable"]}
    prior = Dataset(
        {
            "launch_year": ((*dims, "region"), years),
            "success": (dims, np.ones_like(chance)),
            "success_probability": (dims, chance),
        },
        coords | {"region": list(pset.ledger.segments["region"])},
    )
    at = {"year": None, "modality": "implantable", "region": "Japan", "log_sd": 0.5}
    tree = DataTree.from_dict({"prior": prior, "posterior": Dataset(), "prior_predictive": Dataset()})
    for date, verdict in ((2029.0, "agrees"), (2034.0, "disagrees")):
        bound = row(pset, "study", date, "launch_not_before", **at)
        (found,) = prior_evidence(tree, pset.with_evidence([bound])).to_dict("records")
        late = 1 / (1 + np.exp(-np.pi / np.sqrt(3) * (years[0, :, 0, 2] - date) / 0.5))
        holds = (1 - 0.97 + 0.97 * late).mean()
        assert found["verdict"] == verdict
        assert found["p"] == pytest.approx(holds if verdict == "disagrees" else 1.0)
        assert found["median"] == pytest.approx(2030, abs=0.05)
    text = conflict_said(prior_evidence(tree, pset.with_evidence([bound])))
    assert "(stated 2034.0, the priors expect 2028.4 to 2031.6 year, 4.0 years apart, p 0.03" in text


def test_a_gate_that_fails_in_a_conflict_names_it(pset: PriorSet) -> None:
    passed = Check("finite", passed=True, figure=0, rule="", where="", advice="")
    failed = replace(passed, check="rhat", passed=False, advice="chains disagree: run longer")
    table = prior_evidence(run_of(pset, np.log(20), 0.5), pset)
    kept, advised = with_conflict((passed, failed), table)
    assert kept == passed
    assert "run longer" not in advised.advice
    assert f"prior and evidence disagree, which no longer run mends: {pset.evidence[0].id}" in advised.advice
    calm = prior_evidence(run_of(pset, 0.2, 0.5), pset)
    assert advice_of_conflict(calm) == ""
    assert with_conflict((passed, failed), calm) == (passed, failed)


def test_without_evidence_there_is_nothing_to_disagree_with(pset: PriorSet) -> None:
    bare = pset.with_evidence([])
    table = prior_evidence(run_of(pset, 0.0, 0.5), bare)
    assert table.empty
    assert conflict_said(table) == "There is no evidence for the priors to disagree with."
