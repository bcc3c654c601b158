"""The command line: every verb is a plain function of the package behind a few options."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from postcgrp.priors import InputError, PriorSet, Settings, effective, load_ledger
from postcgrp.priors.audit import audit
from postcgrp.priors.audit import table as audit_table
from postcgrp.priors.ledger import ASSUMPTIONS, REPORT

DONE, BAD_INPUT, GATE_FAILED, INTERRUPTED = 0, 2, 3, 130
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


CALIBRATION = ("out", "refits", "seed", "truths", "plant", "scheduler")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as for any other bad input."""
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 done, 2 bad input, 3 done but the gate failed)."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except InputError as error:
        print(f"postcgrp {options.verb}: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"postcgrp {options.verb}: interrupted; {options.interrupted}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return DONE


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="postcgrp", description="A Bayesian forecast of one market from one report's ranges.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND", parser_class=_Parser)

    def verb(name: str, command: Any, text: str, *, ledger: bool = True) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text.capitalize() + ".")
        sub.set_defaults(command=command, interrupted="no file was changed")
        if ledger:
            sub.add_argument("--report", type=Path, default=REPORT, help="the report's claims (TOML)")
            sub.add_argument("--assumptions", type=Path, default=ASSUMPTIONS, help="everything else (TOML)")
        return sub

    checked = verb("audit", _audit, "check the report against itself")
    checked.add_argument("--out", type=Path, help="also write the findings to this CSV file")
    shown = verb("priors", _priors, "print the effective priors and why they are so")
    shown.add_argument("--out", type=Path, help="also write the table to this CSV file")
    _settings(shown)
    fitted = verb("forecast", _forecast, "fit, gate, summarise and write a run folder")
    _settings(fitted)
    fitted.add_argument("--out", type=Path, default=DEFAULT_OUT, help="the run folder (default %(default)s)")
    for name, kind, text in SAMPLING:
        # Absent options stay absent: the defaults stand in one place, `postcgrp.inference.Sampling`.
        fitted.add_argument(f"--{name.replace('_', '-')}", type=kind, default=argparse.SUPPRESS, help=text)
    judged = verb("diagnose", _diagnose, "judge a finished run again, in full", ledger=False)
    judged.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    judged.add_argument("--out", type=Path, help="also write one row a parameter to this CSV file")
    checked = verb("calibrate", _calibrate, "check the sampler by simulated truths: does it find what it should")
    checked.set_defaults(interrupted="finished refits are kept: the same command goes on from there")
    _settings(checked)
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
    return parser


def _settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--coverage", type=float, default=Settings.coverage, help="prior mass in a stated range (default %(default)s)"
    )
    parser.add_argument(
        "--trust",
        default=Settings.trust,
        help="trust in the report's revenue: a level of the ledger (low, default, high)",
    )


def _prior_set(options: argparse.Namespace) -> PriorSet:
    ledger = load_ledger(options.report, options.assumptions)
    return effective(ledger, Settings(coverage=options.coverage, trust=options.trust))


def _audit(options: argparse.Namespace) -> int:
    findings = audit_table(audit(load_ledger(options.report, options.assumptions)))
    _print(findings[["check", "status", "expected", "found", "treatment"]], "The report against itself")
    _csv(findings, options.out)
    return DONE


def _priors(options: argparse.Namespace) -> int:
    table = _prior_set(options).table()
    shown = table[["prior", "family", "mu", "sd", "q05", "median", "q95", "unit", "because"]]
    _print(shown, f"Effective priors (coverage {options.coverage:g}, trust {options.trust})")
    _csv(table, options.out)
    return DONE


def _forecast(options: argparse.Namespace) -> int:
    # JAX starts only after the input is known to be good.
    from postcgrp.reports.store import check_target

    pset = _prior_set(options)
    check_target(options.out)
    start = time.perf_counter()
    from postcgrp.inference import Clock
    from postcgrp.reports.forecast import forecast

    clock = Clock({"import": time.perf_counter() - start})
    sampling = {name: getattr(options, name) for name, *_ in SAMPLING if hasattr(options, name)}
    with _progress("forecast") as progress:
        result = forecast(
            pset,
            out=options.out,
            ledgers=(options.report, options.assumptions),
            progress=progress,
            clock=clock,
            **sampling,
        )
    _print(result.headline, f"Total revenue, {pset.ledger.report.currency} million")
    _print(result.gate, "The gate")
    _say(f"{options.out / 'report.html'}: the page; summary.csv, posterior.nc and manifest.json lie beside it")
    if not result.passed:
        print("postcgrp forecast: the gate failed; the run is marked so", file=sys.stderr)
        return GATE_FAILED
    return DONE


def _diagnose(options: argparse.Namespace) -> int:
    from postcgrp.reports.store import load_run

    run, _, _ = load_run(options.run)
    from postcgrp.inference import passed
    from postcgrp.inference.gate import parameters, table
    from postcgrp.reports.forecast import judge

    checks = judge(run)
    each = parameters(run)
    _print(table(checks), "The gate")
    _print(each.sort_values("ess_tail").head(15), "The 15 parameters with the fewest effective tail draws")
    _csv(each, options.out)
    return DONE if passed(checks) else GATE_FAILED


def _calibrate(options: argparse.Namespace) -> int:
    pset = _prior_set(options)
    from postcgrp.inference.ranks import NOT_CALIBRATED
    from postcgrp.reports.calibrate import calibrate

    with _progress("calibrate") as progress:
        result = calibrate(
            pset,
            progress=progress,
            **{name: getattr(options, name) for name in CALIBRATION},
        )
    _print(result.checks[["check", "where", "passed", "figure", "rule", "advice"]].head(12), "The checks, worst first")
    held = result.coverage[result.coverage["quantity"].str.match(r"(revenue_total|adoption_mean)\[")]
    _print(held, "How often 50 % and 90 % intervals held the truth")
    if result.missed:
        _say(f"{len(result.missed)} refits missed the gate twice and are left out: {result.missed}")
    _say(f"{result.outcome}; {options.out / 'calibration.png'}: the figure; calibration.csv and pits.csv lie beside it")
    return GATE_FAILED if result.outcome == NOT_CALIBRATED or result.missed else DONE


def _csv(table: pd.DataFrame, out: Path | None) -> None:
    if out is None:
        return
    beside = out.with_name(f".{out.name}.partial")
    try:
        table.to_csv(beside, index=False)
        beside.replace(out)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InputError(f"--out {out}: cannot be written ({error.strerror}): name a file you may write") from None


def _say(text: str) -> None:
    Console(soft_wrap=True, highlight=False).print(text, markup=False)


def _print(table: pd.DataFrame, title: str) -> None:
    """A table on the terminal; numbers to the right, text to the left."""
    shown = Table(title=title, title_justify="left", title_style="bold")
    for name in table.columns:
        numeric = pd.api.types.is_numeric_dtype(table[name]) and table[name].dtype != bool
        shown.add_column(str(name), justify="right" if numeric else "left", overflow="fold")
    for row in table.itertuples(index=False):
        shown.add_row(*(_cell(value) for value in row))
    console = Console(highlight=False)
    # A pipe has no width of its own; 80 columns would fold every table.
    Console(highlight=False, width=None if console.is_terminal else 200).print(shown)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004
    return "" if value is None else escape(str(value))  # a name's [2030] is no markup


@contextmanager
def _progress(title: str) -> Iterator[Any]:
    """A progress callback that draws a bar on a terminal and nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"{title}: preparing", total=None)

        def progress(stage: str, done: int, total: int) -> None:
            bar.update(task, description=f"{title}: {stage}", completed=done, total=total or None)

        yield progress


if __name__ == "__main__":
    sys.exit(main())
