"""The figures of a valuation: value, risk, break-evens, each with its Monte-Carlo error; the tornado; the sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from postcgrp.inference.diagnostics import mcse_mean
from postcgrp.priors.catalogue import MILLION
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.valuation.cashflow import Array, payback
from postcgrp.reports.valuation.pricing import outcomes
from postcgrp.reports.valuation.valuation import Valuation

TAIL = 0.05  # of VaR, CVaR and the ends of the intervals
QUANTILES = (TAIL, 0.5, 1 - TAIL)
TENTH = 0.1  # of the draws, whose middle is a 5 % quantile
LARGEST = 100.0  # factor on sales that a break-even is looked for in
ROUND = 1000  # from which no decimals are shown
EVERY, GIVEN = "all draws", "given approval"
COLUMNS = ("deal", "quantity", "given", "value", "mc_error", "unit", "note")


class Estimate(NamedTuple):
    """A figure and its Monte-Carlo standard error."""

    value: float
    mc_error: float


def weighted_mean(values: Array, weights: Array, sample: tuple[int, int]) -> Estimate:
    """Weighted mean of values [draw, outcome].

    The error is that of a ratio of means by its influence function, with the effective sample size of the market's
    draws, which are autocorrelated (`sample` is their shape: chain, draw).
    """
    middle = float((weights * values).sum() / weights.sum())
    influence = (weights * (values - middle)).sum(axis=1) / weights.sum(axis=1).mean()
    return Estimate(middle, _mcse(influence, sample))


def weighted_quantile(values: Array, weights: Array, probability: float, sample: tuple[int, int]) -> Estimate:
    """Weighted quantile of values [draw, outcome]: the smallest value with at least `probability` up to it.

    The error is half the distance between the quantiles at the probability plus and minus its own error.
    """
    order = np.argsort(values, axis=None, kind="stable")
    ordered, upto = values.ravel()[order], np.cumsum(weights.ravel()[order])
    upto /= upto[-1]

    def at(p: float) -> float:
        return float(ordered[min(int(np.searchsorted(upto, p * (1 - 1e-12))), len(ordered) - 1)])

    here = at(probability)
    error = weighted_mean((values <= here).astype(float), weights, sample).mc_error
    low, high = np.clip([probability - error, probability + error], upto[0], 1)
    return Estimate(here, (at(high) - at(low)) / 2)


def shortfall(values: Array, weights: Array, tail: float, sample: tuple[int, int]) -> Estimate:
    """Mean of the worst `tail` of values [draw, outcome] (Rockafellar & Uryasev 2000, J. Risk 2(3), theorem 1)."""
    level = weighted_quantile(values, weights, tail, sample).value
    return weighted_mean(level - np.maximum(level - values, 0) / tail, weights, sample)


def value_table(one: Valuation) -> pd.DataFrame:
    """Every figure of a valuation, one a row; columns `COLUMNS`."""
    rows = [*_value(one), *_commercial(one), *_bid(one), *_break_even(one)]
    return pd.DataFrame(rows).assign(deal=one.deal.name).reindex(columns=list(COLUMNS))


def value_said(one: Valuation, rows: pd.DataFrame) -> str:
    """One sentence on a deal: its mean rNPV, the spread of outcomes, the chance of a loss, and the most to pay."""
    of_all = rows[rows["given"] == EVERY].set_index("quantity")
    figure, error = of_all["value"], of_all["mc_error"]

    def at(name: str) -> str:
        return short(float(figure[name]), 3)

    mean = "rNPV, mean"
    return (
        f"{one.deal.name}: mean rNPV {at(mean)} ± {short(float(error[mean]), 1)} {one.currency} million; outcomes have "
        f"median {at('NPV, 50 % quantile')}, 90 % {at('NPV, 5 % quantile')} to {at('NPV, 95 % quantile')}, and lose "
        f"money with {figure['P(NPV < 0)']:.0%}; on average the most to pay upfront is {at('maximum bid, mean')}."
    )


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """The same for a terminal: each figure as a text with its error; a figure that does not exist is left blank."""

    def text(value: float, error: float, unit: str) -> str:
        if not np.isfinite(value):
            return ""
        if unit == "year":
            return f"{value:.0f}"
        digits = 0 if abs(value) >= ROUND else 3 if unit == "fraction" else 2
        return f"{value:,.{digits}f}" + (f" ± {error:,.{digits}f}" if error > 0 else "")

    figures = [text(*row) for row in zip(rows["value"], rows["mc_error"], rows["unit"], strict=True)]
    return rows[["quantity", "given"]].assign(value=figures, unit=rows["unit"], note=rows["note"])


def tornado(one: Valuation) -> pd.DataFrame:
    """The rNPV at a low and a high value of every uncertain input, the widest first.

    The deal's own inputs are set to their 5 % and 95 % quantile on all draws, the rest as drawn. The market's are not
    free to be set: theirs are the means over the tenth of draws with the lowest and the highest value. Technical
    success is the mean given failure and given approval.
    """
    rows = []
    for name, draws in one.inputs.items():
        low, high = np.quantile(draws, [TAIL, 1 - TAIL])
        if name in one.x:
            of, (at_low, at_high) = "deal", ((_rnpv(one, {name: np.full_like(draws, end)})) for end in (low, high))
        else:
            lowest, highest = np.quantile(draws, [TENTH, 1 - TENTH])
            of, (at_low, at_high) = "market", (one.rnpv[draws <= lowest].mean(), one.rnpv[draws >= highest].mean())
        rows.append((name, of, low, high, at_low, at_high))
    if one.deal.phases:
        failed, taken = _failed(one), weighted_mean(one.ends.npv, _given(one), one.market.sample)
        rows.append(("technical success", "deal", 0.0, 1.0, failed.value, taken.value))
    columns = ["input", "of", "input_low", "input_high", "rnpv_low", "rnpv_high"]
    made = pd.DataFrame(rows, columns=columns)
    made["swing"] = (made["rnpv_high"] - made["rnpv_low"]).abs()
    made.insert(0, "deal", one.deal.name)
    return made.sort_values("swing", ascending=False, kind="stable", ignore_index=True)


def assumptions(one: Valuation) -> pd.DataFrame:
    """Every input of the deal as stated, its drawn 5/50/95 %, and where it comes from."""
    rows = []
    for path, said in one.deal.inputs.items():
        q05, q50, q95 = np.quantile(one.x[path], QUANTILES)
        shown = {"input": path, "stated": str(said), "q05": q05, "median": q50, "q95": q95}
        rows.append({"deal": one.deal.name, **shown, "source": one.deal.source(path)})
    return pd.DataFrame(rows)


def _mcse(values: Array, sample: tuple[int, int]) -> float:
    if np.ptp(values) <= 1e-12 * np.abs(values).max(initial=0):  # the same in every draw
        return 0.0
    return mcse_mean(values.reshape(sample))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _given(one: Valuation) -> Array:
    """Weights of the approved end alone."""
    last = np.arange(len(one.outcomes)) == len(one.deal.phases)
    return np.asarray(one.ends.probability * last)


def _failed(one: Valuation) -> Estimate:
    weights = one.ends.probability - _given(one)
    return weighted_mean(one.ends.npv, weights, one.market.sample) if weights.sum() > 0 else Estimate(np.nan, np.nan)


def _views(one: Valuation) -> Iterator[tuple[str, Array]]:
    yield EVERY, one.ends.probability
    if one.deal.phases:
        yield GIVEN, _given(one)


def _row(quantity: str, given: str, figure: Estimate, unit: str, note: str = "") -> dict[str, Any]:
    return {"quantity": quantity, "given": given, "value": figure.value, "mc_error": figure.mc_error,
            "unit": unit, "note": note}  # fmt: skip


def _value(one: Valuation) -> Iterator[dict[str, Any]]:
    money, sample, value = f"{one.currency} million", one.market.sample, one.ends.npv
    for given, weights in _views(one):
        name = "rNPV" if given == EVERY else "NPV"
        note = "outcomes of the phases weighted exactly" if given == EVERY and one.deal.phases else ""
        yield _row(f"{name}, mean", given, weighted_mean(value, weights, sample), money, note)
        for p in QUANTILES:
            yield _row(f"NPV, {_percent(p)} quantile", given, weighted_quantile(value, weights, p, sample), money)
        yield _row("P(NPV < 0)", given, weighted_mean((value < 0).astype(float), weights, sample), "fraction")
        worst, beyond = weighted_quantile(value, weights, TAIL, sample), shortfall(value, weights, TAIL, sample)
        yield _row(f"VaR {_percent(TAIL)}", given, Estimate(-worst.value, worst.mc_error), money,
                   "loss against paying nothing")  # fmt: skip
        yield _row(f"CVaR {_percent(TAIL)}", given, Estimate(-beyond.value, beyond.mc_error), money,
                   f"mean loss in the worst {_percent(TAIL)}")  # fmt: skip
    every = one.ends.probability
    if one.deal.phases:
        simulated = Estimate(float(one.npv.mean()), _mcse(one.npv, sample))
        yield _row("NPV, mean of simulated outcomes", EVERY, simulated, money, "check on the first row")
        yield _row("P(approval)", EVERY, weighted_mean(every[:, -1:], np.ones_like(every[:, -1:]), sample), "fraction")
        yield _row("NPV, mean", "given failure", _failed(one), money)
    if one.deal.terminal is not None:
        beyond_window = np.where(np.arange(every.shape[1]) == every.shape[1] - 1, one.ends.terminal[:, None], 0.0)
        label = f"explicit terminal assumption: {one.deal.terminal.label}"
        yield _row(
            "of rNPV, beyond the run's last year", EVERY, weighted_mean(beyond_window, every, sample), money, label
        )
        tied = one.deal.terminal.growth is not None and one.x["economics.working_capital"].any()
        yield _row("rNPV without it", EVERY, weighted_mean(value - beyond_window, every, sample), money,
                   "its working capital still tied up" if tied else "")  # fmt: skip


def _commercial(one: Valuation) -> Iterator[dict[str, Any]]:
    money, sample, ends = f"{one.currency} million", one.market.sample, one.ends
    last, approved = one.years[-1], one.ends.probability[:, -1:]
    peak = one.peak_sales[:, None]
    yield _row("peak net sales a year, mean", EVERY, weighted_mean(peak * approved, np.ones_like(peak), sample), money,
               f"highest year to {last}" + (", nothing where a phase fails" if one.deal.phases else ""))  # fmt: skip
    if one.deal.phases:
        yield _row("peak net sales a year, mean", GIVEN, weighted_mean(peak, approved, sample), money)
    for p in QUANTILES:
        yield _row(
            f"peak net sales a year, {_percent(p)} quantile",
            _best(one),
            weighted_quantile(peak, approved, p, sample),
            money,
        )
    late = (ends.launch >= last + 1).astype(float)[:, None]
    if late.any():
        yield _row("P(launch after the window)", _best(one), weighted_mean(late, approved, sample), "fraction",
                   "no sale is counted there")  # fmt: skip
    paid = ends.flows.copy()
    paid[:, :, 0] -= ends.upfront[:, None]
    expected = (ends.probability[:, :, None] * paid).sum(axis=1).mean(axis=0)
    back = float(payback(expected, ends.years))
    never = f"not by {last}"
    note = "undiscounted, without what lies beyond the window"
    yield _row("pay-back year of the expected flows", EVERY, Estimate(back, np.nan), "year",
               note if np.isfinite(back) else f"{never}; {note}")  # fmt: skip
    years = payback(paid[:, -1], ends.years)[:, None]
    middle = weighted_quantile(np.where(np.isnan(years), np.inf, years), approved, 0.5, sample).value
    yield _row("pay-back year, median", _best(one), Estimate(middle if np.isfinite(middle) else np.nan, np.nan), "year",
               "" if np.isfinite(middle) else never)  # fmt: skip
    within = np.isfinite(payback(paid, ends.years)).astype(float)
    yield _row(f"P(paid back by {last})", EVERY, weighted_mean(within, ends.probability, sample), "fraction")


def _best(one: Valuation) -> str:
    return GIVEN if one.deal.phases else EVERY


def _bid(one: Valuation) -> Iterator[dict[str, Any]]:
    money, sample = f"{one.currency} million", one.market.sample
    bid, alike = one.max_bid[:, None], np.ones((len(one.outcome), 1))
    note = "upfront at which rNPV is zero" + ("; negative: the deal loses money even free" if bid.mean() < 0 else "")
    yield _row("maximum bid, mean", EVERY, weighted_mean(bid, alike, sample), money, note)
    for p in QUANTILES:
        yield _row(f"maximum bid, {_percent(p)} quantile", EVERY, weighted_quantile(bid, alike, p, sample), money,
                   "over draws of market and inputs, phases averaged out")  # fmt: skip


def _break_even(one: Valuation) -> Iterator[dict[str, Any]]:
    base = one.x["captured.net"]

    def gain(factor: float) -> Array:
        return _by_draw(one, {"captured.net": base * factor})

    factor, why = _root(lambda m: float(gain(m).mean()))
    error = np.nan
    if np.isfinite(factor):
        slope = (gain(factor * 1.001).mean() - gain(factor * 0.999).mean()) / (0.002 * factor)
        error = _mcse(gain(factor), one.market.sample) / abs(float(slope))
    treated = one.market.since(one.years[0]).treated * one.ends.share
    spent = one.ends.sales / np.maximum(one.x["captured.net"], 1e-12)[:, None]
    average = float(spent.sum() * MILLION / treated.sum()) if treated.any() else np.nan
    share = float(one.x["captured.peak_share"].mean())
    yield _row("break-even price, as a factor", EVERY, Estimate(factor, error), "factor",
               why or "on the price of every draw and year; at this factor rNPV is zero")  # fmt: skip
    yield _row("break-even price", EVERY, Estimate(factor * average, error * average),
               f"{one.currency} per treated patient-year", why or f"now {average:,.0f} on average")  # fmt: skip
    if factor * share > 1:
        factor, why = np.nan, f"none: it would take {factor * share:.2g} of the segment"
    yield _row("break-even peak share", EVERY, Estimate(factor * share, error * share), "fraction",
               why or f"now {share:.3g} on average")  # fmt: skip
    if one.deal.phases:
        yield _break_even_success(one)


def _break_even_success(one: Valuation) -> dict[str, Any]:
    """P* with P* E[NPV | approval] + (1 - P*) E[NPV | failure] = 0, the mix of failures as it is."""
    taken, failed = weighted_mean(one.ends.npv, _given(one), one.market.sample), _failed(one)
    now = float(one.ends.probability[:, -1].mean())
    gap = taken.value - failed.value
    level = -failed.value / gap if gap else np.nan
    error = float(np.hypot(level * taken.mc_error, (1 - level) * failed.mc_error) / abs(gap)) if gap else np.nan
    why = f"of all phases together, now {now:.3g}"
    if not 0 <= level <= 1:
        why = "none: approval itself loses money" if taken.value < 0 else "none: failure too has value"
        level = error = np.nan
    return _row("break-even probability of success", EVERY, Estimate(level, error), "fraction", why)


def _root(gain: Callable[[float], float]) -> tuple[float, str]:
    if gain(0.0) >= 0:
        return np.nan, "none: rNPV is not negative even without sales"
    if gain(LARGEST) <= 0:
        return np.nan, f"none: rNPV is negative even at {LARGEST:g} times the sales"
    return float(brentq(gain, 0.0, LARGEST, xtol=1e-10)), ""


def _by_draw(one: Valuation, changed: dict[str, Array]) -> Array:
    ends = outcomes(one.deal, one.market, one.x | changed)
    return np.asarray((ends.probability * ends.npv).sum(axis=1))


def _rnpv(one: Valuation, changed: dict[str, Array]) -> float:
    return float(_by_draw(one, changed).mean())
