"""Evidence: observed aggregates on the log scale, with each source's shared error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor.tensor import TensorVariable

from postcgrp.models.latent import deviation, hyper
from postcgrp.priors import Evidence, PriorSet
from postcgrp.priors.catalogue import OBSERVED

Cells = Callable[[int], TensorVariable]
Array = NDArray[np.float64]


def source_years(pset: PriorSet) -> list[int]:
    """The years at which the report's own error is a variable: its anchors and those of its evidence."""
    if not pset.evidence:
        return []
    return sorted({row.year for row in pset.evidence} | set(pset.ledger.report.anchors))


def source_error(pset: PriorSet) -> TensorVariable:
    """Log error of the report [source_year]: a base-year error and a random walk over the horizon.

    All rows of the report share it. Its size is elicited (`trust`), not learned: a few rows cannot teach a model its
    own error scale.
    """
    variance = pset.vendor_log_sd(source_years(pset)) ** 2
    step_sd = hyper("source_error_step_sd", np.sqrt(np.diff(variance, prepend=0.0)), ("source_year",))
    error = pt.cumsum(step_sd * deviation("source_error_z", "source_year"))
    return pm.Deterministic("source_error", error, dims="source_year")


def evidence(pset: PriorSet, error: TensorVariable, totals: Cells, revenue: Cells, patients: Cells) -> TensorVariable:
    """Observe each row's logarithm around the model's aggregate plus the source's error.

    A share is free of the shared error, which cancels. Parameters: `error` [source_year]; `totals`, `revenue` and
    `patients` give, for the index of a year, revenue by [modality], revenue by [region, depth, modality] (USD
    million) and patients by [region, depth]. Rows on whole modalities use the totals, which their cells sum to.
    """
    years = source_years(pset)

    def expected(row: Evidence) -> TensorVariable:
        year = row.year - pset.ledger.years[0]
        if row.quantity == "patients":
            cells, dims = patients(year), OBSERVED["patients"].by
        elif row.region is None and row.depth is None:
            cells, dims = totals(year), ("modality",)
        else:
            cells, dims = revenue(year), OBSERVED["revenue"].by
        part = cells
        for axis, dim in enumerate(dims):
            if (label := getattr(row, dim)) is not None:
                k = pset.coords[dim].index(label)
                part = part.take([k], axis=axis)
        log = pt.log(part.sum())
        if row.quantity == "revenue_share":
            return log - pt.log(cells.sum())
        return log + error[years.index(row.year)]

    mean = pm.Deterministic("evidence_log_mean", pt.stack([expected(r) for r in pset.evidence]), dims="evidence_row")
    observed = pm.Data("evidence_log_value", np.log([row.value for row in pset.evidence]), dims="evidence_row")
    log_sd = hyper("evidence_log_sd", [row.log_sd for row in pset.evidence], ("evidence_row",))
    return pm.Normal("evidence", mean, log_sd, observed=observed, dims="evidence_row")


def measured_twice(first: Array, second: Array, log_sd: Array) -> dict[str, Array]:
    """Data [evidence_row] for two independent measurements of each row, by name: as exact as one of their mean."""
    return {"evidence_log_value": (first + second) / 2, "evidence_log_sd": log_sd / np.sqrt(2)}
