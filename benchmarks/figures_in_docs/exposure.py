"""The patient funnel, and who is exposed to what: docs/funnel.md and docs/exposure.md."""

from __future__ import annotations

import json

from postcgrp.benchmarks.figures_in_docs.runs import csv, made
from postcgrp.benchmarks.figures_in_docs.words import block, number, paragraph, percent, table, to


def _people(value: float) -> str:
    """People to two digits: no more is known of them."""
    return number(float(f"{value:.2g}"))


def _share(value: float) -> str:
    """People, or a share in percent to two digits."""
    return _people(value) if value > 1 else f"{float(f'{100 * value:.2g}'):g} %"


def _chance(p: float) -> str:
    """A probability in percent, as far as it says something."""
    least = 0.001
    return "< 0.1 %" if p < least else percent(p, 1 if p < 100 * least else 0)


@block
def funnel_verdict() -> str:
    """docs/funnel.md: the sentence that the command begins with."""
    record = json.loads((made("funnel") / "manifest.json").read_text(encoding="utf-8"))
    return paragraph(record["verdict"])


@block
def funnel_needs() -> str:
    """docs/funnel.md: what must be true."""
    rows = csv("funnel", "must_be_true")
    head = ["step", *(name for name in rows["region"].unique())]
    lines = []
    for step in rows["step"].unique():
        cells = []
        for row in rows[rows["step"] == step].to_dict("records"):
            needed = _share(row["needed"]) if row["possible"] else "over 100 %"
            cells.append(f"{_share(row['median'])} → {needed} ({_chance(row['p_beyond'])})")
        lines.append([rows.loc[rows["step"] == step, "label"].iloc[0], *cells])
    return table(head, lines)


@block
def funnel_width() -> str:
    """docs/funnel.md: which steps make the pool uncertain."""
    rows = csv("funnel", "must_be_true")
    said = []
    for region in rows["region"].unique()[:2]:
        own = rows[rows["region"] == region].sort_values("of_variance", ascending=False).head(2).to_dict("records")
        steps = " and ".join(f"*{row['label']}* ({percent(row['of_variance'])})" for row in own)
        said.append(f"{steps} in {region}")
    return paragraph(f"What widens the pool most, as parts of the variance of its logarithm: {'; '.join(said)}.")


@block
def funnel_path() -> str:
    """docs/funnel.md: the pool by year."""
    rows = csv("funnel", "pool_path")
    lines = []
    for region in rows["region"].unique():
        own = rows[rows["region"] == region].set_index("year")
        at = own.loc[[own.index[0], 2030, own.index[-1]]].to_dict("records")
        cells = [f"{_people(row['median'])} ({_people(row['low_90'])}–{_people(row['high_90'])})" for row in at]
        ends = to(100 * at[-1]["growth_low_90"], 100 * at[-1]["growth_high_90"], 1)
        lines.append([region, *cells, f"{percent(at[-1]['growth'], 1)} ({ends} %)"])
    return table(["region", "2025", "2030", "2035", "growth a year"], lines)


@block
def funnel_eligible() -> str:
    """docs/funnel.md: who may get what."""
    rows = csv("funnel", "eligible")
    rows = rows[(rows["region"] == "funnel regions") & (rows["depth"] == "all")]
    lines = [
        [
            row["modality"] if isinstance(row["stringency"], float) else f"{row['modality']}, {row['stringency']}",
            _people(row["median"]),
            f"{_people(row['low_90'])}–{_people(row['high_90'])}",
        ]
        for row in rows.to_dict("records")
    ]
    return table(["eligible", "median", "90 % interval"], lines)


@block
def exposed_companies() -> str:
    """docs/exposure.md: companies and countries in the last year."""
    lines = []
    for name, dim, part in (("countries", "country", "modality"), ("companies", "company", "part")):
        rows = csv("exposure", name)
        rows = rows[(rows[part] == "all") & (rows["year"] == rows["year"].max())]
        lines += [
            [row[dim], number(row["median"]), to(row["low_50"], row["high_50"]), to(row["low_90"], row["high_90"])]
            for row in rows.to_dict("records")
        ]
    return table(["2035, USD million", "median", "50 % interval", "90 % interval"], lines)
