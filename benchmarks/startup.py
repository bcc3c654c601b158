"""Time how long commands take to start: whole processes, as ratios to importing NumPy, pandas and xarray.

python benchmarks/startup.py [RUN]: on the finished run RUN, or on one that is made first. Every command runs in a fresh
process, `REPEATS` times in turn with the others, so that a slow minute of the machine falls on all of them alike;
printed are the medians. One round before, which is not counted, fills the caches of files and compiled bytecode.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

REPEATS = 5
EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"
BASE = "import numpy, pandas, xarray"
POSTCGRP = [sys.executable, "-m", "postcgrp.reports.cli.main"]


def commands(run: Path, folder: Path) -> dict[str, list[str]]:
    """What is timed, by name; everything is written into `folder`."""
    deal, evidence = EXAMPLES / "noninvasive_us.toml", EXAMPLES / "second_vendor.csv"
    words: dict[str, list[str | Path]] = {
        "postcgrp --help": ["--help"],
        "postcgrp audit": ["audit"],
        "postcgrp value": ["value", run, "--deal", deal, "--out", folder / "value"],
        "postcgrp export --to parquet": ["export", run, "--to", "parquet", "--out", folder / "parquet"],
        "postcgrp update": ["update", run, "--evidence", evidence, "--out", folder / "update"],
    }
    base = {BASE: [sys.executable, "-c", BASE], "import postcgrp": [sys.executable, "-c", "import postcgrp"]}
    return base | {name: [*POSTCGRP, *map(str, each)] for name, each in words.items()}


def seconds(command: list[str]) -> float:
    """Wall time of one process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main(run: Path | None) -> None:
    """Run and print everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if run is None:
            run = folder / "run"
            seconds([*POSTCGRP, "forecast", "--out", str(run)])
        timed = commands(run, folder)
        rounds = [{name: seconds(command) for name, command in timed.items()} for _ in range(REPEATS + 1)][1:]
    base = median(each[BASE] for each in rounds)
    print(f"{'':32} {'seconds':>8} {'ratio':>6}")
    for name in timed:
        middle = median(each[name] for each in rounds)
        print(f"{name:32} {middle:8.2f} {middle / base:6.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
