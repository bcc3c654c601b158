"""From a stated range to a prior distribution, in closed form on three link scales."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from postcgrp.priors.catalogue import Family, holds_some
from postcgrp.priors.errors import InputError

# scipy.special takes half as long to import as the rest of an audit: it is imported only where NumPy and Python's own
# statistics do not suffice.


def logit(fraction: ArrayLike) -> NDArray[np.float64]:
    """Returns the log-odds of fractions: infinite at 0 and 1, NaN outside."""
    p = np.asarray(fraction, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(p) - np.log1p(-p))


def expit(log_odds: ArrayLike) -> NDArray[np.float64]:
    """Returns the fractions that have these log-odds."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-np.asarray(log_odds, dtype=np.float64))))


Link = Callable[[Any], Any]  # element by element, as a ufunc
LINK: dict[Family, tuple[Link, Link]] = {  # onto the real line, and back
    "normal": (np.asarray, np.asarray),
    "lognormal": (np.log, np.exp),
    "logitnormal": (logit, expit),
    "student": (np.asarray, np.asarray),
    "logstudent": (np.log, np.exp),
    "logitstudent": (logit, expit),
}
REVERSAL = 1e-3  # the largest probability that a quantity which must not fall is drawn as falling
LARGEST_LOGIT = 40.0  # log-odds of a share that is 0 or 1
STUDENT_DF = 4.0  # heavy tails with a variance: one draw in a hundred lies beyond 3.7 scales, a normal's beyond 2.6
FIXED_DECIMALS = 12  # a number that stands for a range comes back from its link as it was given, 0 and 1 included


def is_heavy(family: Family) -> bool:
    """Whether a family is Student-t on its link scale."""
    return family.endswith("student")


def _standard_quantile(family: Family, probability: Any) -> Any:
    if isinstance(probability, float) and 0 < probability < 1 and not is_heavy(family):
        return NormalDist().inv_cdf(probability)
    from scipy.special import ndtri, stdtrit

    return stdtrit(STUDENT_DF, probability) if is_heavy(family) else ndtri(probability)


def _standard_cdf(family: Family, score: Any) -> Any:
    from scipy.special import ndtr, stdtr

    return stdtr(STUDENT_DF, score) if is_heavy(family) else ndtr(score)


def standard_log_density(family: Family, score: ArrayLike) -> NDArray[np.float64]:
    """Returns the log density of a score, in sds from the centre on the link scale, up to a constant of the family."""
    squared = np.square(np.asarray(score, dtype=np.float64))
    if is_heavy(family):
        return np.asarray(-(STUDENT_DF + 1) / 2 * np.log1p(squared / STUDENT_DF), dtype=np.float64)
    return np.asarray(-squared / 2, dtype=np.float64)


@dataclass(frozen=True)
class Prior:
    """A normal or Student-t distribution on a link scale, and where it came from.

    `mu` and `sd` (for a Student-t its scale) are on the link scale of `family`: identity, log or logit. `low`..`high`
    is the stated range in `unit`, which holds `coverage` of the mass; all three are None for a point with an assumed
    spread. A number that is fixed has an `sd` of 0. `open`: nothing is claimed about it, because its claim is left out.
    """

    name: str
    family: Family
    mu: float
    sd: float
    unit: str
    origin: str
    because: str
    low: float | None = None
    high: float | None = None
    coverage: float | None = None
    open: bool = False

    def quantile(self, probability: ArrayLike) -> NDArray[np.float64]:
        """Returns the quantiles, in `unit`, at the given probabilities."""
        _, inverse = LINK[self.family]
        score = _standard_quantile(self.family, np.asarray(probability, dtype=np.float64))
        found = np.asarray(inverse(self.mu + self.sd * score), dtype=np.float64)
        return found if self.sd > 0 else found.round(FIXED_DECIMALS)

    def cdf(self, value: ArrayLike) -> NDArray[np.float64]:
        """Returns the probability of at most `value` (in `unit`)."""
        forward, _ = LINK[self.family]
        score = (forward(value) - self.mu) / self.sd
        return np.asarray(_standard_cdf(self.family, score), dtype=np.float64)

    def log_density(self, value: ArrayLike) -> NDArray[np.float64]:
        """Returns the log density at `value` (in `unit`), up to a constant of the family."""
        x, (forward, _) = np.asarray(value, dtype=np.float64), LINK[self.family]
        with np.errstate(divide="ignore", invalid="ignore"):
            standard = standard_log_density(self.family, (forward(x) - self.mu) / self.sd)
            slope = -np.log(x) if self.family.startswith("log") else np.zeros_like(x)  # of the link, log
            if self.family.startswith("logit"):
                slope = slope - np.log1p(-x)
            return np.asarray(standard + slope - np.log(self.sd), dtype=np.float64)


def from_range(low: float, high: float, coverage: float, family: Family) -> tuple[float, float]:
    """Returns the mean and sd on the link scale that put `coverage` between `low` and `high`, equal-tailed.

    Exact: both ends are quantiles on the link scale, and two equations give two parameters. Raises
    :class:`InputError` if an end has no finite value on the link scale, such as a fraction of 0 or 1, or if the
    coverage is none.
    """
    if not holds_some(coverage):
        raise InputError(f"coverage = {coverage:g} is not inside 0..1: write it as a fraction")
    forward, _ = LINK[family]
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.asarray(forward([low, high]), dtype=np.float64)
    if not np.all(np.isfinite(ends)) or not ends[0] < ends[1]:
        raise InputError(f"range {low:g}..{high:g} has no {family} prior: use ends inside its support, low below high")
    return float(ends.mean()), float(np.diff(ends)[0] / (2 * _standard_quantile(family, (1 + coverage) / 2)))


def on_link(value: float, family: Family) -> float:
    """Returns a value on a family's link scale; a share of 0 or 1 becomes log-odds that no prior reaches."""
    forward, _ = LINK[family]
    with np.errstate(divide="ignore"):
        return float(np.clip(forward(value), -LARGEST_LOGIT, LARGEST_LOGIT) if "logit" in family else forward(value))


def from_quantiles(quantiles: Mapping[float, float], family: Family) -> tuple[float, float]:
    """Returns the mean and sd on the link scale of the distribution that has two given quantiles.

    Parameters: `quantiles`, two numbers, each by the fraction of mass below it. Raises :class:`InputError` for a number
    outside the support of the family, or numbers that do not rise with their fractions.
    """
    forward, _ = LINK[family]
    (p, low), (q, high) = sorted(quantiles.items())
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.asarray(forward([low, high]), dtype=np.float64)
    if not np.all(np.isfinite(ends)) or not ends[0] < ends[1]:
        raise InputError(f"quantiles {low:g} and {high:g} have no {family} prior: use rising ones inside its support")
    scores = _standard_quantile(family, np.array([p, q]))
    sd = float(np.diff(ends)[0] / np.diff(scores)[0])
    return float(ends[0] - sd * scores[0]), sd


def range_of(mu: float, sd: float, coverage: float, family: Family) -> tuple[float, float]:
    """Returns the equal-tailed range that holds `coverage`: what :func:`from_range` takes back to `mu` and `sd`."""
    _, inverse = LINK[family]
    half = sd * float(_standard_quantile(family, (1 + coverage) / 2))
    return float(inverse(mu - half)), float(inverse(mu + half))


def coupling(priors: tuple[Prior, ...], correlation: float, *, falling: bool = False) -> NDArray[np.float64]:
    """Returns the lower Cholesky factor [k, k] of a Markov correlation under which consecutive quantities do not fall.

    Each neighbouring pair gets `correlation`, or the smallest larger one at which the second is below the first with a
    probability of at most 0.1 %; the marginals do not change. A pair with a prior about which nothing is claimed keeps
    `correlation`. Parameters: `priors`, logit- or log-normals in increasing order; `falling`, whether they are in
    decreasing order and must not rise instead. Raises :class:`InputError` if no correlation keeps the order.
    """
    side, turn, mend = ("below", "rise", "lower") if falling else ("above", "fall", "raise")
    gap_in_sd = float(-_standard_quantile("normal", REVERSAL))
    links = [1.0]
    for below, above in pairwise(priors):
        if below.open or above.open:
            links.append(correlation)
            continue
        gap = (below.mu - above.mu if falling else above.mu - below.mu) / gap_in_sd
        needed = (below.sd**2 + above.sd**2 - gap**2) / (2 * below.sd * above.sd)
        if gap < 0 or needed > 1:
            raise InputError(
                f"{below.name} and {above.name}: {_stated(below)}, then {_stated(above)}: the second does not lie "
                f"{side} the first and must not {turn}: {mend} it, or make the two alike in width"
            )
        links.append(max(correlation, needed))
    return markov(links)


def markov(links: Sequence[float]) -> NDArray[np.float64]:
    """Returns the lower Cholesky factor [k, k] of a Markov chain's correlation.

    Parameters: `links` [k], the correlation of each quantity with the one before it; the first is not used.
    """
    size = len(links)
    matrix = np.eye(size)
    for i in range(size):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = np.prod(links[j + 1 : i + 1])
    return np.linalg.cholesky(matrix + 1e-12 * np.eye(size))


def falls(priors: Sequence[Prior]) -> bool:
    """Returns whether levels in order fall, from each of which something is claimed to the next such one."""
    claimed = [prior.mu for prior in priors if not prior.open]
    return len(claimed) > 1 and all(after < before for before, after in pairwise(claimed))


def _stated(prior: Prior) -> str:
    if prior.low is None or prior.high is None:
        return f"{float(prior.quantile(0.5)):g}"
    return f"{prior.low:g}..{prior.high:g}"
