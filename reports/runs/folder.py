"""What lies in the folder of a run: manifest, prior set and draws, written and read back."""

from __future__ import annotations

import json
import math
import platform
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from os.path import normpath
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr
from xarray import Dataset, DataTree, Variable
from xarray.conventions import cf_encoder, encode_dataset_coordinates

from postcgrp.inference.convergence import Check
from postcgrp.inference.progress import Clock
from postcgrp.inference.settings import Sampling
from postcgrp.priors import InputError, PriorSet, from_json
from postcgrp.priors.files import replacing, sha256
from postcgrp.reports.runs.place import MANIFEST

_MAJOR = 2  # of what a run holds: 1 is the model without lines
RUN, UPDATE = "postcgrp.run", "postcgrp.update"
SCHEMA, UPDATE_SCHEMA = f"{RUN}/{_MAJOR}.2", f"{UPDATE}/{_MAJOR}.2"
_PORTABLE = (2, 2)  # since this version the recipe leaves out digits that differ from one processor to another
WEIGHTS = "weights.csv"
DRAWS = "posterior.nc"
INPUTS = "inputs.json"  # of the prior set; the files it was read from lie beside it
MIXTURE = "linear_pool"  # in the manifest of a run that is a mixture of others: these, with their weights
WRITTEN = ("status", "created", "recipe_sha256")  # by every run; what is made of a run repeats them
LIBRARIES = ("postcgrp", "pymc", "pytensor", "jax", "jaxlib", "numpyro", "blackjax", "arviz-stats", "numpy", "xarray")
BYTES_PER_DRAW = 40_000  # a little more than the real report's draws take
# netCDF's C library keeps its state in globals: two threads inside it bring the process down, whatever their files.
_NETCDF = threading.RLock()


def manifest(
    pset: PriorSet, sampling: Sampling, checks: tuple[Check, ...], status: str, clock: Clock, backend: str
) -> dict[str, Any]:
    """The recipe of a run: priors, evidence, seed, sampler, backend, versions, and the gate's verdict."""
    return {
        "schema": SCHEMA,
        "status": status,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "report": pset.ledger.report.model_dump(mode="json"),
        "settings": asdict(pset.settings),
        "recipe_sha256": pset.fingerprint(),
        "sampling": asdict(sampling),
        "backend": backend,
        "float": "float64",
        "python": platform.python_version(),
        "versions": versions(),
        "gate": [asdict(check) for check in checks],
        "seconds": {stage: round(seconds, 3) for stage, seconds in clock.seconds.items()},
    }


def check_space(out: Path, draws: int) -> None:
    """Refuse to begin a run whose draws (all chains') would not fit on the disk. Raises :class:`InputError`."""
    needed, free = draws * BYTES_PER_DRAW, shutil.disk_usage(out.resolve().parent).free
    if free < needed:
        raise InputError(
            f"--out {out}: {free / 1e6:,.0f} MB are free, but the draws need some {needed / 1e6:,.0f} MB: "
            "free some space or lower --draws"
        )


def write_files(folder: Path, pset: PriorSet, tables: Mapping[str, pd.DataFrame], kept: Mapping[str, bytes]) -> None:
    """Write what a run folder holds beside its draws, its page and its manifest.

    Parameters: `tables` by the name of their CSV file; `kept`, files that the prior set was read from, by name.
    """
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    (folder / INPUTS).write_text(pset.to_json(), encoding="utf-8")
    (folder / "recipe.txt").write_text(pset.recipe(), encoding="utf-8")
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)


def write_draws(run: DataTree, recipe: str, record: dict[str, Any], folder: Path) -> str:
    """The DataTree as NetCDF, its recipe in the attributes; returns the file's sha256."""
    run.attrs.update(schema=SCHEMA, manifest=as_json(record), recipe=recipe)
    try:
        _write_tree(run, folder / DRAWS)
    except RuntimeError as error:  # netCDF's own library says no more than this
        raise OSError(f"{error}: the disk may be full") from None
    return sha256(folder / DRAWS)


def _write_tree(run: DataTree, path: Path) -> None:
    """What `run.to_netcdf(path, engine="netcdf4")` writes, in a quarter of the time.

    That defines a variable, fills it, and defines the next, for which the library goes over all metadata again. Not by
    h5netcdf: it takes longer still, and on a full disk h5py brings the whole process down.
    """
    import netCDF4

    filled: list[tuple[Any, Variable]] = []
    with _NETCDF, netCDF4.Dataset(path, "w") as file:
        for node in run.subtree:
            into = file if node is run else file.createGroup(node.path)
            data = node.to_dataset(inherit=False)
            variables, attributes = cf_encoder(*encode_dataset_coordinates(data))
            into.setncatts(attributes)
            for dim, size in data.sizes.items():
                into.createDimension(str(dim), size)
            for name, encoded in variables.items():
                kind: Any = str if encoded.dtype.kind in "OU" else encoded.dtype
                attrs = dict(encoded.attrs)
                fill = attrs.pop("_FillValue", None)
                made = into.createVariable(str(name), kind, [str(dim) for dim in encoded.dims], fill_value=fill)
                made.setncatts(attrs)
                filled.append((made, encoded))
        for made, encoded in filled:
            made[...] = encoded.values


def write_manifest(record: Mapping[str, Any], folder: Path, known: Mapping[str, str] | None = None) -> None:
    """The manifest: what it records, the versions of the libraries, and the sha256 of every file of the folder.

    Parameters: `record`, with its `schema`; `known`, sha256 by name where it was computed before. Folders within the
    folder hold work in progress and are left out.
    """
    paths = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name != MANIFEST]
    content = {
        **record,
        "versions": versions(),
        "files": {path.name: (known or {}).get(path.name) or sha256(path) for path in paths},
    }
    with replacing(folder / MANIFEST) as beside:
        beside.write_text(as_json(content, indent=1) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run, fitted or updated by weights, of any minor version of this major one.

    Raises :class:`InputError` for a folder that is no run, or a run of another major version.
    """
    try:
        record = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        name, version = _schema(record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        name = None
    if name in (RUN, UPDATE) and version[0] != _MAJOR:
        other = "a newer postcgrp" if version[0] > _MAJOR else "the postcgrp that made it"
        raise InputError(
            f"{folder}: has schema {record['schema'].split('/')[1]}, but this postcgrp reads runs of {_MAJOR}.x, "
            f"as its model is another: run the forecast again with this one, or read it with {other}"
        )
    if name not in (RUN, UPDATE) or not isinstance(record.get("files"), dict):
        raise InputError(f"{folder}: is not a run folder of postcgrp: give the folder of a finished forecast")
    if lacking := [key for key in WRITTEN if not isinstance(record.get(key), str)]:
        raise InputError(f"{folder / MANIFEST}: has no {lacking[0]!r} as a run writes it: run the forecast again")
    return dict(record)


def versions() -> dict[str, str]:
    """The versions of this package and of the libraries that its numbers come from."""
    return {name: version(name) for name in LIBRARIES}


def as_json(content: Any, **layout: Any) -> str:
    """The JSON text of what a manifest or a header holds; numbers that are not finite are null, as JSON has none.

    Parameters: `layout`, of :func:`json.dumps`.
    """
    return json.dumps(_finite(content), allow_nan=False, **layout)


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _schema(record: Mapping[str, Any]) -> tuple[str, tuple[int, int]]:
    """Name and version (major, minor) of what a manifest's folder holds."""
    name, version = record["schema"].split("/")
    major, _, minor = version.partition(".")
    return name, (int(major), int(minor or 0))


def is_update(record: Mapping[str, Any]) -> bool:
    """Whether a manifest is that of a run updated by weights."""
    return _schema(record)[0] == UPDATE


def updated_run(folder: Path, record: Mapping[str, Any]) -> Path:
    """The folder of the run that an update's weights belong to, found from the update or as it was named then."""
    named = record["run"]
    places = (
        [Path(normpath(folder / named["relative"])), Path(named["folder"])]
        if "relative" in named
        else [Path(named["folder"])]
    )
    for place in places:
        if (place / MANIFEST).is_file():
            return place
    raise InputError(f"{folder}: updates the run {named['folder']}, which is not there: put it back, or update again")


def check_files(folder: Path, record: Mapping[str, Any], *names: str) -> None:
    """Refuse files of a run that are not those its manifest names. Raises :class:`InputError`."""
    for path in (folder / name for name in names):
        if not path.is_file() or sha256(path) != record["files"].get(path.name):
            raise InputError(f"{path}: is missing or was changed after the run: run the forecast again")


def check_embedded_manifest(folder: Path, record: Mapping[str, Any]) -> None:
    """Refuse a manifest that is not the one its draws were written with. Raises :class:`InputError`."""
    with opened_draws(folder) as opened:
        written = json.loads(opened.attrs.get("manifest", "{}"))
    for name, value in written.items():
        # Without what is not finite, which older runs hold; the clock went on after the draws were written.
        if name != "seconds" and as_json(record.get(name)) != as_json(value):
            raise InputError(f"{folder / MANIFEST}: {name!r} was changed after the run: run the forecast again")


def read_inputs(folder: Path, record: Mapping[str, Any]) -> PriorSet:
    """The prior set of a run, whose hash is that of the manifest.

    Raises :class:`InputError` for one that this program does not know, or that is not the run's.
    """
    check_files(folder, record, INPUTS)
    try:
        text = (folder / INPUTS).read_text(encoding="utf-8")
        priors = from_json(text)
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(
            f"{folder / INPUTS}: is damaged or of another postcgrp ({why}): run the forecast again"
        ) from None
    if _schema(record)[1] >= _PORTABLE and priors.fingerprint() != record["recipe_sha256"]:
        raise InputError(f"{folder / INPUTS}: is not the prior set that the manifest names: run the forecast again")
    return priors


@contextmanager
def opened_draws(folder: Path, group: str | None = None) -> Iterator[Dataset]:
    """One group of a run's draws, or the file's attributes, open for as long as the block takes.

    Other threads wait meanwhile. Closed at once: where one handle is still open, the next one to the same file may
    bring the process down.
    """
    with _NETCDF, xr.open_dataset(folder / DRAWS, group=group, engine="netcdf4") as opened:
        yield opened


def group_names(folder: Path) -> list[str]:
    """The groups of a run's draws."""
    import netCDF4

    with _NETCDF, netCDF4.Dataset(folder / DRAWS) as opened:
        return list(opened.groups)


def read_tree(folder: Path) -> DataTree:
    """Every group of a run's draws."""
    with _NETCDF, xr.open_datatree(folder / DRAWS, engine="netcdf4") as opened:
        return opened.load()
