"""The release check: whether the sampler is right on this model, over its prior or around one run's posterior."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from postcgrp.inference import Clock, Sampling, enable_cache
from postcgrp.inference.batch import Batch, fit_many, prepare
from postcgrp.inference.calibrate import coverage, labels, posterior_truths, prior_truths, rank_fits, truth_at
from postcgrp.inference.cluster import cluster
from postcgrp.inference.numerics import Arrays
from postcgrp.inference.progress import Progress
from postcgrp.inference.ranks import outcome, verdict
from postcgrp.models import variables as v
from postcgrp.models.blueprint import market_blueprint
from postcgrp.models.inputs import measured_twice
from postcgrp.models.simulator import MISSPECIFICATIONS, simulate
from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.calibration.figures import calibration_table, save_calibration
from postcgrp.reports.runs.folder import write_manifest
from postcgrp.reports.runs.place import save_csv, save_text, working_folder
from postcgrp.reports.runs.run import Run

SCHEMA = "postcgrp.calibration/1"
_KEPT = (v.REVENUE_TOTAL, v.ADOPTION_MEAN)
KEPT_OF_MARKETS = (*_KEPT, v.ACUTE_USE, v.MOH, v.DEPTH_SHARE, v.PRICE)
PRIOR = "prior"
MARKETS = ("stated", *MISSPECIFICATIONS)
MOST_REFITS = 100_000  # in one folder: a hundred GB of draws
RANKED_DRAWS = 500  # among which a truth is ranked: few enough to be nearly independent
_SETTINGS = Sampling(tune=300, prior_draws=2000)
Fault = Callable[[NDArray[np.float64]], NDArray[np.float64]]
# What a wrong sampler might do to draws [draw, quantity]; the verdict must fail with each.
FAULTS: dict[str, Fault | None] = {
    "narrow": lambda draws: draws.mean(axis=0) + 0.8 * (draws - draws.mean(axis=0)),
    "biased": lambda draws: draws + 0.25 * draws.std(axis=0),
    "dropped": None,  # the first row of the evidence does not reach the sampler
}


@dataclass(frozen=True)
class Calibration:
    """The verdict in words and as a table, coverage of intervals, PITs, and the refits that missed the gate."""

    outcome: str
    checks: pd.DataFrame
    coverage: pd.DataFrame
    pits: pd.DataFrame
    missed: list[int]


def calibrate(
    pset: PriorSet,
    *,
    out: Path,
    refits: int = 200,
    seed: int = 1,
    truths: str = PRIOR,
    plant: str | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Simulate, refit and rank (Talts et al. 2018), and write the verdict, its figure and the PITs to `out`.

    Parameters: `refits`, how many; `truths`, where they come from: the prior; a run folder, for its posterior, with
    simulated evidence joined to the run's (Saeilynoja et al. 2025); or one of `MARKETS`, for the simulator that was
    written from docs/model.md alone, or a departure from it; `plant`, one of `FAULTS`, to see the check fail;
    `scheduler`, see :func:`postcgrp.inference.batch.fit_many`. Finished refits stay in `out`, and a later call with the
    same inputs continues from them. Raises :class:`InputError` for bad input.
    """
    if refits < 2:  # noqa: PLR2004
        raise InputError(f"--refits {refits}: a rank needs company: use 200 for a verdict")
    if refits > MOST_REFITS:
        raise InputError(f"--refits {refits}: is more than {MOST_REFITS}: 1000 see nearly every fault there is")
    settings = replace(_SETTINGS, seed=seed)
    if plant is not None and plant not in FAULTS:
        raise InputError(f"--plant {plant}: is not known: use one of {', '.join(FAULTS)}")
    run = None
    if truths not in (PRIOR, *MARKETS):
        run = Run.open(Path(truths))
        pset = run.priors
    if truths != PRIOR and pset.bounds:
        bound = next(iter(pset.bounds.values()))[0]
        raise InputError(f"{bound.id!r} bounds a launch: only truths of the prior can be simulated with that")
    if not pset.measured:
        raise InputError("there is no evidence to simulate: a posterior without any is its prior")
    if scheduler is not None:
        with cluster(scheduler):  # a wrong address is found here, before anything compiles
            pass
    enable_cache()  # before the folder is made: it refuses a platform that is not there
    folder, clock = working_folder(out, SCHEMA), Clock()
    model = market_blueprint(pset)
    with clock("prepare"):
        thin = settings.chains * settings.draws // RANKED_DRAWS
        batch = prepare(model, settings, keep=KEPT_OF_MARKETS if truths in MARKETS else _KEPT, thin=thin)
    with clock("simulate"):
        if truths in MARKETS:
            data, truth = _of_markets(pset, batch, truths, refits, seed)
        else:
            data, truth = _of_model(batch, run, refits, seed)
    given = [_dropped(batch.data, simulated) for simulated in data] if plant == "dropped" else data
    with clock("fit"):
        fits = fit_many(batch, given, folder=folder / "fits", scheduler=scheduler, progress=progress)
        names, pits, missed = rank_fits(
            fits, partial(truth, given), partial(labels, batch, model.coords), seed, fault=FAULTS.get(plant or "")
        )
    anchors = [f"{name}[{year}]" for name in _KEPT for year in pset.ledger.report.anchors if f"{name}[{year}]" in names]
    primary = [*anchors, *(name for name in names if name.startswith("log_likelihood"))]
    whole = np.delete(pits, missed, axis=0)
    checks = verdict(whole, names, primary, seed)
    result = Calibration(
        outcome(checks),
        calibration_table(checks),
        coverage(whole, names),
        pd.DataFrame(pits, columns=names),
        missed,
    )
    title = f"{refits} refits, truths of {truths}" + (f", fault planted: {plant}" if plant else "")
    save_calibration(whole, names, checks, folder / "calibration", pset.fingerprint(), title)
    save_csv(result.checks, folder / "calibration.csv")
    save_csv(result.coverage, folder / "coverage.csv")
    save_text(result.pits.to_csv(index_label="refit"), folder / "pits.csv")
    record = {
        "schema": SCHEMA,
        "status": result.outcome,
        "of": title,
        "missed_the_gate": missed,
        "recipe_sha256": pset.fingerprint(),
        "sampling": asdict(settings),
        "batch_sha256": batch.digest,
        "seconds": {stage: round(seconds, 3) for stage, seconds in clock.seconds.items()},
    }
    write_manifest(record, folder)
    return result


Truth = Callable[[Sequence[Arrays], int], Arrays]  # from the data given to all refits and the number of one


def _of_markets(pset: PriorSet, batch: Batch, truths: str, number: int, seed: int) -> tuple[list[Arrays], Truth]:
    """The data of each refit, and its true quantities, from the independent simulator."""
    market = simulate(pset, number, seed, misspecified=None if truths == MARKETS[0] else truths)
    log_sd = batch.data[v.EVIDENCE_LOG_SD]
    error = (market[v.EVIDENCE] - market[v.EVIDENCE_MEAN]) / log_sd
    market["log_likelihood/evidence"] = -(error**2) / 2 - np.log(log_sd * np.sqrt(2 * np.pi))

    def truth(_: Sequence[Arrays], place: int) -> Arrays:
        return {name: values[None, place : place + 1] for name, values in market.items()}

    return [{v.EVIDENCE_VALUE: values} for values in market[v.EVIDENCE]], truth


def _of_model(batch: Batch, run: Run | None, number: int, seed: int) -> tuple[list[Arrays], Truth]:
    """The same from the model's prior, or from the posterior of a run, whose own evidence then counts too."""
    if run is None:
        truths = prior_truths(batch, number, seed)
        data = [truths.data(place) for place in range(number)]
    else:
        draws = {str(name): variable.values for name, variable in run.posterior.items()}
        truths = posterior_truths(batch, draws, number, seed)
        value, log_sd = batch.data[v.EVIDENCE_VALUE], batch.data[v.EVIDENCE_LOG_SD]
        data = [measured_twice(value, truths.data(k)[v.EVIDENCE_VALUE], log_sd) for k in range(number)]
    return data, lambda given, place: truth_at(batch, truths, place, given[place])


def _dropped(data: Arrays, simulated: Arrays) -> Arrays:
    log_sd = np.array(simulated.get(v.EVIDENCE_LOG_SD, data[v.EVIDENCE_LOG_SD]))
    log_sd[0] *= 1e3
    return {**simulated, v.EVIDENCE_LOG_SD: log_sd}
