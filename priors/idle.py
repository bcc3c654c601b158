"""Settings and levels of trust that are chosen and change nothing: named, so that nobody thinks that they did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from postcgrp.priors.catalogue import SIZES
from postcgrp.priors.ledger import Modality
from postcgrp.priors.priorset import PriorSet


def idle_settings(pset: PriorSet, chosen: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns which chosen settings make no difference to a prior set, one line each.

    Parameters: `chosen`, the settings that a set or the command line names, by name.
    """
    return tuple(f"{name} {chosen[name]!r} changes nothing here: {why}" for name, why in _idle(pset) if name in chosen)


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
