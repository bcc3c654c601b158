"""Jittered Hamiltonian Monte Carlo: all chains of one posterior as one program, which vectorises over posteriors.

The transition and the dual averaging are BlackJAX's; the integrator is
:func:`postcgrp.inference.reference.rotating`. Trajectory lengths are decided outside of the program and are the same
for all its lanes, which therefore never wait for each other; lanes of NUTS wait for the longest tree among them. The
chains of a posterior share one step size and one normal reference, learned from all of them (measured:
docs/performance.md).
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from postcgrp.inference.kernels import CHUNK, FIRST_STEP, MAX_TREE_DEPTH, Info, Kernel, LogDensity, Sampler
from postcgrp.inference.numerics import Arrays
from postcgrp.inference.reference import Reference, Window, add, first_reference, learned, no_draws, rotating
from postcgrp.inference.settings import Sampling

TRAJECTORY = 1.7  # mean length of a trajectory, in posterior sds: a little over a quarter turn of a normal
JITTER = 0.5  # lengths spread evenly by this fraction, so that no direction comes back to where it was
TURN_BITS = 40
LONGEST_STEP = 0.8  # below the shortest trajectory; a posterior that is the reference would take any
_BEFORE, WINDOW, _AFTER = 50, 25, 50  # tuning transitions before the first window, in it, and after the last one
LEAST_TUNING = 20  # with fewer tuning transitions the reference is not learned


class Adaptation(IntEnum):
    """What a transition adapts."""

    NOTHING = 0
    STEP = 1
    STEP_AND_WINDOW = 2
    END_OF_WINDOW = 3
    END_OF_TUNING = 4


class TrajectoryControls(NamedTuple):
    """What is decided outside of the program for each transition: [CHUNK] each.

    `leapfrogs`: the length of its trajectory in steps. `phase`: what it adapts, an :class:`Adaptation`.
    `target_accept`: the acceptance that the step size is tuned for.
    """

    leapfrogs: NDArray[np.int64]
    phase: NDArray[np.int64]
    target_accept: NDArray[np.float64]


class _State(NamedTuple):
    """The chains of one posterior and what they share.

    `fresh`: whether no transition was made yet, so that densities and gradients are still unknown. `chains`: BlackJAX's
    states of HMC, leaves [chain, ...]. `averaging`: the state of dual averaging of the step size. `reference`: the
    normal that trajectories turn by. `window`: sums over the draws of this window, of all chains.
    """

    key: Any
    fresh: Any
    chains: Any
    averaging: Any
    step_size: Any
    reference: Reference
    window: Window


def jittered_hmc(settings: Sampling) -> Sampler:
    """Hamiltonian Monte Carlo with trajectories of jittered length, shared by all chains.

    Source: Hoffman, Radul & Sountsov 2021 (ChEES), for jittered lengths shared by all lanes.
    """
    return Sampler(
        kernel=partial(_kernel, chains=settings.chains),
        program=f"{settings.sampler} chains={settings.chains}",  # all else is an argument
        together=settings.chains,
        tune=settings.tune,
        controls=partial(controls, settings.tune, settings.target_accept),
    )


def _kernel(logp: LogDensity, chains: int) -> Kernel:
    """All chains as one kernel, steered by :class:`TrajectoryControls`; a window's sums are pooled over chains."""
    import blackjax  # not where the program is stored
    from blackjax.mcmc.metrics import LowRankInverseMassMatrix
    from blackjax.optimizers.dual_averaging import dual_averaging

    averaging, update, averaged = dual_averaging()

    def start(key: jax.Array, x: jax.Array, centre: jax.Array, scale: jax.Array, _: Arrays) -> _State:
        # Density and gradient are unknown: the first transition goes nowhere and finds them. Finding them here would
        # compile the density a second time, which takes as long as compiling the transitions.
        states = blackjax.mcmc.hmc.HMCState(x, jnp.full(chains, -jnp.inf), jnp.zeros_like(x))
        reference = first_reference(centre, scale)
        state = _State(
            key=key,
            fresh=jnp.ones((), bool),
            chains=states,
            averaging=averaging(FIRST_STEP),
            step_size=FIRST_STEP,
            reference=reference,
            window=no_draws(reference),
        )
        return _State(*jax.tree.map(jnp.array, state))

    def step(state: _State, data: Arrays, controls: tuple[Any, ...]) -> tuple[_State, jax.Array, Info]:
        leapfrogs, phase, target_accept = controls
        key, now = jax.random.split(state.key)
        step_size = jnp.where(state.fresh, 0.0, state.step_size)
        transition = blackjax.hmc.build_kernel(rotating(state.reference))
        metric = LowRankInverseMassMatrix(*state.reference[1:])

        def move(key: Any, chain: Any) -> Any:
            return transition(key, chain, lambda v: logp(v, data), step_size, metric, leapfrogs)

        new, told = jax.vmap(move)(jax.random.split(now, chains), state.chains)
        accept = jnp.nan_to_num(told.acceptance_rate)
        size, length = (jnp.broadcast_to(shared, (chains,)) for shared in (state.step_size, leapfrogs))
        info = Info(
            diverging=told.is_divergent,
            n_steps=length,
            acceptance_rate=accept,
            energy=told.energy,
            lp=new.logdensity,
            step_size=size,
        )

        def settled(s: _State) -> jax.Array:
            return jnp.minimum(averaged(s.averaging), LONGEST_STEP)

        def adapt_step(s: _State) -> _State:
            after = update(s.averaging, target_accept - accept.mean())
            return s._replace(averaging=after, step_size=jnp.minimum(jnp.exp(after.log_x), LONGEST_STEP))

        def adapt_both(s: _State) -> _State:
            filled = s.window
            for c in range(chains):
                filled = add(filled, s.reference, new.position[c], new.logdensity_grad[c])
            return adapt_step(s)._replace(window=filled)

        def end_window(s: _State) -> _State:
            s = adapt_both(s)
            after, reference = settled(s), learned(s.window, s.reference)
            return s._replace(
                reference=reference, window=no_draws(reference), averaging=averaging(after), step_size=after
            )

        def end_tuning(s: _State) -> _State:
            s = adapt_step(s)
            return s._replace(step_size=settled(s))

        state = state._replace(key=key, fresh=False, chains=new)
        by_phase = [lambda s: s, adapt_step, adapt_both, end_window, end_tuning]
        return jax.lax.switch(phase, by_phase, state), new.position, info

    return Kernel(start, step)


@cache
def phases(tune: int) -> NDArray[np.int64]:
    """The :class:`Adaptation` of each tuning transition: Stan's windows, each twice as long as the one before.

    Equal to `blackjax.adaptation.staged_adaptation.build_schedule` (tested), whose import would take as long as the
    sampling itself.
    """
    schedule = np.full(tune, Adaptation.STEP)
    if tune >= LEAST_TUNING:
        begin, size, end = _BEFORE, WINDOW, tune - _AFTER
        if begin + size > end:
            begin, end = int(0.15 * tune), tune - int(0.1 * tune)
            size = end - begin
        while begin < end:
            until = begin + size if 3 * size <= end - begin else end
            schedule[begin:until] = Adaptation.STEP_AND_WINDOW
            schedule[until - 1] = Adaptation.END_OF_WINDOW
            begin, size = until, 2 * size
    schedule[-1] = Adaptation.END_OF_TUNING
    return schedule


def controls(tune: int, target_accept: float, begun: int, step_size: float) -> TrajectoryControls:
    """The controls of the `CHUNK` transitions after the first `begun`, for trajectories at a step size."""
    at = np.arange(begun, begun + CHUNK)[:, None] >> np.arange(TURN_BITS)
    turns = (at & 1) @ 0.5 ** np.arange(1, TURN_BITS + 1)  # the van der Corput sequence: bits behind the point
    lengths = TRAJECTORY * (1 - JITTER + 2 * JITTER * turns)
    leapfrogs = np.clip(np.rint(lengths / step_size), 1, 2**MAX_TREE_DEPTH).astype(np.int64)
    phase = np.full(CHUNK, Adaptation.NOTHING)
    tuning = phases(tune)[begun : begun + CHUNK]
    phase[: tuning.size] = tuning
    return TrajectoryControls(leapfrogs, phase, np.full(CHUNK, target_accept))
