"""New evidence on a finished run: its draws reweighted where that can be trusted, the model fitted again where not."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from os.path import relpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from postcgrp.inference.convergence import MIN_ESS
from postcgrp.inference.diagnostics import mcse_mean
from postcgrp.inference.estimates import quantile, worth
from postcgrp.inference.psis import Array, Weights, reweight
from postcgrp.priors import Evidence, InputError, PriorSet
from postcgrp.priors.files import sha256
from postcgrp.priors.shipped import FUNNEL_FILE, SHARES_FILE
from postcgrp.reports.forecast.numbers import number_of
from postcgrp.reports.runs.evidence import Bounds, Residuals, against, needed, rarer, unseen
from postcgrp.reports.runs.folder import INPUTS, SCHEMA, UPDATE_SCHEMA, WEIGHTS, write_manifest
from postcgrp.reports.runs.groups import draw_numbers
from postcgrp.reports.runs.place import check_folder, new_folder
from postcgrp.reports.runs.run import WEIGHT, Run
from postcgrp.reports.sensitivity.movement import (
    READ,
    TOTAL,
    WeightedDraws,
    decomposition,
    forecast_quantities,
    moved,
    with_error,
)

if TYPE_CHECKING:  # fitting starts JAX, which reweighting must not wait for
    from postcgrp.inference.progress import Progress
    from postcgrp.reports.forecast.pipeline import Forecast

KEPT = ("report.toml", "assumptions.toml", "priors.toml", FUNNEL_FILE, SHARES_FILE)
_NODES = 40  # equally probable points of a normal, one after another for each draw


@dataclass(frozen=True)
class Update:
    """What new evidence does to a run.

    `priors`, the prior set with all evidence; `rows`, the new ones against what the run expected, see :func:`surprise`;
    `weights` of the stored draws; `worth`, how many independent draws the weighted ones are worth; `refused`, why the
    weights must not be used, empty if they may; `moved`, the forecast before and after, and `parts`, why the last
    year's total moved (:func:`decomposition`), both None where the weights were refused.
    """

    priors: PriorSet
    rows: pd.DataFrame
    weights: Weights
    worth: float
    refused: str
    moved: pd.DataFrame | None
    parts: pd.DataFrame | None


def update(run: Run, rows: Sequence[Evidence]) -> Update:
    """Reweight the draws of a run by new rows of evidence; nothing is fitted.

    A source that the run does not know has its error integrated out; one that it knows has the error that each draw
    holds. Where the run was updated before, its draws as they were fitted are weighted by the rows of all updates at
    once. The weights are refused where Pareto k is too high, where they leave no more effective draws than the gate
    asks of a fit, and for rows on what draws do not hold (:func:`postcgrp.reports.runs.evidence.unseen`). Raises
    :class:`InputError` for rows that are at odds with the model or with the evidence it has.
    """
    run.need_one_prior("an update")
    priors = run.priors.with_evidence([*run.priors.evidence, *rows])
    draws = run.fitted.read([*READ, *needed(priors, [*run.added, *rows])])
    parts = against(draws, priors, [*run.added, *rows])
    shape = (draws.sizes["chain"], draws.sizes["draw"])
    log_ratio = np.sum([part.terms().sum(axis=1) for part in parts], axis=0)
    weights = reweight(log_ratio.reshape(shape))
    last = draws[TOTAL].isel(year=-1).transpose("chain", "draw").values
    left = worth(last, weights.ess)
    new = {row.id for row in rows}
    expected = pd.DataFrame(
        _surprise(part, i, run.weights, shape) for part in parts for i, row in enumerate(part.rows) if row.id in new
    )
    hidden = next(filter(None, (unseen(priors, row) for row in rows)), "")
    refused = hidden or weights.refused or few(left, last.size)
    if refused:
        return Update(priors, expected, weights, left, refused, None, None)
    now = forecast_quantities(draws, priors.ledger)
    table = moved(now, now, weights.values, run.weights)
    split = decomposition(WeightedDraws(draws, run.weights), WeightedDraws(draws, weights.values), priors.ledger)
    return Update(priors, expected, weights, left, "", table, split)


def few(left: float, draws: int) -> str:
    """Why weights are refused that leave too few effective draws: as few as the gate would refuse of a fit."""
    if left > MIN_ESS:
        return ""
    return f"the weights are worth {left:,.0f} of {draws:,} draws, and the gate wants more than {MIN_ESS:g}"


def _surprise(part: Residuals | Bounds, i: int, weights: Array | None, shape: tuple[int, int]) -> dict[str, Any]:
    """One row of new evidence against the run's prediction of it."""
    row = part.rows[i]
    if isinstance(part, Bounds):
        holds = np.exp(part.terms()[:, i]).reshape(shape)
        return bound_surprise(row, part.dates[:, i].reshape(shape), holds, weights)
    return surprise(row, part.values[:, i].reshape(shape), float(np.sqrt(part.covariance[i, i])), weights)


def bound_surprise(row: Evidence, dates: Array, holds: Array, weights: Array | None = None) -> dict[str, Any]:
    """What bounds a launch against the run's prediction, in the columns of :func:`surprise`.

    Expected are the `dates` [chain, draw] of the launch if it comes. `p` is the chance of an answer that is as rare:
    that nothing was seen, `holds` [chain, draw], or 1 where this is the likelier one.
    """
    w = np.full(holds.shape, 1 / holds.size) if weights is None else weights
    p = rarer(float((w * holds).sum()))
    low, median, high = quantile(dates, w, [0.05, 0.5, 0.95])
    return {
        "row": row.id,
        "unit": "year",
        "value": row.stated,
        "expected": float(median),
        "mcse_expected": np.nan,
        "low_90": float(low),
        "high_90": float(high),
        "p": p,
        "mcse_p": mcse_mean(w * w.size * holds) if p < 1 else 0.0,
    }


def surprise(row: Evidence, residual: Array, sd: float, weights: Array | None = None) -> dict[str, Any]:
    """A new row against the run's prediction of it.

    Parameters: `residual` [chain, draw], log value or date less its expectation, and its `sd`; `weights` [chain, draw]
    of the run, None where they are equal. `p` is the predictive probability of something as extreme, both tails; below
    0.05 the row surprises. `mcse_expected` and `mcse_p` are Monte-Carlo errors.
    """
    w = np.full(residual.shape, 1 / residual.size) if weights is None else weights
    tail = ndtr(residual / sd)
    below = float((w * tail).sum())
    nodes = ndtri((np.arange(_NODES) + 0.5) / _NODES)
    with np.errstate(over="ignore"):  # an error that wide is infinite
        predicted = row.natural(row.stated + sd * nodes[:, None, None] - residual)
    every = np.broadcast_to(w, predicted.shape)
    low, median, high = quantile(predicted, every, [0.05, 0.5, 0.95])
    error = mcse_mean(w * w.size * ((predicted <= median).mean(axis=0) - 0.5))
    near = quantile(predicted, every, np.clip([0.5 - error, 0.5 + error], 0, 1))
    return {
        "row": row.id,
        "unit": row.unit,
        "value": row.value,
        "expected": float(median),
        "mcse_expected": float(near[1] - near[0]) / 2 if np.isfinite(near).all() else np.nan,
        "low_90": float(low),
        "high_90": float(high),
        "p": 2 * min(below, 1 - below),
        "mcse_p": 2 * mcse_mean(w * w.size * (tail - below)),
    }


def brief_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The table of new rows as a terminal shows it, each figure with its error."""
    figures = zip(rows["unit"], rows["expected"], rows["mcse_expected"], rows["low_90"], rows["high_90"], strict=True)
    values = zip(rows["unit"], rows["value"], strict=True)
    return pd.DataFrame(
        {
            "row": rows["row"],
            "value": [number_of(value, unit) if unit == "year" else value for unit, value in values],
            "expected (90 %)": [
                f"{number_of(median, unit) if unit == 'year' else with_error(median, error)} "
                f"({number_of(low, unit, 4)} to {number_of(high, unit, 4)})"
                for unit, median, error, low, high in figures
            ],
            "p": [with_error(p, error) for p, error in zip(rows["p"], rows["mcse_p"], strict=True)],
            "unit": rows["unit"],
        }
    )


# ---- files ---------------------------------------------------------------------------------------------------------


def save_update(result: Update, run: Run, files: Sequence[Path], out: Path) -> None:
    """Write the updated run: its prior set, weights, tables, and a manifest that names the run whose draws it weights.

    `update.csv` has the forecast before and after, `update_parts.csv` why the total moved. `weights.csv` has one row
    per draw, numbered from one as in exported files: `.chain`, `.iteration`, `.draw`, `weight`. The files of evidence,
    `evidence-1.csv` and on, are those of the run and the new ones. Raises :class:`InputError` where `out` holds
    anything but an earlier update or cannot be written, and where the weights were refused.
    """
    if result.moved is None or result.parts is None:
        raise InputError(f"{run.label}: {result.refused}: there are no weights to write: refit")
    check_folder(out, UPDATE_SCHEMA)
    fitted, values = run.fitted, result.weights.values
    if out.resolve() in {folder.resolve() for folder in run.folders}:
        raise InputError(f"--out {out}: is the run that is updated: name a new folder")
    chains, draws = values.shape
    weights = pd.DataFrame({**draw_numbers(chains, draws), WEIGHT: values.ravel()})
    about = asdict(result.weights)
    record = {
        **{
            key: value for key, value in fitted.manifest.items() if key not in ("schema", "created", "files", "seconds")
        },
        "schema": UPDATE_SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": {
            "folder": str(fitted.folder),
            "relative": relpath(fitted.folder.resolve(), out.resolve()),
            "recipe_sha256": fitted.recipe,
            "draws_sha256": fitted.draws_sha256,
        },
        "recipe_sha256": result.priors.fingerprint(),
        "evidence": {name: sha256(path) for name, path in _evidence_files(run, files).items()},
        "weights": {key: about[key] for key in ("k", "limit", "ess")} | {"worth": result.worth},
    }
    with new_folder(out) as folder:
        (folder / INPUTS).write_text(result.priors.to_json(), encoding="utf-8")
        result.moved.to_csv(folder / "update.csv", index=False)
        result.parts.to_csv(folder / "update_parts.csv", index=False)
        result.rows.to_csv(folder / "evidence.csv", index=False)
        weights.to_csv(folder / WEIGHTS, index=False)
        for name, path in _evidence_files(run, files).items():
            shutil.copyfile(path, folder / name)
        write_manifest(record, folder)


def refit(
    result: Update, run: Run, files: Sequence[Path], out: Path, progress: Progress | None = None
) -> tuple[Forecast, pd.DataFrame, pd.DataFrame]:
    """Fit the model to all evidence, as the run was fitted, and write the run folder `out`.

    Returns the forecast, the table of :func:`moved`, and why the total moved (:func:`decomposition`). Raises
    :class:`InputError` where `out` is the run itself, holds anything but an earlier run, or cannot be written.
    """
    if out.resolve() in {folder.resolve() for folder in run.folders}:
        raise InputError(f"--out {out}: is the run that is updated: name a new folder")
    check_folder(out, SCHEMA)
    from postcgrp.reports.forecast.pipeline import forecast  # starts JAX

    kept = {name: folder / name for folder in run.folders[-1:] for name in KEPT}
    sources = {name: path for name, path in kept.items() if path.is_file()} | _evidence_files(run, files)
    made = forecast(result.priors, out=out, sources=sources, progress=progress, **run.manifest["sampling"])
    ledger = result.priors.ledger
    before, after = run.read(READ), made.run.posterior
    table = moved(forecast_quantities(before, ledger), forecast_quantities(after, ledger))
    return made, table, decomposition(WeightedDraws(before), WeightedDraws(after), ledger)


def _evidence_files(run: Run, files: Sequence[Path]) -> dict[str, Path]:
    """Every file of evidence, the run's and the new ones, by the name under which it is kept."""
    kept = [sorted(folder.glob("evidence-*.csv")) for folder in run.folders]
    earlier = sorted(next(filter(None, kept), []), key=lambda path: (len(path.name), path.name))
    return {f"evidence-{k}.csv": path for k, path in enumerate([*earlier, *files], start=1)}
