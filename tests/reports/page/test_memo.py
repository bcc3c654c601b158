"""The memo: its verdict, its figures against `value`, two printed pages, nothing that runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from postcgrp.priors import PriorSet, load_scenario
from postcgrp.priors.evidence_file import read_evidence
from postcgrp.priors.shipped import shipped_scenarios
from postcgrp.reports.cli.main import main
from postcgrp.reports.page.memorandum import GO, NO_GO, go_or_not, memo
from postcgrp.reports.page.views import updated
from postcgrp.reports.runs.run import Run
from postcgrp.reports.scenarios.market import WhatIf
from postcgrp.reports.sensitivity.updating import update
from postcgrp.reports.valuation.deal import load_deal
from postcgrp.reports.valuation.decision import CLOSE
from postcgrp.reports.valuation.tables import EVERY, value_table
from postcgrp.reports.valuation.valuation import price_all
from postcgrp.tests.helpers.browser import browser
from postcgrp.tests.helpers.paths import EXAMPLES
from postcgrp.tests.helpers.scripts import needs_chromium
from postcgrp.tests.helpers.stored import prior_run
from postcgrp.tests.helpers.variants import variants

DEALS = sorted(EXAMPLES.glob("*.toml"))
SECOND_VENDOR = EXAMPLES / "second_vendor.csv"
SCENARIOS = ("base", "implants-slip", "implants-never")


@pytest.fixture(scope="module")
def run(pset: PriorSet, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return prior_run(pset, tmp_path_factory.mktemp("memo") / "run", draws=300)


@pytest.mark.parametrize(
    ("value", "error", "said"), [(1.0, 0.4, GO), (-1.0, 0.4, NO_GO), (0.5, 0.3, CLOSE), (-0.5, 0.3, CLOSE)]
)
def test_the_verdict_is_the_sign_unless_the_error_hides_it(value: float, error: float, said: str) -> None:
    assert go_or_not({("rNPV, mean", EVERY): {"value": value, "mc_error": error}}) == said


@pytest.mark.fit
@pytest.mark.parametrize("deal", variants(DEALS, stay=1), ids=lambda path: path.stem)
def test_it_says_what_value_says(run: Run, deal: Path) -> None:
    text = re.sub(r"<[^>]*>", " ", memo(run, deal))
    figures = value_table(price_all(run, [load_deal(deal)])[0]).set_index(["quantity", "given"])["value"]
    for quantity in ("rNPV, mean", "maximum bid, mean", "NPV, 5 % quantile"):
        assert f"{figures[quantity, EVERY]:,.2f}".replace("-", "−") in text, quantity
    assert f"{100 * figures['P(NPV < 0)', EVERY]:.0f} %" in text
    assert not re.search(r"\b(nan|None)\b", text)


@needs_chromium
@pytest.mark.fit
@pytest.mark.slow
def test_it_prints_two_pages_and_runs_nothing(run: Run, tmp_path: Path) -> None:
    under = [load_scenario(name) for name in shipped_scenarios()]
    with browser() as tab:
        for deal in DEALS:
            path = tmp_path / f"{deal.stem}.html"
            everything = memo(run, deal, [run], under=under, evidence=[SECOND_VENDOR])
            path.write_text(everything, encoding="utf-8")
            assert "<script" not in path.read_text(encoding="utf-8")
            tab.open(path)
            assert tab.pdf().count(b"/Type /Page\n") == 2, deal
            assert not tab.problems
        tab.open(path, width=360)
        assert tab.run("document.documentElement.scrollWidth") <= 360


@pytest.mark.slow
def test_scenarios_are_views_that_value_has_too(run: Run) -> None:
    """Also the one in which what the deal captures never comes."""
    deal = EXAMPLES / "implantable_pivotal.toml"
    text = re.sub(r"<[^>]*>", " ", memo(run, deal, under=[load_scenario(name) for name in SCENARIOS]))
    there = WhatIf(run).run_under(load_scenario("implants-slip"))
    figures = value_table(price_all(there, [load_deal(deal)])[0]).set_index(["quantity", "given"])["value"]
    row = text[text.index("scenario implants-slip") :]
    assert f"{figures['rNPV, mean', EVERY]:,.2f}".replace("-", "−") in row[:200]
    assert "not priced: the launch of implantable succeeds in no draw" in text
    assert "scenario base" not in text


@pytest.mark.fit
def test_evidence_that_the_draws_can_tell_of_is_a_view(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postcgrp.reports.sensitivity.updating.MIN_ESS", 20)
    text = re.sub(r"<[^>]*>", " ", memo(run, DEALS[0], evidence=[SECOND_VENDOR]))
    rows = read_evidence([SECOND_VENDOR], run.priors.ledger, run.priors.trust, run.priors.evidence)
    now = updated(run, update(run, rows))
    figures = value_table(price_all(now, [load_deal(DEALS[0])])[0]).set_index(["quantity", "given"])["value"]
    row = text[text.index("with second_vendor.csv") :]
    assert f"{figures['rNPV, mean', EVERY]:,.2f}".replace("-", "−") in row[:200]
    middle = np.median(now.read(["revenue_total"])["revenue_total"].sel(year=2035))
    assert re.search(rf"market of 2035 moves from [\d,]+ \([\d,]+ to [\d,]+\) to {middle:,.0f} \(", text)


@pytest.mark.fit
def test_evidence_that_the_draws_cannot_tell_of_is_said_with_the_way_out(run: Run) -> None:
    text = re.sub(r"<[^>]*>", " ", memo(run, DEALS[0], evidence=[SECOND_VENDOR]))
    assert "the draws cannot tell: fit again" in text
    assert "the gate wants more than 400" in text
    assert "postcgrp update RUN --evidence second_vendor.csv" in text


@pytest.mark.slow
@pytest.mark.fit
def test_the_command_writes_it_under_two_views(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "memo.html"
    command = ["memo", str(run.folder), "--deal", str(DEALS[0]), "--against", str(run.folder), "--out", str(out)]
    command += ["--scenario", "payers-open", "--evidence", str(SECOND_VENDOR)]
    assert main(command) == 0
    text = out.read_text(encoding="utf-8")
    assert text.count("run (prior set report") == 2
    assert "scenario payers-open" in text


def test_a_deal_that_cannot_be_read_is_said_before_the_run_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["memo", str(tmp_path / "norun"), "--deal", str(tmp_path / "none.toml")]) == 2
    assert "cannot be read" in capsys.readouterr().err
