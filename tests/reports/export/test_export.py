"""Exports as an analyst meets them: the same numbers in every format and reader, and no number from a damaged file."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import subprocess
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import netCDF4
import numpy as np
import openpyxl
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pytest
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from xarray import DataTree

from postcgrp.priors import InputError, PriorSet, effective, load_ledger
from postcgrp.reports.export import schema
from postcgrp.reports.export.arrow import csv_text
from postcgrp.reports.export.exporting import FORMATS, Chosen, export, export_lines, select
from postcgrp.reports.export.read import read_export, read_header
from postcgrp.reports.export.schema import QUANTITIES
from postcgrp.reports.export.xlsx import pieces, sheet_names
from postcgrp.reports.runs.groups import group
from postcgrp.reports.runs.run import Run
from postcgrp.tests.helpers.exported import RECORD, SMALL, brief, market, same, target, values, write, write_few
from postcgrp.tests.helpers.paths import DOCS, OTHER_MARKET
from postcgrp.tests.helpers.variants import variants

pytestmark = pytest.mark.fit

RISKY = [
    "=1+1",
    "+gepant",
    "-5 mg",
    "@SUM(A1)",
    "'quoted",
    "\ttab",
    "\rreturn",
    "http://example.org",
    "a, [b]",
    'say "x"',
    "<r>a < b</r>",
]


@pytest.fixture(scope="module")
def whole(pset: PriorSet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_few(pset, tmp_path_factory.mktemp("exports"))


# What every format holds


def test_every_format_holds_the_same(whole: dict[str, Path], pset: PriorSet) -> None:
    wanted = select(Run.in_memory(market(pset, draws=2), brief(pset), RECORD), SMALL)
    for path in whole.values():
        same(wanted, read_export(path))


@pytest.mark.parametrize("to", ["parquet", "csv", "xlsx"])
@pytest.mark.parametrize("layout", ["long", "wide"])
def test_every_quantity_comes_back_in_both_layouts(pset: PriorSet, tmp_path: Path, to: str, layout: str) -> None:
    done = write(pset, target(tmp_path, to), to, market(pset, draws=2), layout=layout)
    assert list(done.header["tables"]) == [q.name for q in QUANTITIES]
    same(done, read_export(target(tmp_path, to)))


def test_the_hash_depends_on_the_content_alone(pset: PriorSet, tmp_path: Path) -> None:
    run = market(pset)
    one = write(pset, tmp_path / "a", "parquet", run)
    two = write(pset, tmp_path / "b.xlsx", "xlsx", run, layout="wide")
    assert one.header["content_sha256"] == two.header["content_sha256"]
    values(run, "moh")[0, 0, 0, 0] += 1e-16
    values(run, "moh")[1, 5, 4, 2] = np.nextafter(values(run, "moh")[1, 5, 4, 2], 9)
    three = write(pset, tmp_path / "c", "parquet", run)
    tables = [e.header["tables"] for e in (one, three)]
    assert {n for n in tables[0] if tables[0][n] != tables[1][n]} == {"moh"}
    assert three.header["content_sha256"] != one.header["content_sha256"]


def test_draws_are_numbered_from_one_as_in_posterior_and_tidybayes(whole: dict[str, Path]) -> None:
    table = pd.read_parquet(whole["parquet"] / "revenue_total.parquet")
    keys = table[[".chain", ".iteration", ".draw"]].drop_duplicates().to_numpy()
    assert keys.tolist() == [[c, i, (c - 1) * 2 + i] for c in (1, 2) for i in (1, 2)]


@pytest.mark.parametrize("to", FORMATS)
def test_totals_recomputed_are_the_runs(whole: dict[str, Path], pset: PriorSet, to: str) -> None:
    total = values(market(pset, draws=2), "revenue_total")[..., [0, 5, 10]].reshape(4, -1)
    again = read_export(whole[to]).data["revenue"].sum(["region", "depth", "modality"])
    np.testing.assert_allclose(again.values, total, rtol=1e-9)


def test_provenance_names_the_run(pset: PriorSet, tmp_path: Path) -> None:
    record = {**RECORD, "recipe_sha256": pset.fingerprint(), "rhat": 1.0000000000000002}
    (tmp_path / "manifest.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    export(Run.in_memory(market(pset), pset, record), tmp_path / "x.xlsx", to="xlsx", chosen=Chosen(quantities=["moh"]))
    header = read_export(tmp_path / "x.xlsx").header
    assert header["manifest_sha256"] == hashlib.sha256((tmp_path / "manifest.json").read_bytes()).hexdigest()
    assert header["manifest"] == record
    assert hashlib.sha256("\n".join(header["recipe"]).encode()).hexdigest() == record["recipe_sha256"]


def test_another_market_has_its_own_names_and_currency(tmp_path: Path) -> None:
    ledger = load_ledger(OTHER_MARKET / "report.toml", OTHER_MARKET / "assumptions.toml")
    tables = ledger.model_dump()
    tables["report"]["currency"] = "EUR"
    for name in ("claims", "assumptions"):
        tables[name] = [{**row, "unit": row["unit"].replace("USD", "EUR")} for row in tables[name]]
    pset = effective(type(ledger).model_validate(tables))
    run = market(pset)
    run = DataTree.from_dict({"/posterior": group(run).drop_vars(["moh", "acute_use", "payer_block"])})
    done = write(pset, tmp_path / "x.nc", "netcdf", run)
    assert not {"moh", "acute_use", "payer_block"} & {*done.header["tables"]}
    assert done.header["tables"]["revenue"]["unit"] == "EUR million"
    assert done.header["coords"]["modality"] == list(ledger.segments["modality"])
    assert "EUR million" in " ".join(
        export_lines(write(pset, tmp_path / "x.nc", "netcdf", run, thin=5), tmp_path, "EUR")
    )


def test_a_run_that_missed_its_gate_is_said_to(pset: PriorSet, tmp_path: Path) -> None:
    done = export(
        Run.in_memory(market(pset), brief(pset), {**RECORD, "status": "failed"}), tmp_path / "x.nc", to="netcdf"
    )
    assert "missed its convergence gate" in export_lines(done, tmp_path, "USD")[0]


# The documentation is the code


def test_documentation_is_the_schema() -> None:
    text = (DOCS / "schema.md").read_text(encoding="utf-8")

    def rows(head: str) -> list[list[str]]:
        block = text[text.index(head) :].split("\n\n")[0].splitlines()[2:]
        return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in block]

    columns = [[c.name, c.array, c.dtype, c.about] for c in (*schema.DRAW_COLUMNS, *schema.DIMS)]
    assert rows("| column | array |") == columns
    stated = [
        [q.name, ", ".join(q.dims), q.unit, q.dtype, ", ".join(q.over), q.uptake or "", q.about] for q in QUANTITIES
    ]
    assert rows("| quantity | dims |") == stated
    assert f"schema **{schema._MAJOR}.{schema.MINOR}**" in text
    assert [row[0] for row in rows("| format |")] == list(FORMATS)


def test_documentation_names_every_field_of_the_header(whole: dict[str, Path]) -> None:
    text = (DOCS / "schema.md").read_text(encoding="utf-8")
    block = text[text.index("| field | what |") :].split("\n\n")[0].splitlines()[2:]
    fields_ = re.findall(r"^\| `(\w+)`", "\n".join(block), flags=re.MULTILINE)
    assert fields_ == list(read_header(whole["csv"]))


# The user's readers


def test_parquet_in_pandas_duckdb_polars_and_arrow(whole: dict[str, Path]) -> None:
    folder, data = whole["parquet"], read_export(whole["parquet"]).data
    wanted = data["revenue"].sum(["region", "depth", "modality"]).values.ravel()
    keys = [".draw", "year"]
    frame = pd.read_parquet(folder / "revenue.parquet")
    np.testing.assert_allclose(frame.groupby(keys)["revenue"].sum(), wanted, rtol=1e-12)
    assert list(frame["region"].cat.categories) == list(data["region"].values)
    query = f"""SELECT sum(revenue) AS total, any_value(revenue_total) AS stated FROM '{folder}/revenue.parquet'
        JOIN '{folder}/revenue_total.parquet' USING (".draw", year) GROUP BY ".draw", year ORDER BY ALL"""
    totals, stated = np.array(sorted(duckdb.execute(query).fetchall())).T
    np.testing.assert_allclose(totals, np.sort(wanted), rtol=1e-12)
    np.testing.assert_allclose(totals, stated, rtol=1e-9)
    lazy = pl.scan_parquet(folder / "revenue.parquet").group_by(keys).agg(pl.col("revenue").sum()).sort(keys).collect()
    np.testing.assert_allclose(lazy["revenue"].to_numpy(), wanted, rtol=1e-12)


def test_r_arrow_sees_integers_and_factors(whole: dict[str, Path]) -> None:
    """R has 32-bit integers, and makes a factor of a dictionary of strings with 32-bit indices."""
    opened = pyarrow.dataset.dataset(whole["parquet"] / "revenue.parquet")
    kinds = [opened.schema.field(name).type for name in opened.schema.names]
    label = pa.dictionary(pa.int32(), pa.string())
    assert kinds == [pa.int32()] * 4 + [label] * 3 + [pa.float64()]
    assert opened.schema.names == [".chain", ".iteration", ".draw", "year", "region", "depth", "modality", "revenue"]
    assert opened.schema.field("revenue").metadata[b"unit"] == b"USD million"
    few = opened.to_table(filter=(pc.field("year") == 2030) & (pc.field("depth") == "3+"))
    assert few.num_rows == 4 * 5 * 3
    assert few["region"].unify_dictionaries().chunk(0).dictionary.to_pylist()[0] == "United States"


def test_csv_in_pandas_duckdb_and_polars(whole: dict[str, Path]) -> None:
    path, wanted = whole["csv"] / "revenue.csv", read_export(whole["csv"]).data["revenue"].values.ravel()
    frame = pd.read_csv(path, dtype={"depth": str})
    np.testing.assert_array_equal(frame["revenue"], wanted)
    assert [*frame["depth"].unique()] == ["1", "2", "3+"]
    rows = duckdb.execute(f"SELECT revenue FROM read_csv('{path}') ORDER BY \".draw\"").fetchall()
    np.testing.assert_array_equal(np.sort([row[0] for row in rows]), np.sort(wanted))
    np.testing.assert_allclose(pl.read_csv(path)["revenue"].to_numpy(), wanted, rtol=1e-15)


def test_arrays_in_netcdf4_zarr_and_xarray(whole: dict[str, Path]) -> None:
    wanted = read_export(whole["netcdf"]).data
    with netCDF4.Dataset(whole["netcdf"]) as file:
        assert file.variables["revenue"].units == "USD million"
        assert file.variables["revenue"].dimensions == ("draw", "year", "region", "depth", "modality")
        np.testing.assert_array_equal(file.variables["revenue"][:], wanted["revenue"].values)
        assert list(file.variables["region"][:]) == list(wanted["region"].values)
        assert json.loads(file.postcgrp)["schema"] == f"postcgrp.export/{schema._MAJOR}.{schema.MINOR}"
    store: Any = zarr.open_group(whole["zarr"], mode="r")
    np.testing.assert_array_equal(store["revenue"][:], wanted["revenue"].values)
    with xr.open_zarr(whole["zarr"]) as lazy:
        by_chain = lazy["revenue_total"].load().groupby("chain").mean()
        assert by_chain.sizes["chain"] == 2


def soffice(folder: Path, path: Path, kind: str) -> None:
    program = shutil.which("soffice")
    if program is None:
        pytest.skip("LibreOffice (soffice) is not installed")
    command = [program, f"-env:UserInstallation=file://{folder}/profile", "--headless", "--convert-to", kind]
    done = subprocess.run(
        [*command, "--outdir", folder, path], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_libreoffice_sees_every_digit_and_no_formula(pset: PriorSet, tmp_path: Path) -> None:
    done = write(pset, tmp_path / "x.xlsx", "xlsx", market(pset, draws=2), layout="long")
    # 44: comma, 34: quotes, 76: UTF-8; every sheet (-1) as shown or, with false, as it is
    soffice(
        tmp_path, tmp_path / "x.xlsx", "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,false,false,false,false,-1"
    )
    frame = pd.read_csv(tmp_path / "x-revenue.csv")
    np.testing.assert_allclose(frame["revenue"], done.data["revenue"].values.ravel(), rtol=1e-14)
    assert [*frame["region"].unique()] == list(done.data["region"].values)


def test_a_workbook_saved_by_libreoffice_has_lost_digits_and_is_said_to(pset: PriorSet, tmp_path: Path) -> None:
    done = write(pset, tmp_path / "x.xlsx", "xlsx", market(pset, draws=2), chosen=SMALL)
    (again := tmp_path / "again").mkdir()
    soffice(again, tmp_path / "x.xlsx", "xlsx")
    frame = pd.read_excel(again / "x.xlsx", sheet_name="revenue_total")
    np.testing.assert_allclose(frame.iloc[:, 3:], done.data["revenue_total"], rtol=1e-14)
    with pytest.raises(InputError, match="values were changed"):
        read_export(again / "x.xlsx")


@given(hnp.arrays(np.float64, 40, elements=st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_number_keeps_its_bits(pset: PriorSet, tmp_path: Path, numbers: Any) -> None:
    run = market(pset, draws=4)
    values(run, "payer_block")[:] = numbers.reshape(2, 4, 5)
    for to in ("csv", "xlsx"):
        write(pset, target(tmp_path, to), to, run, chosen=Chosen(quantities=["payer_block"]))
        read = read_export(target(tmp_path, to)).data["payer_block"].values
        assert ((numbers + 0.0).view("u8") == (read.ravel() + 0.0).view("u8")).all()


# Text stays text


@pytest.fixture
def risky(pset: PriorSet) -> DataTree:
    """A market whose regions a spreadsheet would take for formulas, links and columns."""
    return market(pset, draws=2, region=RISKY)


@pytest.mark.parametrize("layout", variants(["wide", "long"], stay=1))
def test_no_text_becomes_a_formula_in_a_workbook(pset: PriorSet, risky: DataTree, tmp_path: Path, layout: str) -> None:
    done = write(pset, tmp_path / "x.xlsx", "xlsx", risky, layout=layout)
    same(done, read_export(tmp_path / "x.xlsx"))
    with zipfile.ZipFile(tmp_path / "x.xlsx") as archive:
        for name in archive.namelist():
            assert not re.search(rb"<f[ >]|<hyperlink", archive.read(name)), name
    with closing(openpyxl.load_workbook(tmp_path / "x.xlsx")) as book:
        kinds = {
            cell.data_type for sheet in book for row in sheet.iter_rows() for cell in row if cell.value is not None
        }
    assert kinds == {"s", "n"}


@pytest.mark.parametrize("layout", ["long", "wide"])
def test_csv_keeps_labels_from_being_formulas(pset: PriorSet, risky: DataTree, tmp_path: Path, layout: str) -> None:
    done = write(pset, tmp_path / "csv", "csv", risky, layout=layout)
    same(done, read_export(tmp_path / "csv"))
    with (tmp_path / "csv" / "revenue.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    texts = {*head} | ({cell for row in rows for cell in row[4:7]} if layout == "long" else set())
    assert not [text for text in texts if text.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert layout == "wide" or "'=1+1" in texts


@given(st.lists(st.text(max_size=5), max_size=8, unique=True))
def test_csv_labels_never_collide(labels: list[str]) -> None:
    assert len({csv_text(label) for label in labels}) == len(labels)


def test_a_long_text_is_cut_into_cells_and_joined() -> None:
    text = json.dumps({"a": "x" * 100_000, "b": [1, "\n"]}, indent=1)
    assert max(map(len, pieces(text))) <= 32_767
    assert json.loads("".join(pieces(text))) == json.loads(text)


def test_sheet_names_are_short_and_unique() -> None:
    names = [f"adoption_mean_of_a_device_with_a_long_name_{k}" for k in range(12)] + ["Contents", "provenance"]
    titles = list(sheet_names({"tables": dict.fromkeys(names)}).values())
    assert len({title.casefold() for title in titles} | {"contents", "provenance"}) == len(names) + 2
    assert max(map(len, titles)) <= 31
