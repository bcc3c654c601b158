"""One deal on every joint draw: from the market and the deal's inputs to cash flows, for each way it can end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.priors import InputError, Ledger
from postcgrp.priors.catalogue import MILLION
from postcgrp.reports.valuation import cashflow
from postcgrp.reports.valuation.cashflow import Array
from postcgrp.reports.valuation.deal import APPROVAL, LAUNCH, Deal, Tier
from postcgrp.reports.valuation.deal_fit import captured_labels

OF_MARKET = (
    "revenue",
    "use",
    "patients",
    "revenue_line",
    "use_line",
    "success",
)  # the variables that deals are priced on
Inputs = Mapping[str, Array]  # of every path of the deal [draw]


CAPTURED = ("revenue", "patients", "treated")


@dataclass(frozen=True)
class Market:
    """What a deal captures of each draw: `revenue` (million), `patients` and `treated` of its cells [draw, year].

    `sample` is the shape (chain, draw) behind the draws.
    """

    years: Array
    revenue: Array
    patients: Array
    treated: Array
    sample: tuple[int, int]

    def since(self, year: int) -> Market:
        """The same from a year on."""
        kept = self.years >= year
        cut = {name: getattr(self, name)[:, kept] for name in CAPTURED}
        return replace(self, years=self.years[kept], **cut)


@dataclass(frozen=True)
class Outcomes:
    """A deal's money in each way it can end: every phase in turn fails, or (last) all are taken. In millions.

    `probability` [draw, outcome]; `flows` [draw, outcome, year], after tax and without the upfront; `upfront` [draw];
    `terminal` [draw], present value of what lies beyond the window when approved; `npv` [draw, outcome]; `sales`
    [draw, year], net sales when approved, and `share` [draw, year] of the captured cells, both at a yearly rate (the
    valuation's own year is cut short); `launch` [draw], the time of launch; `years` [year], from the valuation on;
    `times` [year], from the valuation to each year's flow.
    """

    probability: Array
    flows: Array
    upfront: Array
    terminal: Array
    npv: Array
    sales: Array
    share: Array
    launch: Array
    years: Array
    times: Array


def market(posterior: Dataset, deal: Deal, ledger: Ledger) -> Market:
    """The captured cells of a run, summed on each draw (draws in the order chain, then draw).

    A deal with phases carries the risk of its own launch, see :func:`launches_of`: in a draw in which that fails, a
    draw in which it succeeds stands in, see :func:`stand_ins`. Parameters: `posterior`, with the variables `OF_MARKET`.
    Raises :class:`InputError` if the launch succeeds in no draw.
    """
    where = captured_labels(deal, ledger)
    segment = {dim: where[dim] for dim in ("region", "depth")}
    patients = posterior["patients"].sel(segment)
    if lines := list(deal.captured.lines):
        of = {line.name: line.modality for line in ledger.lines}
        modality = DataArray([of[line] for line in lines], {"line": lines}, "line")
        use = posterior["use"].sel({**segment, "modality": modality}).drop_vars("modality")
        treated = patients * use * posterior["use_line"].sel({**segment, "line": lines})
        revenue = posterior["revenue_line"].sel({**segment, "line": lines})
    else:
        treated, revenue = patients * posterior["use"].sel(where), posterior["revenue"].sel(where)

    def flat(array: object) -> Array:
        summed = array.sum([d for d in array.dims if d in (*where, "line")])  # type: ignore[attr-defined]
        return np.asarray(summed.stack(s=SAMPLE).transpose("s", "year").values, dtype=float)

    sample = (posterior.sizes["chain"], posterior.sizes["draw"])
    seen = Market(posterior["year"].values.astype(float), flat(revenue), flat(patients), flat(treated), sample)
    if launches := launches_of(deal, ledger):
        succeeds = posterior["success"].sel(launch=launches).min("launch").transpose(*SAMPLE).values.ravel() > 0
        if not succeeds.any():
            raise InputError(f"{deal.name}: the launch of {' and '.join(launches)} succeeds in no draw: run longer")
        kept = stand_ins(succeeds, seen.patients.sum(axis=1))
        seen = replace(seen, **{name: getattr(seen, name)[kept] for name in CAPTURED})
    return seen


def stand_ins(succeeds: NDArray[np.bool_], patients: Array) -> NDArray[np.intp]:
    """Which draw's market each draw gets [draw]: its own where the launch succeeds, else that of one where it does.

    Draws keep their numbers, for whatever else is read of them, and a stand-in has as many patients by rank: success
    does not depend on patients, so both kinds of draws have them alike. Parameters: `succeeds` and `patients` [draw].
    """
    at, failed, came = np.arange(succeeds.size), np.flatnonzero(~succeeds), np.flatnonzero(succeeds)
    ranks = ((np.arange(failed.size) + 0.5) * came.size / max(failed.size, 1)).astype(int)
    by_size = (draws[np.argsort(patients[draws], kind="stable")] for draws in (failed, came))
    smallest_failed, smallest_came = by_size
    at[smallest_failed] = smallest_came[ranks]
    return at


def launches_of(deal: Deal, ledger: Ledger) -> list[str]:
    """The launches whose success a deal's own phases stand for: what it captures and what is not on the market yet.

    Its product would be the launch, or part of it: given the deal's success the launch has succeeded, and the market's
    own chance of failure must not be counted beside the deal's.
    """
    if not deal.phases:
        return []
    launched = {m.name for m in ledger.modalities if m.uptake == "launch"}
    pipeline = {line.name for line in ledger.lines if line.stage == "pipeline"} & set(deal.captured.lines)
    captured = captured_labels(deal, ledger)["modality"]
    return [*(m for m in captured if m in launched), *sorted(pipeline)]


def outcomes(deal: Deal, seen: Market, x: Inputs) -> Outcomes:
    """Price a deal in each way it can end (formulae: docs/value.md).

    Parameters: `seen`, the market's draws; `x`, a value of every input on every draw, by its path.
    Raises :class:`InputError` where a perpetuity has no value.
    """
    day, economics = deal.discounting.valuation_date, deal.economics
    valued, seen = cashflow.year_fraction(day), seen.since(day.year)
    start, end = _phases(deal, x, valued)
    launch = np.maximum(x["captured.launch_year"], end[-1]) if deal.phases else x["captured.launch_year"]
    lower, upper = np.maximum(seen.years, valued), seen.years + 1
    part = upper - lower  # of each year that lies after the valuation
    share = _share(deal, x, launch, lower, upper) / part
    spent = seen.revenue if deal.captured.price is None else seen.treated * x["captured.price"][:, None] / MILLION
    sales = spent * share * x["captured.net"][:, None]

    last, stages = len(deal.phases), [phase.name for phase in deal.phases]
    approved = np.arange(last + 1) == last
    income = _income(deal, x, sales) * part
    profit = np.where(approved[:, None], income[:, None, :], 0.0)
    for cost in economics.cost:
        begun = _begun(cost.stage, cost.from_year, stages, start, launch)
        amounts = np.stack([x[f"economics.cost.{cost.name}.by_year[{k + 1}]"] for k in range(len(cost.by_year))], -1)
        paid = cashflow.steps(upper - begun[:, None], amounts) - cashflow.steps(lower - begun[:, None], amounts)
        profit = profit - _reached(cost.stage, stages)[:, None] * paid[:, None, :]
    recurring = profit[:, -1, -1]
    for milestone in economics.milestone:
        amount = x[f"economics.milestone.{milestone.name}.amount"] * (1 if milestone.received else -1)
        if milestone.on is None:
            level = x[f"economics.milestone.{milestone.name}.net_sales_above"][:, None]
            above = sales >= level
            paid, taken = np.where(above & (np.cumsum(above, axis=1) == 1), amount[:, None], 0.0), approved
        else:
            phase = last - 1 if milestone.on == APPROVAL else stages.index(milestone.on)
            paid, taken = cashflow.at_year(end[phase], amount, seen.years), np.arange(last + 1) > phase
        profit = profit + taken[:, None] * paid[:, None, :]

    tax_rate = x["economics.tax_rate"][:, None]
    limit = x["economics.loss_limit"][:, None]
    tax = cashflow.taxes(profit, np.broadcast_to(tax_rate, profit.shape[:2]), economics.losses, limit)
    going_on = deal.terminal is not None and deal.terminal.growth is not None
    tied = cashflow.tied_up(sales, x["economics.working_capital"], released=not going_on)
    flows = profit - tax - approved[:, None] * tied[:, None, :]

    rate = x["discounting.rate"]
    times = cashflow.due(
        [int(y) for y in seen.years],
        day,
        deal.discounting.convention,
        deal.discounting.day_count,
    )
    beyond = _terminal(deal, x, recurring / part[-1], sales[:, -1]) * (1 + rate) ** -times[-1]
    value = (
        cashflow.present_value(flows, rate[:, None], times)
        - x["economics.upfront"][:, None]
        + approved * beyond[:, None]
    )
    return Outcomes(
        _probability(deal, x), flows, x["economics.upfront"], beyond, value, sales, share, launch, seen.years, times
    )


def _phases(deal: Deal, x: Inputs, valued: float) -> tuple[list[Array], list[Array]]:
    """Start and end of each phase [draw]: one after the other, from the valuation on."""
    clock, starts, ends = np.full_like(x["captured.launch_year"], valued), [], []
    for phase in deal.phases:
        here = f"risk.phase.{phase.name}"
        starts.append(np.maximum(clock, x[f"{here}.start"]) if phase.start else clock)
        ends.append(starts[-1] + x[f"{here}.duration"])
        clock = ends[-1]
    return starts, ends


def _probability(deal: Deal, x: Inputs) -> Array:
    """Probability of each outcome [draw, outcome]: phase k fails after all before it were taken; last, all are."""
    taken, out = np.ones_like(x["captured.launch_year"]), []
    for phase in deal.phases:
        p = x[f"risk.phase.{phase.name}.probability"]
        out.append(taken * (1 - p))
        taken = taken * p
    return np.stack([*out, taken], axis=-1)


def _share(deal: Deal, x: Inputs, launch: Array, lower: Array, upper: Array) -> Array:
    """Share of each year's market after the valuation [draw, year]: the exact integral of ramp and loss."""
    begun, rising = launch[:, None], x["captured.ramp_years"][:, None]

    def grown(until: Array) -> Array:
        return cashflow.ramp(until - begun, rising)

    held = grown(upper) - grown(lower)
    if deal.captured.loss_of_exclusivity is not None:
        lost = x["captured.loss_of_exclusivity"][:, None]
        after = grown(upper) - grown(np.clip(lost, lower, upper))
        held = held - (1 - x["captured.share_kept"][:, None]) * after
    return np.asarray(x["captured.peak_share"][:, None] * held)


def _income(deal: Deal, x: Inputs, sales: Array) -> Array:
    """The holder's income [draw, year] on yearly net sales, before costs."""
    economics = deal.economics

    def owed(what: str, tiers: tuple[Tier, ...]) -> Array:
        here = [f"economics.{what}[{k + 1}]" for k in range(len(tiers))]
        return cashflow.tiered(sales, [x[f"{h}.above"] for h in here], [x[f"{h}.rate"] for h in here])

    earned = owed("royalty", economics.royalty) if economics.royalty else x["economics.margin"][:, None] * sales
    return earned - owed("royalty_paid", economics.royalty_paid)


def _begun(stage: str | None, from_year: int | None, stages: list[str], start: list[Array], launch: Array) -> Array:
    if from_year is not None:
        return np.full_like(launch, from_year)
    return launch if stage == LAUNCH or stage is None else start[stages.index(stage)]


def _reached(stage: str | None, stages: list[str]) -> Array:
    """Whether each outcome comes to a stage [outcome]."""
    ended = np.arange(len(stages) + 1)
    if stage is None:
        return np.ones(len(ended))
    return (ended >= (len(stages) if stage == LAUNCH else stages.index(stage))).astype(float)


def _terminal(deal: Deal, x: Inputs, recurring: Array, sales: Array) -> Array:
    """Value at the time of the last year's flow of what lies beyond it, when approved [draw]; never below zero."""
    terminal = deal.terminal
    if terminal is None:
        return np.zeros_like(recurring)
    flow = recurring * (1 - x["economics.tax_rate"])
    if terminal.multiple is not None:
        return np.maximum(flow, 0) * x["terminal.multiple"]
    growth, rate = x["terminal.growth"], x["discounting.rate"]
    if terminal.years is None and (bad := growth >= rate).any():
        raise InputError(
            f"{deal.name}: terminal.growth = {terminal.growth}: is not below discounting.rate = "
            f"{deal.discounting.rate} in {bad.mean():.0%} of the draws: a perpetuity then has no value: lower it, or "
            "give `years`"
        )
    tied, years = x["economics.working_capital"] * sales, None if terminal.years is None else x["terminal.years"]
    freed = 0.0 if years is None else tied * ((1 + growth) / (1 + rate)) ** years  # when the last of them ends
    return np.maximum(cashflow.perpetuity(flow - tied * growth / (1 + growth), rate, growth, years) + freed, 0)
