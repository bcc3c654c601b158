"""Commands of those who value: value and voi."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from postcgrp.priors.errors import InputError
from postcgrp.reports.cli.scenarios import add_given, conditioned
from postcgrp.reports.cli.terminal import DONE, SHOWN_ROWS, Verb, progress_bar, say, show, status_of
from postcgrp.reports.cli.terminal import answer as say_first
from postcgrp.reports.runs.place import check_folder


def add(verb: Verb) -> None:
    """Declare the commands."""
    priced = verb("value", _value, "price deals on the joint draws of a run", ledger=False)
    priced.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    deal: dict[str, Any] = {"type": Path, "action": "append", "metavar": "FILE"}
    priced.add_argument("--deal", required=True, help="a deal (TOML, docs/value.md); again for several", **deal)
    what_if = "also under a scenario, shipped or a file (docs/scenarios.md); again for several"
    priced.add_argument("--scenario", action="append", default=[], metavar="NAME|FILE", help=what_if)
    add_given(priced)
    priced.add_argument("--seed", type=int, default=1, help="random seed (default %(default)s)")
    priced.add_argument("--out", type=Path, default=Path("runs/value"), help="the folder (default %(default)s)")

    informed = verb("voi", _voi, "what it is worth to learn before deciding", ledger=False)
    informed.add_argument("run", type=Path, nargs="?", metavar="RUN", help="a run folder")
    informed.add_argument("--deal", default=[], help="a deal; again for several", **deal)
    a_file: dict[str, Any] = {"type": Path, "metavar": "CSV"}
    informed.add_argument("--net-benefit", help="instead of RUN: a row per draw, a column per alternative", **a_file)
    informed.add_argument("--inputs", help="with it: one row per draw, one column per input", **a_file)
    kinds = "[NAME=]measure:INPUT:LOG_SD, survey:INPUT:SIZE or readout:INPUT, then @COST[,YEARS]; again for several"
    informed.add_argument("--study", action="append", default=[], metavar="STUDY", help=kinds)
    another = "a run of another prior set: does the choice survive it"
    informed.add_argument("--against", type=Path, action="append", default=[], metavar="RUN", help=another)
    mixture = "what knowing the scenario is worth, by a probability of each (docs/scenarios.md)"
    informed.add_argument("--weights", metavar="NAME=W,...|FILE", help=mixture)
    add_given(informed)
    absolute = "absolute risk aversion, one over the unit of money"
    informed.add_argument("--cara", type=float, action="append", default=[], metavar="A", help=absolute)
    relative: dict[str, Any] = {"type": float, "nargs": 2, "action": "append", "default": []}
    informed.add_argument("--crra", metavar=("G", "WEALTH"), help="relative risk aversion and wealth", **relative)
    waiting = "yearly rate at which a study's delay is discounted (default: the deals')"
    informed.add_argument("--rate", type=float, metavar="R", help=waiting)
    fitted = "the regression (default %(default)s)"
    informed.add_argument("--method", choices=["spline", "gp"], default="spline", help=fitted)
    informed.add_argument("--seed", type=int, default=1, help="random seed (default %(default)s)")
    informed.add_argument("--out", type=Path, help="also write the tables and the figure to this folder")


def _value(options: argparse.Namespace) -> int:
    from postcgrp.reports.valuation.deal import load_deal

    for path in options.deal:
        load_deal(path)  # what is wrong with it is said before the draws are read
    from postcgrp.priors.scenarios import load_scenario

    under = [load_scenario(name) for name in options.scenario]
    from postcgrp.reports.runs.run import Run
    from postcgrp.reports.valuation.answer import value
    from postcgrp.reports.valuation.tables import shown, value_said

    run = conditioned(Run.open(options.run), options.given)
    answer = value(run, options.deal, seed=options.seed, out=options.out, under=under)
    for one in answer.priced:
        say_first(value_said(one, answer.table[answer.table["deal"] == one.deal.name]))
    for one in answer.priced:
        name = one.deal.name
        figures = shown(answer.table[answer.table["deal"] == name])
        show(figures, name, most=SHOWN_ROWS, where=str(options.out / "value.csv"))
        moves = answer.tornado[answer.tornado["deal"] == name].drop(columns=["deal", "swing"])
        moves = moves[["input", "rnpv_low", "rnpv_high", "input_low", "input_high", "of"]]
        title = f"{name}: what moves its mean rNPV, {run.money}"
        show(moves, title, most=SHOWN_ROWS, where=str(options.out / "tornado.csv"))
    if answer.under is not None:
        title = f"Under scenarios, {run.money}: mean rNPV, and its difference from the base"
        show(answer.under, title, where=str(options.out / "scenarios.csv"))
    say(f"{options.out / 'value.csv'}: every figure; draws, assumptions and their sources, and figures lie beside it")
    return status_of(run, "value")


def _voi(options: argparse.Namespace) -> int:
    weights = _check_voi(options)
    from postcgrp.reports.runs.run import Run
    from postcgrp.reports.valuation import decision, information, information_words
    from postcgrp.reports.valuation.draws_file import read_decision
    from postcgrp.reports.valuation.information_inputs import decision_of, parse_study

    for text in options.study:
        parse_study(text)  # what is wrong with it is said before the draws are read
    views: list[decision.View] = [decision.CARA(a) for a in options.cara]
    views += [decision.CRRA(g, wealth) for g, wealth in options.crra]
    if options.out is not None:
        check_folder(options.out, information_words.SCHEMA)
    groups: dict[str, list[str]] = {}
    others: dict[str, decision.NetBenefit] = {}
    runs: list[Run] = []
    rate = options.rate
    with progress_bar("voi") as progress:
        if options.run is None:
            outcomes, inputs, unit, recipe = read_decision(options.net_benefit, options.inputs)
        else:
            runs = [conditioned(Run.open(path), options.given) for path in (options.run, *options.against)]
            decided = decision_of(runs[0], options.deal, options.seed)
            outcomes, inputs, groups = decided.decision, decided.inputs, decided.groups
            rate = decided.rate if rate is None else rate
            unit, recipe = runs[0].money, runs[0].recipe
            others = {str(run.folder): decision_of(run, options.deal, options.seed).decision for run in runs[1:]}
        studies = [parse_study(text, inputs) for text in options.study]
        if rate is None and any(study.delay for study in studies):
            raise InputError("--rate: is missing: give the yearly rate at which a study's delay is discounted")
        ranked = decision.decision_table(outcomes)
        tables = {"alternatives": (f"The alternatives, {unit}", ranked)}
        if views:
            tables["risk_averse"] = (f"With risk aversion, {unit}", decision.risk_averse(outcomes, views))
        for k, view in enumerate((decision.Neutral(), *views) if others else ()):
            sets = {str(options.run): outcomes, **others}
            title = f"Does the choice survive, {view.name}? {unit}"
            tables[f"robustness{k or ''}"] = (title, decision.robustness(sets, view))
        found = information.information_table(
            outcomes,
            inputs,
            groups,
            studies,
            method=options.method,
            seed=options.seed,
            rate=rate or 0.0,
            progress=progress,
        )
    say_first(f"{decision.decision_said(ranked, unit)}; {information_words.information_said(found, unit)}")
    where = "" if options.out is None else str(options.out / "voi.csv")
    if weights is not None:
        from postcgrp.reports.valuation.under import scenario_worth

        worth = scenario_worth(runs[0], options.deal, weights, options.seed)
        tables["scenarios"] = (f"What knowing the scenario is worth, {unit}", worth)
    for title, table in tables.values():
        show(table, title)
    title = "Worth of learning before deciding"
    show(information_words.readable(found, unit), title, most=1 + len(studies) + SHOWN_ROWS, where=where)
    if options.out is not None:
        by_name = {name: table for name, (_, table) in tables.items()}
        about = {"runs": [run.provenance for run in runs], "deals": [str(path) for path in options.deal]}
        about |= {"given": options.given, "studies": options.study, "seed": options.seed, "rate": rate}
        information_words.save_voi(found, by_name, unit, recipe, about, options.out)
        say(f"{options.out}: voi.csv, the figure voi.png, the other tables and manifest.json")
    return max((status_of(run, "voi") for run in runs), default=DONE)


def _check_voi(options: argparse.Namespace) -> dict[str, float] | None:
    """What can be said of the options before any draw is read; returns the weights of scenarios, None without any.

    Raises :class:`InputError`.
    """
    from postcgrp.priors.scenarios import load_weights

    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: is negative: use 0 or more")
    if options.rate is not None and not 0 <= options.rate < 1:
        raise InputError(f"--rate {options.rate:g}: is no rate a year: write 0.1 for 10 %")
    if (options.run is None) == (options.net_benefit is None):
        raise InputError("RUN or --net-benefit: give a run folder with --deal, or two CSV files")
    needless = ["inputs"] if options.run is not None else ["deal", "against", "weights", "given"]
    for name in needless:
        if getattr(options, name):
            other = "--net-benefit" if options.run is not None else "RUN"
            raise InputError(f"--{name}: goes with {other}, which is not given: leave it out")
    if options.run is None and options.inputs is None:
        raise InputError("--inputs: is missing: give the CSV file with the inputs' draws")
    return None if options.weights is None else load_weights(options.weights)
