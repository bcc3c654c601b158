"""What can be learned before deciding: the unknowns of a market and of deals, and studies of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xarray import DataArray, ufuncs

from postcgrp.models import variables as v
from postcgrp.priors import InputError
from postcgrp.reports.runs.evidence import flat
from postcgrp.reports.runs.run import Run
from postcgrp.reports.valuation.deal import load_deal
from postcgrp.reports.valuation.decision import Decision, as_decision
from postcgrp.reports.valuation.information import Study, information_table
from postcgrp.reports.valuation.valuation import Valuation, price_all

Array = NDArray[np.float64]

NO_DEAL = "pass"
MOST_ASKED = 1_000_000_000
STUDIES = "measure:INPUT:LOG_SD, survey:INPUT:SIZE or readout:INPUT, behind it @COST or @COST,YEARS"
_SEGMENTS = ["region", "depth"]
OF_INPUTS = (v.PATIENTS, v.USE, v.PRICE, v.REVENUE, v.ACUTE_USE, v.MOH, v.PAYER_BLOCK)

NOTHING_SOLD = 1e-3  # million: what a launch that failed, or is not there yet, counts as, so that it has a logarithm


def market_inputs(run: Run) -> dict[str, Array]:
    """The unknowns of a run that one could learn, by plain names: [draw], or [draw, k] for a group learned as one.

    What a ledger lacks (burden, payer blocking, evidence) is left out. Draws are chain after chain. Patients are
    counts, adoption and burden patient-weighted fractions, prices logs of the currency per treated patient-year,
    revenue (at least `NOTHING_SOLD`) and vendor error logs; a group that is about years has one column an anchor.
    """
    pset = run.priors
    error = v.source_error(pset, pset.ledger.report.id)
    draws = run.read((*OF_INPUTS, error))
    first, last = pset.ledger.years[0], pset.ledger.years[-1]
    patients = draws["patients"]
    pool = patients.sum(_SEGMENTS)
    weights = patients.sel(year=first) / pool.sel(year=first)
    found: dict[str, DataArray] = {
        f"patients {first}": pool.sel(year=first),
        f"patient growth to {last}": _log(pool.sel(year=last) / pool.sel(year=first)),
        "patients by region": weights.sum("depth").isel(region=slice(1, None)),
        "failure depth": weights.sum("region").isel(depth=slice(1, None)),
    }
    for name, label in (("acute_use", "acute use"), ("moh", "medication overuse"), ("payer_block", "payer blocking")):
        if name in draws:
            found[label] = (draws[name] * weights).sum(_SEGMENTS)
    revenue = draws["revenue"]
    for modality in pset.ledger.modalities:
        label, own = modality.label or modality.name, pset.anchors(modality)
        if modality.uptake != "everyone":
            treated = (patients * draws["use"].sel(modality=modality.name)).sum(_SEGMENTS) / pool
            found[f"{label}: uptake"] = treated.sel(year=own)
        found[f"{label}: price"] = _log(draws["price"].sel(modality=modality.name, year=own))
        sold = revenue.sel(modality=modality.name, year=slice(own[0], own[-1])).sum(_SEGMENTS)
        path = _log(sold.clip(min=NOTHING_SOLD))
        found[f"{label}: revenue"] = path.sel(year=own)
        if between := [year for low, high in pairwise(own) for year in range(low + 1, high)]:
            straight = path.sel(year=own).interp(year=between)
            found[f"{label}: years between anchors"] = path.sel(year=between) - straight
    by_region = revenue.sel(year=first).sum(["depth", "modality"])
    found["value by region"] = (by_region / by_region.sum("region")).isel(region=slice(1, None))
    if error in draws:
        found["vendor error"] = draws[error]
    arrays = {name: flat(array) for name, array in found.items()}
    return {name: array for name, array in arrays.items() if array.size and np.ptp(array, axis=0).any()}


def deal_inputs(priced: Sequence[Valuation]) -> dict[str, Array]:
    """The unknowns of deals [draw] by path, and whether each phase succeeds; of several deals, with the deal's name."""
    found: dict[str, Array] = {}
    for one in priced:
        before = f"{one.deal.name}: " if len(priced) > 1 else ""
        found |= {f"{before}{path}": one.x[path] for path, said in one.deal.inputs.items() if not said.fixed}
        for k, phase in enumerate(one.deal.phases):
            found[f"{before}{phase.name} succeeds"] = (one.outcome > k).astype(float)
    return {name: array for name, array in found.items() if np.ptp(array) > 0}


def measurement(name: str, of: str, log_sd: float, cost: float = 0.0, delay: float = 0.0) -> Study:
    """A study that measures an input, or each of a group, up to a log-normal error: 0.05 is about +-5 % (one sd).

    Numbers that a run holds as logs (prices, revenue, growth) are measured on that scale; others must be positive.
    `cost` and `delay` as of :class:`Study`.
    """
    if not 0 < log_sd < np.inf:
        raise InputError(f"study {name!r}: an error of {log_sd:g} is none: give the log-sd, such as 0.05 for 5 %")

    def simulate(inputs: Mapping[str, Array], rng: np.random.Generator) -> Array:
        given = np.asarray(inputs[of], dtype=float)
        if not in_logs(of):
            if (given <= 0).any():
                raise InputError(f"study {name!r}: {of!r} is not positive in every draw: measure what is")
            given = np.log(given)
        return np.asarray(given + log_sd * rng.standard_normal(given.shape))

    return Study(name, (of,), simulate, cost, delay)


def survey(name: str, of: str, size: int, cost: float = 0.0, delay: float = 0.0) -> Study:
    """A survey of `size` respondents who each answer yes with the probability that the input [draw] is.

    Of a group each share is asked for of as many. `cost` and `delay` as of :class:`Study`.
    """
    if not 1 <= size <= MOST_ASKED:
        raise InputError(f"study {name!r}: {size} respondents: ask at least one, at most {MOST_ASKED:,}")

    def simulate(inputs: Mapping[str, Array], rng: np.random.Generator) -> Array:
        given = np.asarray(inputs[of], dtype=float)
        if ((given < 0) | (given > 1)).any():
            raise InputError(f"study {name!r}: {of!r} is no share (0 to 1) in every draw: survey a share")
        return np.asarray(rng.binomial(size, given) / size)

    return Study(name, (of,), simulate, cost, delay)


def readout(name: str, of: str, cost: float = 0.0, delay: float = 0.0) -> Study:
    """A read-out that shows an input, such as a phase's success, without error: worth its EVPPI."""
    return Study(name, (of,), lambda inputs, rng: np.asarray(inputs[of]), cost, delay)


def in_logs(name: str) -> bool:
    """Whether :func:`market_inputs` holds an input as logs."""
    return name.endswith((": price", ": revenue")) or name.startswith("patient growth to ") or name == "vendor error"


def full_name(asked: str, known: Collection[str]) -> str:
    """The name of an input that somebody asked for by the beginning of its modality, in any case.

    So `Implantable: revenue` is `Implantable / interventional: revenue`. A name that is none, or the beginning of
    several, stays as it is.
    """
    head, colon, tail = asked.casefold().rpartition(": ")
    fits = [name for name in known if name.casefold() == asked.casefold()] or [
        name
        for name in known
        if colon and name.casefold().rpartition(": ")[2] == tail and name.casefold().startswith(head)
    ]
    return fits[0] if asked not in known and len(fits) == 1 else asked


def parse_study(text: str, known: Collection[str] = ()) -> Study:
    """A study from the command line: `STUDIES`, before it optionally "NAME=".

    Parameters: `known`, the names of inputs, of which the beginning of a modality is enough, see :func:`full_name`.
    Raises :class:`InputError`.
    """
    body, at, price = text.rpartition("@")
    body, (cost, delay) = (body, _cost_and_delay(text, price)) if at else (text, (0.0, 0.0))
    name, _, said = body.rpartition("=")
    kind, _, rest = said.partition(":")
    try:
        if kind == "readout" and rest:
            return readout(name or said, full_name(rest, known), cost, delay)
        of, _, number = rest.rpartition(":")
        of = full_name(of, known)
        if kind == "measure" and of:
            return measurement(name or said, of, float(number), cost, delay)
        if kind == "survey" and of:
            return survey(name or said, of, int(number), cost, delay)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
    raise InputError(f"study {text!r}: is not understood: write {STUDIES}, before it NAME= if you like")


def _cost_and_delay(text: str, price: str) -> tuple[float, float]:
    """The numbers behind the @ of a study: its cost, and its delay in years if it has one."""
    try:
        cost, *delay = (float(part) for part in price.split(","))
        (years,) = delay or (0.0,)
    except ValueError:
        raise InputError(
            f"study {text!r}: {price!r} is no cost and delay: write @COST, or @COST,YEARS, such as @2,0.5"
        ) from None
    return cost, years


@dataclass(frozen=True)
class DealDecision:
    """A decision among deals, and passing, on a run's draws.

    `decision`, the net benefit of each alternative; `inputs`, what could be learned [draw] or [draw, k] by name;
    `groups` of inputs, by name; `rate`, the mean discount rate of the deals.
    """

    decision: Decision
    inputs: dict[str, Array]
    groups: dict[str, list[str]]
    rate: float = 0.0


def decision_of(run: Run, deals: Sequence[Path], seed: int) -> DealDecision:
    """The decision whether to enter any of the deals given as files. Raises :class:`InputError`."""
    if not deals:
        raise InputError("--deal: is missing: give at least one deal to decide on")
    priced = price_all(run, [load_deal(path) for path in deals], seed)
    values = pd.DataFrame({NO_DEAL: np.zeros(len(priced[0].npv))} | {one.deal.name: one.npv for one in priced})
    market, own = market_inputs(run), deal_inputs(priced)
    groups = {name: list(of) for name, of in (("all of the market", market), ("all of the deals", own)) if len(of) > 1}
    rate = float(np.mean([one.x["discounting.rate"].mean() for one in priced]))
    return DealDecision(as_decision(values, priced[0].market.sample[0]), market | own, groups, rate)


def voi(
    run: Run, deals: Sequence[str | Path], studies: Sequence[str | Study] = (), *, method: str = "spline", seed: int = 1
) -> pd.DataFrame:
    """What it is worth to learn something before deciding on deals given as files, one row per thing learned.

    Parameters: `studies`, objects or texts as the command line takes them; `method`, the regression, see
    :func:`postcgrp.reports.valuation.information.information_table`. Raises :class:`InputError`.
    """
    decided = decision_of(run, [Path(path) for path in deals], seed)
    asked = [parse_study(study, decided.inputs) if isinstance(study, str) else study for study in studies]
    return information_table(
        decided.decision, decided.inputs, decided.groups, asked, method=method, seed=seed, rate=decided.rate
    )


def _log(array: DataArray) -> DataArray:
    logs: DataArray = ufuncs.log(array)
    return logs
