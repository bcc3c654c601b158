"""Prior draws where the density is not zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from postcgrp.priors import InputError

RAREST = 1000  # at least one of this many prior draws must lie within the bounds of the variables' transforms


def draws_within(number: int, draw: Callable[[int], dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """The first `number` finite draws of all that `draw` makes, by name [number, ...].

    A transform may cut off part of a distribution (`ordered` keeps one order of several values): beyond the cut there
    is no value on the unconstrained scale. Parameters: `draw`, from the number of draws made before to the next ones.
    Raises :class:`InputError` if hardly any lies within.
    """
    parts, tried, kept = list[dict[str, NDArray[Any]]](), 0, 0
    while kept < number:
        part = draw(tried)
        made = len(next(iter(part.values())))
        within = np.ones(made, bool)
        for values in part.values():
            within &= np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
        parts.append({name: values[within] for name, values in part.items()})
        tried, kept = tried + made, kept + int(within.sum())
        if tried > RAREST * (kept + 10):
            raise InputError(
                f"{kept} of {tried} prior draws lie within the variables' transforms: choose priors that do"
            )
    return {name: np.concatenate([part[name] for part in parts])[:number] for name in parts[0]}
