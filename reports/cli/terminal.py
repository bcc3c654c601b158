"""What a command says: tables, lines and progress on a terminal, plain text elsewhere, and tables as files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from postcgrp.priors import InputError

DONE, BAD_INPUT, GATE_FAILED, INTERRUPTED = 0, 2, 3, 130  # exit statuses
Verb = Callable[..., argparse.ArgumentParser]  # declares a command: its name, its function, what it does


def check_csv(out: Path | None) -> None:
    """Refuse, before the work, a place where :func:`save_csv` cannot write. Raises :class:`InputError`."""
    if out is not None and (out.is_dir() or not out.parent.is_dir() or out.suffix in (".png", ".svg")):
        raise InputError(f"--out {out}: is no CSV file in a folder that exists: name one")


def save_csv(table: pd.DataFrame, out: Path | None) -> None:
    """Write a table where the user asked for it, whole or not at all. Raises :class:`InputError`."""
    if out is not None:
        save_text(table.to_csv(index=False), out)


def save_text(text: str, out: Path) -> None:
    """Write a text file, whole or not at all. Raises :class:`InputError`."""
    beside = out.with_name(f".{out.name}.partial")
    try:
        beside.write_text(text, encoding="utf-8", newline="")
        beside.replace(out)
    except OSError as error:
        with suppress(OSError):  # where a folder on the way is a file
            beside.unlink(missing_ok=True)
        raise InputError(f"--out {out}: cannot be written ({error.strerror}): name a file you may write") from None


def say(text: str) -> None:
    """One line on the terminal."""
    Console(soft_wrap=True, highlight=False).print(text, markup=False)


def show(table: pd.DataFrame, title: str) -> None:
    """A table on the terminal; numbers to the right, text to the left."""
    shown = Table(title=title, title_justify="left", title_style="bold")
    for name in table.columns:
        numeric = pd.api.types.is_numeric_dtype(table[name]) and table[name].dtype != bool
        shown.add_column(str(name), justify="right" if numeric else "left", overflow="fold")
    for row in table.itertuples(index=False):
        shown.add_row(*(_cell(value) for value in row))
    console = Console(highlight=False)
    # A pipe has no width of its own; 80 columns would fold every table.
    Console(highlight=False, width=None if console.is_terminal else 200).print(shown)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004
    return "" if value is None else escape(str(value))  # a name's [2030] is no markup


@contextmanager
def hushed() -> Iterator[None]:
    """Without the tracebacks of files that a full disk does not let close: the one error that is raised says so."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda what: None if isinstance(what.exc_value, OSError) else hook(what)
    try:
        yield
    finally:
        sys.unraisablehook = hook


@contextmanager
def progress_bar(title: str) -> Iterator[Any]:
    """A progress callback that draws a bar on a terminal and nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"{title}: preparing", total=None)

        def progress(stage: str, done: int, total: int) -> None:
            bar.update(task, description=f"{title}: {stage}", completed=done, total=total or None)

        yield progress
