"""Evaluate a program, compiled for a fixed number of points, on any number of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from postcgrp.inference.jaxify import Arrays

POINTS = 250  # that a program takes in one call


def evaluate(
    program: Callable[..., Any],
    points: NDArray[np.float64],
    data: Arrays,
    shape: tuple[int, int],
    each: Callable[[Callable[[int], Any], Iterable[int]], Iterable[Any]] = map,
) -> dict[str, Arrays]:
    """Everything derived from unconstrained points [prod(shape), size], as [*shape, ...] by group.

    Results are written into arrays of their final size as they come, so that memory holds them once. Parameters:
    `program`, compiled for `POINTS` points; `each`, the map that calls it: one call at a time, or a pool's.
    """
    number = shape[0] * shape[1]
    first, *later = range(0, number, POINTS)
    data = jax.device_put(data)  # once and not per call: a model has many small arrays

    def batch(begin: int) -> Any:
        return program(points[np.minimum(np.arange(begin, begin + POINTS), number - 1)], data)

    def fill(begin: int, out: Any) -> None:
        for array, leaf in zip(whole, jax.tree.leaves(out), strict=True):
            array[begin : begin + POINTS] = np.asarray(leaf)[: number - begin]

    example = batch(first)
    leaves, tree = jax.tree.flatten(example)
    whole = [np.empty((number, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
    fill(first, example)
    list(each(lambda begin: fill(begin, batch(begin)), later))
    return dict(jax.tree.unflatten(tree, [array.reshape(*shape, *array.shape[1:]) for array in whole]))
