"""Models with known posteriors: blocks of variables, each with its exact means and sds.

A block adds its variables to the model in context and returns what is exactly true of them, from a closed form or from
quadrature. Blocks are independent of each other, so that the posterior of several in one model is their product.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray
from pymc.distributions.transforms import ordered
from scipy import stats

Array = NDArray[Any]


class Moments(NamedTuple):
    """Mean and sd of every cell of a variable."""

    mean: Any
    sd: Any


Exact = dict[str, Moments]
Block = Callable[[], Exact]


def build(blocks: Sequence[Block]) -> tuple[pm.Model, Exact]:
    """A model of the blocks, and the exact moments of its posterior."""
    with pm.Model() as model:
        return model, {name: moments for block in blocks for name, moments in block().items()}


# --- Conjugate


def normal_given(mean: float, sd: float, y: Array, noise: float) -> Moments:
    """A normal mean with a normal prior, given readings with a known sd."""
    precision = 1 / sd**2 + y.size / noise**2
    return Moments((mean / sd**2 + y.sum() / noise**2) / precision, precision**-0.5)


def normal_mean() -> Exact:
    y = np.array([1.2, 0.4, 2.1, 1.7, 0.9])
    mu = pm.Normal("mu", 0, 2)
    pm.Normal("y", mu, 1, observed=y)
    pm.Deterministic("twice", 2 * mu)
    mean, sd = normal_given(0, 2, y, 1)
    return {"mu": Moments(mean, sd), "twice": Moments(2 * mean, 2 * sd)}


def gamma_exponential() -> Exact:
    waits = np.array([0.3, 1.1, 0.7, 0.2])
    pm.Exponential("wait", pm.Gamma("rate", 2, 1), observed=waits)
    shape, rate = 2 + waits.size, 1 + waits.sum()
    return {"rate": Moments(shape / rate, shape**0.5 / rate)}


def beta_binomial() -> Exact:
    pm.Binomial("successes", 20, pm.Beta("chance", 2, 3), observed=6)
    return {"chance": _of(stats.beta(2 + 6, 3 + 14))}


def normal_inverse_gamma() -> Exact:
    y = np.array([0.1, 2.3, 1.4, -0.6, 3.1, 1.9, 0.8, 2.2, 1.1, 0.5, 1.7, 2.8, -0.2, 1.3, 0.9, 2.0])
    shape, rate, weight, centre = 8.0, 7.0, 0.5, -1.0
    variance = pm.InverseGamma("variance", shape, rate)
    pm.Normal("values", pm.Normal("centre", centre, pt.sqrt(variance / weight)), pt.sqrt(variance), observed=y)
    n, total = y.size, weight + y.size
    a = shape + n / 2
    b = rate + ((y - y.mean()) ** 2).sum() / 2 + weight * n * (y.mean() - centre) ** 2 / (2 * total)
    return {
        "variance": _of(stats.invgamma(a, scale=b)),
        "centre": Moments((weight * centre + y.sum()) / total, (b / (a - 1) / total) ** 0.5),
    }


def dirichlet_multinomial() -> Exact:
    prior, counts = np.array([1.0, 2.0, 3.0, 0.5]), np.array([3, 0, 5, 2])
    pm.Multinomial("counts", 10, pm.Dirichlet("shares", prior), observed=counts)
    total = (prior + counts).sum()
    mean = (prior + counts) / total
    return {"shares": Moments(mean, np.sqrt(mean * (1 - mean) / (total + 1)))}


# --- One parameter, by quadrature


def half_normal_scale() -> Exact:
    y = np.array([0.4, -1.3, 0.8, 2.0, -0.5, -1.1, 0.2, 1.6, -0.9, 0.1, 1.2, -1.8, 0.6, -0.3, 1.0, -1.5])
    pm.Normal("around_zero", 0, pm.HalfNormal("scale", 2), observed=y)
    return {"scale": _by_quadrature(0, 12, stats.halfnorm(scale=2), lambda s: stats.norm.logpdf(y[:, None], 0, s))}


def truncated_prior() -> Exact:
    pm.Normal("near_truncated", pm.Truncated("truncated", pm.Normal.dist(1, 2), lower=0, upper=3), 1, observed=2.5)
    return {"truncated": _truncated_normal(*normal_given(1, 2, np.array([2.5]), 1), 0, 3)}


def uniform() -> Exact:
    pm.Normal("near_uniform", pm.Uniform("uniform", -1, 3), 1, observed=2.5)
    return {"uniform": _truncated_normal(2.5, 1, -1, 3)}


def truncated_observed() -> Exact:
    y = np.array([2.0, 0.3, 1.1])
    pm.Truncated("positive", pm.Normal.dist(pm.Normal("of_positive"), 1), lower=0, observed=y)
    return {
        "of_positive": _by_quadrature(
            -8, 8, stats.norm(), lambda m: stats.norm.logpdf(y[:, None], m) - stats.norm.logcdf(m)
        )
    }


def censored_observed() -> Exact:
    y, limit = np.array([0.2, 1.5, 1.0, 1.5]), 1.5
    pm.Censored("censored", pm.Normal.dist(pm.Normal("of_censored", 0, 2), 1), None, limit, observed=y)
    seen, hidden = y[y < limit, None], np.full(((y == limit).sum(), 1), limit)
    return {
        "of_censored": _by_quadrature(
            -10,
            12,
            stats.norm(0, 2),
            lambda m: np.concatenate([stats.norm.logpdf(seen, m), stats.norm.logsf(hidden, m)]),
        )
    }


def mixture_observed() -> Exact:
    y = np.array([-1.3, 2.2, 1.8, -0.2, 2.4])
    weight = pm.Beta("weight", 2, 2)
    parts = [pm.Normal.dist(-1, 1), pm.StudentT.dist(nu=4, mu=2, sigma=0.5)]
    pm.Mixture("mixed", pt.stack([weight, 1 - weight]), parts, observed=y)
    first, second = stats.norm.pdf(y[:, None], -1, 1), stats.t.pdf(y[:, None], 4, 2, 0.5)
    return {"weight": _by_quadrature(0, 1, stats.beta(2, 2), lambda w: np.log(w * first + (1 - w) * second))}


def potential() -> Exact:
    pulled = pm.Normal("pulled", shape=(1,))
    pm.Potential("pull", -2 * (pulled - 1) ** 2)
    return {"pulled": Moments([4 / 5], [5**-0.5])}


def imputed() -> Exact:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pm.exceptions.ImputationWarning)  # that it does so is wanted here
        pm.Normal("gappy", pm.Normal("of_gappy"), 1, observed=np.array([0.5, np.nan, 1.6, np.nan]))
    mean, sd = normal_given(0, 1, np.array([0.5, 1.6]), 1)
    unseen = Moments(np.full(2, mean), np.full(2, (sd**2 + 1) ** 0.5))
    return {"of_gappy": Moments(mean, sd), "gappy_unobserved": unseen}


# --- Transforms


def log_normal() -> Exact:
    pm.LogNormal("log_normal", 0.3, 0.4, shape=(2, 3))
    mean, sd = _of(stats.lognorm(0.4, scale=np.exp(0.3)))
    return {"log_normal": Moments(np.full((2, 3), mean), np.full((2, 3), sd))}


def interval_within_another() -> Exact:
    """A uniform whose bounds are another variable's: with u in (0, 1) in its place, a square to integrate over."""
    low = pm.Uniform("low", 0, 1)
    pm.Normal("near_between", pm.Uniform("between", low, 2 * low + 1), 0.5, observed=1.2)
    nodes, weights = _rule(0, 1, 200)
    a, u = nodes[:, None], nodes
    b = a + (a + 1) * u
    density = np.outer(weights, weights) * stats.norm.pdf(1.2, b, 0.5)
    return {"low": _weighted(nodes, density.sum(axis=1)), "between": _weighted(b.ravel(), density.ravel())}


def order_statistics(n: int = 3) -> Exact:
    """Exchangeable normals, ordered: of the (k + 1)th, k lie below and n - 1 - k above."""
    pm.Normal("ordered", 0, 1, shape=n, transform=ordered, initval=np.linspace(-1, 1, n))
    nodes, weights = _rule(-10, 10, 400)
    below, above = stats.norm.cdf(nodes), stats.norm.sf(nodes)
    densities = [weights * stats.norm.pdf(nodes) * below**k * above ** (n - 1 - k) for k in range(n)]
    return {"ordered": _weighted(nodes[:, None], np.transpose(densities))}


# --- Many parameters


def correlated_normal(size: int = 100, condition: float = 100.0) -> Exact:
    """A random covariance with eigenvalues between 1 / `condition` and 1, and two readings of the sum."""
    rng = np.random.default_rng(5)
    basis, _ = np.linalg.qr(rng.normal(size=(size, size)))
    cov = (basis * np.geomspace(1 / condition, 1, size)) @ basis.T
    mean = rng.normal(size=size)
    x = pm.MvNormal("x", mean, chol=np.linalg.cholesky(cov))
    y = np.array([3.0, 5.0])
    pm.Normal("sum", x.sum(), 2, observed=y)
    after, cov_after = _condition(mean, cov, np.ones((2, size)), y, 2.0)
    return {"x": Moments(after, np.sqrt(np.diag(cov_after)))}


YEARS = np.arange(12)
SEEN = np.array([1, 2, 5, 10])
LEVELS = np.array([0.3, 0.9, -0.4, 1.8])
FIRST, DRIFT, STEP, NOISE = 1.0, 0.1, 0.5, 0.2


def random_walk() -> Exact:
    """A latent random walk seen in four of twelve years, the first and the last not among them."""
    steps = pm.Normal("steps", DRIFT, STEP, shape=YEARS.size - 1)
    first = pm.Normal("first", 0, FIRST)
    level = pm.Deterministic("level", first + pt.concatenate([[0.0], pt.cumsum(steps)]))
    pm.Normal("seen", level[SEEN], NOISE, observed=LEVELS)
    return {"level": _walk()}


def gaussian_random_walk() -> Exact:
    """The same walk as PyMC's own distribution: the levels themselves are sampled."""
    walk = pm.GaussianRandomWalk("walk", DRIFT, STEP, init_dist=pm.Normal.dist(0, FIRST), steps=YEARS.size - 1)
    pm.Normal("seen_walk", walk[SEEN], NOISE, observed=LEVELS)
    return {"walk": _walk()}


def funnel() -> Exact:
    """Neal's funnel, not centred."""
    v, z = pm.Normal("v", 0, 3), pm.Normal("z", shape=9)
    pm.Deterministic("funnel", z * pt.exp(v / 2))
    return {"v": Moments(0, 3), "z": Moments(np.zeros(9), np.ones(9))}


EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def eight_schools() -> Exact:
    """Eight schools, not centred (Rubin 1981): the sd between schools by quadrature.

    Its prior is half-normal, not Cauchy as in Stan's example: one draw far out in that tail, at which a chain may stay
    for a while, decides what the sd of 160 000 draws comes to.
    """
    centre, between = pm.Normal("centre_of_schools", 0, 5), pm.HalfNormal("between", 5)
    z = pm.Normal("z_school", shape=8)
    effect = pm.Deterministic("school", centre + between * z)
    pm.Normal("effects", effect, ERRORS, observed=EFFECTS)

    nodes, weights = _rule(0, 1, 2000)
    tau = (5 * nodes / (1 - nodes))[:, None]
    total = ERRORS**2 + tau**2  # variance of an observed effect around the common centre
    variance = 1 / (1 / 25 + (1 / total).sum(axis=1))
    mean = variance * (EFFECTS / total).sum(axis=1)
    log_likelihood = (mean**2 / variance - np.log(total).sum(axis=1) - (EFFECTS**2 / total).sum(axis=1)) / 2
    log_prior = stats.halfnorm(scale=5).logpdf(tau[:, 0]) - 2 * np.log1p(-nodes)
    density = weights * np.exp(log_likelihood + log_prior) * variance**0.5
    # Given tau and the centre, a school's effect is normal around a compromise of the centre and its own data.
    own = tau**2 / total
    mean, variance = mean[:, None], variance[:, None]
    return {
        "between": _weighted(tau[:, 0], density),
        "centre_of_schools": _weighted(mean[:, 0], density, variance[:, 0]),
        "school": _weighted(
            mean + own * (EFFECTS - mean), density[:, None], own * ERRORS**2 + (1 - own) ** 2 * variance
        ),
        "z_school": _weighted(
            tau * (EFFECTS - mean) / total, density[:, None], ERRORS**2 / total + (tau / total) ** 2 * variance
        ),
    }


def centred_eight_schools() -> pm.Model:
    """The same posterior, centred: a funnel, whose neck a sampler at one step size does not enter."""
    with pm.Model() as model:
        centre, between = pm.Normal("centre_of_schools", 0, 5), pm.HalfNormal("between", 5)
        pm.Normal("effects", pm.Normal("school", centre, between, shape=8), ERRORS, observed=EFFECTS)
    return model


MODELS: dict[str, tuple[Block, ...]] = {
    "conjugate": (normal_mean, gamma_exponential, beta_binomial, normal_inverse_gamma, dirichlet_multinomial),
    "one_parameter": (
        half_normal_scale,
        truncated_prior,
        truncated_observed,
        censored_observed,
        mixture_observed,
        potential,
        imputed,
    ),
    "transforms": (log_normal, uniform, interval_within_another, order_statistics, dirichlet_multinomial),
    "correlated_normal": (correlated_normal,),
    "random_walk": (random_walk, gaussian_random_walk),
    "funnel": (funnel,),
    "eight_schools": (eight_schools,),
}


def _of(distribution: object) -> Moments:
    return Moments(float(distribution.mean()), float(distribution.std()))  # type: ignore[attr-defined]


def _truncated_normal(mean: float, sd: float, low: float, high: float) -> Moments:
    return _of(stats.truncnorm((low - mean) / sd, (high - mean) / sd, loc=mean, scale=sd))


def _rule(low: float, high: float, number: int) -> tuple[Array, Array]:
    """Nodes and weights of a Gauss-Legendre rule."""
    nodes, weights = np.polynomial.legendre.leggauss(number)
    return low + (high - low) * (nodes + 1) / 2, weights * (high - low) / 2


def _by_quadrature(low: float, high: float, prior: Any, log_likelihood: Callable[[Array], Any]) -> Moments:
    """Posterior moments under a SciPy prior, of observations whose log likelihoods are [observation, node]."""
    nodes, weights = _rule(low, high, 500)
    logs = prior.logpdf(nodes) + log_likelihood(nodes).sum(axis=0)
    return _weighted(nodes, weights * np.exp(logs - logs.max()))


def _weighted(means: Array, density: Array, variances: Array | float = 0.0) -> Moments:
    """Moments of a mixture with these means and variances [node, ...]; `density`, the weights of its nodes, may be
    unnormalised."""
    weights = density / density.sum(axis=0)
    mean = (weights * means).sum(axis=0)
    return Moments(mean, np.sqrt((weights * (variances + (means - mean) ** 2)).sum(axis=0)))


def _condition(mean: Array, cov: Array, design: Array, y: Array, sd: float) -> tuple[Array, Array]:
    """A normal given `y`, which is `design` times it with independent errors."""
    gain = np.linalg.solve(design @ cov @ design.T + sd**2 * np.eye(y.size), design @ cov).T
    return mean + gain @ (y - design @ mean), cov - gain @ design @ cov


def _walk() -> Moments:
    cov = FIRST**2 + STEP**2 * np.minimum(YEARS[:, None], YEARS)
    mean, cov = _condition(DRIFT * YEARS, cov, np.eye(YEARS.size)[SEEN], LEVELS, NOISE)
    return Moments(mean, np.sqrt(np.diag(cov)))
