"""The No-U-Turn samplers of NumPyro and BlackJAX as kernels.

Both work in units of `scale`: in the variables' own units their adaptation would shrink every variance toward 0.001,
whatever the unit. The libraries are imported only to trace a kernel: a process with stored programs needs neither.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from postcgrp.inference.kernels import MAX_TREE_DEPTH, Controls, Info, Kernel, LogDensity, Sampler, State, vectorized
from postcgrp.inference.numerics import Arrays
from postcgrp.inference.settings import Sampling


def numpyro_nuts(settings: Sampling) -> Sampler:
    """NumPyro's iterative NUTS, with Stan's windowed adaptation of step size and diagonal metric."""
    return _sampler(_numpyro_kernel, settings, tune=settings.tune)


def blackjax_nuts(settings: Sampling) -> Sampler:
    """BlackJAX's NUTS, whose windowed adaptation is run whole as a chain starts."""
    return _sampler(_blackjax_kernel, settings, tune=0)


def _sampler(kernel: Callable[[LogDensity, Sampling], Kernel], settings: Sampling, *, tune: int) -> Sampler:
    together = settings.chains if settings.chain_method == "vectorized" else 0

    def build(logp: LogDensity) -> Kernel:
        alone = kernel(logp, settings)
        return vectorized(alone, together) if together else alone

    return Sampler(
        kernel=build,
        program=f"{settings.sampler} {together=} tune={settings.tune} target_accept={settings.target_accept}",
        together=together,
        tune=tune,
    )


def _numpyro_kernel(logp: LogDensity, settings: Sampling) -> Kernel:
    from numpyro.infer.hmc import hmc

    init, sample = hmc(potential_fn_gen=lambda data, scale: lambda z: -logp(scale * z, data), algo="NUTS")

    def start(key: jax.Array, x: jax.Array, _: jax.Array, scale: jax.Array, data: Arrays) -> State:
        return scale, init(
            x / scale,
            settings.tune,
            inverse_mass_matrix=jnp.ones_like(scale),
            target_accept_prob=settings.target_accept,
            max_tree_depth=MAX_TREE_DEPTH,
            model_args=(data, scale),
            rng_key=key,
        )

    def step(state: State, data: Arrays, _: Controls) -> tuple[State, jax.Array, Info]:
        scale, old = state
        new = sample(old, (data, scale))
        info = Info(
            diverging=new.diverging,
            n_steps=new.num_steps,
            acceptance_rate=new.accept_prob,
            energy=new.energy,
            lp=-new.potential_energy,
            step_size=old.adapt_state.step_size,
        )
        return (scale, new), scale * new.z, info

    return Kernel(start, step)


def _blackjax_kernel(logp: LogDensity, settings: Sampling) -> Kernel:
    import blackjax
    from blackjax.adaptation.base import get_filter_adapt_info_fn

    transition = blackjax.nuts.build_kernel()

    def start(key: jax.Array, x: jax.Array, _: jax.Array, scale: jax.Array, data: Arrays) -> State:
        warm_key, key = jax.random.split(key)
        adapt = blackjax.window_adaptation(
            blackjax.nuts,
            lambda z: logp(scale * z, data),
            target_acceptance_rate=settings.target_accept,
            initial_inverse_mass_matrix=jnp.ones_like(scale),
            adaptation_info_fn=get_filter_adapt_info_fn(),
            max_num_doublings=MAX_TREE_DEPTH,
        )
        (state, parameters), _ = adapt.run(warm_key, x / scale, settings.tune)
        return key, scale, state, parameters["step_size"], parameters["inverse_mass_matrix"]

    def step(state: State, data: Arrays, _: Controls) -> tuple[State, jax.Array, Info]:
        key, scale, position, size, metric = state
        now, key = jax.random.split(key)
        new, told = transition(now, position, lambda z: logp(scale * z, data), size, metric, MAX_TREE_DEPTH)
        info = Info(
            diverging=told.is_divergent,
            n_steps=told.num_integration_steps,
            acceptance_rate=told.acceptance_rate,
            energy=told.energy,
            lp=new.logdensity,
            step_size=size,
        )
        return (key, scale, new, size, metric), scale * new.position, info

    return Kernel(start, step)
