"""Time a batch of refits on local Dask workers: two against one, in one run.

python benchmarks/cluster.py [NUMBER]: each of `WORKERS` refits the report NUMBER times (by default 1 000), 4 x 250
draws after 150 and one try, as workers of one thread. Printed are refits a minute and the efficiency: what each worker
does, as a share of what it does alone. A round before, which is not counted, lets every worker compile the programs.
"""

from __future__ import annotations

import logging
import sys
import time

import numpy as np
from distributed import Client, LocalCluster

from postcgrp.inference import Sampling, enable_cache
from postcgrp.inference.batch import fit_many, prepare
from postcgrp.models.blueprint import market_blueprint
from postcgrp.priors import effective, load_ledger

WORKERS = (1, 2)
WARMING = 64  # refits, eight units: each worker takes some


def main(number: int) -> None:
    """Run and print everything."""
    enable_cache()
    report, rng = market_blueprint(effective(load_ledger())), np.random.default_rng(0)
    stated = np.asarray(report.data["evidence_log_value"], dtype=float)
    batch = prepare(report, Sampling(draws=250, tune=150, prior_draws=1000), keep=["revenue_total"])
    data = [{"evidence_log_value": stated + rng.normal(0, 0.1, stated.shape)} for _ in range(number + WARMING)]
    alone = 0.0
    for workers in WORKERS:
        with (
            LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR
            ) as cluster,
            Client(cluster) as client,
        ):
            client.wait_for_workers(workers)
            list(fit_many(batch, data[:WARMING], scheduler=cluster.scheduler_address, tries=1))
            start = time.perf_counter()
            fits = sum(1 for _ in fit_many(batch, data[WARMING:], scheduler=cluster.scheduler_address, tries=1))
            rate = fits / (time.perf_counter() - start) * 60
        alone = alone or rate
        print(
            f"{workers} workers: {fits} refits, {rate:.0f} a minute, efficiency {rate / workers / alone:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
