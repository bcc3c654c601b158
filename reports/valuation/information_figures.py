"""Value of information as one figure: what each thing is worth to learn before deciding."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten
from typing import Any

import pandas as pd

from postcgrp.reports.forecast.colours import ACCENT, CONTRAST, INK, QUIET, SEGMENT_COLOURS
from postcgrp.reports.forecast.drawing import draw
from postcgrp.reports.forecast.layers import halo
from postcgrp.reports.forecast.style import (
    LONG_NAME,
    ROW,
    SMALL,
    WIDE,
    Spec,
    colours,
    figure,
    mark,
    money,
    names,
    once,
)
from postcgrp.reports.forecast.words import unlike
from postcgrp.reports.valuation.figures import INPUT_TABLES, input_in_words

INPUT, STUDY, LIMIT = ACCENT, SEGMENT_COLOURS[2], CONTRAST
_MOST_BARS = 16
NAME_WIDTH, DEAL_WIDTH = 64, 32  # characters
NEGLIGIBLE = 0.005  # of the EVPI: rows below it share one line of the note; a study is always shown


def worth_bars(information: pd.DataFrame, unit: str) -> Spec:
    """Bars of what inputs, groups and studies are worth, two standard errors each way, the EVPI as a line.

    Parameters: `information`, a table of :func:`postcgrp.reports.valuation.information.information_table`; `unit`
    of its values, such as "USD million".
    """
    total, rows = float(information["value"].iloc[0]), information.iloc[1:].sort_values("value", ascending=False)
    kept = bars_kept(rows, total)
    table = pd.DataFrame(
        {
            "bar": unlike(shorten(_words(name), NAME_WIDTH, placeholder=" …") or "…" for name in kept["name"]),
            "kind": ["study" if kind == "EVSI" else "input" for kind in kept["kind"]],
            "value": kept["value"].to_numpy(),
            "low": (kept["value"] - 2 * kept["se"]).clip(lower=0).to_numpy(),
            "high": (kept["value"] + 2 * kept["se"]).to_numpy(),
            "text": [f"{v:,.3g} ({100 * s:.0f} %)" for v, s in zip(kept["value"], kept["share"], strict=True)],
        }
    )
    right = 1.2 * max(total, float(table["high"].max())) or 1.0
    y = names("bar", table["bar"].tolist(), {"labelLimit": LONG_NAME})
    x = money("value", f"Worth, {unit}", scale={"domain": [0, right], "nice": False})
    rest = len(rows) - len(kept)
    studied = " Green: a study of it (EVSI)." if "study" in set(table["kind"]) else ""
    everything = {"x": {"datum": total, "type": "quantitative"}}
    whisker = {"y": y, "x": x | {"field": "low"}, "x2": {"field": "high"}}
    text = {"y": y, "x": x | {"field": "high"}, "text": {"field": "text"}}
    return figure(
        _message(kept, total, unit),
        f"Blue: learned exactly (EVPPI).{studied} Lines: two standard errors. Dashed: everything known (EVPI), "
        f"{total:,.3g} {unit}, of which each is the share in brackets."
        + (f" {rest} more are worth less than {100 * NEGLIGIBLE:g} % of it, or less than these." if rest else ""),
        table,
        WIDE + LONG_NAME / 2,
        layer=[
            mark(
                "bar",
                {"y": y, "x": x, "color": colours("kind", ["input", "study"], [INPUT, STUDY])},
                height={"band": 0.66},
            ),
            once(mark("rule", everything, color=LIMIT, strokeDash=[5, 3], strokeWidth=1.4)),
            mark("rule", whisker, color=INK),
            *halo(mark("text", text, align="left", dx=6, color=QUIET, fontSize=SMALL)),
        ],
        width=WIDE - 100,
        height=ROW * max(len(table), 2),
    )


def bars_kept(rows: pd.DataFrame, total: float) -> pd.DataFrame:
    """The rows that have a bar: the largest that matter, and every study."""
    largest = rows[rows["value"] > NEGLIGIBLE * total].head(_MOST_BARS)
    kept = rows[rows.index.isin(largest.index) | (rows["kind"] == "EVSI")]
    return kept if len(kept) else rows.head(1)


def save_information(information: pd.DataFrame, unit: str, path: Path, recipe: str) -> list[Path]:
    """Draw :func:`worth_bars` as SVG and PNG with the hash of the recipe; returns the paths."""
    return draw(worth_bars(information, unit), path, recipe)


def _message(kept: pd.DataFrame, total: float, unit: str) -> str:
    if total <= 0:
        return "Nothing is worth learning: one alternative is best in every draw"
    single = kept[(kept["kind"] == "EVSI") | (kept["learned"].map(len) == 1)]
    first: Any = (single if len(single) else kept).iloc[0]
    if first["value"] <= 2 * first["se"]:
        return f"No single thing is surely worth learning; all together are worth {unit} {total:,.3g}"
    worth = f"{first['value']:,.3g} {unit} ({100 * first['share']:.0f} % of everything)"
    return f"Most worth learning: {_words(first['name'])}, {worth}"


def _words(name: str) -> str:
    """A deal's input in words, after the deal's name where there are several; any other name as it is."""
    deal, colon, path = name.rpartition(": ")
    short = f"{deal[:DEAL_WIDTH]}…" if len(deal) > DEAL_WIDTH else deal
    return f"{short}{colon}{input_in_words(path) if path.startswith(INPUT_TABLES) else path}"
