"""The verdict of simulation-based calibration as a figure and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from postcgrp.inference.convergence import Check, gate_table
from postcgrp.inference.ranks import ERROR, ERROR_SHARES, JOINT, KINDS, MIN_REFITS, TOO_FEW, Array, band, ecdf, outcome
from postcgrp.reports.forecast.colours import ACCENT, CONTRAST, NEUTRAL
from postcgrp.reports.forecast.drawing import draw
from postcgrp.reports.forecast.layers import halo
from postcgrp.reports.forecast.style import (
    PANEL_SIZE,
    SMALL,
    Spec,
    colours,
    figure,
    lines,
    mark,
    once,
    panel,
    quantity,
)

FINE, FAILING, BAND = ACCENT, CONTRAST, "#dfe5ea"
MOST_PANELS, PANELS_PER_ROW = 20, 4
QUANTITY_PANEL, LAST_PANEL = (
    (185, 110),
    (850, 190),
)  # pixels: width and height of a quantity's panel, and of the last one
MOST_NAMED = 3  # of the quantities that fail in the last panel


def ecdf_panels(pits: ArrayLike, names: Sequence[str], checks: Sequence[Check], title: str = "") -> Spec:
    """ECDF minus uniform of every quantity, with simultaneous bands (Saeilynoja, Buerkner & Vehtari 2022).

    Primary quantities, and others that fail, have a panel each while there is room; the last panel holds the rest.
    Parameters: `pits` [refit, quantity]; `names` [quantity]; `checks`, the verdict; `title`, what was checked.
    """
    u = dict(zip(names, np.asarray(pits, dtype=float).T, strict=True))
    judged = {check.where: check for check in checks if check.check in ("primary", "other")}
    groups = _panels(judged)
    curves = [_curves(u, members, judged).assign(panel=k) for k, (_, members) in enumerate(groups)]
    table = pd.concat(curves, ignore_index=True)
    reach = 1.35 * float(np.nanmax(table[["high", "difference"]].abs().to_numpy()))  # with room for a word
    shown = [
        _panel(name, k, reach, _note(members), QUANTITY_PANEL if len(members) == 1 else LAST_PANEL)
        for k, (name, members) in enumerate(groups)
    ]
    single = [one for one, (_, members) in zip(shown, groups, strict=True) if len(members) == 1]
    rows = [{"concat": single, "columns": PANELS_PER_ROW}] if single else []
    note = "Shaded: band of the whole curve; mean and spread may depart inside it; error over all tests "
    note += f"{100 * ERROR:.0f} %"
    return figure(
        _message(checks, judged),
        f"{title}. {note}" if title else note,
        table,
        LAST_PANEL[0],
        vconcat=[*rows, *shown[len(single) :]],
    )


def save_calibration(
    pits: ArrayLike, names: Sequence[str], checks: Sequence[Check], path: Path, recipe: str, title: str = ""
) -> list[Path]:
    """Draw :func:`ecdf_panels` as SVG and PNG with the hash of the recipe; returns the paths."""
    return draw(ecdf_panels(pits, names, checks, title), path, recipe)


def calibration_table(checks: Sequence[Check]) -> pd.DataFrame:
    """The verdict, one row per check: failing ones first, then by adjusted p-value."""
    rows = gate_table(checks)
    return rows.sort_values(["passed", "figure"], kind="stable", na_position="first", ignore_index=True)


def _message(checks: Sequence[Check], judged: dict[str, Check]) -> str:
    by_name = {check.check: check for check in checks if check.check not in ("primary", "other")}
    refits, lost = int(by_name["refits"].figure), int(by_name["finite"].figure)
    failing = sum(not check.passed for check in judged.values())
    count = f"{failing or 'none'} of {len(judged)} quantities {'fail' if failing > 1 else 'fails'}"
    verdict = outcome(checks)
    if verdict == TOO_FEW:
        return f"{verdict.capitalize()}: {refits} of at least {MIN_REFITS}; {count} so far"
    words = [by_name[joint].advice.split(" together")[0] for joint in JOINT if not by_name[joint].passed]
    more = f"; PITs that are not finite: {lost}" if lost else f"; all together: {' and '.join(words)}" if words else ""
    return f"{verdict[0].upper()}{verdict[1:]}: {count}{more} ({refits} refits)"


def _panels(judged: dict[str, Check]) -> list[tuple[str, list[Check]]]:
    """The panels in order: the title of each and the checks of the quantities in it."""
    wanted = [check for check in judged.values() if check.check == "primary" or not check.passed]
    first = sorted(wanted, key=lambda check: (check.check != "primary", check.passed))[:MOST_PANELS]
    shown = [check for check in wanted if check in first]
    rest = [check for check in judged.values() if check not in first]
    alone = [(check.where, [check]) for check in shown]
    return [*alone, (f"{'The other' if shown else 'All'} {len(rest)} quantities", rest)] if rest else alone


def _curves(u: dict[str, Array], members: Sequence[Check], judged: dict[str, Check]) -> pd.DataFrame:
    """The curves of a panel and its band: `curve` (empty for the band), `verdict`, `x`, `difference`, `low`, `high`."""
    family = min(check.check for check in members)  # a panel of both kinds has the band of the others
    size = sum(check.check == family for check in judged.values())
    x, low, high = band(len(u[members[0].where]), ERROR * ERROR_SHARES[family] / KINDS / size)
    tables = [pd.DataFrame({"curve": None, "verdict": None, "x": x, "low": low - x, "high": high - x})]
    for check in members:
        if np.isfinite(u[check.where]).all():
            curve = {"curve": check.where, "verdict": "fine" if check.passed else "failing"}
            tables.append(pd.DataFrame({**curve, "x": x, "difference": ecdf(u[check.where]) - x}))
    return pd.concat(
        [
            table.reindex(columns=["curve", "verdict", "x", "difference", "low", "high"]).astype({"difference": float})
            for table in tables
        ],
        ignore_index=True,
    )


def _note(members: Sequence[Check]) -> str:
    """What a panel says of the quantities in it that fail."""
    failing = sorted((check for check in members if not check.passed), key=lambda check: check.figure)
    if not failing:
        return ""
    if len(members) == 1:
        return failing[0].advice.split(":")[0]
    return f"{len(failing)} of them fail, most of all {', '.join(check.where for check in failing[:MOST_NAMED])}"


def _panel(title: str, number: int, reach: float, note: str, size: tuple[int, int]) -> Spec:
    width, height = size
    ticks = {"tickCount": 3, "labelFontSize": SMALL, "titleFontSize": SMALL, "titlePadding": 3}
    x = quantity("x", "PIT", axis={**ticks, "values": [0, 0.5, 1]}, scale={"domain": [0, 1]})
    y = quantity("difference", "ECDF - uniform", axis=ticks, scale={"domain": [-reach, reach], "nice": False})
    verdict = colours("verdict", ["fine", "failing"], [FINE, FAILING])
    line = {"x": x, "y": y, "detail": {"field": "curve"}, "color": verdict}
    words = {"x": {"value": width - 4}, "y": {"value": 10}, "text": {"value": note}}
    alone = size == QUANTITY_PANEL
    drawn = panel(
        title,
        [
            mark("area", {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}}, valid="low", color=BAND),
            once(mark("rule", {"y": {"datum": 0, "type": "quantitative"}}, color=NEUTRAL, strokeWidth=0.6)),
            mark("line", line, valid="difference", strokeWidth=1.6 if alone else 0.8),
            *(halo(once(mark("text", words, align="right", color=FAILING, fontWeight="bold"))) if note else []),
        ],
        only={"panel": number},
        width=width,
        height=height,
    )
    size_of_title = SMALL if alone else PANEL_SIZE
    weight = "bold" if note and alone else "normal"
    return drawn | {
        "title": {
            "text": lines(title, width, size_of_title),
            "fontSize": size_of_title,
            "fontWeight": weight,
            "offset": 4,
        }
    }
