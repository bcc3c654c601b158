"""Figures worked out from claims: yearly series of revenue, spend per user, patients, adoption and their growth."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from postcgrp.priors.audit.reading import Place, claims_by_place, claims_by_year, ends_of
from postcgrp.priors.catalogue import ASSUMPTIONS, MILLION
from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger import Assumption, Claim, Ledger, Modality, middle
from postcgrp.priors.lookup import anchors, assumption, eligible


class YearlyFigure(NamedTuple):
    """A yearly figure worked out from claims: its middle, its ends over the stated ranges, and the claims' ids."""

    year: int
    value: float
    low: float
    high: float
    ids: tuple[str, ...]


type Series = list[YearlyFigure]


def revenue_by_year(ledger: Ledger, modality: str) -> Series:
    """Returns the revenue of a modality by year (million), from the total if it is the only one not stated."""
    cells = claims_by_place(ledger, "revenue")
    series = []
    for year in sorted({cell.year for cell in cells if cell.year is not None}):
        part, total = cells.get(Place(year, modality=modality)), cells.get(Place(year))
        others = [cells.get(Place(year, modality=m)) for m in ledger.segments["modality"] if m != modality]
        if part is not None:
            series.append(YearlyFigure(year, middle(part), *ends_of(part), (part.id,)))
        elif total is not None and all(others):
            stated = [other for other in others if other is not None]
            value = middle(total) - sum(middle(c) for c in stated)
            low, high = (ends_of(total)[side] - sum(ends_of(c)[1 - side] for c in stated) for side in (0, 1))
            series.append(YearlyFigure(year, value, low, high, (total.id, *(c.id for c in stated))))
    return series


def spend_per_user(ledger: Ledger, modality: Modality) -> Series:
    """Returns the spend per user and year of a modality that is not launched later; empty for one that is."""
    adoption = claims_by_place(ledger, "adoption")
    series = []
    for revenue in revenue_by_year(ledger, modality.name):
        patients, used = patients_near(ledger, revenue.year), adoption.get(Place(revenue.year, modality=modality.name))
        ids: tuple[str, ...] = ()
        if modality.uptake == "everyone":
            share, ends = 1.0, (1.0, 1.0)
        elif modality.uptake == "adoption" and used is not None:
            share, ends, ids = middle(used), ends_of(used), (used.id,)
        else:
            continue
        if patients is None or not (patients.value > 0 and ends[0] > 0 and revenue.value > 0):
            continue
        scale = MILLION / patients.value
        figures = (revenue.value / share * scale, revenue.low / ends[1] * scale, revenue.high / ends[0] * scale)
        series.append(YearlyFigure(revenue.year, *figures, (*revenue.ids, *ids, *patients.ids)))
    return series


def patients_near(ledger: Ledger, year: int | None, region: str | None = None) -> YearlyFigure | None:
    """Returns the last patient count up to a year, else the first one; of a region or of all."""
    cells = claims_by_place(ledger, "patients")
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
    low, high = (sum(ends_of(c)[side] for c in counts[known]) for side in (0, 1))
    return YearlyFigure(known, sum(middle(c) for c in counts[known]), low, high, tuple(c.id for c in counts[known]))


def launched_users(ledger: Ledger) -> dict[int, float]:
    """Returns patients with a launched procedure by year, fraction of all, as the report's figures see it.

    At the medians of what is assumed of a launch, from the vendor's launch year. An illustration: empty if the ledger
    lacks an assumption that it takes.
    """
    claims = claims_by_place(ledger, "depth_share").values()
    shares = {claim.depth: middle(claim) for claim in claims if claim.role == "prior"}
    depths = ledger.segments["depth"]
    users: dict[int, float] = {}
    if not set(depths) <= set(shares):
        return {}
    try:
        for modality in (m for m in ledger.modalities if m.uptake == "launch"):
            able = zip(depths, eligible(ledger, modality.name), strict=True)
            reached = sum(shares[depth] * share for depth, share in able)
            start, speed, ceiling = (
                _median(assumption(ledger, name, {"modality": modality.name}))
                for name in ("vendor_launch_year", "launch_speed", "launch_ceiling")
            )
            for year in anchors(ledger, modality):
                risen = 1 - 2 ** -((max(year + 0.5 - start, 0.0) / speed) ** 2)
                users[year] = users.get(year, 0.0) + reached * ceiling * risen
    except InputError:
        return {}
    return users


def _median(row: Assumption) -> float:
    """Returns the median of what a row assumes, worked out without the prior, which would take SciPy."""
    if row.value is not None or row.low is None or row.high is None:
        return middle(row)
    match ASSUMPTIONS[row.id].family:
        case "lognormal":
            return float((row.low * row.high) ** 0.5)
        case "logitnormal" if 0 < row.low < row.high < 1:
            both = (odds(row.low) * odds(row.high)) ** 0.5
            return float(both / (1 + both))
    return middle(row)


def _adoption_path(ledger: Ledger, claim: Claim) -> Series:
    stated = claims_by_year(claims_by_place(ledger, "adoption"), Place(modality=claim.modality))
    return [YearlyFigure(year, middle(c), *ends_of(c), (c.id,)) for year, c in stated]


def _mix_path(ledger: Ledger, claim: Claim) -> Series:
    totals = {cell.year: c for cell, c in claims_by_place(ledger, "revenue").items() if cell == Place(cell.year)}
    parts = revenue_by_year(ledger, claim.modality) if claim.modality else []
    series = []
    for part in parts:
        total = totals.get(part.year)
        if total is not None and middle(total) > 0:
            share = part.value / middle(total)
            series.append(YearlyFigure(part.year, share, share, share, tuple(dict.fromkeys((*part.ids, total.id)))))
    return series


def _spend_growth_path(ledger: Ledger, claim: Claim) -> Series:
    modality = next((m for m in ledger.modalities if m.name == claim.modality), None)
    series = spend_per_user(ledger, modality) if modality else []
    rates = ((a, b, yearly_rate(a.value, b.value, b.year - a.year)) for a, b in pairwise(series))
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


def odds(share: float) -> float:
    """Returns the odds of a share inside 0..1."""
    return share / (1 - share)


def yearly_rate(first: float, last: float, years: int) -> float:
    """Returns the constant yearly growth between two figures, as a fraction."""
    return float((last / first) ** (1 / years) - 1)


def ids_of(series: Series) -> tuple[str, ...]:
    """Returns the ids of the claims that a series rests on, each once."""
    return tuple(dict.fromkeys(name for point in series for name in point.ids))
