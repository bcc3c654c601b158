"""May results be written here, and writing them whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from postcgrp.priors import InputError
from postcgrp.priors.files import replacing

try:
    import fcntl
except ImportError:  # it is POSIX's; Windows has no lock on a folder
    fcntl = None  # type: ignore[assignment]

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


def beside(run: Path, suffix: str) -> Path:
    """A name beside a run folder, also where that is given as `.` or `..`, which is no place beside it."""
    place = run if run.name not in ("", "..") else run.resolve()
    return place.parent / f"{run.resolve().name}{suffix}"


def check_folder(out: Path, *schemas: str) -> None:
    """Refuse, before any work, a folder that cannot be written or holds anything but earlier results of these schemas.

    Results of another version of a schema are earlier ones too. Raises :class:`InputError`.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file: name a folder")
    if out.is_mount():
        raise InputError(f"--out {out}: is where a disk is mounted, which cannot be replaced: name a folder in it")
    kinds = [schema.split("/", 1)[0] for schema in schemas]
    if out.is_dir() and any(out.iterdir()) and (schema_of(out) or "").split("/", 1)[0] not in kinds:
        kind = kinds[0].removeprefix("postcgrp.")
        raise InputError(f"--out {out}: holds other files: name a new folder, or one that holds an earlier {kind}")
    check_parent(out)


def check_parent(out: Path) -> None:
    """Refuse a place in a folder that cannot be written; the folder is made where it is missing.

    Raises :class:`InputError`.
    """
    parent = out.resolve().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=parent) as trial:  # permission bits do not tell of a read-only file system
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


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write results into, which becomes `out` when all went well and is gone when not.

    Where `out` is a link, what it points to is written. Folders beside it that a killed process left unfinished are
    removed. Raises :class:`InputError` when the disk is full or the folder cannot be written.
    """
    target = out.resolve()
    with failing_as_input_error(out), ExitStack() as held:
        _clear(target)
        folder = _locked_folder(target, held)
        try:
            yield folder
            _swap(folder, target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _locked_folder(target: Path, held: ExitStack) -> Path:
    """A new hidden folder beside `target`, locked for as long as its process lives.

    The name is random and not the process's number: two containers may share the place and the number.
    """
    while True:
        folder = target.parent / f"{_hidden(target, 'partial')}{token_hex(8)}"
        folder.mkdir()
        try:
            held.enter_context(_locked(folder))
        except (BlockingIOError, FileNotFoundError):  # taken for a dead one before it was locked
            continue
        except OSError:  # no locks here, so nothing is ever taken for dead
            return folder
        if folder.exists():
            return folder


def _clear(target: Path) -> None:
    """Remove what killed processes left of earlier attempts at `target`, which nobody holds locked.

    Earlier results that were moved aside for new ones that never came are put back.
    """
    for folder in target.parent.glob(f"{escape(_hidden(target, ''))}*"):
        with suppress(OSError), _locked(folder):
            if folder.name.startswith(_hidden(target, "old")) and not target.exists():
                folder.rename(target)
            elif folder.name.startswith((_hidden(target, "old"), _hidden(target, "partial"))):
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """A lock on a folder, which ends with the process at the latest.

    Raises :class:`BlockingIOError` where another process holds it, else :class:`OSError` where it cannot be had: on a
    file system or an operating system without such locks. Nothing is ever taken for dead there, so what a killed
    process left stays until somebody removes it.
    """
    if fcntl is None:
        raise OSError(errno.ENOTSUP, "folders cannot be locked on this operating system")
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)


def _hidden(target: Path, kind: str) -> str:
    """How the names of folders on the way to `target` begin: those being written, and those moved aside."""
    return f".{target.name}.{kind}-" if kind else f".{target.name}."


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
    """Refuse, before the work, a place where :func:`save_csv` cannot write. Raises :class:`InputError`.

    What one table answers goes into a CSV file; what takes several files, into a folder (:func:`check_folder`).
    """
    if out is not None and (out.is_dir() or not out.parent.is_dir() or out.suffix in (".png", ".svg")):
        raise InputError(f"--out {out}: is no CSV file in a folder that exists: name one, such as {out.stem}.csv")


def _swap(folder: Path, out: Path) -> None:
    """Rename `folder` to `out`; earlier results there are moved aside first and removed last.

    Another process may write there at the same time: the last one wins.
    """
    moved: list[Path] = []
    with ExitStack() as held:
        while True:
            try:
                folder.rename(out)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    for aside in moved[-1:]:
                        aside.rename(out)
                    raise
            with suppress(OSError):
                held.enter_context(_locked(out))
            with suppress(FileNotFoundError):  # another process has moved it
                aside = folder.with_name(f"{_hidden(out, 'old')}{token_hex(8)}")
                out.rename(aside)
                moved.append(aside)
        for aside in moved:
            shutil.rmtree(aside, ignore_errors=True)
