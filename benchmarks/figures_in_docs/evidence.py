"""What new evidence does, and what moved between two runs: docs/evidence.md."""

from __future__ import annotations

import json

import numpy as np

from postcgrp.benchmarks.figures_in_docs.runs import Table, csv, made, mean_error, rows
from postcgrp.benchmarks.figures_in_docs.words import (
    block,
    chance,
    error,
    number,
    paragraph,
    percent,
    signed,
    table,
    to,
)


@block
def new_evidence() -> str:
    """docs/evidence.md: the example rows against what the run expected."""
    names = ["second vendor, 2025", "actuals, 2026", "actuals, 2027"]
    lines = [
        [
            name,
            number(row["value"]),
            f"{number(row['expected'])} ({to(row['low_90'], row['high_90'])})",
            chance(row["p"], 2),
        ]
        for name, (_, row) in zip(names, csv("both", "evidence").iterrows(), strict=True)
    ]
    return table(["row", "value", "the run expected (90 %)", "p"], lines)


@block
def updates() -> str:
    """docs/evidence.md: reweighted and fitted again."""
    years = (2025, 2030, 2035)

    def cells(state: Table) -> list[str]:
        return [
            f"{number(row['median'])} ± {error(row['mcse_median'])} ({to(row['low_90'], row['high_90'])})"
            for row in (state.loc[year] for year in years)
        ]

    def of(name: str, file: str, state: str) -> Table:
        return rows(name, file, "year", quantity="revenue_total", state=state)

    lines = [["the report alone", "", *cells(of("both", "update", "before")), "", ""]]
    last = {"report": of("both", "update", "before").loc[2035]}
    for name, label in {"vendor": "and the second vendor", "actuals": "and the actuals", "both": "and both"}.items():
        weights = json.loads((made(name) / "manifest.json").read_text())["weights"]
        worth = [number(weights["k"], 2), number(weights["ess"])]
        lines.append([label, "reweighted", *cells(of(name, "update", "after")), *worth])
        lines.append(["", "fitted again", *cells(of(f"to_{name}_refit", "moved", "after")), "", ""])
        last[name] = of(f"to_{name}_refit", "moved", "after").loc[2035]
    narrower = 1 - (last["both"]["high_90"] - last["both"]["low_90"]) / (
        last["report"]["high_90"] - last["report"]["low_90"]
    )
    text = paragraph(
        f"The second vendor, who agrees to within the errors, lifts the median of 2035 by "
        f"{percent(last['vendor']['median'] / last['report']['median'] - 1)}. Two actual years then take it to "
        f"{signed(100 * (last['both']['median'] / last['report']['median'] - 1))} %, and make its 90 % interval "
        f"{percent(narrower)} narrower although they say nothing of 2035: what they know is the level."
    )
    return table(["evidence", "", *map(str, years), "k", "worth, draws"], lines) + "\n" + text


def contributions(name: str) -> Table:
    """What moved the total of 2035, by factor."""
    return rows(name, "compare", "factor", quantity="revenue_total", year=2035)


@block
def contributed() -> str:
    """docs/evidence.md: what moved between the report alone and both examples."""
    why, state = (
        contributions("to_both_refit"),
        rows("to_both_refit", "moved", "state", quantity="revenue_total", year=2035),
    )
    before, after = state.loc["before"], state.loc["after"]
    lines = [
        [
            str(factor),
            *(f"{signed(row[k], 1)} ± {number(row[f'{k}_mcse'], 1)}" for k in ("moves", "widens")),
        ]
        for factor, row in why.iterrows()
    ]
    text = paragraph(
        f"From the report alone to both examples, mean total of 2035 ({number(before['mean'])} → "
        f"{number(after['mean'])}) and its standard deviation ({number(before['sd'])} → {number(after['sd'])}):"
    )
    return text + "\n" + table(["", "moves", "widens"], lines)


@block
def alone_and_beside() -> str:
    """docs/evidence.md: contributions against refits of one change at a time."""
    both, three = contributions("to_both_refit"), contributions("to_three_changes")

    def parts(of: Table, word: str, column: str) -> str:
        chosen = of[of.index.str.contains(word)]
        return f"{signed(chosen[column].sum(), 1)} ± {number(np.hypot.reduce(chosen[f'{column}_mcse']), 1)}"

    def refitted(name: str, column: str) -> str:
        states = rows(f"to_{name}", "moved", "state", quantity="revenue_total", year=2035)
        change = states.loc["after", column] - states.loc["before", column]
        noise = f" ± {number(np.hypot(mean_error('report'), mean_error(name)))}" if column == "mean" else ""
        return signed(change, 1) + noise

    everything = "^(?!not attributed)"
    lines = [
        [
            "second vendor: moves",
            parts(contributions("to_vendor_refit"), everything, "moves"),
            refitted("vendor_refit", "mean"),
            f"{parts(both, 'vendor', 'moves')} beside the actuals",
        ],
        [
            "actuals, both years: moves",
            parts(contributions("to_actuals_refit"), everything, "moves"),
            refitted("actuals_refit", "mean"),
            f"{parts(both, 'actuals', 'moves')} beside the vendor",
        ],
        [
            "trust `low`: moves",
            parts(contributions("to_trust_low"), everything, "moves"),
            refitted("trust_low", "mean"),
            f"{parts(three, 'trust', 'moves')} beside coverage 0.5 and no `revenue_2030`",
        ],
        [
            "trust `low`: widens",
            parts(contributions("to_trust_low"), everything, "widens"),
            refitted("trust_low", "sd"),
            parts(three, "trust", "widens"),
        ],
        [
            "no revenue evidence (`bottom-up`): moves",
            parts(contributions("to_bottom_up"), everything, "moves"),
            refitted("bottom_up", "mean"),
            "",
        ],
    ]
    return table(["change", "contribution alone", "refit alone", "in company"], lines)
