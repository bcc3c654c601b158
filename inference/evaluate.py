"""Evaluate a program that takes a fixed number of points on any number of them, in flat memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from postcgrp.inference.jaxify import Arrays

BATCH = 250


def evaluate(
    program: Callable[..., Any],
    points: Mapping[str, Any],
    data: Arrays,
    shape: tuple[int, int],
    each: Callable[[Callable[[int], Any], Iterable[int]], Iterable[Any]] = map,
) -> dict[str, Arrays]:
    """Everything derived from points by variable [prod(shape), ...], as [*shape, ...] by group.

    Parameters: `program`, compiled for `BATCH` points; `each`, how batches are run: one by one, or a pool's map.
    """
    number = shape[0] * shape[1]

    def batch(begin: int) -> Any:
        rows = np.minimum(np.arange(begin, begin + BATCH), number - 1)
        out = program({n: v[rows] for n, v in points.items()}, data)
        return jax.tree.map(lambda leaf: np.asarray(leaf)[: number - begin], out)

    parts = list(each(batch, range(0, number, BATCH)))
    whole = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    return dict(jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), whole))
