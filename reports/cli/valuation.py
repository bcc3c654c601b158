"""Commands of those who value and of those who take the draws away: value, voi, export, workbook."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from postcgrp.priors import InputError
from postcgrp.reports.cli.terminal import DONE, GATE_FAILED, Verb, check_csv, save_csv, say, show

EXPORT_FORMATS = ("parquet", "csv", "xlsx", "netcdf", "zarr")
CHOICES = {"quantities": str, "years": int, "regions": str, "depths": str, "modalities": str}


def add(verb: Verb) -> None:
    """Declare the commands."""
    priced = verb("value", _value, "price deals on the joint draws of a run", ledger=False)
    priced.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    deal: dict[str, Any] = {"type": Path, "action": "append", "metavar": "FILE"}
    priced.add_argument("--deal", required=True, help="a deal (TOML, docs/value.md); again for several", **deal)
    priced.add_argument("--seed", type=int, default=1, help="random seed (default %(default)s)")
    priced.add_argument("--out", type=Path, default=Path("runs/value"), help="the folder (default %(default)s)")

    informed = verb("voi", _voi, "what it is worth to learn before deciding", ledger=False)
    informed.add_argument("run", type=Path, nargs="?", metavar="RUN", help="a run folder")
    informed.add_argument("--deal", default=[], help="a deal; again for several", **deal)
    a_file: dict[str, Any] = {"type": Path, "metavar": "CSV"}
    informed.add_argument("--net-benefit", help="instead of RUN: a row a draw, a column an alternative", **a_file)
    informed.add_argument("--inputs", help="with it: a row a draw, a column an input", **a_file)
    kinds = "[NAME=]measure:INPUT:LOG_SD, survey:INPUT:SIZE or readout:INPUT; again for several"
    informed.add_argument("--study", action="append", default=[], metavar="STUDY", help=kinds)
    another = "a run of another prior set: does the choice survive it"
    informed.add_argument("--against", type=Path, action="append", default=[], metavar="RUN", help=another)
    absolute = "absolute risk aversion, one over the unit of money"
    informed.add_argument("--cara", type=float, action="append", default=[], metavar="A", help=absolute)
    relative: dict[str, Any] = {"type": float, "nargs": 2, "action": "append", "default": []}
    informed.add_argument("--crra", metavar=("G", "WEALTH"), help="relative risk aversion and wealth", **relative)
    fitted = "the regression (default %(default)s)"
    informed.add_argument("--method", choices=["spline", "gp"], default="spline", help=fitted)
    informed.add_argument("--seed", type=int, default=1, help="random seed (default %(default)s)")
    informed.add_argument("--out", type=Path, help="also write the table to this CSV file, the figure beside it")

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
    taken.add_argument("--layout", choices=["long", "wide"], help="of tables: one row a number, or one a draw")
    taken.add_argument("--out", type=Path, help="the file or folder (default: beside the run)")


def _value(options: argparse.Namespace) -> int:
    from postcgrp.reports.runs.folder import load_run
    from postcgrp.reports.valuation.deal import load_deal

    for path in options.deal:
        load_deal(path)  # what is wrong with it is said before the draws are read
    run, pset, record = load_run(options.run)
    from postcgrp.reports.valuation.tables import shown
    from postcgrp.reports.valuation.valuation import value

    answer = value(run, pset, record, options.deal, seed=options.seed, out=options.out)
    for one in answer.priced:
        name = one.deal.name
        show(shown(answer.table[answer.table["deal"] == name]), name)
        show(answer.tornado[answer.tornado["deal"] == name].drop(columns="deal").head(10), f"{name}: what moves it")
    say(f"{options.out / 'value.csv'}: every figure; draws, assumptions and their sources, and figures lie beside it")
    return _of_run(record, "value")


def _voi(options: argparse.Namespace) -> int:
    from postcgrp.reports.valuation import decision, information, information_figures
    from postcgrp.reports.valuation.information_inputs import decision_of, draws_of, parse_study

    _check_voi(options)
    studies = [parse_study(text) for text in options.study]
    views: list[decision.View] = [decision.CARA(a) for a in options.cara]
    views += [decision.CRRA(g, wealth) for g, wealth in options.crra]
    groups: dict[str, list[str]] = {}
    sets: dict[str, decision.NetBenefit] = {}
    records: list[dict[str, Any]] = []
    if options.run is None:
        outcomes, inputs, unit, recipe = draws_of(options.net_benefit, options.inputs)
    else:
        outcomes, inputs, groups, unit, record = decision_of(options.run, options.deal, options.seed)
        recipe, records, sets = record["recipe_sha256"], [record], {str(options.run): outcomes}
    for run in options.against:
        sets[str(run)], *_, record = decision_of(run, options.deal, options.seed)
        records.append(record)
    tables = {f"The alternatives, {unit}": decision.decision_table(outcomes)}
    if views:
        tables[f"With risk aversion, {unit}"] = decision.risk_averse(outcomes, views)
    for view in (decision.Neutral(), *views) if options.against else ():
        tables[f"Does the choice survive, {view.name}? {unit}"] = decision.robustness(sets, view)
    found = information.information_table(outcomes, inputs, groups, studies, method=options.method, seed=options.seed)
    for title, table in tables.items():
        show(table, title)
    show(information.readable(found, unit), "Worth of learning before deciding")
    if options.out is not None:
        save_csv(found.assign(learned=found["learned"].map(" + ".join)), options.out)
        say(f"{information_figures.save_information(found, unit, options.out.with_suffix(''), recipe)}: the figure")
    return max((_of_run(record, "voi") for record in records), default=DONE)


def _check_voi(options: argparse.Namespace) -> None:
    """What can be said of the options before any draw is read. Raises :class:`InputError`."""
    check_csv(options.out)
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: is negative: use 0 or more")
    if (options.run is None) == (options.net_benefit is None):
        raise InputError("RUN or --net-benefit: give a run folder with --deal, or two CSV files")
    needless = ["inputs"] if options.run is not None else ["deal", "against"]
    for name in needless:
        if getattr(options, name):
            other = "--net-benefit" if options.run is not None else "RUN"
            raise InputError(f"--{name}: goes with {other}, which is not given: leave it out")
    if options.run is None and options.inputs is None:
        raise InputError("--inputs: is missing: give the CSV file with the inputs' draws")


def _workbook(options: argparse.Namespace) -> int:
    from postcgrp.reports.runs.folder import load_run
    from postcgrp.reports.valuation.deal import load_deal
    from postcgrp.reports.workbook.book import check_target, default_out, lines, workbook

    deal = None if options.deal is None else load_deal(options.deal)
    out = options.out or default_out(options.run)
    check_target(out)
    run, pset, record = load_run(options.run)
    content = workbook(run, pset, record, out, deal=deal, seed=options.seed, thin=options.thin)
    for line in lines(content, out):
        say(line)
    return _of_run(record, "workbook")


def _export(options: argparse.Namespace) -> int:
    from postcgrp.reports.export.exporting import Chosen, check_target, default_out, export, lines
    from postcgrp.reports.runs.folder import load_run

    out = options.out or default_out(options.run, options.to)
    check_target(out, options.to)
    run, pset, record = load_run(options.run)
    chosen = Chosen(**{name: getattr(options, name) for name in CHOICES})
    done = export(run, pset, record, out, to=options.to, chosen=chosen, thin=options.thin, layout=options.layout)
    for line in lines(done, out, pset.ledger.report.currency):
        say(line)
    return _of_run(record, "export")


def _of_run(record: dict[str, Any], verb: str) -> int:
    """The exit status of what was made from a run."""
    if record.get("status") != "passed":
        print(f"postcgrp {verb}: the run is marked as failed by its gate; so is this answer", file=sys.stderr)
        return GATE_FAILED
    return DONE
