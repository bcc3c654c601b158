"""Settings, and changes of prior sets, that are chosen and change nothing: named, lest anyone think they did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from postcgrp.priors.catalogue import ELIGIBLE, SIZES
from postcgrp.priors.changes import change_place
from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger import Modality
from postcgrp.priors.lookup import prior_claims
from postcgrp.priors.priorset import PriorSet
from postcgrp.priors.reads import OF_POINTS, Where
from postcgrp.priors.segments import NARROWED, segment_in_words
from postcgrp.priors.sets import Overlay


def idle_settings(pset: PriorSet, chosen: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns which chosen settings make no difference to a prior set, one line each.

    Parameters: `chosen`, the settings that a set or the command line names, by name.
    """
    return tuple(f"{name} {chosen[name]!r} changes nothing here: {why}" for name, why in _idle(pset) if name in chosen)


def idle_changes(pset: PriorSet, overlay: Overlay) -> tuple[str, ...]:
    """Returns which changes of a set make no difference to the prior set that came of it, one line each.

    A change that no model of the market takes under any setting is refused, or skipped, before: these have no effect
    under the settings and with the evidence in force.
    """
    left_out, found = pset.settings.leave_out, list[str]()
    rules = {name: (places, why) for name, places, why in _without_use(pset)}
    for change in overlay.assumption:
        places, why = rules.get(change.id, (None, ""))
        try:
            where = change_place(pset.ledger, change)
        except InputError:  # a set for any ledger, and not this one's part of the market
            continue
        if places is not None and not any(_inside(place, where) for place in places):
            found.append(f"the change of {change.id!r} {segment_in_words(where)} changes nothing here: {why}")
    found += [
        f"the change of claim {change.id!r} changes nothing here: it is left out"
        for change in overlay.claim
        if change.id in left_out
    ]
    return tuple(dict.fromkeys(found))


def _inside(place: Where, where: Mapping[str, Any]) -> bool:
    return all(place.get(dim, key) == key for dim, key in where.items())


def _without_use(pset: PriorSet) -> Iterator[tuple[str, list[Where], str]]:
    """Assumptions that a setting, or what is in evidence, can put out of use.

    For each: the parts of the market where it still has an effect, and why not elsewhere.
    """
    ledger, settings = pset.ledger, pset.settings
    taken = ELIGIBLE[settings.stringency]
    for name in ELIGIBLE.values():
        if name != taken:
            yield name, [], f"under stringency {settings.stringency!r} the model takes {taken!r}"
    if settings.vendor_build_up is not None:
        yield "vendor_build_up", [], f"the setting is {settings.vendor_build_up:g}"
    elif not any(row.source == ledger.report.id and row.quantity == "revenue" for row in pset.evidence):
        yield "vendor_build_up", [], "no revenue of the report is in evidence"
    ranges = {claim.id for claim in ledger.claims if claim.value is None}  # their width is their error
    rows = [{s: key for s in NARROWED if (key := getattr(row, s, None)) is not None} for row in pset.evidence]
    errors = [place for place, row in zip(rows, pset.evidence, strict=True) if row.id not in ranges]
    yield "evidence_log_sd", errors, "no row of evidence there has it"
    for name, quantities in OF_POINTS.items():
        claims = [c for q in quantities for c in prior_claims(ledger, q) if c.id not in settings.leave_out]
        points = [c for c in claims if c.value is not None]
        spreads = [{s: key for s in NARROWED if (key := getattr(c, s)) is not None} for c in points]
        yield name, spreads, "the claims of which it is the spread are left out"
    yield from _by_modality(pset)
    for dim in ("region", "depth"):
        lines: list[Where] = [{"line": line.name} for line in ledger.lines if pset.line_signs(dim, line.name).any()]
        yield f"line_use_{dim}_size", lines, f"no direction of a {dim} is in use there"
    whole: list[Where] = [{}]
    for name, cells in (
        ("burden_correlation", len(pset.blocks["burden_level"].priors) if "burden_level" in pset.blocks else 0),
        ("patient_growth_correlation", len(ledger.report.anchors) - 1),
        ("line_region_correlation", len(ledger.regions)),
    ):
        yield name, whole * (cells > 1), "there is only one number that it could go with"


def _by_modality(pset: PriorSet) -> Iterator[tuple[str, list[Where], str]]:
    """The same for assumptions by modality."""
    used: dict[str, tuple[list[Where], str]] = {
        "uptake_region_size": ([], "no direction of a region is in use there"),
        "adoption_path_concentration": ([], "no uptake there rises over more than a year between two anchors"),
        "price_noise": ([], "every year is an anchor"),
    }
    for modality in pset.ledger.modalities:
        spans = _spans(pset, modality) if modality.uptake == "adoption" else ()
        effects = {
            "uptake_region_size": modality.uptake != "everyone"
            and pset.signs("adoption_direction", "region", modality.name).any(),
            "adoption_path_concentration": any(last - first > 1 for first, last in spans),
            "price_noise": len(pset.anchors(modality)) < len(pset.ledger.years),
        }
        for name in (name for name, has in effects.items() if has):
            used[name][0].append({"modality": modality.name})
    yield from ((name, places, why) for name, (places, why) in used.items())


def _idle(pset: PriorSet) -> Iterator[tuple[str, str]]:
    report = pset.ledger.report.id
    if not any(row.source == report and row.shared_error for row in pset.evidence):
        yield "trust", f"no {' or '.join(SIZES)} of the report is in evidence, and in shares its error cancels"
    used = [c for c in pset.ledger.claims if c.role in ("prior", "evidence") and c.id not in pset.settings.leave_out]
    if all(claim.value is not None or claim.coverage is not None for claim in used):
        yield "coverage", "no claim in use is a range without a coverage of its own"
    curves = [m for m in pset.ledger.modalities if m.uptake != "everyone"]
    if all(last - first == 1 for modality in curves for first, last in _spans(pset, modality)):
        yield "uptake_shape", "no uptake rises over more than a year between two anchors"


def _spans(pset: PriorSet, modality: Modality) -> Iterator[tuple[int, int]]:
    spans = list(pairwise(pset.uptake_years(modality)))
    yield from spans[1:] if modality.uptake == "launch" else spans  # the foot of a launch rises late in any shape
