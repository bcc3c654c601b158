"""An investment memo on one deal: two printed pages with the answer first, from the numbers that the page carries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from postcgrp.priors import InputError
from postcgrp.priors.scenarios import Scenario
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.page import svg
from postcgrp.reports.page.compared import name
from postcgrp.reports.page.content import Rows
from postcgrp.reports.page.deals import input_label, unused_inputs
from postcgrp.reports.page.document import render
from postcgrp.reports.page.views import MarketView, evidence_view, scenario_views
from postcgrp.reports.runs.run import Run
from postcgrp.reports.valuation.deal import Deal, load_deal
from postcgrp.reports.valuation.decision import CLOSE, SURE
from postcgrp.reports.valuation.information_inputs import voi
from postcgrp.reports.valuation.tables import EVERY, GIVEN, tornado, value_table
from postcgrp.reports.valuation.valuation import Valuation, price_all

HANGS_ON = 3
LEARN = 4
_WORTH_LISTING = 0.005  # share of all there is to learn, below which nothing is listed
MOST_FLIPS = 5
GO, NO_GO = "go", "no-go"
TABLE = (
    ("rNPV, mean", EVERY),
    ("P(NPV < 0)", EVERY),
    ("NPV, 5 % quantile", EVERY),
    ("NPV, 50 % quantile", EVERY),
    ("NPV, 95 % quantile", EVERY),
    ("CVaR 5 %", EVERY),
    ("P(approval)", EVERY),
    ("NPV, mean", GIVEN),
    ("NPV, mean", "given failure"),
    ("peak net sales a year, mean", GIVEN),
    ("maximum bid, mean", EVERY),
    ("rNPV without it", EVERY),
)
BREAK_EVENS = ("break-even price, as a factor", "break-even peak share", "break-even probability of success")


def memo(
    run: Run,
    deal: str | Path,
    others: Sequence[Run] = (),
    *,
    seed: int = 1,
    under: Sequence[Scenario] = (),
    evidence: Sequence[Path] = (),
) -> str:
    """The memo on a deal (a TOML file) as HTML that prints to two pages.

    Parameters: `others`, runs of other prior sets under which the deal is priced too; `under`, scenarios likewise;
    `evidence`, files of it, by whose weights the run is asked what they would move; `seed` of the deal's own inputs.
    Raises :class:`postcgrp.priors.InputError` for a deal, a scenario or evidence that does not fit a run.
    """
    loaded = load_deal(deal)
    seen = [MarketView(name(other), other) for other in others]
    learned: list[str] = []
    if evidence:
        view, learned = evidence_view(run, evidence)
        seen.append(view)
    one = price_all(run, [loaded], seed)[0]
    figures = _figures(one)
    priced = [_view(name(run), one), *(_priced(view, loaded, seed) for view in seen)]
    priced += [_priced(view, loaded, seed) for view in scenario_views(run, under, seed)]
    swings = tornado(one)
    totals = run.read(["revenue_total"])["revenue_total"]
    report = run.priors.ledger.report
    low, middle, high = np.quantile(totals.sel(year=report.last_year), [0.05, 0.5, 0.95])
    said = {
        "deal": loaded,
        "report": report,
        "run": run,
        "record": run.manifest,
        "money": run.money,
        "answer": go_or_not(figures),
        "rnpv": figures["rNPV, mean", EVERY],
        "loss": figures["P(NPV < 0)", EVERY],
        "bid": figures["maximum bid, mean", EVERY],
        "upfront": float(np.mean(one.ends.upfront)),
        "market": {"low": low, "median": middle, "high": high},
        "figures": [figures[key] for key in TABLE if key in figures],
        "histogram": _histogram(one, float(figures["rNPV, mean", EVERY]["value"])),
        "break_evens": [figures[key, EVERY] for key in BREAK_EVENS if (key, EVERY) in figures],
        "views": priced,
        "turned": _turned(priced),
        "more": [option for option, given in (("--against RUN", others), ("--scenarios", under)) if not given],
        "learned": learned,
        "learn": _learn(run, deal, seed),
        "hangs_on": [_assumption(one, row) for row in swings.head(HANGS_ON).to_dict("records")],
        "flips": _flips(swings),
        "sources": _sources(loaded),
    }
    return render("memo.html.j2", said, styles=["page", "memo"])


def go_or_not(figures: dict[tuple[str, str], dict[str, Any]]) -> str:
    """Go or no-go by the sign of the rNPV, unless its Monte-Carlo error hides it."""
    rnpv = figures["rNPV, mean", EVERY]
    if abs(rnpv["value"]) <= SURE * rnpv["mc_error"]:
        return CLOSE
    return GO if rnpv["value"] > 0 else NO_GO


def _figures(one: Valuation) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["quantity"], row["given"]): row for row in _rows(value_table(one))}


def _rows(table: pd.DataFrame) -> Rows:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def _priced(view: MarketView, deal: Deal, seed: int) -> dict[str, Any]:
    """A deal under a view, or why it has no figures there."""
    if view.run is None:
        return {"name": view.label, "note": view.note}
    try:
        return _view(view.label, price_all(view.run, [deal], seed)[0])
    except InputError as error:  # such as a launch that never comes there
        why = str(error).removeprefix(f"{deal.name}: ").rpartition(": ")[0] or str(error)  # its way out is for a run
        return {"name": view.label, "note": f"not priced: {why}"}


def _view(label: str, one: Valuation) -> dict[str, Any]:
    figures = _figures(one)
    return {
        "name": label,
        "note": "",
        "rnpv": figures["rNPV, mean", EVERY],
        "loss": figures["P(NPV < 0)", EVERY],
        "bid": figures["maximum bid, mean", EVERY],
        "answer": go_or_not(figures),
    }


def _turned(priced: Rows) -> list[str]:
    """The views under which the answer is another than the run's own, each with that answer."""
    own = priced[0]["answer"]
    return [f"{one['name']} ({one['answer']})" for one in priced[1:] if not one["note"] and one["answer"] != own]


def _histogram(one: Valuation, mean: float) -> Any:
    low, high = np.quantile(one.ends.npv, [0.002, 0.998])
    title = f"Value in every draw, {one.currency} million; the table beside has its figures"
    return svg.histogram(one.ends.npv, one.ends.probability, float(low), float(high), mean, title)


def _learn(run: Run, deal: str | Path, seed: int) -> Rows:
    """What is worth most to learn before deciding: single unknowns, with what learning all of them would be worth."""
    table = voi(run, [deal], seed=seed)
    single = table[table["learned"].map(len) == 1].head(LEARN)
    everything = table[table["kind"] == "EVPI"]
    rows = _rows(pd.concat([single[single["share"] > _WORTH_LISTING], everything]))
    for row in rows:
        row["label"] = "everything there is to know" if row["kind"] == "EVPI" else input_label(str(row["name"]))
    return rows


def _sources(deal: Deal) -> Rows:
    """The inputs of a deal by where they come from, each as stated."""
    by_source: dict[str, list[str]] = {}
    for path, said in deal.inputs.items():
        if path not in unused_inputs(deal):
            by_source.setdefault(deal.source(path), []).append(f"{input_label(path)}: {said}")
    return [{"source": source, "inputs": "; ".join(inputs)} for source, inputs in by_source.items()]


def _assumption(one: Valuation, row: dict[Any, Any]) -> dict[str, Any]:
    """One of the inputs that the value hangs on, with its source; the market's have theirs in the report."""
    path = str(row["input"])
    own = path in one.deal.inputs
    source = one.deal.source(path) if own else "the run's posterior; its page has the claims and priors behind it"
    if path == "technical success":
        source = "; ".join(dict.fromkeys(one.deal.source(f"risk.phase.{p.name}.probability") for p in one.deal.phases))
    ends = "" if path == "technical success" else f"{short(row['input_low'])} to {short(row['input_high'])}"
    return {**row, "label": input_label(path), "source": source, "stated": str(one.deal.inputs[path]) if own else ends}


def _flips(swings: pd.DataFrame) -> list[str]:
    """The inputs whose likely range contains a change of the answer."""
    lowest, highest = swings[["rnpv_low", "rnpv_high"]].min(axis=1), swings[["rnpv_low", "rnpv_high"]].max(axis=1)
    crossing = swings[(lowest < 0) & (highest > 0)]["input"]
    shown = [input_label(str(path)) for path in crossing[:MOST_FLIPS]]
    return [*shown, f"{len(crossing) - MOST_FLIPS} more"] if len(crossing) > MOST_FLIPS else shown
