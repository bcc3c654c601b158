"""Input files that can be read only once, such as the pipe behind `--evidence <(zcat a.csv.gz)`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from postcgrp.priors.errors import InputError

# Options that name files to read.
INPUT_FILES = ("report", "assumptions", "priors", "diff", "evidence", "deal", "net_benefit", "inputs")


@contextmanager
def readable_again(options: argparse.Namespace) -> Iterator[None]:
    """While the block runs, options that name pipes name files with what the pipes held, read once.

    A command parses a file, keeps a copy of it beside its result and writes down its sha256: of a pipe, each of these
    after the first would find nothing. Raises :class:`InputError` for a pipe that cannot be read.
    """
    with TemporaryDirectory(prefix="postcgrp-") as folder:

        def steady(given: Any) -> Any:
            if isinstance(given, list):
                return [steady(each) for each in given]
            if not isinstance(given, (str, Path)) or not (Path(given).is_fifo() or Path(given).is_char_device()):
                return given
            copy = Path(folder) / f"{Path(given).name}{len(list(Path(folder).iterdir())) or ''}"
            try:
                copy.write_bytes(Path(given).read_bytes())
            except OSError as error:
                raise InputError(f"{given}: cannot be read ({error.strerror}): name a file") from None
            return type(given)(copy)

        for name in INPUT_FILES:
            if hasattr(options, name):
                setattr(options, name, steady(getattr(options, name)))
        yield
