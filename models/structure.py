"""What of a prior set changes the model's graph; everything else enters the graph as data."""

from __future__ import annotations

import hashlib

from postcgrp.priors import PriorSet
from postcgrp.priors.lines import line_labels


def structure_key(pset: PriorSet) -> str:
    """A name of the model's graph, equal for prior sets whose models differ in the values of their `pm.Data` alone.

    It covers all that the model branches on or builds in as a constant: years and anchors, segments, each modality's
    uptake, lines and launches, which priors there are and of which family, and what each row of evidence observes. All
    other numbers of a ledger, a setting or a row of evidence are data.
    """
    ledger, settings = pset.ledger, pset.settings
    structure = (
        (ledger.years, ledger.report.anchors, ledger.report.id, ledger.segments),
        [(m.name, m.uptake, m.vendor_assumes, pset.anchors(m)) for m in ledger.modalities],
        [(line.name, line.modality, line.stage, line.vendor_assumes) for line in ledger.lines],
        line_labels(ledger),
        stated_years(pset),
        settings.adoption_scope,
        [(b.name, b.dims, b.falling, [(p.name, p.family) for p in b.priors]) for b in pset.blocks.values()],
        [(row.source, *row.cell, row.is_bound) for row in pset.evidence],
        *([pset.connected] if pset.correlations else []),
    )
    return hashlib.sha256(repr(structure).encode()).hexdigest()


def stated_years(pset: PriorSet) -> list[int]:
    """The year of each region's patient count [region]: the first year unless the report names another."""
    year_of = {c.region: c.year for c in pset.ledger.claims if (c.role, c.quantity) == ("prior", "patients")}
    return [year_of[str(region)] or pset.ledger.report.first_year for region in pset.coords["region"]]
