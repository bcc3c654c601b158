"""Deals priced by Python, as vectors that the page's JavaScript must price alike: `python -m` this module writes them.

Together the deals take every branch of the pricing. Their numbers are made up.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from postcgrp.reports.page.deals import deal_shape
from postcgrp.reports.valuation.deal import Deal, read_deal
from postcgrp.reports.valuation.pricing import Market, Outcomes, outcomes
from postcgrp.tests.helpers.paths import DATA

FILE = DATA / "page" / "pricing_vectors.json"
YEARS, DRAWS, SEED = np.arange(2025.0, 2036.0), 16, 11
Tables = dict[str, Any]


def deal(name: str, *, captured: Tables, economics: Tables, discounting: Tables, **parts: Any) -> Tables:
    """One deal as plain tables, on a market of one cell."""
    own = {"peak_share": {"low": 0.2, "high": 0.5}, "launch_year": 2027.5}
    when = {"rate": {"low": 0.08, "high": 0.14}, "valuation_date": "2026-01-01"}
    return {"schema": 1, "name": name, "captured": own | captured, "economics": economics,
            "discounting": when | discounting, **parts}  # fmt: skip


PHASES = [
    {"name": "pivotal", "probability": {"low": 0.5, "high": 0.8}, "duration": {"low": 1.0, "high": 3.0}},
    {"name": "review", "probability": 0.9, "duration": 0.75, "start": 2028},
]
DEALS = (
    deal("plain", captured={}, economics={"margin": 0.3}, discounting={}),
    deal(
        "phases, costs, milestones, annuity beyond",
        captured={"ramp_years": {"dist": "pert", "low": 1, "mode": 3, "high": 5}, "net": {"low": 0.5, "high": 0.8}},
        economics={
            "margin": {"low": 0.2, "high": 0.5},
            "upfront": {"low": 1, "high": 4},
            "tax_rate": 0.21,
            "losses": "carried forward",
            "loss_limit": 0.8,
            "working_capital": 0.2,
            "cost": [
                {"name": "trial", "stage": "pivotal", "by_year": [{"low": 4, "high": 9}, 3]},
                {"name": "file", "stage": "review", "by_year": [2]},
                {"name": "field", "stage": "launch", "by_year": [5, {"low": 2, "high": 6}, 4]},
                {"name": "team", "from_year": 2029, "by_year": [1, 1]},
            ],
            "milestone": [
                {"name": "inventors", "on": "approval", "amount": 2},
                {"name": "grant", "on": "pivotal", "amount": 1, "received": True},
                {"name": "sales", "net_sales_above": {"low": 10, "high": 60}, "amount": 3},
            ],
        },
        discounting={},
        risk={"phase": PHASES},
        terminal={"label": "fades", "growth": -0.05, "years": 10},
    ),
    deal(
        "royalty in tiers, exclusivity lost",
        captured={
            "launch_year": 2020,
            "loss_of_exclusivity": {"dist": "uniform", "low": 2029, "high": 2034},
            "share_kept": {"low": 0.1, "high": 0.6},
        },
        economics={
            "royalty": [{"above": 0, "rate": 0.05}, {"above": {"low": 15, "high": 30}, "rate": 0.08}],
            "royalty_paid": [{"above": 0, "rate": 0.01}, {"above": 40, "rate": 0.02}],
            "upfront": 9,
            "tax_rate": {"low": 0.1, "high": 0.3},
            "losses": "lost",
        },
        discounting={"convention": "end"},
    ),
    deal(
        "a price of its own, losses relieved",
        captured={"price": {"low": 900, "high": 4000}, "ramp_years": 2},
        economics={"margin": 0.4, "tax_rate": 0.25, "losses": "relieved at once", "working_capital": 0.1,
                   "cost": [{"name": "fixed", "from_year": 2026, "by_year": [6, 6, 6, 6, 6]}]},
        discounting={"convention": "start", "day_count": "actual/365", "valuation_date": "2026-05-20"},
        terminal={"label": "sold on", "multiple": {"low": 2, "high": 5}},
    ),
    deal(
        "for ever, within a year",
        captured={"launch_year": 2026, "ramp_years": 1.5},
        economics={"margin": 0.3, "tax_rate": 0.2, "working_capital": 0.15},
        discounting={"valuation_date": "2026-10-01", "rate": 0.11},
        terminal={"label": "for ever", "growth": {"low": 0.0, "high": 0.03}},
    ),
    deal(
        "level annuity",
        captured={"launch_year": {"low": 2027, "high": 2040}},
        economics={"margin": 0.3, "loss_limit": 0.5, "tax_rate": 0.3,
                   "cost": [{"name": "launch", "stage": "launch", "by_year": [12]}]},
        discounting={"rate": 0.1},
        terminal={"label": "level", "growth": 0.1, "years": 7},
    ),
)  # fmt: skip


def market() -> Market:
    """A made-up market of one cell [draw, year], nothing sold in its first year."""
    rng = np.random.default_rng(SEED)
    rise = np.exp(0.3 * rng.standard_normal((DRAWS, 1)) + 0.06 * (YEARS - YEARS[0]))
    revenue, patients = 60 * rise, np.full((DRAWS, len(YEARS)), 9e4)
    revenue[:, 0] = 0
    return Market(YEARS, revenue, patients, 0.2 * patients * rise, (2, DRAWS // 2))


def inputs(one: Deal) -> dict[str, Any]:
    """A value of each of a deal's inputs on every draw, by path."""
    return {path: said.draws(DRAWS, SEED, one.name, path) for path, said in one.inputs.items()}


def priced(tables: Tables) -> tuple[Deal, dict[str, Any], Outcomes]:
    """A deal, its inputs and its outcomes on the made-up market."""
    one = read_deal(tables)
    x = inputs(one)
    return one, x, outcomes(one, market(), x)


def vectors() -> list[dict[str, Any]]:
    """Every deal with what JavaScript is given and what it must find."""
    rows = []
    for tables in DEALS:
        one, x, found = priced(tables)
        seen = market().since(int(found.years[0]))
        captured = seen.revenue if one.captured.price is None else seen.treated
        rows.append(
            {
                "deal": tables,
                "shape": deal_shape(one, found),
                "market": captured.T.tolist(),
                "inputs": {path: draws.tolist() for path, draws in x.items()},
                "expected": {
                    "probability": found.probability.ravel().tolist(),
                    "npv": found.npv.ravel().tolist(),
                    "flows": found.flows.ravel().tolist(),
                    "launch": found.launch.tolist(),
                    "peak": found.sales.max(axis=1).tolist(),
                },
            }
        )
    return rows


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(row) for row in vectors())  # one deal per line
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
