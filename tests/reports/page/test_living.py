"""The living page in a browser: what it answers against Python, whatever the ledger's labels, sizes and units."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from postcgrp.inference.diagnostics import mcse_mean
from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.cli.main import main
from postcgrp.reports.page.content import LARGEST_PAGE
from postcgrp.reports.page.deals import deal_data, kind
from postcgrp.reports.page.document import SCRIPTS, embedded, style
from postcgrp.reports.page.living import living_page
from postcgrp.reports.page.market import drawn
from postcgrp.reports.page.memorandum import memo
from postcgrp.reports.runs.evidence import flat
from postcgrp.reports.runs.run import Run
from postcgrp.reports.valuation.deal import load_deal
from postcgrp.reports.valuation.pricing import outcomes
from postcgrp.reports.valuation.tables import weighted_mean
from postcgrp.reports.valuation.valuation import Valuation, price_all
from postcgrp.tests.helpers.browser import Page, browser
from postcgrp.tests.helpers.markets import Tables, claim, drop, euros, keep_regions, prior_set_of
from postcgrp.tests.helpers.paths import EXAMPLES
from postcgrp.tests.helpers.scripts import needs_chromium, scripts
from postcgrp.tests.helpers.stored import prior_run

DEALS = sorted(EXAMPLES.glob("*.toml"))
EVIL = '</script><script>hacked=1</script><img src=x onerror="hacked=2">'
HOSTILE_DEAL = """
schema = 1
name = "<img src=x onerror=hacked=3>"
description = "</script><script>hacked=4</script>"
[captured]
peak_share = { low = 0.1, high = 0.3 }
launch_year = 2024
[economics]
margin = 0.3
[[economics.cost]]
name = "\\"><b onclick=hacked=5>"
from_year = 2025
by_year = [1]
[discounting]
rate = 0.1
valuation_date = 2025-01-01
[terminal]
label = "<script>hacked=9</script>"
growth = 0.02
[sources]
"captured" = "<iframe src=javascript:hacked=6>"
"""
MANY = 40


@pytest.fixture(scope="module")
def run(pset: PriorSet, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return prior_run(pset, tmp_path_factory.mktemp("page") / "run", draws=200)


@pytest.fixture(scope="module")
def priced(run: Run) -> list[Valuation]:
    return price_all(run, [load_deal(path) for path in DEALS])


@pytest.fixture(scope="module")
def written(run: Run) -> Path:
    path = run.folder.with_name("page.html")
    path.write_text(living_page(run, DEALS), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with browser() as opened:
        yield opened


@pytest.fixture
def page(tab: Page, written: Path) -> Page:
    """The page, opened anew."""
    tab.problems.clear()
    tab.requests.clear()
    tab.open(written)
    return tab


def set_input(page: Page, selector: str, value: float) -> None:
    """Move a slider or type a number."""
    code = "(([s, v]) => { const e = document.querySelector(s); e.value = v; e.dispatchEvent(new Event('input')); })"
    page.run(f"{code}({json.dumps([selector, value])})")


def tick(page: Page, dim: str, label: str) -> None:
    code = (
        "(([dim, label]) => { const box = [...document.querySelectorAll(`[data-dim=${dim}] input`)]"
        ".find(b => b.value === label); box.click(); })"
    )
    page.run(f"{code}({json.dumps([dim, label])})")


def answered(page: Page) -> tuple[float, float]:
    data = page.run("({...document.querySelector('#ask-answer').dataset})")
    return float(data["value"]), float(data["error"])


def table(page: Page) -> list[list[str]]:
    code = "[...document.querySelectorAll('#ask-rows tr')].map(r => [...r.cells].map(c => c.textContent))"
    return list(page.run(code))


# ---- the answer --------------------------------------------------------------------------------------------------


@needs_chromium
@pytest.mark.fit
def test_opens_without_a_word_on_the_console_or_a_request(page: Page, written: Path) -> None:
    assert page.run("document.documentElement.dataset.state") == "ready"
    assert not page.problems
    assert page.requests == [written.as_uri()]
    policy = page.run("document.querySelector('meta[http-equiv]').content")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


@needs_chromium
@pytest.mark.fit
def test_the_policy_lets_nothing_else_run(page: Page) -> None:
    page.run(
        "(() => { const s = document.createElement('script'); s.textContent = 'hacked = 7'; document.body.append(s);"
        " const d = document.createElement('div'); d.innerHTML = '<img src=x onerror=\"hacked=8\">';"
        " document.body.append(d); })()"
    )
    assert page.run("typeof hacked") == "undefined"
    assert page.problems, "the browser says what it refused"


@needs_chromium
@pytest.mark.fit
def test_any_level_and_year_is_answered_as_python_would(page: Page, run: Run) -> None:
    total = run.read(["revenue_total"])["revenue_total"]
    for year, level in ((2035, 700.0), (2030, 555.5), (2027, 480.0)):
        draws = total.sel(year=year).transpose("chain", "draw").values
        set_input(page, "#ask-year", year - run.priors.ledger.years[0])
        set_input(page, "#ask-exact", level)
        value, error = answered(page)
        assert value == pytest.approx((draws > level).mean(), abs=1.5 / draws.size)
        assert error == pytest.approx(mcse_mean(draws > level), rel=0.05)
        assert f"P({year} > {level:,.0f})" in page.run("document.querySelector('#ask-answer').textContent")


@needs_chromium
@pytest.mark.fit
def test_any_part_of_the_market_is_shown_as_python_would(page: Page, run: Run) -> None:
    revenue = run.read(["revenue"])["revenue"]
    tick(page, "region", "United States")
    tick(page, "region", "Japan")
    tick(page, "modality", "Non-invasive neuromodulation")
    part = revenue.sel(region=["United States", "Japan"], modality="non_invasive").sum(["region", "depth"])
    draws = flat(part)
    rows = table(page)
    for k, row in enumerate(rows):
        low, middle, high = np.quantile(draws[:, k], [0.05, 0.5, 0.95])
        assert float(row[2].replace(",", "")) == pytest.approx(middle, rel=3e-3, abs=0.51)
        shown = [float(end.replace(",", "")) for end in row[4].split(" – ")]
        assert shown == pytest.approx([low, high], rel=5e-3, abs=0.51)
    assert all(row[1] == "–" for row in rows), "the report says nothing of two regions together"
    tick(page, "region", "Japan")
    tick(page, "region", "United States")
    assert [row[1] for row in table(page) if row[1] != "–"] == ["44", "120", "210"]


@needs_chromium
@pytest.mark.fit
def test_the_whole_market_has_the_numbers_of_the_summary(page: Page, run: Run) -> None:
    unscripted = page.run(
        "[...document.querySelectorAll('.unscripted tbody')[0].rows].map(r => [...r.cells].map(c => c.textContent))"
    )
    assert [row[2:5] for row in table(page)] == [row[2:5] for row in unscripted]


@needs_chromium
@pytest.mark.fit
def test_the_keyboard_moves_every_slider(page: Page) -> None:
    for selector in ("#ask-level", "#ask-year", ".slider input[type=range]"):
        page.run(f"document.querySelector({json.dumps(selector)}).focus()")
        before = page.run("document.activeElement.value")
        page.key("ArrowLeft", 37)
        assert page.run("document.activeElement.value") != before
    assert not page.problems


@needs_chromium
@pytest.mark.fit
def test_a_number_of_the_report_opens_its_claim(page: Page, run: Run) -> None:
    quote = next(c.quote for c in run.priors.ledger.claims if c.id == "revenue_2035")
    page.run("document.querySelector('.message a.said').click()")
    assert page.run("document.querySelector('dialog').open")
    text = page.run("document.querySelector('dialog').innerText")
    assert quote in text
    assert "revenue_2035" in text
    page.key("Escape", 27)
    assert not page.run("document.querySelector('dialog').open")


# ---- deals -------------------------------------------------------------------------------------------------------


@needs_chromium
@pytest.mark.fit
def test_every_draw_of_every_deal_is_worth_what_value_says(run: Run, priced: list[Valuation], tmp_path: Path) -> None:
    """As stated, and with each input set to a number."""
    data = [json.loads(embedded(deal_data(one, drawn(run))["data"])) for one in priced]
    code = (
        "given.map((data, k) => { const deal = lib.openDeal(data); const out = [[...deal.price().npv]];"
        " for (const i of data.inputs) { deal.set(i.path, i.median * 1.1); out.push([...deal.price().npv]);"
        " deal.set(i.path, null); } return out; })"
    )
    modules = [name for name in SCRIPTS if name != "main"]
    with scripts(tmp_path, modules, ["openDeal"], data) as opened:
        found = opened.run(code)
    for one, described, values in zip(priced, data, found, strict=True):
        for k, ours in enumerate(values):
            x = dict(one.x)
            if k:
                path, middle = described["inputs"][k - 1]["path"], described["inputs"][k - 1]["median"]
                x[path] = np.full(len(one.outcome), middle * 1.1)
            theirs = outcomes(one.deal, one.market, x).npv.ravel()
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=0, err_msg=f"{one.deal.name} {k}")


@needs_chromium
@pytest.mark.fit
def test_every_slider_gives_the_figures_of_value(page: Page, priced: list[Valuation]) -> None:
    for number, one in enumerate(priced):
        deal = f'[data-deal="{number}"]'
        shown = page.run(f"[...document.querySelectorAll('{deal} [data-path]')].map(e => e.dataset.path)")
        for path, said in one.deal.inputs.items():
            if path not in shown:
                same = outcomes(one.deal, one.market, one.x | {path: np.full(len(one.outcome), 0.123)})
                assert (same.npv == one.ends.npv).all(), f"{path} matters and has no slider"
                continue
            slider = f"{deal} [data-path={json.dumps(path)}]"
            share = 0.97 if kind(path)[1].high == 1 else 1.02
            wanted = float(said.quantile(0.5)) * share
            factor = 100 if kind(path)[0] == "fraction" else 1
            set_input(page, f"{slider} input[type=number]", wanted * factor)
            ends = outcomes(one.deal, one.market, one.x | {path: np.full(len(one.outcome), wanted)})
            sample = one.market.sample
            rnpv = weighted_mean(ends.npv, ends.probability, sample)
            loss = weighted_mean((ends.npv < 0).astype(float), ends.probability, sample)
            bid = float(((ends.npv * ends.probability).sum(axis=1) + ends.upfront).mean())
            for name, value in (("rNPV, mean", rnpv.value), ("P(NPV < 0)", loss.value), ("maximum bid, mean", bid)):
                cell = page.run(
                    f"({{...document.querySelector({json.dumps(f'{deal} [data-figure="{name}|all draws"]')}).dataset}})"
                )
                assert float(cell["value"]) == pytest.approx(value, rel=1e-6), (path, name)
            cell = page.run(
                f"({{...document.querySelector({json.dumps(f'{deal} [data-figure="rNPV, mean|all draws"]')}).dataset}})"
            )
            assert float(cell["error"]) == pytest.approx(rnpv.mc_error, rel=1e-6)
            page.run(f"document.querySelector({json.dumps(f'{slider} button')}).click()")
        assert "as the deal's file states" in page.run(
            f"document.querySelector({json.dumps(f'{deal} .change')}).textContent"
        )
    assert not page.problems


@needs_chromium
@pytest.mark.fit
def test_what_python_wrote_is_what_the_scripts_find(page: Page, written: Path, tab: Page) -> None:
    """The figures of a deal as stated: in the file, and after the scripts priced them again."""
    code = "[...document.querySelectorAll('[data-figure]')].map(c => c.textContent.trim().replace(/\\s+/g, ' '))"
    scripted = page.run(code)
    tab.open(written, scripts=False)
    # With scripts off the protocol still reads the document.
    assert page.run(code) == scripted


@needs_chromium
@pytest.mark.fit
def test_a_number_outside_its_limits_is_marked_and_not_priced(page: Page) -> None:
    slider = '[data-deal="0"] [data-path="captured.peak_share"]'
    before = page.run("document.querySelector('[data-figure]').textContent")
    set_input(page, f"{slider} input[type=number]", 140)
    assert page.run(f"document.querySelector({json.dumps(f'{slider} input[type=number]')}).ariaInvalid") == "true"
    assert page.run("document.querySelector('[data-figure]').textContent") == before


# ---- without scripts, other sizes, other ledgers -----------------------------------------------------------------


@needs_chromium
@pytest.mark.fit
def test_without_scripts_headline_fan_and_tables_remain(tab: Page, written: Path) -> None:
    tab.open(written, scripts=False)
    shown = tab.run("document.body.innerText")
    assert "is as likely above as below" in shown
    assert tab.run("document.querySelectorAll('#fan svg .band90').length") == 1
    assert tab.run("document.querySelector('.unscripted table').checkVisibility()")
    assert not tab.run("document.querySelector('#ask').checkVisibility()")


@needs_chromium
@pytest.mark.fit
@pytest.mark.parametrize("width", [360, 980, 1600])
def test_nothing_is_wider_than_the_window(tab: Page, written: Path, width: int) -> None:
    tab.open(written, width=width)
    tab.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert tab.run("document.documentElement.scrollWidth") <= width


@needs_chromium
@pytest.mark.fit
def test_every_control_has_a_name_and_every_chart_a_title(page: Page) -> None:
    unnamed = (
        "[...document.querySelectorAll('input, button, select')].filter(e => !(e.labels?.length || "
        "e.getAttribute('aria-label') || e.textContent.trim())).length"
    )
    assert page.run(unnamed) == 0
    assert page.run("[...document.querySelectorAll('svg[role=img]')].every(s => s.querySelector('title').textContent)")
    assert page.run("[...document.querySelectorAll('svg:not([role=img])')].every(s => s.ariaHidden === 'true')")


def colours(css: str) -> list[dict[str, str]]:
    return [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6})", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    ]


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    channels = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_its_paper(scheme: int) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1 for text, 1.4.11: 3 to 1 for marks."""
    found = colours(style("page"))[scheme]
    for name, least in {"ink": 7, "soft": 4.5, "accent": 4.5, "report": 4.5, "bad": 4.5, "loss": 3, "gain": 3}.items():
        for paper in ("paper", "faint"):
            light, dark = sorted((luminance(found[name]), luminance(found[paper])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= least, (name, paper)


def hostile(tables: Tables) -> None:
    euros(tables)
    for kinds in ("regions", "depths", "modalities"):
        tables[kinds][0] |= {"label": f"{EVIL}{kinds}"}
    tables["report"] |= {"title": EVIL, "vendor": EVIL}
    tables["claims"][0] |= {"quote": EVIL, "reason": EVIL}


def many(tables: Tables) -> None:
    keep_regions(tables, 1)
    drop(tables, quantity="patients")
    tables["regions"] = [{"name": f"Region {k}"} for k in range(MANY)]
    names = {region["name"] for region in tables["regions"]}
    tables["claims"] = [c for c in tables["claims"] if c["region"] in {None, *names}]
    tables["claims"] += [
        claim("patients", unit="patients", region=name, year=2024, value=1e3) for name in sorted(names)
    ]


def opened(tab: Page, run: Run, deals: list[Path]) -> str:
    """The page of a run, opened; returns its text."""
    text = living_page(run, deals)
    path = run.folder.with_name("page.html")
    path.write_text(text, encoding="utf-8")
    tab.problems.clear()
    tab.open(path)
    assert tab.run("document.documentElement.dataset.state") == "ready"
    assert not tab.problems
    return text


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A run whose ledger's labels, and a deal whose words, try to be markup."""
    folder = tmp_path_factory.mktemp("hostile")
    deal = folder / "deal.toml"
    deal.write_text(HOSTILE_DEAL, encoding="utf-8")
    return prior_run(prior_set_of(hostile), folder / "run", draws=60), deal


@pytest.mark.fit
def test_no_label_is_written_as_markup(attacked: tuple[Run, Path]) -> None:
    run, deal = attacked
    for text in (living_page(run, [deal]), memo(run, deal)):
        assert not re.search("<(img|iframe|b onclick)", text)
        assert "&lt;img src=x onerror" in text


@needs_chromium
@pytest.mark.fit
def test_hostile_labels_are_text(tab: Page, attacked: tuple[Run, Path]) -> None:
    run, deal = attacked
    opened(tab, run, [deal])
    tick(tab, "region", f"{EVIL}regions")
    tab.run("document.querySelector('a.said')?.click()")
    assert tab.run("typeof hacked") == "undefined"
    assert tab.run("document.querySelectorAll('img, iframe, [onerror], [onclick]').length") == 0
    assert EVIL in tab.run("document.querySelector('h1').textContent")
    assert EVIL in tab.run("document.querySelector('#ask-part').textContent")
    assert "EUR million" in tab.run("document.querySelector('#ask-error').textContent")
    assert not tab.problems


@needs_chromium
@pytest.mark.fit
def test_a_deal_that_has_no_value_says_so_until_it_has_one(tab: Page, attacked: tuple[Run, Path]) -> None:
    """A perpetuity that grows as fast as it is discounted."""
    run, deal = attacked
    opened(tab, run, [deal])
    rate = "[data-path='discounting.rate'] input[type=number]"
    set_input(tab, rate, 2)
    assert "a perpetuity has no value" in tab.run("document.querySelector('.fault').innerText")
    set_input(tab, rate, 9)
    assert not tab.run("document.querySelector('.fault').checkVisibility()")
    assert not tab.problems


@needs_chromium
@pytest.mark.fit
def test_a_market_of_one_region_has_nothing_to_pick_there(tab: Page, tmp_path: Path) -> None:
    run = prior_run(prior_set_of(lambda tables: keep_regions(tables, 1)), tmp_path / "run", draws=60)
    opened(tab, run, [])
    assert tab.run("[...document.querySelectorAll('fieldset')].map(f => f.dataset.dim)") == ["modality", "depth"]


@pytest.mark.slow
@needs_chromium
@pytest.mark.fit
def test_forty_regions_fit_on_the_page(tab: Page, tmp_path: Path) -> None:
    run = prior_run(prior_set_of(many), tmp_path / "run", draws=600)
    text = opened(tab, run, [])
    assert len(text.encode()) <= LARGEST_PAGE
    assert tab.run("document.querySelectorAll('[data-dim=region] input').length") == MANY
    tick(tab, "region", "Region 7")
    middle = float(
        run.read(["revenue"])["revenue"].sel(region="Region 7", year=2032).sum(["depth", "modality"]).median()
    )
    assert float(table(tab)[-1][2].replace(",", "")) == pytest.approx(middle, rel=0.1, abs=0.51)


@pytest.mark.fit
def test_a_run_updated_by_weights_has_a_page_that_says_so(run: Run) -> None:
    manifest = {"schema": "postcgrp.update/2", "status": "passed", "created": "now", "recipe_sha256": run.recipe}
    weights = np.full(run.sizes, 1 / np.prod(run.sizes))
    updated = Run(run.folder, run.priors, manifest | {"weights": {"ess": 321.0, "k": 0.2}}, base=run, weights=weights)
    text = living_page(updated)
    assert "Updated by weights" in text
    assert "321 of 400 draws (Pareto k 0.20)" in text


@pytest.mark.fit
def test_a_failed_run_says_so_before_its_answer(run: Run) -> None:
    failed = Run(run.folder, run.priors, {**run.manifest, "status": "failed"})
    text = living_page(failed)
    assert text.index("missed its convergence gate") < text.index("is as likely above as below")


# ---- the commands ------------------------------------------------------------------------------------------------


@pytest.mark.fit
def test_the_command_writes_beside_the_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["page", str(run.folder)]) == 0
    out = run.folder.with_name("run-page.html")
    assert "run-page.html: the page" in capsys.readouterr().out
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.fit
def test_two_runs_are_compared(run: Run, tmp_path: Path) -> None:
    assert main(["page", str(run.folder), "--compare", str(run.folder), "--out", str(tmp_path / "two.html")]) == 0
    assert "Against run (prior set report" in (tmp_path / "two.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "page.pdf"], "is no HTML file"),
        (["--deal", "none.toml"], "cannot be read"),
        (["--out", "/proc/none/page.html"], "cannot be written"),
    ],
)
def test_bad_input_is_one_line_before_any_work(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["page", str(tmp_path / "norun"), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.fit
def test_more_deals_than_a_page_carries_are_refused(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postcgrp.reports.page.living.LARGEST_PAGE", 100_000)
    with pytest.raises(InputError, match="make a page for fewer deals"):
        living_page(run, DEALS)


def test_data_ends_no_script_whatever_its_text() -> None:
    text: Any = embedded({"a": EVIL, "b": [float("nan"), "<!--", "\u2028"]})
    assert "<" not in text
    assert json.loads(text) == {"a": EVIL, "b": [None, "<!--", "\u2028"]}
