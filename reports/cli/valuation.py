"""Commands of those who value: value and voi."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from postcgrp.priors.errors import InputError
from postcgrp.reports.cli.terminal import DONE, Verb, say, show, status_of


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
    informed.add_argument("--net-benefit", help="instead of RUN: a row per draw, a column per alternative", **a_file)
    informed.add_argument("--inputs", help="with it: one row per draw, one column per input", **a_file)
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


def _value(options: argparse.Namespace) -> int:
    from postcgrp.reports.valuation.deal import load_deal

    for path in options.deal:
        load_deal(path)  # what is wrong with it is said before the draws are read
    from postcgrp.reports.runs.run import Run
    from postcgrp.reports.valuation.answer import value
    from postcgrp.reports.valuation.tables import shown

    run = Run.open(options.run)
    answer = value(run, options.deal, seed=options.seed, out=options.out)
    for one in answer.priced:
        name = one.deal.name
        show(shown(answer.table[answer.table["deal"] == name]), name)
        show(answer.tornado[answer.tornado["deal"] == name].drop(columns="deal").head(10), f"{name}: what moves it")
    say(f"{options.out / 'value.csv'}: every figure; draws, assumptions and their sources, and figures lie beside it")
    return status_of(run, "value")


def _voi(options: argparse.Namespace) -> int:
    _check_voi(options)
    from postcgrp.reports.runs.place import save_csv
    from postcgrp.reports.runs.run import Run
    from postcgrp.reports.valuation import decision, information, information_figures
    from postcgrp.reports.valuation.information_inputs import decision_of, parse_study, read_decision

    studies = [parse_study(text) for text in options.study]
    views: list[decision.View] = [decision.CARA(a) for a in options.cara]
    views += [decision.CRRA(g, wealth) for g, wealth in options.crra]
    groups: dict[str, list[str]] = {}
    others: dict[str, decision.NetBenefit] = {}
    runs: list[Run] = []
    if options.run is None:
        outcomes, inputs, unit, recipe = read_decision(options.net_benefit, options.inputs)
    else:
        runs = [Run.open(path) for path in (options.run, *options.against)]
        decided = decision_of(runs[0], options.deal, options.seed)
        outcomes, inputs, groups = decided.decision, decided.inputs, decided.groups
        unit, recipe = runs[0].money, runs[0].recipe
        others = {str(run.folder): decision_of(run, options.deal, options.seed).decision for run in runs[1:]}
    tables = {f"The alternatives, {unit}": decision.decision_table(outcomes)}
    if views:
        tables[f"With risk aversion, {unit}"] = decision.risk_averse(outcomes, views)
    for view in (decision.Neutral(), *views) if others else ():
        sets = {str(options.run): outcomes, **others}
        tables[f"Does the choice survive, {view.name}? {unit}"] = decision.robustness(sets, view)
    found = information.information_table(outcomes, inputs, groups, studies, method=options.method, seed=options.seed)
    for title, table in tables.items():
        show(table, title)
    show(information.readable(found, unit), "Worth of learning before deciding")
    if options.out is not None:
        save_csv(found.assign(learned=found["learned"].map(" + ".join)), options.out)
        drawn = information_figures.save_information(found, unit, options.out.with_suffix(""), recipe)
        say(f"{' and '.join(str(path) for path in drawn)}: the figure")
    return max((status_of(run, "voi") for run in runs), default=DONE)


def _check_voi(options: argparse.Namespace) -> None:
    """What can be said of the options before any draw is read. Raises :class:`InputError`."""
    from postcgrp.reports.runs.place import check_csv

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
