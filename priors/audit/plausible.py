"""Spend per user that the report implies against the price that the assumptions expect: where a unit slipped."""

from __future__ import annotations

import math
from collections.abc import Iterator

from postcgrp.priors.audit.derived import YearlyFigure, ids_of, patients_near, spend_per_user
from postcgrp.priors.audit.finding import AuditCheck, Finding, Status
from postcgrp.priors.audit.reading import Ends, Place, claims_by_place, ends_of
from postcgrp.priors.audit.wording import range_in_words
from postcgrp.priors.catalogue import MILLION, SPEND_UNIT
from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger import Ledger, Modality, middle
from postcgrp.priors.lookup import assumption

IMPLAUSIBLE = 50.0  # a factor beyond the expected price that no market explains, and a wrong unit does
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
        rounded = [float(f"{end:.3g}") for end in (spend.low, spend.high)]
        yield Finding(
            "spend_against_price",
            status,
            ids_of([spend]),
            f"{name}: {range_in_words(price, unit)} by the prior of its price",
            f"{spend.year}: {range_in_words((rounded[0], rounded[1]), unit)} by the report's revenue and patients",
            _treatment(ledger, status, beyond),
        )


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
    """Returns the range of the assumed price of a modality; None if the ledger has no such range."""
    try:
        row = assumption(ledger, "price", {"modality": modality.name})
    except InputError:
        return None
    return None if row.low is None or row.high is None else (row.low, row.high)


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


PLAUSIBLE: tuple[AuditCheck, ...] = (_spend_and_price,)
