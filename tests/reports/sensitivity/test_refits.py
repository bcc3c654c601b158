"""Many variants of one prior set: the same posteriors as models of their own would have, and none fitted twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from arviz_stats.base import array_stats
from xarray import DataTree

from postcgrp.inference import Sampling, powerscale, sample
from postcgrp.inference.batch import Fit
from postcgrp.inference.convergence import ADVICE, Check
from postcgrp.inference.density import density
from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.inference.forward import draw_prior
from postcgrp.models import build_model
from postcgrp.models.structure import structure_key
from postcgrp.priors import Evidence, Ledger, PriorSet, effective, load_ledger
from postcgrp.reports.runs.run import Run
from postcgrp.reports.sensitivity import refits as module
from postcgrp.reports.sensitivity.refits import SILENT, Refits, align, as_refit, powerscale_by_refit
from postcgrp.reports.sensitivity.study import power_groups
from postcgrp.tests.helpers.markets import CHANGES, prior_set_of, row
from postcgrp.tests.helpers.paths import OTHER_MARKET

pytestmark = pytest.mark.fit


@pytest.fixture(scope="module")
def other() -> PriorSet:
    return effective(load_ledger(OTHER_MARKET / "report.toml", OTHER_MARKET / "assumptions.toml"))


def without(pset: PriorSet, *ids: str) -> PriorSet:
    return effective(pset.ledger, replace(pset.settings, leave_out=ids))


def test_a_row_left_out_stays_in_the_graph_and_says_nothing(other: PriorSet) -> None:
    left = without(other, *(row.id for row in other.evidence[-2:]))
    aligned = align(left, other)
    assert structure_key(aligned) == structure_key(other) != structure_key(left)
    models = [build_model(left), build_model(aligned)]
    prior = draw_prior(models[0], 3, 1)
    example = {name: values[0] for name, values in prior.items()}
    densities = [density(model, example) for model in models]
    points = densities[0].flat.join(prior)
    logs = np.array([[float(d.logp(x, d.data)) for x in points] for d in densities])
    apart = logs[1] - logs[0]
    assert np.ptp(logs[0]) > 1
    assert apart == pytest.approx(np.full(len(points), -2 * np.log(SILENT * np.sqrt(2 * np.pi))), abs=1e-4)


def test_rows_that_a_variant_changes_or_adds_are_its_own(pset: PriorSet) -> None:
    changed = pset.with_evidence([replace(pset.evidence[0], value=700.0), *pset.evidence[1:]])
    assert align(changed, pset).evidence == changed.evidence
    more = Evidence("mine", "actuals", "revenue", 2026, None, None, None, 450.0, "USD million", 0.02)
    aligned = align(pset.with_evidence([*pset.evidence[1:], more]), pset)
    assert aligned.evidence == (replace(pset.evidence[0], log_sd=SILENT), *pset.evidence[1:], more)


def test_without_anything_of_the_report_its_error_is_gone_too(pset: PriorSet) -> None:
    bottom_up = pset.with_evidence([])
    assert align(bottom_up, pset) is bottom_up


def test_measured_sales_of_a_launch_are_not_silenced(pset: PriorSet) -> None:
    """However wide, such a row makes the launch certain."""
    seen = Evidence("mine", "actuals", "revenue", 2031, None, None, "implantable", 30.0, "USD million", 0.2)
    base = pset.with_evidence([*pset.evidence, seen])
    assert align(pset, base) is pset
    assert len(align(base.with_evidence(base.evidence[1:]), base).evidence) == len(base.evidence)


def test_what_bounds_a_launch_is_not_silenced(pset: PriorSet) -> None:
    """However wide, such a row holds with a chance of a half; and a date, which has a density, is."""
    at: dict[str, Any] = {"year": None, "modality": "implantable"}
    bound = row(pset, "study", 2029.0, "launch_not_before", **at)
    dated = row(pset, "study", 2030.0, "launch_year", **at)
    base = pset.with_evidence([*pset.evidence, bound])
    assert align(pset, base) is pset
    assert align(base.with_evidence(base.evidence[1:]), base).evidence[0].log_sd == SILENT
    assert align(pset, pset.with_evidence([*pset.evidence, dated])).evidence[-1] == replace(dated, log_sd=SILENT)


def test_a_silent_row_above_its_whole_leaves_the_variant_alone(pset: PriorSet) -> None:
    part = next(row for row in pset.evidence if row.id == "revenue_non_invasive_2030")
    low = [replace(row, value=part.value / 2) if row.id == "revenue_2030" else row for row in pset.evidence]
    variant = pset.with_evidence([row for row in low if row is not part and row.modality != "implantable"])
    assert align(variant, pset) is variant


# ---- fits, of the other market ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> Refits:
    base = prior_set_of(CHANGES["one region, one depth, one modality"])
    return Refits(base, tmp_path_factory.mktemp("few"), more=("evidence_log_mean", "price"))


def test_variants_keep_their_names_totals_add_up_and_none_is_fitted_twice(
    smallest: Refits, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = smallest.base
    growth = other.blocks["patient_growth"]
    quick = replace(growth, priors=tuple(replace(rate, mu=rate.mu + 0.05) for rate in growth.priors))
    variants = {"as it is": other, "faster": replace(other, blocks={**other.blocks, "patient_growth": quick})}
    seen: list[tuple[str, int, int]] = []
    found = replace(smallest, progress=lambda *now: seen.append(now))(variants, also=("price",))
    assert seen[-1] == ("fitting", 2, 2)
    anchors, last = list(other.ledger.report.anchors), other.ledger.years[-1]
    for fit in found.values():
        assert not fit.missed
        parts = fit.draws["revenue_modality"].sum("modality").transpose(*SAMPLE, "anchor")
        total = fit.draws["revenue_total"].sel(year=anchors).transpose(*SAMPLE, "year")
        assert np.allclose(parts.values, total.values, rtol=1e-9)
        assert fit.draws["price"].dims == (*SAMPLE, "year", "modality")
    slow, fast = (float(fit.draws["revenue_total"].sel(year=last).mean()) for fit in found.values())
    assert fast > slow * 1.1

    def fitted(*_: Any, **__: Any) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(module, "arrays", fitted)
    assert smallest({"again": other}, also=("price",))["again"].draws.equals(found["as it is"].draws)
    with pytest.raises(AssertionError, match="fitted again"):
        smallest({"again": other})  # with other variables kept it is another file


def test_an_interrupt_keeps_what_was_finished(smallest: Refits, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, other = smallest.folder, smallest.base
    assert folder is not None
    before = set(folder.iterdir())
    views = {f"{c:g}": effective(other.ledger, replace(other.settings, coverage=c)) for c in (0.6, 0.8)}

    def interrupted(batch: Any, posteriors: Any, **_: Any) -> Any:
        draws = {"revenue_total": np.ones((4, 1000, len(other.ledger.years)))}
        yield 0, Fit("k", draws, tuple(Check(name, True, 0.0, "", "", "") for name in ADVICE), 1)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "fit_many", interrupted)
    monkeypatch.setattr(module, "_kept", lambda model: ["revenue_total"])
    with pytest.raises(KeyboardInterrupt):
        smallest(views)
    assert len(set(folder.iterdir()) - before) == 1


def test_a_posterior_that_misses_has_a_reason_and_no_draws(smallest: Refits, monkeypatch: pytest.MonkeyPatch) -> None:
    ways, other = list[int](), smallest.base

    def failing(batch: Any, posteriors: Any, **_: Any) -> Any:
        for place, _ in enumerate(posteriors):
            ways.append(batch.settings.draws)
            draws = {"revenue_total": np.ones((4, 1000, len(other.ledger.years)))}
            yield place, Fit("k", draws, (Check("rhat", False, 1.3, "< 1.01", "x", ""),), 2)

    monkeypatch.setattr(module, "fit_many", failing)
    monkeypatch.setattr(module, "_kept", lambda model: ["revenue_total"])
    found = replace(smallest, folder=None)({"bad": effective(other.ledger, replace(other.settings, coverage=0.7))})[
        "bad"
    ]
    assert found.missed == "missed the gate: rhat 1.3 (< 1.01)"
    assert not found.draws.data_vars
    assert ways == [1000, module.LONGER * 1000]


# ---- against full fits -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("claim", ["revenue_pharmacologic_2025", "adoption_2035", "revenue_share_united_states"])
def test_a_claim_left_out_in_a_batch_is_the_full_refit(pset: PriorSet, claim: str) -> None:
    left = without(pset, claim)
    batched = Refits(pset)({claim: left})[claim].draws
    full = as_refit(sample(build_model(left), Sampling(seed=5)), left).draws
    for name, values in batched.items():
        mine, theirs = (one.transpose(*SAMPLE, ...).values.reshape(4, 1000, -1) for one in (values, full[name]))
        for cell in np.flatnonzero(mine.std(axis=(0, 1)) > 0):
            a, b = mine[..., cell], theirs[..., cell]
            # The error of an sd is large where tails are heavy, as those of a launch's revenue are.
            for method, of in (("mean", np.mean), ("sd", np.std)):
                error = np.hypot(array_stats.mcse(a, method=method), array_stats.mcse(b, method=method))
                assert abs(of(a) - of(b)) < 4 * error


@pytest.mark.slow
def test_power_scaling_by_weights_agrees_with_refits(ledger: Ledger, pset: PriorSet, run: DataTree) -> None:
    groups = ("vendor trust", f"evidence: {ledger.report.id}", "patients", "regions", "burden")
    found = powerscale_by_refit(Refits(pset), groups, powerscale.SHIFT_ALPHAS)
    densities, year = power_groups(Run.in_memory(run, pset)), pset.ledger.years[-1]
    shifts = powerscale.shifts(powerscale.headline_quantities(run, pset), {group: densities[group] for group in groups})
    for (group, alpha), fit in found.items():
        chosen = (shifts["group"] == group) & (shifts["alpha"] == alpha) & (shifts["quantity"] == f"revenue {year}")
        row: Any = shifts[chosen].iloc[0]
        values = fit.draws["revenue_total"].sel(year=year).values
        error = float(array_stats.mcse(values, method="mean"))
        assert row["refused"] == ""
        assert abs(row["mean"] - values.mean()) < 4 * np.hypot(error, error * np.sqrt(values.size / row["ess"]))
        assert row["sd"] == pytest.approx(values.std(), rel=0.08)
