"""Lines of a modality and launches: which there are, and their priors."""

from __future__ import annotations

from itertools import product

from postcgrp.priors.ledger import Ledger
from postcgrp.priors.lookup import Key

# By prior block of the lines: the assumption it is elicited by, and its dims.
OF_LINES = {
    "line_list_price": ("line_list_price", ("line", "region")),
    "line_net_ratio": ("line_net_ratio", ("line", "region")),
    "persistence": ("line_persistence", ("line", "region")),
    "line_price_growth": ("line_price_growth", ("line", "region")),
    "line_exclusivity_year": ("line_exclusivity_year", ("line_exclusive", "region")),
    "line_exclusivity_fall": ("line_exclusivity_fall", ("line_exclusive", "region")),
    "line_exclusivity_speed": ("line_exclusivity_speed", ("line_exclusive", "region")),
    "line_drift": ("line_drift", ("line_claimed", "period")),
    "line_price_common": ("line_price_common", ()),
}
OF_LAUNCHES = {
    "success_probability": ("success_probability", ("launch",)),
    "launch_year": ("launch_year", ("launch", "region")),
    "launch_ceiling": ("launch_ceiling", ("launch",)),
    "launch_speed": ("launch_speed", ("launch",)),
    "vendor_launch_year": ("vendor_launch_year", ("launched",)),
    "eligible_share": ("eligible_share", ("launched", "depth")),
}


def line_labels(ledger: Ledger) -> dict[str, list[str]]:
    """Returns the labels of the dimensions of lines and launches.

    `line`, all of them; `line_claimed`, those on whose use the report has a claim; `line_exclusive`, those that may
    lose exclusivity; `line_pipeline`, those in the pipeline; `launched`, modalities that are to be launched; `launch`,
    these and the pipeline lines; `displacing`, what takes use from others, see :func:`displacements`; `priced`,
    modalities without lines.
    """
    exclusive = {a.line for a in ledger.assumptions if a.id == "line_exclusivity_year"}
    claimed = {c.line for c in ledger.claims if (c.role, c.quantity) == ("prior", "line_use")}
    return {
        "line": [line.name for line in ledger.lines],
        "line_claimed": [line.name for line in ledger.lines if line.name in claimed],
        "line_exclusive": [line.name for line in ledger.lines if exclusive & {line.name, None}],
        "line_pipeline": [line.name for line in ledger.lines if line.stage == "pipeline"],
        "launched": [m.name for m in ledger.modalities if m.uptake == "launch"],
        "launch": launch_labels(ledger),
        "displacing": list(displacements(ledger)),
        "priced": [m.name for m in ledger.modalities if not ledger.lines_of(m.name)],
    }


def launch_labels(ledger: Ledger) -> list[str]:
    """Returns the labels of what is to be launched: modalities, and lines in the pipeline."""
    modalities = (m.name for m in ledger.modalities if m.uptake == "launch")
    return [*modalities, *(line.name for line in ledger.lines if line.stage == "pipeline")]


def all_labels(ledger: Ledger) -> dict[str, list[Key]]:
    """Returns the labels of every dimension that a block of lines or launches may have."""
    named = {**ledger.segments, **line_labels(ledger)}
    return {**{dim: list(keys) for dim, keys in named.items()}, "period": list(ledger.report.anchors[1:])}


def displacements(ledger: Ledger) -> dict[str, tuple[str | None, str]]:
    """Returns what takes use from others, by label: a modality from one line, or a pipeline line from its others.

    A pair of the modality, None for a pipeline line, and the line.
    """
    rows = [(a.modality, a.line) for a in ledger.assumptions if a.id == "displacement"]
    from_lines = {f"{m} from {line}": (m, line) for m, line in rows if m is not None and line is not None}
    pipeline: dict[str, tuple[str | None, str]] = {
        line.name: (None, line.name) for line in ledger.lines if line.stage == "pipeline"
    }
    return {**from_lines, **pipeline}


def cells(ledger: Ledger, dims: tuple[str, ...], labels: dict[str, list[Key]]) -> list[dict[str, Key]]:
    """Returns what each cell of a block is about, as a row of assumptions would name it."""
    modalities, pairs = {m.name for m in ledger.modalities}, displacements(ledger)

    def named(dim: str, key: Key) -> dict[str, Key]:
        if dim == "displacing":
            modality, line = pairs[str(key)]
            return {"line": line} if modality is None else {"modality": modality, "line": line}
        if dim == "period":
            return {"year": key}
        if dim == "launched" or (dim == "launch" and key in modalities):
            return {"modality": key}
        return {"line": key} if dim.startswith("line") or dim == "launch" else {dim: key}

    keys = product(*(labels[dim] for dim in dims))
    return [{k: v for d, key in zip(dims, cell, strict=True) for k, v in named(d, key).items()} for cell in keys]
