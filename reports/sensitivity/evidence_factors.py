"""Factors of two runs' evidence: rows added, dropped or changed, and what sources err."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from postcgrp.models import variables as v
from postcgrp.priors import Evidence, PriorSet
from postcgrp.reports.runs.evidence import (
    Array,
    bounds,
    flat,
    known_years,
    log_moved,
    residuals,
    stated_mean,
    unseen,
)
from postcgrp.reports.sensitivity.sides import Found, Side, Sides

EvidenceCell = tuple[str | int | None, ...]
FUNNEL = "the report's own funnel"
NONE = np.zeros(1)  # the log density of a row that a run does not have


def evidence_factors(found: Found, sides: Sides) -> None:
    """One factor a row that was added, dropped or changed, and one a source whose error is another."""
    for source in dict.fromkeys(row.source for side in sides for row in side.pset.evidence):
        years = [known_years(side.draws, side.pset, source) for side in sides]
        known = [year for year in years[0] if year in years[1]]
        stated = [{row.cell: row for row in side.pset.evidence if row.source == source} for side in sides]
        _hidden(found, sides, stated)
        first, second = ([_terms(sides[k].pset, stated[k], judged, known) for judged in sides] for k in (0, 1))
        for cell, row in {**stated[0], **stated[1]}.items():
            if not unseen(sides[0].pset, row):
                ratio = (b.get(cell, NONE) - a.get(cell, NONE) for a, b in zip(first, second, strict=True))
                found.add(row.id, "evidence", _restated(*(rows.get(cell) for rows in stated)), ratio)
        if known:
            _trust(found, sides, source, known)


def _hidden(found: Found, sides: Sides, stated: Sequence[Mapping[EvidenceCell, Evidence]]) -> None:
    """Rows about the report's own view, whose mean only a run with the row has stored.

    A factor for each that both runs have with another number, and one for the claims that its revenue follows.
    """
    funnel, in_both = [np.zeros(1), np.zeros(1)], True
    for cell, row in {**stated[0], **stated[1]}.items():
        if not unseen(sides[0].pset, row):
            continue
        a, b = (rows.get(cell) for rows in stated)
        if a is None or b is None:
            found.structure.append(f"{row.id} {'added' if a is None else 'dropped'}")
            continue
        gaps = []  # by side: log value less its mean under the first run's claims, and under the second's
        for k, (side, own) in enumerate(zip(sides, (a, b), strict=True)):
            mean, other = stated_mean(side.draws, own), sides[1 - k].pset
            moved = log_moved(side.draws, side.pset, other, own) if row.quantity == v.REVENUE else np.zeros(1)
            in_both &= moved is not None
            gaps.append((mean, mean if moved is None else mean + moved)[:: 1 if k == 0 else -1])
        terms = [[_normal(a, mean) for mean in pair] for pair in gaps]
        restated = (_normal(b, pair[1]) - t[1] for pair, t in zip(gaps, terms, strict=True))
        funnel = [was + t[1] - t[0] for was, t in zip(funnel, terms, strict=True)]
        if (a.value, a.log_sd) != (b.value, b.log_sd):
            found.add(row.id, "evidence", _restated(a, b), restated)
    if in_both:
        found.add(FUNNEL, "claim", "claims that the report's revenue follows", funnel)
    else:
        found.structure.append(FUNNEL)


def _normal(row: Evidence, mean: Array) -> Array:
    """Log density [draw] of a row around its mean, up to a constant."""
    return np.asarray(-(((row.stated - mean) / row.log_sd) ** 2) / 2)


def _terms(
    pset: PriorSet, rows: Mapping[EvidenceCell, Evidence], judged: Side, known: Sequence[int]
) -> dict[EvidenceCell, Array]:
    """Log density [draw] of one source's rows under one prior set, in the draws of either run, by what they observe."""
    found: dict[EvidenceCell, Array] = {}
    seen = {cell: row for cell, row in rows.items() if not unseen(pset, row)}
    measured = {cell: row for cell, row in seen.items() if not row.is_bound}
    bounding = {cell: row for cell, row in seen.items() if row.is_bound}
    if measured:
        found |= zip(measured, residuals(judged.draws, pset, list(measured.values()), known).terms().T, strict=True)
    if bounding:
        found |= zip(bounding, bounds(judged.draws, pset, list(bounding.values())).terms().T, strict=True)
    return found


def _restated(first: Evidence | None, second: Evidence | None) -> str:
    said = [f"{row.value:g} ±{row.log_sd:.2g}" if row else "" for row in (first, second)]
    return " -> ".join(said) if all(said) else f"{said[1]} added" if second else f"{said[0]} dropped"


def _trust(found: Found, sides: Sides, source: str, known: Sequence[int]) -> None:
    """A source's error path under both runs' error models, at the years where both runs have it."""
    sd, bias = (
        [getattr(side.pset, name)(source, known) for side in sides] for name in ("source_log_sd", "source_log_bias")
    )
    step = [np.sqrt(np.maximum(np.diff(s**2, prepend=0.0), 0.0)) for s in sd]
    moving = (step[0] > 0) & (step[1] > 0)

    def density(side: Side, k: int) -> Array:
        error = side.draws[v.source_error(side.pset, source)]
        path = flat(error.sel({error.dims[-1]: list(known)})) - bias[k]
        steps = np.diff(path, axis=1, prepend=0.0)[:, moving] / step[k][moving]
        return np.asarray(-(steps**2).sum(axis=1) / 2)

    change = f"log-sd {sd[0][0]:.2g}..{sd[0][-1]:.2g} -> {sd[1][0]:.2g}..{sd[1][-1]:.2g}"
    found.add(f"trust: {source}", "trust", change, (density(side, 1) - density(side, 0) for side in sides))
