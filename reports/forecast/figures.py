"""A run's figures, each a function of the run and its priors whose title is its message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray
from xarray import DataArray, Dataset, DataTree

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.models import variables as v
from postcgrp.priors import Prior, PriorSet
from postcgrp.reports.forecast.colours import ACCENT, CONTRAST, NEUTRAL, SEGMENT_COLOURS
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.forecast.style import (
    MESSAGE,
    new_figure,
    panel_title,
    panels,
    percentages,
    save_figure,
    styled,
    whole_numbers,
)
from postcgrp.reports.forecast.summary import interval, report_point, spend_per_user_draws
from postcgrp.reports.runs.groups import group

BANDS = (0.05, 0.25, 0.5, 0.75, 0.95)  # the quantiles of a fan: 90 % and 50 % intervals around the median
type Drawer[T] = Callable[[T, PriorSet], Figure | None]


def fan(axes: Axes, draws: DataArray, colour: str = ACCENT, *, label: bool = True) -> None:
    """Median and 50 % / 90 % equal-tailed bands of yearly draws."""
    years = draws["year"].values
    q05, q25, q50, q75, q95 = np.quantile(draws.stack(s=SAMPLE).transpose("s", "year").values, BANDS, axis=0)
    axes.fill_between(years, q05, q95, color=colour, alpha=0.18, lw=0, label="90 % interval" if label else None)
    axes.fill_between(years, q25, q75, color=colour, alpha=0.36, lw=0, label="50 % interval" if label else None)
    axes.plot(years, q50, color=colour, lw=2, label="median" if label else None)


def report_points(axes: Axes, pset: PriorSet, modality: str | None = None) -> None:
    """The report's point for each anchor year, with its value; `modality` None for the total."""
    known = [(y, report_point(pset.ledger, y, modality=modality)) for y in pset.ledger.report.anchors]
    known = [(year, value) for year, value in known if value > 0]
    axes.plot([y for y, _ in known], [v for _, v in known], "o", color=CONTRAST, zorder=5, label="the report")
    for year, value in known:
        first = year == pset.ledger.years[0]
        axes.annotate(
            f"{value:,.0f}",
            (year, value),
            xytext=(7, -13) if first else (-7, 5),
            textcoords="offset points",
            color=CONTRAST,
            weight="bold",
            ha="left" if first else "right",
        )


def fan_total(run: DataTree, pset: PriorSet) -> Figure:
    """Total revenue by year: the fan around the report's points."""
    last = pset.ledger.years[-1]
    draws = group(run)["revenue_total"]
    low, high = np.quantile(draws.sel(year=last).values, [0.05, 0.95])
    figure, (axes,) = panels(
        1, f"{last}: 90 % of the probability lies between {_currency(pset)} {low:,.0f} and {high:,.0f} million"
    )
    fan(axes, draws)
    report_points(axes, pset)
    _money_by_year(axes, pset)
    axes.set_ylabel(f"Revenue, {_currency(pset)} million a year")
    axes.legend(loc="upper left")
    return figure


def fan_modality(run: DataTree, pset: PriorSet) -> Figure:
    """Revenue by year for each modality, each on its own scale."""
    by_modality = group(run)["revenue"].sum(["region", "depth"])
    modalities = pset.ledger.modalities
    figure, all_axes = panels(
        len(modalities), f"Revenue by modality, {_currency(pset)} million a year (each on its own scale)"
    )
    for axes, modality in zip(all_axes, modalities, strict=True):
        fan(axes, by_modality.sel(modality=modality.name), label=axes is all_axes[0])
        report_points(axes, pset, modality.name)
        panel_title(axes, modality.label or modality.name)
        _money_by_year(axes, pset)
    all_axes[0].legend(loc="upper left", fontsize=8.5)
    return figure


def composition(run: DataTree, pset: PriorSet, dim: str) -> Figure:
    """Mean share of revenue by region or depth over time, with the 90 % interval at the anchors."""
    others = [d for d in ("region", "depth", "modality") if d != dim]
    revenue = group(run)["revenue"].sum(others)
    share = (revenue / revenue.sum(dim)).stack(s=SAMPLE)
    anchors = list(pset.ledger.report.anchors)
    name = {"region": "Region", "depth": "Failure depth"}[dim]
    figure, (left, right) = panels(2, f"{name}: share of revenue", widths=(1.25, 1))
    labels = {s.name: s.label or s.name for s in (*pset.ledger.regions, *pset.ledger.depths)}
    keys = pset.ledger.segments[dim]
    colours = [SEGMENT_COLOURS[i % len(SEGMENT_COLOURS)] for i in range(len(keys))]
    left.stackplot(
        share["year"].values, [share.sel({dim: k}).mean("s").values for k in keys], colors=colours, alpha=0.9
    )
    panel_title(left, "Mean share by year")
    left.set_ylim(0, 1)
    left.set_xlim(anchors[0], anchors[-1])
    left.grid(visible=False)
    _years(left, pset)
    offsets = np.linspace(-0.26, 0.26, len(anchors))
    for row, key in enumerate(keys):
        for offset, year in zip(offsets, anchors, strict=True):
            q05, q25, q50, q75, q95 = np.quantile(share.sel({dim: key, "year": year}).values, BANDS)
            right.plot([q05, q95], [row + offset] * 2, color=colours[row], lw=1.6, alpha=0.6)
            right.plot([q25, q75], [row + offset] * 2, color=colours[row], lw=4)
            right.plot(q50, row + offset, "o", color="white", mec=colours[row], ms=5)
            right.annotate(
                str(year),
                (q95, row + offset),
                xytext=(4, 0),
                textcoords="offset points",
                fontsize=7,
                va="center",
                color="#555555",
            )
    right.set_yticks(range(len(keys)), [labels[k] for k in keys])
    right.invert_yaxis()
    panel_title(right, "Median, 50 % and 90 % interval")
    right.set_xlim(left=0)
    right.margins(x=0.12)
    for axis in (left.yaxis, right.xaxis):
        percentages(axis)
    return figure


def composition_region(run: DataTree, pset: PriorSet) -> Figure:
    """Share of revenue by region."""
    return composition(run, pset, "region")


def composition_depth(run: DataTree, pset: PriorSet) -> Figure:
    """Share of revenue by failure depth."""
    return composition(run, pset, "depth")


def adoption_fans(run: DataTree, pset: PriorSet) -> Figure | None:
    """Patient-weighted adoption by year against the report's ranges; None without an adoption modality."""
    adopted = pset.modalities("adoption")
    if not adopted:
        return None
    figure, all_axes = panels(len(adopted), "Adoption by year, against the ranges the report gives")
    for axes, modality in zip(all_axes, adopted, strict=True):
        fan(axes, group(run)[pset.own("adoption_mean", modality)])
        for prior in pset.blocks[v.level(pset, modality)].priors:
            if prior.low is not None and prior.high is not None:
                year = int(prior.name.split("[")[1].split(",")[0])
                axes.plot([year, year], [prior.low, prior.high], color=CONTRAST, lw=3, solid_capstyle="butt", zorder=4)
        axes.plot([], [], color=CONTRAST, lw=3, label="the report's range")
        panel_title(axes, modality.label or modality.name)
        axes.set_ylabel("Adopters, share of treated patients")
        percentages(axes.yaxis)
        axes.set_ylim(bottom=0)
        _years(axes, pset)
        axes.legend(loc="upper left")
    return figure


def spend_per_adopter(run: DataTree, pset: PriorSet) -> Figure:
    """Spend per treated patient-year by modality: what the revenue forecast asks of price."""
    modalities = pset.ledger.modalities
    figure, all_axes = panels(len(modalities), "What the revenue implies that each treated patient costs")
    for axes, modality in zip(all_axes, modalities, strict=True):
        first = pset.anchors(modality)[0] if modality.uptake == "launch" else pset.ledger.years[0]
        fan(axes, spend_per_user_draws(run, modality.name).sel(year=slice(first, None)), label=axes is all_axes[0])
        panel_title(axes, modality.label or modality.name)
        axes.set_ylabel(f"{_currency(pset)} per {'procedure' if modality.uptake == 'launch' else 'user and year'}")
        _money_by_year(axes, pset)
    all_axes[0].legend(loc="lower right", fontsize=8.5)
    return figure


def exceedance_curves(run: DataTree, pset: PriorSet) -> Figure:
    """Probability that total revenue exceeds a level, at each anchor."""
    total = group(run)["revenue_total"]
    last = pset.ledger.years[-1]
    figure, (axes,) = panels(1, "Probability that the market exceeds a level")
    for year, colour in zip(pset.ledger.report.anchors, SEGMENT_COLOURS, strict=False):
        draws, probability = total.sel(year=year).values.ravel(), np.linspace(0, 1, 201)
        axes.plot(np.quantile(draws, probability), 1 - probability, color=colour, lw=2, label=str(year))
        if (point := report_point(pset.ledger, year)) > 0:
            above = float((draws > point).mean())
            axes.plot(point, above, "o", color=CONTRAST, ms=6, zorder=5)
            axes.annotate(
                f"{point:,.0f}: {above:.0%}",
                (point, above),
                xytext=(7, 5),
                textcoords="offset points",
                color=CONTRAST,
                weight="bold",
            )
    axes.set_xlim(0, float(np.quantile(total.sel(year=last).values, 0.995)))
    axes.set_xlabel(f"Revenue, {_currency(pset)} million a year")
    axes.set_ylabel("Probability of more")
    percentages(axes.yaxis)
    whole_numbers(axes.xaxis)
    axes.legend(title="Year; dots: the report's point", loc="lower left")
    return figure


def prior_predictive(run: DataTree, pset: PriorSet) -> Figure:
    """Total revenue before and after seeing the report's revenue."""
    figure, axes = panels(2, "What the priors alone say, and what the report's revenue adds")
    for ax, name, colour, title in (
        (axes[0], "prior", "#6f6f6f", "Bottom-up: before any revenue figure"),
        (axes[1], "posterior", ACCENT, "After the report's revenue figures"),
    ):
        fan(ax, group(run, name)["revenue_total"], colour)
        report_points(ax, pset)
        panel_title(ax, title)
        _money_by_year(ax, pset)
        ax.legend(loc="upper left", fontsize=8.5)
    top = axes[0].get_ylim()[1]
    axes[1].set_ylim(0, top)
    axes[0].set_ylabel(f"Revenue, {_currency(pset)} million a year")
    return figure


def prior_posterior(run: DataTree, pset: PriorSet) -> Figure:
    """Prior and posterior of the quantities a reader argues about, as histograms over the prior's middle 99 %."""
    before, after = (_quantities_shown(group(run, name), pset) for name in ("prior", "posterior"))
    columns, rows = 3, -(-len(before) // 3)
    figure = new_figure("What the evidence changed (blue) of what was assumed (grey)", 10.5, 1.9 * rows + 0.5)
    for at, (name, prior) in enumerate(before.items()):
        axes = figure.add_subplot(rows, columns, at + 1)
        bins = np.linspace(*interval(prior, 99), 40).tolist()
        for draws, colour in ((prior, NEUTRAL), (after[name], ACCENT)):
            axes.hist(draws.values.ravel(), bins, density=True, histtype="stepfilled", color=colour, alpha=0.55)
        panel_title(axes, str(name), 9)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
        axes.tick_params(labelsize=8)
    return figure


def prior_ranges(pset: PriorSet) -> Figure:
    """Every ranged prior over the range it came from, each on its own scale."""
    ranged = [p for block in pset.blocks.values() for p in block.priors if p.low is not None]
    distinct = list({(p.name.split("[")[0], p.low, p.high): p for p in ranged}.values())
    columns = 5
    rows = -(-len(distinct) // columns)
    inches = 1.2 * rows + 0.5
    figure = Figure(figsize=(11, inches))
    figure.suptitle("Every ranged prior and the range it came from", **MESSAGE)
    # One pair of axes for all of them: drawing time goes into axes and their ticks.
    axes = figure.add_axes((0.015, 0, 0.97, 1 - 0.45 / inches))
    axes.set(xlim=(0, columns - 0.08), ylim=(rows, 0))
    axes.set_axis_off()
    for i, prior in enumerate(distinct):
        left, base = i % columns, i // columns + 0.78
        x, density = _density(prior)
        window = min(x[0], prior.low), max(x[-1], prior.high)
        at = partial(np.interp, xp=window, fp=(left, left + 0.92))
        low, high = (float(at(end)) for end in (prior.low, prior.high))
        height = base - 0.55 * density / density.max()
        axes.fill_between(at(x), base, height, fc=to_rgba(ACCENT, 0.3), ec=ACCENT, lw=1, clip_on=False)
        axes.fill_between([low, high], base, base - 0.58, color=CONTRAST, alpha=0.15, lw=0)
        axes.text(left, base - 0.62, prior.name.replace("_", " "), fontsize=7.5)
        for end, value in ((low, prior.low), (high, prior.high)):
            label = f"{value:,.6g}".replace("-", "\N{MINUS SIGN}")
            axes.text(end, base + 0.03, label, fontsize=6.5, ha="center", va="top", color=CONTRAST)
    return figure


RUN_FIGURES: dict[str, Drawer[DataTree]] = {
    "fan_total": fan_total,
    "fan_modality": fan_modality,
    "exceedance": exceedance_curves,
    "composition_region": composition_region,
    "composition_depth": composition_depth,
    "adoption": adoption_fans,
    "spend_per_adopter": spend_per_adopter,
    "prior_predictive": prior_predictive,
    "prior_posterior": prior_posterior,
}


def save_figures[T](
    source: T, pset: PriorSet, folder: Path, recipe: str, drawers: Mapping[str, Drawer[T]]
) -> dict[str, Path]:
    """Draw the figures of a run, or of its tables, into `folder` as PNG and SVG; returns the PNGs by name.

    Parameters: `source`, what each of `drawers` takes; `recipe`, the hash that each file carries.
    """
    drawn = {}
    for name, draw in drawers.items():
        with styled():
            figure = draw(source, pset)
        if figure is not None:
            drawn[name] = save_figure(figure, folder / name, recipe)
    return drawn


def save_priors(pset: PriorSet, folder: Path, recipe: str) -> dict[str, Path]:
    """Draw the figure that needs no run; returns its PNG by name."""
    with styled():
        return {"priors": save_figure(prior_ranges(pset), folder / "priors", recipe)}


def _money_by_year(axes: Axes, pset: PriorSet) -> None:
    axes.set_ylim(bottom=0)
    axes.set_xlim(pset.ledger.years[0] - 0.4, pset.ledger.years[-1] + 0.4)
    _years(axes, pset)
    whole_numbers(axes.yaxis)


def _currency(pset: PriorSet) -> str:
    return pset.ledger.report.currency


def _years(axes: Axes, pset: PriorSet) -> None:
    axes.set_xticks(list(pset.ledger.report.anchors))
    axes.set_xticks(list(pset.ledger.years), minor=True)


def _quantities_shown(draws: Dataset, pset: PriorSet) -> Dataset:
    """The quantities that :func:`prior_posterior` shows [chain, draw], by the name it shows."""
    first, last = pset.ledger.years[0], pset.ledger.years[-1]
    out = {
        f"revenue {first}, {_currency(pset)} million": draws["revenue_total"].sel(year=first),
        f"revenue {last}, {_currency(pset)} million": draws["revenue_total"].sel(year=last),
        f"patients {last}": draws["patients"].sel(year=last).sum(["region", "depth"]),
    }
    for modality in pset.ledger.modalities:
        m, label = modality.name, (modality.label or modality.name).split()[0].lower()
        out[f"{_currency(pset)} per {label} patient, {last}"] = draws["price"].sel(modality=m, year=last)
        if modality.uptake == "adoption":
            out[f"{label} adoption {last}"] = draws[pset.own("adoption_mean", modality)].sel(year=last)
        if modality.uptake == "launch":
            out[f"{label} ceiling"] = draws[v.LAUNCH_CEILING].sel(launch=m)
    region = pset.ledger.segments["region"][0]
    by_region = draws["revenue"].sel(year=first).sum(["depth", "modality"])
    out[f"{region} share of revenue {first}"] = by_region.sel(region=region) / by_region.sum("region")
    keep = {k: v.reset_coords(drop=True) for k, v in out.items()}
    return Dataset({k: v.drop_vars([c for c in v.coords if c not in SAMPLE]) for k, v in keep.items()})


def _density(prior: Prior) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values over the middle 99.4 % of a prior, and its density there."""
    probability = np.linspace(0.003, 0.997, 80)
    x = prior.quantile(probability)
    return x, np.gradient(probability, x)
