"""The main job: from a prior set to a finished run folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pandas as pd
from xarray import DataTree

from postcgrp.models.structure import structure_key
from postcgrp.priors import InputError, PriorSet
from postcgrp.priors.audit import audit, findings_table
from postcgrp.reports.forecast import growth_bridge
from postcgrp.reports.forecast.page import page
from postcgrp.reports.forecast.summary import headline, summary
from postcgrp.reports.forecast.variance_budget import variance_budget
from postcgrp.reports.runs.folder import (
    DRAWS,
    INPUTS,
    SCHEMA,
    check_space,
    manifest,
    read_manifest,
    write_draws,
    write_manifest,
)
from postcgrp.reports.runs.groups import group
from postcgrp.reports.runs.place import check_folder, new_folder
from postcgrp.reports.runs.run import Run

if TYPE_CHECKING:  # JAX and PyMC are imported where a function needs them: who reads a run's tables does without
    from postcgrp.inference import Check, Clock
    from postcgrp.inference.progress import Progress

UNTOLD = ("use", "intensity")  # of the prior draws: a quarter of the file, and of no use without a fit


@dataclass(frozen=True)
class Forecast:
    """What a forecast came to: the run, the summary and headline tables, the gate's table and verdict."""

    run: Run
    summary: pd.DataFrame
    headline: pd.DataFrame
    gate: pd.DataFrame
    passed: bool


def judge(run: DataTree) -> tuple[Check, ...]:
    """The gate on every free variable of a run and on the total."""
    from postcgrp.inference import gate

    return gate(run, [str(name) for name in run["log_prior"].data_vars], ["revenue_total"])


def bench_tables(run: DataTree, pset: PriorSet) -> dict[str, pd.DataFrame]:
    """The variance budget (empty with too few draws), the growth bridge and the report's claim on it, by file name."""
    try:
        budget = variance_budget(run, pset)
    except InputError:
        budget = pd.DataFrame()
    bridged = growth_bridge.bridge(run, pset)
    return {
        "variance_budget": budget,
        "growth_bridge": growth_bridge.bridge_table(bridged, pset),
        "growth_claim": growth_bridge.claim(bridged),
    }


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
    misses the gate is written and marked as failed. Raises :class:`InputError` for bad settings or a folder that
    cannot be written.
    """
    check_folder(out, SCHEMA)
    report = progress or (lambda stage, done, total: None)
    with new_folder(out) as folder:
        start = perf_counter()
        import jax

        from postcgrp.inference import Clock, Sampling, enable_cache, passed, sample
        from postcgrp.inference.convergence import gate_table
        from postcgrp.models import build_model

        settings, clock = Sampling(**sampling), clock or Clock()
        clock.seconds["import"] = perf_counter() - start
        check_space(out, settings.draws * settings.chains + settings.prior_draws)
        enable_cache()
        with clock("build"):
            model = build_model(pset)
        run = sample(model, settings, progress=progress, clock=clock, key=structure_key(pset))
        run["prior"] = group(run, "prior").drop_vars(UNTOLD)
        report("judging", 0, 0)
        with clock("gate"):
            checks = judge(run)
        with clock("summary"):
            table = summary(run, pset.ledger)
            bench = bench_tables(run, pset)
            findings = audit(pset.ledger)
        report("writing", 0, 0)
        status = "passed" if passed(checks) else "failed"
        record = manifest(pset, settings, checks, status, clock, f"JAX on {jax.default_backend()}")
        with clock("write"):
            for name, path in (sources or {}).items():
                shutil.copyfile(path, folder / name)
            (folder / INPUTS).write_text(pset.to_json(), encoding="utf-8")
            (folder / "recipe.txt").write_text(pset.recipe(), encoding="utf-8")
            for name, content in {
                "summary": table,
                "priors": pset.table(),
                "evidence": pset.evidence_table(),
                "audit": findings_table(findings),
                "gate": gate_table(checks),
                **bench,
            }.items():
                content.to_csv(folder / f"{name}.csv", index=False)
            digest = write_draws(run, pset.recipe(), record, folder)
        text = page(run, pset, table, checks, findings, record, bench)
        (folder / "report.html").write_text(text, encoding="utf-8")
        seconds = {stage: round(value, 3) for stage, value in clock.seconds.items()}
        write_manifest({**record, "seconds": seconds}, folder, {DRAWS: digest})
    made = Run(out, pset, read_manifest(out), loaded=run)
    return Forecast(made, table, headline(table, pset.ledger), gate_table(checks), passed(checks))
