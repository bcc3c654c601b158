"""Importance weights of draws, their tail smoothed.

Pareto smoothing is that of ArviZ, to the last digits (tested), without the import, which alone takes half a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from postcgrp.inference.diagnostics import diagnostics

Array = NDArray[np.float64]

K_LIMIT = 0.7
LEAST_TAIL = 5  # draws
FIFTH = 225  # draws; below so many the tail is a fifth of them
PRIOR_DRAWS, PRIOR_K = 10, 0.5  # a weak prior on k, worth so many draws of the tail
GRID = 30
EPSILON = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Weights:
    """Importance weights [chain, draw] that sum to one, NaN where they were refused.

    `k`, the Pareto shape of their tail; `limit`, the largest one trusted; `ess`, how many equal weights they are
    worth; `refused`, why they are not to be used, else empty.
    """

    values: Array
    k: float
    limit: float
    ess: float
    refused: str = ""


def k_limit(draws: int) -> float:
    """The largest Pareto k at which as many draws can be trusted (Vehtari et al. 2024, JMLR 25, 72)."""
    return min(1 - 1 / float(np.log10(draws)), K_LIMIT)


def efficiency(log_ratio: ArrayLike) -> float:
    """Relative effective sample size of the tails of log ratios [chain, draw]: of so many draws a tail is smoothed.

    That of the 5 and 95 % quantiles, for what is smoothed is a tail. 1 where it has no value.
    """
    ratio = np.asarray(log_ratio, dtype=float)
    relative = float(diagnostics(ratio).ess_tail) / ratio.size
    return relative if np.isfinite(relative) and relative > 0 else 1.0


def reweight(log_ratio: ArrayLike, r_eff: float | None = None) -> Weights:
    """Pareto-smoothed importance weights, refused where k exceeds :func:`k_limit`.

    Parameters: `log_ratio` [chain, draw], log of the new density over that of the draws, up to a constant; `r_eff`, by
    default its :func:`efficiency`.
    """
    ratio = np.asarray(log_ratio, dtype=float)
    none, limit = np.full(ratio.shape, np.nan), k_limit(ratio.size)
    if lost := int((~np.isfinite(ratio)).sum()):
        return Weights(none, np.nan, limit, np.nan, f"the log ratio is not finite in {lost} of {ratio.size} draws")
    if np.ptp(ratio) < EPSILON:
        return Weights(np.full(ratio.shape, 1 / ratio.size), -np.inf, limit, float(ratio.size))
    smoothed, k = psis(ratio.ravel(), efficiency(ratio) if r_eff is None else r_eff)
    if not k <= limit:
        return Weights(none, k, limit, np.nan, f"Pareto k {k:.2f} is above {limit:.2f}")
    values = np.exp(smoothed - smoothed.max()).reshape(ratio.shape)
    values /= values.sum()
    return Weights(values, k, limit, float(1 / (values**2).sum()))


def psis(log_ratio: Array, r_eff: float = 1.0) -> tuple[Array, float]:
    """Log weights [draw], not normalised, whose largest are order statistics of a Pareto distribution; and its k.

    Parameters: `log_ratio` [draw]; `r_eff`, relative efficiency of the draws, which sets how many are the tail.
    Source: Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25, 72, algorithm 1; k is infinite for a tail too short
    or all of one value.
    """
    size = len(log_ratio)
    count = int(3 * np.sqrt(size / r_eff) if size * r_eff > FIFTH else size / 5)
    log_weights, order = log_ratio - log_ratio.max(), np.argsort(log_ratio)
    if not LEAST_TAIL <= count < size:
        return log_weights, np.inf
    tail, cutoff = order[-count:], np.exp(log_weights[order[-count - 1]])
    excess = np.exp(log_weights[tail]) - cutoff
    if excess[-1] - excess[0] < EPSILON * cutoff or not 0 <= excess[0] < excess[int(count / 4 + 0.5) - 1]:
        return log_weights, np.inf
    k, sigma = _pareto(excess)
    probability = (np.arange(count) + 0.5) / count
    with np.errstate(over="ignore"):  # of a k so large that the weights are refused
        quantile = cutoff + sigma * np.expm1(-k * np.log1p(-probability)) / k
    log_weights[tail] = np.minimum(np.log(quantile), 0.0)
    return log_weights, k


def _pareto(excess: Array) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution (Zhang & Stephens 2009), from sorted values [draw]."""
    n = len(excess)
    grid = GRID + int(np.sqrt(n))
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
