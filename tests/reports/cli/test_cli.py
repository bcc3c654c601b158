"""The command line as a user meets it: files, exit codes, one-line errors, nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from postcgrp.models.structure import structure_key
from postcgrp.priors import InputError, PriorSet, Settings, load_ledger
from postcgrp.priors.numbers import fixed_numbers
from postcgrp.priors.shipped import REPORT_FILE
from postcgrp.reports.cli.main import main
from postcgrp.reports.forecast.summary import SUMMARY_COLUMNS, headline, report_point, summarised, summary
from postcgrp.reports.runs.folder import BYTES_PER_DRAW, check_space
from postcgrp.reports.runs.place import new_folder
from postcgrp.reports.runs.run import open_run
from postcgrp.tests.helpers.paths import EXAMPLES

pytestmark = pytest.mark.fit

SMALL = ["--draws", "15", "--tune", "30"]  # four chains: the programs of the fixture `run` serve
FILES = {
    "posterior.nc",
    "summary.csv",
    "report.html",
    "manifest.json",
    "priors.csv",
    "evidence.csv",
    "audit.csv",
    "gate.csv",
    "prior_evidence.csv",
    "recipe.txt",
    "report.toml",
    "assumptions.toml",
    "funnel.toml",
    "shares.toml",
    "inputs.json",
    "variance_budget.csv",
    "growth_bridge.csv",
    "centre.csv",
    "growth_claim.csv",
    "leverage.csv",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run far too short to pass the gate: it must be delivered, marked as failed."""
    out = tmp_path_factory.mktemp("runs") / "small"
    assert main(["forecast", "--out", str(out), "--coverage", "0.8", "--trust", "low", "--seed", "9", *SMALL]) == 3
    return out


def test_run_folder_holds_what_it_promises(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == FILES
    assert [path.name for path in folder.parent.iterdir()] == ["small"]
    record = json.loads((folder / "manifest.json").read_text())
    assert record["settings"] == asdict(Settings(coverage=0.8, trust="low")) | {"leave_out": []}
    assert record["status"] == "failed"
    assert (record["sampling"]["seed"], record["sampling"]["draws"], record["sampling"]["chains"]) == (9, 15, 4)
    assert {check["check"] for check in record["gate"]} >= {"finite", "divergences"}
    assert set(record["files"]) == FILES - {"manifest.json"}
    assert record["float"] == "float64"


def test_a_run_asks_for_the_space_that_its_draws_take(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with xr.open_datatree(folder / "posterior.nc") as tree:
        groups = [node.to_dataset() for node in tree.subtree]
        takes = sum(group.nbytes for group in groups)
        draws = sum(tree[name].sizes["chain"] * tree[name].sizes["draw"] for name in ("posterior", "prior"))
    assert takes < draws * BYTES_PER_DRAW < 1.5 * takes
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=takes - 1))
    with pytest.raises(InputError, match="MB are free, but the draws need some"):
        check_space(tmp_path / "run", draws)


@pytest.mark.parametrize("key", ["status", "created", "recipe_sha256"])
def test_a_manifest_that_lacks_something_is_no_run(folder: Path, tmp_path: Path, key: str) -> None:
    record = json.loads((folder / "manifest.json").read_text())
    del record[key]
    (tmp_path / "manifest.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=f"manifest.json: has no '{key}'"):
        open_run(tmp_path)


@pytest.mark.slow
def test_what_is_made_of_a_failed_run_is_marked_as_failed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deal, out = str(EXAMPLES / "noninvasive_us.toml"), tmp_path / "value"
    assert main(["value", str(folder), "--deal", deal, "--out", str(out)]) == 3
    assert json.loads((out / "value.json").read_text())["provenance"]["status"] == "failed"
    assert main(["voi", str(folder), "--deal", deal, "--against", str(folder), "--cara", "0.1"]) == 3
    said = capsys.readouterr()
    assert "marked as failed by its gate" in said.err
    assert "Does the choice survive, CARA 0.1?" in said.out
    for command in (
        ["compare", str(folder), str(folder)],
        ["export", str(folder), "--to", "netcdf", "--out", str(tmp_path / "x.nc")],
        ["workbook", str(folder), "--out", str(tmp_path / "x.xlsx")],
    ):
        assert main(command) == 3, command
        assert f"postcgrp {command[0]}: {folder} is marked as failed by its gate" in capsys.readouterr().err, command


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--seed", "-1"], "--seed -1: is negative"),
        (["--out", str(REPORT_FILE)], "is a file: name a folder"),
        (["--rate", "10"], "--rate 10: is no rate a year"),
        (["--study", "measure:patients 2025:0.05@-1"], "neither may be negative"),
        (["--study", "measure:patients 2025:0.05@soon"], "'soon' is no cost and delay"),
        (["--inputs", "x.csv"], "--inputs: goes with --net-benefit, which is not given"),
        (["--given", "payer_block[Mars] < 0.1"], "region 'Mars' is not declared"),
        (["--method", "kriging"], "--method: invalid choice: 'kriging'"),
        (["--study", "survey:payer blocking:" + "9" * 30], "ask at least one, at most 1,000,000,000"),
        (["--study", "survey:patients 2025:10"], "'patients 2025' is no share"),
        (["--crra", "2", "0.1"], "wealth must stay positive"),
    ],
)
def test_bad_input_of_voi_is_one_line_before_any_table(
    folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], says: str
) -> None:
    try:
        status = main(["voi", str(folder), "--deal", str(EXAMPLES / "noninvasive_us.toml"), *more])
    except SystemExit as stopped:  # argparse
        status = int(str(stopped.code))
    said = capsys.readouterr()
    assert status == 2
    assert says in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_draws_open_with_plain_xarray_and_name_their_recipe(folder: Path) -> None:
    record = json.loads((folder / "manifest.json").read_text())
    with xr.open_dataset(folder / "posterior.nc", engine="h5netcdf") as root:
        assert json.loads(root.attrs["manifest"])["recipe_sha256"] == record["recipe_sha256"]
        assert root.attrs["recipe"] == (folder / "recipe.txt").read_text()
    with xr.open_dataset(folder / "posterior.nc", engine="h5netcdf", group="posterior") as posterior:
        assert posterior["revenue"].dims == ("chain", "draw", "year", "region", "depth", "modality")
        assert posterior["revenue"].dtype == np.float64
        assert list(posterior["region"].values) == ["United States", "EU5", "Japan", "Other Developed", "Rest of World"]


def test_summary_is_the_draws(folder: Path) -> None:
    opened = open_run(folder)
    run, pset = opened.tree, opened.priors
    table = pd.read_csv(folder / "summary.csv")
    assert list(table.columns) == list(SUMMARY_COLUMNS)
    ledger, years = pset.ledger, len(pset.ledger.years)
    by_quantity = table.groupby("quantity").size()
    assert by_quantity["revenue_total"] == years
    assert by_quantity["revenue"] == years * (len(ledger.modalities) + len(ledger.regions) + len(ledger.depths))
    assert by_quantity["revenue_line"] == years * len(ledger.lines)
    assert set(table.loc[table["quantity"].str.startswith("revenue"), "unit"]) == {"USD million"}
    last = table[(table["quantity"] == "revenue_total") & (table["year"] == 2035)].iloc[0]
    draws = run.children["posterior"].dataset["revenue_total"].sel(year=2035).values.ravel()
    assert last["median"] == pytest.approx(np.median(draws))
    assert last["low_90"] == pytest.approx(np.quantile(draws, 0.05))
    assert last["high_80"] == pytest.approx(np.quantile(draws, 0.9))
    assert last["report"] == report_point(pset.ledger, 2035)
    assert last["p_above_report"] == pytest.approx(np.mean(draws > last["report"]))
    again = summary(run, pset)
    pd.testing.assert_frame_equal(again, table, check_dtype=False)
    assert list(headline(again, pset.ledger)["year"]) == list(pset.ledger.report.anchors)


def test_intervals_are_equal_tailed() -> None:
    ledger, quantiles = load_ledger(), stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    draws = xr.DataArray(
        np.stack([quantiles, quantiles + 432.0], axis=-1)[None],
        {"year": [2024, 2025]},
        ("chain", "draw", "year"),
    )
    unknown, row = summarised(ledger, "revenue_total", draws, "USD million", claim="revenue").to_dict("records")
    assert unknown["high_90"] == pytest.approx(stats.norm.ppf(0.95), abs=1e-3)
    assert unknown["low_50"] == pytest.approx(stats.norm.ppf(0.25), abs=1e-3)
    assert np.isnan(unknown["p_above_report"])
    assert (row["report"], row["p_above_report"]) == (432.0, 0.5)


def test_page_is_one_offline_file_that_says_the_gate_failed(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    tags: list[tuple[str, dict[str, str | None]]] = []
    texts: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append((tag, dict(attrs)))

        def handle_data(self, data: str) -> None:
            texts.append(data.strip())

    Reader().feed(text)
    assert not [tag for tag, _ in tags if tag in ("img", "link", "iframe")]
    assert not [name for _, attributes in tags for name in attributes if name in ("src", "onload", "style")]
    assert "missed its convergence gate" in text
    assert not {"nan", "None", "inf", "<NA>"} & set(texts)


def test_diagnose_judges_again(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", str(folder), "--out", str(tmp_path / "each.csv")]) == 3
    assert "rhat" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "each.csv")["parameter"].is_unique


def test_changed_draws_are_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    content = bytearray((copy / "posterior.nc").read_bytes())
    content[-1000] ^= 1
    (copy / "posterior.nc").write_bytes(content)
    assert main(["diagnose", str(copy)]) == 2
    assert "was changed after the run" in capsys.readouterr().err


def test_a_run_may_be_replaced_but_nothing_else(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    shutil.copytree(folder, out)
    before = (out / "manifest.json").read_text()
    with new_folder(out) as inside:
        (inside / "manifest.json").write_text("{}")
    assert [path.name for path in out.iterdir()] == ["manifest.json"]
    assert (out / "manifest.json").read_text() != before
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_a_failure_while_writing_leaves_the_old_run(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(folder, out)

    def half() -> None:
        with new_folder(out) as inside:
            (inside / "posterior.nc").write_bytes(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="No space left"):
        half()
    assert {path.name for path in out.iterdir()} == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_stored_programs_are_named_by_what_the_evidence_observes(pset: PriorSet) -> None:
    """The same row on another year is another graph; another value is not."""
    first, *others = pset.evidence
    assert structure_key(pset.with_evidence([replace(first, value=2 * first.value), *others])) == structure_key(pset)
    assert structure_key(pset.with_evidence([replace(first, year=2031), *others])) != structure_key(pset)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The single line with which a command refuses its input."""
    try:
        status = main(list(arguments))
    except SystemExit as stop:
        status = int(stop.code or 0)
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.count("\n") == 1, captured.err
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--coverage", "80"], r"coverage 80 .*fraction.*0\.8"),
        (["--coverage", "1"], "coverage 1 .*between 0 and 1"),
        (["--coverage", "nan"], "coverage nan"),
        (["--trust", "medium"], "trust 'medium' .*low, default, high"),
        (["--draws", "0"], "draws = 0 .*at least"),
        (["--chains", "-1"], "chains = -1"),
        (["--sampler", "gibbs"], "sampler 'gibbs' .*numpyro, blackjax, pymc"),
        (["--seed", "x"], "--seed.*'x'"),
        (["--target-accept", "80"], "target_accept = 80"),
        (["--report", "no-such.toml"], "no-such.toml.*cannot be read"),
        (["--assumptions", str(REPORT_FILE)], "report.toml"),
        (["--out", "/proc/run"], "/proc/run.*cannot be written"),
        (["--out", str(REPORT_FILE)], "is a file: name a folder"),
        (["--draws", "1000000000"], "the draws need"),
    ],
)
def test_bad_forecasts_are_refused_in_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = refused(capsys, "forecast", "--out", str(tmp_path / "run"), *arguments)
    assert pd.Series([line]).str.contains(says, regex=True).all(), line
    assert not list(tmp_path.iterdir())


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert "holds other files" in refused(capsys, "forecast", "--out", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_unknown_command_and_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--help" in refused(capsys, "forecats")
    assert "is not a run folder" in refused(capsys, "diagnose", str(tmp_path))


def test_audit_and_priors_print_and_write(tmp_path: Path, capsys: pytest.CaptureFixture[str], pset: PriorSet) -> None:
    assert main(["audit", "--out", str(tmp_path / "audit.csv")]) == 0
    assert "growth_rate" in capsys.readouterr().out
    assert main(["priors", "--out", str(tmp_path / "priors.csv")]) == 0
    table = pd.read_csv(tmp_path / "priors.csv")
    assert len(table) == len(pset.table()) + len(fixed_numbers(pset))
    assert table["because"].notna().all()
    for verb in ("priors", "audit"):
        for out in (tmp_path / "no" / "where.csv", tmp_path):
            assert "is no CSV file in a folder that exists" in refused(capsys, verb, "--out", str(out))


@pytest.mark.parametrize("verb", ["audit", "priors", "forecast", "diagnose"])
def test_every_command_helps(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    assert "usage: postcgrp" in capsys.readouterr().out


def test_interrupt_leaves_an_earlier_run_as_it_was(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(folder, out)
    # A process started in the background may have inherited "ignore interrupts".
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from postcgrp.reports.cli.main import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", script, "forecast", "--out", str(out), "--draws", "20000"]
    colour = {**os.environ, "FORCE_COLOR": "1"}  # the bar is drawn, though nobody looks
    process = subprocess.Popen(command, env=colour, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    shown = ""
    while "draw" not in shown:  # the stage in which the chains are drawn
        more = process.stderr.read(1)
        assert more, shown
        shown += more
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130, error
    assert "interrupted" in error
    assert "Traceback" not in error
    assert {path.name for path in out.iterdir()} == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
