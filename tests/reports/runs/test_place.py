"""Where results are written: through links, beside other processes' work, and without leavings of killed ones."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from postcgrp.priors import InputError
from postcgrp.priors.files import replacing
from postcgrp.reports.runs import place
from postcgrp.reports.runs.place import check_folder, new_file, new_folder

SCHEMA = "postcgrp.run/2"


def write(out: Path, text: str = "new") -> None:
    with new_folder(out) as folder:
        (folder / "a.txt").write_text(text)


def test_a_link_to_a_folder_is_written_through(tmp_path: Path) -> None:
    disk = tmp_path / "disk" / "runs"
    disk.mkdir(parents=True)
    link = tmp_path / "run"
    link.symlink_to(disk)
    check_folder(link, SCHEMA)
    for text in ("new", "newer"):
        write(link, text)
        assert link.is_symlink()
        assert (disk / "a.txt").read_text() == text
    assert [path.name for path in disk.parent.iterdir()] == ["runs"]


def test_a_link_to_a_folder_that_is_not_there_yet_makes_it(tmp_path: Path) -> None:
    link, disk = tmp_path / "run", tmp_path / "disk" / "runs"
    link.symlink_to(disk)
    check_folder(link, SCHEMA)
    write(link)
    assert link.is_symlink()
    assert (disk / "a.txt").read_text() == "new"


def test_a_link_to_a_file_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "x.csv"
    link.symlink_to(tmp_path / "disk" / "x.csv")
    for text in ("new", "newer"):
        with new_file(link) as beside:
            beside.write_text(text)
        assert link.is_symlink()
        assert (tmp_path / "disk" / "x.csv").read_text() == text
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["x.csv"]


def test_no_file_takes_the_place_of_a_device(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError), replacing(pipe):
        pass
    with pytest.raises(InputError, match=r"pipe: cannot be written \(is no ordinary file\)"), new_file(pipe):
        pass
    assert pipe.is_fifo()


def test_a_disks_own_folder_cannot_be_replaced() -> None:
    with pytest.raises(InputError, match="--out /proc: is where a disk is mounted"):
        check_folder(Path("/proc"), SCHEMA)


KILLED = """
import os, sys
from pathlib import Path
from postcgrp.reports.runs.place import new_folder
with new_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_is_gone_after_the_next(tmp_path: Path) -> None:
    out = tmp_path / "run [1]"  # no pattern
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, str(out)], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    write(out)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_results_moved_aside_by_a_killed_process_are_put_back(tmp_path: Path) -> None:
    aside = tmp_path / ".run.old-0123456789abcdef"
    aside.mkdir()
    (aside / "a.txt").write_text("old")
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "run"):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (tmp_path / "run" / "a.txt").read_text() == "old"


def test_what_others_are_writing_is_left_alone(tmp_path: Path) -> None:
    """Two containers that share a folder: the last to finish wins, and nobody loses a file on the way."""
    out = tmp_path / "run"
    started, errors = threading.Barrier(4), list[BaseException]()

    def one(k: int) -> None:
        started.wait()
        try:
            for _ in range(20):
                with new_folder(out) as folder:
                    (folder / "a.txt").write_text(str(k))
                    assert (folder / "a.txt").is_file()
        except (OSError, AssertionError) as error:
            errors.append(error)

    def slow() -> None:
        with new_folder(out) as folder:
            started.wait()
            for thread in quick:
                thread.join()
            (folder / "a.txt").write_text("slow")

    quick = [threading.Thread(target=one, args=(k,)) for k in range(3)]
    last = threading.Thread(target=slow)
    for thread in (*quick, last):
        thread.start()
    last.join()
    assert not errors
    assert (out / "a.txt").read_text() == "slow"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_without_locks_results_are_written_and_nothing_is_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, whose Python has no fcntl."""
    monkeypatch.setattr(place, "fcntl", None)
    (tmp_path / ".run.partial-1").mkdir()  # of another process, living or dead: nobody can tell
    for text in ("new", "newer"):
        write(tmp_path / "run", text)
        assert (tmp_path / "run" / "a.txt").read_text() == text
    assert {path.name for path in tmp_path.iterdir()} == {"run", ".run.partial-1"}
