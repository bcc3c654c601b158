"""Two runs' posteriors over each other: one log ratio a claim, prior, source's error and row of evidence.

Densities are of what the numbers are about (levels, deviations, prices), not of the standard normals behind them, so
that draws of either run can be judged by both. Where one standard draw moves several numbers, both runs must move them
alike, or no draw of one is possible in the other; a number that one run fixes elsewhere is impossible too.
"""

from __future__ import annotations

from collections.abc import Sequence

from postcgrp.models import variables as v
from postcgrp.priors import PriorSet
from postcgrp.priors.catalogue import RANGED
from postcgrp.reports.runs.evidence import needed
from postcgrp.reports.runs.groups import CONSTANTS
from postcgrp.reports.runs.run import Run
from postcgrp.reports.sensitivity.evidence_factors import evidence_factors
from postcgrp.reports.sensitivity.prior_factors import prior_factors, scaled_normals
from postcgrp.reports.sensitivity.sides import Found, Side, Sides, both, same

REPARAMETERISED = (v.MODALITY_VALUE_SHARE,)  # no part of the joint prior
STATED = (f"{v.EVIDENCE}_", v.SOURCE_ERROR, v.SUCCESS_MEASURED, v.BOUND)  # by its rows and its error model
ANOTHER = "another market"


def between(first: Run, second: Run) -> Found:
    """Every factor between two runs; for two markets none, and that is said."""
    found = Found()
    one, other = first.priors, second.priors
    if _market(one) != _market(other):
        found.structure.append(ANOTHER)
        return found
    names = [*_parameters(one), *needed(one, one.evidence), *needed(other, other.evidence)]
    sides = (_side(first, names), _side(second, names))
    covered = prior_factors(found, sides)
    evidence_factors(found, sides)
    _structure(found, sides, covered)
    return found


def _side(run: Run, names: Sequence[str]) -> Side:
    return Side(run, run.priors, run.read(names), run.read(run.names(CONSTANTS), CONSTANTS))


def _market(pset: PriorSet) -> tuple[object, ...]:
    ledger = pset.ledger
    kinds = [(m.name, m.uptake) for m in ledger.modalities], [(x.name, x.modality, x.stage) for x in ledger.lines]
    return ledger.years, ledger.report.anchors, ledger.segments, kinds


def _parameters(pset: PriorSet) -> list[str]:
    """Everything that a prior density is of; a run has most of these names."""
    names = [name for block in pset.blocks for name in (block, v.standard(block))]
    names += [z for _, z, _ in scaled_normals(pset)] + [v.PRICE, v.REGION_PREMIUM, v.LINE_USE_REGION, v.EVIDENCE_MEAN]
    names += [v.stated_revenue(anchor) for anchor in pset.ledger.report.anchors]
    for m in pset.ledger.modalities:
        names += [v.uptake_region(pset, m), v.standard(v.spend_residual(m))]
        names += [v.path(pset, m, year) for year in pset.ledger.years]
    return names


def _structure(found: Found, sides: Sides, covered: set[str]) -> None:
    one, other = sides
    scope = [side.pset.settings.adoption_scope for side in sides]
    if scope[0] != scope[1]:
        found.structure.append(f"adoption_scope {scope[0]} -> {scope[1]}")
    for m in one.pset.modalities("launch"):
        years = [side.pset.anchors(m)[0] for side in sides]
        if years[0] != years[1]:
            found.structure.append(f"first anchor of {m.name} {years[0]} -> {years[1]}")
    for a, b in zip(*((*side.pset.ledger.modalities, *side.pset.ledger.lines) for side in sides), strict=True):
        if a.vendor_assumes != b.vendor_assumes:
            found.structure.append(f"vendor_assumes of {a.name} {a.vendor_assumes} -> {b.vendor_assumes}")
    covered = covered | _ranged_in_one(found, sides)
    for name in dict.fromkeys(map(str, [*one.constants, *other.constants])):
        if name in covered or name in REPARAMETERISED or name.startswith(STATED):
            continue
        if not (both(sides, name) and same(sides, name)):
            found.structure.append(name)


def _ranged_in_one(found: Found, sides: Sides) -> set[str]:
    """Names each number that is drawn in one run and fixed in the other; returns the constants that say so."""
    constants = {str(name) for side in sides for name in side.constants}
    spoken = {name for name in constants if v.per_unit(name) in constants} - {
        name for name in constants if both(sides, name)
    }
    spoken |= {v.per_unit(name) for name in spoken}
    for mine, beside in (sides, sides[::-1]):
        for name in (name for name in mine.pset.blocks if name not in beside.pset.blocks):
            if (number := mine.pset.blocks[name].priors[0].name).partition("[")[0] in RANGED:
                ways = ("number", "range") if beside is sides[0] else ("range", "number")
                found.structure.append(f"{number} a {ways[0]} -> a {ways[1]}")
                spoken |= {name, v.mu(name), v.sd(name)}
    return spoken
