"""Who is exposed to what, as a command and a notebook need it: the sentence, the tables, a folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from postcgrp.priors import InputError
from postcgrp.priors.files import sha256
from postcgrp.priors.ledger import load_ledger
from postcgrp.priors.shares import SHARES_GUIDE, load_shares
from postcgrp.priors.shipped import ASSUMPTIONS_FILE, SHARES_FILE
from postcgrp.reports.export.exporting import FORMATS
from postcgrp.reports.exposure.draws import exposure_export
from postcgrp.reports.exposure.figures import company_revenue
from postcgrp.reports.exposure.split import Exposure, divide_revenue
from postcgrp.reports.exposure.tables import company_table, country_table, exposure_sentence, exposure_table
from postcgrp.reports.runs.folder import check_files, write_manifest
from postcgrp.reports.runs.place import check_folder, new_folder
from postcgrp.reports.runs.run import Run

SCHEMA = "postcgrp.exposure/1"
DRAW_FORMATS = ("parquet", "csv")


@dataclass(frozen=True)
class ExposureAnswer:
    """Who is exposed to what: the sentence that answers first, the tables by the name of their file, and the draws."""

    sentence: str
    tables: dict[str, pd.DataFrame]
    exposure: Exposure


def exposure(
    run: Run, *, shares: Path | None = None, seed: int = 1, out: Path | None = None, draws: str | None = None
) -> ExposureAnswer:
    """Divide a run's revenue among countries and companies, and write the tables to the folder `out` if one is given.

    Parameters: `shares`, a file of shares (by default the run's own, see :func:`shares_file`); `seed`, of the shares;
    `draws`, parquet or csv: also write every draw, into the folder's `draws`. Raises :class:`InputError` where there
    are no shares or they do not fit the run, and for a folder that must not or cannot be written.
    """
    if seed < 0:
        raise InputError(f"--seed {seed}: is negative: use 0 or more")
    if draws is not None and draws not in DRAW_FORMATS:
        raise InputError(f"--draws {draws}: is not a format: use one of {', '.join(DRAW_FORMATS)}")
    if draws is not None and out is None:
        raise InputError(f"--draws {draws}: goes into the folder --out, which is not given: add it")
    if out is not None:
        check_folder(out, SCHEMA)
    path = shares_file(run) if shares is None else shares
    divided = divide_revenue(run, load_shares(run.priors.ledger, path), seed)
    tables = {
        "countries": country_table(divided, run.money),
        "companies": company_table(divided, run.money),
        "exposure": exposure_table(divided),
    }
    answer = ExposureAnswer(exposure_sentence(divided, run.money), tables, divided)
    if out is not None:
        _write(answer, run, path, seed, out, draws)
    return answer


def shares_file(run: Run) -> Path:
    """The shares that a run was made with; for an older run of the shipped report, those that the package ships.

    Raises :class:`InputError` where there are neither, or where the run's own were changed.
    """
    if SHARES_FILE in run.fitted.manifest.get("files", {}):
        check_files(run.fitted.folder, run.fitted.manifest, SHARES_FILE)
        return run.fitted.folder / SHARES_FILE
    if run.priors.ledger.report.id != load_ledger().report.id:
        raise InputError(
            f"{run.label}: its ledger has no shares of countries and companies: write a {SHARES_FILE} beside its "
            f"assumptions ({SHARES_GUIDE}) and name it with --shares"
        )
    return ASSUMPTIONS_FILE.with_name(SHARES_FILE)


def _write(answer: ExposureAnswer, run: Run, shares: Path, seed: int, out: Path, draws: str | None) -> None:
    record = {
        "schema": SCHEMA,
        **run.provenance,
        "shares_sha256": sha256(shares),
        "seed": seed,
        "sentence": answer.sentence,
        "draws": draws,
    }
    with new_folder(out) as folder:
        for name, table in answer.tables.items():
            table.to_csv(folder / f"{name}.csv", index=False)
        spec = company_revenue(answer.tables["companies"], run.priors.ledger.report.last_year)
        (folder / "companies.vl.json").write_text(json.dumps(spec, indent=1) + "\n", encoding="utf-8")
        shutil.copyfile(shares, folder / SHARES_FILE)
        if draws is not None:
            (folder / "draws").mkdir()
            FORMATS[draws].write(exposure_export(run, answer.exposure), folder / "draws", "long")
        write_manifest(record, folder)
