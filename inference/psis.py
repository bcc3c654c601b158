"""Pareto-smoothed importance sampling: weights that turn stored draws into draws of another posterior.

The smoothing is that of ArviZ to the last digits (tested), without importing it, which takes over two seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from postcgrp.inference.diagnostics import diagnostics

Array = NDArray[np.float64]

K_LIMIT = 0.7
SHORTEST_TAIL = 5  # draws
FEWEST = 225  # draws; of fewer, the tail is a fifth
PRIOR_DRAWS, PRIOR_K = 10, 0.5  # a weak prior on k, worth this many draws of the tail
GRID_POINTS = 30
EPSILON = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Weights:
    """Importance weights [chain, draw] that sum to one, or NaN where they were refused.

    `k`: Pareto shape of their tail; `limit`: the largest k that is trusted; `ess`: how many equally weighted draws
    they are worth; `refused`: why they must not be used, empty if they may.
    """

    values: Array
    k: float
    limit: float
    ess: float
    refused: str = ""


def k_limit(draws: int) -> float:
    """The largest Pareto k at which weights of this many draws can be trusted (Vehtari et al. 2024, JMLR 25, 72)."""
    return min(1 - 1 / float(np.log10(draws)), K_LIMIT)


def relative_efficiency(draws: ArrayLike) -> float:
    """Tail effective sample size of draws [chain, draw] as a share of their number; 1 where it has no value.

    The tail of the weights is what is smoothed, so the efficiency in the tails of the log ratio sets how many draws
    belong to it, as in the R package posterior. Batch means, or an efficiency of the mean, would count draws that mix
    well in the middle and slowly in the tail as better than they are.
    """
    values = np.asarray(draws, dtype=float)
    share = float(diagnostics(values).ess_tail) / values.size
    return share if np.isfinite(share) else 1.0


def reweight(log_ratio: ArrayLike) -> Weights:
    """Pareto-smoothed importance weights, refused where k exceeds :func:`k_limit`.

    Draws that the new density rules out have no weight, and the tail is that of the others. Where the tail is of one
    value, the largest there is, nothing is smoothed and k is minus infinity: so it is where new knowledge is certain in
    most draws, as that nothing is sold by a year. Parameters: `log_ratio` [chain, draw], log of the new density over
    the density that was drawn from, up to a constant; minus infinity where the new density is zero.
    """
    ratio = np.asarray(log_ratio, dtype=float)
    possible = ~np.isneginf(ratio)
    kept = ratio[possible]
    none, limit = np.full(ratio.shape, np.nan), k_limit(kept.size or ratio.size)
    if lost := int((~np.isfinite(kept)).sum()):
        return Weights(none, np.nan, limit, np.nan, f"the log ratio is not finite in {lost} of {ratio.size} draws")
    if kept.size < FEWEST and kept.size < ratio.size:
        return Weights(none, np.inf, limit, np.nan, f"{kept.size} of {ratio.size} draws are possible, too few")
    values = np.zeros(ratio.shape)
    if np.ptp(kept) < EPSILON:
        values[possible] = 1 / kept.size
        return Weights(values, -np.inf, limit, float(kept.size))
    below = np.where(possible, ratio, kept.min() - 1)  # for the ranks of draws, by which the tail is judged
    smoothed, k = psis(kept, relative_efficiency(below))
    if k == np.inf and _is_capped(kept):
        smoothed, k = kept, -np.inf
    if not k <= limit:
        return Weights(none, k, limit, np.nan, f"Pareto k {k:.2f} is above {limit:.2f}")
    values[possible] = np.exp(smoothed - smoothed.max())
    values /= values.sum()
    return Weights(values, k, limit, float(1 / (values**2).sum()))


def _is_capped(log_ratio: Array) -> bool:
    """Whether as many draws as make a tail share the largest ratio, which then has a mass of its own."""
    return int((log_ratio > log_ratio.max() - EPSILON).sum()) >= max(SHORTEST_TAIL, int(3 * np.sqrt(log_ratio.size)))


def psis(log_ratio: Array, r_eff: float = 1.0) -> tuple[Array, float]:
    """Log weights [draw], not normalised, with the largest replaced by quantiles of a fitted Pareto tail; and its k.

    k is infinite for a tail that is too short or all of one value. Parameters: `log_ratio` [draw]; `r_eff`, the
    relative efficiency of the draws, which sets the length of the tail. Source: Vehtari, Simpson, Gelman, Yao & Gabry
    (2024), JMLR 25, 72, algorithm 1.
    """
    size = len(log_ratio)
    count = int(3 * np.sqrt(size / r_eff) if size * r_eff > FEWEST else size / 5)
    log_weights, order = log_ratio - log_ratio.max(), np.argsort(log_ratio)
    if not SHORTEST_TAIL <= count < size:
        return log_weights, np.inf
    tail, cutoff = order[-count:], np.exp(log_weights[order[-count - 1]])
    excess = np.exp(log_weights[tail]) - cutoff
    if excess[-1] - excess[0] < EPSILON * cutoff or not 0 <= excess[0] < excess[int(count / 4 + 0.5) - 1]:
        return log_weights, np.inf
    k, sigma = _fit_pareto(excess)
    probability = (np.arange(count) + 0.5) / count
    with np.errstate(over="ignore"):  # only for a k so large that the weights are refused
        quantile = cutoff + sigma * np.expm1(-k * np.log1p(-probability)) / k
    log_weights[tail] = np.minimum(np.log(quantile), 0.0)
    return log_weights, k


def _fit_pareto(excess: Array) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution (Zhang & Stephens 2009), from sorted values [draw]."""
    n = len(excess)
    grid = GRID_POINTS + int(np.sqrt(n))
    b = 1 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))
    b = b / (3 * excess[int(n / 4 + 0.5) - 1]) + 1 / excess[-1]
    shape = np.log1p(-b[:, None] * excess).mean(axis=1)
    log_like = n * (np.log(-b / shape) - shape - 1)
    weight = np.exp(log_like - log_like.max())
    weight /= weight.sum()
    weight[weight < 10 * EPSILON] = 0.0
    mean = float((b * weight).sum() / weight.sum())
    k = float(np.log1p(-mean * excess).mean())
    return (n * k + PRIOR_DRAWS * PRIOR_K) / (n + PRIOR_DRAWS), -k / mean
