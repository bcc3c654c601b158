"""Effective draws a second, refits a minute and gradients an effective draw, against peers in the same run.

python benchmarks/sampling.py [PEER ...], peers among stock, default and nutpie (where installed); each in a process of
its own. Ratios are what to read: the machine is shared.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

CODE = """
import json, sys, time
import numpy as np, pymc as pm
from postcgrp.inference import Clock, Sampling, enable_cache, sample
from postcgrp.inference.batch import fit_many, prepare
from postcgrp.inference.diagnostics import diagnostics
from postcgrp.models import build_model
from postcgrp.priors import effective, load_ledger

def model():
    return build_model(effective(load_ledger()))

def least(posterior, names):
    found = [diagnostics(np.asarray(posterior[n])) for n in names]
    return min(float(min(f.ess_bulk.min(), f.ess_tail.min())) for f in found)

def free(m):
    return [rv.name for rv in m.free_RVs]

def isotropic(size):
    with pm.Model() as m:
        pm.Normal("x", shape=size)
    return m
"""

OURS = """
enable_cache()
m, clock = model(), Clock()
sample(m, Sampling(sampler="{sampler}", draws=100, prior_draws=1000), key="benchmark {sampler}")
run = sample(m, Sampling(sampler="{sampler}", prior_draws=1000, seed=2), clock=clock, key="benchmark {sampler}")
ess = least(run["posterior"], [*free(m), "revenue_total"])
gradients = float(run["sample_stats"]["n_steps"].sum())
size = sum(v.values[0, 0].size for n, v in run["posterior"].items() if n in free(m))
ideal = sample(isotropic(size), Sampling(sampler="{sampler}", prior_draws=1000))
flat = float(ideal["sample_stats"]["n_steps"].sum()) / least(ideal["posterior"], ["x"])
seconds = clock.seconds["sampling alone"]
each = gradients / ess
print(json.dumps(dict(seconds=seconds, ess=ess, gradients_per_effective_draw=each, of_isotropic=each / flat)))
"""

PEER = """
m = model()
start = time.perf_counter()
run = pm.sample(1000, tune=1000, chains=4, {options} progressbar=False, random_seed=2, model=m)
seconds = time.perf_counter() - start
print(json.dumps(dict(seconds=seconds, ess=least(run["posterior"], [*free(m), "revenue_total"]))))
"""

BATCH = """
enable_cache()
m = model()
y, rng = m["evidence_log_value"].get_value(), np.random.default_rng(0)
batch = prepare(m, Sampling(draws={draws}, tune={tune}, prior_draws=1000), keep=["revenue_total"], key="benchmark")
data = [dict(evidence_log_value=y + rng.normal(0, 0.1, y.shape)) for _ in range({number} + 16)]
list(fit_many(batch, data[:16]))
start = time.perf_counter()
fits = [fit.effort for _, fit in fit_many(batch, data[16:]{judged}) if fit.passed]
seconds = time.perf_counter() - start
print(json.dumps(dict(seconds=seconds, per_minute={number} / seconds * 60, passed=len(fits), again=fits.count(2))))
"""

PEERS = {"stock": 'nuts_sampler="numpyro",', "default": "", "nutpie": 'nuts_sampler="nutpie",'}


def measure(code: str) -> dict[str, float]:
    """What a fresh process prints."""
    done = subprocess.run([sys.executable, "-c", CODE + code], check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main(peers: list[str]) -> None:
    """Run and print everything."""
    start, rates = time.perf_counter(), {}
    for sampler in ("hmc", "numpyro"):
        found = measure(OURS.format(sampler=sampler))
        rates[sampler] = found["ess"] / found["seconds"]
        print(f"{sampler}, sampling alone: {found}; smallest ESS a second {rates[sampler]:.0f}", flush=True)
    for number, draws, tune, name in ((120, 1000, 300, "full"), (240, 250, 150, "small")):
        found = measure(
            BATCH.format(number=number, draws=draws, tune=tune, judged="" if name == "full" else ", tries=1")
        )
        print(f"batch, {name} fits (4 x {draws} after {tune}): {found}", flush=True)
    for peer in peers:
        found = measure(PEER.format(options=PEERS[peer]))
        rate = found["ess"] / found["seconds"]
        ratios = {name: round(ours / rate, 1) for name, ours in rates.items()}
        print(f"pm.sample, {peer}: {found}; smallest ESS a second {rate:.1f}; ours over it {ratios}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"largest process {peak:.1f} GB; everything {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:] or ["stock"])
