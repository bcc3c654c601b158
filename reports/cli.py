"""The command line: every verb is a plain function of the package behind a few options."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from postcgrp.priors import InputError, PriorSet, Settings, effective, load_ledger
from postcgrp.priors.audit import audit
from postcgrp.priors.audit import table as audit_table
from postcgrp.priors.ledger import ASSUMPTIONS, REPORT
from postcgrp.reports.terminal import progress_bar, save_csv, say, show

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
    show(findings[["check", "status", "expected", "found", "treatment"]], "The report against itself")
    save_csv(findings, options.out)
    return DONE


def _priors(options: argparse.Namespace) -> int:
    table = _prior_set(options).table()
    shown = table[["prior", "family", "mu", "sd", "q05", "median", "q95", "unit", "because"]]
    show(shown, f"Effective priors (coverage {options.coverage:g}, trust {options.trust})")
    save_csv(table, options.out)
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
    with progress_bar("forecast") as progress:
        result = forecast(
            pset,
            out=options.out,
            ledgers=(options.report, options.assumptions),
            progress=progress,
            clock=clock,
            **sampling,
        )
    show(result.headline, f"Total revenue, {pset.ledger.report.currency} million")
    show(result.gate, "The gate")
    say(f"{options.out / 'report.html'}: the page; summary.csv, posterior.nc and manifest.json lie beside it")
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
    show(table(checks), "The gate")
    show(each.sort_values("ess_tail").head(15), "The 15 parameters with the fewest effective tail draws")
    save_csv(each, options.out)
    return DONE if passed(checks) else GATE_FAILED


def _calibrate(options: argparse.Namespace) -> int:
    pset = _prior_set(options)
    from postcgrp.inference.ranks import NOT_CALIBRATED
    from postcgrp.reports.calibrate import calibrate

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
    say(f"{result.outcome}; {options.out / 'calibration.png'}: the figure; calibration.csv and pits.csv lie beside it")
    return GATE_FAILED if result.outcome == NOT_CALIBRATED or result.missed else DONE


if __name__ == "__main__":
    sys.exit(main())
