"""The normal distribution that Hamiltonian Monte Carlo takes as known, learned from positions and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

MOST_DIRECTIONS = 8  # in which a posterior may be much narrower than its margins: about one per row of evidence
NARROW = 3.0  # times as steep as independent margins would be: gradients of a few hundred draws show less by chance
PSEUDO_DRAWS = 5  # weight of the reference before a window against the window's draws
LEAST_VARIANCE = 1e-20  # instead of none, of chains that did not move
LARGEST_MOMENTUM = 1e100  # a position with a larger one has no density
LEAST_MARGIN = 0.1  # variance of a margin in units of the scale: a few hundred draws tell no smaller one


class Reference(NamedTuple):
    """A normal distribution: `centre` and `scale` [size], and its narrow directions.

    In units of `scale` its variance is 1, but `variance` [direction] along the orthonormal `directions`
    [size, direction]. Its covariance is the inverse metric, a diagonal with a correction of low rank.
    """

    centre: Any
    scale: Any
    directions: Any
    variance: Any

    def covariance_times(self, momentum: Any) -> Any:
        """What a momentum [size] moves a position by."""
        return self.scale * self._along(self.scale * momentum, self.variance)

    def precision_times(self, away: Any) -> Any:
        """Minus the gradient of the reference's log density, `away` [size] from its centre."""
        return self._along(away / self.scale, 1 / self.variance) / self.scale

    def _along(self, x: Any, factor: Any) -> Any:
        return x + self.directions @ ((factor - 1) * (x @ self.directions))


class Window(NamedTuple):
    """Sums over the draws of a tuning window: of positions x and gradients g.

    `number` of draws; `mean` [size] and `squares` [size], Welford's of x; `steepness` [size, direction], the sum of
    g (g . d) over the directions d of the reference, in the units of x: a step of power iteration.
    """

    number: Any
    mean: Any
    squares: Any
    steepness: Any


def first_reference(centre: jax.Array, scale: jax.Array) -> Reference:
    """The reference before any draw: independent, with directions at random, of which none is narrow."""
    number = min(MOST_DIRECTIONS, scale.size)
    directions, _ = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (scale.size, number)))
    return Reference(centre, scale, directions, jnp.ones(number))


def no_draws(of: Reference) -> Window:
    """A window before its first draw."""
    return Window(jnp.zeros(()), jnp.zeros_like(of.centre), jnp.zeros_like(of.centre), jnp.zeros_like(of.directions))


def add(window: Window, of: Reference, x: jax.Array, gradient: jax.Array) -> Window:
    """A window with one more draw `x` [size] and the `gradient` [size] of the log density there."""
    number, away = window.number + 1, x - window.mean
    mean = window.mean + away / number
    steepness = window.steepness + jnp.outer(gradient, (of.scale * gradient) @ of.directions)
    return Window(number, mean, window.squares + away * (x - mean), steepness)


def learned(window: Window, before: Reference) -> Reference:
    """The reference after a window: the draws' margins, and the directions in which gradients are steepest.

    Narrow directions show in the covariance of gradients, which is the inverse of the draws' own: there they are large,
    and a few hundred draws tell them from noise. Source: Seyboldt, Carlson & Carpenter 2026, of which this takes the
    narrow half.
    """
    # A geometric mean: an arithmetic one with a scale a thousand times too wide would stay too wide for long.
    weight = window.number / (window.number + PSEUDO_DRAWS)
    variance = jnp.maximum(window.squares / (window.number - 1), LEAST_VARIANCE)
    # In units of its scale a normal with narrow directions has margins below 1.
    margins = 1 - before.directions**2 @ (1 - before.variance)
    variance = variance / jnp.maximum(margins, LEAST_MARGIN)
    scale = variance ** (weight / 2) * before.scale ** (1 - weight)
    # The sums are over the directions in units of the scale before, which are not orthonormal in the new ones.
    _, mixed = jnp.linalg.qr(before.directions * (before.scale / scale)[:, None])
    steepness = scale[:, None] * window.steepness / window.number
    directions, steep, _ = jnp.linalg.svd(
        jax.scipy.linalg.solve_triangular(mixed, steepness.T, trans="T").T, full_matrices=False
    )
    narrow = jnp.where(steep > NARROW, 1 / jnp.maximum(steep, NARROW), 1.0)
    return Reference(weight * window.mean + (1 - weight) * before.centre, scale, directions, narrow)


def rotating(reference: Reference) -> Callable[..., Any]:
    """An integrator that is exact for the reference: it costs energy only where the density differs from that.

    Between two half kicks by what the gradient adds to the reference's own, position and momentum turn as they would
    under the reference. Most directions of a posterior with little evidence are nearly normal, however many they are,
    so steps can be longer than a leapfrog's.

    Source: Shahbaba, Lan, Johnson & Neal 2014 (split HMC).
    """
    from blackjax.mcmc.integrators import IntegratorState  # not where the program is stored

    def integrator(log_density: Callable[[Any], Any], _: Any) -> Callable[[Any, Any], Any]:
        def step(state: Any, step_size: Any) -> Any:
            kick, cos, sin = step_size / 2, jnp.cos(step_size), jnp.sin(step_size)
            away = state.position - reference.centre
            pull = reference.precision_times(away)
            momentum = state.momentum + kick * (state.logdensity_grad + pull)
            position = reference.centre + cos * away + sin * reference.covariance_times(momentum)
            density, gradient = jax.value_and_grad(log_density)(position)
            pull, momentum = cos * pull + sin * momentum, cos * momentum - sin * pull
            momentum = momentum + kick * (gradient + pull)
            # Squared it would overflow, and of sums of such squares the kinetic energy may be minus infinity.
            density = jnp.where(jnp.abs(momentum).max() < LARGEST_MOMENTUM, density, -jnp.inf)
            return IntegratorState(position, momentum, density, gradient)

        return step

    return integrator
