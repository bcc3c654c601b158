"""The command line: every verb is a plain function of the package behind a few options."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from postcgrp.priors.errors import InputError
from postcgrp.priors.shipped import ASSUMPTIONS_FILE, REPORT_FILE
from postcgrp.reports.cli import export as export_commands
from postcgrp.reports.cli import exposure as exposure_commands
from postcgrp.reports.cli import figures as figure_commands
from postcgrp.reports.cli import page as page_commands
from postcgrp.reports.cli import priors as prior_commands
from postcgrp.reports.cli import scenarios as scenario_commands
from postcgrp.reports.cli import sensitivity as sensitivity_commands
from postcgrp.reports.cli import valuation as valuation_commands
from postcgrp.reports.cli.inputs import readable_again
from postcgrp.reports.cli.priors import ChosenSets, add_settings, chosen_sets, files_of, prior_set_of
from postcgrp.reports.cli.terminal import (
    BAD_INPUT,
    DONE,
    GATE_FAILED,
    INTERRUPTED,
    TERMINATED,
    answer,
    hushed,
    progress_bar,
    say,
    show,
    show_gate,
)
from postcgrp.reports.process import Terminated, begin_command, end_command, with_dask

if TYPE_CHECKING:
    from postcgrp.priors.pool import Pool

# Each command imports what it needs when it runs: `--help` then takes a tenth of a second, and bad input is refused
# before JAX starts.

DEFAULT_OUT = Path("runs/forecast")
SAMPLING = (
    ("seed", int, "random seed"),
    ("draws", int, "draws of each chain"),
    ("tune", int, "tuning draws of each chain, discarded"),
    ("chains", int, "number of chains"),
    ("sampler", str, "hmc (jittered), numpyro or blackjax (NUTS), or pymc"),
    ("chain_method", str, "parallel or vectorized"),
    ("target_accept", float, "acceptance that the step size aims at"),
)


MOST_OF_POOL = 30  # rows shown: all, unless there are many sets
CALIBRATION = ("out", "refits", "seed", "truths", "plant", "scheduler")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as for any other bad input."""
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 done, 2 bad input, 3 done but the gate failed)."""
    options = _parser().parse_args(arguments)
    with hushed():
        status, left_open = _run(options)
        if left_open:
            gc.collect()  # what a full disk left open is closed here and not at the end, when it would be heard
    return status


def _run(options: argparse.Namespace) -> tuple[int, bool]:
    """Returns the exit status, and whether files may have been left open."""
    try:
        with readable_again(options):
            return int(options.command(options)), False
    except InputError as error:
        for fault in error.faults:
            print(f"postcgrp {options.verb}: {' '.join(fault.split())}", file=sys.stderr)
        return BAD_INPUT, isinstance(error.__context__, OSError)
    except KeyboardInterrupt as ending:
        asked = isinstance(ending, Terminated)
        said = "asked to end" if asked else "interrupted"
        print(f"postcgrp {options.verb}: {said}; {options.interrupted}", file=sys.stderr)
        return (TERMINATED if asked else INTERRUPTED), True
    except BrokenPipeError:
        sys.stderr.close()
        return DONE, False
    except OSError as error:
        if error.filename is None:
            raise  # no filename, so nothing the user can fix
        print(f"postcgrp {options.verb}: {error.filename}: {error.strerror}: name another place", file=sys.stderr)
        return BAD_INPUT, True


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="postcgrp", description="A Bayesian forecast of one market from one report's ranges.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND", parser_class=_Parser)

    def verb(name: str, command: Any, text: str, *, ledger: bool = True) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text.capitalize() + ".")
        sub.set_defaults(command=command, interrupted="no file was changed")
        if ledger:
            sub.add_argument("--report", type=Path, default=REPORT_FILE, help="the report's claims (TOML)")
            sub.add_argument("--assumptions", type=Path, default=ASSUMPTIONS_FILE, help="everything else (TOML)")
        return sub

    prior_commands.add(verb)
    fitted = verb("forecast", _forecast, "fit, gate, summarise and write a run folder")
    add_settings(fitted)
    fitted.add_argument("--out", type=Path, default=DEFAULT_OUT, help="the run folder (default %(default)s)")
    for name, kind, text in SAMPLING:
        # Absent options stay absent: the defaults stand in one place, `postcgrp.inference.Sampling`.
        fitted.add_argument(f"--{name.replace('_', '-')}", type=kind, default=argparse.SUPPRESS, help=text)
    judged = verb("diagnose", _diagnose, "judge a finished run again, in full", ledger=False)
    judged.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    judged.add_argument("--out", type=Path, help="also write one row per parameter to this CSV file")
    checked = verb("calibrate", _calibrate, "check the sampler by simulated truths: does it find what it should")
    checked.set_defaults(interrupted="finished refits are kept: the same command goes on from there")
    add_settings(checked)
    checked.add_argument("--out", type=Path, default=Path("runs/calibration"), help="the folder (default %(default)s)")
    checked.add_argument("--seed", type=int, default=1, help="random seed (default %(default)s)")
    checked.add_argument("--refits", type=int, default=200, help="simulated truths to refit (default %(default)s)")
    checked.add_argument(
        "--truths",
        default="prior",
        help="where truths come from: prior; a run folder, for its posterior; or the independent simulator's markets, "
        "as stated or with a shock, share_drift or vendor_high (default %(default)s)",
    )
    checked.add_argument("--plant", help="a fault that the check must find: narrow, biased or dropped")
    checked.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler to share the refits among machines")
    sensitivity_commands.add(verb)
    valuation_commands.add(verb)
    export_commands.add(verb)
    page_commands.add(verb)
    figure_commands.add(verb)
    exposure_commands.add(verb)
    scenario_commands.add(verb)
    return parser


def _forecast(options: argparse.Namespace) -> int:
    # JAX starts only after the input is known to be good.
    from postcgrp.reports.runs.folder import SCHEMA
    from postcgrp.reports.runs.place import check_folder

    chosen = chosen_sets(options)
    check_folder(options.out, SCHEMA)
    if chosen.pool is not None and chosen.pool.pool == "linear":
        return _linear_pool(options, chosen, chosen.pool)
    pset = chosen.one(options.priors)
    from postcgrp.reports.forecast.conflict import CONFLICT, conflict_said
    from postcgrp.reports.forecast.pipeline import forecast
    from postcgrp.reports.forecast.summary import forecast_said

    with progress_bar("forecast") as progress:
        result = forecast(
            pset,
            out=options.out,
            sources=files_of(options),
            progress=progress,
            **_sampling(options),
        )
    answer(f"{forecast_said(result.summary, pset.ledger)} {conflict_said(result.disagreement)}")
    say(result.why)
    show(
        result.headline, f"Total revenue, {pset.ledger.report.currency} million", where=str(options.out / "summary.csv")
    )
    apart = result.disagreement[result.disagreement["verdict"] == CONFLICT]
    if len(apart):
        show(apart, "Where prior and evidence disagree", most=6, where=str(options.out / "prior_evidence.csv"))
    show_gate(result.gate)
    say(f"{options.out / 'report.html'}: the page; summary.csv, posterior.nc and manifest.json lie beside it")
    return _judged("the gate failed; the run is marked so", passed=result.passed)


def _linear_pool(options: argparse.Namespace, chosen: ChosenSets, pool: Pool) -> int:
    """Fit every member of a linear pool and mix their forecasts."""
    from postcgrp.reports.forecast.linear_pool import MEMBERS, fitted_members, linear_pool, pool_said
    from postcgrp.reports.forecast.summary import forecast_said
    from postcgrp.reports.runs.place import beside

    options.interrupted = "finished members are kept: the same command goes on from there"
    members, files = dict(zip(chosen.names, chosen.sets, strict=True)), files_of(options)
    with progress_bar("forecast") as progress:
        runs = fitted_members(members, options.out, sources=files, progress=progress, **_sampling(options))
    found = linear_pool(runs, pool.weights, pool.name, out=options.out, sources=files)
    ledger = found.run.priors.ledger
    answer(f"{forecast_said(found.summary, ledger)} {pool_said(found)}")
    title = f"Total revenue, {ledger.report.currency} million, linear pool"
    show(found.headline, title, where=str(options.out / "summary.csv"))
    show(found.spread, "Within the sets and between them", most=MOST_OF_POOL, where=str(options.out / "pool.csv"))
    show_gate(found.gate)
    say(f"{options.out / 'report.html'}: the page; the runs of the sets lie in {beside(options.out, MEMBERS)}")
    return _judged("the gate of a member failed; the pool is marked so", passed=found.passed)


def _judged(failed: str, *, passed: bool) -> int:
    """The exit status of a forecast that is written, whose gate may have failed."""
    if passed:
        return DONE
    print(f"postcgrp forecast: {failed}", file=sys.stderr)
    return GATE_FAILED


def _sampling(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name, *_ in SAMPLING if hasattr(options, name)}


def _diagnose(options: argparse.Namespace) -> int:
    from postcgrp.reports.runs.place import check_csv, save_csv
    from postcgrp.reports.runs.run import Run

    check_csv(options.out)
    run = Run.open(options.run)
    run.need_one_prior("diagnose")
    from postcgrp.inference import passed
    from postcgrp.inference.convergence import gate_said, gate_table, parameters
    from postcgrp.reports.forecast.pipeline import judge

    if run.note:
        say(f"{run.folder}: {run.note}; the gate judges the draws of {run.fitted.folder} as they were fitted")
    tree = run.fitted.tree
    checks, each = judge(tree), parameters(tree)
    answer(gate_said(checks))
    show_gate(gate_table(checks))
    most, where = 15, "" if options.out is None else str(options.out)
    show(each.sort_values("ess_tail"), "Parameters by their effective tail draws", most=most, where=where)
    save_csv(each, options.out)
    return DONE if passed(checks) else GATE_FAILED


def _calibrate(options: argparse.Namespace) -> int:
    if options.scheduler is not None:
        with_dask()
    pset = prior_set_of(options)
    from postcgrp.inference.ranks import MIN_REFITS, NOT_CALIBRATED, TOO_FEW
    from postcgrp.reports.calibration.check import calibrate

    with progress_bar("calibrate") as progress:
        result = calibrate(
            pset,
            progress=progress,
            **{name: getattr(options, name) for name in CALIBRATION},
        )
    show(result.checks[["check", "where", "passed", "figure", "rule", "advice"]].head(12), "The checks, worst first")
    held = result.coverage[result.coverage["quantity"].str.match(r"(revenue_total|adoption_mean)\[")]
    show(held, "How often 50 % and 90 % intervals held the truth")
    if result.missed:
        say(f"{len(result.missed)} refits missed the gate twice and are left out: {result.missed}")
    if result.outcome == TOO_FEW:
        enough = MIN_REFITS + 2 * len(result.missed)  # of the next some may miss too
        say(f"a verdict needs {MIN_REFITS} refits: --refits {enough} goes on from these")
    say(f"{result.outcome}; {options.out / 'calibration.png'}: the figure; calibration.csv and pits.csv lie beside it")
    return GATE_FAILED if result.outcome == NOT_CALIBRATED or result.missed else DONE


def run() -> NoReturn:
    """Run one command as the whole life of this process."""
    begin_command()
    end_command(main())


if __name__ == "__main__":
    run()
