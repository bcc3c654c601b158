"""Evaluate a program, compiled for a fixed number of points, on any number of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from postcgrp.inference.numerics import Arrays

POINTS = 250  # that a program takes in one call


def chunk_key(seed: int, begin: int) -> NDArray[np.uint32]:
    """The data of the key for the `POINTS` draws from `begin` on, of a seed below 2^32."""
    return np.array([seed, begin], np.uint32)


def evaluate(
    program: Callable[..., Any],
    points: NDArray[np.float64],
    data: Arrays,
    shape: tuple[int, int],
    each: Callable[[Callable[[int], Any], Iterable[int]], Iterable[Any]] = map,
    seed: int | None = None,
) -> dict[str, Arrays]:
    """Everything derived from unconstrained points [prod(shape), size], as [*shape, ...] by group.

    Results are written into arrays of their final size as they come, so that memory holds them once. Parameters:
    `program`, compiled for `POINTS` points; `each`, the map that calls it: one call at a time, or a pool's; `seed`,
    below 2^32, for a program that draws.
    """
    number = shape[0] * shape[1]
    first, *later = range(0, number, POINTS)
    data = jax.device_put(data)  # once and not per call: a model has many small arrays

    def batch(begin: int) -> Any:
        key = () if seed is None else (chunk_key(seed, begin),)
        return program(points[np.minimum(np.arange(begin, begin + POINTS), number - 1)], data, *key)

    def fill(begin: int, out: Any) -> None:
        for array, leaf in zip(whole, jax.tree.leaves(out), strict=True):
            array[begin : begin + POINTS] = np.asarray(leaf)[: number - begin]

    example = batch(first)
    leaves, tree = jax.tree.flatten(example)
    whole = [np.empty((number, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
    fill(first, example)
    list(each(lambda begin: fill(begin, batch(begin)), later))
    return dict(jax.tree.unflatten(tree, [array.reshape(*shape, *array.shape[1:]) for array in whole]))
