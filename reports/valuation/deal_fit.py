"""Whether deals fit the report that they are priced on: its currency, its segments and its years."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from postcgrp.priors import InputError, Ledger
from postcgrp.priors.errors import Faults
from postcgrp.priors.lookup import label_of
from postcgrp.reports.valuation.cashflow import year_fraction
from postcgrp.reports.valuation.deal import Deal, unique


def check_deals(deals: Sequence[Deal], ledger: Ledger) -> None:
    """Refuse deals that share a name or do not fit the report. Raises :class:`InputError` with every fault."""
    faults = Faults()
    with faults.caught():
        _raised(lambda: unique([deal.name for deal in deals], "deal"))
    for deal in deals:
        for check in (_check_currency, _check_segments, _check_times):
            with faults.caught(f"{deal.name}: "):
                _raised(partial(check, deal, ledger))
    faults.raise_any()


def _raised(check: Callable[[], None]) -> None:
    """Run a check whose faults are plain ValueErrors. Raises :class:`InputError`."""
    try:
        check()
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from None


def captured_labels(deal: Deal, ledger: Ledger) -> dict[str, list[str]]:
    """The labels of the market's cells that a deal captures, by dimension; it may name them by their aliases."""
    captured = deal.captured
    chosen = {"region": captured.regions, "depth": captured.depths, "modality": captured.modalities}
    return {
        dim: [label_of(ledger, dim, name) for name in chosen[dim] or names] for dim, names in ledger.segments.items()
    }


def _check_currency(deal: Deal, ledger: Ledger) -> None:
    if deal.currency not in (None, ledger.report.currency):
        raise ValueError(
            f"currency = {deal.currency!r}: the report is in {ledger.report.currency!r}: convert the deal's money"
        )


def _check_segments(deal: Deal, ledger: Ledger) -> None:
    fields, faults = {"region": "regions", "depth": "depths", "modality": "modalities"}, Faults()
    for dim, field in fields.items():
        labels = []
        for name in getattr(deal.captured, field):
            with faults.caught(f"captured.{field}: "):
                labels.append(label_of(ledger, dim, name))
        with faults.caught():
            _raised(partial(unique, labels, f"captured.{field}"))
    faults.raise_any()


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
