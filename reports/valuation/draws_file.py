"""Draws from other tools: a decision and its inputs read from CSV files, as R, Stan, Excel and pandas write them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from postcgrp.priors import InputError
from postcgrp.priors.csv_table import DELIMITERS, text_of_csv
from postcgrp.reports.runs.groups import INDEX
from postcgrp.reports.valuation.decision import Decision, as_decision

Array = NDArray[np.float64]

# Names of columns that number draws, without dots, underscores and case: as in R's posterior, Stan and ArviZ.
NUMBERING = {"chain": ".chain", "iter": ".iteration", "iteration": ".iteration", "draw": ".draw"}
# What tools call a column that only counts rows; an unknown may have such a name too, so its values decide.
COUNTING = {"", "x", "v1", "index", "row", "rowid", "rowname", "rownames", "sim", "simulation", "sample",
            "psa", "run", "trial", "id"}  # fmt: skip


def read_draws(path: Path) -> tuple[pd.DataFrame, int]:
    """A CSV file with a header and one row per draw, and how many chains it holds (by a column such as .chain).

    Columns that number draws or rows are no inputs and are left out: `.chain`, `chain__`, `Iteration`, the unnamed
    first column of R's `write.csv`. Numbers may have a decimal comma where semicolons or tabs separate them. Raises
    :class:`InputError` for a file that cannot be read, whose heading stands twice, that holds a draw twice or what is
    no finite number.
    """
    table, ids = _read(path)
    return table, _chains(ids)


def read_decision(net_benefit: Path, inputs: Path) -> tuple[Decision, dict[str, Array], str, str]:
    """A decision and its inputs from two CSV files with a row for each draw; its unit and recipe, as far as known.

    Rows are joined by the columns that number draws in both files, else by their order. Raises :class:`InputError`.
    """
    (values, ids), (known, others) = _read(net_benefit), _read(inputs)
    shared = [name for name in INDEX if name in ids and name in others]
    if shared:
        at, there = (each.sort_values(shared, kind="stable").index for each in (ids, others))
        if not np.array_equal(ids.loc[at, shared], others.loc[there, shared]):
            raise InputError(
                f"{inputs}: its draws, by {', '.join(shared)}, are not those of {net_benefit}: "
                "give the same draws in both"
            )
        values, known = values.loc[at], known.loc[there]
    elif len(values) == len(known):
        both = pd.concat([ids, others], axis=1)  # chain after chain
        at = both.sort_values([str(name) for name in both], kind="stable").index if len(both.columns) else both.index
        values, known = values.loc[at], known.loc[at]
    chains = max(_chains(ids), _chains(others))
    return as_decision(values, chains), grouped(known), "in the file's unit", f"{net_benefit} {inputs}"


def grouped(table: pd.DataFrame) -> dict[str, Array]:
    """Columns as inputs; those named alike but for a [label], such as price[2025] and price[2030], as one group."""
    names = [str(name).split("[")[0] if str(name).endswith("]") else str(name) for name in table.columns]
    arrays = {name: table.loc[:, [n == name for n in names]].to_numpy(dtype=float) for name in dict.fromkeys(names)}
    return {name: array[:, 0] if array.shape[1] == 1 else array for name, array in arrays.items()}


def _read(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The numbers of a CSV file, and the columns that number its draws, named as in `INDEX`; see :func:`read_draws`."""
    table, first_line = _cells(path)
    numbering = _numbering(path, table)
    ids = table[list(numbering.values())].astype(np.int64).set_axis(list(numbering), axis=1)
    ids = ids[[name for name in INDEX if name in ids]]
    if (".draw" in ids or len(ids.columns) > 1) and (again := ids.duplicated()).any():
        by = ", ".join(numbering[name] for name in map(str, ids))
        line = int(np.argmax(again)) + first_line
        raise InputError(f"{path}: the draw in line {line} stands twice (by {by}): keep one")
    table = table.drop(columns=numbering.values())
    table = table.drop(columns=[name for name in map(str, table) if _only_counts(path, table, name)])
    for name in table.columns:
        numbers = pd.to_numeric(table[name], errors="coerce")
        if not np.isfinite(numbers).all():
            row = int(np.argmin(np.isfinite(numbers)))
            shown = "an empty cell" if pd.isna(table[name][row]) else repr(table[name][row])
            raise InputError(f"{path}: {name!r} has {shown} in line {row + first_line}: give finite numbers only")
    return table.astype(float), ids


def _numbering(path: Path, table: pd.DataFrame) -> dict[str, str]:
    """The columns of a file that number draws, by their name in `INDEX`. Raises :class:`InputError`."""
    found: dict[str, str] = {}
    for name in map(str, table.columns):
        if (index := NUMBERING.get(_plain(name))) is None:
            continue
        if not _whole(table[name].to_numpy()):
            raise InputError(f"{path}: {name!r} is to number draws, but holds more than whole numbers: rename it")
        if index in found:
            raise InputError(f"{path}: {found[index]!r} and {name!r} both number draws: keep one")
        found[index] = name
    return found


def _only_counts(path: Path, table: pd.DataFrame, name: str) -> bool:
    """Whether a column only counts or names the rows. Raises :class:`InputError` where that cannot be told."""
    values, plain = table[name].to_numpy(), _plain(name)
    if _counts(values):
        if plain in COUNTING or plain.startswith("unnamed"):
            return True
        raise InputError(
            f"{path}: {name!r} only counts the rows (from {values.min():.0f} to {values.max():.0f}): "
            "remove it, or call it .draw"
        )
    if plain:
        return False
    if name == table.columns[0] and values.dtype.kind == "O":
        return True  # row names that are words
    raise InputError(f"{path}: column {list(table).index(name) + 1} has no name: name it or remove it")


def _plain(name: str) -> str:
    return name.strip(" ._").casefold()


def _cells(path: Path) -> tuple[pd.DataFrame, int]:
    """A CSV file's cells by column, numbers read, and the line of its first row. Raises :class:`InputError`."""
    lines = text_of_csv(path).splitlines()
    start = next((k for k, line in enumerate(lines) if line.strip() and not line.casefold().startswith("sep=")), None)
    if start is None:
        raise InputError(f"{path}: is empty: give a heading for each column, and below it a row for each draw")
    delimiter = max(DELIMITERS, key=lines[start].count)
    names = [cell.strip() for cell in next(csv.reader([lines[start]], delimiter=delimiter))]
    body = "\n".join(lines[start + 1 :]).rstrip()
    width = len(next(csv.reader(body.split("\n", 1)[:1], delimiter=delimiter), names))
    if width == len(names) + 1:  # R's `write.table` gives row names no heading; others end rows, but not the heading
        first, _, _ = body.partition("\n")
        names = [*names, ""] if first.rstrip().endswith(delimiter) else ["", *names]
    while names and not names[-1] and not any(line.rstrip()[-1:] not in (delimiter, "") for line in body.split("\n")):
        names.pop()  # a column without heading or values, as spreadsheets leave behind
        body = "\n".join(line.rstrip().removesuffix(delimiter) for line in body.split("\n"))
    if repeated := [name for name in names if names.count(name) > 1]:
        said = f"{repeated[0]!r}" if repeated[0] else "a column without a name"
        raise InputError(f"{path}: {said} stands twice in the heading: give each column its own name")
    try:
        table = pd.read_csv(
            io.StringIO(body),
            sep=delimiter,
            decimal="," if delimiter != "," and "," in body else ".",
            header=None,
            names=names,
            index_col=False,
            skipinitialspace=True,
            skip_blank_lines=False,
            on_bad_lines="error",
        )
    except ValueError as error:
        raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())}): give a CSV file") from None
    return table, start + 2


def _whole(values: NDArray[np.generic]) -> bool:
    """Whether values are whole numbers, all of them."""
    if values.dtype.kind not in "iuf":
        return False
    numbers = values.astype(float)
    return bool(np.isfinite(numbers).all() and (numbers == np.round(numbers)).all())


def _counts(values: NDArray[np.generic]) -> bool:
    """Whether values count rows: 0, 1, 2 and on, or 1, 2, 3 and on, in any order; of two rows it cannot be told."""
    if len(values) < 3 or not _whole(values):  # noqa: PLR2004
        return False
    ordered = np.sort(values.astype(float))
    return bool(ordered[0] in (0.0, 1.0) and (np.diff(ordered) == 1).all())


def _chains(ids: pd.DataFrame) -> int:
    return int(ids[".chain"].nunique()) if ".chain" in ids else 1
