"""Exports damaged in every way at hand: always one line, never a number; and what must not be overwritten."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
from xarray import Dataset

from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.export.exporting import FORMATS
from postcgrp.reports.export.read import read_export
from postcgrp.tests.helpers.exported import SMALL, market, same, write, write_few

pytestmark = pytest.mark.fit

Damage = Callable[[Path], object]


def flip(path: Path, where: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * where)] ^= 0x10
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit_text(path: Path, old: str, new: str) -> None:
    text = path.read_bytes().decode()
    assert old in text, old
    path.write_bytes(text.replace(old, new, 1).encode())


def edit_rows(path: Path, change: Callable[[list[str]], object]) -> None:
    rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
    change(rows)
    path.write_text("".join(rows), encoding="utf-8")


def edit_table(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    table = pq.read_table(path)
    changed = change(table)
    pq.write_table(changed.replace_schema_metadata(changed.schema.metadata or table.schema.metadata), path)


def edit_book(path: Path, sheet: str, change: Callable[[Any], object]) -> None:
    book = openpyxl.load_workbook(path)
    change(book[sheet])
    book.save(path)


def edit_sheet(path: Path, old: str, new: str, sheet: int = 3) -> None:
    """One cell and nothing else: openpyxl writes every number anew, with fewer digits."""
    name = f"xl/worksheets/sheet{sheet}.xml"
    with zipfile.ZipFile(path) as book:
        parts = {part: book.read(part) for part in book.namelist()}
    changed, count = re.subn(old, new, parts[name].decode(), count=1)
    assert count == 1
    with zipfile.ZipFile(path, "w") as book:
        for part, content in {**parts, name: changed.encode()}.items():
            book.writestr(part, content)


def rewrite_netcdf(path: Path, change: Callable[[Dataset], Dataset]) -> None:
    with xr.open_dataset(path, engine="netcdf4") as data:
        changed = change(data.load())
    path.unlink()
    changed.to_netcdf(path, engine="netcdf4")


def edit_netcdf(path: Path, change: Callable[[Any], object]) -> None:
    with netCDF4.Dataset(path, "r+") as file:
        change(file)


def set_cell(cell: str, value: Any) -> Callable[[Any], object]:
    return lambda sheet: sheet.__setitem__(cell, value)


def swap_values(table: pa.Table) -> pa.Table:
    column = table["revenue"].to_numpy().copy()
    column[[0, 1]] = column[[1, 0]]
    return table.set_column(7, table.schema.field(7), pa.array(column))


def swap_columns(rows: list[str]) -> None:
    rows[0] = rows[0].replace('"region","depth"', '"depth","region"')


def less_precise(table: pa.Table) -> pa.Table:
    return table.set_column(7, pa.field("revenue", pa.float32()), table["revenue"].cast(pa.float32()))


def other_unit(table: pa.Table) -> pa.Table:
    field = table.schema.field(7).with_metadata({"unit": "EUR million"})
    return table.cast(table.schema.set(7, field))


def header_edit(table: pa.Table) -> pa.Table:
    header = (table.schema.metadata or {})[b"postcgrp"].replace(b'"passed"', b'"failed"')
    return table.replace_schema_metadata({"postcgrp": header})


def lost_chunk(path: Path) -> None:
    chunk = next(p for p in sorted((path / "revenue").iterdir()) if not p.name.startswith("."))
    chunk.unlink()


DAMAGES: dict[str, tuple[str, Damage, str]] = {
    "parquet truncated": ("parquet", lambda p: truncate(p / "revenue.parquet"), "damaged"),
    "parquet emptied": ("parquet", lambda p: (p / "revenue.parquet").write_bytes(b""), "damaged"),
    "parquet bit flipped": ("parquet", lambda p: flip(p / "revenue.parquet", 0.4), "damaged|changed|other"),
    "parquet file lost": ("parquet", lambda p: (p / "acute_use.parquet").unlink(), "'acute_use' is missing"),
    "parquet file renamed": (
        "parquet", lambda p: (p / "acute_use.parquet").rename(p / "moh.parquet"), "no table of this export",
    ),
    "parquet values swapped": (
        "parquet", lambda p: edit_table(p / "revenue.parquet", swap_values), "values were changed",
    ),
    "parquet row dropped": (
        "parquet", lambda p: edit_table(p / "revenue.parquet", lambda t: t.slice(1)), "539 rows, not 540",
    ),
    "parquet draw dropped": (
        "parquet", lambda p: edit_table(p / "revenue.parquet", lambda t: t.slice(135)), "405 rows, not 540",
    ),
    "parquet sorted": (
        "parquet", lambda p: edit_table(p / "revenue.parquet", lambda t: t.sort_by("year")), "were changed",
    ),
    "parquet float32": ("parquet", lambda p: edit_table(p / "revenue.parquet", less_precise), "types or units"),
    "parquet unit": ("parquet", lambda p: edit_table(p / "revenue.parquet", other_unit), "types or units"),
    "parquet column renamed": (
        "parquet",
        lambda p: edit_table(p / "revenue_total.parquet", lambda t: t.rename_columns([*t.column_names[:-1], "x"])),
        "other columns",
    ),
    "parquet manifest edited": (
        "parquet", lambda p: edit_table(p / "revenue.parquet", header_edit), "header was changed",
    ),
    "parquet metadata lost": (
        "parquet", lambda p: pq.write_table(pa.table({"x": [1]}), p / "revenue.parquet"), "header was lost",
    ),
    "csv cell edited": ("csv", lambda p: edit_text(p / "revenue.csv", ",0.", ",1."), "values were changed"),
    "csv digit lost": (
        "csv",
        lambda p: edit_rows(p / "revenue.csv", lambda rows: rows.__setitem__(1, rows[1].strip()[:-1] + "\n")),
        "values were changed",
    ),
    "csv truncated": ("csv", lambda p: truncate(p / "revenue.csv"), "damaged|rows|empty"),
    "csv row dropped": ("csv", lambda p: edit_rows(p / "revenue.csv", lambda rows: rows.pop(7)), "539 rows"),
    "csv row doubled": ("csv", lambda p: edit_rows(p / "revenue.csv", lambda r: r.insert(7, r[7])), "541 rows"),
    "csv rows swapped": (
        "csv",
        lambda p: edit_rows(p / "revenue.csv", lambda r: r.__setitem__(slice(7, 9), [r[8], r[7]])),
        "column 'modality' was changed",
    ),
    "csv columns swapped": ("csv", lambda p: edit_rows(p / "revenue.csv", swap_columns), "other columns"),
    "csv label edited": ("csv", lambda p: edit_text(p / "revenue.csv", "EU5", "EU4"), "column 'region' was changed"),
    "csv draw edited": (
        "csv", lambda p: edit_rows(p / "revenue.csv", lambda r: r.__setitem__(5, r[5].replace("1,1,1", "1,1,2"))),
        "draw numbers were changed",
    ),
    "csv cell emptied": (
        "csv",
        lambda p: edit_rows(p / "revenue.csv", lambda r: r.__setitem__(5, r[5].rsplit(",", 1)[0] + ",\n")),
        "empty cells",
    ),
    "csv not a number": (
        "csv",
        lambda p: edit_rows(p / "revenue.csv", lambda r: r.__setitem__(5, r[5].rsplit(",", 1)[0] + ",nan\n")),
        "1 values are missing",
    ),
    "csv sidecar lost": ("csv", lambda p: (p / "revenue.csv.json").unlink(), "header was lost"),
    "csv sidecar edited": (
        "csv", lambda p: edit_text(p / "revenue.csv.json", '"USD million"', '"EUR million"'), "header was changed",
    ),
    "xlsx truncated": ("xlsx", truncate, "damaged"),
    "xlsx bit flipped": ("xlsx", lambda p: flip(p, 0.5), "damaged|changed|rows"),
    "xlsx cell edited": ("xlsx", lambda p: edit_book(p, "revenue", set_cell("H2", 1.0)), "values were changed"),
    "xlsx cell made text": ("xlsx", lambda p: edit_book(p, "revenue", set_cell("H2", "1,0")), "damaged"),
    "xlsx cell emptied": ("xlsx", lambda p: edit_book(p, "revenue", set_cell("H2", None)), "empty cells"),
    "xlsx label edited": ("xlsx", lambda p: edit_book(p, "revenue", set_cell("E9", "EU5")), "'region' was changed"),
    "xlsx row dropped": ("xlsx", lambda p: edit_book(p, "revenue", lambda s: s.delete_rows(3)), "539 rows"),
    "xlsx columns swapped": (
        "xlsx", lambda p: edit_book(p, "acute_use", lambda s: s.move_range("D1:D200", cols=3)), "other columns|damaged",
    ),
    "xlsx provenance edited": (
        "xlsx", lambda p: edit_book(p, "provenance", set_cell("A3", ' "schema": "postcgrp.export/1.9",')),
        "header was changed",
    ),
    "xlsx unit edited": ("xlsx", lambda p: edit_book(p, "contents", set_cell("C2", "EUR million")), "'contents'"),
    "xlsx sheet lost": ("xlsx", lambda p: edit_book(p, "acute_use", lambda s: s.parent.remove(s)), "damaged"),
    "xlsx sheet added": ("xlsx", lambda p: edit_book(p, "revenue", lambda s: s.parent.create_sheet("my")), "'my'"),
    "xlsx number alone edited": (
        "xlsx", lambda p: edit_sheet(p, r'(<c r="H5"[^>]*>)<v>[^<]*', r"\1<v>1"), "values were changed",
    ),
    "xlsx draw made 1.5": (
        "xlsx", lambda p: edit_sheet(p, r'(<c r="C5"[^>]*>)<v>1', r"\1<v>1.5"), "damaged.*1.5",
    ),
    "xlsx year made 2025.5": (
        "xlsx", lambda p: edit_sheet(p, r'(<c r="D5"[^>]*>)<v>2025', r"\1<v>2025.5"), "damaged.*2025.5",
    ),
    "netcdf numbers made text": (
        "netcdf", lambda p: rewrite_netcdf(p, lambda d: d.assign(revenue=d["revenue"].astype(str))), "type, name",
    ),
    "netcdf chain made 1.4": (
        "netcdf", lambda p: rewrite_netcdf(p, lambda d: d.assign_coords(chain=d["chain"] + 0.4)), "type of 'chain'",
    ),
    "netcdf chain made longer": (
        "netcdf",
        lambda p: rewrite_netcdf(p, lambda d: d.assign_coords(chain=d["chain"].astype("i8") + 2**32)),
        "type of 'chain'",
    ),
    "netcdf name edited": (
        "netcdf", lambda p: edit_netcdf(p, lambda f: f["revenue"].setncattr("long_name", "profit")), "type, name",
    ),
    "netcdf group added": ("netcdf", lambda p: edit_netcdf(p, lambda f: f.createGroup("mine")), "'mine', which was"),
    "netcdf variable added": (
        "netcdf", lambda p: edit_netcdf(p, lambda f: f.createVariable("mine", "f8", ("draw",))), "'mine', which was",
    ),
    "zarr file added": ("zarr", lambda p: (p / "revenue" / "my.txt").write_text("mine"), "'revenue/my.txt'"),
    "zarr array added": ("zarr", lambda p: shutil.copytree(p / "revenue", p / "mine"), "'mine/.zarray'"),
    "netcdf truncated": ("netcdf", truncate, "damaged"),
    "netcdf cell edited": (
        "netcdf",
        lambda p: edit_netcdf(p, lambda f: f.variables["revenue_total"].__setitem__((3, 2), 1.0)),
        "values were changed",
    ),
    "netcdf label edited": (
        "netcdf", lambda p: edit_netcdf(p, lambda f: f.variables["region"].__setitem__(0, "USA")), "labels of 'region'",
    ),
    "netcdf unit edited": (
        "netcdf",
        lambda p: edit_netcdf(p, lambda f: f.variables["revenue"].setncattr("units", "USD")),
        "dims or units",
    ),
    "netcdf draw edited": (
        "netcdf", lambda p: edit_netcdf(p, lambda f: f.variables["chain"].__setitem__(0, 2)), "lacks draws or has",
    ),
    "netcdf header lost": ("netcdf", lambda p: edit_netcdf(p, lambda f: f.delncattr("postcgrp")), "header was lost"),
    "zarr chunk lost": ("zarr", lost_chunk, "540 values are missing"),
    "zarr chunk garbled": ("zarr", lambda p: flip(p / "revenue" / "0.0.0.0.0", 0.5), "damaged|changed"),
    "zarr array lost": ("zarr", lambda p: shutil.rmtree(p / "acute_use"), "damaged|missing"),
    "zarr header edited": ("zarr", lambda p: edit_text(p / ".zattrs", "run/2", "run/3"), ".zmetadata"),
    "zarr metadata edited": ("zarr", lambda p: edit_text(p / ".zmetadata", "USD million", "EUR"), ".zmetadata"),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(pset: PriorSet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_few(pset, tmp_path_factory.mktemp("exports"))


@pytest.fixture
def damaged(whole: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of an export, to be damaged."""

    def copy(to: str) -> Path:
        path = tmp_path / whole[to].name
        (shutil.copytree if whole[to].is_dir() else shutil.copyfile)(whole[to], path)
        return path

    return copy


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_an_error_in_one_line_and_never_a_number(name: str, damaged: Callable[[str], Path]) -> None:
    to, damage, says = DAMAGES[name]
    path = damaged(to)
    read_export(path)
    damage(path)
    with pytest.raises(InputError, match=says) as caught:
        read_export(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_of_another_export_is_found(pset: PriorSet, damaged: Callable[[str], Path], tmp_path: Path) -> None:
    for to, name in (("parquet", "revenue.parquet"), ("csv", "revenue.csv.json")):
        path, other = damaged(to), tmp_path / "other"
        write(pset, other, to, market(pset, seed=2), chosen=SMALL)
        shutil.copyfile(other / name, path / name)
        with pytest.raises(InputError, match="another export"):
            read_export(path)
        shutil.rmtree(other)


@pytest.mark.parametrize("to", ["parquet", "csv"])
def test_one_file_of_a_folder_is_checked_alone(damaged: Callable[[str], Path], to: str) -> None:
    path = damaged(to) / f"revenue.{to}"
    assert list(read_export(path).data.data_vars) == ["revenue"]
    truncate(path)
    with pytest.raises(InputError):
        read_export(path)


@pytest.mark.parametrize("to", FORMATS)
def test_a_flipped_bit_or_a_lost_end_is_an_error_or_changes_nothing(
    whole: dict[str, Path], damaged: Callable[[str], Path], to: str
) -> None:
    path, wanted = damaged(to), read_export(whole[to])
    rng = np.random.default_rng(1)
    files = [file for file in ([path] if path.is_file() else sorted(path.rglob("*"))) if file.is_file()]
    refused = 0
    for k in range(60):
        file = files[k % len(files)]
        good = file.read_bytes()
        if k % 3:
            flip(file, rng.random())
        else:
            file.write_bytes(good[: rng.integers(len(good))])
        try:
            same(wanted, read_export(path))
        except InputError:
            refused += 1
        file.write_bytes(good)
    assert refused > 30


def test_nothing_and_something_else_are_no_exports(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n")
    (tmp_path / "mine.xlsx").write_text("not a workbook")
    (tmp_path / "empty").mkdir()
    for name in ("", "notes.txt", "mine.csv", "mine.xlsx", "empty", "no-such.nc"):
        with pytest.raises(InputError, match=r"no export"):
            read_export(tmp_path / name)
