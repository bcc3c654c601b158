"""Layers that several figures share: a fan over the years, what the report says, and labels at the end of a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from xarray import DataArray

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.priors import Ledger
from postcgrp.reports.forecast.colours import ACCENT, CONTRAST
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.forecast.style import SMALL, Spec, mark, quantity
from postcgrp.reports.forecast.words import Words

BANDS = {"low_90": 0.05, "low_50": 0.25, "median": 0.5, "high_50": 0.75, "high_90": 0.95}
FAN_NOTE = "Line: median; dark band: 50 % interval; pale band: 90 % interval"
REPORT_NOTE = "dots and bars: what the report states, points and ranges"
STATED_COLUMNS = ("report", "report_low", "report_high")
DOT: Spec = {"color": CONTRAST, "filled": True, "opacity": 1}  # a number of the report
YEAR_MARGIN = 0.4  # of a year, at both ends of an axis
MOST_TICKS = 12


def quantiles(draws: DataArray, dim: str = "year") -> pd.DataFrame:
    """Median and the ends of the 50 % and 90 % equal-tailed intervals along `dim`, one row each; columns `BANDS`."""
    values = draws.stack(s=SAMPLE).transpose("s", dim).values
    table = pd.DataFrame(np.quantile(values, list(BANDS.values()), axis=0).T, columns=list(BANDS))
    table.insert(0, dim, draws[dim].values)
    return table


def stated(ledger: Ledger, claimed: str, **segment: str | None) -> pd.DataFrame:
    """What the report states of a quantity and segment, year by year: columns `year` and `STATED_COLUMNS`.

    The first claim of a year counts. A segment's dimensions that are not named are those of a total.
    """
    wanted = (segment.get("region"), segment.get("depth"), segment.get("modality"))
    rows = {
        claim.year: (claim.value, claim.low, claim.high)
        for claim in reversed(ledger.claims)
        if (claim.region, claim.depth, claim.modality) == wanted
        and claim.quantity == claimed
        and claim.year in ledger.years
    }
    table = pd.DataFrame([(year, *row) for year, row in sorted(rows.items())], columns=["year", *STATED_COLUMNS])
    return table.astype({"year": int} | dict.fromkeys(STATED_COLUMNS, float))


def with_stated(fan_table: pd.DataFrame, said: pd.DataFrame) -> pd.DataFrame:
    """A table by year with the columns of :func:`stated` beside its own; a stated zero is a dash of the report."""
    shown = said.assign(report=said["report"].where(said["report"] > 0))
    return fan_table.merge(shown, how="left", on="year")


def with_labels(table: pd.DataFrame, words: Words, *, as_percent: bool = False) -> pd.DataFrame:
    """A fan's table with the texts that it shows: the stated numbers, and in the last year median and interval."""
    factor, digits, unit = (100, 2, " %") if as_percent else (1, 3, "")

    def written(*values: float) -> str:
        return "–".join(short(factor * x, digits) if np.isfinite(x) else "…" for x in values) + unit

    def of_report(row: Mapping[str, Any]) -> str | None:
        if np.isfinite(row["report"]):
            return written(row["report"])
        ends = (row["report_low"], row["report_high"])
        return written(*ends) if np.isfinite(ends).any() else None

    def at_end(row: Mapping[str, Any]) -> list[str] | None:
        if row["year"] != words.last or not np.isfinite(row["median"]):
            return None
        return [f"median {written(row['median'])}", f"90 %: {written(row['low_90'], row['high_90'])}"]

    rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
    texts: dict[str, Any] = {"end": [at_end(row) for row in rows]}
    if "report" in table:
        texts |= {"report_text": [of_report(row) for row in rows], "report_at": table[[*STATED_COLUMNS]].max(axis=1)}
    return table.assign(**texts)


def years(words: Words) -> Spec:
    """The axis of years, labelled at the report's."""
    ticks = list(words.anchors) if len(words.anchors) <= MOST_TICKS else [*words.anchors[:: len(words.anchors) // 6]]
    axis = {"values": ticks, "format": "d", "labelOverlap": True, "grid": False, "title": None}
    domain = [words.years[0] - YEAR_MARGIN, words.last + YEAR_MARGIN]
    return quantity("year", None, axis=axis, scale={"domain": domain, "nice": False, "zero": False})


def fan(words: Words, y: Spec, colour: str = ACCENT) -> list[Spec]:
    """Median and 50 % / 90 % bands over the years, both numbers of the last year beside it.

    Parameters: `y`, the channel of the median, whose axis all of them share.
    """
    x = years(words)
    bands = [
        mark(
            "area",
            {"x": x, "y": y | {"field": f"low_{width}"}, "y2": {"field": f"high_{width}"}},
            valid="median",
            color=colour,
            opacity=opacity,
        )
        for width, opacity in ((90, 0.2), (50, 0.32))
    ]
    line = mark("line", {"x": x, "y": y}, valid="median", color=colour, strokeWidth=2.5)
    end = mark("text", {"x": x, "y": y, "text": {"field": "end"}}, valid="end", align="left", dx=8, baseline="middle")
    return [*bands, line, end]


def report_layers(words: Words, y: Spec) -> list[Spec]:
    """The report's points and ranges with their numbers, beside the fan that :func:`fan` draws."""
    x = years(words)
    at = y | {"field": "report_at"}
    text = {"x": x, "y": at, "text": {"field": "report_text"}}
    look: Spec = {"color": CONTRAST, "fontWeight": "bold", "fontSize": SMALL + 1}
    first = {"filter": {"field": "year", "equal": words.years[0]}}
    later = {"filter": {"field": "year", "gt": words.years[0]}}
    said = {"filter": {"not": {"field": "report_text", "equal": None}}}
    ends = {"x": x, "y": y | {"field": "report_low"}, "y2": {"field": "report_high"}}
    return [
        mark("rule", ends, valid="report_low", color=CONTRAST, strokeWidth=4),
        mark("point", {"x": x, "y": y | {"field": "report"}}, valid="report", size=55, **DOT),
        *halo({"transform": [said, first], **mark("text", text, align="left", dx=8, dy=-10, **look)}),
        *halo({"transform": [said, later], **mark("text", text, align="right", dx=-7, dy=-9, **look)}),
    ]


def halo(layer: Spec, width: float = 3) -> list[Spec]:
    """A layer of text over a white edge of its own, so that lines behind it do not cross it."""
    edge = {**layer, "mark": {**layer["mark"], "stroke": "white", "strokeWidth": width, "strokeOpacity": 0.9}}
    return [edge, layer]
