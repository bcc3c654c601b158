"""Scenarios on the page: each driver alone, and mixtures, against Python; hostile words as text; no script, a table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from postcgrp.models import variables as v
from postcgrp.priors import PriorSet, load_scenario
from postcgrp.priors.scenarios import Scenario, plan
from postcgrp.reports.cli.main import main
from postcgrp.reports.page.living import living_page
from postcgrp.reports.page.market import drawn
from postcgrp.reports.page.mixing import first_weights, mixed_rows, mixture_data
from postcgrp.reports.page.what_if import told, what_if
from postcgrp.reports.runs.evidence import flat
from postcgrp.reports.runs.run import Run
from postcgrp.reports.scenarios.answer import ScenarioAnswer, scenarios
from postcgrp.reports.scenarios.market import WhatIf
from postcgrp.tests.helpers.browser import Page, browser
from postcgrp.tests.helpers.scripts import needs_chromium
from postcgrp.tests.helpers.stored import prior_run

pytestmark = pytest.mark.slow
HOSTILE = Scenario(name="<img src=x onerror=hacked=1>", says="</script><script>hacked=2</script>")
NAMES = ("conservative", "upside", "payers-open")
CELLS = ("median", "interval", "mean", "difference", "above", "below")
ROWS = "[...document.querySelectorAll('{} tbody tr')].map(r => Object.fromEntries([...r.querySelectorAll('[data-cell]')].map(c => [c.dataset.cell, c.textContent])))"  # noqa: E501


@pytest.fixture(scope="module")
def run(pset: PriorSet, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return prior_run(pset, tmp_path_factory.mktemp("what_if") / "run", draws=60)


@pytest.fixture(scope="module")
def under() -> list[Scenario]:
    return [*(load_scenario(name) for name in NAMES), HOSTILE]


@pytest.fixture(scope="module")
def found(run: Run, under: list[Scenario]) -> dict[str, Any]:
    return what_if(run, under)


@pytest.fixture(scope="module")
def answer(run: Run, under: list[Scenario]) -> ScenarioAnswer:
    return scenarios(run, under)


@pytest.fixture(scope="module")
def written(run: Run, under: list[Scenario]) -> Path:
    path = run.folder.with_name("what_if.html")
    path.write_text(living_page(run, under=under), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with browser() as opened:
        yield opened


def move(page: Page, selector: str, value: int) -> None:
    code = "(([s, v]) => { const e = document.querySelector(s); e.value = v; e.dispatchEvent(new Event('input')); })"
    page.run(f"{code}({json.dumps([selector, value])})")


# ---- what Python makes -------------------------------------------------------------------------------------------


def test_the_page_shows_scenarios_as_text(run: Run, found: dict[str, Any], written: Path) -> None:
    said = found["said"]
    assert [len(said[key]) for key in ("whole", "parts")] == [2, 3]  # later anchors, modalities
    last = said["whole"][1]
    assert [row[0] for row in last["rows"]] == ["base", *NAMES, HOSTILE.name]
    assert last["rows"][3][2].startswith("+")
    text = written.read_text(encoding="utf-8")
    assert '<section id="what-if"' in text
    assert "<img src=x" not in text
    assert "<script>hacked" not in text
    assert '<section id="what-if"' not in living_page(run)


def test_every_driver_that_the_market_has_is_a_slider(found: dict[str, Any]) -> None:
    keys = [slider["key"] for slider in found["data"]["drivers"]]
    launches = ("implantable", "pacap")
    expected = [f"{driver} {of}" for of in launches for driver in ("launch_year", "success_probability")]
    assert keys == ["payer_block", "pool_growth", "persistence", "exclusivity_year", *expected]
    for slider in found["data"]["drivers"]:
        as_it_is = slider["stops"][slider["base"]]
        assert not any(as_it_is["above"] + as_it_is["below"] + as_it_is["mean"])
        assert sum(any(stop["above"] + stop["below"]) for stop in slider["stops"]) == len(slider["stops"]) - 1
        assert slider["stops"][0]["mean"][-1] * slider["stops"][-1]["mean"][-1] <= 0, "either side of the base"


def test_a_stop_is_what_the_model_finds(run: Run, found: dict[str, Any]) -> None:
    """A stop of payer blocking, written as a scenario."""
    slider = found["data"]["drivers"][0]
    row = {"driver": "payer_block", "from": 2026, "factor": 0.5}
    asked = Scenario.model_validate({"name": "half", "says": "Half.", "set": [row]})
    there = flat(WhatIf(run).under(plan(run.priors.ledger, asked))[v.REVENUE_TOTAL])
    base = flat(run.read([v.REVENUE_TOTAL])[v.REVENUE_TOTAL])
    stop = slider["stops"][1]
    assert stop["label"].startswith("× 0.5 (")
    np.testing.assert_allclose(stop["q95"], np.quantile(there, 0.95, axis=0), rtol=1e-6)
    np.testing.assert_allclose(stop["mean"], (there - base).mean(axis=0), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(stop["d05"], np.quantile(there - base, 0.05, axis=0), rtol=1e-6, atol=1e-9)
    assert stop["above"][-1] == pytest.approx((there > base)[:, -1].mean())


def test_the_first_weights_stand_on_the_three_main_scenarios() -> None:
    assert first_weights(["base", "upside", "conservative"]) == {"base": 0.5, "upside": 0.25, "conservative": 0.25}
    assert first_weights(["base", "upside", "conservative", "other"])["other"] == 0
    assert first_weights(["base", "other"]) == {"base": 0.5, "other": 0.5}


# ---- what the browser makes of it --------------------------------------------------------------------------------


@needs_chromium
def test_every_stop_of_every_slider_is_shown_as_python_has_it(tab: Page, written: Path, found: dict[str, Any]) -> None:
    tab.problems.clear()
    tab.open(written)
    data = found["data"]
    at = [data["years"].index(year) for year in data["anchors"]]
    columns = {"median": "q50", "low_90": "q05", "high_90": "q95", "difference_mean": "mean"}
    columns |= {"difference_low_90": "d05", "difference_high_90": "d95", "p_above": "above", "p_below": "below"}
    for k, slider in enumerate(data["drivers"]):
        for j, stop in enumerate(slider["stops"]):
            move(tab, f"#driver-{k}", j)
            expected = [told({name: stop[of][y] for name, of in columns.items()}) for y in at]
            shown = tab.run(ROWS.format(".driver-figures"))
            for row, ours in zip(shown, expected, strict=True):
                for name in CELLS:  # halves of a per cent are rounded up here, to even there
                    near = ours[name] if name in CELLS[:4] else pytest.approx(closely(ours[name]), abs=1)
                    assert (row[name] if name in CELLS[:4] else closely(row[name])) == near, (slider["label"], name)
            assert tab.run(f"document.querySelector('#driver-{k}').getAttribute('aria-valuetext')") == stop["label"]
            others = [o for o in range(len(data["drivers"])) if o != k]
            moved = tab.run("[...document.querySelectorAll('.driver-sliders .changed')].length")
            assert moved == (j != slider["base"])
            assert tab.run(f"document.querySelector('#driver-{others[0]}').value") == str(
                data["drivers"][others[0]]["base"]
            )
    assert not tab.problems
    assert tab.run("typeof hacked") == "undefined"


@needs_chromium
def test_any_weights_give_the_mixture_that_python_has(
    tab: Page, written: Path, run: Run, answer: ScenarioAnswer
) -> None:
    tab.open(written)
    years = list(run.priors.ledger.report.anchors[1:])
    names = list(mixture_data(answer, years, drawn(run))["names"])
    first = tab.run(ROWS.format(".mixture-figures"))
    assert {tuple(row) for row in first} == {CELLS}
    for weights in ([1, 0, 0, 0, 0], [0, 0, 0, 3, 0], [4, 4, 0, 0, 0], [1, 2, 3, 4, 0], [20, 0, 7, 0, 1]):
        for k, weight in enumerate(weights):
            move(tab, f"#weight-{k}", weight)
        shares = dict(zip(names, np.array(weights) / sum(weights), strict=True))
        expected = [told(row) for _, row in mixed_rows(answer, years, shares).iterrows()]
        shown = tab.run(ROWS.format(".mixture-figures"))
        for row, ours in zip(shown, expected, strict=True):
            for name in CELLS:
                assert closely(row[name]) == pytest.approx(closely(ours[name]), rel=2e-3, abs=1.01), (weights, name)
    for button in range(len(names)):
        tab.run(f"document.querySelectorAll('.mixture-sliders button')[{button}].click()")
    assert tab.run(ROWS.format(".mixture-figures")) == first


def closely(text: str) -> list[float]:
    """Every number that a cell prints."""
    clean = text.replace("\u2212", "-").replace(",", "").replace("%", " ").replace("\u2013", " ").replace("to", " ")
    return [float(word) for word in clean.split()]


@needs_chromium
def test_no_weight_at_all_is_said(tab: Page, written: Path) -> None:
    tab.open(written)
    for k in range(len(NAMES) + 2):
        move(tab, f"#weight-{k}", 0)
    assert tab.run("document.querySelector('.mixture-fault').checkVisibility()")
    move(tab, "#weight-0", 1)
    assert not tab.run("document.querySelector('.mixture-fault').checkVisibility()")


@needs_chromium
def test_a_key_moves_a_slider_by_a_stop(tab: Page, written: Path) -> None:
    tab.open(written)
    for selector in ("#driver-0", "#weight-1"):
        tab.run(f"document.querySelector('{selector}').focus()")
        before = int(tab.run("document.activeElement.value"))
        tab.key("ArrowLeft", 37)
        assert int(tab.run("document.activeElement.value")) == before - 1
        assert tab.run("document.activeElement.labels[0].textContent")


@needs_chromium
def test_without_scripts_every_stop_and_the_mixture_stand_in_tables(
    tab: Page, written: Path, found: dict[str, Any]
) -> None:
    tab.open(written, scripts=False)
    tab.ask("Emulation.setScriptExecutionDisabled", value=False)
    rows = tab.run("document.querySelectorAll('#what-if table.stops tbody tr').length")
    assert rows == sum(len(slider["stops"]) for slider in found["data"]["drivers"])
    assert tab.run(ROWS.format(".mixture-figures")) == [
        {name: row[name] for name in CELLS} for row in found["said"]["mixture"]
    ]
    assert not tab.run("document.querySelector('#what-if .controls').checkVisibility()")


@needs_chromium
@pytest.mark.parametrize("width", [360, 1600])
def test_it_fits_any_width(tab: Page, written: Path, width: int) -> None:
    tab.open(written, width=width, dark=True)
    assert tab.run("document.documentElement.scrollWidth") <= width


# ---- the command -------------------------------------------------------------------------------------------------


def test_the_command_takes_every_shipped_scenario(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert main(["page", str(run.folder), "--scenarios", "--scenario", "upside", "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    for name in ("conservative", "biosimilars-early", "implants-never"):
        assert f'<th class="t" scope="row">{name}</th>' in text
