"""Estimates from weighted draws, and what they are worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def batches(values: Array) -> Array:
    """Means [batch, ...] of consecutive draws of a chain, each of the square root of its length.

    Parameters: `values` [chain, draw, ...]. Longer than the autocorrelation reaches, so nearly independent.
    """
    length = int(np.sqrt(values.shape[1]))
    kept = values[:, values.shape[1] % length :]
    split = kept.reshape(values.shape[0], -1, length, *values.shape[2:]).mean(axis=2)
    return np.asarray(split.reshape(-1, *values.shape[2:]))


def standard_error(values: Array) -> Array:
    """Monte-Carlo standard error of the mean of draws [chain, draw, ...], by batch means."""
    means = batches(values)
    return np.asarray(means.std(axis=0, ddof=1) / np.sqrt(len(means)))


def quantile(values: ArrayLike, weights: ArrayLike, probability: ArrayLike) -> Array:
    """Weighted quantiles of draws, interpolated as `numpy.quantile` does where the weights are equal.

    Parameters: `values` and `weights` of one shape, the weights with any sum.
    """
    x, w = np.ravel(np.asarray(values, dtype=float)), np.ravel(np.asarray(weights, dtype=float))
    order = np.argsort(x, kind="stable")
    w = w[order]
    # The first draw lies at 0 and the last at 1: half of each one's weight lies on either side of it.
    at = np.cumsum(w) - w / 2
    return np.asarray(np.interp(np.asarray(probability), (at - at[0]) / (at[-1] - at[0]), x[order]))


def quantile_error(values: Array, weights: Array, probability: float) -> float:
    """Monte-Carlo standard error of a weighted quantile: that of the mass below it, read off on the value's scale.

    Parameters: `values` and `weights` [chain, draw], the weights with sum one. Source: Woodruff (1952), JASA 47, 635.
    """
    below = values <= quantile(values, weights, probability)
    error = float(standard_error(weights * weights.size * (below - probability)))
    ends = np.clip([probability - error, probability + error], 0.0, 1.0)
    return float(np.diff(quantile(values, weights, ends))[0] / 2)
