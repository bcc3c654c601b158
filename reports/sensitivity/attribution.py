"""Two runs' posteriors over each other: one log ratio a claim, prior, source's error and row of evidence.

Densities are of what the numbers are about (levels, deviations, prices), not of the standard normals behind them, so
that draws of either run can be judged by both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from xarray import Dataset

from postcgrp.models import variables as v
from postcgrp.priors import Block, Evidence, Prior, PriorSet
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.runs.evidence import Array, flat, known_years, needed, residuals
from postcgrp.reports.runs.run import Run

_NEGLIGIBLE = 1e-9  # a log ratio that nowhere departs from its mean by more is no change
CONSTANTS = "constant_data"
NONE = np.zeros(1)  # the log density of a row that a run does not have
REPARAMETERISED = (v.REGION_VALUE_WEIGHT, v.MODALITY_VALUE_SHARE)  # no part of the joint prior
STATED = (f"{v.EVIDENCE}_", v.SOURCE_ERROR)  # by its rows and its error model
ANOTHER = "another market"


@dataclass(frozen=True)
class Factor:
    """One change: its name, its kind (claim, assumption, trust or evidence) and how it reads.

    `log_ratio`: log of the second run's density over the first's, in the draws of each [draw].
    """

    name: str
    kind: str
    change: str
    log_ratio: tuple[Array, Array]


@dataclass(frozen=True)
class Side:
    """One of two runs, its draws and constants read."""

    pset: PriorSet
    draws: Dataset
    constants: Dataset

    def number(self, name: str) -> Array:
        """A constant of the model."""
        return np.asarray(self.constants[name].values, dtype=float)

    def table(self, name: str) -> Array:
        """Draws of a variable, its cells in a row [draw, cell]."""
        values = flat(self.draws[name])
        return values.reshape(len(values), -1)


Sides = tuple[Side, Side]
EvidenceCell = tuple[str | int | None, ...]


@dataclass
class Found:
    """The factors, and what no ratio of densities can express."""

    factors: list[Factor] = field(default_factory=list)
    structure: list[str] = field(default_factory=list)

    def add(self, name: str, kind: str, change: str, log_ratio: Iterable[Array]) -> None:
        """Keep a factor unless it is constant."""
        first, second = log_ratio
        if max(np.ptp(first), np.ptp(second)) > _NEGLIGIBLE:
            self.factors.append(Factor(name, kind, change, (first, second)))


def between(first: Run, second: Run) -> Found:
    """Every factor between two runs; for two markets none, and that is said."""
    found = Found()
    one, other = first.priors, second.priors
    if _market(one) != _market(other):
        found.structure.append(ANOTHER)
        return found
    names = [*_parameters(one), *needed(one, one.evidence), *needed(other, other.evidence)]
    sides = (_side(first, names), _side(second, names))
    covered = _priors(found, sides) | _deviations(found, sides) | _centres(found, sides) | _paths(found, sides)
    _evidence(found, sides)
    _structure(found, sides, covered)
    return found


def _side(run: Run, names: Sequence[str]) -> Side:
    return Side(run.priors, run.read(names), run.read(run.names(CONSTANTS), CONSTANTS))


def _market(pset: PriorSet) -> tuple[object, ...]:
    ledger = pset.ledger
    return ledger.years, ledger.report.anchors, ledger.segments, [(m.name, m.uptake) for m in ledger.modalities]


def _parameters(pset: PriorSet) -> list[str]:
    """Everything that a prior density is of; a run has most of these names."""
    names = [name for block in pset.blocks for name in (block, v.standard(block))]
    names += [z for _, z, _ in _scaled(pset)] + [v.PRICE, v.REGION_PREMIUM]
    for m in pset.ledger.modalities:
        names += [v.uptake_region(pset, m)]
        names += [v.path(pset, m, year) for year in pset.ledger.years]
    return names


# ---- priors --------------------------------------------------------------------------------------------------------


def _priors(found: Found, sides: Sides) -> set[str]:
    """One factor a cell of a block whose cells are independent, else one a block."""
    one, other = (side.pset.blocks for side in sides)
    covered = set()
    for name in one:
        if name not in other or [p.name for p in one[name].priors] != [p.name for p in other[name].priors]:
            continue
        covered |= {v.mu(name), v.sd(name), v.cholesky(name)}
        blocks = (one[name], other[name])
        pairs = list(zip(*(block.priors for block in blocks), strict=True))
        changed = [(k, a, b) for k, (a, b) in enumerate(pairs) if _stated(a) != _stated(b)]
        if one[name].correlation is not None:
            if changed or one[name].correlation != other[name].correlation:
                label = ", ".join(b.name for _, _, b in changed) or f"correlation of {name}"
                change = "; ".join(_says(a, b) for _, a, b in changed)
                levels = (_levels(side, name) for side in sides)
                found.add(label, _kind(changed), change, (_joint(blocks[1], x) - _joint(blocks[0], x) for x in levels))
            continue
        values = [_natural(side, name) for side in sides] if changed else []
        for k, a, b in changed:
            ratio = (b.log_density(x[:, k]) - a.log_density(x[:, k]) for x in values)
            found.add(b.name, _kind([(k, a, b)]), _says(a, b), ratio)
    return covered


def _stated(prior: Prior) -> tuple[object, ...]:
    return prior.family, prior.mu, prior.sd


def _kind(changed: Sequence[tuple[int, Prior, Prior]]) -> str:
    claimed = any(p.origin.startswith("report:") or p.open for _, *both in changed for p in both)
    return "claim" if claimed else "assumption"


def _says(first: Prior, second: Prior) -> str:
    ends = ["..".join(_short(end) for end in prior.quantile([0.05, 0.95])) for prior in (first, second)]
    family = "" if first.family == second.family else f" {second.family}"
    return f"{ends[0]} -> {ends[1]}{family}"


def _short(number: float) -> str:
    return short(round(number, 9))


def _natural(side: Side, name: str) -> Array:
    """Values [draw, cell] of a prior block on its natural scale."""
    for modality in side.pset.ledger.modalities if name.startswith(v.PRICE) else ():
        if name == v.price_growth(modality):
            log = np.log(flat(side.draws[v.PRICE].sel(modality=modality.name, year=side.pset.anchors(modality))))
            return np.asarray(np.diff(log, axis=1) / np.diff(side.pset.anchors(modality)))
    if name == v.PRICE:
        first = {m.name: side.pset.anchors(m)[0] for m in side.pset.ledger.modalities}
        return np.column_stack([flat(side.draws[v.PRICE].sel(modality=m, year=year)) for m, year in first.items()])
    return side.table(name)


def _levels(side: Side, name: str) -> Array:
    """Correlated levels [draw, cell] on the link scale, before they are put in order."""
    block = side.pset.blocks[name]
    mu, sd = np.array([(p.mu, p.sd) for p in block.priors]).T
    return np.asarray(mu + sd * (flat(side.draws[v.standard(name)]) @ block.cholesky.T))


def _joint(block: Block, level: Array) -> Array:
    """Log density of correlated levels [draw, cell], up to a constant."""
    mu, sd = np.array([(p.mu, p.sd) for p in block.priors]).T
    return np.asarray(-(np.linalg.solve(block.cholesky, ((level - mu) / sd).T) ** 2).sum(axis=0) / 2)


# ---- fixed numbers -------------------------------------------------------------------------------------------------


def _scaled(pset: PriorSet) -> list[tuple[str, str, str]]:
    """Fixed spreads, the standard normals that they scale, and what to call them."""
    names = [
        (v.sd(name), name, v.sd(name))
        for name in (v.PATIENT_GROWTH_REGION, v.PAYER_BLOCK_REGION, v.REGION_PREMIUM_MODALITY)
    ]
    for m in pset.ledger.modalities:
        noise, step = v.price_noise(m), pset.own(v.ADOPTION_STEP_REGION, m)
        names.append((noise, v.standard(noise), f"price_noise[{m.name}]"))
        names.append((v.adoption_step_region_sd(pset, m), step, f"adoption_step_region_sd[{m.name}]"))
    return names


def _both(sides: Sides, *names: str) -> bool:
    return all(name in side.constants for side in sides for name in names)


def _same(sides: Sides, name: str) -> bool:
    one, other = (side.number(name) for side in sides)
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=1e-12, atol=0))


def _deviations(found: Found, sides: Sides) -> set[str]:
    """Deviations whose fixed spread is another."""
    covered = set()
    for name, z, label in _scaled(sides[0].pset):
        if not _both(sides, name) or _same(sides, name) or not all(side.number(name) > 0 for side in sides):
            continue
        a, b = (float(side.number(name)) for side in sides)
        squares = (((float(side.number(name)) * side.table(z)) ** 2).sum(axis=1) for side in sides)
        found.add(label, "assumption", f"{a:.3g} -> {b:.3g}", ((1 / a**2 - 1 / b**2) / 2 * s for s in squares))
        covered.add(name)
    return covered


def _centres(found: Found, sides: Sides) -> set[str]:
    """Directions of regions: effects around another centre."""
    covered, pset = set(), sides[0].pset
    for m in pset.ledger.modalities:
        name = v.uptake_region_centre(pset, m)
        if not _both(sides, name) or _same(sides, name):
            continue
        ratio = partial(_centre_ratio, sides, name, v.uptake_region(pset, m), v.uptake_region_sd(pset, m))
        found.add(f"adoption_direction[{m.name}]", "claim", "directions of regions", map(ratio, sides))
        covered.add(name)
    return covered


def _centre_ratio(sides: Sides, name: str, deviations: str, spread_of: str, judged: Side) -> Array:
    """Log ratio [draw] of the densities of regional effects around their centres."""
    spread = judged.table(spread_of)
    effect = judged.number(name) + spread * judged.table(deviations)
    first, second = (((effect - side.number(name)) / spread) ** 2 for side in sides)
    return np.asarray((first - second).sum(axis=1) / 2)


def _paths(found: Found, sides: Sides) -> set[str]:
    """How a rise between two anchors spreads over the years."""
    covered, pset = set(), sides[0].pset
    for m in pset.ledger.modalities:
        number = v.path_concentration(pset, m)
        paths = [v.path(pset, m, year) for year in pset.ledger.years]
        shared = [path for path in paths if _both(sides, v.path_mean(path), number)]
        fits = [path for path in shared if len({side.number(v.path_mean(path)).shape for side in sides}) == 1]
        changed = [path for path in fits if not (_same(sides, v.path_mean(path)) and _same(sides, number))]
        if len(fits) < len(shared) or not changed:
            continue
        label, ratio = f"uptake between anchors[{m.name}]", partial(_path_ratio, sides, number, changed)
        found.add(label, "assumption", "shares of the years", map(ratio, sides))
        covered |= {number, *map(v.path_mean, changed)}
    return covered


def _path_ratio(sides: Sides, number: str, paths: Sequence[str], judged: Side) -> Array:
    """Log ratio [draw] of the Dirichlet densities of a path's stretches, up to a constant."""
    ratio = np.zeros(len(judged.table(paths[0])))
    for path in paths:
        first, second = (side.number(number) * side.number(v.path_mean(path)) for side in sides)
        ratio += np.log(judged.table(path)) @ (second - first)
    return ratio


# ---- evidence ------------------------------------------------------------------------------------------------------


def _evidence(found: Found, sides: Sides) -> None:
    """One factor a row that was added, dropped or changed, and one a source whose error is another."""
    for source in dict.fromkeys(row.source for side in sides for row in side.pset.evidence):
        years = [known_years(side.draws, side.pset, source) for side in sides]
        known = [year for year in years[0] if year in years[1]]
        stated = [{row.cell: row for row in side.pset.evidence if row.source == source} for side in sides]
        first, second = ([_terms(sides[k].pset, stated[k], judged, known) for judged in sides] for k in (0, 1))
        for cell, row in {**stated[0], **stated[1]}.items():
            ratio = (b.get(cell, NONE) - a.get(cell, NONE) for a, b in zip(first, second, strict=True))
            found.add(row.id, "evidence", _restated(*(rows.get(cell) for rows in stated)), ratio)
        if known:
            _trust(found, sides, source, known)


def _terms(
    pset: PriorSet, rows: Mapping[EvidenceCell, Evidence], judged: Side, known: Sequence[int]
) -> dict[EvidenceCell, Array]:
    """Log density [draw] of one source's rows under one prior set, in the draws of either run, by what they observe."""
    if not rows:
        return {}
    part = residuals(judged.draws, pset, list(rows.values()), known).terms()
    return dict(zip(rows, part.T, strict=True))


def _restated(first: Evidence | None, second: Evidence | None) -> str:
    said = [f"{row.value:g} ±{row.log_sd:.2g}" if row else "" for row in (first, second)]
    return " -> ".join(said) if all(said) else f"{said[1]} added" if second else f"{said[0]} dropped"


def _trust(found: Found, sides: Sides, source: str, known: Sequence[int]) -> None:
    """A source's error path under both runs' error models, at the years where both runs have it."""
    sd, bias = (
        [getattr(side.pset, name)(source, known) for side in sides] for name in ("source_log_sd", "source_log_bias")
    )
    step = [np.sqrt(np.maximum(np.diff(s**2, prepend=0.0), 0.0)) for s in sd]
    moving = (step[0] > 0) & (step[1] > 0)

    def density(side: Side, k: int) -> Array:
        error = side.draws[v.source_error(side.pset, source)]
        path = flat(error.sel({error.dims[-1]: list(known)})) - bias[k]
        steps = np.diff(path, axis=1, prepend=0.0)[:, moving] / step[k][moving]
        return np.asarray(-(steps**2).sum(axis=1) / 2)

    change = f"log-sd {sd[0][0]:.2g}..{sd[0][-1]:.2g} -> {sd[1][0]:.2g}..{sd[1][-1]:.2g}"
    found.add(f"trust: {source}", "trust", change, (density(side, 1) - density(side, 0) for side in sides))


# ---- what no ratio expresses ---------------------------------------------------------------------------------------


def _structure(found: Found, sides: Sides, covered: set[str]) -> None:
    one, other = sides
    scope = [side.pset.settings.adoption_scope for side in sides]
    if scope[0] != scope[1]:
        found.structure.append(f"adoption_scope {scope[0]} -> {scope[1]}")
    for m in one.pset.modalities("launch"):
        years = [side.pset.uptake_years(m)[0] + 1 for side in sides]
        if years[0] != years[1]:
            found.structure.append(f"launch of {m.name} {years[0]} -> {years[1]}")
    for name in dict.fromkeys(map(str, [*one.constants, *other.constants])):
        if name in covered or name in REPARAMETERISED or name.startswith(STATED):
            continue
        if not (_both(sides, name) and _same(sides, name)):
            found.structure.append(name)
