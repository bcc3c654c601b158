"""Fewer draws that keep means and tails: which ones, and what the thinning costs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Dataset

from postcgrp.inference.diagnostics import SAMPLE, TAIL_PROBABILITIES

Array = NDArray[np.float64]
METHOD = (
    "kernel herding with the energy distance, on yearly revenue in total and by region, depth and modality, and on "
    "whether the total is in its tails"
)
TAILS = (0.025, 0.05, 0.1)  # shares of draws whose count, below and above, is to stay
VARIANCE = 1e-4  # a principal component with less of it is left out of the distance
_BLOCK = 500  # points whose distances to all others are held at once


def herd(points: Array, keep: int) -> NDArray[np.intp]:
    """Indices, sorted, of `keep` of the `points` [draw, feature] whose distribution is closest to that of all.

    Each step takes the point that lowers the energy distance most: kernel herding (Chen, Welling & Smola 2010) with
    the kernel of support points (Mak & Joseph 2018). Deterministic; whole draws are kept, so they stay joint.
    """
    from scipy.spatial.distance import cdist  # here and not above: an export of every draw does without SciPy

    scale = points.std(axis=0)
    z = (points - points.mean(axis=0))[:, scale > 0] / scale[scale > 0]
    _, size, directions = np.linalg.svd(z, full_matrices=False)
    z = z @ directions[size**2 > VARIANCE * (size**2).sum()].T
    to_all = np.concatenate([cdist(z[i : i + _BLOCK], z).mean(axis=1) for i in range(0, len(z), _BLOCK)])
    to_kept, kept = np.zeros(len(z)), np.zeros(len(z), dtype=bool)
    for step in range(1, keep + 1):
        gain = np.where(kept, np.inf, to_all - to_kept / step)
        best = int(gain.argmin())
        kept[best] = True
        to_kept += cdist(z[best][None], z)[0]
    return np.flatnonzero(kept)


def features(draws: Dataset) -> Array:
    """What thinned draws must agree in [draw, feature]: yearly revenue, in total and by each segment, and its tails.

    Parameters: `draws`, the posterior [chain, draw, ...]. A tail is an indicator, whose mean is the share of draws in
    it: sums alone would keep the means ten times better than the 5 and 95 % points.
    """
    revenue = draws["revenue"].transpose(*SAMPLE, "year", ...)
    dims = revenue.dims[3:]
    count = revenue.sizes["chain"] * revenue.sizes["draw"]
    total, *parts = (
        revenue.sum([other for other in dims if other != dim]).values.reshape(count, -1) for dim in (None, *dims)
    )
    tails = [side * total < np.quantile(side * total, tail, axis=0) for tail in TAILS for side in (1, -1)]
    return np.hstack([total, *parts, *tails])


def error(draws: Dataset, kept: NDArray[np.intp]) -> list[dict[str, float]]:
    """What thinning changes in total revenue, one row per year: mean and tails, kept minus all, and their MCSE.

    Parameters: `draws`, the posterior [chain, draw, ...]; `kept`, indices of draws, chain after chain. `mcse_*` is the
    Monte-Carlo standard error that all draws have anyway (Vehtari et al. 2021).
    """
    from arviz_stats import mcse  # a second, which only a thinned export needs

    total = draws["revenue_total"].transpose(*SAMPLE, "year")
    every = total.values.reshape(-1, total.sizes["year"])
    part = every[kept]
    out: dict[str, Array] = {
        "year": total["year"].values,
        "mean": part.mean(axis=0) - every.mean(axis=0),
        "mcse_mean": mcse(total, method="mean").values,
    }
    for q in TAIL_PROBABILITIES:
        name = f"q{100 * q:02.0f}"
        out[name] = np.quantile(part, q, axis=0) - np.quantile(every, q, axis=0)
        out[f"mcse_{name}"] = mcse(total, method="quantile", prob=q).values
    return [dict(zip(out, row, strict=True)) for row in zip(*(column.tolist() for column in out.values()), strict=True)]


def thinning(draws: Dataset, keep: int | None) -> tuple[NDArray[np.intp], dict[str, Any]]:
    """Which draws to keep (all for None), and what a header says of it."""
    count = draws.sizes["chain"] * draws.sizes["draw"]
    if keep is None or keep == count:
        return np.arange(count), {"kept": count, "of": count, "method": "none: every draw", "error": []}
    kept = herd(features(draws), keep)
    return kept, {"kept": keep, "of": count, "method": METHOD, "error": error(draws, kept)}


def statement(said: dict[str, Any], unit: str) -> str:
    """One line on what a thinning costs, from :func:`thinning`'s account of it."""
    if not said["error"]:
        return f"all {said['kept']} draws"

    def worst(name: str) -> str:
        row = max(said["error"], key=lambda row: abs(row[name]))
        return f"{row[name]:+.2g} ({row['year']}; Monte-Carlo error of all draws {row[f'mcse_{name}']:.2g})"

    parts = ", ".join(
        f"{label} {worst(name)}" for name, label in (("mean", "mean"), ("q05", "5 % point"), ("q95", "95 % point"))
    )
    return f"kept {said['kept']} of {said['of']} draws; largest change in total revenue, {unit}: {parts}"
