"""Time how long the living page takes to open, and to answer a slider, in a headless Chromium.

python -m postcgrp.benchmarks.page RUN: the page of the finished run RUN with the example deals and all shipped
scenarios is opened `OPENED` times; each slider is moved `MOVED` times. Printed are medians and 95 % points in
milliseconds, the very first move after opening, the page's size, and what one fixed loop takes meanwhile, by which to
judge how busy the machine is: about 20 ms on one free core.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles

from postcgrp.priors import load_scenario
from postcgrp.priors.shipped import shipped_scenarios
from postcgrp.reports.page.living import living_page
from postcgrp.reports.runs.run import open_run
from postcgrp.tests.helpers.browser import Page, browser

OPENED, MOVED = 9, 40
EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "docs" / "examples").glob("*.toml"))
CONTROLS = {
    "level": "#ask-level",
    "year": "#ask-year",
    "part of the market": "#ask-pickers input",
    "stops of a driver": "#driver-0",
    "weight of a scenario": "#weight-2",
    **{f"deal {k + 1}, share": f'[data-deal="{k}"] .slider input[type=range]' for k in range(len(EXAMPLES))},
}
MOVE = """
(([selector, moves]) => {
  const one = document.querySelector(selector);
  const times = [];
  for (let k = 0; k < moves; k++) {
    if (one.type === "checkbox") one.checked = !one.checked;
    else one.value = Number(one.min) + ((Number(one.max) - Number(one.min)) * ((k * 7) % 20)) / 20; // snaps to a step
    const start = performance.now();
    one.dispatchEvent(new Event(one.type === "checkbox" ? "change" : "input", { bubbles: true }));
    document.body.getBoundingClientRect(); // with the layout of what was drawn
    times.push(performance.now() - start);
  }
  return times;
})"""
LOOP = "(() => { const t = performance.now(); let x = 0; for (let k = 0; k < 2e7; k++) x += k % 7; return performance.now() - t + 0 * x; })()"  # noqa: E501


def shown(name: str, times: list[float], first: str = "") -> None:
    """One line of the table."""
    print(f"{name:28} {median(times):8.1f} {quantiles(times, n=20)[-1]:8.1f} {first}")


def opening(page: Page, path: Path) -> list[float]:
    """Milliseconds from the start of the navigation until the page takes questions, for each time it is opened."""
    times = []
    for _ in range(OPENED + 1):
        page.open(path)
        times.append(float(page.run("document.documentElement.dataset.interactive")))
    return times[1:]


def main(run: Path) -> None:
    """Measure and print everything."""
    with tempfile.TemporaryDirectory() as folder, browser() as page:
        path = Path(folder) / "page.html"
        every = [load_scenario(name) for name in shipped_scenarios()]
        path.write_text(living_page(open_run(run), EXAMPLES, under=every), encoding="utf-8")
        print(f"{len(EXAMPLES)} deals, {path.stat().st_size / 1e6:.2f} MB")
        print(f"{'milliseconds':28} {'median':>8} {'95 %':>8} {'first':>8}")
        shown("until it takes questions", opening(page, path))
        first = [page.run(f"{MOVE}({[selector, 1]})")[0] for selector in CONTROLS.values()]
        for (name, selector), once in zip(CONTROLS.items(), first, strict=True):
            shown(f"slider: {name}", page.run(f"{MOVE}({[selector, MOVED]})"), f"{once:8.1f}")
        shown("a fixed loop", [page.run(LOOP) for _ in range(OPENED)])
        if page.problems:
            print(page.problems)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
