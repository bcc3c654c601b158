"""What a command says: tables, lines and progress on a terminal, plain text elsewhere."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Number
from typing import TYPE_CHECKING, Any

from postcgrp.reports.forecast.numbers import short

if TYPE_CHECKING:
    import pandas as pd

    from postcgrp.reports.runs.run import Run

DONE, BAD_INPUT, GATE_FAILED, INTERRUPTED = 0, 2, 3, 130  # exit statuses
Verb = Callable[..., argparse.ArgumentParser]  # declares a command: its name, its function, what it does


def say(text: str) -> None:
    """One line on the terminal."""
    from rich.console import Console

    Console(soft_wrap=True, highlight=False).print(text, markup=False)


def show(table: pd.DataFrame | Sequence[Mapping[str, Any]], title: str) -> None:
    """A table on the terminal, given as such or as rows; numbers to the right, text to the left."""
    from rich.console import Console
    from rich.table import Table

    rows: Sequence[Mapping[Any, Any]]
    if isinstance(table, Sequence):
        rows, names = table, list(table[0]) if table else []
    else:
        rows, names = table.to_dict("records"), list(table.columns)
    shown = Table(title=title, title_justify="left", title_style="bold")
    for name in names:
        numeric = all(isinstance(row[name], Number) and not isinstance(row[name], bool) for row in rows)
        shown.add_column(str(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(_cell(row[name]) for name in names))
    console = Console(highlight=False)
    # A pipe has no width of its own; 80 columns would fold every table.
    Console(highlight=False, width=None if console.is_terminal else 200).print(shown)


def status_of(run: Run, verb: str) -> int:
    """The exit status of what was made from a run, once the user was told how its weights and its gate bear on it."""
    if run.note:
        say(f"{run.folder}: {run.note}")
    if not run.passed:
        print(f"postcgrp {verb}: {run.folder} is marked as failed by its gate; so is this answer", file=sys.stderr)
        return GATE_FAILED
    return DONE


def _cell(value: Any) -> str:
    from rich.markup import escape

    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return "" if math.isnan(value) else short(value, 4)
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
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

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
