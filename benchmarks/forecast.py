"""Time the main job, cold and warm, against bare calls on the same model; all in one run on one machine.

python benchmarks/forecast.py [SAMPLER ...]: bare calls of `pm.sample(nuts_sampler=SAMPLER)`, which draw and do nothing
else, with nothing compiled before: numpyro, and pymc, its own, which takes minutes. Each figure is of a fresh process;
warm ones are medians of `REPEATS`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

REPEATS = 3
BARE = """
import pymc as pm
from postcgrp.models import build_model
from postcgrp.priors import effective
from postcgrp.priors import load_ledger
pm.sample(1000, tune=500, chains=4, nuts_sampler="{sampler}", progressbar=False, random_seed=1,
          model=build_model(effective(load_ledger())))
"""


def seconds(command: list[str], cache: Path) -> float:
    """Wall time of a fresh process that uses `cache` for compiled programs."""
    places = {"POSTCGRP_CACHE": str(cache), "PYTENSOR_FLAGS": f"base_compiledir={cache}"}
    start = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, **places}, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main(samplers: list[str]) -> None:
    """Run and print everything."""
    with tempfile.TemporaryDirectory() as folder:
        cache, out = Path(folder) / "cache", Path(folder) / "run"
        command = [sys.executable, "-m", "postcgrp.reports.cli.main", "forecast", "--out", str(out)]

        def split() -> dict[str, float]:
            return dict(json.loads((out / "manifest.json").read_text())["seconds"])

        bare = {
            sampler: seconds([sys.executable, "-c", BARE.format(sampler=sampler)], Path(folder) / sampler)
            for sampler in samplers
        }
        cold = seconds(command, cache)
        cold_split = split()
        warm = [seconds(command, cache) for _ in range(REPEATS)]
        warm_split = split()
    stock = bare[samplers[0]]
    for sampler, wall in bare.items():
        print(f"pm.sample(nuts_sampler={sampler!r}), draws only: {wall:.1f} s = {wall / stock:.2f}")
    print(f"forecast cold, everything:  {cold:.1f} s = {cold / stock:.2f}")
    print(f"forecast warm, everything:  {median(warm):.1f} s = {median(warm) / stock:.2f}")
    print(f"{'stage':32} {'cold':>7} {'warm':>7}")
    for stage in dict.fromkeys([*cold_split, *warm_split]):
        print(f"{stage:32} {cold_split.get(stage, 0):7.2f} {warm_split.get(stage, 0):7.2f}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["numpyro"])
