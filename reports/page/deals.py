"""A deal as a page carries it: what it is, its inputs and the market it captures on every draw, and its figures."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from postcgrp.reports.page.market import Drawn
from postcgrp.reports.page.packing import pack_rows
from postcgrp.reports.valuation import distributions
from postcgrp.reports.valuation.cashflow import year_fraction
from postcgrp.reports.valuation.deal import Deal
from postcgrp.reports.valuation.distributions import Kind
from postcgrp.reports.valuation.pricing import Outcomes
from postcgrp.reports.valuation.tables import EVERY, GIVEN, tornado, value_table
from postcgrp.reports.valuation.valuation import Valuation

Array = NDArray[np.float64]

# What an input is by the last part of its path: its limits, and the unit that a reader sees.
FRACTION = ("fraction", distributions.SHARE)
_KINDS: dict[str, tuple[str, Kind]] = {
    **dict.fromkeys(("peak_share", "share_kept", "net", "margin"), FRACTION),
    **dict.fromkeys(("tax_rate", "loss_limit", "working_capital"), FRACTION),
    "probability": ("fraction", distributions.POSITIVE_FRACTION),
    "launch_year": ("year", distributions.YEAR),
    "loss_of_exclusivity": ("year", distributions.YEAR),
    "start": ("year", distributions.YEAR),
    "ramp_years": ("years", distributions.DURATION),
    "duration": ("years", distributions.DURATION),
    "years": ("years", distributions.DURATION),
    "growth": ("fraction", distributions.GROWTH),
    "multiple": ("multiple", distributions.MULTIPLE),
    **dict.fromkeys(("price", "above", "by_year", "amount", "net_sales_above", "upfront"),
                    ("money", distributions.MONEY)),
}  # fmt: skip
MAIN = re.compile(
    r"captured\.(peak_share|launch_year)|economics\.(margin|upfront|royalty\[1\]\.rate)|discounting\.rate"
    r"|risk\.phase\..+\.probability"
)
SHOWN = (
    ("rNPV, mean", EVERY),
    ("P(NPV < 0)", EVERY),
    ("maximum bid, mean", EVERY),
    ("NPV, 5 % quantile", EVERY),
    ("NPV, 50 % quantile", EVERY),
    ("NPV, 95 % quantile", EVERY),
    ("P(approval)", EVERY),
    ("NPV, mean", GIVEN),
    ("P(NPV < 0)", GIVEN),
)
ROOM = 3  # times its largest likely value, that a slider of money or time reaches
LEAST_RATE = 0.3  # that a slider of the discount rate reaches
MOST_SWINGS = 8


def deal_data(one: Valuation, took: Drawn) -> dict[str, Any]:
    """A priced deal for the page: `said`, for its template, and `data`, for its scripts."""
    return {"said": _said(one), "data": _data(one, took)}


def kind(path: str) -> tuple[str, Kind]:
    """The unit and the limits of an input, by its path."""
    last = re.sub(r"\[\d+\]$", "", path).rsplit(".", 1)[-1]
    if last == "rate":
        return "fraction", distributions.RATE if path.startswith("discounting.") else distributions.SHARE
    return _KINDS[last]


def input_label(path: str) -> str:
    """An input's path in words; the captured market's too."""
    if seen := re.fullmatch(r"market\.(\w+)\.(\d+)", path):
        return f"{seen[1]} of the captured market in {seen[2]}"
    words = re.sub(r"^(captured|economics|discounting|risk\.phase|economics\.(cost|milestone))\.", "", path)
    words = re.sub(r"^(cost|milestone)\.", "", words)
    words = re.sub(r"\.by_year\[(\d+)\]$", r", year \1", words)
    words = re.sub(r"\[(\d+)\]\.", r", tier \1: ", words)
    words = words.replace(".", ": ").replace("_", " ")
    return "discount rate" if path == "discounting.rate" else words


def deal_shape(deal: Deal, ends: Outcomes) -> dict[str, Any]:
    """What a deal is, without its numbers; `js/pricing.js` says what each field means."""
    economics, terminal = deal.economics, deal.terminal
    return {
        "years": [int(year) for year in ends.years],
        "valued": year_fraction(deal.discounting.valuation_date),
        "times": ends.times.tolist(),
        "price": deal.captured.price is not None,
        "exclusivity": deal.captured.loss_of_exclusivity is not None,
        "royalty": len(economics.royalty),
        "royalty_paid": len(economics.royalty_paid),
        "losses": economics.losses,
        "costs": [
            {"name": cost.name, "stage": cost.stage, "from_year": cost.from_year, "years": len(cost.by_year)}
            for cost in economics.cost
        ],
        "milestones": [{"name": m.name, "on": m.on, "received": m.received} for m in economics.milestone],
        "phases": [{"name": phase.name, "start": phase.start is not None} for phase in deal.phases],
        "terminal": terminal
        and {
            "kind": "growth" if terminal.growth is not None else "multiple",
            "years": terminal.years is not None,
        },
    }


def _data(one: Valuation, took: Drawn) -> dict[str, Any]:
    seen = one.market.since(one.years[0])
    captured = seen.revenue if one.deal.captured.price is None else seen.treated
    free = [path for path, said in one.deal.inputs.items() if not said.fixed]
    rows = [*(one.x[path] for path in free), *captured.T]
    return {
        "name": one.deal.name,
        "money": f"{one.currency} million",
        "sample": {"chains": took.chains, "draws": took.draws},
        "shape": deal_shape(one.deal, one.ends),
        "inputs": [_input(one, path, free) for path in one.deal.inputs],
        "rows": pack_rows(np.stack([_taken(row, one.market.sample, took) for row in rows])),
        "market": len(free),
    }


def _input(one: Valuation, path: str, free: list[str]) -> dict[str, Any]:
    said = one.deal.inputs[path]
    unit, limits = kind(path)
    low, middle, high = said.quantile([0.05, 0.5, 0.95]).tolist()
    ends = {
        "year": (float(one.years[0]), one.years[-1] + 1.0),
        "fraction": (max(0.0, limits.low), min(1.0, limits.high)),
    }.get(unit, (0.0, min(ROOM * high or 1.0, limits.high)))
    if path == "discounting.rate":
        ends = (0.0, max(LEAST_RATE, 2 * high))
    if path == "terminal.growth":
        ends = (-0.3, 0.3)
    return {
        "path": path,
        "label": input_label(path),
        "stated": _stated(str(said), unit, fixed=said.fixed, value=middle),
        "source": one.deal.source(path),
        "main": MAIN.fullmatch(path) is not None,
        "used": path not in unused_inputs(one.deal),
        "value": middle if said.fixed else None,
        "row": -1 if said.fixed else free.index(path),
        "median": middle,
        "unit": unit,
        "low": min(ends[0], low),
        "high": max(ends[1], high),
        "least": limits.low,
        "most": limits.high,
    }


def unused_inputs(deal: Deal) -> set[str]:
    """The inputs of a deal that its value does not depend on."""
    kept = set() if deal.captured.loss_of_exclusivity is not None else {"captured.share_kept"}
    return kept if deal.economics.losses == "carried forward" else kept | {"economics.loss_limit"}


def _stated(text: str, unit: str, *, fixed: bool, value: float) -> str:
    return f"{100 * value:.4g} %" if fixed and unit == "fraction" else text


def _taken(row: Array, sample: tuple[int, int], took: Drawn) -> Array:
    return row.reshape(sample)[:, :: took.stride].ravel()


def _said(one: Valuation) -> dict[str, Any]:
    table = value_table(one)
    found = {(r["quantity"], r["given"]): r for r in table.to_dict("records")}
    swings = tornado(one).head(MOST_SWINGS).to_dict("records")
    return {
        "name": one.deal.name,
        "description": one.deal.description,
        "money": f"{one.currency} million",
        "figures": [found[key] for key in SHOWN if key in found],
        "all": list(found.values()),
        "inputs": [
            {
                "label": input_label(path),
                "stated": _stated(str(said), kind(path)[0], fixed=said.fixed, value=float(said.quantile(0.5))),
                "source": one.deal.source(path),
            }
            for path, said in one.deal.inputs.items()
        ],
        "swings": [{**row, "label": input_label(str(row["input"]))} for row in swings],
        "outcomes": list(zip(one.outcomes, one.ends.probability.mean(axis=0).tolist(), strict=True)),
        "terminal": one.deal.terminal.label if one.deal.terminal else "",
        "key": f"deal-{one.deal.fingerprint()[:8]}",
    }
