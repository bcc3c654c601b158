"""The main job: from a prior set to a finished run folder."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pandas as pd
from xarray import DataTree

from postcgrp.models.blueprint import market_blueprint
from postcgrp.priors import PriorSet
from postcgrp.priors.audit import audit, findings_table
from postcgrp.reports.forecast.centre import sentence
from postcgrp.reports.forecast.conflict import advice_of_conflict, prior_evidence
from postcgrp.reports.forecast.summary import headline, summary
from postcgrp.reports.forecast.tables import bench_tables
from postcgrp.reports.page.content import packed
from postcgrp.reports.page.document import written
from postcgrp.reports.runs.folder import (
    DRAWS,
    SCHEMA,
    check_space,
    manifest,
    read_manifest,
    write_draws,
    write_files,
    write_manifest,
)
from postcgrp.reports.runs.groups import group
from postcgrp.reports.runs.place import check_folder, new_folder
from postcgrp.reports.runs.run import Run

if TYPE_CHECKING:  # JAX and PyMC are imported where a function needs them: who reads a run's tables does without
    from postcgrp.inference import Check, Clock
    from postcgrp.inference.progress import Progress

PAGE = "report.html"
UNTOLD = ("use", "intensity")  # of the prior draws: a quarter of the file, and of no use without a fit


@dataclass(frozen=True)
class Forecast:
    """What a forecast came to: the run, its summary and headline tables, the gate's table and verdict.

    `why`, what the centre is made of, in words; `disagreement`, where prior and evidence disagree, see
    :func:`prior_evidence`.
    """

    run: Run
    summary: pd.DataFrame
    headline: pd.DataFrame
    why: str
    gate: pd.DataFrame
    passed: bool
    disagreement: pd.DataFrame


def with_conflict(checks: tuple[Check, ...], disagreement: pd.DataFrame) -> tuple[Check, ...]:
    """The gate's verdicts; where it failed and prior and evidence are far apart, its advice is to mend that."""
    advice = advice_of_conflict(disagreement)
    return tuple(replace(check, advice=advice) if advice and not check.passed else check for check in checks)


def judge(run: DataTree) -> tuple[Check, ...]:
    """The gate on every free variable of a run and on the total."""
    from postcgrp.inference import gate

    return gate(run, [str(name) for name in run["log_prior"].data_vars], ["revenue_total"])


def forecast(
    pset: PriorSet,
    *,
    out: Path,
    sources: Mapping[str, Path] | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
    **sampling: Any,
) -> Forecast:
    """Fit the model, judge the draws, and write the run folder `out`.

    Parameters: `sources`, files that `pset` was read from, kept with the run by these names; `progress` and `clock`,
    see :func:`postcgrp.inference.sampling`; `sampling`, fields of :class:`postcgrp.inference.Sampling`. A run that
    misses the gate is written and marked as failed. Raises :class:`postcgrp.priors.InputError` for bad settings or a
    folder that cannot be written.
    """
    check_folder(out, SCHEMA)
    kept = {name: path.read_bytes() for name, path in (sources or {}).items()}  # as they are now, not after the fit
    report = progress or (lambda stage, done, total: None)
    with new_folder(out) as folder:
        start = perf_counter()
        from postcgrp.inference import Clock, Sampling, enable_cache, passed, sample
        from postcgrp.inference.cache import backend
        from postcgrp.inference.convergence import gate_table

        settings, clock = Sampling(**sampling), clock or Clock()
        clock.seconds["import"] = perf_counter() - start
        platform = backend()
        check_space(out, settings.draws * settings.chains + settings.prior_draws)
        enable_cache()
        run = sample(market_blueprint(pset), settings, progress=progress, clock=clock)
        run["prior"] = group(run, "prior").drop_vars(UNTOLD)
        report("judging", 0, 0)
        with clock("gate"):
            disagreement = prior_evidence(run, pset)
            checks = with_conflict(judge(run), disagreement)
        report("writing", 0, 0)
        status = "passed" if passed(checks) else "failed"
        record = manifest(pset, settings, checks, status, clock, f"JAX on {platform}")
        made = Run.in_memory(run, pset, record)
        # To write and to compress draws hardly holds Python's lock: tables are made meanwhile.
        with ThreadPoolExecutor(2) as pool:
            market = pool.submit(packed, made)
            draws = pool.submit(write_draws, run, pset.recipe(), record, folder)
            with clock("summary"):
                table = summary(run, pset)
                bench = bench_tables(run, pset)
                findings = audit(pset.ledger)
            with clock("page"):
                text = written(made, {"summary": table, **bench}, findings, market=market.result())
                (folder / PAGE).write_text(text, encoding="utf-8")
            with clock("write"):
                tables = {
                    "summary": table,
                    "priors": pset.table(),
                    "evidence": pset.evidence_table(),
                    "audit": findings_table(findings),
                    "gate": gate_table(checks),
                    "prior_evidence": disagreement,
                    **bench,
                }
                write_files(folder, pset, tables, kept)
                digest = draws.result()
        seconds = {stage: round(value, 3) for stage, value in clock.seconds.items()}
        write_manifest({**record, "seconds": seconds}, folder, {DRAWS: digest})
    done = Run(out, pset, read_manifest(out), loaded=run)
    why = sentence(bench["centre"], bench["leverage"], done.money)
    return Forecast(done, table, headline(table, pset.ledger), why, gate_table(checks), passed(checks), disagreement)
