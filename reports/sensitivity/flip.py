"""What would change a decision: the smallest move of each assumption that brings a probability to a level."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri
from xarray import DataTree

from postcgrp.inference.psis import reweight
from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.forecast.summary import SAMPLE, group
from postcgrp.reports.sensitivity.refits import Refit
from postcgrp.reports.sensitivity.tornado import Input, log_ratio, mcse, moved, total

Array = NDArray[np.float64]
Fitter = Callable[[Mapping[str, PriorSet]], Mapping[str, Refit]]

FAR = 3.0  # prior sds beyond which it would be another assumption
STEP = 0.25  # of the search on stored draws
ROUNDS = 5  # of refits
SETTLED = 2.0  # standard errors between a refit and the level at which a flip is found
LEAST = 1e-4  # a probability has a probit from here on
WAY = "write revenue and a probability, such as 1000:0.5"


@dataclass(frozen=True)
class Flip:
    """A decision that hangs on whether P(revenue of the last year > `above`, in millions) exceeds `level`."""

    above: float
    level: float

    def __post_init__(self) -> None:
        if not (0 < self.level < 1 and 0 < self.above < np.inf):
            raise InputError(
                f"--flip {self.above:g}:{self.level:g}: needs revenue above zero and a probability between 0 and 1: "
                f"{WAY}"
            )


def parse_flip(text: str) -> Flip:
    """A flip from `X:LEVEL`. Raises :class:`InputError`."""
    try:
        above, level = (float(part) for part in text.split(":"))
    except ValueError:
        raise InputError(f"--flip {text!r}: is not X:LEVEL: {WAY}") from None
    return Flip(above, level)


@dataclass(frozen=True)
class Point:
    """P(revenue > X) where an input is moved by so many prior sds, and its standard error."""

    sds: float
    p: float
    se: float

    def meets(self, level: float) -> bool:
        """Whether this is the level, within Monte-Carlo error."""
        return abs(self.p - level) <= SETTLED * self.se


@dataclass(frozen=True)
class Search:
    """What is known of one input: points, the first that of no move; where stored draws say to look; why it ended."""

    points: tuple[Point, ...]
    first: str = ""
    stopped: str = ""


def point(outcome: Array, above: float, sds: float) -> Point:
    """P(outcome > above) from draws [chain, draw] at a move; of n draws none or all of which do, se is that of one."""
    hit = (outcome > above).astype(float)
    return Point(sds, float(hit.mean()), max(mcse(hit), 1 / hit.size))


def flip_table(
    run: DataTree, pset: PriorSet, flip: Flip, of: Iterable[Input], known: Mapping[str, list[Point]], fit: Fitter
) -> pd.DataFrame:
    """The smallest move of each input at which P(revenue of the last year > X) is at a level, the smallest first.

    Stored draws, importance-weighted (PSIS), say where to look first; where their Pareto k is refused, a curve through
    what refits found does. Refits decide: each adds a point, and the answer is where a quadratic through all points, on
    the probit scale and weighted by their errors, meets the level, once a refit there agrees within two standard
    errors. Parameters: `known`, points by input that are fitted already; `fit`, which fits prior sets by name. Returns
    one row an input: `flips_at_sds` (prior sds) with its standard error, the `value` of its centre then, in `unit`, `p`
    of the refit nearest to it; where nothing within `FAR` flips it, `p` at the end that comes nearer. `first` says what
    stored draws found, with the Pareto k of their weights, or why they found nothing.
    """
    year, by_name = pset.ledger.years[-1], {what.name: what for what in of}
    outcome = np.asarray(group(run)["revenue_total"].sel(year=year).transpose(*SAMPLE).values)
    start, searches, tries = point(outcome, flip.above, 0.0), dict[str, Search](), dict[str, float | None]()
    for name, what in by_name.items():
        guess, said = weighted(run, pset, what, outcome > flip.above, flip.level)
        searches[name] = Search((start, *known.get(name, [])), said)
        tries[name] = guess if guess is not None else next_try(searches[name].points, flip.level)
    for _ in range(ROUNDS):
        asked: dict[str, PriorSet] = {}
        for name, sds in tries.items():
            if sds is not None and not searches[name].stopped and not start.meets(flip.level):
                try:
                    asked[name] = moved(pset, by_name[name], sds)
                except InputError:
                    why = f"no change flips it that its neighbours' order allows ({sds:+.2g} prior sds it does not)"
                    searches[name] = replace(searches[name], stopped=why)
        for name, found in (fit(asked) if asked else {}).items():
            if found.missed:
                searches[name] = replace(searches[name], stopped=found.missed)
                continue
            new = point(total(found, year), flip.above, tries[name] or 0.0)
            searches[name] = replace(searches[name], points=(*searches[name].points, new))
        tries = {name: next_try(searches[name].points, flip.level) for name in asked}
    rows = [_row(by_name[name], search, flip.level) for name, search in searches.items()]
    table = pd.DataFrame(rows)
    return table.loc[table["flips_at_sds"].abs().sort_values(na_position="last").index].reset_index(drop=True)


def weighted(
    run: DataTree, pset: PriorSet, what: Input, hit: NDArray[np.bool_], level: float
) -> tuple[float | None, str]:
    """Where importance weights on stored draws meet the level, in prior sds, and what is to be said of them.

    Moves are tried outwards, each way up to where the weights are refused; None where none of them reaches. Parameters:
    `hit` [chain, draw], where revenue is above X.
    """
    start, found, ends = float(hit.mean()) - level, list[tuple[float, str]](), list[str]()
    for side in (1.0, -1.0):
        before = start
        for sds in side * np.arange(STEP, FAR + STEP / 2, STEP):
            try:
                ratio = log_ratio(run, pset, what, moved(pset, what, sds))
            except InputError:
                ends.append(f"{sds:+.2g} sd: its neighbours' order forbids it")
                break
            if ratio is None:
                return None, "the run has no draws of it"
            if (weights := reweight(ratio)).refused:
                ends.append(f"{sds:+.2g} sd: {weights.refused}")
                break
            gap = float((weights.values * hit).sum()) - level
            if gap * start <= 0:
                at = sds - side * STEP * gap / (gap - before)
                found.append((at, f"stored draws: {at:+.2f} sd, Pareto k {weights.k:.2f}"))
                break
            before = gap
    if not found:
        return None, "stored draws do not reach the level" + (f" ({'; '.join(ends)})" if ends else "")
    return min(found, key=lambda one: abs(one[0]))


def solve(points: Iterable[Point], level: float) -> tuple[float, float] | None:
    """The smallest move, in prior sds, at which a curve through points meets a level, and its standard error.

    Probits are fitted by a quadratic, or a line through fewer than four points, weighted by their errors; None where it
    does not meet the level within `FAR`.
    """
    at, gap, error = _probits(points, level)
    if len(at) < 2:  # noqa: PLR2004
        return None
    design = np.vander(at, min(len(at) - 1, 1 if len(at) < 4 else 2) + 1)  # noqa: PLR2004
    covariance = np.linalg.inv(design.T @ (design / error[:, None] ** 2))
    curve = covariance @ (design.T @ (gap / error**2))
    roots = np.roots(curve)
    real = roots.real[(np.abs(roots.imag) < LEAST) & (np.abs(roots.real) <= FAR)]
    if not len(real):
        return None
    root = float(min(real, key=abs))
    row = np.vander([root], len(curve))[0]
    slope = float(np.polyval(np.polyder(curve), root))
    return root, float(np.sqrt(row @ covariance @ row) / max(abs(slope), LEAST))


def next_try(points: tuple[Point, ...], level: float) -> float | None:
    """The next move to refit, in prior sds; None once a refit meets the level, or those at both ends do not."""
    if any(p.meets(level) for p in points):
        return None
    if (found := solve(points, level)) is not None:
        return found[0]
    at, gap, error = _probits(points, level)
    slope = float(np.polyfit(at, gap, 1, w=1 / error)[0]) if len(at) > 1 else 1.0
    toward = float(np.copysign(FAR, -gap[0] * slope))
    tried = {p.sds for p in points}
    return next((end for end in (toward, -toward) if end not in tried), None)


def _probits(points: Iterable[Point], level: float) -> tuple[Array, Array, Array]:
    """Moves, how far probits of P are from the level's, and their errors."""
    at, p, se = (np.array(column) for column in zip(*((p.sds, p.p, p.se) for p in points), strict=True))
    probit = ndtri(np.clip(p, LEAST, 1 - LEAST))
    density = np.exp(-(probit**2) / 2) / np.sqrt(2 * np.pi)
    return at, np.asarray(probit - ndtri(level)), np.asarray(se / density)


def _row(what: Input, search: Search, level: float) -> dict[str, object]:
    """One row of the flip table."""
    start, found = search.points[0], solve(search.points, level)
    if start.meets(level):
        said, found = "already there, within Monte-Carlo error", (0.0, np.nan)
    elif found is not None and any(p.meets(level) for p in search.points):
        said = "flips"
    else:
        ends = {abs(p.sds) for p in search.points} >= {FAR} and found is None
        none = f"no change within {FAR:g} prior sds flips it"
        said = search.stopped or (none if ends else f"not settled after {ROUNDS} rounds of refits")
        found = None
    sds, error = found if found is not None else (np.nan, np.nan)
    far = max(abs(p.sds) for p in search.points)
    near = min(
        (p for p in search.points if found is not None or abs(p.sds) == far),
        key=lambda p: abs(p.p - level) if found is None else abs(p.sds - sds),
    )
    return {
        "input": what.name,
        "unit": what.prior.unit,
        "value_now": what.value(),
        "flips_at_sds": sds,
        "se": error,
        "value": what.value(near.sds if found is None else sds),
        "refit_at_sds": near.sds,
        "p": near.p,
        "p_se": near.se,
        "p_now": start.p,
        "outcome": said,
        "first": search.first,
    }
