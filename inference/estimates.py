"""Estimates from weighted draws, and their Monte-Carlo errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from postcgrp.inference.diagnostics import ess_mean, mcse_mean

Array = NDArray[np.float64]

SUMMARY_QUANTILES = (0.05, 0.5, 0.95)


def weighted_summary(values: ArrayLike, weights: ArrayLike) -> dict[str, float]:
    """Mean, sd and the 5, 50 and 95 % quantiles of weighted draws; NaN where the weights are.

    Parameters: `values` and `weights` of one shape, the weights with sum one.
    """
    x, w = np.ravel(np.asarray(values, dtype=float)), np.ravel(np.asarray(weights, dtype=float))
    names = [f"q{100 * probability:02.0f}" for probability in SUMMARY_QUANTILES]
    if not np.isfinite(w).all():
        return dict.fromkeys(("mean", "sd", *names), np.nan)
    mean = float(w @ x)
    quantiles = quantile(x, w, SUMMARY_QUANTILES).tolist()
    return {"mean": mean, "sd": float(np.sqrt(w @ (x - mean) ** 2)), **dict(zip(names, quantiles, strict=True))}


def worth(values: Array, ess: float) -> float:
    """How many independent draws weighted ones are worth.

    Parameters: `values` [chain, draw] that are asked about, for how much their draws depend on each other; `ess`, how
    many equally weighted draws the weights leave.
    """
    return ess * min(1.0, ess_mean(values) / values.size)


def quantile(values: ArrayLike, weights: ArrayLike, probability: ArrayLike) -> Array:
    """Weighted quantiles of draws, interpolated; with equal weights they are those of `numpy.quantile`.

    Parameters: `values` and `weights` of one shape, the weights with any sum; `probability` of any shape, which the
    result has too.
    """
    x, w = np.ravel(np.asarray(values, dtype=float)), np.ravel(np.asarray(weights, dtype=float))
    order = np.argsort(x, kind="stable")
    w = w[order]
    # Half of each draw's weight lies on either side of it; the scale is such that the first is at 0, the last at 1.
    at = np.cumsum(w) - w / 2
    return np.asarray(np.interp(np.asarray(probability), (at - at[0]) / (at[-1] - at[0]), x[order]))


def quantile_error(values: Array, weights: Array, probability: float) -> float:
    """Monte-Carlo standard error of a weighted quantile: that of the mass below it, read off on the values' scale.

    Parameters: `values` and `weights` [chain, draw], the weights with sum one. Source: Woodruff (1952), JASA 47, 635.
    """
    below = values <= quantile(values, weights, probability)
    error = mcse_mean(weights * weights.size * (below - probability))
    ends = np.clip([probability - error, probability + error], 0.0, 1.0)
    return float(np.diff(quantile(values, weights, ends))[0] / 2)
