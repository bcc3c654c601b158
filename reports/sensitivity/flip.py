"""What would change a decision: the smallest shift of each assumption that brings a probability to a level."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri
from xarray import DataTree

from postcgrp.inference.diagnostics import SAMPLE, mcse_mean
from postcgrp.inference.psis import reweight
from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.sensitivity.refits import Refit, as_refit
from postcgrp.reports.sensitivity.tornado import ElicitedNumber, log_ratio, shift_prior

Array = NDArray[np.float64]
Fitter = Callable[[Mapping[str, PriorSet]], Mapping[str, Refit]]

FARTHEST = 3.0  # prior sds; a shift beyond that is another assumption
GRID_STEP = 0.25  # prior sds between shifts tried on stored draws
ROUNDS = 5  # of refits
SETTLED = 2.0  # standard errors within which a refit meets the level
LEAST_PROBABILITY = 1e-4  # smaller ones count as this one, so that they have a probit
ALMOST_ZERO = 1e-4  # imaginary part of a root, or slope of a curve
HOW_TO_WRITE = "write revenue and a probability, such as 1000:0.5, before them a headline if not the last year's total"


@dataclass(frozen=True)
class Flip:
    """A decision that hangs on whether P(a headline > `above`) exceeds `level`.

    `headline`: which, by the names of :func:`headlines`; empty for the last year's total.
    """

    above: float
    level: float
    headline: str = ""

    def __post_init__(self) -> None:
        if not (0 < self.level < 1 and 0 < self.above < np.inf):
            raise InputError(
                f"--flip {self.above:g}:{self.level:g}: needs revenue above zero and a probability between 0 and 1: "
                f"{HOW_TO_WRITE}"
            )


def parse_flip(text: str) -> Flip:
    """A flip from `[HEADLINE:]X:LEVEL`. Raises :class:`InputError`."""
    headline, *numbers = text.rsplit(":", 2) if text.count(":") > 1 else ("", *text.split(":"))
    try:
        above, level = (float(part) for part in numbers)
    except ValueError:
        raise InputError(f"--flip {text!r}: is not [HEADLINE:]X:LEVEL: {HOW_TO_WRITE}") from None
    return Flip(above, level, headline.strip())


def headlines(fit: Refit, pset: PriorSet) -> dict[str, Array]:
    """The headlines of a posterior [chain, draw] by name.

    `revenue YEAR` for every year and `MODALITY YEAR` for every anchor, in millions; `growth a year`, as a fraction,
    from the first anchor to the last.
    """
    total, parts = fit.draws["revenue_total"], fit.draws.get("revenue_modality")
    anchors = pset.ledger.report.anchors
    found = {f"revenue {year}": total.sel(year=year) for year in pset.ledger.years}
    span = max(1, anchors[-1] - anchors[0])
    found["growth a year"] = (total.sel(year=anchors[-1]) / total.sel(year=anchors[0])) ** (1 / span) - 1
    if parts is not None:
        for modality in pset.ledger.modalities:
            found |= {f"{modality.name} {year}": parts.sel(modality=modality.name, anchor=year) for year in anchors}
    return {name: np.asarray(values.transpose(*SAMPLE).values) for name, values in found.items()}


def headline_of(fit: Refit, pset: PriorSet, flip: Flip) -> Array:
    """The headline that a flip is about [chain, draw]. Raises :class:`InputError` for one that there is not."""
    known = headlines(fit, pset)
    name = flip.headline or f"revenue {pset.ledger.years[-1]}"
    if name not in known:
        near = get_close_matches(name, known, 3, 0.4) or list(known)[:3]
        raise InputError(f"--flip: headline {name!r} is not known: name one such as {', '.join(near)}")
    return known[name]


@dataclass(frozen=True)
class Point:
    """P(revenue > X) with a number shifted by `sds` prior sds, and the standard error of that."""

    sds: float
    p: float
    se: float

    def meets(self, level: float) -> bool:
        """Whether `p` equals the level, within Monte-Carlo error."""
        return abs(self.p - level) <= SETTLED * self.se


@dataclass(frozen=True)
class Search:
    """What is known of one number: points, the first unshifted; what stored draws found; why it stopped."""

    points: tuple[Point, ...]
    first: str = ""
    stopped: str = ""


def probability_above(outcome: Array, above: float, sds: float) -> Point:
    """The point at a shift of `sds`: P(outcome > above) from draws [chain, draw].

    If all draws agree, the standard error is one draw's share: they do not show that the probability is 0 or 1.
    """
    exceeds = (outcome > above).astype(float)
    return Point(sds, float(exceeds.mean()), max(mcse_mean(exceeds), 1 / exceeds.size))


def flip_table(
    run: DataTree,
    pset: PriorSet,
    flip: Flip,
    numbers: Iterable[ElicitedNumber],
    known: Mapping[str, list[Point]],
    fit: Fitter,
) -> pd.DataFrame:
    """The smallest shift of each number at which P(headline > X) is at a level, the smallest first.

    Importance weights (PSIS) on stored draws say where to look first or, if their Pareto k is refused, a curve through
    the refits so far. Refits decide: each adds a point, and the answer is where a quadratic through all points, on the
    probit scale and weighted by their errors, meets the level, once a refit there agrees within two standard errors.
    Parameters: `known`, points from earlier refits by number; `fit`, which fits prior sets by name. Returns one row per
    number: `flips_at_sds` (prior sds) with its standard error, the `value` of its centre there, in `unit`, and `p` of
    the nearest refit; if nothing within `FARTHEST` flips it, `p` at the end that comes nearer. `first` says what stored
    draws found, with the Pareto k of their weights, or why they found nothing.
    """
    by_name = {number.name: number for number in numbers}
    outcome = headline_of(as_refit(run, pset), pset, flip)
    start, searches, tries = probability_above(outcome, flip.above, 0.0), dict[str, Search](), dict[str, float | None]()
    for name, number in by_name.items():
        guess, finding = guess_from_draws(run, pset, number, outcome > flip.above, flip.level)
        searches[name] = Search((start, *known.get(name, [])), finding)
        tries[name] = guess if guess is not None else next_try(searches[name].points, flip.level)
    for _ in range(ROUNDS):
        asked: dict[str, PriorSet] = {}
        for name, sds in tries.items():
            if sds is not None and not searches[name].stopped and not start.meets(flip.level):
                try:
                    asked[name] = shift_prior(pset, by_name[name], sds)
                except InputError:
                    why = f"no change that keeps the order of its neighbours flips it ({sds:+.2g} prior sds breaks it)"
                    searches[name] = replace(searches[name], stopped=why)
        for name, refit in (fit(asked) if asked else {}).items():
            if refit.missed:
                searches[name] = replace(searches[name], stopped=refit.missed)
                continue
            new = probability_above(headline_of(refit, pset, flip), flip.above, tries[name] or 0.0)
            searches[name] = replace(searches[name], points=(*searches[name].points, new))
        tries = {name: next_try(searches[name].points, flip.level) for name in asked}
    rows = [_row(by_name[name], search, flip.level) for name, search in searches.items()]
    table = pd.DataFrame(rows)
    return table.loc[table["flips_at_sds"].abs().sort_values(na_position="last").index].reset_index(drop=True)


def guess_from_draws(
    run: DataTree, pset: PriorSet, number: ElicitedNumber, values: NDArray[np.bool_] | Array, level: float
) -> tuple[float | None, str]:
    """The shift, in prior sds, at which the mean of stored draws under importance weights meets a level, and how.

    Shifts are tried outwards, in both directions, until the weights are refused; None if that is before the level is
    reached. Parameters: `values` [chain, draw], such as whether revenue is above X.
    """
    start, crossings, ends = float(values.mean()) - level, list[tuple[float, str]](), list[str]()
    for side in (1.0, -1.0):
        before = start
        for sds in side * np.arange(GRID_STEP, FARTHEST + GRID_STEP / 2, GRID_STEP):
            try:
                ratio = log_ratio(run, pset, number, shift_prior(pset, number, sds))
            except InputError:
                ends.append(f"{sds:+.2g} sd: its neighbours' order forbids it")
                break
            if ratio is None:
                return None, "the run has no draws of it"
            if (weights := reweight(ratio)).refused:
                ends.append(f"{sds:+.2g} sd: {weights.refused}")
                break
            gap = float((weights.values * values).sum()) - level
            if gap * start <= 0:
                at = sds - side * GRID_STEP * gap / (gap - before)
                crossings.append((at, f"stored draws: {at:+.2f} sd, Pareto k {weights.k:.2f}"))
                break
            before = gap
    if not crossings:
        return None, "stored draws do not reach the level" + (f" ({'; '.join(ends)})" if ends else "")
    return min(crossings, key=lambda crossing: abs(crossing[0]))


def solve(points: Iterable[Point], level: float) -> tuple[float, float] | None:
    """The smallest shift, in prior sds, at which a curve through points meets a level, and its standard error.

    The curve is a quadratic in the probits, or a line through fewer than four points, weighted by their errors. Returns
    None if it does not meet the level within `FARTHEST`.
    """
    at, gap, error = _probits(points, level)
    if len(at) < 2:  # noqa: PLR2004
        return None
    design = np.vander(at, min(len(at) - 1, 1 if len(at) < 4 else 2) + 1)  # noqa: PLR2004
    covariance = np.linalg.inv(design.T @ (design / error[:, None] ** 2))
    curve = covariance @ (design.T @ (gap / error**2))
    roots = np.roots(curve)
    real = roots.real[(np.abs(roots.imag) < ALMOST_ZERO) & (np.abs(roots.real) <= FARTHEST)]
    if not len(real):
        return None
    root = float(min(real, key=abs))
    row = np.vander([root], len(curve))[0]
    slope = float(np.polyval(np.polyder(curve), root))
    return root, float(np.sqrt(row @ covariance @ row) / max(abs(slope), ALMOST_ZERO))


def next_try(points: tuple[Point, ...], level: float) -> float | None:
    """The next shift to refit, in prior sds; None once a refit meets the level, or neither end reaches it."""
    if any(p.meets(level) for p in points):
        return None
    if (root := solve(points, level)) is not None:
        return root[0]
    at, gap, error = _probits(points, level)
    slope = float(np.polyfit(at, gap, 1, w=1 / error)[0]) if len(at) > 1 else 1.0
    toward = float(np.copysign(FARTHEST, -gap[0] * slope))
    tried = {p.sds for p in points}
    return next((end for end in (toward, -toward) if end not in tried), None)


def _probits(points: Iterable[Point], level: float) -> tuple[Array, Array, Array]:
    """Shifts [point], how far the probits of P are from the level's, and the errors of these."""
    at, p, se = (np.array(column) for column in zip(*((p.sds, p.p, p.se) for p in points), strict=True))
    probit = ndtri(np.clip(p, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))
    density = np.exp(-(probit**2) / 2) / np.sqrt(2 * np.pi)
    return at, np.asarray(probit - ndtri(level)), np.asarray(se / density)


def _row(number: ElicitedNumber, search: Search, level: float) -> dict[str, object]:
    """One row of the flip table."""
    start, root = search.points[0], solve(search.points, level)
    if start.meets(level):
        outcome, root = "already there, within Monte-Carlo error", (0.0, np.nan)
    elif root is not None and any(p.meets(level) for p in search.points):
        outcome = "flips"
    else:
        both_ends = {abs(p.sds) for p in search.points} >= {FARTHEST} and root is None
        none = f"no change within {FARTHEST:g} prior sds flips it"
        outcome = search.stopped or (none if both_ends else f"not settled after {ROUNDS} rounds of refits")
        root = None
    sds, error = root if root is not None else (np.nan, np.nan)
    farthest = max(abs(p.sds) for p in search.points)
    nearest = min(
        (p for p in search.points if root is not None or abs(p.sds) == farthest),
        key=lambda p: abs(p.p - level) if root is None else abs(p.sds - sds),
    )
    return {
        "input": number.name,
        "unit": number.prior.unit,
        "value_now": number.value(),
        "flips_at_sds": sds,
        "se": error,
        "value": number.value(nearest.sds if root is None else sds),
        "refit_at_sds": nearest.sds,
        "p": nearest.p,
        "p_se": nearest.se,
        "p_now": start.p,
        "outcome": outcome,
        "first": search.first,
    }
