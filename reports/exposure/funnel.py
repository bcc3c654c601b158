"""The patient funnel in numbers: draws of every step, and how the pool that they imply compares with the claimed one.

A second opinion on the pool that a report claims: no model reads it. NumPy and SciPy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from postcgrp.priors import Ledger, from_range
from postcgrp.priors.elicit import LINK
from postcgrp.priors.funnel import Funnel, FunnelStep, claimed_pool, step_prior
from postcgrp.priors.settings import Settings
from postcgrp.reports.forecast.summary import interval

Array = NDArray[np.float64]
ALL = "funnel regions"  # the label of their sum
FUNNEL_DRAWS = 10_000  # a centile of the pool is then known to some 1 % of itself


@dataclass(frozen=True)
class Opinion:
    """How the funnel's pool compares with the claimed one.

    `claimed`: patients, of the regions that the funnel covers; `elsewhere`: what is claimed for the others.
    `p_at_least`: the funnel's probability of at least the claimed pool. `low`, `median`, `high`: its 90 % interval.
    """

    region: str
    year: int
    claimed: float
    elsewhere: float
    low: float
    median: float
    high: float
    p_at_least: float


def funnel_draws(
    funnel: Funnel, ledger: Ledger, draws: int = FUNNEL_DRAWS, seed: int = 1, coverage: float = Settings.coverage
) -> Dataset:
    """Draws of the funnel: `share` and `people` [draw, year, region, node].

    `share` is of the node's parent (of the first step: its people); `people` is the product down to the node. Steps are
    independent of each other; the same step in two regions has the correlation that the file gives it. Drifts add up
    on the link scale from the funnel's year on. The same seed gives the same draws.

    Parameters: `coverage`, the mass inside every range; the result keeps it as an attribute.
    """
    rng = np.random.default_rng(seed)
    years, regions = np.array(funnel.years), funnel.regions
    share: dict[str, Array] = {}
    people: dict[str, Array] = {}
    for node in funnel.nodes:
        parent = funnel.parent(node)
        if not isinstance(node, FunnelStep) and node.without is not None:
            share[node.name] = 1 - share[node.without]
        else:
            score = _scores(rng, float(node.correlation or 0), draws, len(regions))
            drift = _drift(rng, funnel, node.name, draws, coverage)
            levels = []
            for at, region in enumerate(regions):
                prior = step_prior(funnel, ledger, node.name, region, coverage)
                _, inverse = LINK[prior.family]
                levels.append(inverse(prior.mu + prior.sd * score[:, None, at] + drift[:, :, at]))
            share[node.name] = np.stack(levels, axis=-1)
        people[node.name] = share[node.name] * (1 if parent is None else people[parent])
    dims, coords = ("draw", "year", "region", "node"), {"year": years, "region": list(regions), "node": list(share)}
    return Dataset(
        {
            "share": (dims, np.stack(list(share.values()), axis=-1), {"long_name": "share of the node above"}),
            "people": (dims, np.stack(list(people.values()), axis=-1), {"units": "patients"}),
        },
        coords,
        {"coverage": coverage},
    )


def _scores(rng: np.random.Generator, correlation: float, draws: int, regions: int) -> Array:
    """Standard normals [draw, region] with one correlation between all regions."""
    common, own = rng.standard_normal((draws, 1)), rng.standard_normal((draws, regions))
    return np.asarray(np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own, dtype=np.float64)


def _drift(rng: np.random.Generator, funnel: Funnel, name: str, draws: int, coverage: float) -> Array:
    """What a node has drifted on its link scale by each year [draw, year, region].

    A drift that names no region is one unknown, the same everywhere.
    """
    years = np.array(funnel.years)
    total = np.zeros((draws, years.size, len(funnel.regions)))
    for drift in funnel.drifts:
        if drift.step == name:
            mu, sd = from_range(drift.low, drift.high, coverage, "normal")
            rate = mu + sd * rng.standard_normal(draws)
            elapsed = np.clip(years, drift.first_year, drift.last_year) - drift.first_year
            here = [drift.region in (None, region) for region in funnel.regions]
            total[:, :, here] += (rate[:, None] * elapsed)[:, :, None]
    return total


def pool(drawn: Dataset, funnel: Funnel, region: str = ALL) -> DataArray:
    """Patients at the end of the trunk [draw, year], of one region or of all that the funnel covers."""
    people = drawn["people"].sel(node=funnel.steps[-1].name)
    return people.sum("region") if region == ALL else people.sel(region=region)


def opinion(drawn: Dataset, funnel: Funnel, ledger: Ledger, region: str = ALL, year: int | None = None) -> Opinion:
    """How the funnel's pool compares with the claimed one in a year (by default the funnel's first)."""
    year = funnel.header.year if year is None else year
    draws = pool(drawn, funnel, region).sel(year=year)
    everywhere = {each.name: claimed_pool(ledger, each.name) or 0.0 for each in ledger.regions}
    covered = funnel.regions if region == ALL else (region,)
    claimed = sum(everywhere[name] for name in covered)
    elsewhere = sum(patients for name, patients in everywhere.items() if name not in funnel.regions)
    low, high = interval(draws, 90)
    p = float((draws >= claimed).mean())
    return Opinion(region, year, claimed, elsewhere, low, float(draws.median()), high, p)


def funnel_verdict(drawn: Dataset, funnel: Funnel, ledger: Ledger) -> str:
    """The sentence that answers first: the funnel's pool, the claimed one, and the chance of at least that."""
    now, then = (opinion(drawn, funnel, ledger, year=year) for year in (funnel.years[0], funnel.years[-1]))
    rest = ""
    if now.elsewhere:
        rest = (
            f" With the {now.elsewhere:,.0f} claimed where no funnel reaches, that is also the chance of the claimed "
            f"{now.claimed + now.elsewhere:,.0f} or more."
        )
    each = [opinion(drawn, funnel, ledger, region) for region in funnel.regions]
    alone = ", ".join(f"{one.region} {one.p_at_least:.0%}" for one in each)
    return (
        f"In {' + '.join(funnel.regions)} the funnel expects {_rounded(now.median)} patients in {now.year} (90 % "
        f"interval {_rounded(now.low)} to {_rounded(now.high)}), {now.median / now.claimed:.1f} times the "
        f"{now.claimed:,.0f} claimed; P(at least the claimed) = {now.p_at_least:.0%} (alone: {alone}).{rest} By "
        f"{then.year} it expects {_rounded(then.median)} ({_rounded(then.low)} to {_rounded(then.high)})."
    )


def _rounded(people: float) -> str:
    """A number of people to two digits."""
    return f"{float(f'{people:.2g}'):,.0f}"
