"""Ranks of known truths among posterior draws, and tests of whether they are uniform."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, bdtrc, chdtr, chdtrc, ndtr, ndtri
from scipy.stats import poisson

from postcgrp.inference.convergence import ADVICE, Check

Array = NDArray[np.float64]
_Seed = int | Sequence[int]

MIN_REFITS = 200
EDGE = float(np.finfo(float).epsneg)  # a PIT is at least this far from 0 and 1: about 8 sd out
ERROR = 0.01  # the probability that a calibrated sampler fails any of the tests
ERROR_SHARES = {"primary": 1 / 2, "other": 1 / 4, "joint_bias": 1 / 8, "joint_spread": 1 / 8}  # of that error
JOINT = ("joint_bias", "joint_spread")
KINDS = 3  # tests of each quantity: mean, spread and shape
SHRINKAGES = (0.3, 1.0)  # the first detects a fault that differs between correlated quantities, the second a common one
FLIPS = 9_999
RESOLUTION = 1e-12  # rounding of one minus a probability near one
BISECTIONS = 32  # of a bracket as wide as log(n) + 1
CALIBRATED = "consistent with calibration"
NOT_CALIBRATED = "NOT calibrated"
TOO_FEW = "too few refits to call it calibrated"


def ranks(truths: ArrayLike, draws: ArrayLike, seed: _Seed) -> Array:
    """Rank of each truth among its L posterior draws, 0 to L: uniform if the sampler is right (Talts et al. 2018).

    Parameters: `truths` [quantity]; `draws` [draw, quantity], thinned until nearly independent, because autocorrelation
    alone makes ranks extreme; `seed`, a different one for every refit, breaks ties at random. A quantity may depend on
    the data (Modrak et al. 2023). Returns [quantity], NaN where a truth or a draw is not finite.
    """
    truth, drawn = np.asarray(truths, dtype=float), np.asarray(draws, dtype=float)
    if drawn.ndim != truth.ndim + 1 or drawn.shape[1:] != truth.shape:
        raise ValueError(f"draws {drawn.shape} for truths {truth.shape}: give draws as [draw, quantity]")
    below, ties = (drawn < truth).sum(axis=0), (drawn == truth).sum(axis=0)
    rank = below + _rng(seed, 0).integers(ties + 1)
    return np.where(np.isfinite(truth) & np.isfinite(drawn).all(axis=0), rank, np.nan)


def pit(rank: ArrayLike, draws: int, seed: _Seed) -> Array:
    """Probability integral transforms: ranks among `draws` draws, any shape, made continuous within (0, 1)."""
    rank = np.asarray(rank, dtype=float)
    if (rank < 0).any() or (rank > draws).any():
        raise ValueError(f"ranks from {np.nanmin(rank):g} to {np.nanmax(rank):g}: {draws} draws give 0 to {draws}")
    return np.clip((rank + _rng(seed, 1).random(rank.shape)) / (draws + 1), EDGE, 1 - EDGE)


def ecdf(pits: Array) -> Array:
    """Share of PITs [refit] up to each of the points 1/n, ..., (n-1)/n."""
    grid = np.arange(1, len(pits)) / len(pits)
    return np.searchsorted(np.sort(pits), grid, side="right") / len(pits)


def uniformity(pits: Array) -> float:
    """Exact p-value of PITs [refit] in the simultaneous ECDF test (Saeilynoja, Buerkner & Vehtari 2022, 2.2)."""
    n = len(pits)
    counts = np.rint(n * ecdf(pits)).astype(int)
    return max(RESOLUTION, 1 - _coverage(n, float(_tails(n)[counts, np.arange(n - 1)].min())))


@lru_cache(maxsize=16)
def band(n: int, error: float) -> tuple[Array, Array, Array]:
    """Points, lower and upper limits of the ECDF of `n` uniform PITs, which leaves them with probability `error`."""
    low, high = np.log(error / n) - 1, np.log(error)  # around the log of the level that n - 1 two-sided tests share
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - _coverage(n, np.exp(middle)) <= error else (low, middle)
    inside = _tails(n) > np.exp(low)
    return np.arange(1, n) / n, inside.argmax(axis=0) / n, 1 - inside[::-1].argmax(axis=0) / n


def verdict(pits: ArrayLike, names: Sequence[str], primary: Sequence[str] = (), seed: int = 0) -> tuple[Check, ...]:
    """Judge PITs: each quantity by its mean, spread and shape, and all of them jointly; `figure` is an adjusted p.

    Tests share `ERROR` by Bonferroni: half is for the `primary` names, a quarter for the others, a quarter for the
    joint tests. Parameters: `pits` [refit, quantity] of independent refits, whose quantities may depend on each other;
    `names` [quantity]; `seed` of the joint tests' sign flips.
    """
    u = np.asarray(pits, dtype=float)
    if u.ndim != 2 or len(u) < 2 or not names or u.shape[1] != len(names):  # noqa: PLR2004
        raise ValueError(f"PITs {u.shape} for {len(names)} names: give [refit, quantity], with 2 refits or more")
    if odd := [*({*primary} - {*names}), *(name for name in names if names.count(name) > 1)]:
        raise ValueError(f"{odd[0]!r}: names must differ, and primary ones be among them")
    bad = (~((u > 0) & (u < 1))).sum(axis=0)  # NaN compares as false
    few, gap = len(u) < MIN_REFITS, names[int(bad.argmax())] if bad.any() else ""
    checks = [
        Check("refits", not few, float(len(u)), f">= {MIN_REFITS} refits", "", TOO_FEW if few else ""),
        Check("finite", not gap, float(bad.sum()), "== 0 PITs outside (0, 1)", gap, ADVICE["finite"] if gap else ""),
    ]
    size = {"primary": len({*primary}), "other": len(names) - len({*primary})}
    for name, column, missing in zip(names, u.T, bad, strict=True):
        family = "primary" if name in primary else "other"
        p, reading = (np.nan, "not finite") if missing else _judge(column)
        checks.append(_check(family, name, p * KINDS * size[family], reading))
    if gap:
        return *checks, *(_check(joint, "all", np.nan, "not tested: a PIT is not finite") for joint in JOINT)
    z, folded = _normal(u), _normal(np.abs(2 * u - 1))  # folded: how far out; less skewed than z * z would be
    mean, spread = z.mean(axis=0), z.std(axis=0, ddof=1)
    most, sd = int(np.abs(mean).argmax()), float(np.sqrt((spread**2).mean()))
    biased = f"biased together: most of all {names[most]}, {_reading('bias', mean[most])}"
    off = f"spread off together: sd of z {sd:.2f} over all, {spread.min():.2f} to {spread.max():.2f} by quantity"
    flips = _rng(seed, 2).choice(np.array([-1.0, 1.0]), size=(FLIPS, len(u)))
    checks.append(_check("joint_bias", "all", _joint(z, flips), biased))
    return *checks, _check("joint_spread", "all", _joint(folded, flips), off)


def outcome(checks: Sequence[Check]) -> str:
    """The checks' conclusion: `CALIBRATED`, `NOT_CALIBRATED` or, where none failed but refits are few, `TOO_FEW`."""
    if any(not check.passed for check in checks if check.check != "refits"):
        return NOT_CALIBRATED
    return CALIBRATED if {"refits", *JOINT} <= {check.check for check in checks if check.passed} else TOO_FEW


def _check(check: str, where: str, p: float, reading: str) -> Check:
    figure = float(np.minimum(1, p / ERROR_SHARES[check]))  # NaN stays NaN, and is no pass
    return Check(check, figure > ERROR, figure, f"> {ERROR:g}, p adjusted", where, "" if figure > ERROR else reading)


def _judge(u: Array) -> tuple[float, str]:
    """Smallest p-value of the tests of one quantity, each exact because z is normal, and what that test found."""
    n, z = len(u), _normal(u)
    mean, spread, difference = z.mean(), z.std(ddof=1), ecdf(u) - np.arange(1, n) / n
    square = (n - 1) * spread**2
    p = {
        "bias": 2 * ndtr(-np.sqrt(n) * abs(mean)),
        "spread": 2 * min(chdtr(n - 1, square), chdtrc(n - 1, square)),
        "shape": uniformity(u),
    }
    kind, at = min(p, key=lambda k: p[k]), int(np.abs(difference).argmax())
    amount = {"bias": mean, "spread": spread, "shape": difference[at]}[kind]
    return float(p[kind]), _reading(kind, float(amount), (at + 1) / n)


def _reading(kind: str, amount: float, at: float = 0.0) -> str:
    if kind == "bias":
        low, above = ("low", "above") if amount > 0 else ("high", "below")
        return f"biased {low} by {abs(amount):.2f} sd: truth too often {above} the posterior"
    if kind == "spread":
        narrow, often = ("narrow", "often") if amount > 1 else ("wide", "rarely")
        return f"too {narrow}, sd of z {amount:.2f}: truth too {often} in the tails"
    share = "too many" if amount > 0 else "too few"
    return f"{share} below {at:.0%}: truths under that quantile of the posterior, by {abs(amount):.0%} of refits"


def _joint(scores: Array, flips: Array) -> float:
    """p-value of mean zero for `scores` [refit, quantity]: a shrunk Hotelling statistic against random sign flips."""
    n, size = scores.shape
    p = []
    for shrinkage in SHRINKAGES:
        # Second moments and not a covariance, because sign flips do not change them.
        moments = (1 - shrinkage) * scores.T @ scores / n + shrinkage * np.eye(size)
        white = np.linalg.solve(np.linalg.cholesky(moments), scores.T)
        observed = (white.sum(axis=1) ** 2).sum() * (1 - 1e-9)
        p.append((1 + (((white @ flips.T) ** 2).sum(axis=0) >= observed).sum()) / (1 + len(flips)))
    return float(len(p) * min(p))


@lru_cache(maxsize=4)
def _tails(n: int) -> Array:
    """Smaller tail probability of each count [0..n, point] of `n` uniform values below the points 1/n to (n-1)/n."""
    count, grid = np.arange(n + 1)[:, None], np.arange(1, n) / n
    above = np.where(count > 0, bdtrc(np.maximum(count - 1, 0), n, grid), 1.0)
    return np.minimum(bdtr(count, n, grid), above)


def _coverage(n: int, local: float) -> float:
    """Probability that `n` uniform values have a tail above `local` at every point, by exact recursion over points."""
    inside = _tails(n) > local
    if not inside.any(axis=0).all():
        return 0.0
    lows, highs = [*inside.argmax(axis=0), n], [*(n - inside[::-1].argmax(axis=0)), n]
    # Counts are those of a Poisson process conditioned to end at n, so each step is one convolution.
    step = poisson.pmf(np.arange(n + 1), 1.0)
    probability, start = np.ones(1), 0
    for low, high in zip(lows, highs, strict=True):
        probability = np.convolve(probability, step[: high - start + 1])[low - start : high - start + 1]
        start = low
    return float(probability[0] / poisson.pmf(n, n))


def _normal(u: Array) -> Array:
    return np.asarray(ndtri(np.clip(u, EDGE, 1 - EDGE)), dtype=float)


def _rng(seed: _Seed, purpose: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose,)))
