"""Files are replaced in one step, whoever else writes them, and hashed by their content."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from postcgrp.priors.files import replacing, sha256


def test_a_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent  # renaming across file systems is a copy
        assert temporary.suffix == path.suffix
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def fail_halfway() -> None:
        with replacing(path) as temporary:
            temporary.write_text("ne")
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail_halfway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text() == "old"


def test_concurrent_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    path, writers = tmp_path / "table.csv", 8
    together = Barrier(writers, timeout=30)
    contents = [str(k) * 100_000 for k in range(writers)]

    def write(content: str) -> Path:
        with replacing(path) as temporary:
            together.wait()
            temporary.write_text(content)
            together.wait()
        return temporary

    with ThreadPoolExecutor(writers) as pool:
        names = list(pool.map(write, contents))
    assert len(set(names)) == writers
    assert path.read_text() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named_before_anything_is_computed(tmp_path: Path) -> None:
    entered = False
    with pytest.raises(FileNotFoundError, match="missing"), replacing(tmp_path / "missing" / "table.csv"):
        entered = True
    assert not entered


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "draws.bin"
    path.write_bytes(content := bytes(range(256)) * 5000)
    assert sha256(path) == hashlib.sha256(content).hexdigest()
    with pytest.raises(FileNotFoundError):
        sha256(tmp_path / "missing")
