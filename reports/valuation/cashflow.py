"""Arithmetic of cash flows on draws: accruals over years, tiers, taxes, discounting, terminal values, payback."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Convention = Literal["start", "mid", "end"]
DayCount = Literal["years", "actual/365"]
DAYS_PER_YEAR = 365  # of "actual/365"


def year_fraction(day: date) -> float:
    """A date as a calendar year with a fraction: 1 July 2026 is 2026 + 181 / 365."""
    first = date(day.year, 1, 1)
    return day.year + (day - first).days / (date(day.year + 1, 1, 1) - first).days


def ramp(since: Array, years: ArrayLike) -> Array:
    """The integral of a ramp from 0 to 1 over `years`, and of 1 after it, up to `since` years after its start.

    Zero before the start; with `years` of zero the ramp is a step.
    """
    time, length = np.maximum(since, 0), np.asarray(years, dtype=float)
    rising = np.minimum(time, length)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = np.where(length > 0, rising**2 / (2 * length), 0)
    return np.asarray(below + time - rising)


def steps(since: Array, amounts: Array) -> Array:
    """What has been spent by a time `since` the start [..., year], of amounts [..., step] each spread over one year."""
    spent = np.zeros_like(since)
    for k in range(amounts.shape[-1]):
        spent = spent + amounts[..., k, None] * np.clip(since - k, 0, 1)
    return spent


def at_year(when: Array, amount: Array, years: Array) -> Array:
    """An amount [draw] paid once at a time [draw], put into the calendar year of that time [draw, year]."""
    return np.where(np.floor(when)[:, None] == years, amount[:, None], 0.0)


def tiered(sales: Array, above: Sequence[ArrayLike], rates: Sequence[ArrayLike]) -> Array:
    """What marginal tiers yield [draw, year]: each rate [draw] on the sales from its level [draw] up to the next."""
    levels = [np.asarray(level, dtype=float)[..., None] for level in above]
    due = np.zeros_like(sales)
    for k, rate in enumerate(rates):
        top = levels[k + 1] if k + 1 < len(levels) else np.inf
        due = due + np.asarray(rate, dtype=float)[..., None] * np.clip(sales - levels[k], 0, top - levels[k])
    return due


def taxes(profit: Array, rate: ArrayLike, losses: str = "carried forward", limit: ArrayLike = 1.0) -> Array:
    """Tax on yearly profit [..., year] at `rate` [...].

    Parameters: `losses`: "carried forward" without end, offsetting at most the share `limit` of a year's profit;
    "relieved at once", as a negative tax; or "lost".
    """
    rate = np.asarray(rate, dtype=float)
    if losses == "relieved at once":
        return np.asarray(profit * rate[..., None])
    taxable = np.maximum(profit, 0)
    if losses == "carried forward":
        balance = np.zeros(profit.shape[:-1])
        for t in range(profit.shape[-1]):
            balance = balance + np.maximum(-profit[..., t], 0)
            used = np.minimum(balance, limit * taxable[..., t])
            taxable[..., t] -= used
            balance = balance - used
    return np.asarray(taxable * rate[..., None])


def tied_up(sales: Array, share: ArrayLike, *, released: bool) -> Array:
    """Cash put into working capital, a `share` [draw] of sales [draw, year]; `released`: set free in the last year."""
    balance = np.asarray(share, dtype=float)[..., None] * sales
    if released:
        balance[..., -1] = 0
    return np.diff(balance, axis=-1, prepend=0)


def due(years: Sequence[int], valued: date, convention: Convention, day_count: DayCount = "years") -> Array:
    """Time from the valuation date to each year's flow [year].

    The year of the valuation counts from that date on. Parameters: `convention`, where in the year, or in what remains
    of it, the flow is due; `day_count`: "years" are calendar years, so that whole years are whole numbers; "actual/365"
    are days over 365 to the first day, the middle day or 31 December, as XNPV has them.
    """
    if day_count == "actual/365":
        return np.array([(day - valued).days / DAYS_PER_YEAR for day in due_dates(years, valued, convention)])
    first = year_fraction(valued)
    start, end = np.maximum(np.asarray(years, dtype=float), first), np.asarray(years, dtype=float) + 1
    return np.asarray({"start": start, "mid": (start + end) / 2, "end": end}[convention] - first)


def due_dates(years: Sequence[int], valued: date, convention: Convention) -> list[date]:
    """The day on which each year's flow is due under "actual/365"."""
    starts = [max(date(year, 1, 1), valued) for year in years]
    if convention == "start":
        return starts
    if convention == "end":
        return [date(year, 12, 31) for year in years]
    return [s + timedelta(days=(date(s.year + 1, 1, 1) - s).days // 2) for s in starts]


def present_value(flows: Array, rate: ArrayLike, times: Array) -> Array:
    """Sum of flows [..., year] discounted at a yearly `rate` [...] over `times` [year]: flow / (1 + rate) ** time."""
    return np.asarray((flows * (1 + np.asarray(rate, dtype=float)[..., None]) ** -times).sum(axis=-1))


def perpetuity(flow: Array, rate: Array, growth: Array, years: Array | None = None) -> Array:
    """The value, once `flow` [draw] has been paid, of all that follows it growing at `growth`, for `years` or for ever.

    The growing annuity flow (1 + g) / (r - g) (1 - ((1 + g) / (1 + r))^n), whose limit at r = g is n flow; without
    `years` the Gordon formula, for which the caller ensures rate > growth.
    """
    if years is None:
        return np.asarray(flow * (1 + growth) / (rate - growth))
    gap, ratio = rate - growth, (1 + growth) / (1 + rate)
    level = np.abs(gap) < 1e-9  # noqa: PLR2004
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(level, flow * years, flow * (1 + growth) / gap * (1 - ratio**years))


def payback(flows: Array, years: Array) -> Array:
    """The first year from whose end on cumulative flows [..., year] are never negative; NaN if there is none [...]."""
    total = np.cumsum(flows, axis=-1)
    short = total < 0
    last = np.where(short.any(axis=-1), short.shape[-1] - np.argmax(short[..., ::-1], axis=-1), 0)
    return np.where(last < len(years), years[np.minimum(last, len(years) - 1)], np.nan)
