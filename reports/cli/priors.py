"""Commands on what a forecast is made from: audit, priors, evidence; and the options that choose it."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from postcgrp.priors.errors import InputError
from postcgrp.priors.settings import ADOPTION_SCOPES, STRINGENCIES, UPTAKE_SHAPES, Settings
from postcgrp.priors.shipped import FUNNEL_FILE, SHARES_FILE, shipped
from postcgrp.reports.cli.terminal import DONE, Verb, say, show

if TYPE_CHECKING:
    from postcgrp.priors import Ledger, Overlay, PriorSet
    from postcgrp.priors.pool import Pool
    from postcgrp.reports.forecast.centrality import Centrality

PREDICTED = 500  # draws, of half a second: `audit` is quick
STATUS_IN_WORDS = {
    "agrees": "agree",
    "differs": "differ",
    "implausible": "implausible (a unit must have slipped)",
    "ambiguous": "ambiguous",
    "derived": "derived, with nothing to compare",
}


def add(verb: Verb) -> None:
    """Declare the commands."""
    checked = verb("audit", _audit, "check the report against itself")
    checked.add_argument("--out", type=Path, help="also write the findings to this CSV file")
    shown = verb("priors", _priors, "print the effective priors and why they are so")
    shown.add_argument("--out", type=Path, help="also write the table to this CSV file")
    shown.add_argument("--diff", metavar="SET", help="show instead where another prior set differs")
    add_settings(shown)
    blank = verb("evidence", _evidence, "write an evidence file to fill in")
    blank.add_argument("what", choices=["template"], help="what to write")
    blank.add_argument("--out", type=Path, default=Path("evidence.csv"), help="the file (default %(default)s)")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Declare the options that choose a prior set, its evidence and its settings."""
    names = ", ".join(shipped())
    parser.add_argument(
        "--priors", metavar="SET", help=f"prior set: {names}, or a TOML file: of one set or a pool (docs/prior-sets.md)"
    )
    parser.add_argument(
        "--evidence", type=Path, action="append", default=[], metavar="CSV", help="more evidence; may be given again"
    )
    # Absent options stay absent: a prior set may turn the same settings, and the command line turns them last.
    absent: dict[str, Any] = {"default": argparse.SUPPRESS}
    coverage = f"prior mass in a stated range (default {Settings.coverage})"
    parser.add_argument("--coverage", type=float, help=coverage, **absent)
    parser.add_argument(
        "--trust", help="trust in the report's revenue, a level of the ledger: low, default, high", **absent
    )
    scope = "what the adoption claim counts: the adopted modality alone, or with_launched ones too"
    parser.add_argument("--adoption-scope", choices=ADOPTION_SCOPES, help=scope, **absent)
    shape = "how the rise between two anchors spreads over the years"
    parser.add_argument("--uptake-shape", choices=UPTAKE_SHAPES, help=shape, **absent)
    eligible = "which shares of patients are eligible for a launched modality"
    parser.add_argument("--stringency", choices=STRINGENCIES, help=eligible, **absent)
    build_up = "how strongly the report's revenue follows its own patients and adoption, 0 to 1 (default: a range)"
    parser.add_argument("--vendor-build-up", type=float, metavar="SHARE", help=build_up, **absent)
    out = "a claim not to be used, or a quantity of evidence; may be given again"
    parser.add_argument("--leave-out", action="append", metavar="CLAIM", help=out, **absent)


@dataclass(frozen=True)
class ChosenSets:
    """The prior sets that options choose: one, or the members of a `pool`, by `names` of which no two are alike."""

    names: tuple[str, ...]
    sets: tuple[PriorSet, ...]
    pool: Pool | None = None

    def one(self, given: str | None) -> PriorSet:
        """The one set. Raises :class:`InputError` for the several of a linear pool, which `given` names."""
        if self.pool is not None and self.pool.pool == "linear":
            raise InputError(
                f"{given}: a linear pool mixes forecasts, which `forecast` makes: here, name one of its members "
                f'({", ".join(member.set for member in self.pool.member)}), or write pool = "logarithmic"'
            )
        return self.sets[0]


def prior_set_of(options: argparse.Namespace) -> PriorSet:
    """The one prior set that the options choose, see :func:`chosen_sets`."""
    return chosen_sets(options).one(options.priors)


def chosen_sets(options: argparse.Namespace) -> ChosenSets:
    """The prior sets that the options choose, once the user was told what of a set is skipped and what looks slipped.

    A logarithmic pool is one set.
    """
    from postcgrp.priors import load_ledger, load_overlay, prior_set
    from postcgrp.priors.audit import slips
    from postcgrp.priors.evidence_file import read_evidence
    from postcgrp.priors.idle import idle_changes, idle_settings
    from postcgrp.priors.pool import load_pool, logarithmic_pool

    ledger = load_ledger(options.report, options.assumptions)
    turned = {f.name: getattr(options, f.name) for f in fields(Settings) if f.name != "priors" and f.name in options}
    pool = None if options.priors is None else load_pool(options.priors)
    given = _members(pool) if pool is not None else [options.priors]
    overlays = [load_overlay(name) for name in given if name is not None]
    laid: list[Overlay | None] = [*overlays] or [None]
    psets = [prior_set(ledger, overlay, turned=turned) for overlay in laid]
    for overlay, pset in zip(overlays, psets, strict=False):  # without overlays, one set that correlates nothing
        _check_correlations(overlay, pset)
    chosen = _chosen(options, ledger, overlays, turned)
    if pool is not None and pool.pool == "logarithmic":
        psets = [logarithmic_pool(psets, pool.weights, pool.name)]
    for k, pset in enumerate(psets):
        rows = read_evidence(options.evidence, pset.ledger, pset.trust, pset.evidence, pset.settings.coverage)
        psets[k] = pset.with_evidence([*pset.evidence, *rows]) if rows else pset
    idle = [idle_settings(pset, chosen) for pset in psets]
    for k, overlay in enumerate(overlays):
        for each in idle_changes(psets[min(k, len(psets) - 1)], overlay):  # of a logarithmic pool there is one set
            _note(options, f"prior set {overlay.name!r}: {each}")
    slipped = [each for pset in psets for each in slips(pset.ledger)]
    for each in dict.fromkeys((*(one for one in idle[0] if all(one in those for those in idle)), *slipped)):
        _note(options, each)
    stems = [Path(str(name)).stem for name in given]
    names = [stem if stems.count(stem) == 1 else f"{stem}-{k}" for k, stem in enumerate(stems, start=1)]
    return ChosenSets(tuple(names[: len(psets)]), tuple(psets), pool)


def _check_correlations(overlay: Overlay, pset: PriorSet) -> None:
    """Raises :class:`InputError`, with the set's file, for correlations that no distribution has together."""
    from postcgrp.models.correlated import joint_scores
    from postcgrp.priors.messages import InputFault

    try:
        joint_scores(pset)
    except InputError as error:
        raise overlay.error([InputFault((), fault) for fault in error.faults]) from None


def _members(pool: Pool) -> list[str]:
    return [member.set for member in pool.member]


def _chosen(
    options: argparse.Namespace, ledger: Ledger, overlays: Sequence[Overlay], turned: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings that sets or the options name, once the user was told what of the sets is not used."""
    from postcgrp.priors.sets import apply

    chosen: dict[str, Any] = {}
    for overlay in overlays:
        chosen |= {key: value for key, value in overlay.settings.model_dump().items() if value is not None}
        for each in apply(ledger, overlay).skipped:
            _note(options, f"prior set {overlay.name!r} skips what this market does not have: {each}")
        trust = turned.get("trust", overlay.settings.trust)
        for level in (row.level for row in overlay.trust if row.level != trust):
            _note(options, f"prior set {overlay.name!r} defines the trust {level!r}, which nothing chooses here")
    return chosen | dict(turned)


def files_of(options: argparse.Namespace) -> dict[str, Path]:
    """The files that a prior set is read from, by the names under which a run keeps them."""
    from postcgrp.priors.pool import load_pool

    files = {"report.toml": options.report, "assumptions.toml": options.assumptions}
    # What the model does not read, kept for the commands that do.
    beside = (options.assumptions.with_name(name) for name in (FUNNEL_FILE, SHARES_FILE))
    files |= {path.name: path for path in beside if path.is_file()}
    if options.priors is not None:
        files["priors.toml"] = shipped().get(options.priors, Path(options.priors))
        members = _members(pool) if (pool := load_pool(options.priors)) else []
        files |= {f"priors-{k}.toml": shipped().get(name, Path(name)) for k, name in enumerate(members, start=1)}
    return files | {f"evidence-{k}.csv": path for k, path in enumerate(options.evidence, start=1)}


def _note(options: argparse.Namespace, text: str) -> None:
    print(f"postcgrp {options.verb}: note: {text}", file=sys.stderr)


def _audit(options: argparse.Namespace) -> int:
    from postcgrp.priors import effective, load_ledger
    from postcgrp.priors.audit import audit, findings_rows, findings_table, slips
    from postcgrp.priors.numbers import unread_rows
    from postcgrp.reports.runs.place import check_csv, save_csv

    check_csv(options.out)
    ledger = load_ledger(options.report, options.assumptions)
    findings = audit(ledger)
    counts = Counter(finding.status for finding in findings)
    said = ", ".join(f"{count} {STATUS_IN_WORDS[status]}" for status, count in sorted(counts.items()))
    say(f"{len(findings)} comparisons of the report with itself: {said or 'none'}")
    columns = ("check", "status", "expected", "found", "treatment", "claims")
    show([{name: row[name] for name in columns} for row in findings_rows(findings)], "The report against itself")
    if unread := unread_rows(ledger):
        say(f"No model of this market takes these assumptions: {', '.join(unread)}")
    if options.out is not None:  # a data frame takes as long to import as the rest of an audit
        save_csv(findings_table(findings), options.out)
    for each in slips(ledger):
        _note(options, each)
    pset = effective(ledger)  # what a forecast refuses is refused here too, once the findings are shown
    if (central := _centrality(pset)) is not None:
        say(f"Prior predictive: {central}. Near is no corroboration: nobody predicted these figures")
    return DONE


def _centrality(pset: PriorSet) -> Centrality | None:
    """How central the report's rows lie among what the priors predict, by draws of the simulator."""
    from postcgrp.models.simulator import simulate
    from postcgrp.reports.forecast.centrality import of_report

    return of_report(pset, simulate(pset, PREDICTED, seed=1)["evidence"]) if pset.evidence else None


def _priors(options: argparse.Namespace) -> int:
    import pandas as pd

    from postcgrp.priors.difference import difference
    from postcgrp.priors.numbers import numbers_table
    from postcgrp.reports.runs.place import check_csv, save_csv

    check_csv(options.out)
    pset = prior_set_of(options)
    if options.diff is not None:
        options.priors = options.diff
        rows = pd.DataFrame(difference(pset, prior_set_of(options)), columns=["what", "name", "first", "second"])
        rows = rows.rename(columns={"first": f"({pset.settings.priors})", "second": f"({options.diff})"})
        say(f"{pset.settings.priors} and {options.diff} differ in {len(rows) or 'no'} entries")
        show(rows, f"Where {pset.settings.priors} and {options.diff} differ")
        save_csv(rows, options.out)
        return DONE
    table, numbers = pset.table(), numbers_table(pset)
    say(f"{len(table)} priors and {len(numbers)} fixed numbers make this forecast; a prior set can change each")
    shown = table[["prior", "family", "mu", "sd", "q05", "median", "q95", "unit", "because"]]
    show(shown, f"Effective priors (set {pset.settings.priors}, coverage {pset.settings.coverage:g})")
    values = [
        f"{n:.0f}" if unit == "year" else f"{n:g}" for n, unit in zip(numbers["q05"], numbers["unit"], strict=True)
    ]
    fixed = numbers[["prior", "unit", "origin", "because"]].rename(columns={"prior": "number"})
    fixed.insert(1, "value", values)
    show(fixed, "Fixed numbers")
    show(errors_of_sources(pset.ledger, pset), "How far each source may be off (log-sd)")
    evidence = [{k: getattr(row, k) for k in ("id", "source", "value", "unit", "log_sd")} for row in pset.evidence]
    show(evidence, "Evidence")
    save_csv(pd.concat([table, numbers], ignore_index=True), options.out)
    return DONE


def errors_of_sources(ledger: Ledger, pset: PriorSet) -> list[dict[str, Any]]:
    """The error model of the report, as it is trusted, and of every other kind of source, one row each."""
    first, last = ledger.report.first_year, ledger.report.last_year
    models = [(f"{ledger.report.id} (trust {pset.settings.trust})", pset.trust), *((s.kind, s) for s in ledger.sources)]
    return [
        {
            "source": name,
            str(first): model.base_log_sd,
            str(last): model.final_log_sd,
            "bias": f"{model.base_log_bias:g} to {model.final_log_bias:g}",
            "row": getattr(model, "row_log_sd", None),
            "because": model.reason,
        }
        for name, model in models
    ]


def _evidence(options: argparse.Namespace) -> int:
    from postcgrp.priors import load_ledger
    from postcgrp.priors.evidence_file import template
    from postcgrp.reports.runs.place import save_text

    ledger = load_ledger(options.report, options.assumptions)
    if options.out.exists():
        raise InputError(f"--out {options.out}: exists already: name a new file")
    save_text(template(ledger), options.out)
    say(f"{options.out}: fill in the values and give it to postcgrp forecast --evidence {options.out}")
    return DONE
