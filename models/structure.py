"""What changes the model's graph: prior sets with one key differ in the values of the model's data alone."""

from __future__ import annotations

import hashlib

from postcgrp.priors import PriorSet


def structure_key(pset: PriorSet) -> str:
    """A name of the model's graph, equal for prior sets whose models differ in the values of their `pm.Data` alone.

    That is all that a ledger says in numbers, but for the years that cut time.
    """
    ledger, settings = pset.ledger, pset.settings
    structure = (
        (ledger.years, ledger.report.anchors, ledger.report.id, ledger.segments),
        [(m.name, m.uptake, pset.uptake_years(m) if m.uptake == "launch" else None) for m in ledger.modalities],
        stated_years(pset),
        settings.adoption_scope,
        [(b.name, b.dims, [p.name for p in b.priors], {p.family for p in b.priors}) for b in pset.blocks.values()],
        [(row.source, *row.cell) for row in pset.evidence],
    )
    return hashlib.sha256(repr(structure).encode()).hexdigest()


def stated_years(pset: PriorSet) -> list[int]:
    """The year of each region's count, which is the first year unless the report names another."""
    said = {c.region: c.year for c in pset.ledger.claims if (c.role, c.quantity) == ("prior", "patients")}
    return [said[str(region)] or pset.ledger.report.first_year for region in pset.coords["region"]]
