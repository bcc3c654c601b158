"""R-hat, effective sample sizes and Monte-Carlo errors, of many quantities at once.

The method: Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), "Rank-normalization, folding, and localization: an
improved R-hat for assessing convergence of MCMC", Bayesian Analysis 16(2); section numbers below are theirs. The
figures equal those of `arviz_stats`, which takes one quantity after the other: for hundreds of posteriors that costs
more than sampling them, and importing it costs more than most commands do.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

SAMPLE = ("chain", "draw")  # the dims that index draws
TAIL_PROBABILITIES = (0.05, 0.95)  # section 4.3, and the ends of our intervals; `arviz_stats` defaults to 0.11 and 0.89
SHORTEST_CHAIN = 4  # draws: a half chain needs a variance
DRAWS_AT_A_TIME = 64_000  # more would not fit into the processor's cache, fewer leave Python most of the work


class Diagnostics(NamedTuple):
    """Rank-normalised split R-hat, bulk ESS and tail ESS: one array each, over quantities."""

    rhat: Array
    ess_bulk: Array
    ess_tail: Array


def diagnostics(draws: ArrayLike) -> Diagnostics:
    """R-hat, bulk ESS and tail ESS of every quantity; returns arrays [...].

    NaN where a draw is NaN or a chain has fewer than four draws. R-hat is NaN also for a single chain and for a
    constant; the ESS of a constant is its number of draws, so look for constants first. Parameters: `draws`
    [chain, draw, ...].
    """
    values = np.asarray(draws, dtype=float)
    chains, length, *shape = values.shape
    quantities = math.prod(shape)
    figures = np.full((3, quantities), np.nan)
    if length >= SHORTEST_CHAIN:
        values = np.moveaxis(values.reshape(chains, length, quantities), -1, 0)
        scores = _normal_scores(2 * chains * (length // 2))
        step = max(1, DRAWS_AT_A_TIME // (chains * length))
        for start in range(0, quantities, step):
            block = slice(start, start + step)
            figures[:, block] = _figures(np.ascontiguousarray(values[block]), scores)
    return Diagnostics(*figures.reshape(3, *shape))


def ess_mean(draws: ArrayLike) -> float:
    """Effective sample size of draws [chain, draw] for their mean (section 3.2).

    NaN where a draw is not finite; of a constant, the number of draws.
    """
    values = np.asarray(draws, dtype=float)
    if not np.isfinite(values).all():
        return np.nan
    halves = _halves(values[None])
    with np.errstate(invalid="ignore", divide="ignore"):  # of so nearly a constant that its variance underflows
        return float(_ess(halves)[0]) if np.ptp(halves) > 0 else float(halves.size)


def mcse_mean(draws: ArrayLike) -> float:
    """Monte-Carlo standard error of the mean of draws [chain, draw] (section 4.2).

    NaN where a draw is not finite; 0 for a constant.
    """
    values = np.asarray(draws, dtype=float)
    if not np.isfinite(values).all():
        return np.nan
    return float(values.std(ddof=1) / np.sqrt(ess_mean(values))) if np.ptp(values) > 0 else 0.0


def _halves(values: Array) -> Array:
    """Half chains [quantity, half chain, draw] of `values` [quantity, chain, draw]; an odd middle draw is left out."""
    half = values.shape[-1] // 2
    return np.concatenate((values[..., :half], values[..., -half:]), axis=1)


def _figures(values: Array, scores: Array) -> Array:
    """The three figures [figure, quantity] of `values` [quantity, chain, draw], with :func:`_normal_scores`."""
    quantities, chains, length = values.shape
    half = length // 2
    split = _halves(values)
    middle = values[..., half : length - half].reshape(quantities, -1)  # of an odd number of draws: in no half

    # One sort serves ranks, folded ranks, median and quantiles.
    flat = split.reshape(quantities, -1)
    size = flat.shape[-1]
    row = size * np.arange(quantities)[:, None]  # where each starts in flat memory, which `take` indexes
    order = np.argsort(flat, axis=-1) + row
    ordered = flat.take(order)
    with np.errstate(invalid="ignore", divide="ignore"):  # what has no value becomes NaN, and is settled below
        median = ordered[:, size // 2 - 1 : size // 2 + 1].mean(axis=-1, keepdims=True)
        folded = np.abs(ordered - median)
        fold = np.argsort(folded, axis=-1, kind="stable") + row  # merges two sorted runs: no full sort
        bulk = _rank_normalised(ordered, order, scores).reshape(split.shape)
        tail = _rank_normalised(folded.take(fold), order.take(fold), scores).reshape(split.shape)
        rhat_bulk, rhat_tail = _rhat(bulk), _rhat(tail)
        ess_bulk = _ess(bulk)
        limits = np.quantile(np.concatenate((ordered, middle), axis=-1), TAIL_PROBABILITIES, axis=-1)
        ess_tail = np.minimum(*(_ess((split <= limit[:, None, None]).astype(float)) for limit in limits))
    # Folding counts only where it has a value: two values may fold to one, and an infinite median leaves no distances.
    folding = (rhat_tail > rhat_bulk) & np.isfinite(median[:, 0])
    rhat = np.where(folding, rhat_tail, rhat_bulk) if chains > 1 else np.full(quantities, np.nan)
    return np.where(np.isnan(values).any(axis=(1, 2)), np.nan, np.stack((rhat, ess_bulk, ess_tail)))


def _normal_scores(size: int) -> Array:
    """The normal score of every rank 1, 1.5, 2, ..., `size`: with ties, a rank may be half an integer (section 4.1)."""
    from scipy.special import ndtri  # here and not above: commands that only need a constant start sooner

    ranks = np.arange(2, 2 * size + 1) / 2
    return np.asarray(ndtri((ranks - 3 / 8) / (size + 1 / 4)))


def _rank_normalised(ordered: Array, order: NDArray[np.intp], scores: Array) -> Array:
    """Normal scores of average ranks, in the order of the draws (section 4.1).

    Parameters: `ordered` [quantity, draw], sorted; `order` [quantity, draw], where in flat memory each draw stood;
    `scores`, see :func:`_normal_scores`.
    """
    new = np.ones(ordered.shape, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.flatnonzero(new)  # of every group of ties; a row starts a group, so that none spans two rows
    ties = np.diff(first, append=new.size)
    normalised = np.empty(ordered.size)
    # At twice the average rank, less 2, stands its score.
    normalised[order.ravel()] = np.repeat(scores[2 * (first % ordered.shape[-1]) + ties - 1], ties)
    return normalised


def _rhat(split: Array) -> Array:
    """R-hat of half chains [quantity, half chain, draw] (section 3.1)."""
    draws = split.shape[-1]
    between = draws * split.mean(axis=-1).var(axis=-1, ddof=1)
    within = split.var(axis=-1, ddof=1).mean(axis=-1)
    return np.asarray(np.sqrt((between / within + draws - 1) / draws))


def _ess(split: Array) -> Array:
    """Effective sample size of half chains [quantity, half chain, draw] (section 3.2).

    The sum over lags ends by the rules of Geyer (1992), "Practical Markov chain Monte Carlo", Statistical Science 7(4):
    sums of an even and the next odd lag, as long as they are positive, each at most the one before.
    """
    _, chains, draws = split.shape
    mean = split.mean(axis=-1, keepdims=True)
    length = 1 << (2 * draws - 1).bit_length()  # padded with zeros, or the end of a chain would meet its start
    spectrum = np.fft.rfft(split - mean, length)
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)  # of all chains, so that one inverse serves them
    covariance = np.fft.irfft(power, length)[:, :draws] / draws
    within = covariance[:, :1] * draws / (draws - 1)
    total = covariance[:, :1] + mean.var(axis=1, ddof=1)

    last = max((draws - 3) // 2, 0)  # the last pair that may end the sum; `arviz_stats` leaves out the final lags too
    correlation = 1 - (within - covariance[:, : 2 * last + 2]) / total
    correlation[:, 0] = 1
    pairs = correlation[:, ::2] + correlation[:, 1::2]
    falling = np.minimum.accumulate(pairs[:, :-1], axis=-1)
    end = np.sum(falling > 0, axis=-1, keepdims=True)  # the first pair that is not positive, or the last
    # The even lag of that pair still counts once if it is positive, which serves antithetic chains better.
    even, pair = (np.take_along_axis(a, i, axis=-1)[:, 0] for a, i in ((correlation, 2 * end), (pairs, end)))
    time = 2 * np.maximum(falling, 0).sum(axis=-1) - 1 + np.where(pair >= 0, even, np.maximum(even, 0))

    size = chains * draws
    bounded = np.maximum(time, 1 / np.log10(size))  # antithetic chains are worth more than their draws, up to here
    return np.asarray(np.where(total[:, 0] > 0, size / bounded, size))  # a constant has no error at all
