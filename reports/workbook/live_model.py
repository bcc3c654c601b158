"""The workbook's live model in NumPy: a deal whose inputs are plain numbers, as cells hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from postcgrp.priors import InputError, Ledger
from postcgrp.reports.valuation import cashflow
from postcgrp.reports.valuation.cashflow import Array
from postcgrp.reports.valuation.deal import Deal, Tier, read_deal
from postcgrp.reports.valuation.deal_fit import captured_labels
from postcgrp.reports.valuation.pricing import Inputs, Market, outcomes

PATH_LEVELS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)  # quantiles of the percentile paths
TERMINAL_GROWTH, TERMINAL_MULTIPLE, TERMINAL_NONE = "growth", "multiple", "none"
SAME_RATE = 1e-9  # up to this difference a rate and a growth are the same, as in `cashflow.perpetuity`


@dataclass(frozen=True)
class CapturedSegment:
    """A part of the market with a column per year: a modality in a region; `weight`, how much of it is captured."""

    modality: str
    region: str
    depths: tuple[str, ...]
    weight: float


@dataclass(frozen=True)
class LiveModel:
    """The live model's inputs.

    Attributes: `x`, single inputs by the name of their cell; `tiers` (level, rate), what the part of yearly net sales
    above a level earns; `phases` (name, probability); `costs` and `milestones` paid [end, year], in millions, in each
    way to end: a phase fails, in order, or (last) all succeed.
    """

    deal: Deal
    years: tuple[int, ...]
    x: Mapping[str, Any]
    tiers: tuple[tuple[float, float], ...]
    phases: tuple[tuple[str, float], ...]
    costs: Array
    milestones: Array

    @property
    def probability(self) -> Array:
        """The probability of each way to end [end]."""
        taken = np.cumprod([1.0, *(p for _, p in self.phases)])
        failed = [before * (1 - p) for before, (_, p) in zip(taken, self.phases, strict=False)]
        return np.array([*failed, taken[-1]])


@dataclass(frozen=True)
class Timeline:
    """What the inputs mean for each year [year].

    Attributes: `lower` and `upper`, between which the year counts, and `part`, the length of that; `begun`, `grown` and
    `lost`, the ramp's integral up to `lower`, `upper` and the loss of exclusivity; `share`, net sales per unit of
    captured revenue; `times`, years to the flow, and its `discount` factor; `kept`, whether working capital stays tied
    up.
    """

    lower: Array
    upper: Array
    part: Array
    begun: Array
    grown: Array
    lost: Array
    share: Array
    times: Array
    discount: Array
    kept: Array


@dataclass(frozen=True)
class CashRows:
    """Money in one way to end, in millions: yearly net `sales`, `profit`, `losses` carried forward and `flow`
    [row, year]; `terminal`, value at the last flow of what lies beyond, and `npv` [row].
    """  # noqa: D205

    sales: Array
    profit: Array
    losses: Array
    flow: Array
    terminal: Array
    npv: Array


def neutral(ledger: Ledger) -> Deal:
    """The deal that stands in for none: all of the market's revenue at 10 % a year, for the user to change."""
    source = "neutral until you type your own: the value is then the present value of the market's revenue"
    return read_deal(
        {
            "schema": 1,
            "name": "No deal",
            "captured": {"peak_share": 1.0, "launch_year": ledger.report.first_year},
            "economics": {"margin": 1.0},
            "discounting": {"rate": 0.1, "valuation_date": f"{ledger.report.first_year}-01-01"},
            "sources": {
                "captured.peak_share": source,
                "captured.launch_year": source,
                "economics.margin": source,
                "discounting.rate": "assumption, to be replaced",
            },
        }
    )


def segments(ledger: Ledger, deal: Deal) -> tuple[CapturedSegment, ...]:
    """The market cut by modality and region, and by depth if the deal captures some depths only."""
    if deal.captured.lines:
        raise InputError(
            f"{deal.name}: captured.lines: a live workbook works by modality: name modalities, or use postcgrp value"
        )
    where, depths = captured_labels(deal, ledger), ledger.segments["depth"]
    out = []
    for modality, region in product(ledger.segments["modality"], ledger.segments["region"]):
        if modality not in where["modality"] or region not in where["region"]:
            out.append(CapturedSegment(modality, region, depths, 0.0))
            continue
        out.append(CapturedSegment(modality, region, tuple(d for d in depths if d in where["depth"]), 1.0))
        if rest := tuple(d for d in depths if d not in where["depth"]):
            out.append(CapturedSegment(modality, region, rest, 0.0))
    return tuple(out)


def plain_numbers(deal: Deal, drawn: Inputs) -> dict[str, float]:
    """Every input of a deal by path, as the number stated or the mean of its draws."""
    return {
        path: stated.parameters["value"] if stated.fixed else float(drawn[path].mean())
        for path, stated in deal.inputs.items()
    }


def left_out(deal: Deal) -> list[str]:
    """What a deal holds that the live model does not, one line each."""
    spread = [path for path, stated in deal.inputs.items() if not stated.fixed]
    above = [m.name for m in deal.economics.milestone if m.net_sales_above is not None]
    lines = [f"the spread of {len(spread)} inputs: {', '.join(spread)}; each stands at its mean"] if spread else []
    if above:
        lines.append(f"milestones on net sales: {', '.join(above)}")
    if deal.captured.price is not None:
        lines.append("captured.price: sales are at the market's own price")
    return lines


def build_live_model(deal: Deal, seen: Market, numbers: Mapping[str, float]) -> LiveModel:
    """The live model of a deal at plain numbers.

    Parameters: `seen`, the market, for its years; `numbers`, :func:`plain_numbers` or others in their place.
    """
    years = tuple(int(y) for y in seen.years)
    costs, milestones, launch = _scheduled(deal, seen, numbers)
    phases = tuple((phase.name, numbers[f"risk.phase.{phase.name}.probability"]) for phase in deal.phases)
    if not phases:  # a row to type a probability in
        phases = (("technical success", 1.0),)
        costs, milestones = (np.vstack([np.zeros(len(years)), rows]) for rows in (costs, milestones))
    terminal, discounting = deal.terminal, deal.discounting
    kind = TERMINAL_NONE if terminal is None else TERMINAL_MULTIPLE if terminal.growth is None else TERMINAL_GROWTH
    x = {
        "discount_rate": numbers["discounting.rate"],
        "valuation_date": discounting.valuation_date,
        "convention": discounting.convention,
        "day_count": discounting.day_count,
        "peak_share": numbers["captured.peak_share"],
        "launch_year": launch,
        "ramp_years": numbers["captured.ramp_years"],
        "loss_of_exclusivity": numbers.get("captured.loss_of_exclusivity"),
        "share_kept": numbers["captured.share_kept"],
        "net_share": numbers["captured.net"],
        "upfront": numbers["economics.upfront"],
        "tax_rate": numbers["economics.tax_rate"],
        "loss_rule": deal.economics.losses,
        "loss_limit": numbers["economics.loss_limit"],
        "working_capital": numbers["economics.working_capital"],
        "terminal_kind": kind,
        "terminal_growth": numbers.get("terminal.growth"),
        "terminal_years": numbers.get("terminal.years"),
        "terminal_multiple": numbers.get("terminal.multiple"),
    }
    return LiveModel(deal, years, x, _tiers(deal, numbers), phases, costs, milestones)


def timeline(model: LiveModel) -> Timeline:
    """What the inputs mean for each year."""
    x, years = model.x, np.array(model.years, dtype=float)
    valued = cashflow.year_fraction(x["valuation_date"])
    lower, upper = np.maximum(years, valued), years + 1
    part = np.maximum(upper - lower, 0)

    def grown(until: Array) -> Array:
        return cashflow.ramp(until - x["launch_year"], x["ramp_years"])

    begun, end = grown(lower), grown(upper)
    loss = x["loss_of_exclusivity"]
    lost = end if loss is None else grown(np.minimum(np.maximum(loss, lower), upper))
    held = end - begun - (1 - x["share_kept"]) * (end - lost)
    counted = part > 0
    share = np.where(counted, x["peak_share"] * held / np.where(counted, part, 1) * x["net_share"], 0.0)
    times = np.zeros(len(years))
    times[counted] = cashflow.due(
        [y for y, some in zip(model.years, counted, strict=True) if some],
        x["valuation_date"],
        x["convention"],
        x["day_count"],
    )
    discount = np.where(counted, (1 + x["discount_rate"]) ** -times, 0.0)
    kept = np.ones(len(years))
    kept[-1] = x["terminal_kind"] == TERMINAL_GROWTH
    return Timeline(lower, upper, part, begun, end, lost, share, times, discount, kept)


def cash_rows(model: LiveModel, line: Timeline, sales: Array, end: int) -> CashRows:
    """Cash flows and value from net sales [row, year], in one way to end."""
    x, rows = model.x, len(sales)
    income = cashflow.tiered(sales, *zip(*model.tiers, strict=True))
    profit = income * line.part - model.costs[end] - model.milestones[end]
    rate, limit = np.full(rows, x["tax_rate"]), np.full(rows, x["loss_limit"])
    tax = cashflow.taxes(profit, rate, x["loss_rule"], limit)
    tied = cashflow.tied_up(sales, np.full(rows, x["working_capital"]), released=x["terminal_kind"] != TERMINAL_GROWTH)
    flow = profit - tax - tied
    losses = np.zeros_like(profit)
    if x["loss_rule"] == "carried forward":
        balance = np.zeros(rows)
        for t, earned in enumerate(profit.T):
            balance = np.where(
                earned < 0, balance - earned, balance - np.minimum(balance, x["loss_limit"] * np.maximum(earned, 0))
            )
            losses[:, t] = balance
    recurring = (profit[:, -1] + model.milestones[end, -1]) / line.part[-1] * (1 - x["tax_rate"])
    terminal = np.maximum(recurring * terminal_factor(model) - terminal_tied(model) * sales[:, -1], 0)
    value = (flow * line.discount).sum(axis=1) - x["upfront"] + terminal * line.discount[-1]
    return CashRows(sales, profit, losses, flow, terminal, value)


def terminal_factor(model: LiveModel) -> float:
    """The value at the last flow of what lies beyond it, per unit of the last year's flow after tax."""
    x = model.x
    if x["terminal_kind"] == TERMINAL_NONE:
        return 0.0
    if x["terminal_kind"] == TERMINAL_MULTIPLE:
        return float(x["terminal_multiple"])
    years = x["terminal_years"]
    flow, rate, growth = np.ones(1), np.array([x["discount_rate"]]), np.array([x["terminal_growth"]])
    return float(cashflow.perpetuity(flow, rate, growth, None if years is None else np.array([years]))[0])


def terminal_tied(model: LiveModel) -> float:
    """The value at the last flow of working capital that stays tied up, per unit of the last net sales."""
    x = model.x
    if x["terminal_kind"] != TERMINAL_GROWTH:
        return 0.0
    growth, years = x["terminal_growth"], x["terminal_years"]
    freed = 0.0 if years is None else ((1 + growth) / (1 + x["discount_rate"])) ** years
    return float(x["working_capital"] * (growth / (1 + growth) * terminal_factor(model) - freed))


@dataclass(frozen=True)
class LiveNumbers:
    """All that the live sheets show: `line`; the money of the `ends` that fail, of the `draws`, and of `paths`:
    the picked draw, the mean and the percentiles (`LEVELS`) of yearly net sales; the number of the picked draw.
    """  # noqa: D205

    line: Timeline
    ends: CashRows
    draws: CashRows
    paths: CashRows
    picked: int

    def risked(self, model: LiveModel, rows: CashRows) -> Array:
        """Value averaged over the outcomes of the phases [row]."""
        return np.asarray(model.probability[-1] * rows.npv + model.probability[:-1] @ self.ends.npv)


def evaluate_live(model: LiveModel, revenue: Array, weights: Array, picked: int = 0) -> LiveNumbers:
    """The live model on every draw.

    Parameters: `revenue` [draw, year, segment] in millions; `weights` [segment]; `picked`, the place of the one shown.
    """
    line = timeline(model)
    sales = (revenue @ weights) * line.share
    failed = [cash_rows(model, line, np.zeros((1, len(model.years))), end) for end in range(len(model.phases))]
    ends = CashRows(*(np.concatenate([getattr(r, f) for r in failed]) for f in CashRows.__dataclass_fields__))
    paths = np.vstack([sales[picked], sales.mean(axis=0), np.quantile(sales, PATH_LEVELS, axis=0)])
    last = len(model.phases)
    return LiveNumbers(line, ends, cash_rows(model, line, sales, last), cash_rows(model, line, paths, last), picked)


def _scheduled(deal: Deal, seen: Market, numbers: Mapping[str, float]) -> tuple[Array, Array, float]:
    """Costs and milestones paid [end, year] if nothing is sold, as :func:`outcomes` has them, and the launch."""
    economics = deal.economics
    one_draw = replace(seen, revenue=seen.revenue[:1], patients=seen.patients[:1], treated=seen.treated[:1])
    amounts = {f"economics.milestone.{m.name}.amount": m.net_sales_above is None for m in economics.milestone}
    idle = dict.fromkeys(("captured.net", "economics.tax_rate", "economics.working_capital"), 0.0)
    dated = {path: numbers[path] if fixed else 0.0 for path, fixed in amounts.items()}
    free = dict.fromkeys((path for path in numbers if path.startswith("economics.cost.")), 0.0)

    def spent(changed: Mapping[str, float]) -> tuple[Array, float]:
        ends = outcomes(deal, one_draw, {path: np.array([v]) for path, v in {**numbers, **idle, **changed}.items()})
        return -ends.flows[0], float(ends.launch[0])

    (costs, launch), (milestones, _) = spent(dict.fromkeys(amounts, 0.0)), spent({**free, **dated})
    before = np.zeros((len(costs), len(seen.years) - costs.shape[1]))  # years before the valuation
    return np.hstack([before, costs]) + 0.0, np.hstack([before, milestones]) + 0.0, launch


def _tiers(deal: Deal, numbers: Mapping[str, float]) -> tuple[tuple[float, float], ...]:
    """Income on net sales less royalties paid, as one set of marginal tiers."""

    def read(field: str, tiers: tuple[Tier, ...]) -> list[tuple[float, float]]:
        return [(numbers[f"economics.{field}[{k}].above"], numbers[f"economics.{field}[{k}].rate"])
                for k in range(1, len(tiers) + 1)]  # fmt: skip

    margin = numbers.get("economics.margin")
    earned = [(0.0, margin)] if margin is not None else read("royalty", deal.economics.royalty)
    paid = read("royalty_paid", deal.economics.royalty_paid)

    def rate(tiers: list[tuple[float, float]], level: float) -> float:
        return next((r for above, r in reversed(tiers) if above <= level), 0.0)

    levels = sorted({above for above, _ in (*earned, *paid)})
    return tuple((level, rate(earned, level) - rate(paid, level)) for level in levels)


def as_stated(deal: Deal, path: str) -> str:
    """An input as its author wrote it, empty if the deal has no such input."""
    return str(deal.inputs.get(path, ""))
