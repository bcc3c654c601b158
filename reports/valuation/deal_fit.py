"""Whether deals fit the report that they are priced on: its currency, its segments and its years."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from postcgrp.priors import InputError, Ledger
from postcgrp.reports.valuation.cashflow import year_fraction
from postcgrp.reports.valuation.deal import Deal, unique


def check_deals(deals: Sequence[Deal], ledger: Ledger) -> None:
    """Refuse deals that share a name or do not fit the report. Raises :class:`InputError`."""
    try:
        unique([deal.name for deal in deals], "deal")
    except ValueError as error:
        raise InputError(str(error)) from None
    for deal in deals:
        try:
            _check_segments(deal, ledger)
            _check_times(deal, ledger)
        except ValueError as error:
            raise InputError(f"{deal.name}: {error}") from None


def captured_labels(deal: Deal, ledger: Ledger) -> dict[str, list[str]]:
    """The labels of the market's cells that a deal captures, by dimension."""
    captured = deal.captured
    chosen = {"region": captured.regions, "depth": captured.depths, "modality": captured.modalities}
    if captured.lines:
        chosen["modality"] = tuple(dict.fromkeys(line.modality for line in ledger.lines if line.name in captured.lines))
    return {dim: list(chosen[dim] or names) for dim, names in ledger.segments.items()}


def captured_units(deal: Deal, ledger: Ledger) -> list[str]:
    """The lines that a deal captures, and the modalities without lines."""
    if deal.captured.lines:
        return list(deal.captured.lines)
    captured = captured_labels(deal, ledger)["modality"]
    return [unit for m in captured for unit in ([line.name for line in ledger.lines_of(m)] or [m])]


def _check_segments(deal: Deal, ledger: Ledger) -> None:
    if deal.currency not in (None, ledger.report.currency):
        raise ValueError(
            f"currency = {deal.currency!r}: the report is in {ledger.report.currency!r}: convert the deal's money"
        )
    if deal.captured.lines and not ledger.lines:
        raise ValueError("captured.lines: the report has no lines: name modalities instead")
    parts = {
        "regions": ledger.regions,
        "depths": ledger.depths,
        "modalities": ledger.modalities,
        "lines": ledger.lines,
    }
    for field, segments in parts.items():
        chosen, names = getattr(deal.captured, field), [s.name for s in segments]
        unique(list(chosen), f"captured.{field}")
        also = {other.casefold(): s.name for s in segments for other in (*s.aliases, s.label or s.name, s.name)}
        for name in chosen:
            if name not in names:
                near = get_close_matches(name.strip().casefold(), also, 1)
                way_out = f"write {also[near[0]]!r}" if near else f"use one of {', '.join(names)}"
                raise ValueError(f"captured.{field}: {name!r} is not in the report: {way_out}")


def _check_times(deal: Deal, ledger: Ledger) -> None:
    first, last, captured = ledger.report.first_year, ledger.report.last_year, deal.captured
    valued = deal.discounting.valuation_date
    if not first <= valued.year <= last:
        raise ValueError(f"discounting.valuation_date = {valued}: is outside the run's {first}..{last}: move it inside")
    launch = float(captured.launch_year.quantile(0.5))
    if launch >= last + 1:
        raise ValueError(
            f"captured.launch_year = {captured.launch_year}: is after the run's last year {last}, so that no sale "
            "would be counted: launch earlier"
        )
    if (lost := captured.loss_of_exclusivity) is not None and not launch <= float(lost.quantile(0.5)) < last + 1:
        raise ValueError(
            f"captured.loss_of_exclusivity = {lost}: is before launch_year = {captured.launch_year} or after the run's "
            f"last year {last}: correct it, or leave it out"
        )
    clock = year_fraction(valued)
    for phase in deal.phases:
        clock = max(clock, float(phase.start.quantile(0.5))) if phase.start else clock
        clock += float(phase.duration.quantile(0.5))
    if clock >= last + 1:
        raise ValueError(
            f"risk.phase: the phases end in {clock:.1f}, so that the launch is after the run's last year {last}: "
            "shorten a duration"
        )
    for cost in deal.economics.cost:
        if cost.from_year is not None and not valued.year <= cost.from_year <= last:
            raise ValueError(
                f"economics.cost.{cost.name}: from_year = {cost.from_year}: is outside {valued.year} (valuation) to "
                f"{last}: what was spent before is sunk, what comes later is beyond the run: leave it out"
            )
