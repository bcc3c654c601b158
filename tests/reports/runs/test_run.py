"""A finished run as one object: opened and verified in one place, also where an update left weights."""

from __future__ import annotations

import json
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from postcgrp.inference.estimates import quantile
from postcgrp.priors import Evidence, InputError, Ledger, PriorSet
from postcgrp.priors.files import sha256
from postcgrp.reports.cli.main import main
from postcgrp.reports.export import export
from postcgrp.reports.export.exporting import Chosen
from postcgrp.reports.runs.folder import as_json
from postcgrp.reports.runs.run import Run, open_run
from postcgrp.reports.sensitivity.comparison import compare
from postcgrp.reports.sensitivity.updating import Update, save_update, update
from postcgrp.reports.sensitivity.variants import original
from postcgrp.reports.valuation.deal import load_deal
from postcgrp.reports.valuation.valuation import price
from postcgrp.tests.helpers.paths import EXAMPLES, OTHER_MARKET
from postcgrp.tests.helpers.stored import prior_run

DEAL = EXAMPLES / "noninvasive_us.toml"
pytestmark = pytest.mark.fit


def survey(year: int, value: float) -> Evidence:
    name = f"survey {year}"
    return Evidence(name, "study", "adoption", year, None, None, "non_invasive", value, "fraction", 0.2)


@pytest.fixture(scope="module")
def fitted(pset: PriorSet, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return prior_run(pset, tmp_path_factory.mktemp("runs") / "fitted", draws=1000)


def updated(run: Run, rows: list[Evidence], out: Path) -> tuple[Update, Run]:
    result = update(run, rows)
    save_update(result, run, [], out)
    return result, open_run(out)


def test_an_updated_run_is_a_run(fitted: Run, tmp_path: Path) -> None:
    result, run = updated(fitted, [survey(2027, 0.18)], tmp_path / "updated")
    assert run.priors == result.priors
    assert run.recipe == result.priors.fingerprint()
    assert run.added == (survey(2027, 0.18),)
    assert run.draws_sha256 == fitted.draws_sha256
    np.testing.assert_array_equal(run.weights, result.weights.values)
    assert run.manifest["weights"]["ess"] == result.weights.ess
    assert f"worth {result.weights.ess:,.0f} of {result.weights.values.size:,} draws" in run.note
    assert fitted.note == ""
    assert run.fitted.folder == fitted.folder


def test_a_manifest_is_json_whatever_the_figures(fitted: Run, tmp_path: Path) -> None:
    """JSON has no Infinity, and a row that says nothing leaves Pareto k at minus that; nor has it NaN."""
    result, run = updated(fitted, [replace(survey(2027, 0.18), log_sd=1e9)], tmp_path / "updated")
    assert result.weights.k == -np.inf
    assert run.manifest["weights"]["k"] is None
    assert "Pareto k none" in run.note
    export(run, tmp_path / "csv", to="csv", chosen=Chosen(quantities=["revenue_total"]))
    for path in (tmp_path / "updated" / "manifest.json", *(tmp_path / "csv").glob("*.json")):
        json.loads(path.read_text(), parse_constant=pytest.fail)
    assert as_json({"a": [np.nan, (np.inf, 1.5)], "b": np.float64("nan")}) == '{"a": [null, [null, 1.5]], "b": null}'


def test_its_draws_have_equal_weights_and_the_updated_distribution(fitted: Run, tmp_path: Path) -> None:
    """Resampling rounds each draw's copies, so a mass is off by at most three times half a root of the draws."""
    result, run = updated(fitted, [survey(2027, 0.18)], tmp_path / "updated")
    name, weights = "adoption_mean", result.weights.values
    before, after = (one.read([name])[name].sel(year=2027) for one in (fitted, run))
    assert after.dims == before.dims
    assert after.shape == before.shape
    off = 3 * 0.5 / np.sqrt(weights.size)
    for p in (0.05, 0.25, 0.5, 0.75, 0.95):
        low, high = quantile(before.values, weights, np.clip([p - off, p + off], 0, 1))
        assert low <= float(after.quantile(p)) <= high
    median = quantile(before.values, weights, [0.5 - off, 0.5 + off])
    assert not median[0] <= float(before.quantile(0.5)) <= median[1]  # unweighted draws would not pass
    cells = run.posterior["revenue"].sum(["region", "depth", "modality"])
    np.testing.assert_allclose(cells, run.posterior["revenue_total"], rtol=1e-9)  # one draw stays one draw


def test_its_tree_is_that_of_its_draws(fitted: Run, tmp_path: Path) -> None:
    _, run = updated(fitted, [survey(2027, 0.18)], tmp_path / "updated")
    np.testing.assert_array_equal(
        run.tree["posterior/revenue_total"].values, run.read(["revenue_total"])["revenue_total"].values
    )
    assert set(run.tree.children) == set(fitted.tree.children)


def test_updates_in_turn_are_one_update_with_all_rows(fitted: Run, tmp_path: Path) -> None:
    rows = [survey(2027, 0.16), survey(2028, 0.2)]
    at_once = update(fitted, rows)
    _, once = updated(fitted, rows[:1], tmp_path / "once")
    second, twice = updated(once, rows[1:], tmp_path / "twice")
    np.testing.assert_allclose(second.weights.values, at_once.weights.values, rtol=1e-9)
    assert twice.evidence == at_once.priors.evidence
    assert twice.fitted.folder.resolve() == fitted.folder.resolve()
    before = second.moved
    assert before is not None
    first = pd.read_csv(tmp_path / "once" / "update.csv")
    np.testing.assert_allclose(
        before.loc[before["state"] == "before", "median"], first.loc[first["state"] == "after", "median"]
    )
    assert list(second.rows["row"]) == ["survey 2028"]


@pytest.mark.slow
def test_it_can_be_priced_compared_and_taken_away(
    pset: PriorSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted = prior_run(pset, tmp_path / "fitted", draws=500)
    _, run = updated(fitted, [survey(2027, 0.18)], tmp_path / "updated")
    here, deal = str(run.folder), str(DEAL)
    expected = price(run, load_deal(DEAL)).rnpv.mean()
    assert expected != pytest.approx(price(fitted, load_deal(DEAL)).rnpv.mean(), rel=1e-3)
    assert main(["value", here, "--deal", deal, "--out", str(tmp_path / "value")]) == 0
    assert "updated by weights" in capsys.readouterr().out
    provenance = json.loads((tmp_path / "value" / "value.json").read_text())["provenance"]
    assert provenance["weights"] == run.manifest["weights"]
    table = pd.read_csv(tmp_path / "value" / "value.csv")
    assert table.loc[table["quantity"] == "rNPV, mean", "value"].iloc[0] == pytest.approx(expected, rel=1e-9)
    for command in (
        ["export", here, "--to", "parquet", "--out", str(tmp_path / "parquet")],
        ["export", here, "--to", "netcdf", "--out", str(tmp_path / "x.nc")],
        ["workbook", here, "--deal", deal, "--out", str(tmp_path / "x.xlsx")],
        ["voi", here, "--deal", deal, "--out", str(tmp_path / "voi")],
        ["compare", str(fitted.folder), here, "--out", str(tmp_path / "compare")],
    ):
        assert main(command) == 0, command
        assert "updated by weights" in capsys.readouterr().out, command


@pytest.mark.slow
def test_two_updates_in_turn_can_be_priced_and_taken_away(
    pset: PriorSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prior_run(pset, tmp_path / "run 0", draws=1000)
    head = "source,quantity,year,modality,value,unit\n"
    rows = ("study,adoption,2027,non_invasive,0.16,fraction\n", "study: 2,adoption,2028,non_invasive,0.2,fraction\n")
    for k, text in enumerate(rows):
        (tmp_path / f"{k}.csv").write_text(head + text)
        given = ["--evidence", str(tmp_path / f"{k}.csv"), "--out", str(tmp_path / f"run {k + 1}")]
        assert main(["update", str(tmp_path / f"run {k}"), *given]) == 0
        assert capsys.readouterr().out.startswith("The median of 2035 goes from ")
    twice = str(tmp_path / "run 2")
    assert [path.name for path in sorted(Path(twice).glob("evidence-*"))] == ["evidence-1.csv", "evidence-2.csv"]
    assert main(["value", twice, "--deal", str(DEAL), "--out", str(tmp_path / "value")]) == 0
    assert main(["export", twice, "--to", "netcdf", "--out", str(tmp_path / "x.nc")]) == 0
    assert main(["compare", str(tmp_path / "run 0"), twice]) == 0
    recipe = json.loads((tmp_path / "value" / "manifest.json").read_text())["recipe_sha256"]
    assert recipe == open_run(twice).recipe


def test_what_moved_from_a_run_to_its_update_is_the_new_evidence(fitted: Run, tmp_path: Path) -> None:
    _, run = updated(fitted, [survey(2027, 0.18)], tmp_path / "updated")
    found = compare(fitted, run)
    assert not found.refused
    assert not found.structure
    total = found.why[(found.why["quantity"] == "revenue_total") & (found.why["year"] == 2035)]
    assert set(total["factor"]) == {"survey 2027", "not attributed"}


def test_evidence_from_a_pipe_is_read_once_and_kept(fitted: Run, tmp_path: Path) -> None:
    """As from `--evidence <(zcat a.csv.gz)`."""
    text = "source,quantity,year,modality,value,unit\nstudy,adoption,2027,non_invasive,0.18,fraction\n"
    pipe, out = tmp_path / "pipe", tmp_path / "updated"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(text,))
    writer.start()
    assert main(["update", str(fitted.folder), "--evidence", str(pipe), "--out", str(out)]) == 0
    writer.join()
    assert (out / "evidence-1.csv").read_text() == text
    record = json.loads((out / "manifest.json").read_text())
    assert record["files"]["evidence-1.csv"] == sha256(out / "evidence-1.csv")
    assert list(record["evidence"].values()) == [sha256(out / "evidence-1.csv")]
    assert open_run(out).evidence[-1].value == 0.18


@pytest.mark.parametrize("name", ["inputs.json", "weights.csv"])
def test_a_file_of_an_update_that_was_changed_is_refused(fitted: Run, tmp_path: Path, name: str) -> None:
    _, run = updated(fitted, [survey(2027, 0.18)], tmp_path / "updated")
    path = run.folder / name
    path.write_text(path.read_text() + " ")
    with pytest.raises(InputError, match=rf"{name}: is missing or was changed"):
        open_run(run.folder)


def test_the_run_behind_an_update_must_be_there_and_the_same(fitted: Run, pset: PriorSet, tmp_path: Path) -> None:
    base = Path(shutil.copytree(fitted.folder, tmp_path / "base"))
    updated(open_run(base), [survey(2027, 0.18)], tmp_path / "updated")
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("base", "updated"):  # both move together: found by where they lie from each other
        shutil.move(tmp_path / name, moved / name)
    assert open_run(moved / "updated").fitted.folder.resolve() == (moved / "base").resolve()
    shutil.rmtree(moved / "base")
    with pytest.raises(InputError, match="which is not there: put it back, or update again"):
        open_run(moved / "updated")
    prior_run(pset, moved / "base", draws=20, seed=8)
    with pytest.raises(InputError, match="has other draws: update it again"):
        open_run(moved / "updated")


def test_a_prior_set_that_is_not_the_recipes_is_refused(fitted: Run, tmp_path: Path) -> None:
    """Also where its file has the hash that the manifest names."""
    folder = Path(shutil.copytree(fitted.folder, tmp_path / "run"))
    other = replace(fitted.priors, trust=fitted.priors.trust.model_copy(update={"base_log_sd": 0.12}))
    (folder / "inputs.json").write_text(other.to_json(), encoding="utf-8")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["inputs.json"] = sha256(folder / "inputs.json")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"inputs\.json: is not the prior set that the manifest names"):
        open_run(folder)


def test_an_update_is_not_written_over_its_run(fitted: Run, tmp_path: Path) -> None:
    _, run = updated(fitted, [survey(2027, 0.18)], tmp_path / "updated")
    result = update(run, [survey(2028, 0.2)])
    with pytest.raises(InputError, match="is the run that is updated"):
        save_update(result, run, [], run.folder)


def test_a_run_in_memory_has_no_folder_to_look_beside(
    fitted: Run, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder was the current one, whose files of a like name were then taken for its own."""
    loose = Run.in_memory(fitted.tree, fitted.priors, fitted.manifest)
    shutil.copyfile(OTHER_MARKET / "report.toml", tmp_path / "report.toml")
    shutil.copyfile(OTHER_MARKET / "assumptions.toml", tmp_path / "assumptions.toml")
    monkeypatch.chdir(tmp_path)
    assert original(loose) == ledger
    assert loose.folders == ()
    result = update(loose, [survey(2027, 0.18)])
    with pytest.raises(InputError, match=r"in memory only, without a folder: write one, forecast"):
        save_update(result, loose, [], tmp_path / "updated")
    assert not (tmp_path / "updated").exists()


def test_the_size_of_a_run_is_read_once(fitted: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(fitted.folder)
    sizes = run.sizes
    monkeypatch.setattr(Run, "read", lambda *_: pytest.fail("read again"))
    assert run.sizes == sizes == (2, 1000)
