"""The page's modules in a browser against Python: unpacking, statistics, pricing, formats."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from postcgrp.inference.diagnostics import mcse_mean
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.page.document import _IMPORT, SCRIPTS, script
from postcgrp.reports.page.packing import MOVE_STEPS, pack_cells, pack_moves, pack_rows
from postcgrp.reports.page.what_if import moved_by
from postcgrp.reports.valuation.tables import weighted_mean, weighted_quantile
from postcgrp.tests.helpers.browser import Page
from postcgrp.tests.helpers.packed import unpack_cells
from postcgrp.tests.helpers.paths import ROOT
from postcgrp.tests.helpers.pricing_vectors import DEALS, FILE, priced, vectors
from postcgrp.tests.helpers.scripts import needs_chromium, scripts

NAMES = ("unpackCells", "unpackRows", "quantile", "meanEstimate", "essMean", "weightedMean", "ordered",
         "quantileEstimate", "outcomes", "short", "ticks", "percent", "money", "exceedance", "openMarket",
         "unpackMoves", "movedBy")  # fmt: skip
LEVELS = (0.0, 0.05, 1.0, 586.0, 58_600.0)
MODULES = [name for name in SCRIPTS if name != "main"]
ASKED: list[dict[str, list[str]]] = [
    {},
    {"modality": ["drugs"]},
    {"line": ["new"], "region": ["b"], "depth": []},
    {"modality": ["device"], "depth": ["1"]},
]
JS = ROOT / "reports" / "page" / "js"


@pytest.fixture(scope="module")
def given() -> dict[str, Any]:
    """What the browser is given: numbers from a fixed seed."""
    rng = np.random.default_rng(3)
    chain = np.cumsum(rng.normal(size=(4, 250)), axis=1) * 0.1 + rng.normal(size=(4, 250))
    skewed = np.concatenate([rng.normal(size=1500), 1e6 * rng.exponential(size=300), np.zeros(200)])
    return {
        "cells": np.exp(rng.normal(size=(3, 2, 2, 2, 40))) * (rng.random((3, 2, 2, 2, 40)) > 0.2),
        "rows": np.stack([rng.normal(5, 1e-4, 200), np.full(200, 3.5), rng.lognormal(0, 3, 200)]),
        "moves": rng.normal(0, 30, size=(4, 200)) * (rng.random((4, 200)) > 0.4),
        "chain": chain,
        "alternating": rng.normal(size=(4, 250)) * 0.1 + np.where(np.arange(250) % 2, 1.0, -1.0),
        "values": skewed.reshape(1000, 2),
        "weights": rng.random((1000, 2)),
        "vectors": json.loads(FILE.read_text(encoding="utf-8")),
        "market": np.exp(rng.normal(size=(3, 2, 2, 3, 30))),
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, given: dict[str, Any]) -> Iterator[Page]:
    data: dict[str, Any] = {
        key: value.ravel().tolist() for key, value in given.items() if isinstance(value, np.ndarray)
    }
    data |= {"packed": pack_cells(given["cells"], 2.0**-8).data(), "packedRows": pack_rows(given["rows"])}
    data["packedMoves"] = pack_moves(given["moves"])
    data |= {"vectors": given["vectors"], "chained": {"chains": 4, "draws": 250}, "asked": ASKED}
    leaves = [{"modality": m, "line": line} for m, line in (("drugs", "old"), ("drugs", "new"), ("device", None))]
    data["market"] = {
        "years": [1, 2, 3],
        "anchors": [1, 3],
        "sample": {"chains": 1, "draws": 30},
        "labels": {"region": ["a", "b"], "depth": ["1", "2"]},
        "leaves": leaves,
        "cells": pack_cells(given["market"], 2.0**-7).data(),
        "totals": pack_cells(given["market"].sum(axis=(1, 2)), 2.0**-12).data(),
    }
    with scripts(tmp_path_factory.mktemp("js"), MODULES, NAMES, data) as opened:
        yield opened


def test_the_vectors_are_what_python_finds_now() -> None:
    """Renew them with `python -m postcgrp.tests.helpers.pricing_vectors` where the pricing changed on purpose."""
    kept = json.loads(FILE.read_text(encoding="utf-8"))
    assert [row["deal"]["name"] for row in kept] == [deal["name"] for deal in DEALS]
    for before, now in zip(kept, vectors(), strict=True):
        assert before["shape"] == json.loads(json.dumps(now["shape"]))
        for name, values in now["expected"].items():
            np.testing.assert_allclose(before["expected"][name], values, rtol=1e-12, atol=1e-12, err_msg=name)


def test_the_vectors_take_every_branch() -> None:
    shapes = [row["shape"] for row in vectors()]
    for name in ("price", "exclusivity", "royalty", "royalty_paid", "costs", "milestones", "phases", "terminal"):
        assert {bool(shape[name]) for shape in shapes} == {True, False}, name
    assert {shape["losses"] for shape in shapes} == {"carried forward", "relieved at once", "lost"}
    assert {(t["kind"], t["years"]) for s in shapes if (t := s["terminal"])} == {
        ("growth", True), ("growth", False), ("multiple", False)
    }  # fmt: skip
    *_, ends = priced(DEALS[1])
    assert (ends.npv < 0).any()
    assert (ends.npv > 0).any()


@needs_chromium
@pytest.mark.fit
def test_every_draw_is_priced_as_in_python(page: Page, given: dict[str, Any]) -> None:
    found = page.run(
        "given.vectors.map(v => { const r = lib.outcomes(v.shape, v.market.map(m => Float64Array.from(m)),"
        " path => v.inputs[path], true);"
        " return {probability: [...r.probability], npv: [...r.npv], flows: [...r.flows], launch: [...r.launch],"
        " peak: [...r.peak]}; })"
    )
    for row, ours in zip(given["vectors"], found, strict=True):
        for name, expected in row["expected"].items():
            note = f"{row['deal']['name']}: {name}"
            np.testing.assert_allclose(ours[name], expected, rtol=1e-9, atol=1e-11, err_msg=note)


@needs_chromium
@pytest.mark.fit
def test_a_perpetuity_without_value_is_refused(page: Page) -> None:
    code = (
        "(() => { const v = given.vectors[4]; const x = {...v.inputs, 'terminal.growth': v.inputs['terminal.growth']"
        ".map(() => 0.2)}; try { lib.outcomes(v.shape, v.market, p => x[p]); } catch (e) { return e.message; } })()"
    )
    assert "perpetuity has no value" in page.run(code)


@needs_chromium
@pytest.mark.fit
def test_draws_are_unpacked(page: Page, given: dict[str, Any]) -> None:
    cells = page.run("lib.unpackCells(given.packed).then(cells => [...cells])")
    assert cells == pytest.approx(unpack_cells(pack_cells(given["cells"], 2.0**-8)).ravel(), rel=1e-6)
    rows = np.array(page.run("lib.unpackRows(given.packedRows).map(row => [...row])"))
    width = np.ptp(given["rows"], axis=1, keepdims=True)
    assert (np.abs(rows - given["rows"]) <= 1e-14 * width + 4e-16 * np.abs(given["rows"])).all()


@needs_chromium
@pytest.mark.fit
def test_differences_are_written_as_in_python(page: Page) -> None:
    pairs = [(x * sign, level) for x in (0, 1e-5, 0.04, 0.3, 7.77, 1234.56) for sign in (1, -1) for level in LEVELS]
    found = page.run(f"{json.dumps(pairs)}.map(([x, level]) => lib.movedBy(x, level))")
    assert found == [moved_by(x, level) for x, level in pairs]
    assert [moved_by(x, 586.0) for x in (-57.96, 0.01, 134.2)] == ["−58.0", "0.0", "+134.2"]


@needs_chromium
@pytest.mark.fit
def test_unpacks_moves_with_their_signs(page: Page, given: dict[str, Any]) -> None:
    moves = np.array(page.run("lib.unpackMoves(given.packedMoves).then(rows => rows.map(row => [...row]))"))
    step = np.abs(given["moves"]).max(axis=1, keepdims=True) / MOVE_STEPS
    assert (np.abs(moves - given["moves"]) <= step * (1 + 1e-12)).all()
    assert (np.sign(moves) == np.sign(given["moves"])).all()


@needs_chromium
@pytest.mark.fit
def test_any_part_of_a_market_with_lines_is_its_cells_summed(page: Page, given: dict[str, Any]) -> None:
    """The cells are packed coarsely, each leaf's total finely: their sums follow the totals."""
    found = page.run(
        "lib.openMarket(given.market).then(market => ({dims: market.dims, parts: given.asked.map("
        "chosen => market.paths(chosen).map(path => [...path]))}))"
    )
    assert found["dims"] == {
        "modality": ["drugs", "device"], "line": ["old", "new"], "region": ["a", "b"], "depth": ["1", "2"]
    }  # fmt: skip
    cells = given["market"]  # [year, region, depth, leaf, draw]
    expected = [cells.sum(axis=(1, 2, 3)), cells[:, :, :, :2].sum(axis=(1, 2, 3)), cells[:, 1, :, 1].sum(axis=1)]
    expected.append(cells[:, :, 0, 2].sum(axis=1))
    for ours, theirs, loss in zip(found["parts"], expected, (2e-4, 2e-4, 6e-3, 6e-3), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=loss)


@needs_chromium
@pytest.mark.fit
@pytest.mark.parametrize("name", ["chain", "alternating"])
def test_monte_carlo_errors_are_pythons(page: Page, given: dict[str, Any], name: str) -> None:
    found = page.run(f"lib.meanEstimate(given.{name}, given.chained)")
    assert found["value"] == pytest.approx(given[name].mean(), rel=1e-12)
    assert found["error"] == pytest.approx(mcse_mean(given[name]), rel=1e-9)
    above = page.run(f"lib.exceedance(given.{name}, 0.25, given.chained)")
    assert above["value"] == (given[name] > 0.25).mean()
    assert above["error"] == pytest.approx(mcse_mean(given[name] > 0.25), rel=1e-9)


@needs_chromium
@pytest.mark.fit
def test_the_error_of_a_constant_is_zero(page: Page) -> None:
    found = page.run("lib.meanEstimate(new Float64Array(1000).fill(0.1), given.chained)")
    assert found == {"value": pytest.approx(0.1), "error": 0}


@needs_chromium
@pytest.mark.fit
def test_weighted_statistics_are_pythons(page: Page, given: dict[str, Any]) -> None:
    values, weights, sample = given["values"], given["weights"], (4, 250)
    found = page.run(
        "(() => { const v = Float64Array.from(given.values), w = Float64Array.from(given.weights);"
        " const o = lib.ordered(v, w); return {mean: lib.weightedMean(v, w, given.chained),"
        " sorted: [...o.sorted], quantiles: [0.001, 0.05, 0.5, 0.95, 1].map(p =>"
        " lib.quantileEstimate(v, w, o, p, given.chained))}; })()"
    )
    assert found["sorted"] == np.sort(values, axis=None).tolist()
    expected = weighted_mean(values, weights, sample)
    assert (found["mean"]["value"], found["mean"]["error"]) == pytest.approx(expected, rel=1e-9)
    for p, ours in zip([0.001, 0.05, 0.5, 0.95, 1], found["quantiles"], strict=True):
        theirs = weighted_quantile(values, weights, p, sample)
        assert ours["value"] == theirs.value
        assert ours["error"] == pytest.approx(theirs.mc_error, rel=1e-9, abs=1e-12)


@needs_chromium
@pytest.mark.fit
def test_quantiles_are_numpys(page: Page, given: dict[str, Any]) -> None:
    found = page.run("[0, 0.05, 0.3, 1].map(p => lib.quantile(Float64Array.from(given.chain).sort(), p))")
    assert found == pytest.approx(np.quantile(given["chain"], [0, 0.05, 0.3, 1]).tolist(), rel=1e-12)


@needs_chromium
@pytest.mark.fit
def test_numbers_read_alike(page: Page) -> None:
    numbers = [0, 1234567, 999.6, -1500, 0.00123456, 12.345, -0.5, 7]
    assert page.run(f"{numbers}.map(x => lib.short(x))") == [short(x).replace("-", "−") for x in numbers]
    assert page.run("[lib.percent(0.38049), lib.percent(-0.001), lib.money(NaN), lib.money(-1234.4)]") == [
        "38 %", "0 %", "–", "−1,234"
    ]  # fmt: skip


def test_modules_are_in_the_order_of_what_they_import() -> None:
    for place, name in enumerate(SCRIPTS):
        text = (JS / f"{name}.js").read_text(encoding="utf-8")
        assert set(re.findall(r'from "\./(\w+)\.js"', text)) <= set(SCRIPTS[:place]), name
    assert {path.stem for path in JS.glob("*.js")} == set(SCRIPTS)


def test_modules_share_no_name_and_end_no_script() -> None:
    names: list[str] = []
    for path in JS.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        names += re.findall(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", text, re.MULTILINE)
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text)
        assert len(text.splitlines()) <= 400
    assert sorted(names) == sorted(set(names))
    code = script()
    assert "</script" not in code.lower()
    assert "<!--" not in code
    assert not _IMPORT.search(code)
    assert not re.search(r"^(import|export) ", code, re.MULTILINE)


def test_the_scripts_lie_beside_the_package() -> None:
    assert all((Path(JS) / f"{name}.js").is_file() for name in SCRIPTS)
