"""Why the interval is so wide, and where growth comes from: the variance budget and the growth bridge as specs."""

from __future__ import annotations

from typing import Any

import pandas as pd

from postcgrp.reports.forecast.colours import ACCENT, CONTRAST, INK, NEUTRAL, QUIET, SEGMENT_COLOURS
from postcgrp.reports.forecast.growth_bridge import EFFECTS
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.forecast.style import (
    PANEL,
    ROW,
    ROW_OF_MANY,
    TALL,
    WIDE,
    Spec,
    colours,
    figure,
    fractions,
    mark,
    money,
    names,
    panel,
    side_by_side,
)
from postcgrp.reports.forecast.variance_budget import UNATTRIBUTED
from postcgrp.reports.forecast.words import Words

EFFECT_COLOURS = {
    "patients": SEGMENT_COLOURS[1],
    "mix": SEGMENT_COLOURS[3],
    "adoption": SEGMENT_COLOURS[0],
    "intensity": SEGMENT_COLOURS[2],
}
EFFECT_WORDS = {
    "patients": "more patients",
    "mix": "their mix",
    "adoption": "adoption",
    "intensity": "spend per user",
}
WHOLE_MILLIONS = 100  # millions
MANY_ROWS = 12  # from so many on they are lower


def bridge_waterfall(rows: pd.DataFrame, claim: pd.DataFrame, words: Words) -> Spec:
    """The growth bridge of the total, with 90 % intervals, and the mean effects in every modality and region.

    Parameters: `rows` and `claim`, the tables `growth_bridge` and `growth_claim` of a run.
    """
    total: Any = rows[rows["segment"] == ""].set_index("effect")
    effects = [str(e) for e in total.loc[list(EFFECTS), "mean"].sort_values(ascending=False).index]
    start, end = total.loc["start", "mean"], total.loc["end", "mean"]
    parts = ", ".join(f"{EFFECT_WORDS[e]} {signed(total.loc[e, 'mean'], end)}" for e in effects if e != "mix")
    probability = claim.set_index("reading")["probability"]
    shown = pd.concat([_steps(total, effects, words), _segments(rows, effects, words)], ignore_index=True)
    note = (
        f"Means, {words.money}; whiskers: 90 % intervals. Growing spend per user adds more than growing patient "
        f"numbers with probability {_chance(probability['intensity alone'])}; with adoption and mix, "
        f"{_chance(probability['per patient'])}."
    )
    return figure(
        f"From {short(start)} to {short(end)} by {words.last}: {parts}",
        note,
        shown,
        3.4 * PANEL,
        **side_by_side([_waterfall(shown, words), _by_segment(shown, effects, words)]),
        resolve={"scale": {"color": "independent", "y": "independent", "x": "independent"}},
    )


def budget_bars(rows: pd.DataFrame, bridge: pd.DataFrame, words: Words) -> Spec | None:
    """The variance budget of the last year's interval: shares, and what knowing each group alone would take away.

    Parameters: `rows` and `bridge`, the tables `variance_budget` and `growth_bridge` of a run. Returns None where the
    run has too few draws for a budget.
    """
    if rows.empty:
        return None
    shown = rows[rows["group"] != UNATTRIBUTED]
    shown = shown.assign(
        low=(shown["share"] - 2 * shown["se"]).clip(lower=0),
        high=shown["share"] + 2 * shown["se"],
        called=[f"{_group(g, words)}: {100 * s:.0f} %" for g, s in zip(shown["group"], shown["share"], strict=True)],
    )
    total: Any = bridge[(bridge["segment"] == "") & (bridge["effect"] == "end")].iloc[0]
    first: Any = shown.iloc[0]
    leading = _group(first["group"], words)
    y = names("called", shown["called"].tolist())
    x = fractions("share", "Share of the variance of log revenue")
    known = {"y": y, "x": x | {"field": "first_order"}}
    return figure(
        f"{leading[:1].upper()}{leading[1:]} makes {100 * first['share']:.0f} % of the interval around {words.last} "
        f"({short(total['low_90'])}–{short(total['high_90'])} {words.money})",
        "Bars: shares, which add up to 100 % (lines: two standard errors). Diamonds: what would go if this alone "
        "became known; these overlap and do not add up.",
        shown,
        WIDE,
        layer=[
            mark("bar", {"y": y, "x": x}, color=ACCENT, height={"band": 0.62}),
            mark("rule", {"y": y, "x": x | {"field": "low"}, "x2": {"field": "high"}}, color=INK),
            mark(
                "point",
                known,
                shape="diamond",
                filled=True,
                fill="white",
                stroke=CONTRAST,
                strokeWidth=1.8,
                size=70,
                opacity=1,
            ),
        ],
        width=WIDE - 150,
        height=ROW * 1.3 * len(shown),
    )


def _group(name: str, words: Words) -> str:
    """A group of unknowns in words: where it names a modality, by its label."""
    kind, colon, of = name.partition(": ")
    return f"{kind}{colon and ' of '}{words.labels['modality'].get(of, of)}"


def signed(amount: float, largest: float) -> str:
    """An amount with its sign, whole where the largest of its figure is 100 or more."""
    text = f"{amount:+,.0f}" if largest >= WHOLE_MILLIONS else f"{'+' if amount > 0 else ''}{short(amount)}"
    return text.replace("-", "\N{MINUS SIGN}")


def _steps(total: Any, effects: list[str], words: Words) -> pd.DataFrame:
    """The bars of the waterfall: from where to where each reaches, its interval and what is written on and below it."""
    ends = {"start": str(words.years[0]), "end": str(words.last)}
    rows, level = [], 0.0
    for name in ("start", *effects, "end"):
        row = total.loc[name]
        base = 0.0 if name in ends else level
        level = base + row["mean"]
        rows.append(
            {
                "part": "steps",
                "effect": name,
                "bar": ends.get(name) or EFFECT_WORDS[name],
                "from": base,
                "to": level,
                "low": base + row["low_90"],
                "high": base + row["high_90"],
                "text": short(row["mean"]) if name in ends else signed(row["mean"], total.loc["end", "mean"]),
                "text_at": base + max(row["high_90"], row["mean"]),
            }
        )
    return pd.DataFrame(rows)


def _waterfall(shown: pd.DataFrame, words: Words) -> Spec:
    order = shown.loc[shown["part"] == "steps", "bar"].tolist()
    x = names("bar", order, {"labelAngle": 0, "labelExpr": "split(datum.label, ' ')", "labelPadding": 6})
    y = money("from", f"Revenue, {words.money} a year")
    palette = {**EFFECT_COLOURS, "start": NEUTRAL, "end": NEUTRAL}
    colour = colours("effect", list(palette), list(palette.values()))
    text = {"x": x, "y": y | {"field": "text_at"}, "text": {"field": "text"}}
    return panel(
        "The total, step by step",
        [
            mark("bar", {"x": x, "y": y, "y2": {"field": "to"}, "color": colour}, width={"band": 0.66}),
            mark("rule", {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}}, color=INK),
            mark("text", text, dy=-8, fontWeight="bold"),
        ],
        only={"part": "steps"},
        width=1.4 * PANEL,
    )


def _segments(rows: pd.DataFrame, effects: list[str], words: Words) -> pd.DataFrame:
    """The bars of every region and modality: gains to the right of zero, losses to its left, one after the other."""
    out = []
    largest = rows["mean"].max()
    parts = rows[(rows["segment"] != "") & rows["effect"].isin(effects)]
    for (dim, name), part in parts.groupby(["segment", "name"], sort=False):
        means, label = part.set_index("effect")["mean"], words.labels[str(dim)][str(name)]
        reach = {True: 0.0, False: 0.0}  # of gains, of losses
        for effect in effects:
            base = reach[means[effect] > 0]
            reach[means[effect] > 0] = base + means[effect]
            bar = {"from": base, "to": base + means[effect]}
            out.append({"part": "segments", "effect": effect, "bar": label, **bar})
        out[-1] |= {"text": signed(float(means.sum()), largest), "text_at": reach[True]}
    return pd.DataFrame(out)


def _by_segment(shown: pd.DataFrame, effects: list[str], words: Words) -> Spec:
    bars = shown[shown["part"] == "segments"]
    order = list(dict.fromkeys(bars["bar"]))
    y, x = names("bar", order), money("from", f"Change, {words.money} a year", scale={"nice": False})
    colour = colours("effect", effects, [EFFECT_COLOURS[e] for e in effects])
    text = {"y": y, "x": x | {"field": "text_at"}, "text": {"field": "text"}}
    row = ROW_OF_MANY if len(order) > MANY_ROWS else ROW
    return panel(
        "By region and by modality, colours as on the left",
        [
            mark("bar", {"y": y, "x": x, "x2": {"field": "to"}, "color": colour}, height={"band": 0.62}),
            mark("text", text, valid="text", align="left", dx=5, color=QUIET),
        ],
        only={"part": "segments"},
        height=max(TALL, row * len(order)),
    )


def _chance(probability: float) -> str:
    return "> 99.9 %" if probability > 0.999 else "< 0.1 %" if probability < 0.001 else f"{100 * probability:.0f} %"  # noqa: PLR2004
