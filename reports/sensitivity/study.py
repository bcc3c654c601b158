"""What the answer owes to which assumption and which claim: one command, one table, one figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from xarray import DataArray, Dataset

from postcgrp.inference import Clock, enable_cache, powerscale
from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.inference.progress import Progress
from postcgrp.priors import PriorSet
from postcgrp.reports.forecast.conflict import CONFLICT
from postcgrp.reports.forecast.summary import report_point
from postcgrp.reports.forecast.variance_budget import variance_budget
from postcgrp.reports.runs.evidence import needed, source_densities
from postcgrp.reports.runs.folder import write_manifest
from postcgrp.reports.runs.place import save_csv, working_folder
from postcgrp.reports.runs.run import Run
from postcgrp.reports.sensitivity.deal_flips import deal_flips
from postcgrp.reports.sensitivity.figures import save_sensitivity
from postcgrp.reports.sensitivity.flip import (
    Flip,
    Point,
    flip_table,
    headline_of,
    pair_table,
    parse_flip,
    probability_above,
)
from postcgrp.reports.sensitivity.leave_out import (
    claims_left_out,
    conflicts,
    influence,
    modality_shares,
    note_on_unused_claims,
    shift_in_sds,
    variables_for_conflicts,
)
from postcgrp.reports.sensitivity.refits import MISSED, SETTINGS, Refit, Refits, as_refit
from postcgrp.reports.sensitivity.tornado import (
    CLEAR,
    END_SDS,
    ElicitedNumber,
    elicited_numbers,
    numbers_not_moved,
    shifted_sets,
    tornado_table,
    total_revenue,
)
from postcgrp.reports.sensitivity.variants import Variant, crossed, original, sets, skipped, together
from postcgrp.reports.valuation.answer import file_slug
from postcgrp.reports.valuation.deal import Deal, load_deal

SCHEMA = "postcgrp.sensitivity/1"
AS_IT_IS, SAME = "as it is", "the same, fitted again"
_ENDS = {"low": -1, "high": 1}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sensitivity:
    """What :func:`sensitivity` came to.

    `table`: one row per posterior; the others by name, as they lie in the folder. `notes`: what a reader must know, a
    line each. `missed`: posteriors that missed the gate, which are in no average.
    """

    table: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    notes: list[str]
    missed: list[str]


def sensitivity(
    run: Run,
    *,
    out: Path,
    vary: Sequence[str] = (),
    flip: str | None = None,
    deal: Sequence[str | Path] = (),
    seed: int = 1,
    progress: Progress | None = None,
    say: Say = lambda line: None,
) -> Sensitivity:
    """Ask a run what its answer owes to which assumption, and write the tables and the figure to `out`.

    What needs no fit comes first (power-scaling and the variance budget, from the run's draws), then refits of every
    shipped prior set, of a grid, of every claim left out and of every assumption moved. Finished refits stay in
    `out/fits`, and a later call goes on from there. Parameters: `vary`, settings to cross, each `NAME=VALUE,VALUE`;
    `flip`, a decision `[HEADLINE:]X:LEVEL`, see :func:`parse_flip`; `deal`, files of deals, of which is asked what
    takes their mean rNPV across zero, see :func:`deal_flips`; `say`, told what is ready.
    Raises :class:`postcgrp.priors.InputError`.
    """
    run.need_one_prior("sensitivity")
    tree, pset = run.tree, run.priors
    ledger = original(run)
    grid = crossed(pset, ledger, vary)
    decision = None if flip is None else parse_flip(flip)
    if decision is not None:
        headline_of(as_refit(tree, pset), pset, decision)  # which the run must have
    deals = [load_deal(path) for path in deal]
    numbers = elicited_numbers(pset)
    unfitted = from_stored_draws(run, deals, numbers, seed)  # before the folder is made: it refuses a run of few draws
    enable_cache()  # before the folder is made: it refuses a platform that is not there
    target, clock = working_folder(out, SCHEMA), Clock()
    tables: dict[str, pd.DataFrame] = {}

    def write(name: str, table: pd.DataFrame) -> None:
        tables[name] = table
        save_csv(table, target / f"{name}.csv")

    for name, table in unfitted.items():
        write(name, table)
    say(f"{target}: {', '.join(f'{name}.csv' for name in unfitted)} are ready; refits follow")

    base = as_refit(tree, pset)
    claims, forbidden = claims_left_out(pset)
    variants = [Variant("run", SAME, pset), *sets(ledger, pset), *grid, *together(pset)]
    settings = replace(SETTINGS, seed=seed)
    refits = Refits(pset, target / "fits", settings, progress or Refits.progress, more=variables_for_conflicts(pset))
    with clock("refits"):
        without = refits({left.id: left.without for left in claims}, also=refits.more)
        ends = shifted_sets(pset, numbers)
        given = {v.key: v.pset for v in variants if v.pset is not None}
        fits = refits({**given, **{f"end: {name}": one for name, one in ends.items()}})
    ended = {name: fits[f"end: {name}"] for name in ends}
    write("leave_one_out", influence(base, pset, claims, without))
    write("conflicts", conflicts(pset, claims, without))
    write("tornado", tornado_table(tree, base, pset, [*numbers, *numbers_not_moved(pset)], ended))
    if decision is not None:
        with clock("flips"):
            known = tornado_points(numbers, ended, decision, pset)
            quick = replace(refits, patient=False)
            write("flips", flip_table(tree, pset, decision, numbers, known, quick))
            write("flip_pairs", pair_table(tree, pset, decision, numbers, known, quick))
    of_total = decision is not None and not decision.headline
    above = decision.above if decision is not None and of_total else point_of(pset)
    everything = [
        *((v.kind, v.name, {}, fits.get(v.key, Refit(Dataset(), v.why))) for v in variants),
        *(("claim left out", left.id, {}, without[left.id]) for left in claims),
        *_ends(numbers, ended),
    ]
    table = posteriors(pset, base, everything, above)
    write("sensitivity", table)
    missed = [f"{kind} {name} {fit.missed}" for kind, name, _, fit in everything if fit.missed.startswith(MISSED)]
    notes = [
        *_of_run(run, int(tables["power_scaling"]["draws"].min())),
        *filter(None, (note_on_unused_claims(pset), control(base, fits[variants[0].key], pset))),
        *(f"claim {name} cannot be left out: {why}" for name, why in forbidden.items()),
        *(f"{v.kind} {v.name} does not apply: {v.why}" for v in variants if v.why),
        *skipped(ledger),
    ]
    save_sensitivity(pset, table, tables, target / "sensitivity", pset.fingerprint(), above)
    about = {
        "schema": SCHEMA,
        "status": "finished" if not missed else "finished, some refits missed the gate",
        "run_recipe_sha256": run.recipe,
        "vary": list(vary),
        "flip": flip,
        "deals": {one.name: one.fingerprint() for one in deals},
        "notes": notes,
        "missed": missed,
        "sampling": asdict(settings),
        "seconds": {stage: round(seconds, 3) for stage, seconds in clock.seconds.items()},
    }
    write_manifest(about, target)
    return Sensitivity(table, tables, notes, missed)


def sensitivity_said(found: Sensitivity, pset: PriorSet) -> str:
    """The answer in one sentence: what moves the last year's mean most, and which claim agrees least with the rest."""
    moves, against = found.tables["tornado"], found.tables["conflicts"]
    clear = moves[moves["direction"].isin(["+", "-"])]
    told = f"No assumption moved alone moves the mean of {pset.ledger.years[-1]} clearly"
    if len(clear):
        top = clear.iloc[0]
        told = (
            f"The mean of {pset.ledger.years[-1]} owes most to {top['input']}: {top['mean_low']:,.0f} with it at its "
            f"10 % point, {top['mean_high']:,.0f} at its 90 %"
        )
    judged = against[against["p"].notna()] if "p" in against else against
    if judged.empty:
        return f"{told}."
    worst, apart = judged.sort_values("p")["claim"].iloc[0], int((judged["verdict"] == CONFLICT).sum())
    return f"{told}; of {len(judged)} claims that can be compared {apart} disagree with the rest, most {worst}."


def from_stored_draws(
    run: Run, deals: Sequence[Deal], numbers: Sequence[ElicitedNumber], seed: int
) -> dict[str, pd.DataFrame]:
    """The tables that need no fit, by name. Raises :class:`postcgrp.priors.InputError` for a run of too few draws."""
    budget = variance_budget(run.tree, run.priors)  # first, as it knows how many draws are enough
    examined, densities = powerscale.headline_quantities(run.tree, run.priors), power_groups(run)
    slugs = [f"_{file_slug(deal.name)}" if len(deals) > 1 else "" for deal in deals]
    return {
        "variance_budget": budget,
        "power_scaling": powerscale.power_scaling(examined, densities),
        "power_shifts": powerscale.shifts(examined, densities),
        **{f"deal_flips{slug}": deal_flips(run, deal, numbers, seed) for deal, slug in zip(deals, slugs, strict=True)},
    }


def power_groups(run: Run) -> dict[str, DataArray]:
    """Log density [chain, draw] of every group of priors, and of what each source says, its error integrated out."""
    densities = powerscale.components(run.tree, run.priors)
    sources = source_densities(run.read(needed(run.priors, run.priors.evidence)), run.priors)
    return densities | {f"evidence: {source}": density for source, density in sources.items()}


def _of_run(run: Run, draws: int) -> list[str]:
    """What must be known of the run that all else is compared with, one sentence each; `draws` that psi is made of."""
    notes = []
    if run.note:
        notes.append(f"the run was {run.note}")
    if not run.passed:
        notes.append("the run itself missed the gate: what is compared with it here is not to be trusted")
    if draws < powerscale.PSI_DRAWS:
        notes.append(f"psi is of {draws:,} draws, not {powerscale.PSI_DRAWS:,}: compare it only with psi of as many")
    return notes


def point_of(pset: PriorSet) -> float:
    """The report's revenue of the last year, in millions; NaN where it states none."""
    return report_point(pset.ledger, pset.ledger.years[-1])


def tornado_points(
    of: Sequence[ElicitedNumber], ended: Mapping[str, Refit], flip: Flip, pset: PriorSet
) -> dict[str, list[Point]]:
    """What the tornado's refits say of a decision, by input: where a flip's search starts from."""
    out = {}
    for number in of:
        fits = [(side, ended.get(f"{number.name} {end}")) for end, side in _ENDS.items()]
        out[number.name] = [
            probability_above(headline_of(fit, pset, flip), flip.above, side * END_SDS)
            for side, fit in fits
            if fit is not None and not fit.missed
        ]
    return out


NamedPosterior = tuple[str, str, dict[str, Any], Refit]  # its kind and name, columns of its own, and what it came to


def _ends(of: Sequence[ElicitedNumber], ended: Mapping[str, Refit]) -> list[NamedPosterior]:
    """The posteriors of assumptions moved, with the centre that each then has."""
    return [
        ("assumption moved", name, {"value": number.value(side * END_SDS), "unit": number.prior.unit}, ended[name])
        for number in of
        for end, side in _ENDS.items()
        if (name := f"{number.name} {end}") in ended
    ]


def posteriors(pset: PriorSet, base: Refit, others: Sequence[NamedPosterior], above: float) -> pd.DataFrame:
    """The main table: one row per posterior, the run first; claims and assumptions by the size of their shift.

    Returns `kind`, `name`, and of a moved assumption the `value` of its centre and `unit`; the last year's `mean`,
    `median`, `sd` and 90 % interval in millions; `p_above`, P(revenue > `above`); `shift` of the mean in sds of the
    run's posterior, its Monte-Carlo error, and whether it is `clear` of it (three errors); the `share` of each
    modality; `missed`, why there is none of this.
    """
    rows = [
        {"kind": kind, "name": name, "value": np.nan, "unit": "", **own, **described(pset, fit, base, above)}
        for kind, name, own, fit in (("run", AS_IT_IS, {}, base), *others)
    ]
    table = pd.DataFrame(rows)
    ranked = table["kind"].isin(["claim left out", "assumption moved"])
    size = table["shift"].abs().fillna(np.inf).where(ranked, 0.0)
    kind = table["kind"].map({kind: rank for rank, kind in enumerate(table["kind"].unique())})
    order = pd.DataFrame({"kind": kind, "size": -size}).sort_values(["kind", "size"], kind="stable").index
    last = ["missed"]
    return table.loc[order, [*table.columns.drop(last), *last]].reset_index(drop=True)


def described(pset: PriorSet, fit: Refit, base: Refit, above: float) -> dict[str, Any]:
    """The last year of one posterior, and its distance from the run's."""
    if fit.missed:
        return {"missed": fit.missed}
    year = pset.ledger.years[-1]
    values = total_revenue(fit, year)
    low, median, high = np.quantile(values, [0.05, 0.5, 0.95])
    moved, error = (0.0, 0.0) if fit is base else shift_in_sds(values, total_revenue(base, year))
    shares = modality_shares(fit.draws).mean(SAMPLE)
    return {
        "mean": float(values.mean()),
        "median": float(median),
        "sd": float(values.std()),
        "low_90": float(low),
        "high_90": float(high),
        "p_above": float((values > above).mean()) if np.isfinite(above) else np.nan,
        "shift": moved,
        "se": error,
        "clear": bool(abs(moved) > CLEAR * error),
        **{f"share of {m}": float(shares.sel(modality=m)) for m in shares["modality"].values},
        "missed": "",
    }


def control(base: Refit, again: Refit, pset: PriorSet) -> str:
    """A line if the run's own prior set, fitted again by the batch, does not give the run's answer."""
    if again.missed:
        return f"the run's own prior set, fitted again, {again.missed}"
    moved, error = shift_in_sds(total_revenue(again, pset.ledger.years[-1]), total_revenue(base, pset.ledger.years[-1]))
    if abs(moved) <= CLEAR * error:
        return ""
    return (
        f"the run's own prior set, fitted again, lies {moved:+.2f} sd off ({error:.2f}): make the run with more draws"
    )
