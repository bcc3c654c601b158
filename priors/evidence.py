"""Evidence: rows that each observe one aggregate of the market, from the report or from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from postcgrp.priors.catalogue import DATES, GROWN, MIDYEAR, NOT_BEFORE, SIZES
from postcgrp.priors.elicit import from_range
from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger import ErrorModel, Ledger
from postcgrp.priors.lines import launch_labels
from postcgrp.priors.lookup import number
from postcgrp.priors.segments import NARROWED

PARTS = NARROWED[1:]  # what a row may be about a part of: regions, depths, modalities, lines


@dataclass(frozen=True)
class Evidence:
    """One observed aggregate: the `value` of a `quantity` in a year and segment, with the row's own log-sd.

    `region`, `depth`, `modality` or `line` is None for the sum over all of them; `year` is None for a share that has
    none, and is then the mean over the report's anchors, and for a date, which is the value itself. A growth is the
    ratio of `year` to `year_from`, which is None for everything else. `log_sd` is of a date, or of sales of nothing, an
    sd in years.
    """

    id: str
    source: str
    quantity: str
    year: int | None
    region: str | None
    depth: str | None
    modality: str | None
    value: float
    unit: str
    log_sd: float
    note: str = ""
    line: str | None = None
    year_from: int | None = None

    @property
    def cell(self) -> tuple[str | int | None, ...]:
        """What is observed: the quantity, year and segment, and the year from which something grew."""
        return (self.quantity, self.year, self.region, self.depth, self.modality, self.line, self.year_from)

    @property
    def years(self) -> tuple[int, ...]:
        """The years that it is about; none for a share of the whole window."""
        return tuple(year for year in (self.year_from, self.year) if year is not None)

    @property
    def shared_error(self) -> dict[int, float]:
        """How often it carries the error of its source, by year: once in a size, and never in a fraction or a price.

        A growth carries the error of its later year less that of the earlier: what the error has in common cancels, and
        what it has gained in between is left.
        """
        if self.year is None or self.is_bound:
            return {}
        if self.year_from is not None:
            return {self.year_from: -1.0, self.year: 1.0}
        return {self.year: 1.0} if self.quantity in SIZES else {}

    @property
    def is_bound(self) -> bool:
        """Whether it says that a launch came no sooner than a date, or failed. Sales of nothing say so too."""
        return self.quantity == NOT_BEFORE or self.is_zero

    @property
    def is_zero(self) -> bool:
        """Whether it says that nothing was sold."""
        return self.quantity == "revenue" and self.value == 0

    @property
    def is_dated(self) -> bool:
        """Whether it is about when a launch comes, and its error is in years."""
        return self.quantity in DATES or self.is_bound

    @property
    def stated(self) -> float:
        """Its value on the scale of its error: the log of a size, or a date; without sales, the middle of the year."""
        if self.is_zero:
            return (self.year or 0) + MIDYEAR
        return self.value if self.is_dated else float(np.log(self.value))

    def natural(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns values on the scale of its error in its unit."""
        return values if self.is_dated else np.asarray(np.exp(values))

    @property
    def error(self) -> str:
        """How far it may be off, in words."""
        return f"sd {self.log_sd:.3g} years" if self.is_dated else f"log-sd {self.log_sd:.3g}"

    @property
    def ends(self) -> tuple[Evidence, Evidence]:
        """What a growth is the ratio of: the earlier and the later row."""
        of = replace(self, quantity=GROWN[self.quantity], year_from=None)
        return replace(of, year=self.year_from), of


def claimed_evidence(ledger: Ledger, coverage: float) -> tuple[Evidence, ...]:
    """Returns the report's own evidence; a range becomes the point and log-sd under which it holds its coverage.

    Parameters: `coverage`, of the ranges that have none of their own.
    """
    rows = []
    for claim in ledger.claims:
        if claim.role != "evidence":
            continue
        segment = (claim.region, claim.depth, claim.modality)
        row = Evidence(
            claim.id,
            ledger.report.id,
            claim.quantity,
            claim.year,
            *segment,
            claim.value or 0.0,
            claim.unit,
            0.0,
            line=claim.line,
        )
        if claim.value is None and claim.low is not None and claim.high is not None:
            log_value, log_sd = from_range(claim.low, claim.high, claim.coverage or coverage, "lognormal")
            rows.append(replace(row, value=float(np.exp(log_value)), log_sd=log_sd))
        else:
            rows.append(replace(row, log_sd=usual_error(ledger, row)))
    return tuple(rows)


def usual_error(ledger: Ledger, row: Evidence) -> float:
    """Returns the own error of a row that states none: a log-sd, or of a date an sd in years."""
    if row.is_dated:
        return number(ledger, "evidence_year_sd")
    of = replace(row, modality=modality_of_row(ledger, row))
    where = {dim: key for dim in NARROWED if (key := getattr(of, dim)) is not None}
    return number(ledger, "evidence_log_sd", **where)


def error_model(ledger: Ledger, trust: ErrorModel, source: str) -> ErrorModel:
    """Returns how far a source may be off: the report by the level of trust, any other source by its kind.

    Raises :class:`InputError` for a kind that the ledger does not have.
    """
    if source == ledger.report.id:
        return trust
    kind = source.partition(":")[0].strip()
    for row in ledger.sources:
        if row.kind == kind:
            return row
    known = ", ".join([ledger.report.id, *(row.kind for row in ledger.sources)])
    raise InputError(
        f"source {source!r}: its kind {kind!r} has no error model: use one of {known} (before a colon and a name), or "
        "add a [[source]] to the assumptions"
    )


def modality_of_row(ledger: Ledger, row: Evidence) -> str | None:
    """Returns the modality that a row is about, by itself or by its line; None for all."""
    return next((line.modality for line in ledger.lines if line.name == row.line), row.modality)


def launch_of(ledger: Ledger, row: Evidence) -> str | None:
    """Returns the launch that a row is about: a pipeline line, or a modality to be launched, by its line too."""
    known = launch_labels(ledger)
    return next((label for label in (row.line, modality_of_row(ledger, row)) if label in known), None)


def log_variance(model: ErrorModel, share: float) -> float:
    """Returns the variance of a source's log error at a `share` of the way from the first year to the last."""
    base, final = model.base_log_sd**2, model.final_log_sd**2
    return float(base + (final - base) * share)


def log_bias(model: ErrorModel, share: float) -> float:
    """Returns the mean of a source's log error at a `share` of the way from the first year to the last."""
    return float(model.base_log_bias + (model.final_log_bias - model.base_log_bias) * share)
