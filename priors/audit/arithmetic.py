"""The report's figures against arithmetic: sums, shares, growth, subsets, spend per user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from postcgrp.priors.audit.derived import YearlyFigure, _ids, _patients, _rate, _spend_per_user
from postcgrp.priors.audit.finding import Finding, Status
from postcgrp.priors.audit.reading import USED, Place, _cell, _cells, _ends, _overlap, _side, _slack, _years
from postcgrp.priors.audit.wording import _direction, _ends_text, _path, _percent, _rates, _stated, _text, _where
from postcgrp.priors.ledger import Claim, Ledger, middle

SUBSETS = (("moh", "acute_use"),)


def _sums(ledger: Ledger) -> Iterator[Finding]:
    """Totals of the whole market against the sum over each dimension, or what is left for the part not stated."""
    for quantity in ("revenue", "patients"):
        cells = _cells(ledger, quantity)
        for dim, names in ledger.segments.items():
            for cell, total in sorted(cells.items(), key=lambda item: item[0].year or 0):
                parts = {name: part for name in names if (part := cells.get(cell.at(dim, name)))}
                if cell == Place(cell.year) and parts:
                    yield _sum(f"{quantity}_by_{dim}", total, parts, [name for name in names if name not in parts])


def _sum(check: str, total: Claim, parts: dict[str, Claim], missing: list[str]) -> Finding:
    low, high = (sum(_ends(part)[side] for part in parts.values()) for side in (0, 1))
    slack = _slack(total) + sum(_slack(part) for part in parts.values())
    terms = " + ".join(_ends_text(part) for part in parts.values())
    over = low > _ends(total)[1] + slack
    ids = (total.id, *(part.id for part in parts.values()))
    if missing and not over:
        rest = _text((max(_ends(total)[0] - high, 0.0), _ends(total)[1] - low), total.unit)
        absent = ", ".join(missing)
        return Finding(
            check,
            "derived",
            ids,
            f"{Place(total.year, modality=absent)}: no figure stated",
            f"{_ends_text(total)} - ({terms}) leaves {rest}",
            f"The total enters as {total.role} in place of {absent} {total.quantity}; the derived figure is not fitted."
            if total.role in USED
            else f"The total is only compared, so no claim carries {absent} {total.quantity}.",
        )
    status: Status = "differs" if over or high < _ends(total)[0] - slack else "agrees"
    return Finding(
        check,
        status,
        ids,
        f"total {_where(total)}: {_stated(total)}",
        f"{terms} = {_text((low, high), total.unit)}",
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
        cells = _cells(ledger, quantity)
        for dim, names in ledger.segments.items():
            for base in dict.fromkeys(cell.at(dim, None) for cell in cells if getattr(cell, dim) is not None):
                shares = [share for name in names if (share := cells.get(base.at(dim, name)))]
                low, high = (sum(_ends(share)[side] for share in shares) for side in (0, 1))
                slack = sum(_slack(share) for share in shares)
                if len(shares) < len(names) and low <= 1 + slack:
                    continue
                yield Finding(
                    f"{quantity}_by_{dim}",
                    "agrees" if low - slack <= 1 <= high + slack else "differs",
                    tuple(share.id for share in shares),
                    f"shares of {base} sum to {_text((1, 1), 'fraction')}",
                    f"{' + '.join(_ends_text(share) for share in shares)} = {_text((low, high), 'fraction')}",
                    "The model normalises the shares, so they sum to one in every draw."
                    if shares[0].role in USED
                    else "The shares are only compared; they follow from figures in use.",
                )


def _stated_shares(ledger: Ledger) -> Iterator[Finding]:
    """Stated shares of revenue against the revenues of the same year."""
    revenue = _cells(ledger, "revenue")
    for cell, share in _cells(ledger, "revenue_share").items():
        part, total = revenue.get(cell), revenue.get(Place(cell.year))
        if part is None or total is None or _ends(total)[0] <= _slack(total):
            continue
        low = (_ends(part)[0] - _slack(part)) / (_ends(total)[1] + _slack(total))
        high = (_ends(part)[1] + _slack(part)) / (_ends(total)[0] - _slack(total))
        yield Finding(
            "stated_share",
            "agrees" if _overlap((low, high), _ends(share), _slack(share)) else "differs",
            (share.id, part.id, total.id),
            f"{cell}: {_stated(share)} of revenue",
            f"{_ends_text(part)} / {_ends_text(total)} = {_percent(middle(part) / middle(total))} %",
            "The share is evidence beside the revenues, which tells the model twice: make it a check."
            if share.role in USED
            else "Only compared: the revenues carry the share.",
        )


def _growth(ledger: Ledger) -> Iterator[Finding]:
    """A stated yearly growth against the first and last revenues stated for the same segment."""
    for cell, rate in _cells(ledger, "growth_rate").items():
        stated = _years(_cells(ledger, "revenue"), cell)
        if len(stated) < 2:  # noqa: PLR2004  a rate needs two ends
            continue
        (start, first), *_, (end, last) = stated
        low = _rate(_ends(first)[1] + _slack(first), _ends(last)[0] - _slack(last), end - start)
        high = _rate(_ends(first)[0] - _slack(first), _ends(last)[1] + _slack(last), end - start)
        series = [YearlyFigure(year, middle(c), *_ends(c), (c.id,)) for year, c in stated]
        at_rate = middle(first) * (1 + middle(rate)) ** (end - start)
        yield Finding(
            "growth_rate",
            "agrees" if _overlap((low, high), _ends(rate), _slack(rate)) else "differs",
            (rate.id, *(c.id for _, c in stated)),
            f"{_stated(rate)}: {end} at {at_rate:,.0f} {last.unit}",
            f"{_path(series, first.unit)}: {_rates(series)}",
            "Not used: the yearly figures are kept and a growth rate follows from them.",
        )


def _subsets(ledger: Ledger) -> Iterator[Finding]:
    """A share of patients that lies inside another one, and the conditional share that the two imply."""
    for inner_name, outer_name in SUBSETS:
        outers = _cells(ledger, outer_name)
        for cell, inner in _cells(ledger, inner_name).items():
            outer = outers.get(cell)
            if outer is None or not _ends(outer)[0] > 0:
                continue
            (low, high), (outer_low, outer_high) = _ends(inner), _ends(outer)
            if low > outer_high:
                status: Status = "differs"
            else:
                status = "agrees" if high <= outer_low else "ambiguous"
            given = (low / outer_high, min(high / outer_low, 1.0))
            yield Finding(
                f"{inner_name}_within_{outer_name}",
                status,
                (inner.id, outer.id),
                f"{cell}: {inner_name} not above {outer_name}, {_stated(outer)}",
                f"{inner_name} {_stated(inner)}"
                + ("" if status == "differs" else f", so {_text(given, 'fraction')} of those with {outer_name}"),
                f"{inner_name} is modelled as {outer_name} times a conditional share, so it never exceeds it."
                if inner.role in USED and outer.role in USED
                else "Only compared: not both are in use.",
            )


def _spend(ledger: Ledger) -> Iterator[Finding]:
    """Spend per user implied by revenue, a flat patient count and the middle of the adoption ranges."""
    for modality in ledger.modalities:
        adopted = modality.uptake == "adoption"
        series = _spend_per_user(ledger, modality)
        if not series:
            continue
        yield Finding(
            f"spend_per_{'adopter' if adopted else 'patient'}",
            "derived",
            _ids(series),
            f"{modality.name}: no figure stated; constant if {'adoption' if adopted else 'patients'} alone "
            "carried the revenue",
            f"{ledger.report.currency} {_path(series, '')} per user and year at a flat patient count"
            + (f": {_rates(series)}" if len(series) > 1 else ""),
            "Spend per user has its own prior and growth; revenue in evidence and the uptake decide the split.",
        )


def _premium(ledger: Ledger) -> Iterator[Finding]:
    """A region's share of value against its share of patients: spend per patient relative to all other regions."""
    signs = {_cell(claim): claim for claim in ledger.claims if claim.quantity == "intensity_direction"}
    for cell, share in _cells(ledger, "revenue_share").items():
        count, total = _patients(ledger, cell.year, cell.region), _patients(ledger, cell.year)
        if cell != Place(cell.year, cell.region) or cell.region is None or count is None or total is None:
            continue
        if not (0 < count.value < total.value and _ends(share)[0] > 0 and _ends(share)[1] < 1):
            continue
        patients = count.value / total.value
        low, high = (_odds(end) / _odds(patients) for end in _ends(share))
        times = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"
        sign = signs.get(Place(region=cell.region))
        yield Finding(
            "region_premium",
            _side(low - 1, high - 1, sign.value or 0.0) if sign else "derived",
            (share.id, *count.ids, *total.ids, *((sign.id,) if sign else ())),
            f"{cell.region}: {_text((patients, patients), 'fraction')} of value if every patient cost the same"
            + (f"; intensity said to be {_direction(sign)}" if sign else ""),
            f"{_stated(share)} of value: spend per patient {times} times that of all others",
            "The share is evidence on the regional premium, whose prior is an assumption."
            if share.role in USED
            else "Only compared: the regional premium rests on its prior, an assumption.",
        )


def _odds(share: float) -> float:
    return share / (1 - share)
