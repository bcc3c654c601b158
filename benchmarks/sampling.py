"""Effective draws a second, refits a minute and gradients an effective draw, against peers in the same run.

python benchmarks/sampling.py [PEER ...], peers among stock, default and nutpie (left out where not installed); each in
a process of its own, which makes the call twice: cold, with no compiled program to be found, then warm. `seconds` are
those of the whole warm call, `sampling` what PyMC says of it; `cpu` leaves out PyMC's worker processes. Ratios are what
to read: the machine is shared.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec

HEAD = """
import json, os, sys, time
import numpy as np, pymc as pm
from postcgrp.models import build_model
from postcgrp.models.blueprint import market_blueprint
from postcgrp.priors import effective
from postcgrp.priors import load_ledger

def model():
    return build_model(effective(load_ledger()))

def free(m):
    return [rv.name for rv in m.free_RVs]

def timed(call):
    cpu, start = sum(os.times()[:4]), time.perf_counter()
    result = call()
    return result, dict(seconds=time.perf_counter() - start, cpu=sum(os.times()[:4]) - cpu)
"""

# Not before a peer has sampled: these imports take back the devices that PyMC asks JAX for, one for each chain.
TOOLS = """
from postcgrp.inference import Clock
from postcgrp.inference import Sampling
from postcgrp.inference import enable_cache
from postcgrp.inference import sample
from postcgrp.inference.batch import fit_many, prepare
from postcgrp.inference.diagnostics import diagnostics

def least(posterior, names):
    found = [diagnostics(np.asarray(posterior[n])) for n in names]
    return min(float(min(f.ess_bulk.min(), f.ess_tail.min())) for f in found)

def isotropic(size):
    with pm.Model() as m:
        pm.Normal("x", shape=size)
    return m
"""

OURS = """
enable_cache()
m, clock = model(), Clock()
named = market_blueprint(effective(load_ledger()))
sample(named, Sampling(sampler="{sampler}", draws=100, prior_draws=1000))
run = sample(named, Sampling(sampler="{sampler}", prior_draws=1000, seed=2), clock=clock)
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
def call():
    return pm.sample(1000, tune=1000, chains=4, {options} progressbar=False, random_seed=2, model=model())

(_, cold), (run, warm) = timed(call), timed(call)
found = dict(cold=cold["seconds"], cold_cpu=cold["cpu"], **warm, sampling=run["posterior"].attrs["sampling_time"])
"""

OF_PEER = """
print(json.dumps(dict(found, ess=least(run["posterior"], [*free(model()), "revenue_total"]))))
"""

BATCH = """
enable_cache()
named, rng = market_blueprint(effective(load_ledger())), np.random.default_rng(0)
y = named.data["evidence_log_value"]
batch = prepare(named, Sampling(draws={draws}, tune={tune}, prior_draws=1000), keep=["revenue_total"])
data = [dict(evidence_log_value=y + rng.normal(0, 0.1, y.shape)) for _ in range({number} + 16)]
list(fit_many(batch, data[:16]))
start = time.perf_counter()
fits = [fit.effort for _, fit in fit_many(batch, data[16:]{judged}) if fit.passed]
seconds = time.perf_counter() - start
print(json.dumps(dict(seconds=seconds, per_minute={number} / seconds * 60, passed=len(fits), again=fits.count(2))))
"""

# PyMC's default is its own NUTS, but nutpie where that is installed: so each is asked for by its name.
PEERS = {
    "stock": PEER.format(options='nuts_sampler="numpyro",') + TOOLS + OF_PEER,
    "default": PEER.format(options='nuts_sampler="pymc",') + TOOLS + OF_PEER,
    "nutpie": PEER.format(options='nuts_sampler="nutpie",') + TOOLS + OF_PEER,
}


def measure(code: str, **environment: str) -> dict[str, float]:
    """What a fresh process prints."""
    command = [sys.executable, "-c", HEAD + code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode:
        sys.exit(f"a benchmark's process ended with {done.returncode}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def cold_measure(code: str) -> dict[str, float]:
    """The same, where nothing that PyTensor compiled before is found."""
    with tempfile.TemporaryDirectory() as folder:
        return measure(code, PYTENSOR_FLAGS=f"base_compiledir={folder}")


def rounded(found: dict[str, float]) -> dict[str, float]:
    """Figures as they are read."""
    return {name: float(f"{figure:.4g}") for name, figure in found.items()}


def main(peers: list[str]) -> None:
    """Run and print everything."""
    start, rates, aims = time.perf_counter(), {}, {}
    for sampler in ("hmc", "numpyro"):
        found = measure(TOOLS + OURS.format(sampler=sampler))
        rates[sampler] = found["ess"] / found["seconds"]
        print(f"{sampler}, sampling alone: {rounded(found)}; smallest ESS a second {rates[sampler]:.0f}", flush=True)
        if sampler == "hmc":
            aims["smallest ESS a second of sampling (at least 1500)"] = rates[sampler]
            aims["gradients an effective draw over an isotropic normal's (at most 2)"] = found["of_isotropic"]
    for number, draws, tune, name, least in ((128, 1000, 300, "full", 180), (240, 250, 150, "small", 500)):
        judged = "" if name == "full" else ", tries=1"
        found = measure(TOOLS + BATCH.format(number=number, draws=draws, tune=tune, judged=judged))
        print(f"batch, {name} fits (4 x {draws} after {tune}): {rounded(found)}", flush=True)
        aims[f"{name} refits a minute (at least {least})"] = found["per_minute"]
    for peer in peers:
        if peer == "nutpie" and find_spec("nutpie") is None:
            print("nutpie: left out, as it is not installed here")
            continue
        found = cold_measure(PEERS[peer])
        rate = found["ess"] / found["seconds"]
        ratios = {name: round(ours / rate, 1) for name, ours in rates.items()}
        print(
            f"pm.sample, {peer}: {rounded(found)}; smallest ESS a second {rate:.1f}; ours over it {ratios}", flush=True
        )
        aim = {"stock": " (at least 20)", "default": " (at least 10)"}.get(peer, "")
        aims[f"smallest ESS a second over {peer}, warm{aim}"] = ratios["hmc"]
    for aim, figure in aims.items():
        print(f"{figure:10.1f}  {aim}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    load = os.getloadavg()[2]
    print(f"largest process {peak:.1f} GB; everything {time.perf_counter() - start:.0f} s; load at the end {load:.1f}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["stock"])
