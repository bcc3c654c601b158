"""Evidence: observed aggregates on the log scale, with the error that all sizes of one source share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor.tensor import TensorVariable

from postcgrp.models import variables as v
from postcgrp.models.latent import deviation, hyper
from postcgrp.priors import Evidence, PriorSet
from postcgrp.priors.catalogue import MILLION, OBSERVED, SIZES

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Observed:
    """What one source's evidence is about, as graphs over `years`, as that source sees launches.

    `revenue` [year, region, depth, modality], USD million; `factor` [modality] by year, the log of what stated revenue
    is multiplied by because the source's patients and adoption err, None for 0; `patients` [year, region, depth];
    `users` [year, region, depth, modality]; `shares` [region, depth] or [region] of patients, by quantity, the same in
    every year. A row without a year is about the mean over `window`.
    """

    years: Sequence[int]
    revenue: TensorVariable
    factor: Callable[[int], TensorVariable] | None
    patients: TensorVariable
    users: TensorVariable
    shares: Mapping[str, TensorVariable]
    window: Sequence[int]

    def log_aggregate(self, pset: PriorSet, row: Evidence) -> TensorVariable:
        """The log of what a row observes [], before any error."""
        by, segments = OBSERVED[row.quantity].by, OBSERVED["patients"].by
        at = [self.years.index(year) for year in (self.window if row.year is None else [row.year])]
        patients = self.patients[at]

        def total(cells: TensorVariable, dims: Sequence[str]) -> TensorVariable:
            return _part(pset, row, cells, dims).sum(axis=tuple(range(1, cells.ndim)))

        if row.quantity == "adoption":
            share = total(self.users[at], by) / total(patients, by[:2])
        elif row.quantity in self.shares:
            having = self.shares[row.quantity]
            having = having[:, None] if row.quantity == "payer_block" else having
            share = total(patients * having, segments) / total(patients, segments)
        elif row.quantity == v.PRICE:
            share = total(self.revenue[at], by) * MILLION / total(self.users[at], by)
        elif row.quantity == "revenue":
            revenue = self.revenue[at]
            if self.factor is not None and row.year is not None:
                revenue = revenue * pt.exp(self.factor(row.year))
            share = total(revenue, by)
        else:
            cells = patients if row.quantity in ("patients", "patients_share") else self.revenue[at]
            share = total(cells, by)
            if row.quantity.endswith("_share"):
                share = share / cells.sum(axis=tuple(range(1, cells.ndim)))
        return pt.log(share.mean())


def _part(pset: PriorSet, row: Evidence, cells: TensorVariable, dims: Sequence[str]) -> TensorVariable:
    """The cells of a row's segment [year, ...]."""
    for axis, dim in enumerate(dims, start=1):
        if (label := getattr(row, dim)) is not None:
            cells = cells.take([pset.coords[dim].index(label)], axis=axis)
    return cells


def error_walk(pset: PriorSet, source: str) -> TensorVariable | None:
    """Log error of a source [source_year]: a base-year error and a random walk over the horizon, around its optimism.

    All sizes that the source states share it; in fractions it cancels. How large it may be is elicited (`trust`, or
    the kind of source), not learned: a few rows cannot teach a model its own error scale. Returns None if the source
    states no sizes.
    """
    years, dim = v.source_years(pset, source), v.source_year(pset, source)
    if not years:
        return None
    name = v.source_error(pset, source)
    variance = pset.source_log_sd(source, years) ** 2
    step_sd = hyper(
        v.source_error_step_sd(pset, source), np.sqrt(np.maximum(np.diff(variance, prepend=0.0), 0.0)), (dim,)
    )
    bias = hyper(v.source_error_bias(pset, source), pset.source_log_bias(source, years), (dim,))
    return pm.Deterministic(name, bias + pt.cumsum(step_sd * deviation(v.standard(name), dim)), dims=dim)


def evidence(
    pset: PriorSet, errors: Mapping[str, TensorVariable | None], observed: Callable[[Evidence], Observed]
) -> TensorVariable:
    """Observes each row's logarithm [evidence_row] around the model's aggregate plus, for sizes, its source's error.

    Parameters: `errors` [source_year], by source, see :func:`error_walk`; `observed`, what a row is about.
    """

    def expected(row: Evidence) -> TensorVariable:
        log, error = observed(row).log_aggregate(pset, row), errors[row.source]
        if row.quantity not in SIZES or error is None or row.year is None:
            return log
        return log + error[v.source_years(pset, row.source).index(row.year)]

    mean = pm.Deterministic(v.EVIDENCE_MEAN, pt.stack([expected(r) for r in pset.evidence]), dims=v.EVIDENCE_ROW)
    values = pm.Data(v.EVIDENCE_VALUE, np.log([row.value for row in pset.evidence]), dims=v.EVIDENCE_ROW)
    log_sd = hyper(v.EVIDENCE_LOG_SD, [row.log_sd for row in pset.evidence], (v.EVIDENCE_ROW,))
    return pm.Normal(v.EVIDENCE, mean, log_sd, observed=values, dims=v.EVIDENCE_ROW)


def measured_twice(first: Array, second: Array, log_sd: Array) -> dict[str, Array]:
    """Data [evidence_row] for two independent measurements of each row, by name: as exact as one of their mean."""
    return {v.EVIDENCE_VALUE: (first + second) / 2, v.EVIDENCE_LOG_SD: log_sd / np.sqrt(2)}
