"""A run's figures as a folder of files: what `postcgrp figures` writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from postcgrp.priors import InputError
from postcgrp.reports.forecast.drawing import IMAGE_FORMATS, USUAL_FORMATS, save_figure, undrawable
from postcgrp.reports.forecast.figure_set import run_figures
from postcgrp.reports.forecast.tables import bench_tables
from postcgrp.reports.runs.folder import write_manifest
from postcgrp.reports.runs.place import check_folder, new_folder
from postcgrp.reports.runs.run import Run

SCHEMA = "postcgrp.figures/1"


def parse_formats(text: str) -> tuple[str, ...]:
    """The formats in a list such as "svg,png", in its order. Raises :class:`InputError` for one that there is not."""
    wanted = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    unknown = [word for word in wanted if word not in IMAGE_FORMATS]
    if unknown or not wanted:
        raise InputError(
            f"--to {text}: {unknown[0] if unknown else 'nothing'} is no format: use {', '.join(IMAGE_FORMATS)}"
        )
    return wanted


def save_figures(run: Run, out: Path, formats: Sequence[str] = USUAL_FORMATS) -> tuple[list[str], str]:
    """Write every figure of a run and the tables they show into the folder `out`.

    Returns the figures' names, and the characters that no font here has. Raises :class:`InputError` where `out` holds
    anything but earlier figures or cannot be written.
    """
    check_folder(out, SCHEMA)
    made = run_figures(run.tree, run.priors, bench_tables(run.tree, run.priors))
    record = {"schema": SCHEMA, **run.provenance, "figures": list(made), "formats": list(formats)}
    with new_folder(out) as folder:
        for name, figure in made.items():
            save_figure(figure.table, figure.spec, folder / name, run.recipe, formats)
        write_manifest(record, folder)
    return list(made), undrawable(figure.spec for figure in made.values())
