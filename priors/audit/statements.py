"""The report's statements against each other: lists, figures given twice, directions in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import combinations, groupby

from postcgrp.priors.audit.derived import MEASURED, MEASURED_AS, ids_of, launched_users
from postcgrp.priors.audit.finding import AuditCheck, Finding, Status
from postcgrp.priors.audit.reading import (
    USED,
    claims_by_place,
    direction_status,
    ends_of,
    is_closed,
    nested,
    overlap,
    place_of,
    rounding,
)
from postcgrp.priors.audit.wording import claim_in_words, direction_in_words, percent, place_in_words, range_in_words
from postcgrp.priors.ledger import Claim, Ledger, Modality, middle


def _region_lists(ledger: Ledger) -> Iterator[Finding]:
    """The lists of regions in the report against the regions that the ledger declares."""
    lists = [claim for claim in ledger.claims if claim.quantity == "region_list"]
    if not lists:
        return
    wordings = [_wordings(ledger, claim) for claim in lists]
    complete = [words for words in wordings if all(words)]
    counts = {middle(claim) for claim in lists} | {len(ledger.regions)}
    if len(counts) > 1 or len(set(wordings)) > 1:
        status: Status = "differs"
    else:
        status = "agrees" if complete else "ambiguous"
    counted = (
        f"{claim.id}: {middle(claim):g}" + (f" ({', '.join(words)})" if all(words) else "")
        for claim, words in zip(lists, wordings, strict=True)
    )
    yield Finding(
        "region_lists",
        status,
        tuple(claim.id for claim in lists),
        f"{len(ledger.regions)} regions: {', '.join(ledger.segments['region'])}",
        "; ".join(counted),
        "The forecast uses the regions that come with patient counts; other lists serve only for directions.",
    )


def _wordings(ledger: Ledger, claim: Claim) -> tuple[str, ...]:
    """Returns the longest of each region's names that a claim's quote contains, empty if it contains none."""

    def longest(names: Iterable[str]) -> str:
        quoted = [name for name in names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", claim.quote)]
        return max(quoted, key=len, default="")

    return tuple(longest((region.name, *region.aliases)) for region in ledger.regions)


def _adoption_restated(ledger: Ledger) -> Iterator[Finding]:
    """Adoption of a modality against the treatment action of the same name and year."""
    for modality in _adopted(ledger):
        actions = claims_by_place(ledger, "treatment_action", modality.name)
        for cell, adoption in claims_by_place(ledger, "adoption").items():
            action = actions.get(cell)
            if cell.modality != modality.name or action is None:
                continue
            slack = rounding(adoption) + rounding(action)
            same = all(abs(a - b) <= slack / 2 for a, b in zip(ends_of(adoption), ends_of(action), strict=True))
            yield Finding(
                "adoption_restated",
                "agrees" if same else "differs",
                (adoption.id, action.id),
                f"adoption, {cell}: {claim_in_words(adoption)}",
                f"as a treatment action: {claim_in_words(action)}",
                f"Adoption is read as users of {modality.name} only.",
            )


def _adoption_scope(ledger: Ledger) -> Iterator[Finding]:
    """Whether adoption counts users of launched modalities in years when these are sold and no other claim says."""
    launched = {m.name for m in ledger.modalities if m.uptake == "launch"}
    sold = [c for c in claims_by_place(ledger, "revenue").values() if c.modality in launched and middle(c) > 0]
    users = launched_users(ledger)
    for modality in _adopted(ledger):
        actions = claims_by_place(ledger, "treatment_action", modality.name)
        by_place = claims_by_place(ledger, "adoption")
        adoption = {place.year: claim for place, claim in by_place.items() if place.modality == modality.name}
        beside = [c for c in sold if c.year in adoption]
        if not beside:
            continue
        separate = {place.year for place in actions}
        open_years = [year for year in adoption if year not in separate and any(c.year == year for c in beside)]
        shown = [
            f"{year}: from {percent(middle(adoption[year]))} to {percent(middle(adoption[year]) - users[year])} %"
            for year in open_years
            if year in users
        ]
        rest = "; a year's assumed procedures inside would lower the middle of the range, " + ", ".join(shown)
        names = ", ".join(sorted({str(c.modality) for c in beside}))
        yield Finding(
            "adoption_scope",
            "ambiguous" if open_years else "agrees",
            tuple(c.id for c in (*adoption.values(), *actions.values(), *beside)),
            f"adoption of {modality.name} alone",
            f"{', '.join(str(year) for year in open_years)}: not said whether users of {names} are counted"
            + (rest if shown else "")
            if open_years
            else f"every year in which {names} is sold has its own claim on {modality.name}",
            f"Adoption is read as users of {modality.name} only; {names} has an uptake of its own.",
        )


def _restated(ledger: Ledger) -> Iterator[Finding]:
    """Claims that say the same quantity again, perhaps more loosely, against the one in use or the closed one."""

    def key(claim: Claim) -> str:
        return "|".join(str(part) for part in (claim.quantity, claim.item, claim.unit, *place_of(claim)[1:]))

    numbers = sorted((c for c in ledger.claims if c.unit not in ("sign", "count")), key=key)
    for _, group in groupby(numbers, key):
        claims = sorted(group, key=lambda c: (c.role not in USED, c.value is None and None in (c.low, c.high)))
        for k, claim in enumerate(claims):
            same = [c for c in claims[:k] if claim.year == c.year or claim.year is None or c.year is None]
            if len({c.year for c in same}) != 1:
                continue
            reference = same[0]
            slack = rounding(claim) + rounding(reference)
            (low, high), (inner_low, inner_high) = ends_of(claim), ends_of(reference)
            if low - slack <= inner_low and inner_high <= high + slack:
                status: Status = "agrees"
            else:
                status = "ambiguous" if overlap((low, high), (inner_low, inner_high), slack) else "differs"
            yield Finding(
                f"{claim.quantity}_restated",
                status,
                (reference.id, claim.id),
                f"{place_in_words(reference)}: {claim_in_words(reference)}",
                f"said again: {claim_in_words(claim)}",
                _restated_treatment(reference, claim),
            )


def _restated_treatment(reference: Claim, claim: Claim) -> str:
    if claim.role in USED:
        return "Both are in use, which tells the model twice: make one of them a check."
    if reference.role in USED:
        return f"{reference.id} is in use; {claim.id} is only compared."
    return "Neither is in use."


def _overlapping_actions(ledger: Ledger) -> Iterator[Finding]:
    """Shares of patients by treatment action against the whole."""
    actions = [c for c in ledger.claims if c.quantity in ("treatment_action", "line_use") and is_closed(c)]
    for base in dict.fromkeys(place_of(c).of_all_modalities() for c in actions):
        group = [c for c in actions if place_of(c).of_all_modalities() == base]
        low, high = (sum(ends_of(c)[side] for c in group) for side in (0, 1))
        fitted = [c.id for c in group if c.role in USED]
        yield Finding(
            "treatment_action_overlap",
            "ambiguous" if low > 1 + sum(rounding(c) for c in group) else "agrees",
            tuple(c.id for c in group),
            f"{base}: at most {range_in_words((1, 1), 'fraction')} if no patient had two actions",
            f"{len(group)} actions sum to {range_in_words((low, high), 'fraction')}",
            f"In use as lines, which may overlap: {', '.join(fitted)}." if fitted else "Not used: actions overlap.",
        )


def _directions(ledger: Ledger) -> Iterator[Finding]:
    """Directions that the report gives in words against the figures that it gives for the same thing."""
    for claim in ledger.claims:
        measure = MEASURED.get(claim.quantity)
        series = measure(ledger, claim) if measure and claim.region is None and claim.depth is None else []
        if claim.unit != "sign" or not claim.value or len(series) < 2:  # noqa: PLR2004  a change needs two ends
            continue
        change = series[-1].value - series[0].value
        path = ", ".join(f"{percent(point.value)} % in {point.year}" for point in series)
        yield Finding(
            claim.quantity,
            direction_status(change, change, claim.value),
            (claim.id, *ids_of(series)),
            f"{claim.modality or 'whole market'}: {direction_in_words(claim)}",
            f"{MEASURED_AS[claim.quantity]}: {path}",
            "A direction in words: the figures carry it and it is not fitted again.",
        )


def _contradictions(ledger: Ledger) -> Iterator[Finding]:
    """Directions of one quantity that differ although they speak of the same segment, or of all and of a part."""
    signs = [claim for claim in ledger.claims if claim.unit == "sign"]
    for quantity in dict.fromkeys(claim.quantity for claim in signs):
        pairs = combinations([claim for claim in signs if claim.quantity == quantity], 2)
        clashes = [(a, b) for a, b in pairs if a.value != b.value and nested(place_of(a), place_of(b))]
        claims = list(dict.fromkeys(claim for pair in clashes for claim in pair))
        if not claims:
            continue
        fitted = [claim.id for claim in claims if claim.role in USED]
        quotes = (f"{place_in_words(c)} {direction_in_words(c)}: “{c.quote.strip('“”')}”" for c in claims)
        yield Finding(
            f"{quantity}_contradiction",
            "ambiguous",
            tuple(claim.id for claim in claims),
            "one direction",
            "; ".join(quotes),
            f"In use: {', '.join(fitted)}."
            if fitted
            else "None is fitted; where a prior takes its sign from one, the assumptions' ledger quotes it.",
        )


def _adopted(ledger: Ledger) -> list[Modality]:
    return [modality for modality in ledger.modalities if modality.uptake == "adoption"]


STATEMENTS: tuple[AuditCheck, ...] = (
    _region_lists,
    _adoption_restated,
    _adoption_scope,
    _restated,
    _overlapping_actions,
    _directions,
    _contradictions,
)
