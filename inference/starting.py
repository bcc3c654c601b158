"""Where chains start: as far apart as the prior is wide, but not where the data all but exclude them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from postcgrp.inference.kernels import LogDensity
from postcgrp.inference.numerics import Arrays

CANDIDATES = 200  # prior draws that chains may start from
CANDIDATE_SETS = 100  # random sets of them, of which the most even one is taken
MOST_HALVINGS = 20
_MARGIN = 10.0  # beside one per parameter, which is twice as far as a normal's own draws lie below its top


def spread(prior: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Medians [size] and scales [size] of prior draws [draw, size]: about where and how wide chains begin to look."""
    low, centre, high = np.quantile(prior, [0.159, 0.5, 0.841], axis=0)
    return centre, np.maximum((high - low) / 2, 1e-8)


def starts(prior: NDArray[np.float64], chains: int, seed: int) -> NDArray[np.float64]:
    """Where chains start [chain, size]: R-hat could not see what chains that start close together all missed.

    Of some random sets of prior draws [draw, size], the one that fills the quantiles of each variable most evenly.
    """
    ranks = prior.argsort(axis=0).argsort(axis=0) / len(prior)
    sets = np.random.default_rng(seed).integers(len(prior), size=(CANDIDATE_SETS, chains))
    even = (np.arange(chains)[:, None] + 0.5) / chains
    uneven = np.square(np.sort(ranks[sets], axis=1) - even).sum(axis=(1, 2))
    return np.asarray(prior[sets[uneven.argmin()]])


def within_reach(logp: LogDensity, x: Any, centre: Any, data: Arrays) -> Any:
    """Starting points `x` [..., size], each drawn toward the centre by halves until its density is not far below.

    A chain that starts where the data all but exclude it would not come back from there in time.
    """

    def far(state: Any) -> Any:
        tried, reached, *_ = state
        return (tried <= MOST_HALVINGS) & ~reached

    def nearer(x: Any) -> Any:
        def step(state: Any) -> Any:
            # The first step finds the floor, the others try: so the density occurs once, and is compiled once.
            tried, _, z, floor = state
            first, value = tried == 0, logp(z, data)
            reached = ~first & (value > floor)
            after = jnp.where(first, x, jnp.where(reached, z, (centre + z) / 2))
            return tried + 1, reached, after, jnp.where(first, value - centre.size - _MARGIN, floor)

        return jax.lax.while_loop(far, step, (0, False, centre, 0.0))[2]

    return jnp.vectorize(nearer, signature="(n)->(n)")(x)
