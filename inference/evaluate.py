"""Evaluate a program that takes a fixed number of points on any number of them, in flat memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from postcgrp.inference.jaxify import Arrays

BATCH = 250


def evaluate(
    program: Callable[..., Any],
    points: NDArray[np.float64],
    data: Arrays,
    shape: tuple[int, int],
    each: Callable[[Callable[[int], Any], Iterable[int]], Iterable[Any]] = map,
) -> dict[str, Arrays]:
    """Everything derived from unconstrained points [prod(shape), size], as [*shape, ...] by group.

    Parameters: `program`, compiled for `BATCH` points; `each`, how batches are run: one by one, or a pool's map.
    """
    number = shape[0] * shape[1]
    first, *later = range(0, number, BATCH)
    data = jax.device_put(data)  # once, for a model has many small arrays

    def batch(begin: int) -> Any:
        return program(points[np.minimum(np.arange(begin, begin + BATCH), number - 1)], data)

    def fill(begin: int, out: Any) -> None:
        for array, leaf in zip(whole, jax.tree.leaves(out), strict=True):
            array[begin : begin + BATCH] = np.asarray(leaf)[: number - begin]

    example = batch(first)
    leaves, tree = jax.tree.flatten(example)
    whole = [np.empty((number, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
    fill(first, example)
    list(each(lambda begin: fill(begin, batch(begin)), later))
    return dict(jax.tree.unflatten(tree, [array.reshape(*shape, *array.shape[1:]) for array in whole]))
