"""What an export may be asked for: choices, thinning, targets, other versions of the schema."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xarray import DataTree

from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.cli.main import main
from postcgrp.reports.cli.terminal import hushed
from postcgrp.reports.export import schema, thinning
from postcgrp.reports.export.exporting import FORMATS, Chosen, default_export, export_lines, select
from postcgrp.reports.export.read import read_export
from postcgrp.reports.export.xlsx import MOST_ROWS
from postcgrp.reports.runs.groups import group
from postcgrp.reports.runs.run import Run, open_run
from postcgrp.reports.workbook import book
from postcgrp.tests.helpers.exported import RECORD, brief, market, same, target, values, write
from postcgrp.tests.helpers.markets import CHANGES, prior_set_of
from postcgrp.tests.helpers.paths import DATA

FROZEN = DATA / "export-1.0"


@pytest.fixture(scope="module")
def many(pset: PriorSet) -> DataTree:
    """A run of enough draws to thin."""
    return market(pset, chains=4, draws=250)


def test_a_choice_keeps_the_runs_order_and_its_numbers(pset: PriorSet) -> None:
    run = market(pset)
    chosen = Chosen(["patients", "revenue", "acute_use"], years=[2035, 2030], regions=["Japan", "EU5"], depths=["3+"])
    data = select(Run.in_memory(run, brief(pset), RECORD), chosen).data
    assert data["year"].values.tolist() == [2030, 2035]
    assert data["region"].values.tolist() == ["EU5", "Japan"]
    whole = group(run)["revenue"].sel(year=[2030, 2035], region=["EU5", "Japan"], depth=["3+"])
    np.testing.assert_array_equal(data["revenue"].values, whole.values.reshape(12, 2, 2, 1, 3))
    assert data["acute_use"].dims == ("draw", "region", "depth")


def test_no_total_of_the_whole_market_beside_a_part_of_it(pset: PriorSet) -> None:
    of = [{*select(Run.in_memory(market(pset), brief(pset), RECORD), c).header["tables"]} for c in (
        Chosen(), Chosen(years=[2030]), Chosen(regions=["EU5"]), Chosen(modalities=["implantable"]),
    )]  # fmt: skip
    assert of[0] == of[1]
    assert of[0] - of[2] == {"revenue_total", "price", "adoption_mean"}
    assert of[0] - of[3] == {"revenue_total"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"to": "stata"}, r"--to stata: .*use one of parquet, csv, xlsx, netcdf, zarr"),
        ({"chosen": Chosen(quantities=["revenu"])}, r"--quantities 'revenu': .*use some of revenue, revenue_total"),
        ({"chosen": Chosen(years=[2036])}, r"--years 2036: .*use some of 2025, "),
        ({"chosen": Chosen(regions=["EU5", "Mars"])}, r"--regions 'Mars': .*United States, EU5"),
        ({"chosen": Chosen(depths=["4"])}, r"--depths '4': .*1, 2, 3\+"),
        ({"chosen": Chosen(modalities=["surgery"])}, r"--modalities 'surgery': .*pharmacologic"),
        ({"chosen": Chosen(["revenue_total"], regions=["EU5"])}, r"revenue_total: is over every region, .*leave one"),
        ({"thin": 0}, r"--thin 0: the run has 12 draws: .*1 to 12"),
        ({"thin": 13}, r"--thin 13: the run has 12 draws"),
        ({"layout": "tall"}, r"--layout tall: .*long, wide"),
        ({"to": "netcdf", "layout": "wide"}, r"--layout wide: netcdf holds arrays.*leave it out"),
        ({"to": "xlsx"}, r"--out .*out: is for xlsx: end it in \.xlsx"),
    ],
)
def test_bad_choices_are_refused_in_one_line(
    pset: PriorSet, tmp_path: Path, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says) as caught:
        write(pset, tmp_path / "out", **{"to": "parquet", **options})
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_choice_among_what_the_run_has_not_is_refused(tmp_path: Path) -> None:
    alone = prior_set_of(CHANGES["only everyone"])
    with pytest.raises(InputError, match="--lines 'device': this run has no such line: leave the option out"):
        write(alone, tmp_path / "out", "csv", chosen=Chosen(lines=["device"]))


def test_a_run_with_a_hole_is_refused(pset: PriorSet, tmp_path: Path) -> None:
    run = market(pset)
    values(run, "use")[0, 0, 0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="use: holds numbers that are not finite"):
        write(pset, tmp_path / "out", "csv", run)
    assert not list(tmp_path.iterdir())


def test_more_rows_than_a_sheet_holds_are_refused_with_what_would_fit(pset: PriorSet, tmp_path: Path) -> None:
    run = market(pset, chains=1, draws=2200)
    chosen = Chosen(quantities=["revenue"])
    with pytest.raises(InputError, match=r"revenue: 1,089,000 rows .*1,048,575 .*--thin 2118, --layout wide"):
        write(pset, tmp_path / "x.xlsx", "xlsx", run, chosen=chosen, layout="long")
    assert 2118 * 495 < MOST_ROWS <= 2119 * 495
    wide = market(pset, chains=1, draws=1, region=[f"region {k}" for k in range(200)])
    with pytest.raises(InputError, match=r"19,803 columns, .*16,384: use --layout long"):
        write(pset, tmp_path / "x.xlsx", "xlsx", wide, chosen=chosen)


def test_wide_columns_of_the_same_name_are_refused(pset: PriorSet, tmp_path: Path) -> None:
    run = market(pset, region=["a,1", "a"], depth=["2", "1,2"])
    with pytest.raises(InputError, match=r"commas in labels .*use --layout long"):
        write(pset, tmp_path / "x", "parquet", run, layout="wide")
    same(write(pset, tmp_path / "x", "parquet", run), read_export(tmp_path / "x"))


# Thinning


def worst(said: dict[str, Any], *names: str) -> float:
    return max(abs(float(row[name])) for row in said["error"] for name in names)


@pytest.mark.fit
def test_thinned_draws_are_whole_draws_of_the_run(pset: PriorSet, many: DataTree) -> None:
    done, whole = (select(Run.in_memory(many, brief(pset), RECORD), Chosen(), n) for n in (60, None))
    assert done.data.sizes["draw"] == 60
    ids = done.data["draw"].values
    assert len({*ids}) == 60
    for name in done.data.data_vars:
        np.testing.assert_array_equal(done.data[name].values, whole.data[name].values[ids - 1])
    assert (done.data["draw"] == (done.data["chain"] - 1) * 250 + done.data["iteration"]).all()
    same_again = select(Run.in_memory(many, brief(pset), RECORD), Chosen(["moh"]), 60)
    np.testing.assert_array_equal(same_again.data["draw"].values, ids)


@pytest.mark.fit
def test_the_error_of_thinning_is_stated_as_it_is(pset: PriorSet, many: DataTree) -> None:
    done = select(Run.in_memory(many, brief(pset), RECORD), Chosen(["revenue_total"]), 100)
    every = group(many)["revenue_total"].values.reshape(1000, -1)
    kept, said = done.data["revenue_total"].values, done.header["thinning"]
    for k, row in enumerate(said["error"]):
        assert row["year"] == done.data["year"].values[k]
        assert row["mean"] == pytest.approx(kept[:, k].mean() - every[:, k].mean())
        assert row["q95"] == pytest.approx(np.quantile(kept[:, k], 0.95) - np.quantile(every[:, k], 0.95))
        # these draws are independent
        assert row["mcse_mean"] == pytest.approx(every[:, k].std() / np.sqrt(1000), rel=0.15)
    row = max(said["error"], key=lambda row: abs(row["q05"]))
    assert f"5 % point {row['q05']:+.2g} ({row['year']}" in export_lines(done, Path("x"), "USD")[0]


@pytest.mark.fit
def test_thinning_keeps_means_and_tails_better_than_chance(pset: PriorSet) -> None:
    """On average over markets: in a single one the worst year of a heavy tail is a matter of luck for both."""
    gains = []
    for seed in range(4):
        draws = group(market(pset, chains=4, draws=250, seed=seed))
        chance = [np.random.default_rng(k).choice(1000, 100, replace=False) for k in range(20)]
        ours, *theirs = ({"error": thinning.error(draws, k)} for k in (thinning.thinning(draws, 100)[0], *chance))
        names = (("mean",), ("q05", "q95"))
        gains.append([np.mean([worst(said, *name) for said in theirs]) / worst(ours, *name) for name in names])
    of_mean, of_tails = np.mean(gains, axis=0)
    assert of_mean > 2
    assert of_tails > 1.3


@pytest.mark.fit
def test_thinning_keeps_the_share_of_draws_in_each_tail_within_two(many: DataTree) -> None:
    draws = group(many)
    total = draws["revenue_total"].values.reshape(1000, -1)
    kept = total[thinning.thinning(draws, 100)[0]]
    for tail in (*thinning.TAILS, *(1 - tail for tail in thinning.TAILS)):
        below = (kept < np.quantile(total, tail, axis=0)).sum(axis=0)
        assert np.abs(below - 100 * tail).max() < 2


def test_all_draws_need_no_thinning(pset: PriorSet, many: DataTree) -> None:
    none, all_ = (select(Run.in_memory(many, brief(pset), RECORD), Chosen(["moh"]), n).header for n in (None, 1000))
    assert none == all_
    assert none["thinning"]["error"] == []


@given(st.integers(2, 40), st.integers(1, 5), st.data())
@settings(max_examples=40, deadline=None)
def test_herding_keeps_as_many_as_asked_each_once(draws: int, features: int, data: st.DataObject) -> None:
    points = np.random.default_rng(data.draw(st.integers(0, 99))).standard_normal((draws, features))
    points[:, 0] = 1  # a feature that never varies
    keep = data.draw(st.integers(1, draws))
    kept = thinning.herd(points, keep)
    assert len({*kept.tolist()}) == len(kept) == keep
    assert (np.diff(kept) > 0).all()


# Targets


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_may_be_replaced_and_nothing_else(pset: PriorSet, tmp_path: Path, to: str) -> None:
    out, few = target(tmp_path, to), Chosen(["moh", "payer_block"])
    write(pset, out, to, chosen=few)
    done = write(pset, out, to, market(pset, seed=2), chosen=Chosen(["moh"]))
    same(done, read_export(out))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    if out.is_dir():
        (out / "notes.txt").write_text("mine")
    elif to == "xlsx":
        book = openpyxl.load_workbook(out)
        book.create_sheet("my model")
        book.save(out)
        before[out] = out.read_bytes()
    else:
        out.write_bytes(b"\x89HDF\r\n\x1a\nmine")
        before[out] = out.read_bytes()
    with pytest.raises(InputError, match=r"holds something else .*name a new place"):
        write(pset, out, to, chosen=few)
    assert all(path.read_bytes() == content for path, content in before.items())
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize(("to", "name"), [("parquet", ".git"), ("csv", ".notes"), ("csv", "mine.csv.json")])
def test_a_hidden_file_beside_the_tables_is_not_lost(pset: PriorSet, tmp_path: Path, to: str, name: str) -> None:
    out, few = target(tmp_path, to), Chosen(["moh"])
    write(pset, out, to, chosen=few)
    (out / name).write_text("{}")
    with pytest.raises(InputError, match=rf"holds {name}, .*name a new place"):
        write(pset, out, to, chosen=few)
    assert (out / name).read_text() == "{}"


def test_other_files_and_formats_are_left_alone(pset: PriorSet, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.csv").write_text("a\n1\n")
    (tmp_path / "mine.nc").mkdir()
    (tmp_path / "file").write_text("mine")
    write(pset, tmp_path / "parquet", "parquet", chosen=Chosen(["moh"]))
    for name, to in (("thesis", "csv"), ("mine.nc", "netcdf"), ("file", "csv"), ("parquet", "csv")):
        if name == "mine.nc":
            (tmp_path / name / "x").write_text("mine")
        with pytest.raises(InputError, match="name a new place"):
            write(pset, tmp_path / name, to, chosen=Chosen(["moh"]))
    assert (tmp_path / "thesis" / "chapter.csv").read_text() == "a\n1\n"


@pytest.mark.parametrize("to", FORMATS)
def test_a_folder_that_cannot_be_written_is_refused(pset: PriorSet, to: str) -> None:
    with pytest.raises(InputError, match=r"/proc/.*cannot be written .*name a place"):
        write(pset, target(Path("/proc/exports"), to), to, chosen=Chosen(["moh"]))


@pytest.mark.parametrize("to", FORMATS)
def test_a_full_disk_leaves_the_earlier_export(pset: PriorSet, tmp_path: Path, to: str) -> None:
    out = target(tmp_path, to)
    done = write(pset, out, to, chosen=Chosen(["moh"]))
    # A limit on the size of a file fails like a full disk does, in the middle of writing.
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, old[1]))
    try:
        with pytest.raises(InputError, match=r"cannot be written .*nothing was changed"):
            write(pset, out, to, market(pset, draws=60), chosen=Chosen(["revenue"]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    same(done, read_export(out))


# Versions

SAMPLES = ["parquet", "csv", "sample.xlsx", "sample.nc", "sample.zarr"]


@pytest.mark.parametrize("name", SAMPLES)
def test_files_of_the_first_version_still_load(name: str) -> None:
    read = read_export(FROZEN / name)
    assert read.header["schema"] == "postcgrp.export/1.0"
    assert read.header["content_sha256"] == (FROZEN / "content.sha256").read_text().strip()
    assert read.data["revenue_total"].sel(year=2035).values.tolist() == pytest.approx(
        read.data["revenue"].sel(year=2035).sum(["region", "depth", "modality"]).values, rel=1e-9
    )
    assert read.data["draw"].values.tolist() == [1, 2, 3, 4]
    assert read.header["tables"]["acute_use"]["unit"] == "fraction"


def of_version(folder: Path, version: str, **more: Any) -> Path:
    """A sample as a program of another version would have written it."""
    path = Path(shutil.copytree(FROZEN / "csv", folder / version))
    for sidecar in path.glob("*.json"):
        header = {**json.loads(sidecar.read_text()), "schema": f"postcgrp.export/{version}", **more}
        sidecar.write_text(json.dumps({**header, "content_sha256": schema.content_sha256(header)}))
    return path


def test_a_newer_minor_version_loads_with_what_it_adds(tmp_path: Path) -> None:
    read = read_export(of_version(tmp_path, "1.7", discounting="none"))
    assert read.header["discounting"] == "none"
    assert "revenue" in read.data


@pytest.mark.parametrize("version", ["2.0", "11.3", "2", "2.0.1"])
def test_a_newer_major_version_is_refused_with_the_way_out(tmp_path: Path, version: str) -> None:
    with pytest.raises(InputError, match=rf"has schema {version}, .*reads up to 1\.x: install a newer postcgrp"):
        read_export(of_version(tmp_path, version))


@pytest.mark.parametrize("text", ["", "{}", "[1]", "null", '{"schema": 3}', '{"schema": "other/1.0"}', "{"])
def test_a_header_that_is_none_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    path = of_version(tmp_path, "1.0")
    (path / "revenue.csv.json").write_text(text)
    with pytest.raises(InputError, match="is no export of postcgrp, or its header was lost"):
        read_export(path)


# Runs


@pytest.fixture
def frozen_run(tmp_path: Path) -> Path:
    """A run of schema 2, made by the first version that wrote one: two draws of two chains."""
    return Path(shutil.copytree(FROZEN.parent / "run-2", tmp_path / "run"))


def restate(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_run_of_the_first_version_still_loads_and_exports(
    frozen_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(frozen_run), "--to", "netcdf"]) == 0
    read = read_export(frozen_run.with_name("run.nc"))
    assert f"content sha256 {read.header['content_sha256']}" in capsys.readouterr().out
    totals = read.data["revenue"].sum(["region", "depth", "modality"])
    np.testing.assert_allclose(totals, read.data["revenue_total"], rtol=1e-9)
    assert [row.id for row in open_run(frozen_run).priors.evidence]


def test_a_newer_minor_version_of_a_run_loads(frozen_run: Path) -> None:
    newer = {"schema": "postcgrp.run/2.4", "recipe_sha256": open_run(frozen_run).priors.fingerprint()}
    with netCDF4.Dataset(frozen_run / "posterior.nc", "r+") as file:
        file.manifest = json.dumps(json.loads(file.manifest) | newer)
    sha = hashlib.sha256((frozen_run / "posterior.nc").read_bytes()).hexdigest()
    files = json.loads((frozen_run / "manifest.json").read_text())["files"] | {"posterior.nc": sha}
    restate(frozen_run, **newer, files=files, audience="all")
    assert open_run(frozen_run).manifest["audience"] == "all"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"schema": "postcgrp.run/1"},
            r"has schema 1, .*runs of 2\.x, as its model is another: run the forecast again .*with the postcgrp",
        ),
        ({"schema": "postcgrp.run/3.1"}, r"has schema 3\.1, .*read it with a newer postcgrp"),
        ({"schema": "postcgrp.run/x"}, "is not a run folder"),
        ({"schema": "postcgrp.run/2.x"}, "is not a run folder"),
        ({"schema": "postcgrp.value/1"}, "is not a run folder"),
        ({"schema": 1}, "is not a run folder"),
        ({"files": None}, "is not a run folder"),
        ({"files": {}}, "posterior.nc: is missing or was changed"),
    ],
)
def test_a_run_that_cannot_be_read_is_refused_in_one_line(frozen_run: Path, changes: dict[str, Any], says: str) -> None:
    restate(frozen_run, **changes)
    with pytest.raises(InputError, match=says):
        open_run(frozen_run)


def test_a_run_whose_verdict_was_edited_is_refused(frozen_run: Path) -> None:
    restate(frozen_run, status="failed")
    with pytest.raises(InputError, match="'status' was changed after the run"):
        open_run(frozen_run)


def test_a_prior_set_that_is_not_known_is_one_line(frozen_run: Path) -> None:
    for text in ("", "{}", '{"settings": {"leave_out": []}, "ledger": {}, "evidence": []}'):
        (frozen_run / "inputs.json").write_text(text)
        files = json.loads((frozen_run / "manifest.json").read_text())["files"]
        restate(frozen_run, files=files | {"inputs.json": hashlib.sha256(text.encode()).hexdigest()})
        with pytest.raises(InputError, match=r"inputs\.json: is damaged or of another postcgrp") as caught:
            open_run(frozen_run)
        assert "\n" not in str(caught.value)
    (frozen_run / "inputs.json").unlink()
    with pytest.raises(InputError, match=r"inputs\.json: is missing or was changed"):
        open_run(frozen_run)


@pytest.mark.parametrize("verb", ["export", "workbook"])
def test_a_name_that_no_disk_takes_is_one_line(frozen_run: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(frozen_run.parent / ("a" * 300 + ".xlsx"))
    to = ["--to", "xlsx"] if verb == "export" else []
    assert main([verb, str(frozen_run), *to, "--out", out]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"postcgrp {verb}: {out}: File name too long")
    assert said.count("\n") == 1


@pytest.mark.parametrize("given", [".", ""])
def test_an_export_of_the_folder_one_is_in_lies_beside_it(
    frozen_run: Path, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(frozen_run)
    assert default_export(Path(given), "csv") == frozen_run.with_name("run-csv")
    assert book.default_workbook(Path(given)) == frozen_run.with_name("run-workbook.xlsx")
    monkeypatch.chdir(frozen_run.parent)
    assert default_export(Path("run"), "csv") == Path("run-csv")


def test_a_file_that_cannot_be_closed_is_not_heard_beside_the_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """XlsxWriter leaves files open, and on a full disk each said so in a traceback of its own when it was collected."""
    heard: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: heard.append(what.exc_type))

    class Left:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def __del__(self) -> None:
            raise self.error

    with hushed():
        Left(OSError(28, "No space left on device"))
        Left(ValueError("a fault of ours"))
    assert heard == [ValueError]
    Left(OSError(28, "No space left on device"))
    assert heard == [ValueError, OSError]
