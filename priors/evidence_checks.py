"""What evidence the model cannot observe, and what rows cannot be true together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches

import numpy as np

from postcgrp.priors.catalogue import DATES, GROWN, MIDYEAR, OBSERVED, SIZES
from postcgrp.priors.errors import Faults, InputError
from postcgrp.priors.evidence import PARTS, Evidence, error_model, launch_of, log_variance, modality_of_row
from postcgrp.priors.ledger import ErrorModel, Ledger, slug
from postcgrp.priors.ledger.checks import LONGEST_NAME, known_quantity
from postcgrp.priors.lines import launch_labels, line_labels
from postcgrp.priors.lookup import assumption, eligible, prior_claims

CONTRADICTION = 4.0  # how many sds of their errors two statements of the same number may lie apart
SLACK = 1e-9  # relative, for floating point
FIRST_DATE, LAST_DATE = 1900, 2200  # of any date
LEAST_DATE_SD, MOST_DATE_SD = 0.05, 1e3  # sd of a date: a density so narrow is a step, one so wide says nothing
HUGE = 1e12  # larger than any market in any unit
FINEST = 1e-4  # smallest log-sd of a row
SAME_UNIT = 0.9  # how alike two units must be spelled (difflib's ratio) to be one, misspelt: no two currencies are


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
        _check_dates(ledger, other, row)
        _check_dates(ledger, row, other)
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
        convert = "write 1.07 for 7 %" if unit == "ratio" else "convert it"
        way_out = f"write {unit!r}" if get_close_matches(row.unit, [unit], 1, SAME_UNIT) else convert
        yield f": unit {row.unit!r}: evidence on {row.quantity} is in {unit!r}: {way_out}"
    if len(row.source) > LONGEST_NAME:
        size = len(row.source)
        yield f": source {row.source[:20]!r}... is {size} characters long: shorten it to {LONGEST_NAME} at most"
    misplaced = [*_misplaced(ledger, row, entry.by), *_misdated(ledger, row)]
    yield from misplaced
    yield from _wrong_figures(row)
    if not misplaced:  # whether there can be such a figure depends on its place
        yield from _wrong_place(ledger, row)


def _misplaced(ledger: Ledger, row: Evidence, by: Sequence[str]) -> Iterator[str]:
    """What is wrong with the segment that a row names; `by`, what its quantity may be narrowed down by."""
    for dim, names in {**ledger.segments, "line": [line.name for line in ledger.lines]}.items():
        name = getattr(row, dim)
        if name is not None and dim not in by:
            yield f": {dim} {name!r}: {row.quantity} has no {dim}: remove it"
        elif name is not None and name not in names:
            yield f": {dim} {name!r} is not declared: use one of {', '.join(names)}"
    if row.line is not None and row.modality is not None and "modality" in by:
        yield f": line {row.line!r} says of which modality it is: leave `modality` empty"


def _misdated(ledger: Ledger, row: Evidence) -> Iterator[str]:
    """What is wrong with the years that a row names."""
    if row.quantity in DATES and row.year is not None:
        yield f": year {row.year}: a date is the value itself: leave `year` empty"
    elif row.year is None and not (row.quantity in DATES or row.quantity.endswith("_share")):
        yield ": no year: only a share may be one of the whole window: add `year`"
    for year in row.years:
        if year not in ledger.years:
            yield f": year {year} is outside {ledger.years[0]}..{ledger.years[-1]}: correct or remove it"
    if row.quantity not in GROWN and row.year_from is not None:
        yield f": year_from {row.year_from}: only a growth has one: leave it empty"
    elif row.quantity in GROWN and row.year_from is None:
        yield ": growth is between two years: give `year_from`, as an evidence file can"
    elif row.year_from is not None and row.year is not None and row.year_from >= row.year:
        yield f": year_from {row.year_from} is not before year {row.year}: swap or correct them"
    elif row.quantity == "revenue_growth" and row.source == ledger.report.id:
        yield ": what the report's revenue grows by follows from its own figures: state these, or name another source"


def _wrong_figures(row: Evidence) -> Iterator[str]:
    """What is wrong with a value or an error that no measurement has."""
    if row.quantity in DATES and not FIRST_DATE < row.value < LAST_DATE:
        yield f": value = {row.value:g} is no date: write one such as 2029.5, the middle of 2029"
    if row.is_dated and not LEAST_DATE_SD <= row.log_sd <= MOST_DATE_SD:
        yield f": sd = {row.log_sd:g} years: must lie in {LEAST_DATE_SD:g}..{MOST_DATE_SD:g}: correct it"
    if row.is_dated:
        return
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
    if row.is_dated:
        yield from _misdated_launch(ledger, row)
        return
    if row.quantity.endswith("_share") and not any(getattr(row, dim) for dim in PARTS):
        yield f": the share of all is 1: name the {', '.join(OBSERVED[row.quantity].by)} it is of"
    if row.quantity in ("acute_use", "moh", "payer_block") and not prior_claims(ledger, row.quantity):
        yield f": the report makes no claim on {row.quantity}, so the model does not have it: remove the row"
    if row.quantity in ("price", "users_growth") and row.modality is None:
        what = "a price is" if row.quantity == "price" else "users are"
        yield f": {what} of one modality: name {' or '.join(m.name for m in ledger.modalities)}"
        return
    if row.quantity == "line_use" and (fault := _line_fault(ledger, row.line)):
        yield fault
        return
    if row.quantity == "adoption":
        taken = [m.name for m in ledger.modalities if m.uptake != "everyone"]
        if row.modality not in taken:
            yield (
                f": modality {row.modality or ''!r}: adoption is of a modality that not everyone uses: name "
                f"{' or '.join(taken) or 'none, and remove the row'}"
            )
            return
    if {"modality", "line"} & {*OBSERVED[row.quantity].by}:
        for year in row.years:
            yield from _unsold(ledger, row, year)


def _misdated_launch(ledger: Ledger, row: Evidence) -> Iterator[str]:
    """What is wrong with a row on when a launch comes."""
    known = launch_labels(ledger)
    what = "a date" if row.quantity in DATES else "a year without sales"
    if launch_of(ledger, row) is None:
        named = row.line or row.modality or ""
        way_out = f"name {' or '.join(known)}" if known else "remove the row"
        yield f": {named!r} is not to be launched: {what} says when something is: {way_out}"
    elif row.source == ledger.report.id:
        yield f": {what} is told by a source other than the report, which assumes `vendor_launch_year`: change that"
    elif row.depth is not None:
        yield f": depth {row.depth!r}: a launch is for all depths: leave it empty"


def _line_fault(ledger: Ledger, name: str | None) -> str | None:
    """Why there is no measuring the use of a line: it has no name, or all of its modality's users use it."""
    labels = line_labels(ledger)
    varying = [line for line in labels["line"] if line in (*labels["line_claimed"], *labels["line_pipeline"])]
    if name in varying:
        return None
    why = "all users of its modality use it" if name else "`line_use` is of one line"
    return f": line {name or ''!r}: {why}: name {' or '.join(varying) or 'none, and remove the row'}"


def _unsold(ledger: Ledger, row: Evidence, year: int) -> Iterator[str]:
    """What is wrong with evidence on sales that are zero: before a launch, or at depths that are not eligible."""
    of = modality_of_row(ledger, row)
    for modality in ledger.modalities:
        if of not in (None, modality.name):
            continue
        if modality.uptake != "launch":
            return
        vendors = assumption(ledger, "vendor_launch_year", {"modality": modality.name})
        earliest = min(end for end in (vendors.value, vendors.low) if end is not None)
        if of is not None and year < earliest:
            yield (
                f": {of} has evidence in {year}, before its vendor_launch_year {earliest:g}: make the "
                "claim a check or move the launch"
            )
            return
        if year >= earliest and any(eligible(ledger, modality.name, row.depth)):
            return
    yield (
        f": nothing is sold in {year} to depth {row.depth or 'any'}, by vendor_launch_year and eligible_share: "
        "make the claim a check or change those"
    )


def _check_pair(ledger: Ledger, trust: ErrorModel, first: Evidence, second: Evidence) -> None:
    """Refuse a number that a source states twice, a part above its whole, and sources that cannot both be right."""
    if first.source == second.source and first.cell == second.cell:
        same = "once more: remove one" if first.value == second.value else f"as {second.value:g}: keep the right one"
        raise InputError(f"{first.id!r} states {first.value:g}, and {second.id!r} the same number {same}")
    if first.is_bound or second.is_bound:
        return
    if (first.quantity, first.years) != (second.quantity, second.years):
        return
    placed = replace(first, modality=modality_of_row(ledger, first))
    inside = all(getattr(second, d) in (None, getattr(placed, d)) for d in PARTS) and first.cell != second.cell
    larger = first.value > second.value * (1 + SLACK)
    if first.source == second.source and inside and larger and first.quantity in SIZES:
        raise InputError(
            f"{first.id!r} states {first.value:g}, more than the {second.value:g} of {second.id!r}, of which it is "
            "a part: correct one of them"
        )
    if first.cell == second.cell:
        variance = sum(_shared_variance(ledger, trust, row) + row.log_sd**2 for row in (first, second))
        apart = abs(first.stated - second.stated) / np.sqrt(variance)
        if apart > CONTRADICTION:
            raise InputError(
                f"{first.id!r} states {first.value:g} and {second.id!r} {second.value:g}: {apart:.1f} sd apart by "
                f"their own errors, and over {CONTRADICTION:g} is a contradiction: correct one, or raise log_sd"
            )


def _check_dates(ledger: Ledger, bound: Evidence, other: Evidence) -> None:
    """Refuse a bound on a launch that was sold before, or whose date is known to lie before it."""
    launch, place = launch_of(ledger, bound), (None, other.region)
    if not bound.is_bound or other.is_bound or launch != launch_of(ledger, other) or bound.region not in place:
        return
    if other.is_dated:
        latest = other.value + CONTRADICTION * float(np.hypot(bound.log_sd, other.log_sd))
    elif other.source != ledger.report.id:
        latest = min(other.years, default=np.inf) + MIDYEAR
    else:
        return
    if bound.stated >= latest:
        raise InputError(
            f"{bound.id!r} says that nothing of {launch} is sold before {bound.stated:g}, and {other.id!r} that it is: "
            "correct one of them"
        )


def _check_sums(ledger: Ledger, rows: Sequence[Evidence]) -> None:
    """Refuse parts from one source that, beyond their errors, exceed their whole, or all together fall short of it.

    Regions, depths and modalities add up to all of it, and lines to their modality.
    """
    for dim in PARTS:
        families: dict[tuple[str | int | None, ...], list[Evidence]] = {}
        for row in rows:
            if row.quantity.removesuffix("_share") in SIZES and not row.is_bound:
                of = replace(row, modality=modality_of_row(ledger, row)) if dim == "line" else row
                others = [getattr(of, other) for other in PARTS if other != dim]
                families.setdefault((row.source, row.quantity, row.year, *others), []).append(row)
        for (_, quantity, _, *rest), members in families.items():
            parts = [row for row in members if getattr(row, dim) is not None]
            whole = [(row.value, row.log_sd) for row in members if getattr(row, dim) is None]
            if quantity not in SIZES and not any(rest):
                whole.append((1.0, 0.0))
            if parts and whole:
                every = ledger.lines_of(str(rest[-1])) if dim == "line" else ledger.segments[dim]
                _check_sum(parts, *whole[0], complete=len(parts) == len(every))


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


def _shared_variance(ledger: Ledger, trust: ErrorModel, row: Evidence) -> float:
    """Returns the variance of a source's error in a row; of a growth, what the error gains in between."""
    if row.is_dated:
        return 0.0
    model = error_model(ledger, trust, row.source)
    later = log_variance(model, _horizon(ledger, row.year))
    return later if row.year_from is None else later - log_variance(model, _horizon(ledger, row.year_from))


def _horizon(ledger: Ledger, year: int | None) -> float:
    if year is None:
        return 0.0
    return (year - ledger.report.first_year) / (ledger.report.last_year - ledger.report.first_year)
