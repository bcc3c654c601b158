"""Kernels as programs that make a chunk of transitions at a time, and the one loop that calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from postcgrp.inference.kernels import CHUNK, FIRST_STEP, Info, Kernel, LogDensity, Sampler
from postcgrp.inference.numerics import Arrays
from postcgrp.inference.starting import within_reach

Leaves = tuple[Any, ...]  # a kernel's state as plain arrays


def as_programs(kernel: Kernel, logp: LogDensity) -> tuple[Callable[..., Leaves], Callable[..., Any]]:
    """A kernel as two functions of plain arrays, `start` and `advance`.

    `start(key_data, x, centre, scale, data)` gives the first state; see :func:`within_reach` for `centre`.
    `advance(state, data, steps, *controls)` makes `steps` transitions, each with its own of the `controls` [CHUNK], and
    returns the new state, positions [CHUNK, ..., size] and the fields of :class:`Info` [CHUNK, ...]. Rows past `steps`
    are zero: their number is an argument, so that one program serves every length. The state is a tuple of arrays, so
    that a stored program holds neither a library's own classes nor its typed keys.
    """
    trees: dict[str, Any] = {}

    def flat(state: Any) -> Leaves:
        leaves, trees["state"] = jax.tree.flatten(state)
        trees["typed"] = [jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves]
        return tuple(
            jax.random.key_data(leaf) if typed else leaf for leaf, typed in zip(leaves, trees["typed"], strict=True)
        )

    def nested(leaves: Leaves) -> Any:
        restored = [
            jax.random.wrap_key_data(leaf) if typed else leaf
            for leaf, typed in zip(leaves, trees["typed"], strict=True)
        ]
        return jax.tree.unflatten(trees["state"], restored)

    def start(key: jax.Array, x: jax.Array, centre: jax.Array, scale: jax.Array, data: Arrays) -> Leaves:
        near = within_reach(logp, x, centre, data)
        return flat(kernel.start(jax.random.wrap_key_data(key), near, centre, scale, data))

    def advance(leaves: Leaves, data: Arrays, steps: jax.Array, *controls: jax.Array) -> Any:
        _, x, info = jax.eval_shape(kernel.step, nested(leaves), data, tuple(c[0] for c in controls))
        buffers = jax.tree.map(lambda leaf: jnp.zeros((CHUNK, *leaf.shape), leaf.dtype), (x, info))

        def body(i: Any, carry: Any) -> Any:
            leaves, buffers = carry
            state, x, info = kernel.step(nested(leaves), data, tuple(c[i] for c in controls))
            return flat(state), jax.tree.map(lambda buffer, leaf: buffer.at[i].set(leaf), buffers, (x, info))

        leaves, (xs, infos) = jax.lax.fori_loop(0, steps, body, (leaves, buffers))
        return leaves, xs, tuple(infos)

    return start, advance


class Chunk(NamedTuple):
    """Consecutive transitions: whether they only tune, their number, positions [step, ..., size] and :class:`Info`.

    Of several posteriors that advance together, all arrays are [lane, step, ...].
    """

    tuning: bool
    steps: int
    positions: NDArray[np.float64]
    info: Info


def first_controls(sampler: Sampler) -> Leaves:
    """What `advance` takes beside state and data, as an example to trace it with."""
    return np.int64(1), *sampler.controls(0, FIRST_STEP)


def run_chunks(
    advance: Callable[..., Any],
    state: Leaves,
    data: Arrays,
    sampler: Sampler,
    draws: int,
    *,
    lanes_step: float | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Chunk]:
    """Advance chains from their first state through tuning and then `draws` transitions, chunk by chunk.

    Parameters: `advance`, compiled (:func:`as_programs`); `lanes_step`, only for an `advance` of several posteriors:
    they share their controls, and this is the step size that these are for, while chains of one posterior go by their
    own; `stopped`, asked before each chunk. Raises `CancelledError` once stopped.
    """
    step_size = FIRST_STEP if lanes_step is None else lanes_step
    for begin, end in ((0, sampler.tune), (sampler.tune, sampler.tune + draws)):
        for begun in range(begin, end, CHUNK):
            if stopped():
                raise CancelledError
            steps = min(CHUNK, end - begun)
            made = advance(state, data, np.int64(steps), *sampler.controls(begun, step_size))
            state, x, fields = jax.block_until_ready(made)
            rows = np.s_[:steps] if lanes_step is None else np.s_[:, :steps]
            info = Info(*(np.asarray(leaf)[rows] for leaf in fields))
            yield Chunk(begun < sampler.tune, steps, np.asarray(x)[rows], info)
            if lanes_step is None:
                step_size = float(np.ravel(info.step_size[-1])[0])
