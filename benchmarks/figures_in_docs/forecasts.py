"""What the forecast says: README.md and docs/width-and-growth.md."""

from __future__ import annotations

import pandas as pd

from postcgrp.benchmarks.figures_in_docs.runs import Table, csv, rows, total
from postcgrp.benchmarks.figures_in_docs.words import block, chance, number, paragraph, percent, signed, table, to


@block
def headline() -> str:
    """README: the report's three points and the posterior."""
    lines = [
        [
            f"{year:.0f}",
            *(number(row[name]) for name in ("report", "median")),
            *(to(row[f"low_{width}"], row[f"high_{width}"]) for width in (50, 90)),
            percent(row["p_above_report"]),
        ]
        for year, row in total("report").dropna(subset=["report"]).iterrows()
    ]
    head = ["USD million", "the report", "median", "50 % interval", "90 % interval", "P(above the report)"]
    return table(head, lines)


@block
def width_and_trust() -> str:
    """README: what the width depends on."""
    last = {name: total(name).loc[2035] for name in ("trust_low", "trust_high", "coverage_80")}
    low, high, coverage = (to(row["low_90"], row["high_90"]) for row in last.values())
    moved = rows("to_trust_low", "moved", "state", quantity="revenue_total", year=2035).loc["before"]
    return paragraph(
        f"Centre and width depend on the trust in the vendor: the 90 % interval of 2035 is {low} at `--trust low` "
        f"and {high} at `--trust high`. To read every stated range as 80 % instead of 90 % gives "
        f"{coverage}. Its ends have Monte-Carlo errors of {number(moved['mcse_low_90'])} and "
        f"{number(moved['mcse_high_90'])}, and another seed moves them by about as much."
    )


@block
def prior_against_report() -> str:
    """docs/model.md: each row of the report against what the priors expect of it."""
    of = csv("report", "prior_evidence")
    lines = [
        [
            f"`{row['name']}`",
            _figure(row["stated"]),
            f"{_figure(row['median'])} ({_figure(row['low_90'])}–{_figure(row['high_90'])})",
            chance(row["p"], 3),
            row["verdict"],
        ]
        for _, row in of[of["kind"] == "evidence"].iterrows()
    ]
    return table(["row", "stated", "the priors expect (90 %)", "p", ""], lines)


def _figure(value: float) -> str:
    """An amount in millions, or a share."""
    return number(value, 2 if value < 1 else 1 if value < 10 else 0)  # noqa: PLR2004


@block
def budget() -> str:
    """docs/width-and-growth.md: the variance budget of 2035."""
    last = total("report").loc[2035]
    lines = []
    for _, row in csv("report", "variance_budget").iterrows():
        rest = pd.isna(row["first_order"])
        known = ["", ""] if rest else [percent(row["first_order"]), number(row["half_width_if_known"])]
        share = percent(row["share"], 1 if rest else 0)
        lines.append([row["group"], share, number(100 * row["se"], 1), number(row["half_width"]), *known])
    head = ["", "share", "se", "of the half-width", "gone if it alone were known", "half-width then"]
    text = paragraph(
        f"What makes the interval around 2035 ({to(last['low_90'], last['high_90'])}, half-width "
        f"{number((last['high_90'] - last['low_90']) / 2)}) so wide?"
    )
    return text + "\n" + table(head, lines)


@block
def bridge() -> str:
    """docs/width-and-growth.md: where the growth comes from."""
    of = csv("report", "growth_bridge")
    effects = ("patients", "mix", "adoption", "intensity")
    segments = ["pharmacologic", "non_invasive", "implantable", "United States"]

    def means(part: Table) -> list[str]:
        by = part.set_index("effect")["mean"]
        return [number(by["start"]), *(signed(by[e]) if abs(by[e]) > 0 else "0" for e in effects), number(by["end"])]

    whole = of[of["segment"].isna()]
    by = whole.set_index("effect")
    interval = [to(by.loc[e, "low_90"], by.loc[e, "high_90"]) for e in ("start", *effects, "end")]
    lines = [["total", *means(whole)], ["90 % interval", *interval]]
    lines += [[name.replace("_", "-"), *means(of[of["name"] == name])] for name in segments]
    return table(["USD million, means", "2025", *effects, "2035"], lines)


@block
def growth_claim() -> str:
    """docs/width-and-growth.md: whether growth is more about intensity than about patients."""
    alone, every = (row for _, row in csv("report", "growth_claim").iterrows())
    lines = [
        ["spend per treated patient alone beats patients", _chance(alone)],
        ["all that a patient costs more (adoption, intensity, mix) beats patients", _chance(every)],
    ]
    return table(["reading", "probability"], lines)


def _chance(row: Table) -> str:
    p = row["probability"]
    return "above 99.9 %" if p > 0.999 else f"{percent(p)} (± {number(100 * row['mcse'], 1)})"  # noqa: PLR2004
