"""The workbook: every formula recalculated by LibreOffice, its value Python's, whatever the user types."""

from __future__ import annotations

import gc
import re
import resource
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.utils import get_column_letter
from xarray import DataTree

from postcgrp.priors import InputError, Ledger, PriorSet, effective, load_ledger
from postcgrp.reports.runs.groups import group
from postcgrp.reports.runs.run import Run
from postcgrp.reports.valuation.deal import Deal, load_deal, read_deal
from postcgrp.reports.valuation.pricing import market as captured
from postcgrp.reports.valuation.pricing import outcomes
from postcgrp.reports.valuation.tables import QUANTILES, weighted_quantile
from postcgrp.reports.valuation.valuation import price
from postcgrp.reports.workbook.book import check_workbook_target, workbook
from postcgrp.reports.workbook.content import MOST_NUMBERS, Content, level_text
from postcgrp.reports.workbook.layout import (
    BY_DRAW_SHEET,
    CASH_SHEET,
    DRAWS_SHEET,
    FIRST_COST,
    INPUTS_SHEET,
    PATHS_SHEET,
    PICKER_SHEET,
    YEAR0,
)
from postcgrp.reports.workbook.live_model import build_live_model, evaluate_live, neutral, plain_numbers, segments
from postcgrp.reports.workbook.text_sheets import ASSUMPTIONS_SHEET, PROVENANCE_SHEET, SUMMARY_SHEET
from postcgrp.reports.workbook.value_sheet import FIRST_FIGURE, VALUE_SHEET, live_figures
from postcgrp.tests.helpers.exported import RECORD, brief, market, values
from postcgrp.tests.helpers.paths import EXAMPLES, OTHER_MARKET

MANIFEST: dict[str, Any] = {**RECORD, "created": "2026-01-02T03:04:05+00:00", "recipe_sha256": "ab" * 32, "gate": []}
SOFFICE = shutil.which("soffice")
SHIPPED = ("implantable_pivotal", "noninvasive_us", "pharmacologic_royalty")
CASES = (*SHIPPED, "base", "late", "typed", "none")
BASE: dict[str, Any] = {
    "schema": 1,
    "name": "fixed",
    "captured": {
        "modalities": ["implantable", "non_invasive"], "regions": ["United States", "EU5"], "depths": ["2", "3+"],
        "peak_share": 0.4, "launch_year": 2027.25, "ramp_years": 2.5, "loss_of_exclusivity": 2033.4,
        "share_kept": 0.3, "net": 0.7,
    },
    "economics": {
        "royalty": [{"above": 0, "rate": 0.3}, {"above": 0.5, "rate": 0.45}, {"above": 2, "rate": 0.6}],
        "royalty_paid": [{"above": 0, "rate": 0.02}, {"above": 1, "rate": 0.05}],
        "upfront": 0.3, "tax_rate": 0.21, "losses": "carried forward", "loss_limit": 0.8, "working_capital": 0.2,
        "cost": [
            {"name": "trial", "stage": "pivotal trial", "by_year": [0.8, 0.7]},
            {"name": "filing", "stage": "review", "by_year": [0.2]},
            {"name": "launch", "stage": "launch", "by_year": [0.5, 0.5]},
        ],
        "milestone": [{"name": "approval", "on": "approval", "amount": 0.2},
                      {"name": "read-out", "on": "pivotal trial", "amount": 0.3, "received": True}],
    },
    "risk": {"phase": [{"name": "pivotal trial", "probability": 0.7, "duration": 1.5},
                       {"name": "review", "probability": 0.9, "duration": 0.75}]},
    "discounting": {"rate": 0.11, "convention": "mid", "valuation_date": "2026-04-10"},
    "terminal": {"label": "ten years of decline", "growth": -0.05, "years": 10},
}  # fmt: skip


LATE = {"phase": [{**phase, "duration": 4.55} for phase in BASE["risk"]["phase"]]}  # approval in the last year
REFERENCE = r"('[\w ]+'|\w+)!\$[A-Z]+\$\d+(:\$[A-Z]+\$\d+)?"


def changed(**parts: Any) -> Deal:
    """`BASE` with tables changed: a mapping is laid over, in which None takes a key out; None takes the table out."""
    tables = dict(BASE)
    for name, part in parts.items():
        tables[name] = part if part is None else {**BASE.get(name, {}), **part}
    kept = {k: {n: x for n, x in v.items() if x is not None} if isinstance(v, dict) else v for k, v in tables.items()}
    return read_deal({k: v for k, v in kept.items() if v is not None})


@cache
def report() -> PriorSet:
    """For Hypothesis, which would print a fixture."""
    return effective(load_ledger())


def make(pset: PriorSet, out: Path, run: DataTree | None = None, record: Any = None, **options: Any) -> Content:
    return workbook(Run.in_memory(run or market(pset, draws=8), brief(pset), record or MANIFEST), out, **options)


@dataclass(frozen=True)
class Case:
    """A workbook as written, and as LibreOffice computes it after cells were typed over."""

    run: DataTree
    content: Content
    path: Path
    found: openpyxl.Workbook


@pytest.fixture(scope="module")
def cases(pset: PriorSet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """All in one go, for it is LibreOffice's start that costs."""
    if SOFFICE is None:
        pytest.skip("LibreOffice is not installed")
    folder = tmp_path_factory.mktemp("office")
    deals: dict[str, Deal | None] = {name: load_deal(EXAMPLES / f"{name}.toml") for name in SHIPPED}
    late = changed(captured={"ramp_years": 0, "loss_of_exclusivity": None, "share_kept": None}, risk=LATE)
    deals |= {"base": changed(), "late": late, "typed": changed(), "none": None}
    over = {"typed": typed, "none": picked}
    written: dict[str, tuple[DataTree, Content, Path]] = {}
    for name in CASES:
        path, run = folder / f"{name}.xlsx", market(pset, draws=6)
        content = make(pset, path, run, deal=deals[name], thin=7 if name == "none" else None)
        written[name] = run, content, path
        book = openpyxl.load_workbook(path)
        edits = over[name](pset, content, path) if name in over else {}
        for (sheet, cell), number in edits.items():
            book[sheet][cell] = number
        (folder / "bare").mkdir(exist_ok=True)
        book.save(folder / "bare" / path.name)  # without a formula's value: what is read below was computed
        bare = openpyxl.load_workbook(folder / "bare" / path.name, data_only=True)
        assert bare[VALUE_SHEET].cell(FIRST_FIGURE + 1, 2).value is None
    subprocess.run(
        [SOFFICE, "--headless", f"-env:UserInstallation=file://{folder}/profile", "--convert-to", "xlsx", "--outdir",
         folder / "out", *(folder / "bare" / f"{name}.xlsx" for name in CASES)],
        check=True,
        capture_output=True,
        timeout=300,
    )  # fmt: skip
    return {
        name: Case(*parts, openpyxl.load_workbook(folder / "out" / f"{name}.xlsx", data_only=True))
        for name, parts in written.items()
    }


def formulas(path: Path) -> dict[tuple[str, str], str]:
    book = openpyxl.load_workbook(path)
    return {
        (sheet.title, cell.coordinate): str(cell.value)
        for sheet in book
        for row in sheet.iter_rows()
        for cell in row
        if cell.data_type == "f"
    }


def cell_of(path: Path, name: str) -> tuple[str, str]:
    """Sheet and cell of a defined name."""
    sheet, cell = openpyxl.load_workbook(path).defined_names[name].attr_text.rsplit("!", 1)
    return sheet.strip("'"), cell.replace("$", "")


def column(book: openpyxl.Workbook, name: str) -> Any:
    sheet, span = book.defined_names[name].attr_text.rsplit("!", 1)
    return np.array([row[0].value for row in book[sheet.strip("'")][span.replace("$", "")]], dtype=float)


def same(cell: Any, expected: Any) -> bool:
    if isinstance(expected, str) or cell is None:
        return bool(cell == expected)
    return bool(abs(cell - expected) <= 1e-9 * max(1.0, abs(expected)))


# The live model against the product's engine


def engine(run: DataTree, pset: PriorSet, deal: Deal, rows: Any = slice(None)) -> Any:
    """rNPV and NPV given approval of each draw by :func:`outcomes`; the deal has no spread."""
    seen = captured(group(run), deal, pset.ledger)
    count = len(seen.revenue)
    ends = outcomes(deal, seen, {p: np.full(count, said.parameters["value"]) for p, said in deal.inputs.items()})
    return (ends.probability * ends.npv).sum(axis=1)[rows], ends.npv[rows, -1], ends


def modelled(run: DataTree, pset: PriorSet, deal: Deal) -> Any:
    cut = segments(pset.ledger, deal)
    revenue = run.children["posterior"].dataset["revenue"]
    parts = [revenue.sel(modality=s.modality, region=s.region, depth=list(s.depths)).sum("depth") for s in cut]
    stacked = np.stack([p.values.reshape(-1, p.sizes["year"]) for p in parts], axis=-1)
    np.testing.assert_allclose(stacked.sum(axis=-1), values(run, "revenue_total").reshape(len(stacked), -1), rtol=1e-12)
    numbers = plain_numbers(deal, {path: said.draws(9, 1) for path, said in deal.inputs.items()})
    model = build_live_model(deal, captured(group(run), deal, pset.ledger), numbers)
    found = evaluate_live(model, stacked, np.array([s.weight for s in cut]))
    return found.risked(model, found.draws), found.draws.npv


@pytest.mark.fit
@settings(max_examples=40, deadline=None)
@given(
    convention=st.sampled_from(["start", "mid", "end"]),
    day_count=st.sampled_from(["years", "actual/365"]),
    losses=st.sampled_from(["carried forward", "relieved at once", "lost"]),
    valued=st.dates(date(2025, 1, 1), date(2035, 6, 30)),
    launch=st.floats(2015, 2035.5),
    ramp=st.one_of(st.just(0.0), st.floats(0.1, 9)),
    terminal=st.sampled_from([None, {"multiple": 3.0}, {"growth": 0.02}, {"growth": 0.11, "years": 4}]),
    risk=st.sampled_from([{}, LATE, {"phase": []}]),
)  # fmt: skip
def test_the_live_model_is_the_products_engine(
    convention: str, day_count: str, losses: str, valued: date, launch: float, ramp: float, terminal: Any, risk: Any
) -> None:  # fmt: skip
    riskless = {"cost": [{"name": "launch", "stage": "launch", "by_year": [0.5]}], "milestone": []}
    deal = changed(
        captured={"launch_year": launch, "ramp_years": ramp, "loss_of_exclusivity": max(launch, 2033.4)},
        economics={"losses": losses, "loss_limit": 0.8 if losses == "carried forward" else None}
        | (riskless if risk == {"phase": []} else {}),
        risk=risk,
        discounting={"convention": convention, "day_count": day_count, "valuation_date": valued},
        terminal=terminal and {"growth": None, "years": None, **terminal},
    )
    run, pset = market(report(), draws=3), report()
    for ours, theirs in zip(modelled(run, pset, deal), engine(run, pset, deal), strict=False):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


# Recalculation


@pytest.mark.parametrize("name", [*SHIPPED, "base", "late"])
def test_every_formula_carries_the_value_that_libreoffice_finds(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    stored, written = openpyxl.load_workbook(case.path, data_only=True), formulas(case.path)
    assert len(written) > 1500
    pairs = {(s, at): (stored[s][at].value, case.found[s][at].value) for s, at in written}
    assert not {where: pair for where, pair in pairs.items() if pair[0] is None or not same(*pair)}
    for k, (figure, *_) in enumerate(live_figures(case.content)):
        live_now, python = (case.found[VALUE_SHEET].cell(FIRST_FIGURE + k + 1, at).value for at in (2, 4))
        assert python == pytest.approx(case.content.check[figure], rel=1e-12), figure
        assert live_now == pytest.approx(python, rel=1e-9, abs=1e-9), figure


MARGINS = [(0, 0.2), (1.5, 0.5)]
NUMBERS = {
    "discount_rate": 0.085, "convention": "end", "day_count": "actual/365", "valuation_date": date(2027, 9, 3),
    "peak_share": 0.25, "launch_year": 2029.5, "ramp_years": 0, "loss_of_exclusivity": 2034.0, "share_kept": 0.6,
    "net_share": 0.9, "upfront": 1.5, "working_capital": 0.1, "tax_rate": 0.3, "loss_limit": 0.5,
    "terminal_kind": "multiple", "terminal_multiple": 2.5,
}  # fmt: skip
TYPED = {
    "schema": 1, "name": "other",
    "captured": {"modalities": ["pharmacologic"], "regions": ["Japan"], "peak_share": 0.25, "launch_year": 2029.5,
                 "loss_of_exclusivity": 2034.0, "share_kept": 0.6, "net": 0.9},
    "economics": {"royalty": [{"above": a, "rate": r} for a, r in MARGINS], "upfront": 1.5, "tax_rate": 0.3,
                  "loss_limit": 0.5, "working_capital": 0.1,
                  "cost": [{"name": "trial", "from_year": 2028, "by_year": [2.0, 1.0]},
                           {"name": "launch", "from_year": 2030, "stage": "launch", "by_year": [0.7]}]},
    "risk": {"phase": [{"name": "pivotal trial", "probability": 0.4, "duration": 0.5},
                       {"name": "review", "probability": 0.8, "duration": 0.5}]},
    "discounting": {"rate": 0.085, "convention": "end", "day_count": "actual/365", "valuation_date": date(2027, 9, 3)},
    "terminal": {"label": "multiple", "multiple": 2.5},
}  # fmt: skip


def typed(pset: PriorSet, content: Content, path: Path) -> dict[tuple[str, str], Any]:
    """The cells of another deal, `TYPED`, over those of `BASE`."""
    edits: dict[tuple[str, str], Any] = {cell_of(path, name): number for name, number in NUMBERS.items()}
    labels = {str(row[0].value): row[0].row for row in openpyxl.load_workbook(path)[INPUTS_SHEET].iter_rows(max_col=1)}
    spare = [label for label in labels if label.startswith("Tier ")]
    for label, (above, rate) in zip(spare, [*MARGINS, *[(1e9, 0.5)] * len(spare)], strict=False):
        edits |= {(INPUTS_SHEET, f"B{labels[label]}"): above, (INPUTS_SHEET, f"C{labels[label]}"): rate}
    edits |= {(INPUTS_SHEET, f"B{labels['pivotal trial']}"): 0.4, (INPUTS_SHEET, f"B{labels['review']}"): 0.8}
    for segment in content.cut:
        row = labels[content.named(segment)]
        edits[INPUTS_SHEET, f"B{row}"] = float((segment.modality, segment.region) == ("pharmacologic", "Japan"))
    spent = [{2028: 2.0, 2029: 1.0}, {}] * 2 + [{2028: 2.0, 2029: 1.0, 2030: 0.7}, {}]
    for k, by_year in enumerate(spent):
        for j, year in enumerate(pset.ledger.years):
            edits[CASH_SHEET, f"{get_column_letter(YEAR0 + 1 + j)}{FIRST_COST + 1 + k}"] = by_year.get(year, 0.0)
    return edits


def picked(pset: PriorSet, content: Content, path: Path) -> dict[tuple[str, str], Any]:
    """Another draw in the picker."""
    return {cell_of(path, "draw_id"): int(content.kept.data["draw"].values[4])}


def test_what_the_user_types_moves_every_value_as_in_python(pset: PriorSet, cases: dict[str, Case]) -> None:
    found = cases["typed"].found
    risked, approved, ends = engine(cases["typed"].run, pset, read_deal(TYPED))
    np.testing.assert_allclose(column(found, "draw_rnpv"), risked, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(column(found, "draw_npv"), approved, rtol=1e-9, atol=1e-9)
    shown = {
        str(row[0].value): row[1].value
        for row in found[VALUE_SHEET].iter_rows(min_row=FIRST_FIGURE + 1, max_row=FIRST_FIGURE + 8)
    }
    weights = ends.probability
    assert shown["rNPV, mean"] == pytest.approx(risked.mean(), rel=1e-9)
    assert shown["P(NPV < 0)"] == pytest.approx((weights * (ends.npv < 0)).sum(axis=1).mean(), rel=1e-9)
    for level in QUANTILES:
        at = weighted_quantile(ends.npv, weights, level, (1, len(risked))).value
        assert shown[f"NPV, {level_text(level)} quantile"] == pytest.approx(at, rel=1e-9), level


def test_the_picker_shows_the_draw_that_is_typed(pset: PriorSet, cases: dict[str, Case]) -> None:
    case = cases["none"]
    number = int(case.content.kept.data["draw"].values[4]) - 1
    total = values(case.run, "revenue_total").reshape(12, -1)[number]
    by_region = values(case.run, "revenue").sum(axis=(4, 5)).reshape(12, len(total), -1)[number]
    japan = by_region[:, list(pset.ledger.segments["region"]).index("Japan")]
    page = {str(row[2].value): [c.value for c in row[YEAR0:]] for row in case.found[PICKER_SHEET].iter_rows(min_row=8)}
    np.testing.assert_allclose(page["Total"][: len(total)], total, rtol=1e-9)
    np.testing.assert_allclose(page["Japan"][: len(total)], japan, rtol=1e-9)
    worth, *_ = engine(case.run, pset, neutral(pset.ledger))
    assert case.found[PICKER_SHEET]["D5"].value == pytest.approx(worth[number], rel=1e-9)
    assert case.found[PICKER_SHEET]["C6"].value == f"draw {number + 1}"
    named = {str(row[0].value): row[1].value for row in case.found[CASH_SHEET].iter_rows(min_row=FIRST_COST)}
    assert named["NPV if all succeeds"] == pytest.approx(worth[number], rel=1e-9)
    assert openpyxl.load_workbook(case.path)[PICKER_SHEET].data_validations.dataValidation[0].formula1 == "draw_ids"


# What is on the sheets


def test_paths_and_draws_are_the_runs(pset: PriorSet, tmp_path: Path) -> None:
    run, out = market(pset, draws=10), tmp_path / "a.xlsx"
    content = make(pset, out, run)
    book = openpyxl.load_workbook(out, data_only=True)
    rows = list(book[DRAWS_SHEET].iter_rows(min_row=10, values_only=True))
    np.testing.assert_allclose([row[3:] for row in rows], content.revenue.reshape(20, -1), rtol=0)
    assert [row[:3] for row in rows][10:12] == [(11, 2, 1), (12, 2, 2)]
    total = values(run, "revenue_total").reshape(20, -1)
    np.testing.assert_allclose(
        np.array([row[3:] for row in rows]).reshape(20, len(pset.ledger.years), -1).sum(axis=-1), total
    )
    paths = {row[:3]: row[3:14] for row in book[PATHS_SHEET].iter_rows(min_row=6, values_only=True)}
    np.testing.assert_allclose(paths["all", "all", "95 %"], np.quantile(total, 0.95, axis=0))
    one = values(run, "revenue")[..., 0].sum(axis=-1)[..., 1].reshape(20, -1)
    np.testing.assert_allclose(paths["Pharmacologic", "EU5", "25 %"], np.quantile(one, 0.25, axis=0))
    assert len(paths) == 8 * 24 + 1


@pytest.mark.fit
def test_the_first_sheet_gives_the_answer_and_a_failed_gate_in_red(pset: PriorSet, tmp_path: Path) -> None:
    run = market(pset)
    content = make(pset, tmp_path / "a.xlsx", run)
    make(pset, tmp_path / "b.xlsx", run, {**MANIFEST, "status": "failed"})
    good, bad = (openpyxl.load_workbook(tmp_path / f"{name}.xlsx", data_only=True) for name in "ab")
    row = content.table[(content.table["quantity"] == "revenue_total") & (content.table["year"] == 2035)].iloc[0]
    text = good[SUMMARY_SHEET]["A4"].value
    assert good.sheetnames[0] == SUMMARY_SHEET
    assert f"USD {row['median']:,.0f} million" in text
    assert f"{row['low_90']:,.0f} and {row['high_90']:,.0f}" in text
    assert good[SUMMARY_SHEET]["A3"].value is None
    assert "missed its convergence gate" in bad[SUMMARY_SHEET]["A3"].value
    assert bad[SUMMARY_SHEET]["A3"].fill.fgColor.rgb == "FFA3231D"
    assert bad[SUMMARY_SHEET].sheet_properties.tabColor.rgb == "FFA3231D"


def test_assumptions_and_provenance_are_complete(pset: PriorSet, tmp_path: Path) -> None:
    deal = load_deal(EXAMPLES / "implantable_pivotal.toml")
    content = make(pset, tmp_path / "a.xlsx", deal=deal)
    book = openpyxl.load_workbook(tmp_path / "a.xlsx", data_only=True)
    rows = list(book[ASSUMPTIONS_SHEET].iter_rows(min_row=5, values_only=True))
    ledger = pset.ledger
    names = {kind: [row[1] for row in rows if row[0] == kind] for kind in {row[0] for row in rows}}
    assert names["claim"] == [claim.id for claim in ledger.claims]
    assert names["assumption"] == [a.id for a in ledger.assumptions]
    assert names["prior"] == list(pset.table()["prior"])
    assert names["evidence"] == [e.id for e in pset.evidence]
    assert names["deal input"] == list(deal.inputs)
    by_name = {row[:2]: row for row in rows}
    claim = ledger.claims[0]
    assert by_name["claim", claim.id][10:12] == (claim.quote, claim.reason)
    assert by_name["deal input", "economics.tax_rate"][10] == deal.source("economics.tax_rate")
    facts = {row[0]: row[1] for row in book[PROVENANCE_SHEET].iter_rows(max_col=2, values_only=True)}
    assert facts["manifest sha256"] == content.kept.header["manifest_sha256"]
    assert facts["recipe sha256"] == MANIFEST["recipe_sha256"]
    assert facts["deal sha256"] == deal.fingerprint()
    assert facts["sampling: seed"] == 1


def test_the_deal_in_full_and_what_the_live_model_leaves_out(pset: PriorSet, tmp_path: Path) -> None:
    run, deal = market(pset, draws=10), load_deal(EXAMPLES / "noninvasive_us.toml")
    content = make(pset, tmp_path / "a.xlsx", run, deal=deal, seed=5)
    book = openpyxl.load_workbook(tmp_path / "a.xlsx", data_only=True)
    said = book[INPUTS_SHEET]["A3"].value
    assert "milestones on net sales: earn-out to the sellers" in said
    assert "captured.peak_share" in said
    found = [row for row in book[VALUE_SHEET].iter_rows(values_only=True) if row[0] == "rNPV, mean"]
    assert found[1][1] == pytest.approx(price(Run.in_memory(run, pset), deal, seed=5).rnpv.mean(), rel=1e-12)
    worth = {row[0]: row[1] for row in book[SUMMARY_SHEET].iter_rows(values_only=True)}
    assert worth["the deal in full"] == found[1][1]
    assert worth["live, on the inputs"] == pytest.approx(content.check["rnpv"], rel=1e-9)


# Text, sizes, targets


@pytest.mark.fit
def test_text_of_the_ledger_and_the_deal_never_becomes_a_formula(pset: PriorSet, tmp_path: Path) -> None:
    names = ['=HYPERLINK("http://x","y")', "+1", "-1", "@SUM(A1)", "<r>x</r>"]
    tables = pset.ledger.model_dump()
    segment = {"label": None, "aliases": ()}
    tables = {k: [*v] if isinstance(v, tuple) else v for k, v in tables.items()}
    for old, new in zip([r["name"] for r in tables["regions"]], names, strict=False):
        tables["regions"] = [{**r, **segment, "name": new} if r["name"] == old else r for r in tables["regions"]]
        for kind in ("claims", "assumptions"):
            tables[kind] = [{**row, "region": new if row["region"] == old else row["region"]} for row in tables[kind]]
    tables["modalities"] = [
        {**m, "label": f"{c}1+{k}"} for k, (m, c) in enumerate(zip(tables["modalities"], "=\t\r", strict=True))
    ]
    tables["report"] |= {"title": "=1+1 & more"}
    tables["claims"][0] |= {"quote": "=cmd|' /C calc'!A0", "reason": "<r>x</r>"}
    hostile = effective(Ledger.model_validate(tables))
    deal = changed(captured={"regions": names[:2]})
    deal = deal.model_copy(update={"name": "=2+2", "sources": {"captured.peak_share": "@x"}})
    make(hostile, tmp_path / "a.xlsx", market(hostile), deal=deal)
    ours = formulas(tmp_path / "a.xlsx")
    make(pset, tmp_path / "b.xlsx", market(pset), deal=changed())
    assert sorted(ours.values()) == sorted(formulas(tmp_path / "b.xlsx").values())
    book = openpyxl.load_workbook(tmp_path / "a.xlsx", data_only=True)
    text = {str(cell.value) for sheet in book for row in sheet.iter_rows() for cell in row if cell.data_type == "s"}
    assert {*names, "=1+1 & more", "=cmd|' /C calc'!A0", "@x", "=1+0", "\t1+1"} <= text
    with zipfile.ZipFile(tmp_path / "a.xlsx") as parts:
        charts = [parts.read(name).decode() for name in parts.namelist() if "chart" in name and name.endswith(".xml")]
    assert charts
    assert not [c for c in charts if "<c:tx><c:v>" in c]
    assert not [f for c in charts for f in re.findall(r"<c:f>(.*?)</c:f>", c) if not re.fullmatch(REFERENCE, f)]


def test_another_market_in_another_currency(tmp_path: Path) -> None:
    pset = effective(load_ledger(OTHER_MARKET / "report.toml", OTHER_MARKET / "assumptions.toml"))
    run = market(pset)
    content = make(pset, tmp_path / "a.xlsx", run)
    book = openpyxl.load_workbook(tmp_path / "a.xlsx", data_only=True)
    text = " ".join(str(c.value) for sheet in book for row in sheet.iter_rows() for c in row if c.value is not None)
    assert "China" in text
    assert "implantable" not in text.casefold()
    years = np.arange(len(pset.ledger.years)) + 0.5
    expected = (values(run, "revenue_total") * 1.1**-years).sum(axis=-1).mean()
    assert content.check["rnpv"] == pytest.approx(expected, rel=1e-12)
    assert neutral(pset.ledger).discounting.valuation_date.year == pset.ledger.years[0]


@pytest.mark.fit
def test_the_same_run_gives_the_same_file(pset: PriorSet, tmp_path: Path) -> None:
    run = market(pset)
    for name in "ab":
        make(pset, tmp_path / f"{name}.xlsx", run, deal=changed())
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


def test_more_than_a_sheet_holds_is_refused_and_more_than_opens_well_is_thinned(
    pset: PriorSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postcgrp.reports.workbook.content.MOST_ROWS", 20)
    with pytest.raises(InputError, match=r"--thin 15: a sheet holds 20 rows: give at most 10, or use .*parquet"):
        make(pset, tmp_path / "a.xlsx", market(pset, draws=10), thin=15)
    assert not list(tmp_path.iterdir())
    assert MOST_NUMBERS // (15 * 11) > 4000  # the real report's draws are all kept
    monkeypatch.setattr("postcgrp.reports.workbook.content.MOST_NUMBERS", 15 * 11 * 6)
    content = make(pset, tmp_path / "a.xlsx", market(pset, draws=10))
    assert content.kept.header["thinning"]["kept"] == 6
    monkeypatch.setattr("postcgrp.reports.workbook.content.MOST_COLUMNS", 100)
    with pytest.raises(InputError, match=r"165 columns of draws .* holds 100: use postcgrp export"):
        make(pset, tmp_path / "a.xlsx")


@pytest.mark.parametrize("number", [0, -1, 13])
def test_as_many_draws_as_there_are_not_are_refused(pset: PriorSet, tmp_path: Path, number: int) -> None:
    with pytest.raises(InputError, match=rf"--thin {number}: the run has 12 draws: .*1 to 12"):
        make(pset, tmp_path / "x.xlsx", market(pset), thin=number)
    assert not list(tmp_path.iterdir())


@pytest.mark.fit
def test_targets_that_hold_something_else_are_refused(pset: PriorSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is for a workbook: end it in \.xlsx"):
        check_workbook_target(tmp_path / "a.xls")
    foreign = tmp_path / "foreign.xlsx"
    openpyxl.Workbook().save(foreign)
    (tmp_path / "text.xlsx").write_text("mine")
    (tmp_path / "folder.xlsx").mkdir()
    for name in ("foreign", "text", "folder"):
        with pytest.raises(InputError, match="is no workbook of postcgrp: name a new file"):
            make(pset, tmp_path / f"{name}.xlsx")
    ours = tmp_path / "ours.xlsx"
    make(pset, ours)
    make(pset, ours)  # as it was written it may be replaced
    book = openpyxl.load_workbook(ours)
    book.properties.modified = datetime(2030, 1, 1)  # noqa: DTZ001  openpyxl wants it so
    book.save(ours)
    with pytest.raises(InputError, match="was saved after it was written and may hold your inputs"):
        make(pset, ours)


@pytest.mark.fit
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # XlsxWriter leaves a file open
def test_a_full_disk_leaves_the_earlier_workbook(pset: PriorSet, tmp_path: Path) -> None:
    out = tmp_path / "a.xlsx"
    make(pset, out)
    before = out.read_bytes()
    run = market(pset, draws=30)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(InputError, match=r"cannot be written \(File too large\): nothing was changed there"):
            make(pset, out, run)
    finally:
        gc.collect()
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.xlsx"]


def test_names_freeze_and_print(pset: PriorSet, tmp_path: Path) -> None:
    make(pset, tmp_path / "a.xlsx", deal=changed())
    book = openpyxl.load_workbook(tmp_path / "a.xlsx")
    assert {"discount_rate", "draw_id", "draw_npv", "tier_above"} <= set(book.defined_names)
    for name in (INPUTS_SHEET, CASH_SHEET, PATHS_SHEET, BY_DRAW_SHEET, DRAWS_SHEET, ASSUMPTIONS_SHEET):
        assert book[name].freeze_panes, name
    assert all(sheet.page_setup.orientation == "landscape" for sheet in book)
    used = {name for text in formulas(tmp_path / "a.xlsx").values() for name in re.findall(r"\b[A-Z.]{2,}(?=\()", text)}
    old = {"ABS", "AVERAGE", "COUNT", "COUNTIF", "DATE", "IF", "INDEX", "INT", "MATCH", "MAX", "MIN", "NA",
           "PERCENTILE", "PRODUCT", "ROUNDUP", "SMALL", "SUM", "SUMPRODUCT", "YEAR"}  # fmt: skip
    assert used <= old
