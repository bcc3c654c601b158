"""Commands of those who read: the living page and the memo."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from postcgrp.reports.cli.terminal import Verb, say, status_of

if TYPE_CHECKING:
    from postcgrp.priors.scenarios import Scenario

_DEALS: dict[str, Any] = {"type": Path, "action": "append", "metavar": "FILE"}


def add(verb: Verb) -> None:
    """Declare the commands."""
    shown = verb("page", _page, "the page of a run again, with deals to re-price in the browser", ledger=False)
    shown.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    shown.add_argument("--deal", default=[], help="a deal (TOML, docs/value.md); again for several", **_DEALS)
    shown.add_argument("--compare", type=Path, metavar="RUN", help="another run to show beside it")
    what_if = "a scenario to show beside it, shipped or a file (docs/scenarios.md); again for several"
    shown.add_argument("--scenario", action="append", default=[], metavar="NAME|FILE", help=what_if)
    shown.add_argument("--scenarios", action="store_true", help="every shipped scenario beside it")
    shown.add_argument("--seed", type=int, default=1, help="random seed of the deals' inputs (default %(default)s)")
    shown.add_argument("--out", type=Path, help="the file (default: RUN-page.html beside the run)")

    asked = verb("memo", _memo, "an investment memo on a deal: two pages to print", ledger=False)
    asked.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    asked.add_argument("--deal", type=Path, required=True, metavar="FILE", help="a deal (TOML, docs/value.md)")
    asked.add_argument("--seed", type=int, default=1, help="random seed of the deal's inputs (default %(default)s)")
    against = "a run of another prior set: does the answer survive it; may be given again"
    priced = "a scenario under which the deal is priced too, shipped or a file; again for several"
    asked.add_argument("--against", type=Path, action="append", default=[], metavar="RUN", help=against)
    evidence = "new rows (CSV, docs/evidence.md) of which is asked what they would move; may be given again"
    asked.add_argument("--evidence", type=Path, action="append", default=[], metavar="CSV", help=evidence)
    asked.add_argument("--scenario", action="append", default=[], metavar="NAME|FILE", help=priced)
    asked.add_argument("--scenarios", action="store_true", help="under every shipped scenario too")
    asked.add_argument("--out", type=Path, help="the file (default: RUN-memo.html beside the run)")


def _page(options: argparse.Namespace) -> int:
    from postcgrp.reports.page.place import check_html, default_html
    from postcgrp.reports.valuation.deal import load_deal

    out = options.out or default_html(options.run, "page")
    check_html(out)
    for path in options.deal:
        load_deal(path)  # what is wrong with it is said before the draws are read
    under = _scenarios(options)
    from postcgrp.reports.page.living import living_page
    from postcgrp.reports.runs.place import save_text
    from postcgrp.reports.runs.run import Run

    run = Run.open(options.run)
    other = None if options.compare is None else Run.open(options.compare)
    save_text(living_page(run, options.deal, other, seed=options.seed, under=under), out)
    say(f"{out}: the page, {out.stat().st_size / 1e6:.1f} MB; open it in any browser")
    return status_of(run, "page")


def _scenarios(options: argparse.Namespace) -> list[Scenario]:
    """The scenarios that were asked for: all shipped ones, if so, and those that were named."""
    from postcgrp.priors.scenarios import load_scenario
    from postcgrp.priors.shipped import shipped_scenarios

    shipped = shipped_scenarios() if options.scenarios else {}
    return [load_scenario(name) for name in dict.fromkeys([*shipped, *options.scenario])]


def _memo(options: argparse.Namespace) -> int:
    from postcgrp.reports.page.place import check_html, default_html
    from postcgrp.reports.valuation.deal import load_deal

    out = options.out or default_html(options.run, "memo")
    check_html(out)
    load_deal(options.deal)
    under = _scenarios(options)
    from postcgrp.reports.page.memorandum import memo
    from postcgrp.reports.runs.place import save_text
    from postcgrp.reports.runs.run import Run

    run = Run.open(options.run)
    others = [Run.open(path) for path in options.against]
    text = memo(run, options.deal, others, seed=options.seed, under=under, evidence=options.evidence)
    save_text(text, out)
    say(f"{out}: the memo; print it from a browser, or to PDF")
    return max(status_of(one, "memo") for one in (run, *others))
