"""Commands on who is exposed to what: funnel and exposure."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from postcgrp.priors.settings import Settings
from postcgrp.reports.cli.terminal import DONE, Verb, say, show, status_of

if TYPE_CHECKING:
    import pandas as pd


def add(verb: Verb) -> None:
    """Declare the commands."""
    counted = verb("funnel", _funnel, "patients from all adults to the pool: a second opinion on the claimed one")
    counted.add_argument("--funnel", type=Path, metavar="FILE", help="the funnel (default: beside the assumptions)")
    counted.add_argument("--draws", type=int, default=argparse.SUPPRESS, help="draws, 1,000 to 100,000")
    counted.add_argument(
        "--coverage", type=float, default=Settings.coverage, help="mass in a range (default %(default)s)"
    )
    counted.add_argument("--seed", type=int, default=1, help="random seed (default %(default)s)")
    counted.add_argument("--out", type=Path, help="also write every table and the figure to this folder")

    divided = verb("exposure", _exposure, "who is exposed to what: revenue by country and company", ledger=False)
    divided.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    divided.add_argument("--shares", type=Path, metavar="FILE", help="shares of countries and companies (TOML)")
    divided.add_argument("--seed", type=int, default=1, help="random seed of the shares (default %(default)s)")
    divided.add_argument("--draws", choices=["parquet", "csv"], help="also write every draw, into the folder")
    divided.add_argument("--out", type=Path, help="also write the tables to this folder")


def _funnel(options: argparse.Namespace) -> int:
    from postcgrp.priors import load_ledger
    from postcgrp.priors.funnel import funnel_beside
    from postcgrp.reports.exposure.funnel_files import patient_funnel

    ledger = load_ledger(options.report, options.assumptions)
    path = options.funnel or funnel_beside(options.assumptions)
    drawn = {"draws": options.draws} if "draws" in options else {}  # its default stands where it is drawn
    answer = patient_funnel(ledger, path, seed=options.seed, coverage=options.coverage, out=options.out, **drawn)
    say(answer.verdict)
    needed = answer.tables["must_be_true"]
    columns = ["region", "label", "low", "median", "high", "needed", "p_beyond", "of_variance"]
    show(_readable(needed, columns), "What each step must be for the claimed pool, the others at their medians")
    path_table = answer.tables["pool_path"]
    years = path_table["year"].isin([path_table["year"].min(), ledger.report.anchors[1], path_table["year"].max()])
    shown = path_table.loc[years, ["region", "year", "median", "low_90", "high_90", "claimed", "p_at_least"]]
    show(shown, "The pool that the funnel implies, and the chance of at least the one claimed")
    say("The ranges are assumptions of this ledger, not the report's; they were written before they were multiplied.")
    if options.out is not None:
        say(f"{options.out}: funnel.csv has every step with its source; the other tables and the figure lie beside it")
    return DONE


def _exposure(options: argparse.Namespace) -> int:
    from postcgrp.reports.exposure.answer import exposure
    from postcgrp.reports.exposure.tables import WHOLE
    from postcgrp.reports.runs.run import Run

    run = Run.open(options.run)
    answer = exposure(run, shares=options.shares, seed=options.seed, out=options.out, draws=options.draws)
    say(answer.sentence)
    anchors = run.priors.ledger.report.anchors
    for name, dim in (("countries", "country"), ("companies", "company")):
        table = answer.tables[name]
        part = "modality" if dim == "country" else "part"
        shown = table[(table[part] == WHOLE) & table["year"].isin(anchors)]
        columns = ["year", dim, "median", "low_50", "high_50", "low_80", "high_80", "low_90", "high_90"]
        show(shown[columns], f"Revenue by {dim}, {run.money}, under assumed shares")
    last = answer.tables["exposure"]
    last = last[last["year"] == anchors[-1]].drop(columns="year")
    show(last, f"Who is exposed to what in {anchors[-1]}: share of each company's revenue, and its share of the part")
    if options.out is not None:
        say(f"{options.out}: countries, companies and exposure.csv have every year, shares.toml the reasons")
    return status_of(run, "exposure")


def _readable(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The columns of a table, with a dash for a share that no step can have."""
    shown = table[columns].astype({"needed": object})
    shown.loc[~table["possible"], "needed"] = "above 1"
    return shown
