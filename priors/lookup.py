"""Lookup in a ledger: for each number, the most specific row that covers a part of the market."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger import Assumption, Claim, Ledger, Modality, middle
from postcgrp.priors.segments import NARROWED, segment_in_words

Key = str | int


def variable_name(ledger: Ledger, name: str, modality: Modality) -> str:
    """Returns a variable's name for one modality: plain if no other has its kind of uptake, else with a suffix."""
    alone = sum(m.uptake == modality.uptake for m in ledger.modalities) == 1
    return name if alone else f"{name}_{modality.key}"


def number_name(ledger: Ledger, name: str, where: Mapping[str, Key]) -> str:
    """Returns the model's name of a number of the assumptions: that of the line or modality that `where` names."""
    if "line" in where:
        return next(f"{name}_{line.key}" for line in ledger.lines if line.name == where["line"])
    modality = next((m for m in ledger.modalities if m.name == where.get("modality")), None)
    if modality is None:
        return name
    return variable_name(ledger, name, modality) if name.startswith("adoption") else f"{name}_{modality.key}"


def number(ledger: Ledger, name: str, **where: Key) -> float:
    """Returns a fixed number of the assumptions for a segment and year. Raises :class:`InputError`."""
    row = assumption(ledger, name, where)
    if row.value is None:
        raise InputError(f"assumption {name!r} {segment_in_words(where)} is a range: it must be a fixed `value`")
    return row.value


def anchors(ledger: Ledger, modality: Modality) -> list[int]:
    """Returns the anchors at which the report may have figures on a modality.

    All of them, or for a launch those not before its vendor's launch year (the middle of its range). Raises
    :class:`InputError` if that lies after the last one.
    """
    if modality.uptake != "launch":
        return list(ledger.report.anchors)
    launch = middle(assumption(ledger, "vendor_launch_year", {"modality": modality.name}))
    sold = [year for year in ledger.report.anchors if year >= launch]
    if not sold:
        raise InputError(
            f"vendor_launch_year of {modality.name} is {launch:g}: it must not lie after {ledger.report.last_year}: "
            "correct it or leave the modality out"
        )
    return sold


def label_of(ledger: Ledger, dim: str, text: str) -> str:
    """Returns the name of the segment that a text names: by its name, its label or an alias; case and blanks aside.

    Raises :class:`InputError` for a text that names none.
    """
    by_dim = {"region": ledger.regions, "depth": ledger.depths, "modality": ledger.modalities, "line": ledger.lines}
    segments = by_dim[dim]
    names = {_plain(each): s.name for s in segments for each in (s.name, s.label or s.name, *s.aliases)}
    if (wanted := _plain(text)) in names:
        return names[wanted]
    near = get_close_matches(wanted, names, 1)
    way_out = f"write {names[near[0]]!r}" if near else f"use one of {', '.join(s.name for s in segments)}"
    raise InputError(f"{dim} {text!r} is not declared: {way_out}")


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def prior_claims(ledger: Ledger, quantity: str) -> list[Claim]:
    """Returns the claims on a quantity that set priors."""
    return [c for c in ledger.claims if c.role == "prior" and c.quantity == quantity]


def assumption(ledger: Ledger, name: str, where: dict[str, Key]) -> Assumption:
    """Returns the most specific assumption that covers a segment and year.

    Raises :class:`InputError` if none does, or if two are equally specific.
    """
    matches = [(len(place), row) for place, row in ledger.assumed(name) if place.items() <= where.items()]
    if not matches:
        raise InputError(f"no assumption {name!r} {segment_in_words(where)}: add one to the assumptions' ledger")
    specificity = max(count for count, _ in matches)
    best = [row for count, row in matches if count == specificity]
    if len(best) > 1:
        raise InputError(
            f"assumption {name!r} {segment_in_words(where)}: {len(best)} rows cover it equally well: add one that "
            f"names all of {', '.join(s for s in NARROWED if any(getattr(row, s) is not None for row in best))}"
        )
    return best[0]


def eligible(ledger: Ledger, modality: str, depth: str | None = None) -> list[float]:
    """Returns the share of patients at each depth, or at one, who may receive a launched modality: its middle."""
    depths = ledger.segments["depth"] if depth is None else (depth,)
    return [middle(assumption(ledger, "eligible_share", {"depth": d, "modality": modality})) for d in depths]
