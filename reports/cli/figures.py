"""The command that draws: figures."""

from __future__ import annotations

import argparse
from pathlib import Path

from postcgrp.reports.cli.terminal import Verb, say, status_of


def add(verb: Verb) -> None:
    """Declare the command."""
    drawn = verb("figures", _figures, "draw a run's figures as SVG and PNG, with the tables they show", ledger=False)
    drawn.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    drawn.add_argument(
        "--to", default="svg,png", metavar="FORMAT,...", help="svg, png, json: the Vega-Lite spec (default %(default)s)"
    )
    drawn.add_argument("--fonts", type=Path, metavar="DIR", help="a folder with fonts for labels in other scripts")
    drawn.add_argument("--out", type=Path, help="the folder (default: beside the run)")


def _figures(options: argparse.Namespace) -> int:
    from postcgrp.reports.forecast.drawing import use_fonts
    from postcgrp.reports.forecast.gallery import SCHEMA, parse_formats, save_figures
    from postcgrp.reports.runs.place import beside, check_folder
    from postcgrp.reports.runs.run import Run

    formats = parse_formats(options.to)
    out = options.out or beside(options.run, "-figures")
    check_folder(out, SCHEMA)
    if options.fonts is not None:
        use_fonts(options.fonts)
    run = Run.open(options.run)
    names, missing = save_figures(run, out, formats)
    say(f"{out}: {', '.join(names)} as {', '.join(formats)}; each with its table as CSV")
    if missing:
        say(f"no font here has {missing[:20]}: PNG leaves them out, SVG takes the reader's fonts; name some by --fonts")
    return status_of(run, "figures")
