"""Many posteriors of variants of one prior set: which variants share a program, and what each came to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import xarray as xr
from xarray import DataArray, Dataset, DataTree

from postcgrp.inference import Check, Sampling, passed
from postcgrp.inference.batch import Batch, Fit, fit_many, load_fit, prepare, save_fit
from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.inference.numerics import Arrays
from postcgrp.inference.powerscale import scaled
from postcgrp.inference.progress import Progress
from postcgrp.models import variables as v
from postcgrp.models.blueprint import outcome_blueprint
from postcgrp.models.coords import coords
from postcgrp.models.inputs import arrays
from postcgrp.models.outcomes import by_modality, on_market, outcome_coords
from postcgrp.models.structure import structure_key
from postcgrp.priors import Evidence, InputError, PriorSet
from postcgrp.reports.runs.groups import group

SILENT = 1e3  # log-sd at which a row of evidence says nothing: it moves a log density by less than 1e-4
SETTINGS = Sampling(prior_draws=2000)
LONGER, CAREFUL = 4, 0.98  # draws and acceptance of a last try
_KEEP = (v.REVENUE_TOTAL,)
MISSED = "missed the gate"


@dataclass(frozen=True)
class Refit:
    """One variant's posterior.

    `draws` [chain, draw, ...]: `revenue_total` (year), `revenue_modality` (year, modality; at the anchors), both in
    millions, and what else was kept. `missed`: which criteria of the gate it missed, or why there is no posterior, else
    empty; a variant that missed has no draws.
    """

    draws: Dataset
    missed: str = ""


def align(variant: PriorSet, base: PriorSet) -> PriorSet:
    """The variant with every row of the base's evidence that it lacks, so wide that the row says nothing.

    The posterior is the same and the model's graph is that of the base, so one compiled program serves both. A variant
    whose other rows forbid that (a part above its whole, say) stays as it is; so does one with nothing left of the
    report, whose error would then only make the posterior hard to sample, and one without measured sales of what is
    launched, which however wide say that it succeeds, or without a bound on a launch, which none is wide enough for.
    """
    report = base.ledger.report.id
    bounded = [{_observed(row) for row in pset.evidence if row.is_bound} for pset in (base, variant)]
    if (
        (report in base.sources and report not in variant.sources)
        or base.seen_launched != variant.seen_launched
        or bounded[0] != bounded[1]
    ):
        return variant
    own = {_observed(row): row for row in variant.evidence}
    rows = [own.pop(_observed(row), replace(row, log_sd=SILENT)) for row in base.evidence]
    try:
        return variant.with_evidence([*rows, *own.values()])
    except InputError:
        return variant


def _observed(row: Evidence) -> tuple[object, ...]:
    return (row.source, *row.cell)


@dataclass(frozen=True)
class Refits:
    """A way to fit variants of one prior set, each distinct graph compiled once.

    `base`: the set they vary. `folder`: where finished posteriors are kept, and found by a later call with the same
    inputs; None to keep none. `more`: names of variables, beside revenue, that a call may ask for. `patient`: whether
    one that misses the gate twice is tried a third way.
    """

    base: PriorSet
    folder: Path | None = None
    settings: Sampling = SETTINGS
    progress: Progress = lambda stage, done, total: None
    more: tuple[str, ...] = ()
    patient: bool = True
    batches: dict[str, Batch] = field(default_factory=dict)

    def __call__(self, variants: Mapping[str, PriorSet], also: tuple[str, ...] = ()) -> dict[str, Refit]:
        """Fit every variant, by name; `also`, which of `more` to keep, where a variant has it.

        Each is judged by the gate. One that misses twice is tried a third way, with smaller steps where it diverged,
        else with more draws; if it still misses there is a reason and no draws. An interrupt keeps what was finished.
        """
        found: dict[str, Refit] = {}
        waiting: dict[str, dict[str, PriorSet]] = {}
        for name, pset in variants.items():
            aligned = align(pset, self.base)
            waiting.setdefault(structure_key(aligned), {})[name] = aligned
        for key, psets in waiting.items():
            done = len(found)

            def progress(stage: str, now: int, done: int = done) -> None:
                self.progress(stage, done + now, len(variants))

            found |= self._fit(key, psets, also, progress)
        return {name: found[name] for name in variants}

    def _fit(
        self, key: str, psets: Mapping[str, PriorSet], also: tuple[str, ...], progress: Callable[[str, int], None]
    ) -> dict[str, Refit]:
        """Fit variants of one graph."""
        first = next(iter(psets.values()))
        self.progress("compiling", 0, 0)
        batch = self._batch(key, first)
        known = {*batch.outline.free, *batch.outline.deterministics}
        names = [name for name in (*_kept(first), *also) if name in known]
        # Named by what it is made of, not by the model's data: what is stored needs no model built.
        stored = {
            name: _digest(batch.posterior({}).key, pset.fingerprint(), sorted(names)) for name, pset in psets.items()
        }
        fits = {name: fit for name, at in stored.items() if (fit := self._load(at)) is not None}
        todo = [name for name in psets if name not in fits]
        data: dict[str, Arrays] = {}
        for name in todo:
            data[name] = arrays(psets[name])
            progress("building", len(fits) + len(data))
        for name, fit in self._fitted(batch, data, lambda done: progress("fitting", len(psets) - len(todo) + done)):
            draws = {n: np.ascontiguousarray(fit.draws[n]) for n in names}
            fits[name] = Fit(stored[name], draws, fit.checks, fit.effort)
            if self.folder is not None:
                save_fit(fits[name], self.folder)
        return {name: _refit(fits[name], batch, psets[name]) for name in psets}

    def _fitted(
        self, batch: Batch, data: Mapping[str, Arrays], done: Callable[[int], None]
    ) -> Iterator[tuple[str, Fit]]:
        """The final fit of each; those that miss twice are tried in another way, by what they missed."""
        finer, longer, count = list[str](), list[str](), 0
        for way, names in ((batch, list(data)), (_finer(batch), finer), (_longer(batch), longer)):
            for place, fit in fit_many(way, [data[name] for name in names]):
                name = names[place]
                if way is batch and self.patient and not fit.passed:
                    (finer if _diverged(fit) else longer).append(name)
                    continue
                count += 1
                done(count)
                yield name, fit

    def _batch(self, key: str, pset: PriorSet) -> Batch:
        """The compiled program of a graph, made from the base where that has the graph: fits depend on it."""
        if key not in self.batches:
            model = outcome_blueprint(self.base if structure_key(self.base) == key else pset)
            self.batches[key] = prepare(model, self.settings, keep=[*_kept(pset), *self.more])
        return self.batches[key]

    def _load(self, key: str) -> Fit | None:
        return None if self.folder is None else load_fit(self.folder / f"{key}.npz")


def _diverged(fit: Fit) -> bool:
    return any(check.check == "divergences" and not check.passed for check in fit.checks)


def _finer(batch: Batch) -> Batch:
    """The same programs with smaller steps, for posteriors with divergences."""
    return replace(batch, settings=replace(batch.settings, target_accept=CAREFUL), step_size=batch.step_size / 2)


def _longer(batch: Batch) -> Batch:
    """The same programs with more draws, of which as many are kept, for chains that do not agree yet."""
    settings = batch.settings
    more = replace(settings, tune=LONGER * settings.tune, draws=LONGER * settings.draws)
    return replace(batch, settings=more, thin=LONGER * batch.thin)


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _kept(pset: PriorSet) -> list[str]:
    return [*_KEEP, *map(by_modality, pset.ledger.report.anchors)]


def _refit(fit: Fit, batch: Batch, pset: PriorSet) -> Refit:
    """A fit with names for its dimensions; without draws if it missed the gate."""
    if not passed(fit.checks):
        return Refit(Dataset(), missed(fit.checks))
    labels = {**coords(pset), **outcome_coords(pset)}
    named = {}
    for name, values in fit.draws.items():
        dims = batch.outline.dims.get(name, ())
        at = {dim: np.asarray(labels[dim]) for dim in dims if dim in labels}
        named[name] = DataArray(values, at, (*SAMPLE, *dims))
    parts = [
        named.pop(by_modality(a))
        .rename({on_market(a): "modality"})
        .reindex(modality=list(pset.ledger.segments["modality"]), fill_value=0.0)
        for a in pset.ledger.report.anchors
    ]
    revenue = xr.concat(parts, "anchor").assign_coords(anchor=list(pset.ledger.report.anchors))
    return Refit(Dataset({**named, "revenue_modality": revenue}))


def missed(checks: tuple[Check, ...]) -> str:
    """What a posterior missed of the gate, in words."""
    return f"{MISSED}: " + ", ".join(f"{c.check} {c.figure:.3g} ({c.rule})" for c in checks if not c.passed)


def as_refit(run: DataTree, pset: PriorSet) -> Refit:
    """A run's own posterior in the form of a variant's."""
    posterior, anchors = group(run), list(pset.ledger.report.anchors)
    if v.REVENUE not in posterior:  # totals may be all that somebody kept
        return Refit(Dataset({v.REVENUE_TOTAL: posterior[v.REVENUE_TOTAL]}))
    revenue = posterior[v.REVENUE].sel(year=anchors).sum(["region", "depth"]).rename(year="anchor")
    return Refit(Dataset({v.REVENUE_TOTAL: posterior[v.REVENUE_TOTAL], "revenue_modality": revenue}))


def powerscale_by_refit(
    refits: Refits, groups: tuple[str, ...], alphas: tuple[float, ...]
) -> dict[tuple[str, float], Refit]:
    """The power-scaled posteriors by refitting: what importance weights on stored draws are checked against.

    A normal prior of sd s to the power alpha is a normal of sd s / sqrt(alpha), so a refit under other data is exact.
    Returns refits by group and alpha. Raises :class:`InputError` for a group that cannot be fitted scaled, see
    :func:`postcgrp.inference.powerscale.scaled`.
    """
    wanted = {(group, alpha): scaled(refits.base, group, alpha) for group in groups for alpha in alphas}
    found = refits({f"{group} ^ {alpha:g}": pset for (group, alpha), pset in wanted.items()})
    return dict(zip(wanted, found.values(), strict=True))
