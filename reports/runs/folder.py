"""Run folders: written beside and renamed, with the recipe of every number in them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr
from xarray import DataTree, Variable
from xarray.conventions import cf_encoder, encode_dataset_coordinates

from postcgrp.priors import InputError, PriorSet, from_json

if TYPE_CHECKING:  # importing inference starts JAX, which refusing a bad output folder must not wait for
    from postcgrp.inference import Check, Clock, Sampling

NAME, MAJOR = "postcgrp.run", 1
SCHEMA = f"{NAME}/{MAJOR}"
MANIFEST = "manifest.json"
DRAWS = "posterior.nc"
INPUTS = "inputs.json"  # of the prior set; the files it was read from lie beside it
WRITTEN = ("status", "created", "recipe_sha256")  # by every run; what is made of a run repeats them
LIBRARIES = ("postcgrp", "pymc", "pytensor", "jax", "jaxlib", "numpyro", "blackjax", "arviz-stats", "numpy", "xarray")
BYTES_PER_DRAW = 20_000  # a little more than the real report's draws take


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
        "versions": {name: version(name) for name in LIBRARIES},
        "gate": [asdict(check) for check in checks],
        "seconds": {stage: round(seconds, 3) for stage, seconds in clock.seconds.items()},
    }


def check_target(out: Path) -> None:
    """Refuse an output folder that cannot be written or that holds something other than an earlier run.

    Raises :class:`InputError`.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file: name a folder")
    if out.is_dir() and any(out.iterdir()) and not _is_run(out):
        raise InputError(f"--out {out}: holds other files: name a new folder or an earlier run's")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with _beside(out) as trial:
            (trial / MANIFEST).write_bytes(b"{}")
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}): name a folder you may write to") from None


def working_folder(out: Path, schema: str) -> Path:
    """A folder whose finished parts stay when the work is interrupted: new, or begun earlier under the same schema.

    Raises :class:`InputError` where `out` holds anything else or cannot be written.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and _schema(out) != schema)):
        raise InputError(f"--out {out}: holds something else: name a new folder, or the one this work was begun in")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if _schema(out) != schema:
            (out / MANIFEST).write_text(json.dumps({"schema": schema, "status": "unfinished"}), encoding="utf-8")
        elif not os.access(out, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}): name a folder you may write to") from None
    return out


def check_space(out: Path, draws: int) -> None:
    """Refuse to begin a run whose draws (all chains') would not fit on the disk. Raises :class:`InputError`."""
    needed, free = draws * BYTES_PER_DRAW, shutil.disk_usage(out.parent).free
    if free < needed:
        raise InputError(
            f"--out {out}: {free / 1e6:,.0f} MB are free, but the draws need some {needed / 1e6:,.0f} MB: "
            "free some space or lower --draws"
        )


@contextmanager
def run_folder(out: Path) -> Iterator[Path]:
    """A folder to write a run into, which becomes `out` when all went well and is gone when not.

    Raises :class:`InputError` when the disk is full or the folder cannot be written.
    """
    try:
        with _beside(out) as folder:
            yield folder
            _swap(folder, out)
    except OSError as error:
        raise InputError(
            f"--out {out}: writing failed ({error.strerror or error}): nothing was changed there"
        ) from None


def write_draws(run: DataTree, recipe: str, record: dict[str, Any], folder: Path) -> str:
    """The DataTree as NetCDF, its recipe in the attributes; returns the file's sha256."""
    run.attrs.update(schema=SCHEMA, manifest=json.dumps(record), recipe=recipe)
    try:
        _write_tree(run, folder / DRAWS)
    except RuntimeError as error:  # netCDF's own library says no more than this
        raise OSError(f"{error}: the disk may be full") from None
    return _sha256(folder / DRAWS)


def _write_tree(run: DataTree, path: Path) -> None:
    """What `run.to_netcdf(path, engine="netcdf4")` writes, in a quarter of the time.

    That defines a variable, fills it, and defines the next, for which the library goes over all metadata again. Not by
    h5netcdf: it takes longer still, and on a full disk h5py brings the whole process down.
    """
    import netCDF4

    filled: list[tuple[Any, Variable]] = []
    with netCDF4.Dataset(path, "w") as file:
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


def write_manifest(record: dict[str, Any], folder: Path, known: Mapping[str, str] | None = None) -> None:
    """The manifest, with the sha256 of every other file of the folder, `known` where it was computed before."""
    paths = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = {name: (known or {}).get(name) or _sha256(path) for name, path in paths.items()}
    (folder / MANIFEST).write_text(json.dumps({**record, "files": files}, indent=1) + "\n", encoding="utf-8")


def load_run(folder: Path) -> tuple[DataTree, PriorSet, dict[str, Any]]:
    """A run's draws, the prior set it was made from, and its manifest.

    Raises :class:`InputError` for a folder that is no run or of a newer major version, and where draws, prior set or
    manifest are not those of the run.
    """
    record = read_manifest(folder)
    if lacking := [key for key in WRITTEN if not isinstance(record.get(key), str)]:
        raise InputError(f"{folder / MANIFEST}: has no {lacking[0]!r} as a run writes it: run the forecast again")
    check_files(folder, record, DRAWS, INPUTS)
    pset = read_inputs(folder)
    # Closed at once: where one handle is still open, the next one to the same file may bring the process down.
    with xr.open_datatree(folder / DRAWS, engine="netcdf4") as opened:
        run = opened.load()
    for name, value in json.loads(run.attrs.get("manifest", "{}")).items():
        # As text, for a gate's figure may be NaN; the clock went on after the draws were written.
        if name != "seconds" and json.dumps(record.get(name)) != json.dumps(value):
            raise InputError(f"{folder / MANIFEST}: {name!r} was changed after the run: run the forecast again")
    return run, pset, record


def read_manifest(folder: Path) -> dict[str, Any]:
    """A run's manifest, of any minor version of this major one. Raises :class:`InputError`."""
    try:
        record = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        name, version = record["schema"].split("/")
        major = int(version.split(".")[0])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        name = None
    if name == NAME and major > MAJOR:
        raise InputError(
            f"{folder}: has schema {version}, but this postcgrp reads runs up to {MAJOR}.x: install a newer postcgrp, "
            "or run the forecast again with this one"
        )
    if name != NAME or not isinstance(record.get("files"), dict):
        raise InputError(f"{folder}: is not a run folder of postcgrp: give the folder of a finished forecast")
    return dict(record)


def check_files(folder: Path, record: Mapping[str, Any], *names: str) -> None:
    """Refuse files of a run that are not those its manifest names. Raises :class:`InputError`."""
    for path in (folder / name for name in names):
        if not path.is_file() or _sha256(path) != record["files"].get(path.name):
            raise InputError(f"{path}: is missing or was changed after the run: run the forecast again")


def read_inputs(folder: Path) -> PriorSet:
    """The prior set of a run. Raises :class:`InputError` for one that this program does not know."""
    try:
        return from_json((folder / INPUTS).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(
            f"{folder / INPUTS}: is damaged or of another postcgrp ({why}): run the forecast again"
        ) from None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_run(folder: Path) -> bool:
    return _schema(folder) == SCHEMA


def _schema(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["schema"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    folder = out.parent / f".{out.name}.partial-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _swap(folder: Path, out: Path) -> None:
    """Rename `folder` to `out`; an earlier run there is moved aside first and removed last."""
    if not out.exists():
        folder.rename(out)
        return
    aside = out.parent / f".{out.name}.old-{os.getpid()}"
    out.rename(aside)
    try:
        folder.rename(out)
    except OSError:
        aside.rename(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)
