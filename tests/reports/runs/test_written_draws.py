"""Draws written where there is no room, and read by either library: faults come back in one line."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import xarray as xr
from xarray import DataTree

from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.runs.folder import DRAWS, write_draws
from postcgrp.reports.runs.place import new_folder
from postcgrp.tests.helpers.stored import prior_tree

pytestmark = pytest.mark.fit


@pytest.fixture(scope="module")
def draws(pset: PriorSet) -> DataTree:
    return prior_tree(pset, 20)


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
