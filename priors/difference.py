"""What two prior sets disagree on."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from postcgrp.priors.elicit import Prior
from postcgrp.priors.numbers import fixed_numbers, number_at
from postcgrp.priors.priorset import PriorSet

type Entries = dict[tuple[str, str], str]  # what is said, by its kind and name


def difference(first: PriorSet, second: PriorSet) -> list[dict[str, Any]]:
    """Returns what two sets disagree on: one row per setting, prior, fixed number, row of evidence or source error."""
    rows = [
        {"what": "setting", "name": key, "first": value, "second": asdict(second.settings)[key]}
        for key, value in asdict(first.settings).items()
    ]
    sides = [_entries(first), _entries(second)]
    # A row for a part of the market stands against what the other set has there, if only in a row for the whole.
    for own, other, numbers in ((sides[1], second, fixed_numbers(first)), (sides[0], first, fixed_numbers(second))):
        for number in numbers:
            own.setdefault(("number", number.name), _number(number_at(other, number), number.unit))
    rows += [
        {"what": key[0], "name": key[1], "first": sides[0].get(key, ""), "second": sides[1].get(key, "")}
        for key in dict.fromkeys([*sides[0], *sides[1]])
    ]
    return [row for row in rows if row["first"] != row["second"]]


def _entries(pset: PriorSet) -> Entries:
    entries: Entries = {}
    for block in pset.blocks.values():
        for prior in block.priors:
            entries["prior", f"{block.name}: {prior.name}"] = _prior(prior)
        if block.correlation is not None:
            entries["correlation", block.name] = f"{block.correlation:g}"
    for number in fixed_numbers(pset):
        entries["number", number.name] = _number(number.value, number.unit)
    for row in pset.evidence:
        entries["evidence", row.id] = f"{row.value:.6g} {row.unit}, {row.error} ({row.source})"
    anchors = pset.ledger.report.anchors
    for source in pset.sources:
        errors = zip(anchors, pset.source_log_sd(source, anchors), pset.source_log_bias(source, anchors), strict=True)
        for year, sd, bias in errors:
            entries["source error", f"{source} {year}"] = f"log-sd {sd:.3g}, bias {bias:.3g}"
    for kind in pset.ledger.sources:
        ends = f"{kind.base_log_sd:g} to {kind.final_log_sd:g}, bias {kind.base_log_bias:g} to {kind.final_log_bias:g}"
        entries["kind of source", kind.kind] = f"log-sd {ends}, of a row {kind.row_log_sd}"
    return entries


def _prior(prior: Prior) -> str:
    digits = 6 if prior.unit == "year" else 4  # a date moves in its decimals
    if prior.sd == 0:
        return f"fixed {float(prior.quantile(0.5)):.{digits}g} {prior.unit}"
    quantiles = " / ".join(f"{q:.{digits}g}" for q in prior.quantile([0.05, 0.5, 0.95]))
    return f"{prior.family} {quantiles} {prior.unit}"


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:g} {unit}"
