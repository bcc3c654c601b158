"""What commands do to their own process changes nothing but time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from postcgrp.inference.settings import workers


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python program in a process of its own, its output read through a pipe."""
    command = [sys.executable, "-c", program, *arguments]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=100, env=buffered)


@pytest.mark.fit
def test_xarray_and_scipy_work_without_dask() -> None:
    program = (
        "import sys, numpy, xarray\n"
        "from scipy.special import logsumexp\n"
        "from postcgrp.reports.process import with_dask, without_dask\n"
        "if sys.argv[1:]: without_dask()\n"
        "assert float(xarray.Dataset({'a': ('x', numpy.arange(3))})['a'].sum()) == 3\n"
        "logsumexp(numpy.array([1.0, 2.0]))\n"
        "print(sum(name.startswith('dask.') for name in sys.modules))\n"
        "with_dask()\n"
        "import dask.base\n"
    )
    loaded, spared = (int(run(program, *arguments).stdout) for arguments in ((), ("without",)))
    # Once xarray no longer imports Dask by itself, this test and `without_dask` can go.
    assert spared == 0 < loaded


@pytest.mark.parametrize("status", [0, 3])
def test_what_a_command_printed_arrives_before_it_ends(status: int) -> None:
    done = run(
        "from postcgrp.reports.process import begin_command, end_command\n"
        "begin_command()\n"
        "print('x' * 5000)\n"
        f"end_command({status})\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, "x" * 5000 + "\n", "")


def test_a_command_whose_output_is_closed_ends_in_silence() -> None:
    done = run("import sys\nfrom postcgrp.reports.process import end_command\nsys.stdout.close()\nend_command(2)\n")
    assert (done.returncode, done.stderr) == (2, "")


@pytest.mark.parametrize("ending", ["SIGTERM", "SIGHUP"])
def test_a_command_asked_to_end_cleans_up_and_says_so(tmp_path: Path, ending: str) -> None:
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from postcgrp.reports.cli import main, priors\n"
        "from postcgrp.reports.runs.place import new_folder\n"
        "def asked_to_end(options):\n"
        "    with new_folder(Path(sys.argv[1])):\n"
        f"        os.kill(os.getpid(), signal.{ending})\n"
        "priors._audit = asked_to_end\n"
        "sys.argv[2:] = ['audit']\n"
        f"signal.signal(signal.{ending}, signal.SIG_DFL)\n"  # under nohup, SIGHUP is ignored
        "main.begin_command()\n"
        "main.end_command(main.main(['audit']))\n"
    )
    done = run(program, str(tmp_path / "run"))
    assert done.returncode == 143
    assert done.stderr == "postcgrp audit: asked to end; no file was changed\n"
    assert not list(tmp_path.iterdir())


def test_no_more_workers_than_cores_or_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 96)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 3, raising=False)
    assert (workers(), workers(12), workers(2), workers(0)) == (3, 3, 2, 1)
    monkeypatch.delattr(os, "process_cpu_count")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    assert workers(12) == 2
