"""As a web server would: runs made and read in several threads of one process, which must outlive it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from postcgrp.priors import PriorSet
from postcgrp.tests.helpers.paths import OTHER_MARKET
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


@pytest.mark.slow
def test_runs_are_read_and_written_in_threads(pset: PriorSet, tmp_path: Path) -> None:
    run = prior_run(pset, tmp_path / "run", draws=50)
    done = subprocess.run(
        [sys.executable, "-c", IN_THREADS, str(run.folder)], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


FORECASTS = """
import sys, threading
from pathlib import Path
from postcgrp.priors import effective, load_ledger
from postcgrp.reports.forecast.pipeline import forecast
from postcgrp.reports.runs.run import open_run
pset = effective(load_ledger(*(Path(path) for path in sys.argv[2:])))
def one(k):
    try:
        forecast(pset, out=Path(sys.argv[1]) / str(k), draws=12, tune=12, chains=2, prior_draws=20, seed=k)
    except BaseException as error:
        errors.append(repr(error))
errors = []
threads = [threading.Thread(target=one, args=(k,)) for k in (1, 2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not errors, errors
forecast(pset, out=Path(sys.argv[1]) / "alone", draws=12, tune=12, chains=2, prior_draws=20, seed=1)
first, second, alone = (open_run(Path(sys.argv[1]) / name).posterior["revenue_total"] for name in ("1", "2", "alone"))
assert first.equals(alone)
assert not first.equals(second)
"""


@pytest.mark.slow
def test_two_forecasts_in_threads_are_what_each_is_alone(tmp_path: Path) -> None:
    files = [str(OTHER_MARKET / f"{name}.toml") for name in ("report", "assumptions")]
    done = subprocess.run(
        [sys.executable, "-c", FORECASTS, str(tmp_path), *files], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
