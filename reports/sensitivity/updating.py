"""New evidence on a finished run: its draws reweighted where that can be trusted, the model fitted again where not."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from os.path import relpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from xarray import DataArray, Dataset

from postcgrp.inference.estimates import quantile, quantile_error
from postcgrp.inference.psis import Array, Weights, reweight
from postcgrp.priors import Evidence, InputError, Ledger, PriorSet
from postcgrp.priors.files import sha256
from postcgrp.priors.shipped import FUNNEL_FILE, SHARES_FILE
from postcgrp.reports.forecast.layers import BANDS
from postcgrp.reports.runs.evidence import against, flat, needed
from postcgrp.reports.runs.folder import INPUTS, SCHEMA, UPDATE_SCHEMA, WEIGHTS, finite, write_manifest
from postcgrp.reports.runs.groups import draw_numbers
from postcgrp.reports.runs.place import check_folder, new_folder
from postcgrp.reports.runs.run import WEIGHT, Run

if TYPE_CHECKING:  # fitting starts JAX, which reweighting must not wait for
    from postcgrp.inference.progress import Progress
    from postcgrp.reports.forecast.pipeline import Forecast

Label = tuple[str, int, str | None]

KEPT = ("report.toml", "assumptions.toml", "priors.toml", FUNNEL_FILE, SHARES_FILE)
WITH_ERROR = ("low_90", "median", "high_90")
TOTAL = "revenue_total"
READ = ("revenue", TOTAL)  # for :func:`forecast_quantities`
_NODES = 40  # equally probable points of a normal, one after another for each draw
BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class Update:
    """What new evidence does to a run.

    `priors`, the prior set with all evidence; `rows`, the new ones against what the run expected, see :func:`surprise`;
    `weights` of the stored draws; `moved`, the forecast before and after, None where the weights were refused.
    """

    priors: PriorSet
    rows: pd.DataFrame
    weights: Weights
    moved: pd.DataFrame | None


def update(run: Run, rows: Sequence[Evidence]) -> Update:
    """Reweight the draws of a run by new rows of evidence; nothing is fitted.

    A source that the run does not know has its error integrated out; one that it knows has the error that each draw
    holds. Where the run was updated before, its draws as they were fitted are weighted by the rows of all updates at
    once. Raises :class:`InputError` for rows that are at odds with the model or with the evidence it has.
    """
    priors = run.priors.with_evidence([*run.priors.evidence, *rows])
    draws = run.fitted.read([*READ, *needed(priors, [*run.added, *rows])])
    parts = against(draws, priors, [*run.added, *rows])
    shape = (draws.sizes["chain"], draws.sizes["draw"])
    log_ratio = np.sum([part.terms().sum(axis=1) for part in parts], axis=0)
    weights = reweight(log_ratio.reshape(shape))
    new = {row.id for row in rows}
    expected = pd.DataFrame(
        surprise(row, part.values[:, i], float(np.sqrt(part.covariance[i, i])), run.weights)
        for part in parts
        for i, row in enumerate(part.rows)
        if row.id in new
    )
    now = forecast_quantities(draws, priors.ledger)
    table = None if weights.refused else moved(now, now, run.money, weights.values, run.weights)
    return Update(priors, expected, weights, table)


def surprise(row: Evidence, residual: Array, sd: float, weights: Array | None = None) -> dict[str, Any]:
    """A new row against the run's prediction of it.

    Parameters: `residual` [draw], log value less its expectation, and its `sd`; `weights` [chain, draw] of the run,
    None where they are equal. `p` is the predictive probability of something as extreme, both tails; below 0.05 the row
    surprises.
    """
    w = np.full(len(residual), 1 / len(residual)) if weights is None else weights.ravel()
    below = float(w @ ndtr(residual / sd))
    nodes = ndtri((np.arange(_NODES) + 0.5) / _NODES)
    predicted = row.value * np.exp(sd * nodes[:, None] - residual)
    low, median, high = quantile(predicted, np.broadcast_to(w, predicted.shape), [0.05, 0.5, 0.95])
    return {
        "row": row.id,
        "unit": row.unit,
        "value": row.value,
        "expected": float(median),
        "low_90": float(low),
        "high_90": float(high),
        "p": 2 * min(below, 1 - below),
    }


def forecast_quantities(draws: Dataset, ledger: Ledger) -> dict[Label, DataArray]:
    """What a forecast is read for [chain, draw]: the total at the anchors, and each modality in the last year.

    By name as in `summary.csv`, year and modality; in millions.
    """
    years = ledger.report.anchors
    last = draws["revenue"].sel(year=years[-1]).sum(("region", "depth"))
    total = {(TOTAL, year, None): draws[TOTAL].sel(year=year) for year in years}
    return total | {("revenue", years[-1], m.name): last.sel(modality=m.name) for m in ledger.modalities}


def moved(
    before: Mapping[Label, DataArray],
    after: Mapping[Label, DataArray],
    unit: str,
    weights: Array | None = None,
    weights_before: Array | None = None,
) -> pd.DataFrame:
    """The forecast before and after.

    Parameters: `before` and `after`, see :func:`forecast_quantities`; `weights` [chain, draw], of `after`, and
    `weights_before`, None where they are equal. Returns two rows for each quantity that both have: `state`, mean, sd,
    median, the ends of the 50 and 90 % interval, and (`mcse_`) the Monte-Carlo error of the median and of the 90 %
    interval's ends.
    """
    rows = []
    for label in (label for label in before if label in after):
        named = dict(zip(("quantity", "year", "modality"), label, strict=True)) | {"unit": unit}
        rows.append({**named, "state": BEFORE, **_describe(before[label], weights_before)})
        rows.append({**named, "state": AFTER, **_describe(after[label], weights)})
    return pd.DataFrame(rows)


def _describe(draws: DataArray, weights: Array | None) -> dict[str, float]:
    x = flat(draws).reshape(draws.sizes["chain"], -1)
    w = np.full(x.shape, 1 / x.size) if weights is None else weights
    mean = float((w * x).sum())
    ends = quantile(x, w, list(BANDS.values()))
    out = {
        "mean": mean,
        "sd": float(np.sqrt((w * (x - mean) ** 2).sum())),
        **dict(zip(BANDS, ends.tolist(), strict=True)),
    }
    return out | {f"mcse_{name}": quantile_error(x, w, BANDS[name]) for name in WITH_ERROR}


def brief(table: pd.DataFrame, names: tuple[str, str] = (BEFORE, AFTER)) -> pd.DataFrame:
    """The table of :func:`moved` as a terminal shows it: both sides by these names, the median with its error."""
    sides = [table[table["state"] == state].reset_index() for state in (BEFORE, AFTER)]
    out = pd.DataFrame({"revenue": sides[0]["modality"].fillna("total"), "year": sides[0]["year"]})
    for state, side in zip(names, sides, strict=True):
        out[state] = [f"{m:,.0f} ± {e:.1g}" for m, e in zip(side["median"], side["mcse_median"], strict=True)]
        for width in (50, 90):
            ends = zip(side[f"low_{width}"], side[f"high_{width}"], strict=True)
            out[f"{width} % {state}"] = [f"{low:,.0f} - {high:,.0f}" for low, high in ends]
    return out


# ---- files ---------------------------------------------------------------------------------------------------------


def save_update(result: Update, run: Run, files: Sequence[Path], out: Path) -> None:
    """Write the updated run: its prior set, weights, tables, and a manifest that names the run whose draws it weights.

    `weights.csv` has one row per draw, numbered from one as in exported files: `.chain`, `.iteration`, `.draw`,
    `weight`. The files of evidence, `evidence-1.csv` and on, are those of the run and the new ones. Raises
    :class:`InputError` where `out` holds anything but an earlier update or cannot be written, and where the weights
    were refused.
    """
    if result.moved is None:
        raise InputError(f"{run.label}: {result.weights.refused}: there are no weights to write: refit")
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
        "evidence": dict(run.manifest.get("evidence", {})) | {path.name: sha256(path) for path in files},
        "weights": {key: finite(about[key]) for key in ("k", "limit", "ess")},
    }
    with new_folder(out) as folder:
        (folder / INPUTS).write_text(result.priors.to_json(), encoding="utf-8")
        result.moved.to_csv(folder / "update.csv", index=False)
        result.rows.to_csv(folder / "evidence.csv", index=False)
        weights.to_csv(folder / WEIGHTS, index=False)
        for name, path in _evidence_files(run, files).items():
            shutil.copyfile(path, folder / name)
        write_manifest(record, folder)


def refit(
    result: Update, run: Run, files: Sequence[Path], out: Path, progress: Progress | None = None
) -> tuple[Forecast, pd.DataFrame]:
    """Fit the model to all evidence, as the run was fitted, and write the run folder `out`.

    Returns the forecast, and the table of :func:`moved`. Raises :class:`InputError` where `out` is the run itself,
    holds anything but an earlier run, or cannot be written.
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
    return made, moved(forecast_quantities(before, ledger), forecast_quantities(after, ledger), run.money)


def _evidence_files(run: Run, files: Sequence[Path]) -> dict[str, Path]:
    """Every file of evidence, the run's and the new ones, by the name under which it is kept."""
    kept = [sorted(folder.glob("evidence-*.csv")) for folder in run.folders]
    earlier = sorted(next(filter(None, kept), []), key=lambda path: (len(path.name), path.name))
    return {f"evidence-{k}.csv": path for k, path in enumerate([*earlier, *files], start=1)}
