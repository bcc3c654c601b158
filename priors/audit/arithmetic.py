"""The report's figures against arithmetic: sums, shares, growth, subsets, spend per user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from postcgrp.priors.audit.derived import Series, YearlyFigure, ids_of, odds, patients_near, spend_per_user, yearly_rate
from postcgrp.priors.audit.finding import AuditCheck, Finding, Status
from postcgrp.priors.audit.reading import (
    USED,
    Place,
    claims_by_place,
    claims_by_year,
    direction_status,
    ends_of,
    overlap,
    place_of,
    rounding,
)
from postcgrp.priors.audit.wording import (
    bare_range,
    claim_in_words,
    direction_in_words,
    path_in_words,
    percent,
    place_in_words,
    range_in_words,
    rates_in_words,
)
from postcgrp.priors.ledger import Claim, Ledger, middle

SUBSETS = (("moh", "acute_use"),)


def _sums(ledger: Ledger) -> Iterator[Finding]:
    """Totals of the whole market against the sum over each dimension, or what is left for the part not stated."""
    for quantity in ("revenue", "patients"):
        cells = claims_by_place(ledger, quantity)
        for dim, names in ledger.segments.items():
            for cell, total in sorted(cells.items(), key=lambda item: item[0].year or 0):
                parts = {name: part for name in names if (part := cells.get(cell.at(dim, name)))}
                if cell == Place(cell.year) and parts:
                    yield _sum(f"{quantity}_by_{dim}", total, parts, [name for name in names if name not in parts])


def _sum(check: str, total: Claim, parts: dict[str, Claim], missing: list[str]) -> Finding:
    low, high = (sum(ends_of(part)[side] for part in parts.values()) for side in (0, 1))
    slack = rounding(total) + sum(rounding(part) for part in parts.values())
    terms = " + ".join(bare_range(part) for part in parts.values())
    over = low > ends_of(total)[1] + slack
    ids = (total.id, *(part.id for part in parts.values()))
    if missing and not over:
        rest = range_in_words((max(ends_of(total)[0] - high, 0.0), ends_of(total)[1] - low), total.unit)
        absent = ", ".join(missing)
        return Finding(
            check,
            "derived",
            ids,
            f"{Place(total.year, modality=absent)}: no figure stated",
            f"{bare_range(total)} - ({terms}) leaves {rest}",
            f"The total enters as {total.role} in place of {absent} {total.quantity}; the derived figure is not fitted."
            if total.role in USED
            else f"The total is only compared, so no claim carries {absent} {total.quantity}.",
        )
    status: Status = "differs" if over or high < ends_of(total)[0] - slack else "agrees"
    return Finding(
        check,
        status,
        ids,
        f"total {place_in_words(total)}: {claim_in_words(total)}",
        f"{terms} = {range_in_words((low, high), total.unit)}",
        _sum_treatment(total, list(parts.values())),
    )


def _sum_treatment(total: Claim, parts: Sequence[Claim]) -> str:
    fitted = [part.role in USED for part in parts if middle(part)]  # a zero cannot be evidence
    if total.role in USED and all(fitted):
        return "Total and parts are all in use, which counts them twice: make one of them a check."
    if total.role in USED:
        return "The total is in use as stated; parts that are not in use are only compared."
    if any(fitted):
        return "The parts are in use as stated; the total follows from them, so it is a check and not evidence."
    return "Neither the total nor its parts are in use."


def _share_sums(ledger: Ledger) -> Iterator[Finding]:
    """Shares over one dimension against the whole, where every share is stated or those stated exceed it."""
    for quantity in ("depth_share", "revenue_share"):
        cells = claims_by_place(ledger, quantity)
        for dim, names in ledger.segments.items():
            for base in dict.fromkeys(cell.at(dim, None) for cell in cells if getattr(cell, dim) is not None):
                shares = [share for name in names if (share := cells.get(base.at(dim, name)))]
                low, high = (sum(ends_of(share)[side] for share in shares) for side in (0, 1))
                slack = sum(rounding(share) for share in shares)
                if len(shares) < len(names) and low <= 1 + slack:
                    continue
                yield Finding(
                    f"{quantity}_by_{dim}",
                    "agrees" if low - slack <= 1 <= high + slack else "differs",
                    tuple(share.id for share in shares),
                    f"shares of {base} sum to {range_in_words((1, 1), 'fraction')}",
                    f"{' + '.join(bare_range(share) for share in shares)} = {range_in_words((low, high), 'fraction')}",
                    "The model normalises the shares, so they sum to one in every draw."
                    if shares[0].role in USED
                    else "The shares are only compared; they follow from figures in use.",
                )


def _stated_shares(ledger: Ledger) -> Iterator[Finding]:
    """Stated shares of revenue against the revenues of the same year."""
    revenue = claims_by_place(ledger, "revenue")
    for cell, share in claims_by_place(ledger, "revenue_share").items():
        part, total = revenue.get(cell), revenue.get(Place(cell.year))
        if part is None or total is None or ends_of(total)[0] <= rounding(total):
            continue
        low = (ends_of(part)[0] - rounding(part)) / (ends_of(total)[1] + rounding(total))
        high = (ends_of(part)[1] + rounding(part)) / (ends_of(total)[0] - rounding(total))
        yield Finding(
            "stated_share",
            "agrees" if overlap((low, high), ends_of(share), rounding(share)) else "differs",
            (share.id, part.id, total.id),
            f"{cell}: {claim_in_words(share)} of revenue",
            f"{bare_range(part)} / {bare_range(total)} = {percent(middle(part) / middle(total))} %",
            "The share is evidence beside the revenues, which tells the model twice: make it a check."
            if share.role in USED
            else "Only compared: the revenues carry the share.",
        )


def _growth(ledger: Ledger) -> Iterator[Finding]:
    """A stated yearly growth against the first and last revenues stated for the same segment, history aside."""
    for cell, rate in claims_by_place(ledger, "growth_rate").items():
        revenues = claims_by_year(claims_by_place(ledger, "revenue"), cell)
        inside = [(year, claim) for year, claim in revenues if year in ledger.years]
        stated = inside if len(inside) > 1 else revenues
        if len(stated) < 2:  # noqa: PLR2004  a rate needs two ends
            continue
        (start, first), *_, (end, last) = stated
        low = yearly_rate(ends_of(first)[1] + rounding(first), ends_of(last)[0] - rounding(last), end - start)
        high = yearly_rate(ends_of(first)[0] - rounding(first), ends_of(last)[1] + rounding(last), end - start)
        series = [YearlyFigure(year, middle(c), *ends_of(c), (c.id,)) for year, c in stated]
        at_rate = middle(first) * (1 + middle(rate)) ** (end - start)
        yield Finding(
            "growth_rate",
            "agrees" if overlap((low, high), ends_of(rate), rounding(rate)) else "differs",
            (rate.id, *(c.id for _, c in stated)),
            f"{claim_in_words(rate)} from {start}: {end} at {at_rate:,.0f} {last.unit}",
            f"{path_in_words(series, first.unit)}: {rates_in_words(series)}",
            "Not used: the yearly figures are kept and a growth rate follows from them.",
        )


def _subsets(ledger: Ledger) -> Iterator[Finding]:
    """A share of patients that lies inside another one, and the conditional share that the two imply."""
    for inner_name, outer_name in SUBSETS:
        outers = claims_by_place(ledger, outer_name)
        for cell, inner in claims_by_place(ledger, inner_name).items():
            outer = outers.get(cell)
            if outer is None or not ends_of(outer)[0] > 0:
                continue
            (low, high), (outer_low, outer_high) = ends_of(inner), ends_of(outer)
            if low > outer_high:
                status: Status = "differs"
            else:
                status = "agrees" if high <= outer_low else "ambiguous"
            given = range_in_words((low / outer_high, min(high / outer_low, 1.0)), "fraction")
            yield Finding(
                f"{inner_name}_within_{outer_name}",
                status,
                (inner.id, outer.id),
                f"{cell}: {inner_name} not above {outer_name}, {claim_in_words(outer)}",
                f"{inner_name} {claim_in_words(inner)}"
                + ("" if status == "differs" else f", so {given} of those with {outer_name}"),
                f"{inner_name} is modelled as {outer_name} times a conditional share, so it never exceeds it."
                if inner.role in USED and outer.role in USED
                else "Only compared: not both are in use.",
            )


def _spend(ledger: Ledger) -> Iterator[Finding]:
    """Spend per user implied by revenue, a flat patient count and the middle of the adoption ranges."""
    for modality in ledger.modalities:
        adopted = modality.uptake == "adoption"
        series = spend_per_user(ledger, modality)
        if not series:
            continue
        yield Finding(
            f"spend_per_{'adopter' if adopted else 'patient'}",
            "derived",
            ids_of(series),
            f"{modality.name}: no figure stated; constant if {'adoption' if adopted else 'patients'} alone "
            "carried the revenue",
            f"{ledger.report.currency} {path_in_words(series, '')} per user and year at {_counted(ledger, series)}"
            + (f": {rates_in_words(series)}" if len(series) > 1 else ""),
            "Spend per user has its own prior and growth; revenue in evidence and the uptake decide the split.",
        )


def _counted(ledger: Ledger, series: Series) -> str:
    """Returns which patients a series of spend per user is over."""
    counts = [patients_near(ledger, point.year) for point in series]
    years = dict.fromkeys(count.year for count in counts if count)
    return "a flat patient count" if len(years) == 1 else f"the patients stated for {' and '.join(map(str, years))}"


def _premium(ledger: Ledger) -> Iterator[Finding]:
    """A region's share of value against its share of patients: spend per patient relative to all other regions."""
    signs = {place_of(claim): claim for claim in ledger.claims if claim.quantity == "intensity_direction"}
    for cell, share in claims_by_place(ledger, "revenue_share").items():
        count, total = patients_near(ledger, cell.year, cell.region), patients_near(ledger, cell.year)
        if cell != Place(cell.year, cell.region) or cell.region is None or count is None or total is None:
            continue
        if not (0 < count.value < total.value and ends_of(share)[0] > 0 and ends_of(share)[1] < 1):
            continue
        patients = count.value / total.value
        low, high = (odds(end) / odds(patients) for end in ends_of(share))
        times = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"
        sign = signs.get(Place(region=cell.region))
        yield Finding(
            "region_premium",
            direction_status(low - 1, high - 1, sign.value or 0.0) if sign else "derived",
            (share.id, *count.ids, *total.ids, *((sign.id,) if sign else ())),
            f"{cell.region}: {range_in_words((patients, patients), 'fraction')} of value if every patient cost the same"
            + (f"; intensity said to be {direction_in_words(sign)}" if sign else ""),
            f"{claim_in_words(share)} of value: spend per patient {times} times that of all others",
            "The share is evidence on the regional premium, whose prior is an assumption."
            if share.role in USED
            else "Only compared: the regional premium rests on its prior, an assumption.",
        )


ARITHMETIC: tuple[AuditCheck, ...] = (_sums, _share_sums, _stated_shares, _growth, _subsets, _spend, _premium)
