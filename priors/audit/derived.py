"""Figures worked out from claims: yearly series of revenue, spend per user, patients, adoption and their growth."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from postcgrp.priors.audit.reading import Place, _cells, _ends, _years
from postcgrp.priors.ledger import Claim, Ledger, Modality, middle

MILLION = 1e6


class YearlyFigure(NamedTuple):
    """A yearly figure worked out from claims: its middle, its ends over the stated ranges, and the claims' ids."""

    year: int
    value: float
    low: float
    high: float
    ids: tuple[str, ...]


type Series = list[YearlyFigure]


def _revenue(ledger: Ledger, modality: str) -> Series:
    """Revenue of a modality by year (USD million), derived from the total where it alone is not stated."""
    cells = _cells(ledger, "revenue")
    series = []
    for year in sorted({cell.year for cell in cells if cell.year is not None}):
        own, total = cells.get(Place(year, modality=modality)), cells.get(Place(year))
        others = [cells.get(Place(year, modality=m)) for m in ledger.segments["modality"] if m != modality]
        if own is not None:
            series.append(YearlyFigure(year, middle(own), *_ends(own), (own.id,)))
        elif total is not None and all(others):
            stated = [other for other in others if other is not None]
            value = middle(total) - sum(middle(c) for c in stated)
            low, high = (_ends(total)[side] - sum(_ends(c)[1 - side] for c in stated) for side in (0, 1))
            series.append(YearlyFigure(year, value, low, high, (total.id, *(c.id for c in stated))))
    return series


def _spend_per_user(ledger: Ledger, modality: Modality) -> Series:
    """Spend per user and year of a modality that everyone uses or that has adoption claims; empty for a launch."""
    adoption = _cells(ledger, "adoption")
    series = []
    for revenue in _revenue(ledger, modality.name):
        patients, used = _patients(ledger, revenue.year), adoption.get(Place(revenue.year, modality=modality.name))
        ids: tuple[str, ...] = ()
        if modality.uptake == "everyone":
            share, ends = 1.0, (1.0, 1.0)
        elif modality.uptake == "adoption" and used is not None:
            share, ends, ids = middle(used), _ends(used), (used.id,)
        else:
            continue
        if patients is None or not (patients.value > 0 and ends[0] > 0 and revenue.value > 0):
            continue
        scale = MILLION / patients.value
        figures = (revenue.value / share * scale, revenue.low / ends[1] * scale, revenue.high / ends[0] * scale)
        series.append(YearlyFigure(revenue.year, *figures, (*revenue.ids, *ids, *patients.ids)))
    return series


def _patients(ledger: Ledger, year: int | None, region: str | None = None) -> YearlyFigure | None:
    """The patient count nearest before a year (the first one otherwise), of a region or of all."""
    cells = _cells(ledger, "patients")
    counts: dict[int, list[Claim]] = {}
    for cell, claim in cells.items():
        if cell.year is not None and cell == Place(cell.year, region):
            counts[cell.year] = [claim]
    if region is None:
        for known in {cell.year for cell in cells if cell.year is not None}:
            regions = [cells.get(Place(known, name)) for name in ledger.segments["region"]]
            if known not in counts and all(regions):
                counts[known] = [claim for claim in regions if claim is not None]
    if not counts:
        return None
    before = [known for known in counts if year is not None and known <= year]
    known = max(before) if before else min(counts)
    low, high = (sum(_ends(c)[side] for c in counts[known]) for side in (0, 1))
    return YearlyFigure(known, sum(middle(c) for c in counts[known]), low, high, tuple(c.id for c in counts[known]))


def _adoption_path(ledger: Ledger, claim: Claim) -> Series:
    stated = _years(_cells(ledger, "adoption"), Place(modality=claim.modality))
    return [YearlyFigure(year, middle(c), *_ends(c), (c.id,)) for year, c in stated]


def _mix_path(ledger: Ledger, claim: Claim) -> Series:
    totals = {cell.year: c for cell, c in _cells(ledger, "revenue").items() if cell == Place(cell.year)}
    parts = _revenue(ledger, claim.modality) if claim.modality else []
    series = []
    for part in parts:
        total = totals.get(part.year)
        if total is not None and middle(total) > 0:
            share = part.value / middle(total)
            series.append(YearlyFigure(part.year, share, share, share, tuple(dict.fromkeys((*part.ids, total.id)))))
    return series


def _spend_growth_path(ledger: Ledger, claim: Claim) -> Series:
    modality = next((m for m in ledger.modalities if m.name == claim.modality), None)
    series = _spend_per_user(ledger, modality) if modality else []
    rates = ((a, b, _rate(a.value, b.value, b.year - a.year)) for a, b in pairwise(series))
    return [YearlyFigure(b.year, rate, rate, rate, (*a.ids, *b.ids)) for a, b, rate in rates]


MEASURED: dict[str, Callable[[Ledger, Claim], Series]] = {
    "adoption_trend_direction": _adoption_path,
    "mix_direction": _mix_path,
    "intensity_growth_direction": _spend_growth_path,
}
MEASURED_AS = {
    "adoption_trend_direction": "adoption, middle of the range",
    "mix_direction": "share of revenue",
    "intensity_growth_direction": "yearly growth of spend per user up to the year",
}


def _rate(first: float, last: float, years: int) -> float:
    return float((last / first) ** (1 / years) - 1)


def _ids(series: Series) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for point in series for name in point.ids))
