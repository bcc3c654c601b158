"""Stored draws against rows of evidence: aggregates, and their densities with a source's error integrated out.

What `models/evidence.py` observes, computed from a finished run in NumPy, so that asking costs no compiler.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.models import variables as v
from postcgrp.priors import Evidence, PriorSet
from postcgrp.priors.catalogue import SIZES
from postcgrp.priors.segments import SEGMENT_DIMS

Array = NDArray[np.float64]


def needed(pset: PriorSet, rows: Iterable[Evidence]) -> list[str]:
    """The variables that the aggregates of these rows, and the errors of their sources, are made of."""
    names: list[str] = []
    for row in rows:
        base = row.quantity.removesuffix("_share")
        names += [base] if base in SIZES else ["patients", "use" if base == "adoption" else base]
        names += [v.source_error(pset, row.source)] if row.quantity in SIZES else []
    return list(dict.fromkeys(names))


def log_aggregate(draws: Dataset, row: Evidence) -> DataArray:
    """The log of what a row observes, before any error [chain, draw].

    Parameters: `draws`, a posterior with the variables that :func:`needed` names.
    """

    def part(cells: DataArray) -> DataArray:
        labels = {dim: label for dim in SEGMENT_DIMS if dim in cells.dims and (label := getattr(row, dim)) is not None}
        return _sum(cells.sel(labels))

    def at(name: str) -> DataArray:
        values = draws[name]
        return values.sel(year=row.year) if "year" in values.dims else values

    base = row.quantity.removesuffix("_share")
    if base in SIZES:
        cells = at(base)
        share = row.quantity != base
        return _log(part(cells)) - (_log(_sum(cells)) if share else 0.0)
    patients = at("patients")
    return _log(part(patients * at("use" if base == "adoption" else base))) - _log(part(patients))


@dataclass(frozen=True)
class Residuals:
    """Rows of one source against draws: log value less what is expected [draw, row], and its covariance [row, row].

    Normal, with the source's error integrated out at every year at which the draws do not hold it.
    """

    rows: tuple[Evidence, ...]
    values: Array
    covariance: Array

    def terms(self) -> Array:
        """Each row's part of the log density [draw, row], up to one constant: they add up to all of it."""
        return np.asarray(-self.values * np.linalg.solve(self.covariance, self.values.T).T / 2)


def residuals(draws: Dataset, pset: PriorSet, rows: Sequence[Evidence], known: Sequence[int] = ()) -> Residuals:
    """Rows of one source against draws.

    Parameters: `rows`, all of one source; `known`, years at which `draws` hold that source's error, which is then
    taken as known there and, as the random walk that it is, conditioned on elsewhere. `pset` has the error's model.
    """
    source = rows[0].source
    expected = np.column_stack([flat(log_aggregate(draws, row)) for row in rows])
    sized = np.array([row.quantity in SIZES for row in rows])
    years = [row.year for row in rows]
    variance = _walk(pset, source, years, years)
    expected = expected + sized * pset.source_log_bias(source, years)
    if len(known):
        gain = np.linalg.pinv(_walk(pset, source, known, known), hermitian=True) @ _walk(pset, source, known, years)
        variance = variance - _walk(pset, source, years, known) @ gain
        error = draws[v.source_error(pset, source)]
        at_known = flat(error.sel({error.dims[-1]: list(known)})) - pset.source_log_bias(source, known)
        expected = expected + sized * (at_known @ gain)
    own = np.diag([row.log_sd**2 for row in rows])
    values = np.log([row.value for row in rows]) - expected
    return Residuals(tuple(rows), values, own + np.outer(sized, sized) * variance)


def known_years(draws: Dataset, pset: PriorSet, source: str) -> list[int]:
    """The years at which draws hold a source's error; none where its evidence is new."""
    name = v.source_error(pset, source)
    if name not in draws:
        return []
    return [int(year) for year in draws[name][draws[name].dims[-1]].values]


def against(draws: Dataset, pset: PriorSet, rows: Iterable[Evidence]) -> list[Residuals]:
    """Rows against draws, source by source: where the draws hold a source's error, it is known."""
    by_source: dict[str, list[Evidence]] = {}
    for row in rows:
        by_source.setdefault(row.source, []).append(row)
    return [residuals(draws, pset, of_one, known_years(draws, pset, source)) for source, of_one in by_source.items()]


def source_densities(draws: Dataset, pset: PriorSet) -> dict[str, DataArray]:
    """Log likelihood of each source's rows with its error integrated out [chain, draw], up to a constant, by source.

    This is what a source as a whole says of the market: given the error that a draw happens to hold, its rows would
    only measure their own noise. Parameters: `draws`, with the variables that :func:`needed` names.
    """
    found = {}
    for source in dict.fromkeys(row.source for row in pset.evidence):
        part = residuals(draws, pset, [row for row in pset.evidence if row.source == source])
        shape = (draws.sizes["chain"], draws.sizes["draw"])
        found[source] = DataArray(part.terms().sum(axis=1).reshape(shape), dims=SAMPLE)
    return found


def flat(draws: DataArray) -> Array:
    """Values [chain x draw, ...], one chain after the other."""
    values = draws.transpose(*SAMPLE, ...).values
    return np.asarray(values.reshape(values.shape[0] * values.shape[1], *values.shape[2:]), dtype=float)


def _walk(pset: PriorSet, source: str, first: Sequence[int], second: Sequence[int]) -> Array:
    """Covariance of a source's error between years: a random walk's, hence that of the earlier year."""
    return np.asarray(pset.source_log_sd(source, np.minimum.outer(first, second).ravel().tolist()) ** 2).reshape(
        len(first), len(second)
    )


def _sum(cells: DataArray) -> DataArray:
    return cells.sum([dim for dim in cells.dims if dim not in SAMPLE])


def _log(values: DataArray) -> DataArray:
    return values.copy(data=np.log(values.values))
