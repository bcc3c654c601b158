"""The same units on a real Dask cluster of two worker processes, one of which is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pymc as pm
import pytest
from distributed import Client, LocalCluster, Status

from postcgrp.inference import Sampling
from postcgrp.inference.batch import Batch, Fit, fit_many, load_fit, prepare
from postcgrp.inference.cluster import cluster as at
from postcgrp.priors import InputError

# A killed worker leaves sockets and processes behind.
pytestmark = [pytest.mark.fit, pytest.mark.filterwarnings("default")]
POSTERIORS = 12


@pytest.fixture(scope="module")
def batch() -> Batch:
    with pm.Model() as model:
        y = pm.Data("y_value", np.zeros(5))
        pm.Normal("y", pm.Normal("mu", 0, 2), 1, observed=y)
    return prepare(model, Sampling(tune=200, draws=1000, prior_draws=500), lanes=2)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    """Two workers with one thread each; spawned, since JAX has started here and must not be forked."""
    monkeypatch.setenv("POSTCGRP_CACHE", str(tmp_path / "cache"))
    with (
        warnings.catch_warnings(action="ignore"),
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as running,
    ):
        yield running
        # A cluster closed while a nanny starts another worker raises: both must be up again.
        with Client(running) as client:
            client.wait_for_workers(len(running.workers), timeout=60)
        until = time.monotonic() + 60
        while any(nanny.process.status is not Status.running for nanny in running.workers.values()):
            assert time.monotonic() < until
            time.sleep(0.05)


def worker_pids(address: str) -> list[int]:
    with Client(address) as client:
        return list(client.run(os.getpid).values())


def test_a_killed_worker_costs_nothing_but_time(batch: Batch, cluster: LocalCluster, tmp_path: Path) -> None:
    address = cluster.scheduler_address
    before = worker_pids(address)
    assert len(before) == 2
    data = [{"y_value": np.full(5, k / 4)} for k in range(POSTERIORS)]
    fits, victim = dict[int, Fit](), before[0]
    folder = tmp_path / "fits"
    for place, fit in fit_many(batch, data, folder=folder, scheduler=address):
        if not fits:
            os.kill(victim, signal.SIGKILL)
        fits[place] = fit
    assert sorted(fits) == list(range(POSTERIORS))
    assert victim not in worker_pids(address)
    assert any((tmp_path / "cache").glob("*-cache"))  # programs that the workers compiled
    here = dict(fit_many(batch, data))
    for place, fit in fits.items():
        assert fit.key == here[place].key
        assert np.allclose(fit.draws["mu"][:, :5], here[place].draws["mu"][:, :5])
        assert load_fit(folder / f"{fit.key}.npz") is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("postcgrp.inference.batch.fit_unit", None)  # nothing is left to run, here or there
        assert len(dict(fit_many(batch, data, folder=folder, scheduler=address))) == POSTERIORS


def test_no_scheduler_is_one_message(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postcgrp.inference.cluster.CONNECTION_SECONDS", 1)
    with pytest.raises(InputError, match=r"--scheduler tcp://127\.0\.0\.1:9: no scheduler answers"):
        list(fit_many(batch, [{}], scheduler="tcp://127.0.0.1:9"))


def test_a_unit_that_kills_its_workers_is_one_message(cluster: LocalCluster) -> None:
    with (
        pytest.raises(InputError, match="4 workers died of one unit of work: look for the cause in their logs"),
        at(cluster.scheduler_address) as executor,
    ):
        executor.submit(os._exit, 1).result()


def test_the_command_finds_dask(tmp_path: Path) -> None:
    """As a process of its own, which is spared Dask until it asks for a cluster."""
    command = [sys.executable, "-c", "from postcgrp.reports.cli.main import run; run()"]
    options = ["calibrate", "--scheduler", "no://1", "--out", str(tmp_path / "out")]
    ended = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "--scheduler no://1: no scheduler answers" in ended.stderr


LOSE = """
import os, signal, sys
from postcgrp.inference.cluster import cluster

with cluster(sys.argv[1]) as executor:
    waiting = executor.submit(abs, 1)  # for there are no workers
    os.kill(int(sys.argv[2]), signal.SIGKILL)
    waiting.result()
"""


def test_a_lost_scheduler_is_one_message(tmp_path: Path) -> None:
    """In a process of its own: where a program has set up its logs, what Dask says of it belongs there."""
    about = tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    options = ["--no-dashboard", "--scheduler-file", str(about)]
    with subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL) as scheduler:
        try:
            until = time.monotonic() + 60
            while not about.exists():
                assert time.monotonic() < until
                time.sleep(0.1)
            asked = [sys.executable, "-c", LOSE, json.loads(about.read_text())["address"], str(scheduler.pid)]
            lost = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=100)
        finally:
            scheduler.kill()
    assert lost.stderr.splitlines()[-1].startswith("postcgrp.priors.errors.InputError: --scheduler")
    assert "the connection was lost: start the scheduler again" in lost.stderr
    assert "distributed" not in lost.stderr
