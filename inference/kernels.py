"""The interface of kernels: what starts a chain, what one transition does and tells, and who decides what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax

from postcgrp.inference.numerics import Arrays

CHUNK = 100  # transitions that one call of a compiled program can make
FIRST_STEP = 0.3  # the step size at which tuning begins, in units of the first scale
MAX_TREE_DEPTH = 10  # a trajectory has at most 2 to this power leapfrog steps

LogDensity = Callable[[jax.Array, Arrays], jax.Array]  # of an unconstrained position [size], given the model's data
State = Any  # a tree of arrays that only its own kernel looks into
Controls = tuple[Any, ...]  # what a caller decides for a transition; most kernels have none


class Info(NamedTuple):
    """What a transition tells of itself: scalars of one chain, [chain] of chains that advance together.

    `diverging`: whether the energy was lost on the way, so that the trajectory says nothing.
    `n_steps`: leapfrog steps, each of them one gradient.
    `acceptance_rate`: probability of accepting the points of the trajectory, averaged over them.
    `energy`: minus the log density of position and momentum together.
    `lp`: log density of the new position on the unconstrained scale, Jacobians included.
    `step_size`: that of the trajectory's leapfrog steps.
    """

    diverging: Any
    n_steps: Any
    acceptance_rate: Any
    energy: Any
    lp: Any
    step_size: Any


class Start(Protocol):
    """Begins a chain."""

    def __call__(self, key: jax.Array, x: jax.Array, centre: jax.Array, scale: jax.Array, data: Arrays, /) -> State:
        """A chain's first state at `x` [size], with `centre` and `scale` [size], about where and how wide draws lie."""


class Step(Protocol):
    """Makes one transition."""

    def __call__(self, state: State, data: Arrays, controls: Controls, /) -> tuple[State, jax.Array, Info]:
        """The new state, its position [size], and what the transition tells."""


@dataclass(frozen=True)
class Kernel:
    """A sampler of one log density, as pure functions to be traced.

    Of a kernel that advances several chains together, positions are [chain, size].
    """

    start: Start
    step: Step


@dataclass(frozen=True)
class Sampler:
    """How the chains of a posterior advance under given settings.

    Making one imports nothing: a process that finds its programs stored needs no kernel, only its controls.

    `kernel`: makes the kernel of a log density. `program`: which of the settings are compiled into its programs.
    `together`: how many chains advance as one program; 0 where each runs alone. `tune`: transitions to throw away
    before the first draw; none where a chain is tuned as it starts. `controls`: from the number of transitions made
    before and the step size now, the controls of the next `CHUNK` of them, arrays [CHUNK].
    """

    kernel: Callable[[LogDensity], Kernel]
    program: str
    together: int
    tune: int
    controls: Callable[[int, float], Controls] = lambda begun, step_size: ()


def vectorized(kernel: Kernel, chains: int) -> Kernel:
    """All chains of one posterior as one kernel, from the kernel of a single chain."""

    def start(key: jax.Array, x: jax.Array, centre: jax.Array, scale: jax.Array, data: Arrays) -> State:
        begin = jax.vmap(kernel.start, in_axes=(0, 0, None, None, None))
        return begin(jax.random.split(key, chains), x, centre, scale, data)

    return Kernel(start, jax.vmap(kernel.step, in_axes=(0, None, None)))
