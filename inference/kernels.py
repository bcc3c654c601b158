"""Stock JAX kernels behind one small interface: start a chain, advance it by a few draws.

The libraries are imported where a kernel is made: a process that finds its programs stored needs none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from postcgrp.inference.jaxify import Arrays

CHUNK = 100
MAX_TREE_DEPTH = 10
HALVINGS = 20
MARGIN = 10.0  # beside one for each parameter, which is twice what a normal's own draws lie below its top
STATS = ("diverging", "n_steps", "acceptance_rate", "energy", "lp", "step_size")
Potential = Callable[[Any, Arrays], Any]


@dataclass(frozen=True)
class Kernel:
    """A sampler of a flat density.

    `start(key, x, scale, data)` gives a chain's first state, with `scale` [size] the metric to begin with.
    `step(state, data, *controls)` is one transition: the new state, its position and its statistics in the order of
    `STATS`. Controls are what a caller decides for each transition; most kernels have none.
    """

    start: Callable[..., Any]
    step: Callable[..., Any]


def numpyro_nuts(logp: Potential, tune: int, target_accept: float) -> Kernel:
    """NumPyro's iterative NUTS with Stan's windowed adaptation of step size and diagonal metric, in units of scale.

    In the variables' own units its adaptation would draw every variance toward 0.001, whatever the unit.
    """
    from numpyro.infer.hmc import hmc

    init, sample = hmc(potential_fn_gen=lambda data, scale: lambda z: -logp(scale * z, data), algo="NUTS")

    def start(key: Any, x: Any, scale: Any, data: Arrays) -> Any:
        return scale, init(
            x / scale,
            tune,
            inverse_mass_matrix=jnp.ones_like(scale),
            target_accept_prob=target_accept,
            max_tree_depth=MAX_TREE_DEPTH,
            model_args=(data, scale),
            rng_key=key,
        )

    def step(state: Any, data: Arrays) -> Any:
        scale, old = state
        new = sample(old, (data, scale))
        stats = (
            new.diverging,
            new.num_steps,
            new.accept_prob,
            new.energy,
            -new.potential_energy,
            old.adapt_state.step_size,
        )
        return (scale, new), scale * new.z, stats

    return Kernel(start, step)


def blackjax_nuts(logp: Potential, tune: int, target_accept: float) -> Kernel:
    """BlackJAX's NUTS with its own windowed adaptation, run whole at a chain's start, in units of scale too."""
    import blackjax
    from blackjax.adaptation.base import get_filter_adapt_info_fn

    transition = blackjax.nuts.build_kernel()

    def start(key: Any, x: Any, scale: Any, data: Arrays) -> Any:
        warm_key, key = jax.random.split(key)
        adapt = blackjax.window_adaptation(
            blackjax.nuts,
            lambda z: logp(scale * z, data),
            target_acceptance_rate=target_accept,
            initial_inverse_mass_matrix=jnp.ones_like(scale),
            adaptation_info_fn=get_filter_adapt_info_fn(),
            max_num_doublings=MAX_TREE_DEPTH,
        )
        (state, parameters), _ = adapt.run(warm_key, x / scale, tune)
        return key, scale, state, parameters["step_size"], parameters["inverse_mass_matrix"]

    def step(state: Any, data: Arrays) -> Any:
        key, scale, position, size, metric = state
        now, key = jax.random.split(key)
        new, info = transition(now, position, lambda z: logp(scale * z, data), size, metric, MAX_TREE_DEPTH)
        stats = (info.is_divergent, info.num_integration_steps, info.acceptance_rate, info.energy, new.logdensity, size)
        return (key, scale, new, size, metric), scale * new.position, stats

    return Kernel(start, step)


NUTS = {"numpyro": numpyro_nuts, "blackjax": blackjax_nuts}
WARM_AT_START = frozenset({"blackjax"})  # these adapt before their first state is returned


def vectorized(kernel: Kernel, chains: int) -> Kernel:
    """All chains of one posterior as one kernel: positions are [chain, size], statistics [chain]."""

    def start(key: Any, x: Any, scale: Any, data: Arrays) -> Any:
        return jax.vmap(kernel.start, in_axes=(0, 0, None, None))(jax.random.split(key, chains), x, scale, data)

    return Kernel(start, jax.vmap(kernel.step, in_axes=(0, None)))


def within_reach(logp: Potential, x: Any, centre: Any, data: Arrays) -> Any:
    """Starting points `x` [..., size], each drawn toward the centre by halves until its density is not far below.

    A prior draw may lie where the data all but exclude it: a chain would not come back from there in time.
    """

    def far(state: Any) -> Any:
        tried, reached, *_ = state
        return (tried <= HALVINGS) & ~reached

    def nearer(x: Any) -> Any:
        def step(state: Any) -> Any:
            # The first step finds the floor, the others try: the density stands once and so is compiled once.
            tried, _, z, floor = state
            first, value = tried == 0, logp(z, data)
            reached = ~first & (value > floor)
            after = jnp.where(first, x, jnp.where(reached, z, (centre + z) / 2))
            return tried + 1, reached, after, jnp.where(first, value - centre.size - MARGIN, floor)

        return jax.lax.while_loop(far, step, (0, False, centre, 0.0))[2]

    return jnp.vectorize(nearer, signature="(n)->(n)")(x)


def flattened(kernel: Kernel, logp: Potential) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A kernel as two functions of plain arrays.

    They are `start(key_data, x, centre, scale, data)`, see :func:`within_reach`, and
    `advance(state, data, steps, *controls)`. The state is a tuple of arrays, so that neither a library's own classes
    nor its typed keys stand in a stored program. `advance` makes up to `CHUNK` transitions, each with its own of the
    `controls` [CHUNK], and returns the new state, positions [CHUNK, ..., size] and statistics [CHUNK, ...]; rows past
    `steps` are zero: the number is an argument, and one program serves every length.
    """
    trees: dict[str, Any] = {}

    def flat(state: Any) -> tuple[Any, ...]:
        leaves, trees["state"] = jax.tree.flatten(state)
        trees["typed"] = [jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves]
        return tuple(
            jax.random.key_data(leaf) if typed else leaf for leaf, typed in zip(leaves, trees["typed"], strict=True)
        )

    def nested(leaves: tuple[Any, ...]) -> Any:
        restored = [
            jax.random.wrap_key_data(leaf) if typed else leaf
            for leaf, typed in zip(leaves, trees["typed"], strict=True)
        ]
        return jax.tree.unflatten(trees["state"], restored)

    def start(key: Any, x: Any, centre: Any, scale: Any, data: Arrays) -> Any:
        near = within_reach(logp, x, centre, data)
        return flat(kernel.start(jax.random.wrap_key_data(key), near, scale, data))

    def advance(leaves: Any, data: Arrays, steps: Any, *controls: Any) -> Any:
        _, x, stats = jax.eval_shape(kernel.step, nested(leaves), data, *(c[0] for c in controls))
        buffers = jax.tree.map(lambda leaf: jnp.zeros((CHUNK, *leaf.shape), leaf.dtype), (x, stats))

        def body(i: Any, carry: Any) -> Any:
            state, buffers = carry
            state, x, stats = kernel.step(nested(state), data, *(c[i] for c in controls))
            return flat(state), jax.tree.map(lambda buffer, leaf: buffer.at[i].set(leaf), buffers, (x, stats))

        leaves, (xs, stats) = jax.lax.fori_loop(0, steps, body, (leaves, buffers))
        return leaves, xs, stats

    return start, advance
