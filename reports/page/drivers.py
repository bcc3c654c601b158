"""One slider for each driver: what the model finds where the slider stops, each stop evaluated for this page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xarray import Dataset

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.models import variables as v
from postcgrp.priors import Ledger
from postcgrp.priors.drivers import BY_YEAR, DRIVERS, Operation, driver_labels
from postcgrp.priors.scenarios import Scenario, Setting, plan
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.page.market import segment_labels
from postcgrp.reports.scenarios.market import WhatIf
from postcgrp.reports.scenarios.tables import ScenarioDraws, compared

Array = NDArray[np.float64]

AS_DRAWN_LABEL = "as it is"
MOST_SLIDERS = 16  # of a market with many launches: those of the ledger's first, the others are named
DIGITS = 7  # significant, of each figure that the page carries
FIGURES = {  # what is carried of a stop, by year
    "q05": "low_90",
    "q25": "low_50",
    "q50": "median",
    "q75": "high_50",
    "q95": "high_90",
    "d05": "difference_low_90",
    "d50": "difference_median",
    "mean": "difference_mean",
    "d95": "difference_high_90",
    "above": "p_above",
    "below": "p_below",
}


@dataclass(frozen=True)
class Stop:
    """Where a slider stops: what it is called there, and the rows of a scenario; none where nothing is moved."""

    label: str
    rows: tuple[Setting, ...] = ()


@dataclass(frozen=True)
class Slider:
    """A driver of a part of the market: `note` says of which part and from when; `stops` in order."""

    key: str
    label: str
    note: str
    stops: tuple[Stop, ...]

    @property
    def base(self) -> int:
        """The stop at which nothing is moved."""
        return next(k for k, stop in enumerate(self.stops) if not stop.rows)


# The stops of a driver, beside the one at which it is as drawn. The numbers are questions, not beliefs.
_FACTORS = (0.25, 0.5, 0.75, 1.25, 1.5)
_STAY = (0.8, 0.9, 1.1, 1.2)
_POINTS = (-0.02, -0.01, 0.01, 0.02)
_YEARS = (-4.0, -2.0, 2.0, 4.0)
_CHANCES = (0.0, 0.25, 0.5, 0.75, 1.0)


def driver_sliders(market: WhatIf, shown: Sequence[Slider]) -> list[dict[str, Any]]:
    """Sliders of a run's market with the total's figures at their stops.

    Each is a dict: `key`, `label`, `note`, `base` (the number of the stop as drawn) and `stops`, each with its `label`
    and lists by year: quantiles of the total (`q05` to `q95`), of its paired difference from the run as it is (`d05`,
    `d50`, `d95`) and its `mean`, and the chances of more and of less than there in the same draw (`above`, `below`).
    """
    ledger = market.run.priors.ledger
    base = _totals(market.run.read([v.REVENUE_TOTAL]), ledger)
    return [
        {
            "key": slider.key,
            "label": slider.label,
            "note": slider.note,
            "base": slider.base,
            "stops": [{"label": stop.label, **_figures(market, base, stop)} for stop in slider.stops],
        }
        for slider in shown
    ]


def sliders(market: WhatIf) -> list[Slider]:
    """The sliders of a market, each with at least one stop beside that of the run as it is."""
    made = [*_paths(market), *_exclusivity(market), *_launches(market)]
    return [slider for slider in made if len(slider.stops) > 1]


def _figures(market: WhatIf, base: ScenarioDraws, stop: Stop) -> dict[str, list[float]]:
    ledger = market.run.priors.ledger
    asked = Scenario(name=stop.label, says=stop.label).model_copy(update={"settings": stop.rows})
    there = base if not stop.rows else _totals(market.under(plan(ledger, asked)), ledger)
    table = compared(stop.label, base, [(1.0, there)])
    return {name: [float(f"{x:.{DIGITS}g}") for x in table[column]] for name, column in FIGURES.items()}


def _totals(data: Dataset, ledger: Ledger) -> ScenarioDraws:
    draws = data[v.REVENUE_TOTAL].transpose(*SAMPLE, BY_YEAR).values
    return ScenarioDraws(pd.DataFrame({BY_YEAR: list(ledger.years)}), draws.reshape(-1, draws.shape[-1]))


# ---- drivers with a path by year -----------------------------------------------------------------------------------


def _paths(market: WhatIf) -> Iterator[Slider]:
    """Payer blocking, growth of the pool and persistence, from the second year on."""
    yield from _path(market, "payer_block", "Payer blocking", "factor", _FACTORS)
    yield from _path(market, "pool_growth", "Growth of the pool", "shift", _POINTS)
    yield from _path(market, "persistence", "Persistence on a line", "factor", _STAY)


def _path(market: WhatIf, name: str, label: str, operation: Operation, numbers: Sequence[float]) -> Iterator[Slider]:
    """A driver moved alike wherever every stop keeps it within its bounds."""
    ledger = market.run.priors.ledger
    labels = driver_labels(ledger, name)
    if not labels or len(ledger.years) < 2:  # noqa: PLR2004  a path begins after the first year
        return
    *_, dim = labels
    level = market.factual.level(name)
    fits = _fitting(level, name, operation, numbers)
    parts = [str(part) for part, fit in zip(labels[dim], fits, strict=True) if fit]
    left = [str(part) for part, fit in zip(labels[dim], fits, strict=True) if not fit]
    since = ledger.years[1]
    words = segment_labels(ledger)
    now = level[:, :, -1][..., fits]

    def stop(number: float) -> Stop:
        rows = [Setting.model_validate({"driver": name, dim: part, "from": since, operation: number}) for part in parts]
        after = now * number if operation == "factor" else now + number
        change = f"× {number:g}" if operation == "factor" else f"{_signed(100 * number)} % points a year"
        return Stop(f"{change} ({_percent(after)})", tuple(rows))

    if parts:
        but = f", not of {', '.join(words.get(part, part) for part in left)} (too near their limits)" if left else ""
        yield Slider(
            name,
            label,
            f"from {since} on{but}",
            _around(map(stop, numbers), numbers, 1.0 if operation == "factor" else 0.0, _percent(now)),
        )


def _fitting(level: Array, name: str, operation: Operation, numbers: Sequence[float]) -> NDArray[np.bool_]:
    """For which labels of a driver's last dim every number keeps every draw strictly within its bounds."""
    driver = DRIVERS[name]
    flat = level.reshape(-1, level.shape[-1])
    ends = [
        end * number if operation == "factor" else end + number
        for end in (flat.min(axis=0), flat.max(axis=0))
        for number in (min(numbers), max(numbers))
    ]
    return np.all([(driver.least < end) & (end < driver.most) for end in ends], axis=0)


def _around(stops: Iterator[Stop], numbers: Sequence[float], middle: float, level: str) -> tuple[Stop, ...]:
    """Stops in order, with that of the run as it is where its number belongs."""
    pairs = [*zip(numbers, stops, strict=True), (middle, Stop(f"{AS_DRAWN_LABEL} ({level})"))]
    return tuple(stop for _, stop in sorted(pairs, key=lambda pair: pair[0]))


# ---- dates and chances ---------------------------------------------------------------------------------------------


def _exclusivity(market: WhatIf) -> Iterator[Slider]:
    """Loss of exclusivity of every line that has any, so many years earlier or later."""
    ledger = market.run.priors.ledger
    if driver_labels(ledger, "exclusivity_year"):
        level = market.factual.level("exclusivity_year")

        def stop(years: float) -> Stop:
            row = Setting(driver="exclusivity_year", shift=years)
            return Stop(f"{_later(years)} ({np.median(level + years):.0f})", (row,))

        stops = _around(map(stop, _YEARS), _YEARS, 0.0, f"{np.median(level):.0f}")
        note = "of every line, in every region"
        yield Slider("exclusivity_year", "Loss of exclusivity", note, stops)


def _launches(market: WhatIf) -> Iterator[Slider]:
    """When each launch comes, and how likely it does."""
    ledger = market.run.priors.ledger
    labels = driver_labels(ledger, "launch_year")
    words = segment_labels(ledger)
    for k, name in enumerate(map(str, labels.get("launch", ()))):
        part = {"modality" if name in ledger.segments["modality"] else "line": name}
        called = words.get(name, name)
        yield _launch_year(market, k, Slider(f"launch_year {name}", f"Launch of {called}", "", ()), part)
        if not market.factual.certain[k]:
            level = market.factual.level("success_probability")[..., k]
            asked = {"driver": "success_probability", **part}
            rows = [(p, Setting.model_validate({**asked, "value": p})) for p in _CHANCES]
            stops = (Stop(f"{100 * p:g} %", (row,)) for p, row in rows)
            middle = float(np.median(level))
            placed = _around(stops, _CHANCES, middle, _percent(level))
            yield Slider(f"success_probability {name}", f"Chance that {called} comes", "", placed)


def _launch_year(market: WhatIf, k: int, slider: Slider, part: dict[str, str]) -> Slider:
    """A launch at a date for certain: so many years from the median in each region, as far as the window goes."""
    ledger = market.run.priors.ledger
    regions = ledger.segments["region"]
    middle = np.median(market.factual.level("launch_year")[..., k], axis=(0, 1))
    fitting = [years for years in _YEARS if ledger.years[0] <= (middle + years).min()]

    def stop(years: float) -> Stop:
        dates = zip(regions, middle + years, strict=True)
        asked = {"driver": "launch_year", **part}
        rows = [Setting.model_validate({**asked, "region": str(region), "value": float(at)}) for region, at in dates]
        return Stop(f"{_later(years)} ({_span(middle + years)})", tuple(rows))

    note = "from each region's median, and then for certain"
    return replace(slider, note=note, stops=_around(map(stop, fitting), fitting, 0.0, _span(middle)))


def _span(years: Array) -> str:
    first, last = f"{years.min():.0f}", f"{years.max():.0f}"
    return first if first == last else f"{first} to {last}"


def _later(years: float) -> str:
    return f"{abs(years):g} years {'later' if years > 0 else 'earlier'}"


def _percent(level: Array) -> str:
    return f"{short(100 * float(np.median(level)), 2)} %".replace("-", "\u2212")


def _signed(number: float) -> str:
    return f"{number:+g}".replace("-", "\u2212")
