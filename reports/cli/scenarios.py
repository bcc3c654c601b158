"""The command that asks what if: scenario."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from postcgrp.reports.cli.terminal import SHOWN_ROWS, Verb, say, show, status_of
from postcgrp.reports.cli.terminal import answer as say_first

if TYPE_CHECKING:
    from postcgrp.reports.runs.run import Run


def add(verb: Verb) -> None:
    """Declare the command."""
    asked = verb("scenario", _scenario, "what if: drivers on other paths, in the same draws of a run", ledger=False)
    asked.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    asked.add_argument(
        "--scenario",
        action="append",
        default=[],
        metavar="NAME|FILE",
        help="a shipped scenario or a TOML file (docs/scenarios.md); again for several (default: every shipped one)",
    )
    asked.add_argument("--weights", metavar="NAME=W,...|FILE", help="also the mixture, by a probability of each")
    add_given(asked)
    asked.add_argument(
        "--seed", type=int, default=1, help="random seed of assumed shares and centres (default %(default)s)"
    )
    asked.add_argument("--out", type=Path, help="also write the tables, the figure and the draws to this folder")


def add_given(command: argparse.ArgumentParser) -> None:
    """Declare the option that conditions a run."""
    condition = 'only draws that meet a condition, such as "payer_block[United States] < 0.15"; again for several'
    command.add_argument("--given", action="append", default=[], metavar="CONDITION", help=condition)


def conditioned(run: Run, conditions: list[str]) -> Run:
    """A run given conditions; the run itself where there are none."""
    if not conditions:
        return run
    from postcgrp.reports.scenarios.conditions import given

    return given(run, conditions)


def _scenario(options: argparse.Namespace) -> int:
    from postcgrp.priors.scenarios import load_scenario, load_weights
    from postcgrp.reports.runs.run import Run

    named = [load_scenario(name) for name in options.scenario]  # what is wrong is said before the draws are read
    weights = None if options.weights is None else load_weights(options.weights)
    run = conditioned(Run.open(options.run), options.given)
    from postcgrp.reports.scenarios.answer import DRIVER_COLUMNS, scenarios
    from postcgrp.reports.scenarios.tables import anchors_of

    result = scenarios(run, named, weights=weights, seed=options.seed, out=options.out)
    say_first(result.sentence)
    for note in result.notes:
        say(note)
    ledger = run.priors.ledger
    where = "" if options.out is None else str(options.out / "scenarios.csv")
    show(anchors_of(result.tables["scenarios"], ledger.report.anchors[1:]), f"Total revenue, {run.money}", where=where)
    if len(moved := result.tables["drivers"]):
        last = moved[moved["year"].isna() | (moved["year"] == ledger.years[-1])]
        where = "" if options.out is None else str(options.out / "drivers.csv")
        show(last[list(DRIVER_COLUMNS)], "What the scenarios set, in the last year", most=2 * SHOWN_ROWS, where=where)
    if options.out is not None:
        say(f"{options.out}: scenarios.csv has every year and segment; draws, drivers and the figure lie beside it")
        if "exposed" in result.tables:
            say("exposed.csv has what each scenario does to countries and companies, under assumed shares")
    return status_of(run, "scenario")
