"""Regression of an outcome's draws on inputs' draws: what the outcome is expected to be once these are known.

Value of information needs nothing but that mean (Strong, Oakley & Brennan 2014, Medical Decision
Making 34(3), "MDM" below). Splines and Gaussian processes are here the same linear mixed model (Ruppert, Wand & Carroll
2003, ch. 4) on different columns, so one solver serves both, and its covariance gives standard errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.stats import norm, rankdata

Array = NDArray[np.float64]

KNOTS = {1: 30, 2: 20, 3: 16}  # by number of input columns; the penalty and not the knots sets the smoothness
MANY_KNOTS = 8
SMOOTHEST = 2  # spline terms of an input, besides its linear term, that interact with other inputs
MAX_COLUMNS = 400  # of a basis; interactions get the room that single inputs leave
TRIPLES = 6  # input columns up to which products of three linear terms are tried
INDUCING = 150  # points of the Gaussian process
TUNING = 300  # draws on which its length scales are tuned
LENGTH_STARTS = (2.0, 0.5)  # length scales to begin from, in sd of the input
LENGTH_SD = 1.5  # of the log-normal prior of a length scale, in sd of the input
CROWDED = 1e-4  # of the widest gap between knots; narrower gaps leave the spline's algebra no digits
RIDGE = 1e-9  # on linear terms, for inputs that sum to a constant, such as shares
NEIGHBOURS = 10


@dataclass(frozen=True)
class Basis:
    """Columns of a regression [draw, column]: `fixed` without penalty, each block of `smooth` under its own ridge."""

    fixed: Array
    smooth: tuple[Array, ...]


@dataclass(frozen=True)
class Regression:
    """A fitted mean [draw], its residual [draw], and what its posterior is drawn from.

    The posterior covariance of the coefficients is `root` times its transpose; `design` [draw, column].
    """

    fitted: Array
    residual: Array
    design: Array
    root: Array


def standardised(x: Array) -> Array:
    """Columns of `x` [draw, column] with mean 0 and sd 1; constant columns are left out."""
    spread = x.std(axis=0)
    keep = spread > 1e-12 * np.maximum(1e-300, np.abs(x).max(axis=0, initial=0.0))
    return np.asarray((x[:, keep] - x[:, keep].mean(axis=0)) / spread[keep])


def spline_basis(x: Array) -> Basis:
    """Natural cubic splines of each column of `x` [draw, column], with interactions.

    Each input has its linear term and a smoothing spline; pairs interact through their linear and smoothest terms,
    and up to `TRIPLES` columns three linear terms together (smoothing-spline ANOVA: Gu 2013, ch. 3).
    """
    knots = KNOTS.get(x.shape[1], MANY_KNOTS)
    x = standardised(np.column_stack([_tamed(column, knots) for column in x.T]))
    columns = x.shape[1]
    bends = [_bends(column, knots) for column in x.T]
    # products of the linear and smoothest terms of two inputs, as many as there is room for
    room = MAX_COLUMNS - sum(bend.shape[1] for bend in bends)
    terms = next((k for k in (1 + SMOOTHEST, 1) if columns * (columns - 1) // 2 * k * k <= room), 0)
    lows = [np.column_stack([column, bend])[:, :terms] for column, bend in zip(x.T, bends, strict=True)]
    products = [
        a[:, i] * b[:, j] for a, b in combinations(lows, 2) for i in range(a.shape[1]) for j in range(b.shape[1])
    ]
    if columns <= TRIPLES:
        products += [a * b * c for a, b, c in combinations(x.T, 3)]
    blocks = (np.column_stack([np.empty((len(x), 0)), *bends]), _columns(products, len(x)))
    return Basis(np.column_stack([np.ones(len(x)), x]), tuple(block for block in blocks if block.shape[1]))


def process_basis(x: Array, y: Array) -> Basis:
    """A Gaussian process on `x` [draw, column] as columns: linear mean, squared-exponential kernel, inducing points.

    The kernel sees normal scores of the inputs, so that a long tail does not set its length scales; these maximise the
    marginal likelihood of `y` [draw] on `TUNING` draws. Projected process: Rasmussen & Williams 2006, 8.3.4.
    """
    x = standardised(x)
    fixed = np.column_stack([np.ones(len(x)), x])
    if not x.shape[1]:
        return Basis(fixed, ())
    scores = np.column_stack([_scores(column) for column in x.T])
    rng = np.random.default_rng(0)  # fixed, so that every call gives the same value
    some = rng.permutation(len(x))[:TUNING]
    beyond = y - fixed @ np.linalg.lstsq(fixed, y, rcond=None)[0]
    scaled = scores / _length_scales(scores[some], beyond[some])
    points = np.unique(scaled[rng.permutation(len(x))[:INDUCING]], axis=0)
    inner = np.exp(-cdist(points, points, "sqeuclidean") / 2)
    values, vectors = np.linalg.eigh(inner)
    keep = values > 1e-8 * values[-1]
    outer = np.exp(-cdist(scaled, points, "sqeuclidean") / 2)
    return Basis(fixed, (outer @ vectors[:, keep] / np.sqrt(values[keep]),))


BASES: dict[str, Callable[[Array, Array], Basis]] = {
    "spline": lambda x, y: spline_basis(x),
    "gp": process_basis,
}


def fit(y: Array, basis: Basis) -> Regression:
    """The regression of `y` [draw] on a basis, by restricted maximum likelihood for the ridges (Wood 2011)."""
    design = np.column_stack([basis.fixed, *basis.smooth])
    n, fixed = basis.fixed.shape
    sizes = [block.shape[1] for block in basis.smooth]
    ends = np.cumsum([fixed, *sizes])
    gram, right, total = design.T @ design, design.T @ y, float(y @ y)
    base = np.zeros(len(gram))
    base[1:fixed] = RIDGE * n
    freedom = max(n - fixed, 1)
    floor = max(1e-14 * total, 1e-300)

    def solve(log_ratio: Array) -> tuple[Any, Array, float]:
        penalty = base.copy()
        for k, ratio in enumerate(np.exp(log_ratio)):
            penalty[ends[k] : ends[k + 1]] += ratio
        factor = cho_factor(gram + np.diag(penalty), lower=True)
        weights = cho_solve(factor, right)
        return factor, weights, max(total - float(right @ weights), floor)

    def loss(log_ratio: Array) -> tuple[float, Array]:
        factor, weights, rest = solve(log_ratio)
        spread = solve_triangular(factor[0], np.eye(len(gram)), lower=True)
        inverse = (spread**2).sum(axis=0)
        value = freedom * np.log(rest) + 2 * np.log(np.diag(factor[0])).sum() - np.dot(sizes, log_ratio)
        slope = [
            np.exp(ratio) * (freedom / rest * (weights[a:b] ** 2).sum() + inverse[a:b].sum()) - (b - a)
            for ratio, a, b in zip(log_ratio, ends[:-1], ends[1:], strict=True)
        ]
        return float(value), np.asarray(slope)

    best = np.zeros(0)
    if sizes:
        start = np.full(len(sizes), np.log(n / 10))
        best = minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=[(np.log(1e-4), np.log(1e7 * n))] * len(sizes)
        ).x
    factor, weights, rest = solve(best)
    spread = solve_triangular(factor[0], np.eye(len(gram)), lower=True)
    fitted = design @ weights
    return Regression(fitted, y - fitted, design, np.sqrt(rest / freedom) * spread.T)


def posterior_means(fits: Sequence[Regression], size: int, seed: int) -> Array:
    """Draws [size, draw, fit] of the fitted means (MDM, appendix), correlated between fits as their residuals are."""
    rng = np.random.default_rng(seed)
    residuals = np.column_stack([f.residual for f in fits])
    values, vectors = np.linalg.eigh(np.atleast_2d(np.nan_to_num(_correlation(residuals))))
    mix = vectors * np.sqrt(np.maximum(values, 0))
    longest = max(f.root.shape[0] for f in fits)
    normal = np.einsum("spk,fk->spf", rng.standard_normal((size, longest, len(fits))), mix)
    return np.stack(
        [f.fitted + normal[:, : f.root.shape[0], k] @ f.root.T @ f.design.T for k, f in enumerate(fits)], axis=-1
    )


def neighbour_covariance(x: Array, residual: Array) -> tuple[float, float]:
    """The covariance of residuals [draw] with those of neighbours in `x` [draw, column], and its z-score under none.

    Neighbours are alike if the fit missed structure (Moran's I; mgcv's k-index asks the same of one input).
    """
    x = standardised(x)
    n, near = len(x), min(NEIGHBOURS, len(x) - 1)
    if not x.shape[1] or not residual.any():
        return 0.0, 0.0
    neighbours = cKDTree(x).query(x, k=near + 1)[1][:, 1:]
    weights = csr_array(
        (np.full(n * near, 1 / near), (np.repeat(np.arange(n), near), neighbours.ravel())), shape=(n, n)
    )
    pairs = (weights + weights.T).tocoo()
    other = pairs.row != pairs.col  # among equal draws the nearest need not be the draw itself
    product = residual[pairs.row] * residual[pairs.col] * pairs.data * other
    return float(product.sum() / 2 / n), float(product.sum() / max(np.sqrt(2 * (product**2).sum()), 1e-300))


def _scores(x: Array) -> Array:
    """Normal scores of `x` [draw]: its ranks on the scale of a standard normal."""
    return np.asarray(norm.ppf((rankdata(x) - 0.5) / len(x)))


def _places(x: Array, knots: int) -> Array:
    """The knots of a spline of `x` [draw]: its levels if these are few, else its quantiles."""
    levels = np.unique(x)
    return levels if len(levels) <= knots else np.unique(np.quantile(x, np.linspace(0, 1, knots)))


def _tamed(x: Array, knots: int) -> Array:
    """`x` [draw], or its normal scores if a long tail would crowd all other knots together.

    Either is known if the other is, so that no conditional mean changes.
    """
    gaps = np.diff(_places(x, knots))
    return _scores(x) if len(gaps) and gaps.min() < CROWDED * gaps.max() else x


def _bends(x: Array, knots: int) -> Array:
    """Natural cubic splines of `x` [draw] without their straight line, smoothest first, of equal roughness."""
    at = _places(x, knots)
    if len(at) <= 2:  # noqa: PLR2004
        return np.empty((len(x), 0))
    spline = CubicSpline(at, np.eye(len(at)), bc_type="natural")
    second, gaps = spline(at, 2), np.diff(at)
    mass = np.zeros((len(at), len(at)))  # inner products of the piecewise linear second derivative
    for k, gap in enumerate(gaps):
        mass[k : k + 2, k : k + 2] += gap * np.array([[2, 1], [1, 2]]) / 6
    values, vectors = np.linalg.eigh(second.T @ mass @ second)
    bends = spline(x) @ (vectors[:, 2:] / np.sqrt(values[2:]))
    line = np.column_stack([np.ones(len(x)), x])
    bends -= line @ np.linalg.lstsq(line, bends, rcond=None)[0]
    return np.asarray(bends / bends[:, :1].std())


def _columns(products: list[Array], n: int) -> Array:
    if not products:
        return np.empty((n, 0))
    columns = np.column_stack(products)
    return np.asarray((columns - columns.mean(axis=0)) / np.maximum(columns.std(axis=0), 1e-12))


def _length_scales(x: Array, y: Array) -> Array:
    """The most probable length scale of each column of `x` [draw, column] for `y` [draw], under a log-normal prior."""
    n, columns = x.shape
    y = y / max(y.std(), 1e-300)
    squares = [(column[:, None] - column[None, :]) ** 2 for column in x.T]

    def loss(theta: Array) -> tuple[float, Array]:
        lengths, signal, noise = np.exp(theta[:columns]), np.exp(theta[columns]), np.exp(theta[columns + 1])
        kernel = signal * np.exp(-sum(s / length**2 for s, length in zip(squares, lengths, strict=True)) / 2)
        factor = cho_factor(kernel + (noise + 1e-6) * np.eye(n), lower=True)
        weights = cho_solve(factor, y)
        inverse = cho_solve(factor, np.eye(n))
        outer = np.outer(weights, weights) - inverse
        parts = [kernel * s / length**2 for s, length in zip(squares, lengths, strict=True)]
        slope = np.array([-(outer * part).sum() / 2 for part in (*parts, kernel)] + [-noise * np.trace(outer) / 2])
        pull = np.append(theta[:columns] - np.log(2), [theta[columns] + 2, theta[columns + 1]]) / LENGTH_SD**2
        value = y @ weights / 2 + np.log(np.diag(factor[0])).sum() + (pull**2).sum() * LENGTH_SD**2 / 2
        return float(value), slope + pull

    # one smooth and one wavy start: the likelihood may have a mode near each
    starts = [np.append(np.full(columns, np.log(length)), [-1.0, -1.0]) for length in LENGTH_STARTS]
    bounds = [(-2.5, 5.0)] * columns + [(-12.0, 4.0)] * 2
    fits = [minimize(loss, x0, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60}) for x0 in starts]
    best = min(fits, key=lambda fitted: float(fitted.fun))
    return np.asarray(np.exp(best.x[:columns]))


def _correlation(residuals: Array) -> Array:
    spread = np.maximum(residuals.std(axis=0), 1e-300)
    scaled = (residuals - residuals.mean(axis=0)) / spread
    return np.asarray(scaled.T @ scaled / len(scaled))
