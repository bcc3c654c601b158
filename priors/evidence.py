"""Evidence: rows that each observe one aggregate of the market, from the report or from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from postcgrp.priors.catalogue import OBSERVED, SIZES
from postcgrp.priors.elicit import from_range
from postcgrp.priors.errors import Faults, InputError
from postcgrp.priors.ledger import ErrorModel, Ledger, slug
from postcgrp.priors.ledger.checks import LONGEST_NAME, known_quantity
from postcgrp.priors.lookup import assumption, eligible, number, prior_claims
from postcgrp.priors.segments import SEGMENT_DIMS, SEGMENTS

CONTRADICTION = 4.0  # how many sds of their errors two statements of the same number may lie apart
SLACK = 1e-9  # relative, for floating point
HUGE = 1e12  # larger than any market in any unit
FINEST = 1e-4  # smallest log-sd of a row
SAME_UNIT = 0.9  # how alike two units must be spelled (difflib's ratio) to be one, misspelt: no two currencies are


@dataclass(frozen=True)
class Evidence:
    """One observed aggregate: the `value` of a `quantity` in a year and segment, with the row's own log-sd.

    `region`, `depth` or `modality` is None for the sum over all of them; `year` is None for a share that has none, and
    is then the mean over the report's anchors.
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
        if claim.role != "evidence":
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
    """Refuse evidence that the model cannot observe or that contradicts itself.

    Raises :class:`InputError` with every fault; rows are compared with each other once each is fine by itself.
    """
    faults = Faults()
    for row in rows:
        with faults.caught():
            check_row(ledger, row)
        with faults.caught():
            error_model(ledger, trust, row.source)
    faults.raise_any()
    for k, row in enumerate(rows):
        with faults.caught():
            check_beside(ledger, trust, row, rows[:k])
    faults.raise_any()
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
    """Refuse a row that the model cannot observe. Raises :class:`InputError` with everything that is wrong with it."""
    if faults := [f"{row.id!r}{fault}" for fault in _faults(ledger, row)]:
        raise InputError(*faults)


def _faults(ledger: Ledger, row: Evidence) -> Iterator[str]:
    entry = OBSERVED.get(row.quantity)
    if entry is None:
        near = known_quantity(row.quantity, tuple(OBSERVED))
        way_out = f"write {near!r}" if near else "make it a check"
        yield f": evidence on {row.quantity!r}, but the model observes {', '.join(OBSERVED)}: {way_out}"
        return
    if row.unit != (unit := entry.unit.format(currency=ledger.report.currency)):
        way_out = f"write {unit!r}" if get_close_matches(row.unit, [unit], 1, SAME_UNIT) else "convert it"
        yield f": unit {row.unit!r}: evidence on {row.quantity} is in {unit!r}: {way_out}"
    if len(row.source) > LONGEST_NAME:
        size = len(row.source)
        yield f": source {row.source[:20]!r}... is {size} characters long: shorten it to {LONGEST_NAME} at most"
    known = True
    for dim, names in ledger.segments.items():
        name = getattr(row, dim)
        if name is not None and dim not in entry.by:
            yield f": {dim} {name!r}: {row.quantity} has no {dim}: remove it"
        elif name is not None and name not in names:
            known = False
            yield f": {dim} {name!r} is not declared: use one of {', '.join(names)}"
    if row.year is None and not row.quantity.endswith("_share"):
        known = False
        yield ": no year: only a share may be one of the whole window: add `year`"
    elif row.year is not None and row.year not in ledger.years:
        known = False
        yield f": year {row.year} is outside {ledger.years[0]}..{ledger.years[-1]}: correct or remove it"
    yield from _wrong_figures(row)
    if known:  # whether there can be such a figure depends on its place
        yield from _wrong_place(ledger, row)


def _wrong_figures(row: Evidence) -> Iterator[str]:
    """What is wrong with a value or an error that no measurement has."""
    for field, figure in (("value", row.value), ("log_sd", row.log_sd)):
        if not 0 < figure < np.inf:
            yield f": {field} = {figure:g} has no logarithm: evidence must be above zero"
    if row.unit == "fraction" and row.value > 1:
        yield (f": value = {row.value:g} is a share over 1: write percentages as fractions ({row.value / 100:g})")
    if not 1 / HUGE < row.value < HUGE and 0 < row.value < np.inf:
        yield f": value = {row.value:g} is no size of a market in {row.unit}: correct it"
    if 0 < row.log_sd < FINEST:
        yield f": log_sd = {row.log_sd:g}: no count is so exact: write {FINEST:g} or more"


def _wrong_place(ledger: Ledger, row: Evidence) -> Iterator[str]:
    """What a quantity rules out beyond its unit and segment."""
    if row.quantity.endswith("_share") and not any(getattr(row, dim) for dim in SEGMENT_DIMS):
        yield f": the share of all is 1: name the {', '.join(OBSERVED[row.quantity].by)} it is of"
    if row.quantity in ("acute_use", "moh", "payer_block") and not prior_claims(ledger, row.quantity):
        yield f": the report makes no claim on {row.quantity}, so the model does not have it: remove the row"
    if row.quantity == "price" and row.modality is None:
        yield f": a price is of one modality: name {' or '.join(m.name for m in ledger.modalities)}"
        return
    if row.quantity == "adoption":
        taken = [m.name for m in ledger.modalities if m.uptake != "everyone"]
        if row.modality not in taken:
            yield (
                f": modality {row.modality or ''!r}: adoption is of a modality that not everyone uses: name "
                f"{' or '.join(taken) or 'none, and remove the row'}"
            )
            return
    if "modality" in OBSERVED[row.quantity].by:
        yield from _unsold(ledger, row)


def _unsold(ledger: Ledger, row: Evidence) -> Iterator[str]:
    """What is wrong with evidence on sales that are zero: before a launch, or at depths that are not eligible."""
    if row.year is None:
        return
    for modality in ledger.modalities:
        if row.modality not in (None, modality.name):
            continue
        if modality.uptake != "launch":
            return
        vendors = assumption(ledger, "vendor_launch_year", {"modality": modality.name})
        earliest = min(end for end in (vendors.value, vendors.low) if end is not None)
        if row.modality is not None and row.year < earliest:
            yield (
                f": {row.modality} has evidence in {row.year}, before its vendor_launch_year {earliest:g}: make the "
                "claim a check or move the launch"
            )
            return
        if row.year >= earliest and any(eligible(ledger, modality.name, row.depth)):
            return
    yield (
        f": nothing is sold in {row.year} to depth {row.depth or 'any'}, by vendor_launch_year and eligible_share: "
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


def _horizon(ledger: Ledger, year: int | None) -> float:
    if year is None:
        return 0.0
    return (year - ledger.report.first_year) / (ledger.report.last_year - ledger.report.first_year)
