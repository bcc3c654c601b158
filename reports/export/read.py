"""Exports read back: every number is held against the hash it was written with, in whatever format."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import xarray as xr
from xarray import Dataset

from postcgrp.priors import InputError
from postcgrp.reports.export.arrow import LAYOUTS, SIDECAR, Array, Keys, arrow_schema, csv_text, from_arrow, layout_of
from postcgrp.reports.export.schema import DIMS, DRAW_COLUMNS, KEY, Export, Header, assemble, parse
from postcgrp.reports.export.xlsx import CONTENTS, PROVENANCE, contents, sheet_names

# What readers raise on a damaged file: they were made for whole ones.
DAMAGE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SyntaxError, EOFError,
    ArithmeticError, MemoryError, SystemError, struct.error, BadZipFile, zlib.error, pa.ArrowException,
)  # fmt: skip
_CHUNK = re.compile(r"\w+/[\d.]+")  # of a Zarr array
Read = tuple[Header, dict[str, tuple[Keys, Array]]]


def read_export(path: Path) -> Export:
    """An export of any format, or one file of a folder of them, checked.

    Returns the arrays [draw, ...] and the header. Raises :class:`InputError` where anything is not as it was written:
    a truncated file, a lost chunk, a changed number, label, unit or header, a row or table too many or too few, or a
    schema of a newer major version.
    """
    path = Path(path)
    with _sound(path):
        header, tables = _readers(path)[1](path)
        if path.is_dir() or path.suffix in (".xlsx", ".nc"):
            for name in header["tables"]:
                if name not in tables:
                    raise InputError(f"{path}: table {name!r} is missing: run postcgrp export again")
        return assemble(tables, header, path)


def read_header(path: Path, to: str | None = None) -> Header:
    """The header of an export, numbers unread; `to`: the format that it must have. Raises :class:`InputError`."""
    with _sound(path):
        kind, _ = _readers(path)
        if to not in (None, kind):
            raise InputError(f"{path}: is an export to {kind}, not to {to}")
        return HEADERS[kind](path)


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    """Whatever a library says of a damaged file, in one line."""
    try:
        yield
    except InputError:
        raise
    except DAMAGE as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: is damaged or no export ({why}): run postcgrp export again") from None


def _readers(path: Path) -> tuple[str, Callable[[Path], Read]]:
    """The format of what lies at `path`, and its reader."""
    if path.is_dir():
        names = {file.name for file in path.iterdir()}
        kinds = {Path(name.removesuffix(SIDECAR)).suffix for name in names if not name.startswith(".")}
        if names & {".zgroup", ".zmetadata", ".zattrs"}:
            return "zarr", _read_zarr
        for kind in ("parquet", "csv"):
            if kinds == {f".{kind}"}:
                return kind, READERS[kind]
    elif path.is_file() and path.suffix in SUFFIXES:
        return SUFFIXES[path.suffix], READERS[SUFFIXES[path.suffix]]
    raise InputError(f"{path}: is no export of postcgrp: give what postcgrp export wrote")


def _same_header(path: Path, suffix: str, of: Callable[[Path], Header]) -> tuple[Header, list[Path]]:
    """The one header of a folder's files, or of one file, and the files."""
    files = sorted(path.glob(f"*{suffix}")) if path.is_dir() else [path]
    headers = [of(file) for file in files]
    for file, header in zip(files, headers, strict=True):
        if header["content_sha256"] != headers[0]["content_sha256"]:
            raise InputError(f"{file}: is of another export than {files[0].name}: run postcgrp export again")
    return headers[0], files


def _header_parquet(file: Path) -> Header:
    return parse((pa.parquet.read_schema(file).metadata or {}).get(KEY.encode()), file)


def _read_parquet(path: Path) -> Read:
    header, files = _same_header(path, ".parquet", _header_parquet)
    tables = {}
    for file in files:
        name, table = _of(file, header), pa.parquet.ParquetFile(file).read()
        wanted = arrow_schema(name, header, layout_of(table.column_names, name, header, file))
        if not table.schema.equals(wanted) or _units(table.schema) != _units(wanted):
            raise InputError(f"{file}: types or units of its columns were changed: run postcgrp export again")
        tables[name] = from_arrow(table, name, header, file)
    return header, tables


def _units(schema: pa.Schema) -> list[Any]:
    return [(field.metadata or {}).get(b"unit") for field in schema]


def _header_csv(file: Path) -> Header:
    sidecar = file.with_name(file.name + SIDECAR)
    return parse(sidecar.read_text(encoding="utf-8") if sidecar.is_file() else None, sidecar)


def _read_csv(path: Path) -> Read:
    header, files = _same_header(path, ".csv", _header_csv)
    tables = {}
    for file in files:
        name = _of(file, header)
        # Types are those of the columns expected: a name read as a number would fail.
        types = {
            field.name: pa.string() if pa.types.is_dictionary(field.type) else field.type
            for layout in LAYOUTS
            for field in arrow_schema(name, header, layout)
        }
        options = pa.csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=False)
        broken = any(set("\r\n") & {*str(label)} for labels in header["coords"].values() for label in labels)
        lines = pa.csv.ParseOptions(newlines_in_values=broken)
        table = pa.csv.read_csv(file, convert_options=options, parse_options=lines)
        tables[name] = from_arrow(table, name, header, file, csv_text)
    return header, tables


def _of(file: Path, header: Header) -> str:
    """The table that a file of a folder holds."""
    if file.stem not in header["tables"]:
        raise InputError(f"{file}: no table of this export has this name: rename it back or export again")
    return file.stem


@contextmanager
def _book(path: Path) -> Iterator[Any]:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise InputError(f"{path}: reading xlsx back needs openpyxl: pip install openpyxl") from None
    with path.open("rb") as file:  # ours to close: openpyxl leaves a damaged one open
        book = load_workbook(file, read_only=True, data_only=True)
        yield book
        book.close()


def _text(value: Any) -> Any:
    """A cell's text, its control characters as they were."""
    from openpyxl.utils.escape import unescape

    return unescape(value) if isinstance(value, str) and "_x" in value else value


def _provenance(book: Any, path: Path) -> Header:
    """The header, of a workbook to which nobody added a sheet."""
    if PROVENANCE not in book.sheetnames:
        return parse(None, path)
    rows = book[PROVENANCE].iter_rows(max_col=1, values_only=True)
    header = parse("".join(str(_text(value) or "") for (value,) in rows), path)
    _no_more(path, {*book.sheetnames} - {CONTENTS, PROVENANCE, *sheet_names(header).values()})
    return header


def _header_xlsx(path: Path) -> Header:
    with _book(path) as book:
        return _provenance(book, path)


def _read_xlsx(path: Path) -> Read:
    with _book(path) as book:
        header, tables, layout = _provenance(book, path), {}, ""
        for name, title in sheet_names(header).items():
            rows = book[title].iter_rows(values_only=True)
            names = [_text(value) for value in next(rows)]
            layout = layout_of(names, name, header, path)
            types = arrow_schema(name, header, layout).types
            columns = [  # a cast refuses what a type given at once would cut: draw 1.5
                pa.array([_text(value) for value in column]).cast(pa.string() if pa.types.is_dictionary(kind) else kind)
                for column, kind in zip(zip(*rows, strict=True), types, strict=True)
            ]
            tables[name] = from_arrow(pa.table(columns, names=names), name, header, path)
        shown = [[_text(v) for v in row if v is not None] for row in book[CONTENTS].iter_rows(values_only=True)]
        if shown != contents(header, layout):
            raise InputError(f"{path}: sheet {CONTENTS!r} was changed: run postcgrp export again")
        return header, tables


def _arrays(path: Path, data: Dataset) -> Read:
    """Header and tables of arrays [draw, ...], as NetCDF and Zarr hold them."""
    header = _header_arrays(path, data)
    labelled = [column for column in DIMS if column.name in header["coords"]]
    for column in (*DRAW_COLUMNS, *labelled):
        if column.dtype != "string" and data[column.array].dtype != column.dtype:
            raise InputError(f"{path}: the type of {column.array!r} was changed: run postcgrp export again")
    for column in labelled:
        if data[column.name].values.tolist() != header["coords"][column.name]:
            raise InputError(f"{path}: labels of {column.name!r} were changed: run postcgrp export again")
    keys = np.stack([data[column.array].values for column in DRAW_COLUMNS])
    tables = {}
    for name, spec in header["tables"].items():
        if name not in data.data_vars:
            continue  # said to be missing by who asked
        array = data[name]
        stated = ("draw", *spec["dims"]), spec["dtype"], spec["unit"], spec["about"]
        if stated != (array.dims, array.dtype, array.attrs.get("units"), array.attrs.get("long_name")):
            raise InputError(f"{path}: type, name, dims or units of {name!r} were changed: run postcgrp export again")
        tables[str(name)] = keys, array.values
    return header, tables


def _header_arrays(path: Path, data: Dataset) -> Header:
    """The header of arrays, to which nobody added one."""
    header = parse(data.attrs.get(KEY), path)
    ours = {*header["tables"], *header["coords"], *(column.array for column in DRAW_COLUMNS)}
    _no_more(path, {*map(str, data.variables)} - ours)
    return header


def _no_more(path: Path, foreign: Set[str]) -> None:
    """Refuse what was not exported: it may be somebody's work, or of another export."""
    if foreign:
        raise InputError(f"{path}: holds {min(foreign)!r}, which was not exported: remove it or export again")


def _open_netcdf(path: Path) -> Dataset:
    # From memory and not by netCDF4, whose library brings the process down on some damaged files. It closes a file that
    # it could not open with a traceback on the terminal, so h5py looks first.
    content = BytesIO(path.read_bytes())
    with h5py.File(content) as file:
        _no_more(path, {name for name, item in file.items() if isinstance(item, h5py.Group)})
    return xr.open_dataset(content, engine="h5netcdf")


def _open_zarr(path: Path) -> Dataset:
    """A store to which nobody added a file."""
    known = {".zmetadata", *json.loads((path / ".zmetadata").read_text(encoding="utf-8"))["metadata"]}
    files = {file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir()}
    _no_more(path, {file for file in files - known if not _CHUNK.fullmatch(file)})
    return xr.open_dataset(path, engine="zarr", consolidated=True)


def _header_netcdf(path: Path) -> Header:
    with _open_netcdf(path) as data:
        return _header_arrays(path, data)


def _header_zarr(path: Path) -> Header:
    with _open_zarr(path) as data:
        return _header_arrays(path, data)


def _read_netcdf(path: Path) -> Read:
    with _open_netcdf(path) as data:
        return _arrays(path, data.load())


def _read_zarr(path: Path) -> Read:
    twice = json.loads((path / ".zmetadata").read_text(encoding="utf-8"))["metadata"]
    for name, found in twice.items():  # some readers look here, some there
        if json.loads((path / name).read_text(encoding="utf-8")) != found:
            raise InputError(f"{path}: {name} is not what .zmetadata says: run postcgrp export again")
    with _open_zarr(path) as data:
        return _arrays(path, data.load())


READERS: dict[str, Callable[[Path], Read]] = {
    "parquet": _read_parquet,
    "csv": _read_csv,
    "xlsx": _read_xlsx,
    "netcdf": _read_netcdf,
    "zarr": _read_zarr,
}
HEADERS: dict[str, Callable[[Path], Header]] = {
    "parquet": lambda path: _same_header(path, ".parquet", _header_parquet)[0],
    "csv": lambda path: _same_header(path, ".csv", _header_csv)[0],
    "xlsx": _header_xlsx,
    "netcdf": _header_netcdf,
    "zarr": _header_zarr,
}
SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".xlsx": "xlsx", ".nc": "netcdf"}
