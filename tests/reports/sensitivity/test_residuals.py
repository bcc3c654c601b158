"""What draws expect of new evidence, and the errors of its sources: against closed forms and the model's own graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri
from xarray import DataArray, Dataset

from postcgrp.priors import Evidence, PriorSet
from postcgrp.reports.runs.evidence import against, flat, known_years, needed, residuals, unseen
from postcgrp.reports.sensitivity.updating import update
from postcgrp.tests.helpers.markets import other_market, row
from postcgrp.tests.helpers.stored import prior_run
from postcgrp.tests.helpers.variants import variants

pytestmark = pytest.mark.fit


def everything(pset: PriorSet) -> list[Evidence]:
    """Rows on every quantity, of the whole market and of parts, by three sources."""
    ledger, year = pset.ledger, pset.ledger.years[-1]
    region, depth = (ledger.segments[dim][-1] for dim in ("region", "depth"))
    taken = next(m.name for m in ledger.modalities if m.uptake == "adoption")
    rows = [
        row(pset, "actuals", 400, year=year - 1),
        row(pset, "actuals", 300, year=year, modality=taken),
        row(pset, "vendor: second", 10, year=year, region=region, depth=depth, modality=taken),
        row(pset, "vendor: second", 5e4, "patients", year=year - 1),
        row(pset, ledger.report.id, 9e3, "patients", year=year, region=region, depth=depth),
        row(pset, "study", 0.4, "revenue_share", year=year, region=region, modality=taken),
        row(pset, "study", 0.4, "patients_share", year=year, depth=depth),
        row(pset, "study", 0.2, "adoption", year=year, modality=taken),
        row(pset, "study", 0.2, "adoption", year=year, modality=taken, region=region),
        row(pset, "study", 3e3, "price", year=year, modality=taken),
        row(pset, "actuals", 3e3, "price", year=year, modality=taken, region=region, depth=depth),
    ]
    rows += [
        row(pset, "actuals", 1.1, "revenue_growth", year_from=year - 2, year=year, modality=taken),
        row(pset, "vendor: second", 1.1, "revenue_growth", year_from=year - 3, year=year - 1, region=region),
        row(pset, "vendor: second", 1.1, "patients_growth", year_from=year - 2, year=year, depth=depth),
        row(pset, "vendor: third", 1.1, "users_growth", year_from=year - 2, year=year, modality=taken),
    ]
    for line in pset.coords["line_claimed"]:
        rows += [
            row(pset, "study", 0.4, "line_use", year=year - 1, line=line),
            row(pset, "actuals", 0.4, "line_use", year=year, line=line, region=region, depth=depth),
            row(pset, "study", 0.1, "revenue_share", year=year, line=line, depth=depth),
        ]
    for launch in map(str, pset.coords["launch"]):
        of: dict[str, Any] = {"line" if launch in pset.coords["line"] else "modality": launch}
        rows += [row(pset, "study", year, "launch_year", year=None, **of)]
        rows += [row(pset, "actuals", year, "launch_year", year=None, region=region, **of)]
    if len(pset.coords["line_claimed"]):
        line = pset.coords["line_claimed"][0]
        rows += [
            row(pset, "actuals", 100, year=year - 1, line=line),
            row(pset, "vendor: second", 1.1, "revenue_growth", year_from=year - 2, year=year, line=line),
        ]
    if len(ledger.regions) > 1:
        rows.append(row(pset, "study", 0.4, "revenue_share", year=None, region=region))
    for share, dims in (("acute_use", {"depth": depth}), ("moh", {}), ("payer_block", {"region": region})):
        rows += [row(pset, "study", 0.3, share, year=year, **dims)] if pset.has(share) else []
    return rows


@pytest.mark.parametrize(
    "name", variants([None, "one region", "lines", "burden and blocking", "five modalities"], stay=1)
)
def test_aggregates_and_errors_are_the_model_s(name: str | None, pset: PriorSet, tmp_path: Path) -> None:
    """What the model's graph expects of every row, from the draws alone; with a year that no report's anchor is."""
    market = pset if name is None else other_market(name)
    market = market.with_evidence([*market.evidence, *everything(market)])
    stored = prior_run(market, tmp_path / "run", 100)
    draws = stored.read(stored.names())
    expected = draws["evidence_log_mean"].stack(s=("chain", "draw")).transpose("s", ...)
    for source in market.sources:
        own = [r for r in market.evidence if r.source == source and not unseen(market, r)]
        known = known_years(draws, market, source)
        part = residuals(draws, market, own, known)
        for i, r in enumerate(own):
            mean = r.stated - part.values[:, i]
            # The cells of a mean are found by Newton steps, so its last digits may differ; and rows see a launch begin
            # within weeks, not at once.
            assert np.abs(mean - expected.sel(evidence_row=r.id).values).max() < 2e-3
            assert np.abs(mean - expected.sel(evidence_row=r.id).values).mean() < 1e-4
        assert np.allclose(part.covariance, np.diag([r.log_sd**2 for r in own]), atol=1e-12)


def test_a_new_source_s_error_is_a_random_walk_around_its_optimism(pset: PriorSet) -> None:
    total = DataArray(np.full((1, 2, 11), 100.0), {"year": list(pset.ledger.years)}, ("chain", "draw", "year"))
    draws = Dataset({"revenue": total})
    first, _, *_, last = pset.ledger.years
    rows = [row(pset, "vendor: x", 100, year=first), row(pset, "vendor: x", 100, year=last)]
    rows += [row(pset, "vendor: x", 0.5, "revenue_share", year=first, region="EU5")]
    kinds = tuple(
        s.model_copy(update={"final_log_bias": 0.06}) if s.kind == "vendor" else s for s in pset.ledger.sources
    )
    hopeful = replace(pset, ledger=pset.ledger.model_copy(update={"sources": kinds}))
    part = residuals(draws, hopeful, rows, ())
    own = 0.05**2
    assert part.covariance == pytest.approx(np.array([[0.01 + own, 0.01, 0], [0.01, 0.09 + own, 0], [0, 0, own]]))
    assert part.values[0, :2] == pytest.approx([0.0, -0.06])


def test_what_bounds_a_launch_weighs_draws_by_when_it_comes_and_whether(pset: PriorSet, tmp_path: Path) -> None:
    stored = prior_run(pset, tmp_path / "run", 200)
    at: dict[str, Any] = {"year": None, "modality": "implantable", "log_sd": 0.5}
    rows = [
        row(pset, "study", 2029.0, "launch_not_before", **at),
        row(pset, "actuals", 0.0, **at | {"year": 2028, "region": "Japan"}),
    ]
    dated = row(pset, "study", 2030.0, "launch_year", **at)
    draws = stored.read(needed(pset, rows))
    first, zero, normal = (against(draws, pset, [one])[0].terms()[:, 0] for one in (*rows, dated))
    years, comes = (flat(draws[name].sel(launch="implantable")) for name in ("launch_year", "success"))
    anywhere, japan = years.min(axis=1), years[:, 2]
    for found, start, since in ((first, anywhere, 2029.0), (zero, japan, 2028.5)):
        late = stats.logistic(since, 0.5 * np.sqrt(3) / np.pi).cdf(start)
        assert np.exp(found) == pytest.approx(np.where(comes > 0, late, 1.0))
    assert normal == pytest.approx(-(((2030.0 - anywhere) / 0.5) ** 2) / 2)
    bound, date = (update(stored, [one]).rows.iloc[0] for one in (rows[0], dated))
    holds = np.exp(first).mean()
    assert bound["p"] == pytest.approx(holds if holds < 0.5 else 1.0)
    for one in (bound, date):
        assert one["expected"] == pytest.approx(np.median(anywhere), abs=0.2)
        assert 2020 < one["low_90"] < one["expected"] < one["high_90"] < 2045


def test_growth_carries_what_its_source_s_error_gains_between_two_years(pset: PriorSet) -> None:
    """As the two sizes would: their common error cancels, and of a source that does not drift nothing is left."""
    years = list(pset.ledger.years)
    total = DataArray(np.full((1, 2, 11), 100.0), {"year": years}, ("chain", "draw", "year"))
    draws = Dataset({"revenue": total})
    first, last = years[0], years[-1]
    sizes = [row(pset, "vendor: x", 100, year=year, log_sd=1e-4) for year in (first, 2030)]
    grown = row(pset, "vendor: x", 1.1, "revenue_growth", year_from=first, year=2030)
    part = residuals(draws, pset, [*sizes, grown], ())
    assert part.values[0] == pytest.approx([0.0, 0.0, np.log(1.1)])
    gained = (0.3**2 - 0.1**2) / 2  # half of the window
    assert part.covariance[2, 2] == pytest.approx(gained + 0.05**2)
    assert part.covariance[2, :2] == pytest.approx([0.0, gained])
    counted = row(pset, "actuals", 1.1, "revenue_growth", year_from=first, year=last)
    assert residuals(draws, pset, [counted], ()).covariance == pytest.approx(np.array([[0.05**2]]))
    path = DataArray(
        [[[0.05, 0.2]]], {"source_year_vendor_x": [first, 2030]}, ("chain", "draw", "source_year_vendor_x")
    )
    known = residuals(draws.isel(draw=[0]).assign(source_error_vendor_x=path), pset, [grown], [first, 2030])
    assert known.values[0] == pytest.approx([np.log(1.1) - 0.15])
    assert known.covariance == pytest.approx(np.array([[0.05**2]]))


def test_a_known_error_is_conditioned_on_as_a_bridge_and_beyond_as_a_walk(pset: PriorSet) -> None:
    report = pset.ledger.report.id
    path = DataArray([[[0.05, -0.1]]], {"source_year": [2025, 2030]}, ("chain", "draw", "source_year"))
    total = DataArray(np.full((1, 1, 11), 100.0), {"year": list(pset.ledger.years)}, ("chain", "draw", "year"))
    rows = [row(pset, report, 100, "patients", year=2027), row(pset, report, 100, "patients", year=2035)]
    part = residuals(Dataset({"patients": total, "source_error": path}), pset, rows, [2025, 2030])
    start, inside, end, last = pset.vendor_log_sd([2025, 2027, 2030, 2035]) ** 2
    at = (inside - start) / (end - start)
    assert -part.values[0] == pytest.approx([0.05 + at * (-0.1 - 0.05), -0.1])
    own = 0.05**2
    bridge = (inside - start) * (end - inside) / (end - start)
    assert part.covariance == pytest.approx(np.diag([bridge + own, last - end + own]), abs=1e-12)
    assert part.terms().sum() == pytest.approx(
        stats.multivariate_normal.logpdf(part.values[0], cov=part.covariance)
        - stats.multivariate_normal.logpdf([0, 0], cov=part.covariance)
    )


def test_a_price_is_per_user_and_free_of_its_source_s_error(pset: PriorSet) -> None:
    """Against a conjugate case: log spend normal, its users anything; a draw without users has no density."""
    size, mean, spread = 4000, np.log(3000.0), 0.3
    z = ndtri((np.arange(size) + 0.5) / size)
    dims, modalities = ("chain", "draw", "year", "modality"), ["pharmacologic", "non_invasive"]
    coords = {"year": [2027], "modality": modalities}
    patients = DataArray(np.random.default_rng(1).uniform(1e4, 9e4, (1, size, 1)), {"year": [2027]}, dims[:3])
    use = DataArray(np.broadcast_to([0.9, 0.2], (1, size, 1, 2)), coords, dims)
    spend = DataArray(np.exp(mean + spread * z)[None, :, None, None] * np.array([2.0, 1.0]), coords, dims)
    draws = Dataset({"revenue": patients * use * spend / 1e6, "patients": patients, "use": use})
    seen = row(pset, "vendor: x", 3500, "price", year=2027, modality="non_invasive", log_sd=0.2)
    size_too = row(pset, "vendor: x", 900, year=2027)
    part = residuals(draws, pset, [seen, size_too])
    assert part.covariance[0] == pytest.approx([0.2**2, 0.0])
    terms = residuals(draws, pset, [seen]).terms().sum(axis=1)
    exact = stats.norm.logpdf(np.log(3500), mean + spread * z, 0.2)
    assert np.ptp(terms - exact) < 1e-9
    weights, log_spend = np.exp(terms) / np.exp(terms).sum(), mean + spread * z
    variance = 1 / (1 / spread**2 + 1 / 0.2**2)
    middle = variance * (mean / spread**2 + np.log(3500) / 0.2**2)
    assert weights @ log_spend == pytest.approx(middle, abs=1e-3)
    assert weights @ (log_spend - middle) ** 2 == pytest.approx(variance, rel=1e-2)
    failed = draws.assign(use=use * 0, revenue=draws["revenue"] * 0)
    assert np.isneginf(residuals(failed, pset, [seen]).terms()).all()


def test_a_row_on_a_launch_rules_out_the_draws_in_which_it_failed(pset: PriorSet, tmp_path: Path) -> None:
    """Also where the source's other rows, whose errors it shares, say nothing of the launch."""
    seen = row(pset, "vendor: second", 60, year=2034, modality="implantable", log_sd=0.3)
    stored = prior_run(pset, tmp_path / "run", 500)
    draws = stored.read(stored.names())
    sold = flat(draws["revenue"].sel(year=2034, modality="implantable").sum(("region", "depth"))) > 0
    assert 0.05 < sold.mean() < 0.95
    assert (~sold)[flat(draws["success"].sel(launch="implantable")) == 0].all()
    part = residuals(draws, pset, [seen, row(pset, "vendor: second", 800, year=2030)])
    terms = part.terms()
    assert np.isneginf(terms[~sold, 0]).all()
    assert np.isfinite(terms[sold]).all()
    assert not np.isnan(terms).any()
    result = update(stored, [seen])
    assert result.weights.refused == "" or "Pareto k" in result.weights.refused
    assert result.rows["p"].notna().all()
    if not result.weights.refused:
        assert (result.weights.values.ravel()[~sold] == 0).all()


@pytest.mark.parametrize(
    ("quantity", "value", "where"),
    [
        ("revenue", 560, {"year": 2028}),
        ("revenue_share", 0.5, {"year": 2030, "region": "EU5"}),
        ("price", 3e3, {"year": 2030, "modality": "non_invasive"}),
    ],
)
def test_what_the_report_sees_is_not_in_stored_draws(
    pset: PriorSet, tmp_path: Path, quantity: str, value: float, where: dict[str, Any]
) -> None:
    """Its revenue follows its own patients and adoption, and its launches have its own dates: only a refit has them."""
    stored = prior_run(pset, tmp_path / "run", 100)
    own = row(pset, pset.ledger.report.id, value, quantity, **where)
    result = update(stored, [own, row(pset, "actuals", 455, year=2026)])
    assert "the report's own view of" in result.refused
    assert repr(own.id) in result.refused
    assert result.moved is None
    assert list(result.rows["p"].isna()) == [True, False]
    patients = row(pset, pset.ledger.report.id, 130_000, "patients", year=2028)
    assert unseen(pset, patients) == ""
