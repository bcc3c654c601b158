"""Figures that need no script: a fan over years, and bars inside tables; colours come from the page's style sheet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, floor, log10

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from postcgrp.reports.forecast.numbers import short

WIDTH, HEIGHT = 720, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 64, 14, 30
TICK_INTERVALS = 5
BINS = 48
_BANDS = (("band90", "q05", "q95"), ("band50", "q25", "q75"))
Scale = Callable[[float], float]
Array = NDArray[np.float64]


def element(name: str, *children: str, **attributes: object) -> Markup:
    """One element; text children and attributes are escaped, `class_` is `class`, underscores are hyphens."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _number(value))
        for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, Markup("").join(children))


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """A scale from values low..high to places start..end."""
    width = (high - low) or 1.0
    return lambda value: start + (value - low) / width * (end - start)


def ticks(low: float, high: float, most: int = TICK_INTERVALS) -> list[float]:
    """Round values between two ends, at most `most` + 1 of them."""
    if not high > low:
        return [low]
    raw = (high - low) / most
    unit = 10.0 ** floor(log10(raw))
    step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= raw * (1 - 1e-9))
    return [k * step for k in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def fan_svg(years: Sequence[int], quantiles: Mapping[str, Sequence[float]], points: Mapping[int, float], title: str,
        anchors: Sequence[int]) -> Markup:  # fmt: skip
    """A fan over years: 90 % and 50 % bands, the median, and the report's points.

    Parameters: `quantiles`, `q05`, `q25`, `q50`, `q75` and `q95` by year; `points` by year; `title`, read aloud.
    """
    top = max(*quantiles["q95"], *points.values())
    x = linear(years[0], years[-1], LEFT, WIDTH - RIGHT)
    y = linear(0, top * 1.05 or 1.0, HEIGHT - BOTTOM, TOP)
    marks = []
    for value in ticks(0, top):
        marks.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(value), y2=y(value), class_="grid"))
        marks.append(element("text", f"{value:,.0f}", x=LEFT - 8, y=y(value) + 4, class_="tick end"))
    marks += [element("text", str(year), x=x(year), y=HEIGHT - 8, class_="tick middle") for year in anchors]
    for name, low, high in _BANDS:
        up = [(x(year), y(value)) for year, value in zip(years, quantiles[high], strict=True)]
        down = [(x(year), y(value)) for year, value in zip(years, quantiles[low], strict=True)]
        marks.append(element("path", d=f"{path_through([*up, *reversed(down)])}Z", class_=name))
    middle = [(x(year), y(value)) for year, value in zip(years, quantiles["q50"], strict=True)]
    marks.append(element("path", d=path_through(middle), class_="median"))
    marks += [element("circle", cx=x(year), cy=y(value), r=4.5, class_="report") for year, value in points.items()]
    ends = {name: quantiles[name][-1] for name in ("q05", "q50", "q95")}
    marks += [element("text", f"{end:,.0f}", x=x(years[-1]) + 8, y=y(end) + 4, class_="tick") for end in ends.values()]
    box = f"0 0 {WIDTH} {HEIGHT}"
    return element("svg", element("title", title), *marks, viewBox=box, role="img", class_="chart")


def histogram(values: Array, weights: Array, low: float, high: float, mean: float, title: str) -> Markup:
    """A histogram of money between two ends, losses and gains apart at zero, with its mean marked.

    Parameters: `values` and `weights` [draw, end]; what lies outside the ends is counted in the outermost bars.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    shares, edges = np.histogram(np.clip(values, low, high), BINS, (low, high), weights=weights / weights.sum())
    height = HEIGHT * 3 / 5
    x = linear(low, high, LEFT, WIDTH - RIGHT)
    y = linear(0, float(shares.max()), height - BOTTOM, TOP)
    width = x(float(edges[1])) - x(float(edges[0])) - 1
    marks = [
        element("rect", x=x(float(left)), y=y(float(share)), width=width, height=y(0) - y(float(share)),
                class_="loss" if left + right < 0 else "gain")
        for share, left, right in zip(shares, edges, edges[1:], strict=False)
    ]  # fmt: skip
    labels = [(value, short(value).replace("-", "−")) for value in ticks(low, high, 7)]
    marks += [element("text", label, x=x(value), y=height - 10, class_="tick middle") for value, label in labels]
    lines = ((0.0, "zero"), (mean, "asked"))
    marks += [element("line", x1=x(value), x2=x(value), y1=y(0), y2=TOP, class_=kind) for value, kind in lines]
    return element("svg", element("title", title), *marks, viewBox=f"0 0 {WIDTH} {height:.0f}", role="img",
                   class_="chart")  # fmt: skip


def bar(start: float, end: float, low: float, high: float, kind: str = "", whisker: Sequence[float] = ()) -> Markup:
    """A bar for a table's cell, from `start` to `end` on an axis low..high; zero and perhaps an interval are marked."""
    x = linear(low, high, 0, 100)
    left, right = sorted((x(start), x(end)))
    marks = [element("rect", x=left, width=max(right - left, 0.4), y=3, height=10, class_=f"bar {kind}")]
    if low < 0 < high:
        marks.append(element("line", x1=x(0), x2=x(0), y1=0, y2=16, class_="zero"))
    if len(whisker):
        marks.append(element("line", x1=x(whisker[0]), x2=x(whisker[-1]), y1=8, y2=8, class_="whisker"))
    size = {"viewBox": "0 0 100 16", "preserveAspectRatio": "none"}
    return element("svg", *marks, class_="inbar", aria_hidden="true", focusable="false", **size)


def path_through(places: Sequence[tuple[float, float]]) -> str:
    """An open path through places."""
    return "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in places)


def _number(value: object) -> object:
    return short(value, 6).replace(",", "") if isinstance(value, float) else value
