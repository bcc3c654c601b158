"""What a command says: tables, lines and progress on a terminal, plain text elsewhere."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Number
from typing import TYPE_CHECKING, Any, Literal

from postcgrp.reports.forecast.numbers import short

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from postcgrp.reports.runs.run import Run

DONE, BAD_INPUT, GATE_FAILED, INTERRUPTED, TERMINATED = 0, 2, 3, 130, 143  # exit statuses
SHOWN_ROWS = 10  # of a long table; the files have all
PIPE_WIDTH = 200  # columns of what is piped into a file or another program
LEAST_TEXT = 24  # columns that a text of many words gets before its whole column is left out
Verb = Callable[..., argparse.ArgumentParser]  # declares a command: its name, its function, what it does


def say(text: str) -> None:
    """One line on the terminal."""
    _console(soft_wrap=True).print(text, markup=False)


def answer(text: str) -> None:
    """The answer of a command in one sentence, before any table."""
    _console(soft_wrap=False).print(text, markup=False, style="bold")


def show(
    table: pd.DataFrame | Sequence[Mapping[str, Any]], title: str, *, most: int | None = None, where: str = ""
) -> None:
    """A table on the terminal, given as such or as rows; numbers to the right, text to the left.

    A line below it says what is not shown: rows beyond `most`, and the last columns where the terminal is too narrow
    for them; `where` names the file that has all.
    """
    from rich.measure import Measurement

    rows: Sequence[Mapping[Any, Any]]
    if isinstance(table, Sequence):
        rows, names = table, list(table[0]) if table else []
    else:
        rows, names = table.to_dict("records"), list(table.columns)
    console, number = _console(), len(names)
    shown = _table(rows[:most], names, title)
    while number > 1 and Measurement.get(console, console.options.update(width=9999), shown).minimum > console.width:
        number -= 1
        shown = _table(rows[:most], names[:number], title)
    left = [f"{len(rows) - most} more rows"] if most is not None and len(rows) > most else []
    left += [f"columns {', '.join(map(str, names[number:]))}"] if number < len(names) else []
    console.print(shown)
    if left:
        console.print(f"not shown: {' and '.join(left)}{f': in {where}' if where else ''}", markup=False)


def _table(rows: Sequence[Mapping[Any, Any]], names: Sequence[Any], title: str) -> Table:
    from rich.table import Table

    shown = Table(title=title, title_justify="left", title_style="bold")
    for name in names:
        numeric = all(isinstance(row[name], Number) and not isinstance(row[name], bool) for row in rows)
        cells = [_cell(row[name]) for row in rows]
        # Text may take more than one line, but none of a word or two.
        least = min(LEAST_TEXT, max((len(cell) for cell in [*cells, *str(name).split()]), default=0))
        justify: Literal["left", "right"] = "right" if numeric else "left"
        shown.add_column(str(name), justify=justify, no_wrap=numeric, overflow="fold", min_width=least)
    for row in rows:
        shown.add_row(*(_cell(row[name]) for name in names))
    return shown


def _console(*, soft_wrap: bool = False) -> Console:
    """A console for what is printed now, as wide as the terminal; where there is none, as wide as any table needs."""
    from rich.console import Console

    class Patient(Console):
        """A console whose reader may leave, as `head` does: what is left to say goes nowhere, and the work goes on."""

        def on_broken_pipe(self) -> None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    console = Patient(highlight=False, soft_wrap=soft_wrap)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_WIDTH
    return console


def show_gate(table: pd.DataFrame) -> None:
    """The verdicts of a gate, and below them what to do about each that was missed."""
    show(table.drop(columns="advice"), "The gate")
    for check, advice in zip(table["check"], table["advice"], strict=True):
        if advice:
            say(f"{check}: {advice}")


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
