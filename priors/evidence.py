"""Evidence: rows that each observe one aggregate of the market, from the report or from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from postcgrp.priors.catalogue import OBSERVED, SIZES
from postcgrp.priors.elicit import from_range
from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger import ErrorModel, Ledger, slug
from postcgrp.priors.lookup import eligible, number, prior_claims
from postcgrp.priors.segments import SEGMENT_DIMS, SEGMENTS

CONTRADICTION = 4.0  # how many sds of their errors two statements of the same number may lie apart
SLACK = 1e-9  # relative, for floating point
HUGE = 1e12  # larger than any market in any unit
FINEST = 1e-4  # smallest log-sd of a row


@dataclass(frozen=True)
class Evidence:
    """One observed aggregate: the `value` of a `quantity` in a year and segment, with the row's own log-sd.

    `region`, `depth` or `modality` is None for the sum over all of them.
    """

    id: str
    source: str
    quantity: str
    year: int
    region: str | None
    depth: str | None
    modality: str | None
    value: float
    unit: str
    log_sd: float
    note: str = ""

    @property
    def cell(self) -> tuple[str | int | None, ...]:
        """What is observed: the quantity, year and segment."""
        return (self.quantity, self.year, self.region, self.depth, self.modality)


def claimed_evidence(ledger: Ledger, coverage: float) -> tuple[Evidence, ...]:
    """Returns the report's own evidence; a range becomes the point and log-sd under which it holds its coverage.

    Parameters: `coverage`, of the ranges that have none of their own.
    """
    rows = []
    for claim in ledger.claims:
        if claim.role != "evidence" or claim.year is None:
            continue
        if claim.value is None and claim.low is not None and claim.high is not None:
            log_value, log_sd = from_range(claim.low, claim.high, claim.coverage or coverage, "lognormal")
            value = float(np.exp(log_value))
        else:
            where = {s: key for s in SEGMENTS if (key := getattr(claim, s)) is not None}
            value, log_sd = float(claim.value or 0.0), number(ledger, "evidence_log_sd", **where)
        segment = (claim.region, claim.depth, claim.modality)
        rows.append(
            Evidence(claim.id, ledger.report.id, claim.quantity, claim.year, *segment, value, claim.unit, log_sd)
        )
    return tuple(rows)


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


def check_evidence(ledger: Ledger, rows: Sequence[Evidence], trust: ErrorModel) -> None:
    """Refuse evidence that the model cannot observe or that contradicts itself. Raises :class:`InputError`."""
    for row in rows:
        check_row(ledger, row)
        error_model(ledger, trust, row.source)
    for k, row in enumerate(rows):
        check_beside(ledger, trust, row, rows[:k])
    _check_sums(ledger, rows)


def check_beside(ledger: Ledger, trust: ErrorModel, row: Evidence, others: Sequence[Evidence]) -> None:
    """Refuse a row that contradicts one of the others. Raises :class:`InputError`."""
    for other in others:
        if row.source != other.source and slug(row.source) == slug(other.source):
            raise InputError(
                f"sources {other.source!r} and {row.source!r} differ in punctuation only: use one, or other names"
            )
        _check_pair(ledger, trust, other, row)
        _check_pair(ledger, trust, row, other)
        if row.id == other.id:
            raise InputError(f"evidence id {row.id!r} stands twice: give each row its own")


def check_row(ledger: Ledger, row: Evidence) -> None:
    """Refuse a row that the model cannot observe. Raises :class:`InputError`."""
    entry = OBSERVED.get(row.quantity)
    if entry is None:
        raise InputError(
            f"{row.id!r}: evidence on {row.quantity!r}, but the model observes {', '.join(OBSERVED)}: make it a check"
        )
    if row.unit != (unit := entry.unit.format(currency=ledger.report.currency)):
        raise InputError(f"{row.id!r}: unit {row.unit!r}: evidence on {row.quantity} is in {unit!r}: convert it")
    for dim, names in ledger.segments.items():
        name = getattr(row, dim)
        if name is not None and dim not in entry.by:
            raise InputError(f"{row.id!r}: {dim} {name!r}: {row.quantity} has no {dim}: remove it")
        if name is not None and name not in names:
            raise InputError(f"{row.id!r}: {dim} {name!r} is not declared: use one of {', '.join(names)}")
    if row.year not in ledger.years:
        raise InputError(
            f"{row.id!r}: year {row.year} is outside {ledger.years[0]}..{ledger.years[-1]}: correct or remove it"
        )
    _check_figures(row)
    _check_quantity(ledger, row)


def _check_figures(row: Evidence) -> None:
    """Refuse a value or an error that no measurement has."""
    for field, figure in (("value", row.value), ("log_sd", row.log_sd)):
        if not 0 < figure < np.inf:
            raise InputError(f"{row.id!r}: {field} = {figure:g} has no logarithm: evidence must be above zero")
    if row.unit == "fraction" and row.value > 1:
        raise InputError(
            f"{row.id!r}: value = {row.value:g} is a share over 1: write percentages as fractions ({row.value / 100:g})"
        )
    if not 1 / HUGE < row.value < HUGE:
        raise InputError(f"{row.id!r}: value = {row.value:g} is no size of a market in {row.unit}: correct it")
    if row.log_sd < FINEST:
        raise InputError(f"{row.id!r}: log_sd = {row.log_sd:g}: no count is so exact: write {FINEST:g} or more")


def _check_quantity(ledger: Ledger, row: Evidence) -> None:
    """Refuse what one quantity rules out beyond its unit and segment."""
    if row.quantity.endswith("_share") and not any(getattr(row, dim) for dim in SEGMENT_DIMS):
        raise InputError(f"{row.id!r}: the share of all is 1: name the {', '.join(OBSERVED[row.quantity].by)} it is of")
    if row.quantity in ("acute_use", "moh", "payer_block") and not prior_claims(ledger, row.quantity):
        raise InputError(
            f"{row.id!r}: the report makes no claim on {row.quantity}, so the model does not have it: remove the row"
        )
    if row.quantity == "adoption":
        taken = [m.name for m in ledger.modalities if m.uptake != "everyone"]
        if row.modality not in taken:
            raise InputError(
                f"{row.id!r}: modality {row.modality or ''!r}: adoption is of a modality that not everyone uses: name "
                f"{' or '.join(taken) or 'none, and remove the row'}"
            )
    if "modality" in OBSERVED[row.quantity].by:
        _check_sold(ledger, row)


def _check_sold(ledger: Ledger, row: Evidence) -> None:
    """Refuse evidence on sales that are zero in the model: before a launch, or at depths that are not eligible."""
    for modality in ledger.modalities:
        if row.modality not in (None, modality.name):
            continue
        if modality.uptake != "launch":
            return
        launch = number(ledger, "launch_year", modality=modality.name)
        if row.modality is not None and row.year < launch:
            raise InputError(
                f"{row.id!r}: {row.modality} has evidence in {row.year}, before its launch_year {launch:g}: "
                "make the claim a check or move the launch"
            )
        if row.year >= launch and any(eligible(ledger, modality.name, row.depth)):
            return
    raise InputError(
        f"{row.id!r}: nothing is sold in {row.year} to depth {row.depth or 'any'}, by launch_year and eligible_share: "
        "make the claim a check or change those"
    )


def _check_pair(ledger: Ledger, trust: ErrorModel, first: Evidence, second: Evidence) -> None:
    """Refuse a number that a source states twice, a part above its whole, and sources that cannot both be right."""
    if first.source == second.source and first.cell == second.cell:
        same = "once more: remove one" if first.value == second.value else f"as {second.value:g}: keep the right one"
        raise InputError(f"{first.id!r} states {first.value:g}, and {second.id!r} the same number {same}")
    if (first.quantity, first.year) != (second.quantity, second.year):
        return
    inside = all(getattr(second, d) in (None, getattr(first, d)) for d in SEGMENT_DIMS) and first.cell != second.cell
    larger = first.value > second.value * (1 + SLACK)
    if first.source == second.source and inside and larger and first.quantity in SIZES:
        raise InputError(
            f"{first.id!r} states {first.value:g}, more than the {second.value:g} of {second.id!r}, of which it is "
            "a part: correct one of them"
        )
    if first.cell == second.cell:
        share = _horizon(ledger, first.year)
        models = [error_model(ledger, trust, row.source) for row in (first, second)]
        variance = sum(log_variance(model, share) for model in models) + first.log_sd**2 + second.log_sd**2
        apart = abs(np.log(first.value / second.value)) / np.sqrt(variance)
        if apart > CONTRADICTION:
            raise InputError(
                f"{first.id!r} states {first.value:g} and {second.id!r} {second.value:g}: {apart:.1f} sd apart by "
                f"their own errors, and over {CONTRADICTION:g} is a contradiction: correct one, or raise log_sd"
            )


def _check_sums(ledger: Ledger, rows: Sequence[Evidence]) -> None:
    """Refuse parts from one source that, beyond their errors, exceed their whole, or all together fall short of it."""
    for dim in SEGMENT_DIMS:
        families: dict[tuple[str | int | None, ...], list[Evidence]] = {}
        for row in rows:
            if row.quantity.removesuffix("_share") in SIZES:
                others = [getattr(row, other) for other in SEGMENT_DIMS if other != dim]
                families.setdefault((row.source, row.quantity, row.year, *others), []).append(row)
        for (_, quantity, _, *rest), members in families.items():
            parts = [row for row in members if getattr(row, dim) is not None]
            whole = [(row.value, row.log_sd) for row in members if getattr(row, dim) is None]
            if quantity not in SIZES and not any(rest):
                whole.append((1.0, 0.0))
            if parts and whole:
                _check_sum(parts, *whole[0], complete=len(parts) == len(ledger.segments[dim]))


def _check_sum(parts: Sequence[Evidence], whole: float, log_sd: float, *, complete: bool) -> None:
    """Refuse one sum. The rows' own errors are independent; the error of their common source cancels."""
    total = sum(row.value for row in parts)
    variance = log_sd**2 + sum((row.value / total * row.log_sd) ** 2 for row in parts)
    apart = float(np.log(total / whole) / np.sqrt(variance))
    if apart > CONTRADICTION or (complete and apart < -CONTRADICTION):
        named = ", ".join(repr(row.id) for row in parts)
        raise InputError(
            f"{named} add up to {total:g}, and their whole is {whole:g}: {abs(apart):.1f} sd apart by their own "
            f"errors, and over {CONTRADICTION:g} is a contradiction: correct one, or raise log_sd"
        )


def log_variance(model: ErrorModel, share: float) -> float:
    """Returns the variance of a source's log error at a `share` of the way from the first year to the last."""
    base, final = model.base_log_sd**2, model.final_log_sd**2
    return float(base + (final - base) * share)


def log_bias(model: ErrorModel, share: float) -> float:
    """Returns the mean of a source's log error at a `share` of the way from the first year to the last."""
    return float(model.base_log_bias + (model.final_log_bias - model.base_log_bias) * share)


def _horizon(ledger: Ledger, year: int) -> float:
    return (year - ledger.report.first_year) / (ledger.report.last_year - ledger.report.first_year)
