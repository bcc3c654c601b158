"""Exported arrays as Arrow tables and back: long (one row per number) or wide (one row per draw)."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from postcgrp.priors import InputError
from postcgrp.reports.export.schema import DIMS, DRAW_COLUMNS, Export, Header

LAYOUTS = ("long", "wide")
LABEL = pa.dictionary(pa.int32(), pa.string())
SIDECAR = ".json"  # behind the name of a CSV file
RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")  # what makes a spreadsheet see no text
Encode = Callable[[str], str]
Keys = NDArray[np.int32]
Array = NDArray[np.float64]


def arrow_schema(name: str, header: Header, layout: str) -> pa.Schema:
    """Types of a table's columns, the unit beside each number."""
    spec = header["tables"][name]
    types = {c.name: LABEL if c.dtype == "string" else pa.int32() for c in (*DRAW_COLUMNS, *DIMS)}
    unit = {"unit": spec["unit"]}
    names = column_names(name, header, layout)
    return pa.schema([pa.field(n, types[n]) if n in types else pa.field(n, pa.float64(), metadata=unit) for n in names])


def column_names(name: str, header: Header, layout: str) -> list[str]:
    """Names of a table's columns: `.chain`, `.iteration`, `.draw`, and what the layout has behind them.

    Long: the table's dims, and the numbers in a column named like the table. Wide: one column for each cell, named
    `revenue[year,region,depth,modality]` as in R's posterior.
    """
    dims = header["tables"][name]["dims"]
    return [
        *(column.name for column in DRAW_COLUMNS),
        *((*dims, name) if layout == "long" else wide_names(name, header)),
    ]


def wide_names(name: str, header: Header) -> list[str]:
    """A name for each cell of a table, in the order of its numbers."""
    cells = [""]
    for dim in header["tables"][name]["dims"]:
        cells = [f"{cell},{label}" for cell in cells for label in header["coords"][dim]]
    return [f"{name}[{cell[1:]}]" for cell in cells]


def sizes(name: str, header: Header) -> tuple[int, ...]:
    """How long the dims of a table are, beside the draw."""
    return tuple(len(header["coords"][dim]) for dim in header["tables"][name]["dims"])


def shape(name: str, header: Header, layout: str) -> tuple[int, int]:
    """Rows and columns of a table."""
    cells, draws = prod(sizes(name, header)), header["draws"]["count"]
    long = (draws * cells, len(DRAW_COLUMNS) + len(header["tables"][name]["dims"]) + 1)
    return long if layout == "long" else (draws, len(DRAW_COLUMNS) + cells)


def to_arrow(export: Export, name: str, layout: str) -> pa.Table:
    """One table of an export; rows draw by draw, then in the order of its dims."""
    schema = arrow_schema(name, export.header, layout)
    keys = [export.data[column.array].values.astype(np.int32) for column in DRAW_COLUMNS]
    values = export.data[name].values.reshape(len(keys[0]), -1)
    if layout == "wide":
        return pa.table([*keys, *values.T], schema=schema)
    columns: list[Any] = [np.repeat(key, values.shape[1]) for key in keys]
    for dim, code in zip(export.header["tables"][name]["dims"], codes(name, export.header, len(values)), strict=True):
        labels = export.header["coords"][dim]
        if pa.types.is_dictionary(schema.field(dim).type):
            columns.append(pa.DictionaryArray.from_arrays(pa.array(code), pa.array(labels, pa.string())))
        else:
            columns.append(np.array(labels, dtype=np.int32)[code])
    return pa.table([*columns, values.ravel()], schema=schema)


def codes(name: str, header: Header, draws: int) -> list[Keys]:
    """Index of the label in each long row, for each dim of a table."""
    indices = np.indices(sizes(name, header), dtype=np.int32)
    return [np.tile(index.ravel(), draws) for index in indices]


def from_arrow(table: pa.Table, name: str, header: Header, path: Path, encode: Encode = str) -> tuple[Keys, Array]:
    """Draw numbers [3, draw] and values [draw, ...] of a table, long or wide, read from `path`.

    Parameters: `encode`, how the file writes a label. Raises :class:`InputError` where columns or rows are not those
    that were exported.
    """
    cells = prod(sizes(name, header))
    layout = layout_of(table.column_names, name, header, path)
    if any(column.null_count for column in table.columns):
        raise InputError(f"{path}: table {name!r} has empty cells: run postcgrp export again")
    each = cells if layout == "long" else 1
    if table.num_rows != header["draws"]["count"] * each:
        wanted = f"{table.num_rows} rows, not {header['draws']['count'] * each}"
        raise InputError(f"{path}: table {name!r} has {wanted}: run postcgrp export again")
    rows = np.stack([table[column.name].to_numpy() for column in DRAW_COLUMNS]).astype(np.int32)
    keys = rows[:, ::each]
    if (rows != np.repeat(keys, each, axis=1)).any():
        raise InputError(f"{path}: table {name!r}: the draw numbers were changed: run postcgrp export again")
    if layout == "long":
        dims = header["tables"][name]["dims"]
        for dim, expected in zip(dims, codes(name, header, keys.shape[1]), strict=True):
            if (_found(table[dim], header["coords"][dim], encode) != expected).any():
                raise InputError(f"{path}: table {name!r}: column {dim!r} was changed: run postcgrp export again")
        values = table[name].to_numpy()
    else:
        values = np.stack([column.to_numpy() for column in table.columns[len(DRAW_COLUMNS) :]], axis=1)
    return keys, values.astype(np.float64).reshape(-1, *sizes(name, header))


def csv_text(label: str) -> str:
    """A label as a CSV file has it: an apostrophe before one that a spreadsheet would take for a formula.

    A spreadsheet reads `=...` as a formula even in quotes. Labels with an apostrophe get one more, so none collide.
    """
    return f"'{label}" if label.startswith(RISKY) else label


def layout_of(names: list[str], name: str, header: Header, path: Path) -> str:
    """Which layout a table with these columns has. Raises :class:`InputError` for none."""
    for layout in LAYOUTS:
        if names == column_names(name, header, layout):
            return layout
    raise InputError(f"{path}: table {name!r} has other columns than were exported: run postcgrp export again")


def _found(column: pa.ChunkedArray, labels: list[Any], encode: Encode) -> NDArray[Any]:
    """Index of the label in each row; -1 for one that is not of this export."""
    if isinstance(labels[0], str):
        column, labels = column.cast(pa.string()), [encode(label) for label in labels]
    return np.asarray(pc.fill_null(pc.index_in(column, value_set=pa.array(labels, column.type)), -1))
