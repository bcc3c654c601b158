"""How every figure looks and how it is saved; its title is its message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from postcgrp.reports.forecast.colours import GRID_LINES

DPI = 150
PNG_COMPRESSION = 3  # of 9: half the time of the usual 6, for 8 % more bytes
MANY_PANELS = 3  # from here on a row of panels is drawn lower
MESSAGE: dict[str, Any] = {"x": 0.01, "ha": "left", "weight": "bold", "fontsize": 12}
STYLE: dict[Any, Any] = {
    "font.size": 10.0,
    "axes.titlesize": 12.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID_LINES,
    "legend.frameon": False,
    "svg.hashsalt": "postcgrp",  # the same figure has the same bytes
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name or a currency may hold dollars
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in this style within the block."""
    with mpl.rc_context(STYLE):
        yield


def new_figure(message: str, width: float, height: float) -> Figure:
    """An empty figure under its message; `width` and `height` in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(message, **MESSAGE)
    return figure


def panels(number: int, message: str, widths: tuple[float, ...] | None = None) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side under one message; `widths`, relative to each other."""
    figure = new_figure(message, 7.6 if number == 1 else 10.5, 3.6 if number >= MANY_PANELS else 4.2)
    grid = figure.subplots(1, number, squeeze=False, width_ratios=widths)
    return figure, list(grid[0])


def panel_title(axes: Axes, text: str, size: float = 10.5) -> None:
    """Say what one panel shows, more quietly than the message."""
    axes.set_title(text, fontsize=size, weight="normal")


def whole_numbers(axis: Axis) -> None:
    """Label an axis of money or counts: no decimals, thousands set apart."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def percentages(axis: Axis) -> None:
    """Label an axis of fractions in whole per cent."""
    axis.set_major_formatter(PercentFormatter(1, decimals=0))


def save_figure(figure: Figure, path: Path, recipe: str) -> Path:
    """Write one figure as PNG and SVG, each with the hash of the recipe of its numbers; returns the PNG's path."""
    note = f"postcgrp recipe sha256 {recipe}"
    with styled():
        figure.set_dpi(DPI)
        canvas = FigureCanvasAgg(figure)  # one for layout and picture, which measure the same text
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)
        figure.set_layout_engine("none")
        # `savefig` would draw each format once more beforehand, for the layout that has just been made.
        compression = {"compress_level": PNG_COMPRESSION}
        canvas.print_png(path.with_suffix(".png"), metadata={"Description": note}, pil_kwargs=compression)
        FigureCanvasSVG(figure).print_svg(path.with_suffix(".svg"), metadata={"Description": note, "Date": None})
    return path.with_suffix(".png")
