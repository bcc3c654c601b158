"""Evidence: observed aggregates on the log scale, with the error that all sizes of one source share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor.tensor import TensorVariable

from postcgrp.models.latent import deviation, hyper
from postcgrp.priors import Evidence, PriorSet
from postcgrp.priors.catalogue import OBSERVED, SIZES
from postcgrp.priors.ledger import slug

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Observed:
    """What evidence is about, as graphs by year.

    `revenue` [region, depth, modality] and its `totals` [modality], USD million; `patients` [region, depth]; `use`
    [region, depth, modality] and its mean over patients, `mean_use` [modality], fractions; `shares` [region, depth] or
    [region] of patients, by quantity, the same in every year. Rows on whole modalities use totals and means, which
    their cells add up to.
    """

    revenue: Callable[[int], TensorVariable]
    totals: Callable[[int], TensorVariable]
    patients: Callable[[int], TensorVariable]
    use: Callable[[int], TensorVariable]
    mean_use: Callable[[int], TensorVariable]
    shares: Mapping[str, TensorVariable]

    def log_aggregate(self, pset: PriorSet, row: Evidence) -> TensorVariable:
        """The log of what a row observes, before any error."""
        year, by = row.year, OBSERVED[row.quantity].by
        whole = row.region is None and row.depth is None
        if row.quantity == "adoption":
            if whole:
                return pt.log(_part(pset, row, self.mean_use(year), ("modality",)).sum())
            treated = _part(pset, row, self.patients(year)[..., None] * self.use(year), by).sum()
            return pt.log(treated) - pt.log(_part(pset, row, self.patients(year), by[:2]).sum())
        if row.quantity in self.shares:
            patients, share = self.patients(year), self.shares[row.quantity]
            having = patients * (share if share.ndim == patients.ndim else share[:, None])
            part, among = (_part(pset, row, cells, OBSERVED["patients"].by).sum() for cells in (having, patients))
            return pt.log(part) - pt.log(among)
        if row.quantity in ("patients", "patients_share"):
            cells = self.patients(year)
        else:
            cells, by = (self.totals(year), ("modality",)) if whole else (self.revenue(year), by)
        log = pt.log(_part(pset, row, cells, by).sum())
        return log - pt.log(cells.sum()) if row.quantity.endswith("_share") else log


def _part(pset: PriorSet, row: Evidence, cells: TensorVariable, dims: Sequence[str]) -> TensorVariable:
    """The cells of a row's segment."""
    for axis, dim in enumerate(dims):
        if (label := getattr(row, dim)) is not None:
            cells = cells.take([pset.coords[dim].index(label)], axis=axis)
    return cells


def source_years(pset: PriorSet, source: str | None = None) -> list[int]:
    """The years at which a source's error is a variable: those of its evidence on sizes, and the report's anchors.

    Without `source`, those of the report.
    """
    report = pset.ledger.report
    source = source or report.id
    years = {row.year for row in pset.evidence if row.source == source and row.quantity in SIZES}
    return sorted(years | set(report.anchors) if years and source == report.id else years)


def source_dim(pset: PriorSet, source: str) -> str:
    """The name of the dimension of a source's error: plain for the report, else with the source's name behind."""
    return "source_year" if source == pset.ledger.report.id else f"source_year_{slug(source)}"


def source_error(pset: PriorSet, source: str) -> TensorVariable | None:
    """Log error of a source [source_year]: a base-year error and a random walk over the horizon, around its optimism.

    All sizes that the source states share it; in fractions it cancels. How large it may be is elicited (`trust`, or
    the kind of source), not learned: a few rows cannot teach a model its own error scale. None where there are none.
    """
    years, dim = source_years(pset, source), source_dim(pset, source)
    if not years:
        return None
    name = dim.replace("year", "error", 1)
    variance = pset.source_log_sd(source, years) ** 2
    step_sd = hyper(f"{name}_step_sd", np.sqrt(np.maximum(np.diff(variance, prepend=0.0), 0.0)), (dim,))
    bias = hyper(f"{name}_bias", pset.source_log_bias(source, years), (dim,))
    return pm.Deterministic(name, bias + pt.cumsum(step_sd * deviation(f"{name}_z", dim)), dims=dim)


def evidence(pset: PriorSet, errors: Mapping[str, TensorVariable | None], observed: Observed) -> TensorVariable:
    """Observe each row's logarithm around the model's aggregate plus, for sizes, its source's error.

    Parameters: `errors`, by source, see :func:`source_error`.
    """

    def expected(row: Evidence) -> TensorVariable:
        log, error = observed.log_aggregate(pset, row), errors[row.source]
        if row.quantity not in SIZES or error is None:
            return log
        return log + error[source_years(pset, row.source).index(row.year)]

    mean = pm.Deterministic("evidence_log_mean", pt.stack([expected(r) for r in pset.evidence]), dims="evidence_row")
    values = pm.Data("evidence_log_value", np.log([row.value for row in pset.evidence]), dims="evidence_row")
    log_sd = hyper("evidence_log_sd", [row.log_sd for row in pset.evidence], ("evidence_row",))
    return pm.Normal("evidence", mean, log_sd, observed=values, dims="evidence_row")


def measured_twice(first: Array, second: Array, log_sd: Array) -> dict[str, Array]:
    """Data [evidence_row] for two independent measurements of each row, by name: as exact as one of their mean."""
    return {"evidence_log_value": (first + second) / 2, "evidence_log_sd": log_sd / np.sqrt(2)}
