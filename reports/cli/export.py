"""Commands of those who take the draws away: export and workbook."""

from __future__ import annotations

import argparse
from pathlib import Path

from postcgrp.reports.cli.terminal import Verb, answer, progress_bar, say, status_of

EXPORT_FORMATS = ("parquet", "csv", "xlsx", "netcdf", "zarr")
CHOICES = {"quantities": str, "years": int, "regions": str, "depths": str, "modalities": str}


def add(verb: Verb) -> None:
    """Declare the commands."""
    book = verb(
        "workbook", _workbook, "an Excel workbook with a draw picker and live NPV (docs/workbook.md)", ledger=False
    )
    book.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    book.add_argument("--deal", type=Path, metavar="FILE", help="a deal whose inputs fill the live cells")
    book.add_argument("--seed", type=int, default=1, help="random seed (default %(default)s)")
    book.add_argument("--thin", type=int, metavar="N", help="keep N draws, chosen so that means and tails stay")
    book.add_argument("--out", type=Path, help="the file (default: beside the run)")

    taken = verb("export", _export, "write the joint draws in another format (docs/schema.md)", ledger=False)
    taken.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    taken.add_argument("--to", required=True, choices=EXPORT_FORMATS, help="the format")
    for name, kind in CHOICES.items():
        taken.add_argument(f"--{name}", type=kind, nargs="+", metavar=name.upper(), help=f"only these {name}")
    taken.add_argument("--thin", type=int, metavar="N", help="keep N draws, chosen so that means and tails stay")
    taken.add_argument("--layout", choices=["long", "wide"], help="of tables: one row per number, or one per draw")
    taken.add_argument("--out", type=Path, help="the file or folder (default: beside the run)")


def _workbook(options: argparse.Namespace) -> int:
    from postcgrp.reports.runs.run import Run
    from postcgrp.reports.valuation.deal import load_deal
    from postcgrp.reports.workbook.book import check_workbook_target, default_workbook, workbook, workbook_lines

    deal = None if options.deal is None else load_deal(options.deal)
    out = options.out or default_workbook(options.run)
    check_workbook_target(out)
    run = Run.open(options.run)
    with progress_bar("workbook") as progress:
        if progress is not None:
            progress("pricing and writing", 0, 0)
        content = workbook(run, out, deal=deal, seed=options.seed, thin=options.thin)
    first, *lines = workbook_lines(content, out)
    answer(first)
    for line in lines:
        say(line)
    return status_of(run, "workbook")


def _export(options: argparse.Namespace) -> int:
    from postcgrp.reports.export.exporting import Chosen, check_export_target, default_export, export, export_lines
    from postcgrp.reports.runs.run import Run

    out = options.out or default_export(options.run, options.to)
    check_export_target(out, options.to)
    run = Run.open(options.run)
    chosen = Chosen(**{name: getattr(options, name) for name in CHOICES})
    with progress_bar("export") as progress:
        if progress is not None:
            progress(f"writing {options.to}", 0, 0)
        done = export(run, out, to=options.to, chosen=chosen, thin=options.thin, layout=options.layout)
    draws = done.header["draws"]["count"]
    answer(f"{draws:,} joint draws of {len(done.header['tables'])} quantities lie in {out}.")
    for line in export_lines(done, out, run.priors.ledger.report.currency):
        say(line)
    return status_of(run, "export")
