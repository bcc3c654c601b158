"""Figures drawn beside the run, and draws written where there is no room: faults come back in one line."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from matplotlib.image import imread
from xarray import DataTree

from postcgrp.inference.forward import ONCE
from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.forecast.attribution_figures import TABLE_FIGURES, Tables
from postcgrp.reports.forecast.figure_process import drawing, shown_variables
from postcgrp.reports.forecast.figures import RUN_FIGURES, fan_modality, prior_ranges, save_figures, save_priors
from postcgrp.reports.forecast.style import save_figure, styled
from postcgrp.reports.forecast.tables import bench_tables
from postcgrp.reports.runs.folder import DRAWS, write_draws
from postcgrp.reports.runs.groups import group
from postcgrp.reports.runs.place import new_folder

pytestmark = pytest.mark.fit


@pytest.fixture(scope="module")
def draws(model: pm.Model) -> DataTree:
    """A few prior draws, as both groups that figures show."""
    prior = pm.sample_prior_predictive(20, model=model, random_seed=1, compile_kwargs={"mode": ONCE})["prior"]
    return DataTree.from_dict({"prior": prior.to_dataset(), "posterior": prior.to_dataset()})


@pytest.fixture(scope="module")
def tables(draws: DataTree, pset: PriorSet) -> Tables:
    return bench_tables(draws, pset)


def test_another_process_draws_the_same_figures(
    draws: DataTree, tables: Tables, pset: PriorSet, tmp_path: Path
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    with drawing(pset, there, "0" * 8) as figures:
        figures.begin(draws)
        figures.add(tables)
        drawn = figures.finish()
    assert tables["variance_budget"].empty  # of so few draws
    assert list(drawn) == [*RUN_FIGURES, "growth_bridge", "priors"]
    assert {path.name for path in there.iterdir()} == {f"{name}.{kind}" for name in drawn for kind in ("png", "svg")}
    shown = DataTree.from_dict({g: group(draws, g)[shown_variables(pset)] for g in ("prior", "posterior")})
    save_figures(shown, pset, here, "0" * 8, RUN_FIGURES)  # in this process a warning is an error
    save_figures(tables, pset, here, "0" * 8, TABLE_FIGURES)
    save_priors(pset, here, "0" * 8)
    assert len(list(here.iterdir())) == 2 * len(drawn)
    for path in here.iterdir():
        assert path.read_bytes() == (there / path.name).read_bytes(), path.name


def test_every_ranged_prior_names_its_range(pset: PriorSet) -> None:
    (axes,) = prior_ranges(pset).axes
    ranged = [p for block in pset.blocks.values() for p in block.priors if p.low is not None]
    of = {p.name.replace("_", " "): (p.low, p.high) for p in ranged}
    for name, *ends in zip(axes.texts[::3], axes.texts[1::3], axes.texts[2::3], strict=True):
        values = [float(end.get_text().replace("\N{MINUS SIGN}", "-").replace(",", "")) for end in ends]
        assert tuple(values) == of[name.get_text()]
        assert ends[0].get_position()[0] < ends[1].get_position()[0]


def test_the_layout_is_the_one_that_matplotlib_would_make(draws: DataTree, pset: PriorSet, tmp_path: Path) -> None:
    note = {"Description": "postcgrp recipe sha256 0"}
    with styled():
        fan_modality(draws, pset).savefig(tmp_path / "plain.png", dpi=150, metadata=note)
        saved = save_figure(fan_modality(draws, pset), tmp_path / "saved", "0")
    plain, ours = map(imread, (tmp_path / "plain.png", saved))
    assert np.array_equal(plain, ours)


def test_what_fails_there_is_raised_here(draws: DataTree, pset: PriorSet, tmp_path: Path) -> None:
    with drawing(pset, tmp_path / "no-such-folder", "0" * 8) as figures:
        figures.begin(draws)
        with pytest.raises(FileNotFoundError, match="no-such-folder"):
            figures.finish()


def test_a_process_that_dies_is_one_line(
    draws: DataTree, pset: PriorSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")

    def run() -> None:
        with new_folder(tmp_path / "run") as folder, drawing(pset, folder, "0" * 8) as figures:
            figures.begin(draws)
            figures.finish()

    with pytest.raises(InputError, match=r"the process that draws the figures was killed.*nothing was changed"):
        run()
    assert not list(tmp_path.iterdir())


def test_it_ends_with_a_killed_parent(tmp_path: Path) -> None:
    """Nobody is left waiting for draws that will not come."""
    script = (
        "import os, signal, sys; from pathlib import Path; from postcgrp.priors import effective, load_ledger\n"
        "from postcgrp.reports.forecast.figure_process import drawing\n"
        "with drawing(effective(load_ledger()), Path(sys.argv[1]), '0'):\n"
        "    print(Path(f'/proc/{os.getpid()}/task/{os.getpid()}/children').read_text(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    killed = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert killed.returncode == -signal.SIGKILL
    child = Path(f"/proc/{int(killed.stdout)}/cmdline")
    until = time.monotonic() + 60
    while child.exists() and b"drawing" in child.read_bytes():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_full_disk_is_one_line_and_leaves_nothing(draws: DataTree, tmp_path: Path) -> None:
    """The C library's own error, at each place where room may end; the process lives and writes the next one."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with new_folder(tmp_path / "whole") as folder:
        write_draws(draws, "recipe", {}, folder)
    size = (tmp_path / "whole" / DRAWS).stat().st_size
    for room in (1000, size // 2, size - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        try:
            with (
                pytest.raises(InputError, match=r"cannot be written .*disk may be full"),
                new_folder(tmp_path / "run") as new,
            ):
                write_draws(draws, "recipe", {}, new)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert [path.name for path in tmp_path.iterdir()] == ["whole"]


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
def test_draws_are_read_by_either_library(draws: DataTree, tmp_path: Path, engine: str) -> None:
    """They are what xarray itself would have written, to the type of every variable."""
    draws = draws.copy()
    odd = draws["posterior"].to_dataset()
    draws["posterior"] = odd.assign_coords(odd=("draw", odd["draw"].values % 2 == 1)).assign_attrs(note="of a group")
    write_draws(draws, "recipe", {"a": 1}, tmp_path)
    draws.to_netcdf(tmp_path / "theirs.nc", engine="netcdf4")
    ours, theirs = (xr.open_datatree(tmp_path / name, engine=engine).load() for name in (DRAWS, "theirs.nc"))
    assert ours.attrs["recipe"] == "recipe"
    for tree in (draws, theirs):
        xr.testing.assert_identical(ours, tree)
    types = [
        {(node.path, name): v.dtype for node in tree.subtree for name, v in node.variables.items()}
        for tree in (ours, theirs)
    ]
    assert types[0] == types[1]
