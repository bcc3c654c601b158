"""Helpers for files that the whole package uses: replace a file in one step, hash a file."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FOLDERS = ("priors", "models", "inference", "reports")  # of the package's source, as data flows


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` to write to, and renames it onto `path` when the block ends.

    Whoever reads `path` sees the old content or the new, never part of either. If the block raises, `path` keeps its
    old content and the temporary file is removed. The temporary name is unique to the process and the call, so writers
    of the same file do not disturb each other: the last to finish wins. It keeps the suffix of `path`, by which some
    writers choose their format. A link is followed: what it points to is replaced. Raises :class:`FileNotFoundError` if
    the folder is missing, before anything is computed, or if the block wrote nothing, and :class:`FileExistsError` for
    a device or a pipe, which a file would take the place of.
    """
    path = Path(path).resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        raise FileExistsError(errno.EEXIST, "is no ordinary file", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(8)}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        with suppress(OSError):  # the error that led here says more
            temporary.unlink(missing_ok=True)


def sha256(path: str | Path) -> str:
    """Returns the SHA-256 of a file's content, in hexadecimal. Raises :class:`OSError` if it cannot be read."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
