"""Files: replaced whole or not at all, and named by their content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, which replaces it when all went well and is gone when not.

    Its name is of this call alone, so that two processes, or two threads, can replace the same file. Raises `OSError`.
    """
    beside = path.with_name(f".{path.name}.partial-{os.getpid()}-{token_hex(4)}")
    try:
        yield beside
        beside.replace(path)
    finally:
        with suppress(OSError):  # where a folder on the way is a file
            beside.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
