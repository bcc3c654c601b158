"""A linear pool: the forecasts of several prior sets, each fitted by itself, mixed by weight into one run.

Every view stays alive in the mixture (Stone 1961, Annals of Mathematical Statistics 32, 1339), so its interval holds
two kinds of spread: what each set leaves open, and how far the sets lie apart. The weights are those of the file: they
say how much each view is believed after the evidence, and no likelihood changes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from xarray import DataArray, Dataset, DataTree

from postcgrp.inference.convergence import Check, gate_table
from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.inference.estimates import quantile
from postcgrp.inference.progress import Clock, Progress
from postcgrp.inference.settings import Sampling
from postcgrp.models import variables as v
from postcgrp.priors import InputError, PriorSet
from postcgrp.priors.audit import audit, findings_table
from postcgrp.reports.forecast.pipeline import PAGE, forecast
from postcgrp.reports.forecast.summary import headline
from postcgrp.reports.forecast.tables import tables_of
from postcgrp.reports.page.document import written
from postcgrp.reports.runs.folder import (
    DRAWS,
    MIXTURE,
    SCHEMA,
    as_json,
    manifest,
    read_manifest,
    versions,
    write_draws,
    write_files,
    write_manifest,
)
from postcgrp.reports.runs.groups import group
from postcgrp.reports.runs.place import MANIFEST, beside, check_folder, new_folder
from postcgrp.reports.runs.run import Run

MEMBERS = "-members"  # what the folder of the members' runs is named after the pool's
_GROUPS = ("posterior", "prior")  # all else, such as a density, is of one prior set only


@dataclass(frozen=True)
class Pooled:
    """What a linear pool came to: its run, the summary and headline tables, and the members' gates.

    `spread`, see :func:`pool_spread`.
    """

    run: Run
    summary: pd.DataFrame
    headline: pd.DataFrame
    gate: pd.DataFrame
    passed: bool
    spread: pd.DataFrame


def fitted_members(
    members: Mapping[str, PriorSet],
    out: Path,
    *,
    sources: Mapping[str, Path] | None = None,
    progress: Progress | None = None,
    **sampling: Any,
) -> dict[str, Run]:
    """Fit each prior set of a pool into a run folder of its own, beside the pool's `out`.

    A member that an earlier call has fitted with the same priors, evidence and settings is read and not fitted again,
    so a call that was interrupted goes on. Parameters: `members` by name; the others as for :func:`forecast`. Raises
    :class:`InputError` before the first fit for a folder that cannot be written.
    """
    settings, folder = Sampling(**sampling), beside(out, MEMBERS)
    places = {name: folder / name for name in members}
    for place in (out, *places.values()):
        check_folder(place, SCHEMA)
    found = {}
    for name, pset in members.items():
        if (place := places[name] / MANIFEST).is_file() and _is_fit(read_manifest(place.parent), pset, settings):
            found[name] = Run.open(places[name])
            continue

        def told(stage: str, done: int, total: int, name: str = name) -> None:
            if progress is not None:
                progress(f"{name}: {stage}", done, total)

        found[name] = forecast(pset, out=places[name], sources=sources, progress=told, **sampling).run
    return found


def _is_fit(record: Mapping[str, Any], pset: PriorSet, settings: Sampling) -> bool:
    """Whether a manifest is that of this prior set's fit, by the same libraries."""
    wanted = (pset.fingerprint(), asdict(settings), versions())
    return (record["recipe_sha256"], record.get("sampling"), record.get("versions")) == wanted


def linear_pool(
    members: Mapping[str, Run],
    weights: Sequence[float],
    name: str,
    *,
    out: Path,
    sources: Mapping[str, Path] | None = None,
) -> Pooled:
    """Mix finished runs of one market by weight, and write the run folder `out`.

    The mixture has as many draws as each member; a member gives as many of its own as its weight says, spread evenly
    over each chain. It holds the variables that all members have alike, of the posterior and of the prior, and no
    densities, which are of one prior set: what asks for them refuses it. Where a prior set must be shown, it is that
    of the member of most weight. Parameters: `members` by name; `weights`, of sum 1; `name`, the pool's; `sources`,
    files to keep with the run by these names. Raises :class:`InputError` for runs of different markets or sizes.
    """
    check_folder(out, SCHEMA)
    _check_alike(members)
    runs = list(members.values())
    kept = {file: path.read_bytes() for file, path in (sources or {}).items()}
    first = runs[int(np.argmax(weights))]
    parts = [
        {"set": key, "weight": weight, **run.provenance}
        for (key, run), weight in zip(members.items(), weights, strict=True)
    ]
    # In the set's name, so that another mixture has another recipe: who made the members, and when, is no part of it.
    recipe = [(part["set"], part["weight"], part["recipe_sha256"]) for part in parts]
    digest = hashlib.sha256(as_json(recipe).encode()).hexdigest()[:8]
    settings = replace(first.priors.settings, priors=f"{name} (linear pool {digest})")
    pset = replace(first.priors, settings=settings)
    checks = tuple(_named(key, check) for key, run in members.items() for check in run.fitted.manifest.get("gate", ()))
    sampled = first.fitted.manifest
    status = "passed" if all(run.passed for run in runs) else "failed"
    with new_folder(out) as folder:
        tree = mixed([run.tree for run in runs], weights)
        tables, findings = tables_of(tree, pset), audit(pset.ledger)
        apart = pool_spread({key: group(run.tree)[v.REVENUE_TOTAL] for key, run in members.items()}, weights, pset)
        settings_of, backend = Sampling(**sampled["sampling"]), sampled.get("backend", "")
        record = manifest(pset, settings_of, checks, status, Clock(), backend) | {MIXTURE: parts}
        every = {
            **tables,
            "priors": pd.concat([run.priors.table().assign(set=key) for key, run in members.items()]),
            "evidence": pd.concat([run.priors.evidence_table().assign(set=key) for key, run in members.items()]),
            "audit": findings_table(findings),
            "gate": gate_table(checks),
            "pool": apart,
        }
        recipes = {f"recipe-{key}.txt": run.priors.recipe().encode() for key, run in members.items()}
        write_files(folder, pset, every, kept | recipes)
        draws = write_draws(tree, pset.recipe(), record, folder)
        text = written(Run.in_memory(tree, pset, record), tables, findings)
        (folder / PAGE).write_text(text, encoding="utf-8")
        write_manifest(record, folder, {DRAWS: draws})
    run, summary = Run.open(out), tables["summary"]
    return Pooled(run, summary, headline(summary, pset.ledger), gate_table(checks), status == "passed", apart)


def _check_alike(members: Mapping[str, Run]) -> None:
    (first, one), *others = members.items()
    for name, run in others:
        if run.priors.coords != one.priors.coords or run.money != one.money:
            raise InputError(f"{name}: is of another market than {first}: pool runs of one")
        if run.sizes != one.sizes:
            raise InputError(
                f"{name}: has {run.sizes} chains and draws, but {first} {one.sizes}: pool runs of one size"
            )


def _named(member: str, check: Mapping[str, Any]) -> Check:
    one = Check(**check)
    return replace(one, where=f"{member}: {one.where}" if one.where else member)


def turns(weights: Sequence[float], size: int) -> NDArray[np.intp]:
    """Whose turn each of `size` draws is: the index of the member that is furthest behind its weight so far.

    No stretch of draws is of one member only, so what is asked of chains, such as a Monte-Carlo error by batches, can
    be asked of the mixture.
    """
    had, out = np.zeros(len(weights)), np.empty(size, dtype=np.intp)
    for k in range(size):
        out[k] = np.argmax(np.asarray(weights) * (k + 1) - had)
        had[out[k]] += 1
    return out


def mixed(trees: Sequence[DataTree], weights: Sequence[float]) -> DataTree:
    """The mixture of runs: of each, draws by weight, of every variable that all of them have alike."""
    found = {}
    for name in _GROUPS:
        groups = [group(tree, name) for tree in trees]
        size = min(one.sizes["draw"] for one in groups)
        whose = turns(weights, size)
        took = []
        for k, one in enumerate(groups):
            own = np.flatnonzero(whose == k)
            every = (np.arange(len(own)) + 0.5) * one.sizes["draw"] / max(len(own), 1)
            picked = one[_alike(groups)].isel(draw=every.astype(int))
            took.append(picked.assign_coords(draw=own))
        found[name] = xr.concat(took, "draw", data_vars="all", coords="minimal", compat="override").sortby("draw")
    return DataTree.from_dict(found)


def _alike(groups: Sequence[Dataset]) -> list[str]:
    """The variables that all groups have, with the same labels."""
    first, *others = groups

    def shape(data: Dataset, name: str) -> dict[str, Any]:
        return {str(d): data[name][d].values.tolist() for d in data[name].dims if d not in SAMPLE}

    return [
        str(name)
        for name in first.data_vars
        if all(name in other and shape(other, str(name)) == shape(first, str(name)) for other in others)
    ]


def pool_spread(totals: Mapping[str, DataArray], weights: Sequence[float], pset: PriorSet) -> pd.DataFrame:
    """Total revenue at the anchors in each member and in the pool, and how far members lie apart.

    Parameters: `totals`, draws [chain, draw, year] in millions by member. Returns one row per year and member, then one
    of the pool (`set` empty): `weight`, `mean`, `median`, `sd` and the 90 % interval in `unit`; for the pool also
    `within_sd`, the root of the mean variance inside the members, `between_sd`, the sd of their means, and
    `between_share`, that part of the variance: the squares of the two add up to that of the pool's sd.
    """
    rows = []
    share = np.asarray(weights)
    for year in pset.ledger.report.anchors:
        draws = [one.sel(year=year).values.ravel() for one in totals.values()]
        moments = np.array([(one.mean(), one.var()) for one in draws])
        mean = share @ moments[:, 0]
        within, between = share @ moments[:, 1], share @ (moments[:, 0] - mean) ** 2
        rows += [
            _described(one) | {"year": year, "set": key, "weight": w}
            for (key, w), one in zip(zip(totals, weights, strict=True), draws, strict=True)
        ]
        both = np.concatenate(draws)
        each = np.concatenate([np.full(one.size, w / one.size) for w, one in zip(weights, draws, strict=True)])
        rows.append(
            {
                "year": year,
                "set": "",
                "weight": 1.0,
                "mean": mean,
                "median": float(quantile(both, each, 0.5)),
                "sd": float(np.sqrt(within + between)),
                "low_90": float(quantile(both, each, 0.05)),
                "high_90": float(quantile(both, each, 0.95)),
                "within_sd": float(np.sqrt(within)),
                "between_sd": float(np.sqrt(between)),
                "between_share": float(between / (within + between)),
            }
        )
    first = ["year", "set", "weight"]
    table = pd.DataFrame(rows)
    return table[[*first, *table.columns.drop(first)]].assign(unit=f"{pset.ledger.report.currency} million")


def _described(draws: NDArray[np.float64]) -> dict[str, Any]:
    low, median, high = np.quantile(draws, [0.05, 0.5, 0.95])
    return {"mean": draws.mean(), "median": median, "sd": draws.std(), "low_90": low, "high_90": high}


def pool_said(found: Pooled) -> str:
    """How far the members lie apart in the last year, in one sentence."""
    last = found.spread[found.spread["year"] == found.spread["year"].max()]
    pool, members = last[last["set"] == ""].iloc[0], last[last["set"] != ""]
    each = ", ".join(f"{name} {median:,.0f}" for name, median in zip(members["set"], members["median"], strict=True))
    return (
        f"Medians of {pool['year']} by set: {each}; {pool['between_share']:.0%} of the pool's variance lies between "
        f"the sets (sd {pool['between_sd']:,.0f}), the rest within them (sd {pool['within_sd']:,.0f})."
    )
