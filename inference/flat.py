"""Unconstrained variables in one vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from postcgrp.inference.numerics import Arrays


@dataclass(frozen=True)
class Flat:
    """The layout of a model's unconstrained free variables in one vector.

    `shapes` maps each value variable to its shape, in order; `size` is the length of the vector.
    """

    shapes: dict[str, tuple[int, ...]]

    @property
    def size(self) -> int:
        """Number of free parameters."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def split(self, vector: Any) -> Arrays:
        """Variables by name from a vector [..., size]."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        parts: Sequence[Any]
        if isinstance(vector, np.ndarray):
            parts = np.split(vector, np.cumsum(sizes)[:-1], axis=-1)
        else:  # one operation with one concatenation as its gradient; slices would have a sum of padded vectors
            parts = jax.lax.split(vector, sizes, axis=vector.ndim - 1)
        return {n: p.reshape((*p.shape[:-1], *s)) for (n, s), p in zip(self.shapes.items(), parts, strict=True)}

    def join(self, point: Arrays) -> Any:
        """The vector [..., size] of variables by name, the inverse of :meth:`split`."""
        parts = [
            np.reshape(point[n], (*np.shape(point[n])[: np.ndim(point[n]) - len(s)], math.prod(s)))
            for n, s in self.shapes.items()
        ]
        return (np if all(isinstance(part, np.ndarray) for part in parts) else jnp).concatenate(parts, axis=-1)
