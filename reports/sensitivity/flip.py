"""What would change a decision: the smallest move of an assumption, or of two, that brings a probability to a level."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri
from xarray import DataArray, DataTree

from postcgrp.inference.diagnostics import SAMPLE, mcse_mean
from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.sensitivity.moves import FARTHEST, Move, guess_from_draws, steepest_pairs
from postcgrp.reports.sensitivity.refits import Refit, as_refit
from postcgrp.reports.sensitivity.tornado import ElicitedNumber

Array = NDArray[np.float64]
Fitter = Callable[[Mapping[str, PriorSet]], Mapping[str, Refit]]

ROUNDS = 5  # of refits
PAIRS_TRIED = 5  # of two numbers moved at once
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


def headlines(fit: Refit, pset: PriorSet) -> dict[str, Callable[[], DataArray]]:
    """The headlines of a posterior [chain, draw] by name, each computed when it is called for.

    `revenue YEAR` for every year and `MODALITY YEAR` for every anchor, in millions; `growth a year`, as a fraction,
    from the first anchor to the last.
    """
    total, parts = fit.draws["revenue_total"], fit.draws.get("revenue_modality")
    anchors = pset.ledger.report.anchors
    span = max(1, anchors[-1] - anchors[0])

    def growth() -> DataArray:
        return (total.sel(year=anchors[-1], drop=True) / total.sel(year=anchors[0], drop=True)) ** (1 / span) - 1

    found: dict[str, Callable[[], DataArray]] = {
        f"revenue {year}": partial(total.sel, year=year) for year in pset.ledger.years
    }
    found["growth a year"] = growth
    if parts is not None:
        names = [modality.name for modality in pset.ledger.modalities]
        found |= {
            f"{name} {year}": partial(parts.sel, modality=name, anchor=year) for name in names for year in anchors
        }
    return found


def headline_of(fit: Refit, pset: PriorSet, flip: Flip) -> Array:
    """The headline that a flip is about [chain, draw]. Raises :class:`InputError` for one that there is not."""
    known = headlines(fit, pset)
    name = flip.headline or f"revenue {pset.ledger.years[-1]}"
    if name not in known:
        near = get_close_matches(name, known, 3, 0.4) or list(known)[:3]
        raise InputError(f"--flip: headline {name!r} is not known: name one such as {', '.join(near)}")
    return np.asarray(known[name]().transpose(*SAMPLE).values)


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
    moves = {number.name: Move((number,)) for number in numbers}
    searches = _searched(run, pset, flip, moves, known, fit)
    table = pd.DataFrame([_row(moves[name].numbers[0], search, flip.level) for name, search in searches.items()])
    return _nearest_first(table)


def pair_table(
    run: DataTree,
    pset: PriorSet,
    flip: Flip,
    numbers: Sequence[ElicitedNumber],
    known: Mapping[str, list[Point]],
    fit: Fitter,
) -> pd.DataFrame:
    """The smallest move of two numbers at once at which P(headline > X) is at a level, the smallest first.

    Of each two of the numbers that matter most, the move is along the gradient of the probit, which the refits in
    `known` give; how far, stored draws and refits say, as for one number. Parameters: as for :func:`flip_table`.
    Returns one row per pair, of those that need least by the gradient: `flips_at_sds`, the length of the move in prior
    sds, with its standard error; what each number is moved by, and to, there (:meth:`Move.described`); else as
    :func:`flip_table` does. Empty where the probability is at the level already.
    """
    start = probability_above(headline_of(as_refit(run, pset), pset, flip), flip.above, 0.0)
    none = pd.DataFrame(columns=["inputs", "flips_at_sds", "se", "p_now", "outcome"])
    if start.meets(flip.level):
        return none
    slopes = {name: _slope((start, *points), flip.level) for name, points in known.items() if points}
    pairs = steepest_pairs(numbers, slopes, flip.level - start.p)[:PAIRS_TRIED]
    moves = {move.name: move for move in pairs}
    gap = abs(float(ndtri(flip.level) - ndtri(np.clip(start.p, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))))
    steep = {name: float(np.dot(move.parts, [slopes[n.name] for n in move.numbers])) for name, move in moves.items()}
    ahead = {name: min(gap / abs(slope), FARTHEST) for name, slope in steep.items()}
    searches = _searched(run, pset, flip, moves, {}, fit, ahead)
    rows = []
    for name, search in searches.items():
        found = _found(search, flip.level)
        at = found["flips_at_sds"] if np.isfinite(found["flips_at_sds"]) else found["refit_at_sds"]
        rows.append({"inputs": name, **moves[name].described(at), **found})
    return _nearest_first(pd.DataFrame(rows)) if rows else none


def _nearest_first(table: pd.DataFrame) -> pd.DataFrame:
    return table.loc[table["flips_at_sds"].abs().sort_values(na_position="last").index].reset_index(drop=True)


def _searched(
    run: DataTree,
    pset: PriorSet,
    flip: Flip,
    moves: Mapping[str, Move],
    known: Mapping[str, list[Point]],
    fit: Fitter,
    ahead: Mapping[str, float] | None = None,
) -> dict[str, Search]:
    """What is found of each move, by refits from where stored draws point, or else from where `ahead` does."""
    outcome = headline_of(as_refit(run, pset), pset, flip)
    start, searches, tries = probability_above(outcome, flip.above, 0.0), dict[str, Search](), dict[str, float | None]()
    for name, move in moves.items():
        guess, finding = guess_from_draws(run, pset, move, outcome > flip.above, flip.level)
        searches[name] = Search((start, *known.get(name, [])), finding)
        guess = guess if guess is not None or ahead is None else ahead[name]
        tries[name] = guess if guess is not None else next_try(searches[name].points, flip.level)
    for _ in range(ROUNDS):
        asked: dict[str, PriorSet] = {}
        for name, sds in tries.items():
            if sds is not None and not searches[name].stopped and not start.meets(flip.level):
                try:
                    asked[name] = moves[name].to(pset, sds)
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
    return searches


def solve(points: Iterable[Point], level: float) -> tuple[float, float] | None:
    """The smallest shift, in prior sds, at which a curve through points meets a level, and its standard error.

    The curve is a quadratic in the probits, or a line through fewer than four points, weighted by their errors; where
    it meets the level between points, that is taken before what lies beyond them. Returns None if it does not meet the
    level within `FARTHEST`.
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
    between = real[(real >= at.min()) & (real <= at.max())]  # beyond all points a quadratic may turn where P does not
    root = float(min(between if len(between) else real, key=abs))
    row = np.vander([root], len(curve))[0]
    slope = float(np.polyval(np.polyder(curve), root))
    return root, float(np.sqrt(row @ covariance @ row) / max(abs(slope), ALMOST_ZERO))


def next_try(points: tuple[Point, ...], level: float) -> float | None:
    """The next shift to refit, in prior sds; None once a refit meets the level, or neither end reaches it."""
    if any(p.meets(level) for p in points):
        return None
    if (root := solve(points, level)) is not None:
        return root[0]
    _, gap, _ = _probits(points, level)
    toward = float(np.copysign(FARTHEST, -gap[0] * _slope(points, level)))
    tried = {p.sds for p in points}
    return next((end for end in (toward, -toward) if end not in tried), None)


def _slope(points: Iterable[Point], level: float) -> float:
    """The slope of the probit by prior sd, of a line through points; 1 where there is only one."""
    at, gap, error = _probits(points, level)
    return float(np.polyfit(at, gap, 1, w=1 / error)[0]) if len(at) > 1 else 1.0


def _probits(points: Iterable[Point], level: float) -> tuple[Array, Array, Array]:
    """Shifts [point], how far the probits of P are from the level's, and the errors of these."""
    at, p, se = (np.array(column) for column in zip(*((p.sds, p.p, p.se) for p in points), strict=True))
    probit = ndtri(np.clip(p, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))
    density = np.exp(-(probit**2) / 2) / np.sqrt(2 * np.pi)
    return at, np.asarray(probit - ndtri(level)), np.asarray(se / density)


def _row(number: ElicitedNumber, search: Search, level: float) -> dict[str, Any]:
    """One row of the flip table."""
    found = _found(search, level)
    at = found["flips_at_sds"] if np.isfinite(found["flips_at_sds"]) else found["refit_at_sds"]
    about = {"input": number.name, "unit": number.prior.unit, "value_now": number.value()}
    where = {"flips_at_sds": found.pop("flips_at_sds"), "se": found.pop("se"), "value": number.value(at)}
    return about | where | found


def _found(search: Search, level: float) -> dict[str, Any]:
    """What a search came to: where it flips, the refit nearest to that, and how it ended."""
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
        "flips_at_sds": sds,
        "se": error,
        "refit_at_sds": nearest.sds,
        "p": nearest.p,
        "p_se": nearest.se,
        "p_now": start.p,
        "outcome": outcome,
        "first": search.first,
    }
