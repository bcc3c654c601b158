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
from postcgrp.models.bounds import first_sale
from postcgrp.models.latent import deviation, hyper
from postcgrp.priors import Evidence, PriorSet
from postcgrp.priors.catalogue import GROWN, MILLION
from postcgrp.priors.evidence import launch_of
from postcgrp.priors.segments import SEGMENTS

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Observed:
    """What one source's evidence is about, as graphs over `years`, as that source sees launches.

    `revenue` [year, region, depth, modality], USD million; `factor` [modality] by year, the log of what stated revenue
    is multiplied by because the source's patients and adoption err, None for 0; `patients` [year, region, depth];
    `users` [year, region, depth, modality]; `line_use`, the share of its modality's users, and `line_share`, of their
    spend, [line, year, region, depth], None without lines; `shares` [region, depth] or [region] of patients, by
    quantity, the same in every year; `starts` [launch, region], when sales of what is launched do, None without any. A
    row without a year is about the mean over `window`.
    """

    years: Sequence[int]
    revenue: TensorVariable
    factor: Callable[[int], TensorVariable] | None
    patients: TensorVariable
    users: TensorVariable
    line_use: TensorVariable | None
    line_share: TensorVariable | None
    shares: Mapping[str, TensorVariable]
    starts: TensorVariable | None
    window: Sequence[int]

    def expected(self, pset: PriorSet, row: Evidence) -> TensorVariable:
        """The log of what a row observes [], or the date, before any error."""
        if row.quantity in GROWN:
            earlier, later = (self.expected(pset, end) for end in row.ends)
            return later - earlier
        if row.is_dated and self.starts is not None:
            return first_sale(pset, row, self.starts[pset.coords["launch"].index(str(launch_of(pset.ledger, row)))])
        at = [self.years.index(year) for year in row.years or self.window]
        of_revenue = row.quantity.startswith("revenue")
        return pt.log((self._sold(pset, row, at) if of_revenue else self._used(pset, row, at)).mean())

    def _sold(self, pset: PriorSet, row: Evidence, at: Sequence[int]) -> TensorVariable:
        """Revenue, as its source states it, or a share of all revenue [len(at)]."""
        revenue = cells = self.revenue[at]
        if row.quantity == "revenue" and self.factor is not None and row.year is not None:
            cells = cells * pt.exp(self.factor(row.year))
        if row.line is not None and self.line_share is not None:
            line, modality = _line(pset, row)
            cells = cells[..., modality] * self.line_share[line, at]
        part = _total(pset, row, cells)
        return part / revenue.sum(axis=(1, 2, 3)) if row.quantity.endswith("_share") else part

    def _used(self, pset: PriorSet, row: Evidence, at: Sequence[int]) -> TensorVariable:
        """Patients, users, the share of patients or users who have or use something, or a price [len(at)]."""
        patients, users = self.patients[at], self.users[at]
        if row.quantity == "line_use" and self.line_use is not None:
            line, modality = _line(pset, row)
            of_modality = users[..., modality]
            return _total(pset, row, of_modality * self.line_use[line, at]) / _total(pset, row, of_modality)
        if row.quantity in self.shares:
            having = self.shares[row.quantity]
            having = having[:, None] if row.quantity == "payer_block" else having
            return _total(pset, row, patients * having) / _total(pset, row, patients)
        if row.quantity == v.PRICE:
            return _total(pset, row, self.revenue[at]) * MILLION / _total(pset, row, users)
        number = _total(pset, row, users if row.quantity in ("users", "adoption") else patients)
        whole = {"patients_share": patients.sum(axis=(1, 2)), "adoption": _total(pset, row, patients)}
        return number / whole[row.quantity] if row.quantity in whole else number


def _line(pset: PriorSet, row: Evidence) -> tuple[int, int]:
    """Where the line of a row stands, and its modality."""
    names = [line.name for line in pset.ledger.lines]
    at = names.index(str(row.line))
    return at, pset.coords["modality"].index(pset.ledger.lines[at].modality)


def _total(pset: PriorSet, row: Evidence, cells: TensorVariable) -> TensorVariable:
    """The sum of cells [year, region, depth] or [year, region, depth, modality] over a row's segment [year]."""
    for axis, dim in enumerate(SEGMENTS[1 : cells.ndim], start=1):
        if (label := getattr(row, dim)) is not None:
            cells = cells.take([pset.coords[dim].index(label)], axis=axis)
    return cells.sum(axis=tuple(range(1, cells.ndim)))


def error_walk(pset: PriorSet, source: str) -> TensorVariable | None:
    """Log error of a source [source_year]: a base-year error and a random walk over the horizon, around its optimism.

    All sizes that the source states share it; in fractions it cancels, and in growth so does what both years have in
    common. How large it may be is elicited (`trust`, or the kind of source), not learned: a few rows cannot teach a
    model its own error scale. Returns None if the source states no sizes.
    """
    if not v.source_years(pset, source):
        return None
    name, dim = v.source_error(pset, source), v.source_year(pset, source)
    steps = hyper(v.source_error_step_sd(pset, source)) * deviation(v.standard(name), dim)
    return pm.Deterministic(name, hyper(v.source_error_bias(pset, source)) + pt.cumsum(steps), dims=dim)


def evidence(
    pset: PriorSet, errors: Mapping[str, TensorVariable | None], observed: Callable[[Evidence], Observed]
) -> TensorVariable:
    """Observes each row's logarithm, or date [evidence_row].

    It lies around the model's aggregate plus what the row carries of its source's error. Parameters: `errors`
    [source_year], by source, see :func:`error_walk`; `observed`, what a row is about.
    """

    def expected(row: Evidence) -> TensorVariable:
        plain, error = observed(row).expected(pset, row), errors[row.source]
        if error is None:
            return plain
        years = v.source_years(pset, row.source)
        return plain + sum(times * error[years.index(year)] for year, times in row.shared_error.items())

    mean = pm.Deterministic(v.EVIDENCE_MEAN, pt.stack([expected(r) for r in pset.measured]), dims=v.EVIDENCE_ROW)
    values, log_sd = hyper(v.EVIDENCE_VALUE), hyper(v.EVIDENCE_LOG_SD)
    return pm.Normal(v.EVIDENCE, mean, log_sd, observed=values, dims=v.EVIDENCE_ROW)
