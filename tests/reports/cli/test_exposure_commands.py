"""The commands funnel and exposure: the answer first, one line for bad input, and what a forecast keeps for them."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import pytest

from postcgrp.priors import PriorSet
from postcgrp.priors.shipped import ASSUMPTIONS_FILE, FUNNEL_FILE, REPORT_FILE, SHARES_FILE
from postcgrp.reports.cli.main import main
from postcgrp.reports.cli.priors import files_of
from postcgrp.reports.cli.terminal import BAD_INPUT, DONE
from postcgrp.reports.exposure.tables import NOT_THE_REPORTS
from postcgrp.reports.sensitivity.updating import KEPT
from postcgrp.tests.helpers.exported import market
from postcgrp.tests.helpers.paths import OTHER_MARKET
from postcgrp.tests.helpers.stored import write

OTHER = ["--report", str(OTHER_MARKET / "report.toml"), "--assumptions", str(OTHER_MARKET / "assumptions.toml")]


@pytest.fixture(scope="module")
def run(pset: PriorSet, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a run of the shipped report."""
    folder = tmp_path_factory.mktemp("exposure") / "run"
    return str(write(pset, folder, market(pset)["posterior"].to_dataset()).folder)


def test_funnel_says_the_answer_first_and_whose_the_ranges_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["funnel", "--draws", "1000"]) == DONE
    said = capsys.readouterr().out
    assert said.startswith("In United States + EU5 + Japan the funnel expects")
    assert "What each step must be for the claimed pool" in said
    assert "not the report's" in said


def test_exposure_says_the_answer_first_and_whose_the_shares_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, run: str
) -> None:
    out = tmp_path / "out"
    assert main(["exposure", run, "--out", str(out), "--draws", "csv"]) == DONE
    said = capsys.readouterr().out
    assert said.startswith("Largest in 2035, USD million")
    assert NOT_THE_REPORTS in " ".join(said.split())
    assert {"countries.csv", "companies.csv", "exposure.csv", "companies.vl.json", "draws"} < {
        p.name for p in out.iterdir()
    }


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["funnel", *OTHER], "this ledger has no patient funnel: write one (docs/funnel.md), or name it with --funnel"),
        (["funnel", "--funnel", "nowhere.toml"], "nowhere.toml: cannot be read"),
        (["funnel", "--draws", "7"], "--draws 7: use 1,000 to 100,000"),
        (["exposure", "nowhere"], "nowhere: is not a run folder"),
        (["exposure", "{run}", "--draws", "csv"], "goes into the folder --out"),
        (["exposure", "{run}", "--shares", "nowhere.toml"], "nowhere.toml: cannot be read"),
    ],
)
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], run: str, words: list[str], wanted: str) -> None:
    assert main([word.format(run=run) for word in words]) == BAD_INPUT
    said = capsys.readouterr()
    assert said.err.startswith(f"postcgrp {words[0]}: ")
    assert wanted in said.err
    assert said.err.count("\n") == 1
    assert not said.out


def test_a_forecast_keeps_both_files_where_they_lie_beside_its_ledger(tmp_path: Path) -> None:
    def kept(assumptions: Path) -> dict[str, Path]:
        return files_of(argparse.Namespace(report=REPORT_FILE, assumptions=assumptions, priors=None, evidence=[]))

    assert {FUNNEL_FILE, SHARES_FILE} <= set(kept(ASSUMPTIONS_FILE))
    assert {FUNNEL_FILE, SHARES_FILE} <= {*KEPT}  # by a refit
    alone = Path(shutil.copy(ASSUMPTIONS_FILE, tmp_path / "mine.toml"))
    assert not {FUNNEL_FILE, SHARES_FILE} & set(kept(alone))
    shutil.copy(ASSUMPTIONS_FILE.with_name(SHARES_FILE), tmp_path)
    assert kept(alone)[SHARES_FILE] == tmp_path / SHARES_FILE
