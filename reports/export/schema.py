"""What an export holds, as data: quantities, columns, provenance, hashes (docs/schema.md describes it)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from xarray import Dataset

from postcgrp.priors import InputError, PriorSet
from postcgrp.priors.catalogue import MONEY_UNIT, SPEND_UNIT
from postcgrp.reports.runs.folder import as_json

NAME = "postcgrp.export"
_MAJOR, MINOR = 1, 1
KEY = "postcgrp"  # of the header in a file's metadata
_FRACTION = "fraction"
Header = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A key: its name in tables, its name in arrays (NetCDF allows no leading dot), its type, what it is."""

    name: str
    array: str
    dtype: str
    about: str


DRAW_COLUMNS = (
    Column(".chain", "chain", "int32", "Markov chain, from 1"),
    Column(".iteration", "iteration", "int32", "draw within its chain, from 1"),
    Column(".draw", "draw", "int32", "draw among those of all chains, from 1: the same number is the same world"),
)
DIMS = (
    Column("year", "year", "int32", "calendar year"),
    Column("region", "region", "string", "region, as the ledger names it"),
    Column("depth", "depth", "string", "failure depth, as the ledger names it"),
    Column("modality", "modality", "string", "treatment modality, as the ledger names it"),
    Column("line", "line", "string", "line of a modality, as the ledger names it"),
    Column("launch", "launch", "string", "what is to be launched: a modality or a pipeline line"),
    Column("country", "country", "string", "country, as the ledger's shares name it"),
    Column("company", "company", "string", "company, as the ledger's shares name it"),
    Column("part", "part", "string", "what a company sells: a line where the run has lines, else a modality"),
)
LABELS = tuple(column.name for column in DIMS)
CELLS = LABELS[:4]
LINES = (*CELLS[:3], "line")
TYPES = {column.name: column.dtype.replace("string", "str") for column in DIMS}  # as numpy calls them


@dataclass(frozen=True)
class Quantity:
    """One table: its name, dims beside the draw, unit (currency open), meaning.

    `over`: dims that it is a total or a mean over, so that no part of them can be chosen; `uptake`: where several
    modalities have this uptake, there is one table for each, with the modality's name behind the quantity's.
    """

    name: str
    dims: tuple[str, ...]
    unit: str
    about: str
    over: tuple[str, ...] = ()
    uptake: str | None = None
    dtype: str = "float64"


QUANTITIES = (
    Quantity("revenue", CELLS, MONEY_UNIT, "revenue in money of its year (nominal): patients x use x intensity"),
    Quantity("revenue_total", ("year",), MONEY_UNIT, "revenue of the whole market: the sum of all cells", CELLS[1:]),
    Quantity("patients", CELLS[:3], "patients", "patients in the market"),
    Quantity("use", CELLS, _FRACTION, "patients who use the modality; of a launched one, new procedures a year"),
    Quantity("intensity", CELLS, SPEND_UNIT, "spend per user and year, nominal"),
    Quantity("price", ("year", "modality"), SPEND_UNIT, "mean spend per user and year, nominal", CELLS[1:3]),
    Quantity("adoption", CELLS[:3], _FRACTION, "patients who adopted the modality", uptake="adoption"),
    Quantity("adoption_mean", ("year",), _FRACTION, "its patient-weighted mean", CELLS[1:3], uptake="adoption"),
    Quantity("acute_use", CELLS[1:3], _FRACTION, "patients who use acute medication on ten days a month or more"),
    Quantity("moh", CELLS[1:3], _FRACTION, "patients with medication-overuse headache"),
    Quantity("payer_block", ("region",), _FRACTION, "patients with two or more denials by their payer"),
    Quantity("revenue_line", LINES, MONEY_UNIT, "revenue by line, nominal: those of a modality sum to its revenue"),
    Quantity("use_line", LINES, _FRACTION, "the modality's users who use the line; lines overlap"),
    Quantity("persistence", ("line", "region"), _FRACTION, "part of a year that a user of the line is paid for"),
    Quantity("success", ("launch",), _FRACTION, "whether a launch succeeds: 1 or 0"),
)


@dataclass(frozen=True)
class Export:
    """What every format holds: arrays [draw, ...] with one-based draw numbers, and the header that vouches for them."""

    data: Dataset
    header: Header


def quantities(pset: PriorSet) -> dict[str, Quantity]:
    """The quantities that a run may have, by table name, units in the report's currency."""
    out: dict[str, Quantity] = {}
    for quantity in QUANTITIES:
        of = quantity.uptake
        names = [pset.own(quantity.name, m) for m in pset.modalities(of)] if of else [quantity.name]
        unit = quantity.unit.format(currency=pset.ledger.report.currency)
        out |= {name: replace(quantity, name=name, unit=unit) for name in names}
    return out


def make_header(
    data: Dataset, held: Mapping[str, Quantity], record: Mapping[str, Any], recipe: str, thinning: Mapping[str, Any]
) -> Header:
    """The header of `data`: schema, tables with their hashes, and the recipe of the run they come from.

    Parameters: `record`, the run's manifest; `recipe`, its effective priors and evidence as text; `thinning`, see
    :mod:`postcgrp.reports.export.thinning`.
    """
    text = as_json(record, indent=1) + "\n"  # as the manifest's file has it, so that sha256sum gives the same
    header: Header = {
        "schema": f"{NAME}/{_MAJOR}.{MINOR}",
        "draws": {"count": data.sizes["draw"], "sha256": draws_sha256(data)},
        "thinning": dict(thinning),
        "coords": {dim: data[dim].values.tolist() for dim in LABELS if dim in data.dims},
        "tables": {
            name: {
                "dims": list(quantity.dims),
                "unit": quantity.unit,
                "dtype": quantity.dtype,
                "about": quantity.about,
                "sha256": sha256_of_text(data[name].values),
            }
            for name, quantity in held.items()
        },
        "manifest_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "manifest": dict(record),
        "recipe": recipe.split("\n"),
    }
    return {"content_sha256": content_sha256(header), **header}


def sha256_of_text(values: ArrayLike) -> str:
    """sha256 of numbers in C order: the bits of little-endian float64, minus zero as zero."""
    return hashlib.sha256(np.asarray(values, dtype="<f8", order="C") + 0.0).hexdigest()


def draws_sha256(data: Dataset) -> str:
    """sha256 of the chain, iteration and draw numbers: three rows of little-endian int32."""
    keys = np.stack([data[column.array].values for column in DRAW_COLUMNS])
    return hashlib.sha256(keys.astype("<i4").tobytes()).hexdigest()


def content_sha256(header: Header) -> str:
    """sha256 of everything that is exported: of the header, which has the hash of every table, as compact JSON."""
    rest = {key: value for key, value in header.items() if key != "content_sha256"}
    return hashlib.sha256(as_json(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def dump(header: Header) -> str:
    """A header as a file holds it."""
    return as_json(header, indent=1)


def parse(text: str | bytes | None, path: Path) -> Header:
    """A header read from `path`, of a version that this program knows, and as it was written.

    Raises :class:`InputError` where there is none, it is of a newer major version, or it was changed.
    """
    try:
        header = json.loads(text or "")
        name, version = header["schema"].split("/")
        major = int(version.split(".")[0])
    except (ValueError, KeyError, TypeError, AttributeError):
        name = None
    if name != NAME:
        raise InputError(f"{path}: is no export of postcgrp, or its header was lost: run postcgrp export")
    if major > _MAJOR:
        raise InputError(
            f"{path}: has schema {version}, but this postcgrp reads up to {_MAJOR}.x: install a newer postcgrp, "
            "or export the run again with this one"
        )
    if header.get("content_sha256") != content_sha256(header):
        raise InputError(f"{path}: its header was changed (content_sha256 does not fit): run postcgrp export again")
    return dict(header)


def assemble(tables: Mapping[str, tuple[NDArray[np.int32], NDArray[np.float64]]], header: Header, path: Path) -> Export:
    """Tables read from `path` as one dataset, each held against its hash.

    Parameters: `tables`, for each name its chain, iteration and draw numbers [3, draw] and its values [draw, ...].
    Raises :class:`InputError` for a table that is not what was exported.
    """
    data = Dataset(coords={dim: np.array(some, dtype=TYPES[dim]) for dim, some in header["coords"].items()})
    for name, (keys, values) in tables.items():
        spec = header["tables"].get(name)
        if spec is None:
            raise InputError(f"{path}: table {name!r} is not of this export: remove it or run postcgrp export again")
        shape = (header["draws"]["count"], *(len(header["coords"][dim]) for dim in spec["dims"]))
        one = Dataset(coords={c.array: ("draw", keys[k]) for k, c in enumerate(DRAW_COLUMNS)})
        if values.shape != shape or draws_sha256(one) != header["draws"]["sha256"]:
            raise InputError(f"{path}: table {name!r} lacks draws or has others: run postcgrp export again")
        if sha256_of_text(values) != spec["sha256"]:
            lost = int((~np.isfinite(values)).sum())
            what = f"{lost} values are missing" if lost else "values were changed"
            raise InputError(f"{path}: table {name!r}: {what} (sha256 does not fit): run postcgrp export again")
        data = data.assign_coords(one.coords)
        data[name] = (("draw", *spec["dims"]), values, {"units": spec["unit"], "long_name": spec["about"]})
    return Export(data, header)
