"""The runs that the documents quote: made by commands when they are asked for, and read from the files these write."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base import array_stats

from postcgrp.priors.files import FOLDERS

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs" / "docs"
DEALS = ("implantable_pivotal", "noninvasive_us", "pharmacologic_royalty")
SETS = ("bear", "bottom-up", "bull", "enthusiast", "sceptic", "vague")
VIEWS = ("report", *(name.replace("-", "_") for name in SETS), "trust_low", "trust_high", "coverage_50", "coverage_80")
Table = Any  # a DataFrame; the types of pandas allow a cell to be anything, so arithmetic on one checks as nothing

VENDOR = ["--evidence", "docs/examples/second_vendor.csv"]
ACTUALS = ["--evidence", "docs/examples/actuals.csv"]
# Every command, by the name of the folder in RUNS that it writes; {NAME} is the folder of another.
COMMANDS: dict[str, list[str]] = {
    "report": ["forecast", "--seed", "1"],
    **{
        name: ["forecast", "--seed", "1", *options]
        for name, options in {
            "trust_low": ["--trust", "low"],
            "trust_high": ["--trust", "high"],
            "coverage_50": ["--coverage", "0.5"],
            "coverage_80": ["--coverage", "0.8"],
            **{name.replace("-", "_"): ["--priors", name] for name in SETS},
            "three_changes": ["--trust", "low", "--coverage", "0.5", "--leave-out", "revenue_2030"],
        }.items()
    },
    **{
        name + suffix: ["update", "{report}", *evidence, *options]
        for name, evidence in {"vendor": VENDOR, "actuals": ACTUALS, "both": [*VENDOR, *ACTUALS]}.items()
        for suffix, options in {"": [], "_refit": ["--refit"]}.items()
    },
    # What `--refit` fits, but with twice the draws: with 1 000, the tail of one variable is too thin at this seed.
    "both_refit": ["forecast", "--seed", "1", "--draws", "2000", *VENDOR, *ACTUALS],
    **{
        f"to_{name}": ["compare", "{report}", f"{{{name}}}"]
        for name in ("vendor_refit", "actuals_refit", "both_refit", "trust_low", "three_changes", "bottom_up")
    },
    **{f"value_{name}": ["value", f"{{{name}}}", "--deal", f"docs/examples/{DEALS[0]}.toml"] for name in VIEWS},
    "figures": ["figures", "{report}", "--to", "png"],
    "funnel": ["funnel", "--seed", "1"],
    "exposure": ["exposure", "{report}", "--seed", "1"],
    "value": ["value", "{report}", *(word for deal in DEALS for word in ("--deal", f"docs/examples/{deal}.toml"))],
}


def source_hash() -> str:
    """Sha256 of every file that a run depends on."""
    paths = (p for name in FOLDERS for p in sorted((ROOT / name).rglob("*")) if p.suffix in (".py", ".toml", ".j2"))
    files = [*paths, *sorted((ROOT / "docs" / "examples").iterdir())]
    return hashlib.sha256(b"".join(str(p.relative_to(ROOT)).encode() + p.read_bytes() for p in files)).hexdigest()


def drop_stale_runs() -> None:
    """Remove the runs of other source."""
    stamp = RUNS / "source.sha256"
    if not stamp.is_file() or stamp.read_text() != source_hash():
        shutil.rmtree(RUNS, ignore_errors=True)
        RUNS.mkdir(parents=True)
        stamp.write_text(source_hash())


@cache
def made(name: str) -> Path:
    """The folder of a command, run first if it was not."""
    folder = RUNS / name
    words = [re.sub(r"\{(\w+)\}", lambda m: str(made(m[1]).relative_to(ROOT)), word) for word in COMMANDS[name]]
    if not _finished(folder):
        print(f"{name}: postcgrp {' '.join(words)}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "postcgrp.reports.cli.main", *words, "--out", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return folder


def _finished(folder: Path) -> bool:
    manifest = folder / "manifest.json"
    return manifest.is_file() and json.loads(manifest.read_text()).get("status") != "unfinished"


@cache
def csv(name: str, file: str) -> Table:
    """A table of a command's folder."""
    return pd.read_csv(made(name) / f"{file}.csv", keep_default_na=False, na_values=[""])


def rows(name: str, file: str, index: str, **where: object) -> Table:
    """The rows of a table that hold these values, by the column `index`; None stands for an empty cell."""
    table = csv(name, file)
    for column, value in where.items():
        table = table[table[column].isna() if value is None else table[column] == value]
    return table.set_index(index)


def total(name: str) -> Table:
    """Total revenue of a forecast, by year."""
    return rows(name, "summary", "year", quantity="revenue_total")


def mean_error(name: str) -> float:
    """The Monte-Carlo error of the mean total of the last year."""
    with xr.open_dataset(made(name) / "posterior.nc", group="posterior", engine="netcdf4") as posterior:
        draws = posterior["revenue_total"].isel(year=-1).values
    return float(array_stats.mcse(np.asarray(draws), method="mean"))
