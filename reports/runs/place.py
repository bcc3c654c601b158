"""May results be written here, and writing them whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from postcgrp.priors import InputError
from postcgrp.priors.files import replacing

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.json"
UNFINISHED = "unfinished"


def schema_of(folder: Path) -> str | None:
    """The schema of the results in a folder; None where it holds none."""
    try:
        return str(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["schema"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_folder(out: Path, schema: str) -> None:
    """Refuse, before any work, a folder that cannot be written or holds anything but earlier results of this schema.

    Raises :class:`InputError`.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file: name a folder")
    if out.is_dir() and any(out.iterdir()) and schema_of(out) != schema:
        kind = schema.split("/", 1)[0].removeprefix("postcgrp.")
        raise InputError(f"--out {out}: holds other files: name a new folder, or one that holds an earlier {kind}")
    check_parent(out)


def check_parent(out: Path) -> None:
    """Refuse a place in a folder that cannot be written; the folder is made where it is missing.

    Raises :class:`InputError`.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out.parent) as trial:  # permission bits do not tell of a read-only file system
            trial.write(b"{}")
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}): name a place you may write to") from None


def working_folder(out: Path, schema: str) -> Path:
    """A folder whose finished parts stay when the work is interrupted: new, or begun earlier under the same schema.

    Raises :class:`InputError` where `out` holds anything else or cannot be written.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and schema_of(out) != schema)):
        raise InputError(f"--out {out}: holds other files: name a new folder, or the one this work was begun in")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if schema_of(out) != schema:
            (out / MANIFEST).write_text(json.dumps({"schema": schema, "status": UNFINISHED}), encoding="utf-8")
        elif not os.access(out, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}): name a folder you may write to") from None
    return out


def beside(run: Path, suffix: str) -> Path:
    """A name beside a run folder, also where that is given as `.` or `..`, which is no place beside it."""
    place = run if run.name not in ("", "..") else run.resolve()
    return place.parent / f"{run.resolve().name}{suffix}"


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write results into, which becomes `out` when all went well and is gone when not.

    Raises :class:`InputError` when the disk is full or the folder cannot be written.
    """
    with failing_as_input_error(out):
        folder = out.parent / f".{out.name}.partial-{os.getpid()}-{token_hex(4)}"
        folder.mkdir()
        try:
            yield folder
            _swap(folder, out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_file(out: Path) -> Iterator[Path]:
    """A path to write a file to, which becomes `out` when all went well and is gone when not.

    Raises :class:`InputError` when the disk is full or the file cannot be written.
    """
    with failing_as_input_error(out), replacing(out) as beside:
        yield beside


@contextmanager
def failing_as_input_error(out: Path) -> Iterator[None]:
    """What the operating system refuses, as one line that names `out`. Raises :class:`InputError`."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"--out {out}: cannot be written ({error.strerror or error}): nothing was changed there; name another place"
        ) from None


def save_csv(table: pd.DataFrame, out: Path | None) -> None:
    """Write a table where the user asked for it, whole or not at all. Raises :class:`InputError`."""
    if out is not None:
        save_text(table.to_csv(index=False), out)


def save_text(text: str, out: Path) -> None:
    """Write a text file, whole or not at all. Raises :class:`InputError`."""
    with new_file(out) as beside:
        beside.write_text(text, encoding="utf-8", newline="")


def check_csv(out: Path | None) -> None:
    """Refuse, before the work, a place where :func:`save_csv` cannot write. Raises :class:`InputError`."""
    if out is not None and (out.is_dir() or not out.parent.is_dir() or out.suffix in (".png", ".svg")):
        raise InputError(f"--out {out}: is no CSV file in a folder that exists: name one")


def _swap(folder: Path, out: Path) -> None:
    """Rename `folder` to `out`; earlier results there are moved aside first and removed last."""
    if not out.exists():
        folder.rename(out)
        return
    aside = folder.with_name(f".{out.name}.old-{os.getpid()}-{token_hex(4)}")
    out.rename(aside)
    try:
        folder.rename(out)
    except OSError:
        aside.rename(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)
