"""As a web server would: runs made and read in several threads of one process, which must outlive it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from postcgrp.priors import PriorSet
from postcgrp.tests.helpers.stored import prior_run

pytestmark = pytest.mark.fit

# netCDF's faults end the process, so the threads have a process of their own.
IN_THREADS = """
import sys, threading
from pathlib import Path
from postcgrp.reports.runs.folder import write_draws
from postcgrp.reports.runs.run import open_run
def both(k):
    for _ in range(4):
        run = open_run(sys.argv[1])
        assert run.read(["revenue_total"])["revenue_total"].size == run.tree["posterior/revenue_total"].size
        folder = Path(sys.argv[1]).with_name(f"again {k}")
        folder.mkdir(exist_ok=True)
        write_draws(run.tree.copy(), "", {}, folder)
    finished.append(k)
finished = []
threads = [threading.Thread(target=both, args=(k,)) for k in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(finished) == 6
"""


def test_runs_are_read_and_written_in_threads(pset: PriorSet, tmp_path: Path) -> None:
    run = prior_run(pset, tmp_path / "run", draws=50)
    done = subprocess.run(
        [sys.executable, "-c", IN_THREADS, str(run.folder)], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
