"""The words of one market on its figures and pages: units, years and the names of segments, all from its ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from postcgrp.priors import Ledger


@dataclass(frozen=True)
class Words:
    """What a figure calls things.

    `currency`, three capitals; `years`, all of the run; `anchors`, those that the report speaks of; `labels`, by
    dimension (region, depth, modality) the label of each segment by its name, no two of a dimension alike.
    """

    currency: str
    years: tuple[int, ...]
    anchors: tuple[int, ...]
    labels: Mapping[str, Mapping[str, str]]

    @property
    def money(self) -> str:
        """The unit of revenue."""
        return f"{self.currency} million"

    @property
    def price(self) -> str:
        """The unit of price, as the ledger writes it."""
        return f"{self.currency} per patient-year"

    @property
    def last(self) -> int:
        """The year that a forecast is asked for."""
        return self.years[-1]


def words_of(ledger: Ledger) -> Words:
    """The words of a ledger."""
    report = ledger.report
    segments = {"region": ledger.regions, "depth": ledger.depths, "modality": ledger.modalities}
    labels = {dim: distinct((s.name, s.label or s.name) for s in rows) for dim, rows in segments.items()}
    return Words(report.currency, tuple(ledger.years), tuple(report.anchors), labels)


def unlike(labels: Iterable[str]) -> list[str]:
    """Labels for the rows of a figure, of which no two are alike: one that comes again is numbered."""
    seen: Counter[str] = Counter()
    out = []
    for label in labels:
        seen[label] += 1
        out.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return out


def distinct(labels: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Labels by name; those that several names share say which by the name in brackets."""
    pairs = list(labels)
    often = Counter(label for _, label in pairs)
    return {name: label if often[label] == 1 or label == name else f"{label} ({name})" for name, label in pairs}
