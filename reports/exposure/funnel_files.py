"""The patient funnel as a folder: its tables, its figure's specification, the ranges, and a manifest."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from xarray import Dataset

from postcgrp.priors import InputError, Ledger
from postcgrp.priors.files import sha256
from postcgrp.priors.funnel import Funnel, funnel_beside, load_funnel
from postcgrp.priors.settings import Settings
from postcgrp.priors.shipped import FUNNEL_FILE
from postcgrp.reports.exposure.figures import funnel as funnel_figure
from postcgrp.reports.exposure.funnel import FUNNEL_DRAWS, funnel_draws, funnel_verdict
from postcgrp.reports.exposure.funnel_tables import (
    eligible_patients,
    exposure_by_botox,
    funnel_table,
    must_be_true,
    pool_evidence,
    pool_path,
)
from postcgrp.reports.runs.folder import write_manifest
from postcgrp.reports.runs.place import check_folder, new_folder

SCHEMA = "postcgrp.funnel/1"
LEAST_DRAWS, MOST_DRAWS = 1_000, 100_000  # fewer leave the tails to chance, more take gigabytes


@dataclass(frozen=True)
class FunnelAnswer:
    """What the funnel says: the sentence that answers first, and every table by the name of its file."""

    verdict: str
    tables: dict[str, pd.DataFrame]


def patient_funnel(
    ledger: Ledger,
    path: Path | None = None,
    *,
    draws: int = FUNNEL_DRAWS,
    seed: int = 1,
    coverage: float = Settings.coverage,
    out: Path | None = None,
) -> FunnelAnswer:
    """Draw a ledger's funnel, compare its pool with the claimed one, and write the tables to `out` if it is given.

    Parameters: `path`, the file of the funnel, by default the shipped one; `coverage`, the mass inside every range.
    Raises :class:`InputError` for a funnel that does not fit the ledger, too few or many draws, a negative seed, a
    coverage that is none, and a folder that must not or cannot be written.
    """
    if not LEAST_DRAWS <= draws <= MOST_DRAWS:
        raise InputError(f"--draws {draws}: use {LEAST_DRAWS:,} to {MOST_DRAWS:,}")
    if seed < 0:
        raise InputError(f"--seed {seed}: is negative: use 0 or more")
    if not 0 < coverage < 1:
        raise InputError(f"--coverage {coverage:g}: is not inside 0..1: use one such as {Settings.coverage}")
    path = funnel_beside() if path is None else path
    funnel = load_funnel(ledger, path)
    if out is not None:
        check_folder(out, SCHEMA)
    drawn = funnel_draws(funnel, ledger, draws, seed, coverage)
    answer = FunnelAnswer(funnel_verdict(drawn, funnel, ledger), _tables(drawn, funnel, ledger))
    if out is not None:
        record = {
            "schema": SCHEMA,
            "report": ledger.report.model_dump(mode="json"),
            "funnel_sha256": sha256(path),
            "draws": draws,
            "seed": seed,
            "coverage": coverage,
            "verdict": answer.verdict,
        }
        with new_folder(out) as folder:
            for name, table in answer.tables.items():
                table.to_csv(folder / f"{name}.csv", index=False)
            spec = json.dumps(funnel_figure(answer.tables["funnel"]), indent=1) + "\n"
            (folder / "funnel.vl.json").write_text(spec, encoding="utf-8")
            shutil.copyfile(path, folder / FUNNEL_FILE)
            write_manifest(record, folder)
    return answer


def _tables(drawn: Dataset, funnel: Funnel, ledger: Ledger) -> dict[str, pd.DataFrame]:
    return {
        "funnel": funnel_table(drawn, funnel),
        "must_be_true": must_be_true(drawn, funnel, ledger),
        "pool_path": pool_path(drawn, funnel, ledger),
        "eligible": eligible_patients(drawn, funnel),
        "exposure_by_botox": exposure_by_botox(drawn, funnel),
        "evidence": pool_evidence(drawn, funnel),
    }
