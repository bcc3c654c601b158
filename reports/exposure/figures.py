"""Figures of the exposure wing, as Vega-Lite specifications: plain dictionaries made from its tables."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from postcgrp.reports.exposure.tables import WHOLE
from postcgrp.reports.forecast.style import SCHEMA_URL, Spec

_SIDES = (("left", -1), ("right", 1))


def funnel(table: pd.DataFrame) -> Spec:
    """The funnel by region: for each step a bar as wide as the logarithm of its people, the 90 % interval behind it.

    Shows the trunk, and below it those who may get an implant by each definition. Parameters: `table`, of
    :func:`postcgrp.reports.exposure.funnel_tables.funnel_table`.
    """
    shown = table[(table["kind"] == "step") | table["stringency"].notna()]
    values = [
        {
            "region": row["region"],
            "label": row["label"],
            "text": _said(row),
            **{f"{end}_{side}": sign * _width(row[end]) for end in ("median", "high_90") for side, sign in _SIDES},
            **{f"tail_{side}": sign * _width(row["low_90"]) for side, sign in _SIDES},
        }
        for row in shown.to_dict("records")
    ]
    label_axis = {"title": None, "ticks": False, "domain": False, "labelLimit": 240}
    rows = {"field": "label", "type": "nominal", "sort": list(dict.fromkeys(shown["label"])), "axis": label_axis}
    wide = {"type": "quantitative", "axis": None}

    def bar(name: str, opacity: float) -> Spec:
        ends = {"x": {"field": f"{name}_left", **wide}, "x2": {"field": f"{name}_right"}, "y": rows}
        return {"mark": {"type": "bar", "color": "#4c78a8", "opacity": opacity}, "encoding": ends}

    text = {"y": rows, "x": {"datum": 0, **wide}, "text": {"field": "text"}}
    return {
        "$schema": SCHEMA_URL,
        "title": {
            "text": "From all adults to the pool",
            "subtitle": "Width: logarithm of people. Dark: 5th centile and median; pale: 95th centile",
        },
        "data": {"values": values},
        "facet": {"column": {"field": "region", "sort": list(dict.fromkeys(shown["region"])), "title": None}},
        "spec": {
            "width": 190,
            "height": {"step": 24},
            "layer": [
                bar("high_90", 0.2),
                bar("median", 0.45),
                bar("tail", 0.6),
                {"mark": {"type": "text", "fontSize": 10}, "encoding": text},
            ],
        },
        "config": {"view": {"stroke": None}},
    }


def company_revenue(table: pd.DataFrame, year: int) -> Spec:
    """Revenue by company in a year: stacked means of its parts, and the 90 % interval of the whole as a line.

    Parameters: `table`, of :func:`postcgrp.reports.exposure.tables.company_table`.
    """
    rows = table[table["year"] == year]
    whole = rows["part"] == WHOLE
    companies = {"field": "company", "type": "nominal", "sort": list(rows.loc[whole, "company"]), "title": None}
    parts, ends = (rows.loc[which, ["company", "part", "mean", "low_90", "high_90"]] for which in (~whole, whole))
    money = {"type": "quantitative", "title": f"{rows['unit'].iloc[0]}, {year}"}
    return {
        "$schema": SCHEMA_URL,
        "title": {
            "text": "Who is exposed to what",
            "subtitle": "Means by part, and the 90 % interval of the whole. Shares are assumptions, not the report's",
        },
        "width": 420,
        "height": {"step": 24},
        "layer": [
            {
                "data": {"values": parts.to_dict("records")},
                "mark": "bar",
                "encoding": {
                    "y": companies,
                    "x": {"field": "mean", **money},
                    "color": {
                        "field": "part",
                        "type": "nominal",
                        "sort": list(dict.fromkeys(parts["part"])),
                        "title": None,
                    },
                },
            },
            {
                "data": {"values": ends.to_dict("records")},
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {"y": companies, "x": {"field": "low_90", **money}, "x2": {"field": "high_90"}},
            },
        ],
    }


def _width(people: float) -> float:
    """Half a bar: the logarithm of people, none for fewer than one."""
    return float(np.log10(max(people, 1.0)))


def _said(row: Mapping[Hashable, Any]) -> str:
    """What a bar says: the people of a step, and their share of the step above."""
    people = f"{float(format(row['median'], '.2g')):,.0f}"
    return people if pd.isna(row["share"]) else f"{people} ({100 * row['share']:.2g} %)"
