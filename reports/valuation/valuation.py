"""Risk-adjusted value: deals priced on every joint draw of the market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray
from xarray import Dataset

from postcgrp.priors import InputError, Ledger
from postcgrp.priors.catalogue import MILLION
from postcgrp.reports.runs.run import Run
from postcgrp.reports.valuation.cashflow import Array
from postcgrp.reports.valuation.deal import Deal
from postcgrp.reports.valuation.deal_fit import captured_labels, captured_units, check_deals
from postcgrp.reports.valuation.distributions import Uncertain
from postcgrp.reports.valuation.pricing import OF_MARKET, Market, Outcomes, market, outcomes

APPROVED = "approved"
Cell = tuple[str, str, str]  # modality, region, depth
ONE = 1 + 1e-9  # a sum of shares that is one
VARIES = 1e-9  # relative range below which an input is the same in every draw


@dataclass(frozen=True)
class Valuation:
    """A deal on the joint draws of a market: draw d of every array is draw d of the run (chain, then draw).

    Attributes: `deal`; `currency`; `seed`; `market`, what is captured of each draw; `x`, a value of every input of the
    deal [draw] by path; `ends`, its money in each way it can end; `outcome` [draw], which of them each draw came to
    (index into `outcomes`); `market_inputs`, summaries of the captured market [draw] by name.
    """

    deal: Deal
    currency: str
    seed: int
    market: Market
    x: dict[str, Array]
    ends: Outcomes
    outcome: NDArray[np.intp]
    market_inputs: dict[str, Array]

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The ways to end: each phase failed, in order, then approved."""
        return (*(f"{phase.name} failed" for phase in self.deal.phases), APPROVED)

    @property
    def years(self) -> tuple[int, ...]:
        """The years from the valuation to the end of the run."""
        return tuple(int(year) for year in self.ends.years)

    @property
    def success(self) -> NDArray[np.bool_]:
        """Whether each draw takes every phase [draw]."""
        return np.asarray(self.outcome == len(self.deal.phases))

    @cached_property
    def npv(self) -> Array:
        """Net present value [draw] in millions, of the end that the draw came to: a loss where a phase failed."""
        return np.take_along_axis(self.ends.npv, self.outcome[:, None], axis=1)[:, 0]

    @cached_property
    def rnpv(self) -> Array:
        """The same [draw] with the phases' outcomes averaged out exactly: equal mean, less noise, no failures seen."""
        return np.asarray((self.ends.probability * self.ends.npv).sum(axis=1))

    @cached_property
    def cash_flows(self) -> Array:
        """Yearly flow after tax [draw, year] of the end each draw came to; the upfront and the terminal are apart."""
        return np.take_along_axis(self.ends.flows, self.outcome[:, None, None], axis=1)[:, 0]

    @cached_property
    def max_bid(self) -> Array:
        """Upfront at which each draw is worth nothing [draw], phases averaged out; negative: not even free."""
        return np.asarray(self.rnpv + self.ends.upfront)

    @cached_property
    def peak_sales(self) -> Array:
        """Highest yearly net sales of each draw [draw] when approved, in millions."""
        return np.asarray(self.ends.sales.max(axis=1))

    @property
    def inputs(self) -> dict[str, Array]:
        """Every uncertain input [draw] by name: the deal's by path, the market's as `market.revenue.2035`."""
        own = {path: self.x[path] for path, said in self.deal.inputs.items() if not said.fixed}
        return own | self.market_inputs


def price(run: Run, deal: Deal, seed: int = 1) -> Valuation:
    """Price one deal on every draw of a run.

    Parameters: `seed` of the deal's own inputs, each of which has a stream of its own (seed, deal name, path). Raises
    :class:`InputError` for a deal that does not fit.
    """
    return price_all(run, [deal], seed)[0]


def price_all(run: Run, deals: Sequence[Deal], seed: int = 1) -> list[Valuation]:
    """Price several deals on the same draws of the market, see :func:`price`.

    Raises :class:`InputError` also where the deals' shares of a cell add up to more than one in any draw.
    """
    if seed < 0:
        raise InputError(f"--seed {seed}: is negative: use 0 or more")
    ledger = run.priors.ledger
    check_deals(deals, ledger)
    draws = run.read(OF_MARKET)
    priced = [_price(draws, ledger, deal, seed) for deal in deals]
    _check_shares(priced, ledger)
    return priced


def _price(draws: Dataset, ledger: Ledger, deal: Deal, seed: int) -> Valuation:
    seen = market(draws, deal, ledger)
    number = len(seen.revenue)
    x = {path: said.draws(number, seed, deal.name, path) for path, said in deal.inputs.items()}
    taken = np.ones(number, dtype=bool)
    outcome = np.zeros(number, dtype=np.intp)
    for phase in deal.phases:
        here = f"risk.phase.{phase.name}"
        taken &= _luck(number, seed, deal.name, here) < x[f"{here}.probability"]
        outcome += taken
    ends = outcomes(deal, seen, x)
    return Valuation(deal, ledger.report.currency, seed, seen, x, ends, outcome, _summaries(seen, ledger))


def _luck(number: int, seed: int, deal: str, phase: str) -> Array:
    return Uncertain("uniform", {"low": 0.0, "high": 1.0}).draws(number, seed, deal, f"{phase}.outcome")


def _summaries(seen: Market, ledger: Ledger) -> dict[str, Array]:
    """Patients, use, price and revenue of the captured market at the anchors [draw], where they vary."""
    out = {}
    for year in ledger.report.anchors:
        at = list(seen.years).index(year)
        revenue, patients, treated = seen.revenue[:, at], seen.patients[:, at], seen.treated[:, at]
        out[f"market.patients.{year}"] = patients
        if (treated > 0).all():
            out[f"market.use.{year}"] = treated / patients
            out[f"market.price.{year}"] = revenue * MILLION / treated
            out[f"market.revenue.{year}"] = revenue
    return {name: draws for name, draws in out.items() if np.ptp(draws) > VARIES * np.abs(draws).max()}


def _check_shares(priced: Sequence[Valuation], ledger: Ledger) -> None:
    """Refuse deals that together take more than all of a cell in any draw."""
    if len(priced) == 1:
        return
    first, last = min(v.years[0] for v in priced), ledger.report.last_year
    taken: dict[Cell, Array] = {}
    names: dict[Cell, list[str]] = {}
    for one in priced:
        share = np.zeros((len(one.outcome), last - first + 1))
        share[:, one.years[0] - first :] = one.ends.share
        where = captured_labels(one.deal, ledger)
        for cell in product(captured_units(one.deal, ledger), where["region"], where["depth"]):
            taken[cell] = taken.get(cell, 0.0) + share
            names.setdefault(cell, []).append(one.deal.name)
    for cell, share in taken.items():
        if (over := (share > ONE).any(axis=1)).any():
            raise InputError(
                f"deals {' and '.join(map(repr, names[cell]))}: their shares of {' / '.join(cell)} add up to "
                f"{share.max():.3g} (over 1 in {over.mean():.1%} of the draws): lower a captured.peak_share, or use a "
                "distribution with bounds (triangular, pert)"
            )
