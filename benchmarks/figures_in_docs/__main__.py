"""Renew every figure of README and docs that comes from a run of the shipped report; `make figures-in-docs`.

python -m postcgrp.benchmarks.figures_in_docs [--check]

A page marks what is written here with two comments, `<!-- figures: NAME -->` and `<!-- end -->`; between them stands
what the function NAME here returns. It reads nothing but the files that commands write, so a change of the
package's insides does not reach it. The runs are made with seed 1 into `runs/docs`, where they stay until the source
changes. With `--check` nothing is written, and the exit status is 1 if a page or a figure differs.

Timings, calibrations and comparisons with other software are not renewed here: each names the script that gave it.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Iterable
from pathlib import Path

# Each of these modules fills BLOCKS.
from postcgrp.benchmarks.figures_in_docs import deals, evidence, exposure, forecasts, sensitivity  # noqa: F401
from postcgrp.benchmarks.figures_in_docs.runs import ROOT, drop_stale_runs, made
from postcgrp.benchmarks.figures_in_docs.words import BLOCKS

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
MARKED = re.compile(r"(<!-- figures: (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
IMAGES = ("fan_total", "fan_modality", "prior_predictive", "priors")


def renewed(text: str) -> str:
    """A page with every marked part written anew."""
    return MARKED.sub(lambda m: f"{m[1]}\n{BLOCKS[m['name']]()}\n{m[3]}", text)


def differences() -> Iterable[tuple[Path, bytes]]:
    """The pages and images that are not as the runs say, and what they should hold."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (now := renewed(text)) != text:
            yield page, now.encode()
    for name in IMAGES:
        image, drawn = ROOT / "docs" / "figures" / f"{name}.png", (made("figures") / f"{name}.png").read_bytes()
        if image.read_bytes() != drawn:
            yield image, drawn


def main() -> int:
    """Renew or check; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page or a figure differs")
    check = parser.parse_args().check
    drop_stale_runs()
    found = list(differences())
    for path, now in found:
        print(f"{path.relative_to(ROOT)}: {'differs' if check else 'renewed'}")
        if path.suffix == ".md":
            before, after = path.read_text(encoding="utf-8").splitlines(), now.decode().splitlines()
            print("\n".join(line for line in difflib.unified_diff(before, after, lineterm="", n=0) if line[:1] in "+-"))
        if not check:
            path.write_bytes(now)
    return int(check and bool(found))


if __name__ == "__main__":
    sys.exit(main())
