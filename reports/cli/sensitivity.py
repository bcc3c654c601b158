"""Commands of the modeller's bench: update, compare, sensitivity."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from postcgrp.reports.cli.terminal import (
    DONE,
    GATE_FAILED,
    SHOWN_ROWS,
    Verb,
    answer,
    progress_bar,
    say,
    show,
    show_gate,
    status_of,
)

if TYPE_CHECKING:
    import pandas as pd


def add(verb: Verb) -> None:
    """Declare the commands."""
    updated = verb("update", _update, "new evidence on a finished run, by weights or by refit", ledger=False)
    updated.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    updated.add_argument(
        "--evidence", type=Path, action="append", required=True, metavar="CSV", help="new rows; may be given again"
    )
    updated.add_argument("--refit", action="store_true", help="fit again even where weights would do")
    updated.add_argument("--out", type=Path, help="a folder: for weights and tables, or for the refitted run")

    compared = verb("compare", _compare, "how the forecast moved between two runs, and why", ledger=False)
    compared.add_argument("runs", type=Path, nargs=2, metavar="RUN", help="two run folders")
    compared.add_argument("--out", type=Path, help="also write the tables and the figure to this folder")

    asked = verb("sensitivity", _sensitivity, "which prior and which claim moved what", ledger=False)
    asked.set_defaults(interrupted="finished refits are kept: the same command goes on from there")
    asked.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    grid = "settings to cross, such as trust=low,default,high; may be given again"
    asked.add_argument("--vary", action="append", default=[], metavar="NAME=VALUE,...", help=grid)
    flip = "what would move P(revenue of the last year, or HEADLINE, > X) across LEVEL, a probability"
    asked.add_argument("--flip", metavar="[HEADLINE:]X:LEVEL", help=flip)
    priced = "a deal: what would change the sign of its mean rNPV; may be given again"
    asked.add_argument("--deal", type=Path, action="append", default=[], metavar="FILE", help=priced)
    asked.add_argument("--seed", type=int, default=1, help="random seed (default %(default)s)")
    asked.add_argument("--out", type=Path, default=Path("runs/sensitivity"), help="the folder (default %(default)s)")


def _update(options: argparse.Namespace) -> int:
    # Neither JAX nor PyMC starts unless the model is fitted again.
    from postcgrp.priors.evidence_file import read_evidence
    from postcgrp.reports.runs.folder import SCHEMA, UPDATE_SCHEMA
    from postcgrp.reports.runs.place import check_folder
    from postcgrp.reports.runs.run import Run
    from postcgrp.reports.sensitivity.movement import brief, said
    from postcgrp.reports.sensitivity.updating import brief_rows, refit, save_update, update

    run = Run.open(options.run)
    priors = run.priors
    rows = read_evidence(options.evidence, priors.ledger, priors.trust, priors.evidence, priors.settings.coverage)
    if options.out is not None:
        check_folder(options.out, SCHEMA if options.refit else UPDATE_SCHEMA, SCHEMA)
    result = update(run, rows)
    weights = result.weights
    worth = "" if weights.refused else f"; the weights are worth {result.worth:,.0f} of {weights.values.size:,} draws"
    quality = f"Pareto k = {weights.k:.2f} of at most {weights.limit:.2f}{worth}"
    expected = "The new evidence, and what the run expected of it (p: chance of something as extreme)"
    if result.moved is not None and result.parts is not None and not options.refit:
        answer(said(result.parts, result.moved))
        show(brief_rows(result.rows), expected)
        say(quality)
        where = "" if options.out is None else str(options.out / "update.csv")
        show(brief(result.moved), "Before and after: stored draws reweighted, each figure with its error", where=where)
        show(result.parts, f"Why the mean moved, {run.money}")
        if options.out is not None:
            save_update(result, run, options.evidence, options.out)
            say(f"{options.out}: a run that every command takes; update.csv and evidence.csv say what moved")
        return status_of(run, "update")
    out = options.out or Path("runs/update")
    say(f"{result.refused or 'asked for'}: fitting again, into {out}")
    with progress_bar("update") as progress:
        made, table, parts = refit(result, run, options.evidence, out, progress)
    answer(said(parts, table))
    show(brief_rows(result.rows), expected)
    say(quality)
    show(brief(table), "Before and after: fitted again, each figure with its error", where=str(out / "summary.csv"))
    show(parts, f"Why the mean moved, {run.money}")
    show_gate(made.gate)
    if not made.passed:
        print("postcgrp update: the gate failed; the run is marked so", file=sys.stderr)
        return GATE_FAILED
    return DONE


def _compare(options: argparse.Namespace) -> int:
    from postcgrp.reports.runs.place import check_folder
    from postcgrp.reports.runs.run import Run
    from postcgrp.reports.sensitivity.comparison import compare, compare_said, last_total, leading
    from postcgrp.reports.sensitivity.comparison_files import SCHEMA, save_comparison
    from postcgrp.reports.sensitivity.movement import brief

    if options.out is not None:
        check_folder(options.out, SCHEMA)
    first, second = (Run.open(path) for path in options.runs)
    found = compare(first, second)
    names = (first.folder.name, second.folder.name)
    names = names if names[0] != names[1] else ("first", "second")
    answer(compare_said(found))
    where = "" if options.out is None else str(options.out / "moved.csv")
    show(brief(found.moved, names), "Both forecasts, each figure with its error", where=where)
    why, means, year = last_total(found)
    shown = leading(why, 15)[["factor", "moves", "moves_mcse", "widens", "widens_mcse", "kind", "change"]]
    moved = f"Why the mean of {year} moved from {means[0]:,.0f} to {means[1]:,.0f}, and the sd with it ({first.money})"
    show(shown, moved, where="" if options.out is None else str(options.out / "compare.csv"))
    if found.structure:
        say(f"No ratio of densities expresses, so none is attributed: {'; '.join(found.structure)}")
    if found.refused:
        say(f"Not attributed: {found.refused}")
    if options.out is not None:
        save_comparison(found, first, second, options.out)
        say(f"{options.out}: compare.csv (every quantity), moved.csv, waterfall.png and manifest.json")
    return max(status_of(run, "compare") for run in (first, second))


def _sensitivity(options: argparse.Namespace) -> int:
    from postcgrp.reports.runs.run import Run
    from postcgrp.reports.sensitivity.study import sensitivity, sensitivity_said
    from postcgrp.reports.sensitivity.variants import TOGETHER

    run = Run.open(options.run)
    with progress_bar("sensitivity") as progress:
        found = sensitivity(
            run,
            out=options.out,
            vary=options.vary,
            flip=options.flip,
            deal=options.deal,
            seed=options.seed,
            progress=progress,
            say=say,
        )
    where = options.out
    answer(sensitivity_said(found, run.priors))
    columns = ["kind", "name", "median", "shift", "se", "low_90", "high_90", "p_above", "sd", "mean"]
    views = found.table[found.table["kind"].isin(["run", "prior set", "grid", TOGETHER])]
    show(views[columns], "Other views of the last year's revenue (shift: in sds)", where=f"{where}/sensitivity.csv")
    left = found.table[found.table["kind"] == "claim left out"]
    one = ["name", "median", "shift", "se", "clear", "missed"]
    show(left[one], "Claims left out one at a time", most=SHOWN_ROWS, where=f"{where}/leave_one_out.csv")
    if "verdict" in (against := found.tables["conflicts"]):
        shown = against[["claim", "verdict", "p", "value", "q05", "median", "q95", "notices", "unit"]]
        show(shown, "Each claim against all the rest, the worst first", most=SHOWN_ROWS, where=f"{where}/conflicts.csv")
    moves = ["input", "mean_low", "mean_high", "direction", "value_low", "value_high", "unit"]
    title = "What moves it most: the mean with an assumption at either end"
    show(found.tables["tornado"][moves], title, most=SHOWN_ROWS, where=f"{where}/tornado.csv")
    power, name, draws = strongest(found.tables["power_scaling"])
    title = f"Power-scaling of {name} on {draws:,} draws (in brackets: no more than noise)"
    show(power, title, where=f"{where}/power_scaling.csv")
    if (flips := found.tables.get("flips")) is not None:
        there = flips[flips["flips_at_sds"].notna()]
        shown = there[["input", "value_now", "value", "flips_at_sds", "se", "outcome", "unit"]]
        title = f"Moved alone, what takes P across {options.flip} ({len(there)} of {len(flips)} assumptions)"
        show(shown, title, most=SHOWN_ROWS, where=f"{where}/flips.csv")
        if there.empty:
            say("No assumption moved alone within three prior sds flips it: flips.csv says how far each one goes")
        _show_pairs(found.tables["flip_pairs"], f"Two moved at once, what takes P across {options.flip}", where)
    for name, table in found.tables.items():
        if name.startswith("deal_flips"):
            there = table[table["flips_at_sds"].notna()]
            shown = there[["input", "value_now", "value", "flips_at_sds", "unit", "how"]]
            title = f"What takes the mean rNPV across zero, now {table['rnpv_now'].iloc[0]:,.2f} {run.money}"
            show(shown, title, most=SHOWN_ROWS, where=f"{where}/{name}.csv")
            if there.empty:
                say(f"Nothing that stored draws can follow, alone or in pairs, does: {name}.csv says how far each goes")
    for note in found.notes:
        say(note)
    say(f"{where}: sensitivity.csv and .png; leave_one_out, conflicts, tornado, power_scaling beside it")
    return max(status_of(run, "sensitivity"), GATE_FAILED if found.missed else DONE)


def _show_pairs(pairs: pd.DataFrame, title: str, where: Path) -> None:
    """The pairs that flip a decision, or a line where none does."""
    if pairs.empty:
        return
    there = pairs[pairs["flips_at_sds"].notna()]
    columns = ["input_1", "value_1", "unit_1", "input_2", "value_2", "unit_2", "flips_at_sds", "se"]
    show(there[columns], f"{title} ({len(there)} of {len(pairs)} pairs)", where=f"{where}/flip_pairs.csv")
    if there.empty:
        say("Nor do any two of those that matter most, within three sds: flip_pairs.csv says how far they go")


def strongest(table: pd.DataFrame) -> tuple[pd.DataFrame, str, int]:
    """Power-scaling of the last year's revenue, the strongest group first; its name, and on how many draws.

    A psi that is no more than noise stands in brackets.
    """
    name = [each for each in table["quantity"].unique() if each.startswith("revenue ")][-1]
    rows = table[table["quantity"] == name].sort_values("psi", ascending=False, na_position="first")
    worst = rows[["k_low", "k_high"]].max(axis=1)
    psi = [
        "" if psi != psi else f"{psi:.3f} ± {error:.3f}" if clear else f"({psi:.3f} ± {error:.3f})"  # noqa: PLR0124
        for psi, error, clear in zip(rows["psi"], rows["psi_se"], rows["clear"], strict=True)
    ]
    shown = rows[["group"]].assign(psi=psi, noise=rows["noise"], sign=rows["sign"], spread=rows["spread"])
    return shown.assign(pareto_k=worst, refused=rows["refused"]), name, int(rows["draws"].iloc[0])
