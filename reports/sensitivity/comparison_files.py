"""A comparison of two runs as a folder: tables, the waterfall, and a manifest that names both."""

from __future__ import annotations

from pathlib import Path

from postcgrp.reports.runs.folder import write_manifest
from postcgrp.reports.runs.place import check_folder, new_folder
from postcgrp.reports.runs.run import Run
from postcgrp.reports.sensitivity.comparison import Comparison, last_total
from postcgrp.reports.sensitivity.waterfall import save_waterfall

SCHEMA = "postcgrp.compare/1"


def save_comparison(found: Comparison, first: Run, second: Run, out: Path) -> None:
    """Write compare.csv (why), moved.csv, waterfall.png and .svg, and a manifest that names both runs.

    Raises :class:`postcgrp.priors.InputError` where `out` holds anything but an earlier comparison or cannot be
    written.
    """
    check_folder(out, SCHEMA)
    why, means, year = last_total(found)
    recipes = [run.recipe for run in (first, second)]
    record = {
        "schema": SCHEMA,
        "runs": [{"folder": str(run.folder), "recipe_sha256": run.recipe} for run in (first, second)],
        "structure": found.structure,
        "least_ess": found.ess,
        "refused": found.refused,
    }
    with new_folder(out) as folder:
        found.why.to_csv(folder / "compare.csv", index=False)
        found.moved.to_csv(folder / "moved.csv", index=False)
        names, what = (first.folder.name, second.folder.name), f"Total revenue {year}, {first.money}"
        save_waterfall(why, means, names, what, folder / "waterfall", " -> ".join(recipes))
        write_manifest(record, folder)
