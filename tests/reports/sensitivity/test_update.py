"""New evidence on a finished run: against closed forms, ArviZ, the model's own graph and a refit."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import ndtri
from xarray import DataArray, Dataset, DataTree

from postcgrp.inference import Sampling, sample
from postcgrp.models import build_model
from postcgrp.priors import Evidence, InputError, PriorSet
from postcgrp.reports.forecast.layers import BANDS
from postcgrp.reports.runs.evidence import known_years, residuals
from postcgrp.reports.runs.run import Run, open_run
from postcgrp.reports.sensitivity import updating
from postcgrp.reports.sensitivity.updating import (
    brief,
    forecast_quantities,
    moved,
    refit,
    save_update,
    surprise,
    update,
)
from postcgrp.tests.helpers.markets import other_market, row
from postcgrp.tests.helpers.stored import prior_run, write

pytestmark = pytest.mark.fit

CHAINS, LENGTH = 4, 2000
MEAN, SPREAD = np.log(500.0), 0.12  # of the log total of every year in the synthetic run


# ---- aggregates and errors -----------------------------------------------------------------------------------------


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
        row(pset, ledger.report.id, 555, year=year - 2),
        row(pset, "study", 0.4, "revenue_share", year=year, region=region, modality=taken),
        row(pset, "study", 0.4, "patients_share", year=year, depth=depth),
        row(pset, "study", 0.2, "adoption", year=year, modality=taken),
        row(pset, "study", 0.2, "adoption", year=year, modality=taken, region=region),
    ]
    for share, dims in (("acute_use", {"depth": depth}), ("moh", {}), ("payer_block", {"region": region})):
        rows += [row(pset, "study", 0.3, share, year=year, **dims)] if pset.has(share) else []
    return rows


@pytest.mark.parametrize("name", [None, "burden and blocking", "five modalities", "one region"])
def test_aggregates_and_errors_are_the_model_s(name: str | None, pset: PriorSet, tmp_path: Path) -> None:
    """What the model's graph expects of every row, from the draws alone; with a year that no report's anchor is."""
    market = pset if name is None else other_market(name)
    market = market.with_evidence([*market.evidence, *everything(market)])
    stored = prior_run(market, tmp_path / "run", 100)
    draws = stored.read(stored.names())
    expected = draws["evidence_log_mean"].stack(s=("chain", "draw")).transpose("s", ...)
    for source in market.sources:
        own = [r for r in market.evidence if r.source == source]
        known = known_years(draws, market, source)
        part = residuals(draws, market, own, known)
        for i, r in enumerate(own):
            mean = np.log(r.value) - part.values[:, i]
            # The cells of a mean are found by Newton steps, so its last digits may differ.
            assert np.abs(mean - expected.sel(evidence_row=r.id).values).max() < 1e-4
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


def test_a_known_error_is_conditioned_on_as_a_bridge_and_beyond_as_a_walk(pset: PriorSet) -> None:
    report = pset.ledger.report.id
    path = DataArray([[[0.05, -0.1]]], {"source_year": [2025, 2030]}, ("chain", "draw", "source_year"))
    total = DataArray(np.full((1, 1, 11), 100.0), {"year": list(pset.ledger.years)}, ("chain", "draw", "year"))
    rows = [row(pset, report, 100, year=2027), row(pset, report, 100, year=2035)]
    part = residuals(Dataset({"revenue": total, "source_error": path}), pset, rows, [2025, 2030])
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


# ---- the update ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lognormal(pset: PriorSet, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which revenue is log-normal, the same in every year, and nothing else moves."""
    names = pset.ledger.segments | {"year": pset.ledger.years}
    dims = ("year", "region", "depth", "modality")
    size = CHAINS * LENGTH
    z = np.random.default_rng(3).permutation(ndtri((np.arange(size) + 0.5) / size)).reshape(CHAINS, LENGTH)
    total = np.exp(MEAN + SPREAD * z)
    shape = [len(names[d]) for d in dims]
    cells = np.broadcast_to(total[(...,) + (None,) * 4] / np.prod(shape[1:]), (CHAINS, LENGTH, *shape))
    coords = {d: np.array(names[d]) for d in dims}
    revenue = DataArray(cells, coords, ("chain", "draw", *dims))
    posterior = Dataset({"revenue": revenue, "revenue_total": revenue.sum(dims[1:])})
    folder = tmp_path_factory.mktemp("stored") / "run"
    return write(pset.with_evidence([]), folder, posterior)


def test_an_update_is_the_conjugate_posterior(lognormal: Run) -> None:
    """Two rows by a source whose error they share, and one by another: a normal posterior in closed form."""
    pset = lognormal.priors
    rows = [
        row(pset, "vendor: second", 560, year=2025),
        row(pset, "vendor: second", 590, year=2030),
        row(pset, "actuals", 530, year=2026, log_sd=0.02),
    ]
    result = update(lognormal, rows)
    walk = pset.source_log_sd("vendor: second", [2025, 2030]) ** 2
    cov = np.zeros((3, 3))
    cov[:2, :2] = [[walk[0], walk[0]], [walk[0], walk[1]]]
    cov[2, 2] = pset.source_log_sd("actuals", [2026])[0] ** 2
    precision = np.linalg.inv(cov + np.diag([r.log_sd**2 for r in rows]))
    variance = 1 / (1 / SPREAD**2 + precision.sum())
    mean = variance * (MEAN / SPREAD**2 + precision.sum(axis=0) @ np.log([r.value for r in rows]))
    assert result.moved is not None
    after: Any = result.moved[(result.moved["state"] == "after") & (result.moved["year"] == 2030)].iloc[0]
    for name, probability in BANDS.items():
        exact = np.exp(mean + np.sqrt(variance) * ndtri(probability))
        assert after[name] == pytest.approx(exact, abs=4 * max(after["mcse_median"], after["mcse_high_90"]))
    assert after["median"] - 500 > 10 * after["mcse_median"]  # a forgotten row would be seen
    assert result.weights.k < result.weights.limit
    before: Any = result.moved[(result.moved["state"] == "before") & (result.moved["year"] == 2030)].iloc[0]
    assert before["median"] == pytest.approx(500, rel=1e-3)
    assert before["high_90"] == pytest.approx(500 * np.exp(SPREAD * ndtri(0.95)), rel=1e-3)


def test_the_order_and_the_split_of_files_do_not_matter(lognormal: Run) -> None:
    pset = lognormal.priors
    rows = [row(pset, "vendor: b", 560), row(pset, "actuals", 510, year=2026), row(pset, "vendor: b", 600, year=2030)]
    one, other = update(lognormal, rows), update(lognormal, rows[::-1])
    assert np.allclose(one.weights.values, other.weights.values, rtol=1e-9)


def test_a_row_s_surprise_is_its_predictive_tail(lognormal: Run) -> None:
    new = row(lognormal.priors, "vendor: second", 700)
    found = update(lognormal, [new]).rows.iloc[0]
    sd = np.sqrt(SPREAD**2 + 0.1**2 + 0.05**2)
    z = (np.log(700) - MEAN) / sd
    assert found["p"] == pytest.approx(2 * stats.norm.sf(z), rel=0.01)
    assert found["expected"] == pytest.approx(500, rel=2e-3)
    assert [found["low_90"], found["high_90"]] == pytest.approx(500 * np.exp(sd * ndtri([0.05, 0.95])), rel=5e-3)
    assert surprise(new, np.zeros(10), 0.1)["p"] == pytest.approx(1)


def test_what_cannot_be_reweighted_is_refused_and_not_written(lognormal: Run, tmp_path: Path) -> None:
    new = [row(lognormal.priors, "actuals", 850, year=2026, log_sd=0.005)]
    result = update(lognormal, new)
    assert result.moved is None
    assert "Pareto k" in result.weights.refused
    assert result.rows["p"].iloc[0] < 1e-3
    with pytest.raises(InputError, match="there are no weights to write: refit"):
        save_update(result, lognormal, [], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_evidence_at_odds_with_itself_is_refused(lognormal: Run) -> None:
    twice = [row(lognormal.priors, "actuals", 500), row(lognormal.priors, "actuals", 510)]
    with pytest.raises(InputError):
        update(lognormal, twice)


def test_files_say_where_they_come_from(lognormal: Run, tmp_path: Path) -> None:
    csv = tmp_path / "new.csv"
    csv.write_text("source,quantity,year,value,unit\nactuals,revenue,2026,520,USD million\n", encoding="utf-8")
    result, out = update(lognormal, [row(lognormal.priors, "actuals", 520, year=2026)]), tmp_path / "out"
    save_update(result, lognormal, [csv], out)
    save_update(result, lognormal, [csv], out)  # an earlier update may be replaced
    assert {path.name for path in out.iterdir()} == {
        *("update.csv", "evidence.csv", "evidence-1.csv", "weights.csv", "inputs.json", "manifest.json")
    }
    assert (out / "evidence-1.csv").read_bytes() == csv.read_bytes()
    weights = pd.read_csv(out / "weights.csv")
    assert list(weights.columns) == [".chain", ".iteration", ".draw", "weight"]
    assert weights["weight"].sum() == pytest.approx(1)
    one = weights[(weights[".chain"] == 3) & (weights[".iteration"] == 5)].iloc[0]
    assert one["weight"] == pytest.approx(result.weights.values[2, 4])
    assert one[".draw"] == 2 * LENGTH + 5
    record = json.loads((out / "manifest.json").read_text())
    assert record["run"]["recipe_sha256"] == lognormal.priors.fingerprint()
    assert set(record["evidence"]) == {"new.csv"}
    assert record["weights"]["k"] == result.weights.k
    table = pd.read_csv(out / "update.csv")
    assert set(table["state"]) == {"before", "after"}
    assert len(brief(table)) == len(table) / 2


def test_runs_and_other_files_are_left_alone(lognormal: Run, tmp_path: Path) -> None:
    result = update(lognormal, [row(lognormal.priors, "actuals", 520, year=2026)])
    other = write(lognormal.priors, tmp_path / "other", lognormal.read(updating.READ))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    for out in (lognormal.folder, other.folder, tmp_path / "mine"):
        with pytest.raises(InputError, match="holds other files"):
            save_update(result, lognormal, [], out)
    with pytest.raises(InputError, match="is a file: name a folder"):
        save_update(result, lognormal, [], tmp_path / "mine" / "thesis.txt")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    with pytest.raises(InputError, match="is the run that is updated"):
        refit(result, lognormal, [], lognormal.folder)
    with pytest.raises(InputError, match="holds other files"):
        refit(result, lognormal, [], tmp_path / "mine")


def test_a_run_is_closed_once_it_is_read(lognormal: Run, tmp_path: Path) -> None:
    """With a real run, an open handle and another one to the same file end the process (netCDF4 1.7)."""
    folder = write(lognormal.priors, tmp_path / "run", lognormal.read(updating.READ)).folder
    record = json.loads((folder / "manifest.json").read_text())
    record["files"]["inputs.json"] = hashlib.sha256((folder / "inputs.json").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(record))
    before = len(list(Path("/dev/fd").iterdir()))
    run = open_run(folder).tree
    assert len(list(Path("/dev/fd").iterdir())) == before
    assert "revenue_total" in run["posterior"]


def test_what_is_no_run_or_was_changed_is_refused(lognormal: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        open_run(tmp_path)
    changed = write(lognormal.priors, tmp_path / "changed", lognormal.read(updating.READ))
    with (changed.folder / "posterior.nc").open("ab") as file:
        file.write(b"x")
    with pytest.raises(InputError, match="was changed after the run"):
        open_run(changed.folder)


def test_reweighting_starts_no_compiler(lognormal: Run) -> None:
    """JAX, PyMC, SciPy's distributions and what draws figures take seconds to import: none may be needed."""
    code = f"""
import sys
from pathlib import Path
from postcgrp.priors import Evidence
from postcgrp.reports.cli import main as cli
from postcgrp.reports.runs.run import open_run
from postcgrp.reports.sensitivity.updating import update
stored = open_run(Path({str(lognormal.folder)!r}))
row = Evidence("a", "actuals", "revenue", 2026, None, None, None, 520.0, "USD million", 0.02)
assert update(stored, [row]).moved is not None
print(*(m for m in ("jax", "pymc", "pytensor", "arviz_stats", "scipy.stats", "vl_convert") if m in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", ["only everyone", "five modalities", "no evidence"])
def test_any_market_is_updated(name: str, tmp_path: Path) -> None:
    market = other_market(name)
    stored = prior_run(market, tmp_path / "run")
    year = market.ledger.years[1]
    total = float(stored.read(updating.READ)["revenue_total"].sel(year=year).median())
    result = update(stored, [row(market, "actuals", total, year=year, log_sd=0.3)])
    assert result.moved is not None
    assert len(result.moved) == 2 * (len(market.ledger.report.anchors) + len(market.ledger.modalities))
    assert result.rows["p"].iloc[0] > 0.8


@pytest.mark.slow
def test_reweighting_agrees_with_a_refit(pset: PriorSet, run: DataTree, tmp_path: Path) -> None:
    """The worked examples, and rows of a source that the run has."""
    rows = [
        row(pset, "vendor: second", 500, year=2025),
        row(pset, "actuals", 455, year=2026, log_sd=0.02),
        row(pset, pset.ledger.report.id, 560, year=2028),
    ]
    result = update(write(pset, tmp_path / "run", run["posterior"].to_dataset()), rows)
    assert not result.weights.refused
    fitted = sample(build_model(result.priors), Sampling(seed=2))["posterior"].to_dataset()
    assert result.moved is not None
    now = forecast_quantities(fitted, pset.ledger)
    refitted = moved(now, now, "USD million")
    for (_, one), (_, other) in zip(result.moved.iterrows(), refitted.iterrows(), strict=True):
        if one["state"] == "after":
            for name in updating.WITH_ERROR:
                assert abs(one[name] - other[name]) < 4 * np.hypot(one[f"mcse_{name}"], other[f"mcse_{name}"])
