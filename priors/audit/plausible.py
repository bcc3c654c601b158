"""Where a unit slipped: spend per user against the assumed price, prices among lines, and sizes for their units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from postcgrp.priors.audit.derived import YearlyFigure, ids_of, patients_near, spend_per_user
from postcgrp.priors.audit.finding import AuditCheck, Finding, Status
from postcgrp.priors.audit.reading import Ends, Place, claims_by_place, ends_of
from postcgrp.priors.audit.wording import range_in_words
from postcgrp.priors.catalogue import MILLION, SPEND_UNIT
from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger import Assumption, Ledger, Line, Modality, middle
from postcgrp.priors.lookup import assumption, prior_claims
from postcgrp.priors.numbers import row_name

BUILT_FROM = ("line_list_price", "line_net_ratio", "line_persistence")
IMPLAUSIBLE = 50.0  # a factor beyond the expected price that no market explains, and a wrong unit does
FARTHEST_LOG = 2 * math.log(IMPLAUSIBLE)  # of an end of a range, whose middle may be a factor of 50 off
# The likely slip by the factor by which it changes spend per user.
SLIPS = {
    1e-6: "revenue in trillions under '{money}'?",
    1e-3: "revenue in billions under '{money}'?",
    1e3: "patients in thousands under 'patients', or revenue in thousands under '{money}'?",
    1e6: "patients in millions under 'patients', or revenue in {currency} under '{money}'?",
}


def _spend_and_price(ledger: Ledger) -> Iterator[Finding]:
    """Spend per user in the first year that a report states, by modality or in all, against the assumed price."""
    compared = [
        (modality.name, series[0], price)
        for modality in ledger.modalities
        if (series := spend_per_user(ledger, modality)) and (price := _price(ledger, modality))
    ]
    if whole := _whole(ledger):
        compared.append(("whole market", *whole))
    for name, spend, price in compared:
        beyond = _beyond((spend.low, spend.high), price)
        status: Status = "agrees" if beyond == 1 else "differs"
        if not 1 / IMPLAUSIBLE < beyond < IMPLAUSIBLE:
            status = "implausible"
        unit = SPEND_UNIT.format(currency=ledger.report.currency)
        stated = range_in_words(_rounded((spend.low, spend.high)), unit)
        yield Finding(
            "spend_against_price",
            status,
            ids_of([spend]),
            f"{name}: {range_in_words(_rounded(price), unit)} by what its users are assumed to cost",
            f"{spend.year}: {stated} by the report's revenue and patients",
            _treatment(ledger, status, beyond),
        )


def _rounded(ends: Ends) -> Ends:
    low, high = (float(f"{end:.3g}") for end in ends)
    return low, high


def slips(ledger: Ledger) -> tuple[str, ...]:
    """Returns what in a ledger is so far from plausible that a unit must have slipped, one line each."""
    findings = [f for check in PLAUSIBLE for f in check(ledger) if f.status == "implausible"]
    return tuple(f"{f.found}, but {f.expected} ({', '.join(f.claims)}): {f.treatment}" for f in findings)


def _treatment(ledger: Ledger, status: Status, beyond: float) -> str:
    if status == "agrees":
        return "Price and revenue agree."
    if status == "differs":
        return "Price and revenue disagree; the posterior lies between them, and the run says how far each gave way."
    currency = ledger.report.currency
    factor = min(SLIPS, key=lambda each: abs(math.log(each / beyond)))
    likely = SLIPS[factor].format(money=f"{currency} million", currency=currency)
    return f"{'too high' if beyond > 1 else 'too low'} by a factor of about {max(beyond, 1 / beyond):,.0f}: {likely}"


def _beyond(found: Ends, expected: Ends) -> float:
    """Returns by which factor a range lies beyond another: above 1 if above, below 1 if below, 1 if they overlap."""
    if found[0] > expected[1]:
        return found[0] / expected[1]
    return found[1] / expected[0] if found[1] < expected[0] else 1.0


def _price(ledger: Ledger, modality: Modality) -> Ends | None:
    """Returns the range of what a user of a modality is assumed to cost a year; None if the ledger does not say.

    Of a modality with lines, what its lines on the market cost, each at either end of what it is built up from.
    """
    if lines := ledger.lines_of(modality.name):
        return _built([line for line in lines if line.stage == "sold"], ledger)
    try:
        row = assumption(ledger, "price", {"modality": modality.name})
    except InputError:
        return None
    return None if row.low is None or row.high is None else (row.low, row.high)


def _built(lines: Sequence[Line], ledger: Ledger) -> Ends | None:
    """Returns the range of what lines cost their modality's users, on the mean of all patients."""
    used = {c.line: ends_of(c) for c in ledger.claims if (c.role, c.quantity) == ("prior", "line_use")}
    patients = {c.region: middle(c) for c in prior_claims(ledger, "patients")}
    low = high = 0.0
    for region in ledger.segments["region"]:
        share = patients.get(region, 1.0) / sum(patients.get(name, 1.0) for name in ledger.segments["region"])
        for line in lines:
            if (cost := _cost(ledger, line.name, region)) is None:
                return None
            least, most = used.get(line.name, (1.0, 1.0))
            low, high = low + share * least * cost[0], high + share * most * cost[1]
    return (low, high) if lines else None


def _cost(ledger: Ledger, line: str, region: str) -> Ends | None:
    """Returns the range of a line's net cost of a user-year in one region."""
    low = high = 1.0
    for name in BUILT_FROM:
        try:
            row = assumption(ledger, name, {"line": line, "region": region})
        except InputError:
            return None
        ends = ends_of(row)
        low, high = low * ends[0], high * ends[1]
    return low, high


def _whole(ledger: Ledger) -> tuple[YearlyFigure, Ends] | None:
    """Returns spend per patient by the first total revenue, and the range that prices and adoption expect of it.

    Launched modalities are left aside: few use them at first.
    """
    totals = sorted((c.year, r) for c, r in claims_by_place(ledger, "revenue").items() if c.year and c == Place(c.year))
    patients = patients_near(ledger, totals[0][0]) if totals else None
    if patients is None or not patients.low > 0 or not middle(totals[0][1]) > 0:
        return None
    year, total = totals[0]
    adoption = claims_by_place(ledger, "adoption")
    low = high = 0.0
    for modality in (m for m in ledger.modalities if m.uptake != "launch"):
        price, use = _price(ledger, modality), adoption.get(Place(year, modality=modality.name))
        if price is None or (modality.uptake == "adoption" and use is None):
            return None
        least, most = (1.0, 1.0) if use is None else ends_of(use)
        low, high = low + least * price[0], high + most * price[1]
    if not 0 < low < high < math.inf:
        return None
    ends = (ends_of(total)[0] * MILLION / patients.high, ends_of(total)[1] * MILLION / patients.low)
    middles = middle(total) * MILLION / patients.value
    return YearlyFigure(year, middles, *ends, (total.id, *patients.ids)), (low, high)


def _list_prices(ledger: Ledger) -> Iterator[Finding]:
    """List prices that are out of all proportion to those of the other lines; others are not spoken of."""
    rows = [a for a in ledger.assumptions if a.id == "line_list_price"]
    unit = SPEND_UNIT.format(currency=ledger.report.currency)
    for same in _alike(rows):
        others = [middle(other) for other in rows if other.line != same[0].line]
        beyond = middle(same[0]) / median(others) if others else 1.0
        if not 1 / IMPLAUSIBLE < beyond < IMPLAUSIBLE:
            yield Finding(
                "list_price_among_lines",
                "implausible",
                tuple(map(row_name, same)),
                f"the median list price of other lines is {median(others):,.0f} {unit}",
                f"{row_name(same[0])} is {range_in_words(ends_of(same[0]), unit)}",
                f"too {'high' if beyond > 1 else 'low'} by a factor of about {max(beyond, 1 / beyond):,.0f}: in "
                f"thousands, or for another time than a year?",
            )


def _sizes(ledger: Ledger) -> Iterator[Finding]:
    """Assumptions of no size for their unit: years far from the window, spans of centuries, huge differences of logs.

    Others are not spoken of.
    """
    window = (ledger.report.first_year - IMPLAUSIBLE, ledger.report.last_year + IMPLAUSIBLE)
    bounds: dict[str, tuple[Ends, str]] = {
        "year": (window, "write a calendar year, such as 2031.5"),
        "years": ((0.0, IMPLAUSIBLE), "write years, not months or per cent"),
        "logit": ((-FARTHEST_LOG, FARTHEST_LOG), "write a difference of log odds, not per cent"),
    }
    inside = {unit: (low, high) for unit, ((low, high), _) in bounds.items()}
    rows = [row for row in ledger.assumptions if row.unit in inside]
    odd = [r for r in rows if not inside[r.unit][0] <= min(ends_of(r)) <= max(ends_of(r)) <= inside[r.unit][1]]
    for same in _alike(odd):
        (low, high), treatment = bounds[same[0].unit]
        expected = f"anything in the unit {same[0].unit!r} lies between {low:.4g} and {high:.4g}"
        found = f"{row_name(same[0])} is {ends_of(same[0])[0]:.4g} to {ends_of(same[0])[1]:.4g}"
        yield Finding("size_for_its_unit", "implausible", tuple(map(row_name, same)), expected, found, treatment)


def _alike(rows: Iterable[Assumption]) -> list[list[Assumption]]:
    """Returns rows that say the same of several parts of the market together: they have one slip, not many."""
    groups: dict[tuple[object, ...], list[Assumption]] = {}
    for row in rows:
        groups.setdefault((row.id, row.line, row.modality, ends_of(row)), []).append(row)
    return list(groups.values())


PLAUSIBLE: tuple[AuditCheck, ...] = (_spend_and_price, _list_prices, _sizes)
