"""Comparative statics: which way the forecast goes when one thing changes, and how far.

Each line is what an investor would say before having seen a number. Every posterior is a refit of one program: new
evidence is a row that is there in all of them, and says nothing but where it is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from postcgrp.models import variables as v
from postcgrp.priors import Evidence, Ledger, PriorSet, prior_set
from postcgrp.priors.sets import Overlay
from postcgrp.reports.sensitivity.refits import SILENT, Refit, Refits

pytestmark = pytest.mark.slow

ADOPTED, LAUNCHED = "non_invasive", "implantable"
PATIENTS, SURVEY = 1.1, 0.18  # times the claim; an adoption of 2026 above the report's path
MEASURED_LOG_SD = 0.02


def changed(ledger: Ledger, *rows: dict[str, Any], heard: tuple[str, ...] = (), **turned: object) -> PriorSet:
    """The report under an overlay and settings, with two rows of a study of which only those `heard` say something."""
    overlay = Overlay.model_validate(
        {"name": "x", "says": "x", "assumption": [{"reason": "x", **row} for row in rows]}
        if rows
        else {"name": "x", "says": "x"}
    )
    pset = prior_set(ledger, overlay, turned=turned)
    claimed = PATIENTS * sum(float(prior.quantile(0.5)) for prior in pset.blocks[v.REGION_PATIENTS].priors)
    study = [
        Evidence(
            "patients", "study", "patients", ledger.report.first_year, None, None, None, claimed, "patients", SILENT
        ),
        Evidence("adoption", "study", "adoption", 2026, None, None, ADOPTED, SURVEY, "fraction", SILENT),
    ]
    rows_ = [replace(row, log_sd=MEASURED_LOG_SD) if row.id in heard else row for row in study]
    return pset.with_evidence([*pset.evidence, *rows_])


@pytest.fixture(scope="module")
def fits(ledger: Ledger) -> Mapping[str, Refit]:
    implant, pacap = {"modality": LAUNCHED}, {"line": "pacap"}
    base = changed(ledger)
    dearer = [
        replace(row, value=1.2 * row.value) if row.quantity == v.REVENUE and row.modality == ADOPTED else row
        for row in base.evidence
    ]
    variants = {
        "base": base,
        "patients": changed(ledger, heard=("patients",)),
        "built up": changed(ledger, vendor_build_up=1.0),
        "adoption, built up": changed(ledger, heard=("adoption",), vendor_build_up=1.0),
        "devices": base.with_evidence(dearer),
        "launch 2029": changed(ledger, {"id": "launch_year", "value": 2029.0, **implant}),
        "launch 2031": changed(ledger, {"id": "launch_year", "value": 2031.0, **implant}),
        "launch unlikely": changed(ledger, {"id": "success_probability", "value": 0.2, **implant}),
        "exclusivity 2029": changed(ledger, {"id": "line_exclusivity_year", "line": "cgrp_antibody", "value": 2029.0}),
        "exclusivity 2040": changed(ledger, {"id": "line_exclusivity_year", "line": "cgrp_antibody", "value": 2040.0}),
        "pacap never": changed(ledger, {"id": "success_probability", "value": 0.0, **pacap}),
        "pacap surely": changed(ledger, {"id": "success_probability", "value": 1.0, **pacap}),
        "trust low": changed(ledger, trust="low"),
        "trust high": changed(ledger, trust="high"),
    }
    kept = (v.PRICE, v.ADOPTION_MEAN)
    found = Refits(base, more=kept)(variants, also=kept)
    assert not {name: fit.missed for name, fit in found.items() if fit.missed}
    return found


def revenue(fit: Refit, year: int, modality: str | None = None) -> NDArray[np.float64]:
    """Draws of revenue, in millions."""
    if modality is None:
        return fit.draws[v.REVENUE_TOTAL].sel(year=year).values.ravel()
    return fit.draws["revenue_modality"].sel(anchor=year, modality=modality).values.ravel()


def ratio(fits: Mapping[str, Refit], of: str, to: str, year: int, modality: str | None = None) -> float:
    """The ratio of two mean revenues."""
    return float(revenue(fits[of], year, modality).mean() / revenue(fits[to], year, modality).mean())


def price(fits: Mapping[str, Refit], of: str, to: str, year: int, modality: str) -> float:
    """The log of the ratio of two median prices."""
    prices = [fits[name].draws[v.PRICE].sel(year=year, modality=modality).values for name in (of, to)]
    return float(np.log(np.median(prices[0]) / np.median(prices[1])))


def test_more_patients_are_more_revenue(fits: Mapping[str, Refit]) -> None:
    found = np.log(ratio(fits, "patients", "base", 2035)) / np.log(PATIENTS)
    assert 0.3 < found < 1
    assert ratio(fits, "patients", "base", 2025) > 1
    for modality in (ADOPTED, "pharmacologic"):
        assert price(fits, "patients", "base", 2030, modality) > -np.log(PATIENTS) / 2


def test_more_adoption_is_more_of_its_revenue(fits: Mapping[str, Refit]) -> None:
    for year in (2030, 2035):
        assert ratio(fits, "adoption, built up", "built up", year, ADOPTED) > 1
        assert ratio(fits, "adoption, built up", "built up", year) > 1
    expected = fits["built up"].draws[v.ADOPTION_MEAN].sel(year=2026).values.mean()
    assert price(fits, "adoption, built up", "built up", 2026, ADOPTED) > -np.log(SURVEY / expected) / 2


def test_more_stated_revenue_of_one_modality_moves_that(fits: Mapping[str, Refit]) -> None:
    assert ratio(fits, "devices", "base", 2035, ADOPTED) > 1.1
    assert ratio(fits, "devices", "base", 2035) > 1
    assert abs(np.log(ratio(fits, "devices", "base", 2035, "pharmacologic"))) < 0.05


def test_a_delay_delays(fits: Mapping[str, Refit]) -> None:
    assert ratio(fits, "launch 2031", "launch 2029", 2030, LAUNCHED) < 0.5
    assert ratio(fits, "launch 2031", "launch 2029", 2035, LAUNCHED) < 1
    assert ratio(fits, "launch 2031", "launch 2029", 2035) < 1
    assert (revenue(fits["launch 2031"], 2030, LAUNCHED) == 0).all()  # sales begin at the start of 2031


def test_a_less_likely_launch_is_nothing_more_often(fits: Mapping[str, Refit]) -> None:
    nothing = {name: (revenue(fits[name], 2035, LAUNCHED) == 0).mean() for name in ("base", "launch unlikely")}
    assert nothing["launch unlikely"] == pytest.approx(0.8, abs=0.05)  # what the report assumes does not raise it
    assert nothing["launch unlikely"] > nothing["base"] > 0.1
    assert ratio(fits, "launch unlikely", "base", 2035, LAUNCHED) < 1


def test_an_earlier_loss_of_exclusivity_costs_that_modality(fits: Mapping[str, Refit]) -> None:
    assert ratio(fits, "exclusivity 2029", "exclusivity 2040", 2035, "pharmacologic") < 1
    assert ratio(fits, "exclusivity 2029", "exclusivity 2040", 2035) < 1
    assert abs(np.log(ratio(fits, "exclusivity 2029", "exclusivity 2040", 2035, ADOPTED))) < 0.05


def test_a_new_antibody_displaces_more_or_less_what_it_brings(fits: Mapping[str, Refit]) -> None:
    assert abs(np.log(ratio(fits, "pacap surely", "pacap never", 2035))) < 0.1
    assert abs(np.log(ratio(fits, "pacap surely", "pacap never", 2030))) < 0.05


def test_less_trust_is_wider_and_nearer_to_bottom_up(fits: Mapping[str, Refit]) -> None:
    width = {name: np.log(revenue(fits[name], 2035)).std() for name in ("trust low", "base", "trust high")}
    assert width["trust low"] > width["base"] > width["trust high"]
    middle = {name: np.median(revenue(fits[name], 2035)) for name in width}
    assert middle["trust low"] < middle["base"] < middle["trust high"]
