"""Two runs' posteriors over each other: one log ratio a claim, prior, source's error and row of evidence.

Densities are of what the numbers are about (levels, deviations, prices), not of the standard normals behind them, so
that draws of either run can be judged by both. Where one standard draw moves several numbers, both runs must move them
alike, or no draw of one is possible in the other; a number that one run fixes elsewhere is impossible too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from xarray import Dataset

from postcgrp.models import variables as v
from postcgrp.models.standard import Standard, standard_of
from postcgrp.priors import Evidence, Prior, PriorSet
from postcgrp.priors.ledger import Modality
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.runs.evidence import (
    Array,
    flat,
    known_years,
    log_moved,
    needed,
    residuals,
    stated_mean,
    unseen,
)
from postcgrp.reports.runs.run import Run

_NEGLIGIBLE = 1e-9  # a log ratio that nowhere departs from its mean by more is no change
CONSTANTS = "constant_data"
NONE = np.zeros(1)  # the log density of a row that a run does not have
REPARAMETERISED = (v.MODALITY_VALUE_SHARE,)  # no part of the joint prior
STATED = (f"{v.EVIDENCE}_", v.SOURCE_ERROR, v.SUCCESS_MEASURED)  # by its rows and its error model
ANOTHER = "another market"
FUNNEL = "the report's own funnel"
LOG_PRIOR = "log_prior"


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

    run: Run
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
        if not all(np.isfinite(x).all() and np.ptp(x) <= _NEGLIGIBLE for x in (first, second)):
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
    covered |= _line_use(found, sides)
    _evidence(found, sides)
    _structure(found, sides, covered)
    return found


def _side(run: Run, names: Sequence[str]) -> Side:
    return Side(run, run.priors, run.read(names), run.read(run.names(CONSTANTS), CONSTANTS))


def _market(pset: PriorSet) -> tuple[object, ...]:
    ledger = pset.ledger
    kinds = [(m.name, m.uptake) for m in ledger.modalities], [(x.name, x.modality, x.stage) for x in ledger.lines]
    return ledger.years, ledger.report.anchors, ledger.segments, kinds


def _parameters(pset: PriorSet) -> list[str]:
    """Everything that a prior density is of; a run has most of these names."""
    names = [name for block in pset.blocks for name in (block, v.standard(block))]
    names += [z for _, z, _ in _scaled(pset)] + [v.PRICE, v.REGION_PREMIUM, v.LINE_USE_REGION, v.EVIDENCE_MEAN]
    names += [v.stated_revenue(anchor) for anchor in pset.ledger.report.anchors]
    for m in pset.ledger.modalities:
        names += [v.uptake_region(pset, m)]
        names += [v.path(pset, m, year) for year in pset.ledger.years]
    return names


# ---- priors --------------------------------------------------------------------------------------------------------


def _priors(found: Found, sides: Sides) -> set[str]:
    """One factor a cell of a block whose cells are independent, else one for all that are correlated."""
    one, other = (side.pset.blocks for side in sides)
    covered = {v.LINE_REGION_CHOLESKY}
    for name in one:
        if name not in other or [p.name for p in one[name].priors] != [p.name for p in other[name].priors]:
            continue
        covered |= {v.mu(name), v.sd(name), v.cholesky(name)}
        standards = [standard_of(side.pset, name) for side in sides]
        if standards[0] is not None and standards[1] is not None:
            _standardised(found, sides, name, (standards[0], standards[1]))
            continue
        changed = [(k, a, b) for k, a, b in _pairs(sides, name) if _stated(a) != _stated(b)]
        values = [_natural(side, name) for side in sides] if changed else []
        for k, a, b in changed:
            ratio = (b.log_density(x[:, k]) - a.log_density(x[:, k]) for x in values)
            found.add(b.name, _kind([(a, b)]), _says(a, b), ratio)
    return covered


def _pairs(sides: Sides, name: str) -> list[tuple[int, Prior, Prior]]:
    """The cells of a block and their priors in both runs."""
    both = zip(*(side.pset.blocks[name].priors for side in sides), strict=True)
    return [(k, a, b) for k, (a, b) in enumerate(both)]


def _standardised(found: Found, sides: Sides, name: str, standards: tuple[Standard, Standard]) -> None:
    """Factors of a block that is moved by standard draws: one a draw, or one for all that are correlated."""
    one, other = standards
    pairs = _pairs(sides, name)
    cholesky = [np.eye(1) if s.cholesky is None else s.cholesky for s in standards]
    coupled = cholesky[0].shape != cholesky[1].shape or not np.allclose(cholesky[0], cholesky[1], rtol=1e-9, atol=0)
    if not coupled and all(_stated(a) == _stated(b) for _, a, b in pairs):
        return
    z = v.standard(name)
    if not all(z in side.draws for side in sides):
        if any(z in side.draws for side in sides):
            found.structure.append(name)  # the other run has no use for it
        return
    rows = one.cells.shape[: -2 if one.cholesky is not None or other.cholesky is not None else -1]
    scores = [s.scores(flat(side.draws[z])) for s, side in zip(standards, sides, strict=True)]
    for row in np.ndindex(rows):
        cells = one.cells[row].reshape(-1, one.cells.shape[-1])  # [correlated draw, cells that it moves]
        changed = [(a, b) for k, a, b in pairs if k in cells and _stated(a) != _stated(b)]
        if not changed and not coupled:
            continue
        label = _named([b for _, b in changed]) if changed else f"correlation of {name}"
        change = "; ".join(dict.fromkeys(_says(a, b) for a, b in changed))
        moves = [_move([pairs[k][1:] for k in moved]) for moved in cells]
        if any(move is None for move in moves):
            found.structure.append(f"{label} {change}")
            continue
        shift, stretch = np.array(moves).T
        of = [score[(slice(None), *row)].reshape(len(score), -1) for score in scores]
        by_first, by_second = (of[0], (of[1] - shift) / stretch), (shift + stretch * of[0], of[1])
        ratio = (_log_density(other, b) - _log_density(one, a) for a, b in zip(by_first, by_second, strict=True))
        found.add(label, _kind(changed), change, ratio)


def _move(cells: Sequence[tuple[Prior, Prior]]) -> tuple[float, float] | None:
    """How a score under the first run's priors is one under the second's, shift + stretch * score, of the same numbers.

    None if the numbers that one draw moves together are not possible in both runs.
    """
    moves = []
    for a, b in cells:
        if a.sd > 0 and b.sd > 0:
            moves.append(((a.mu - b.mu) / b.sd, a.sd / b.sd))
        elif a.sd > 0 or b.sd > 0 or a.mu != b.mu:
            return None
    if not moves:
        return 0.0, 1.0
    return moves[0] if np.allclose(moves, moves[0], rtol=1e-9, atol=1e-9) else None


def _log_density(standard: Standard, score: Array) -> Array:
    """Log density [draw] of the scores [draw, correlated draw] of one row, up to a constant."""
    return np.asarray(standard.log_density(score).sum(axis=1))


def _named(priors: Sequence[Prior]) -> str:
    return priors[0].name if len(priors) == 1 else f"{priors[0].name} and {len(priors) - 1} more"


def _stated(prior: Prior) -> tuple[object, ...]:
    return prior.family, prior.mu, prior.sd


def _kind(changed: Sequence[tuple[Prior, Prior]]) -> str:
    claimed = any(p.origin.startswith("report:") or p.open for both in changed for p in both)
    return "claim" if claimed else "assumption"


def _says(first: Prior, second: Prior) -> str:
    ends = [
        "..".join(_short(end) for end in prior.quantile([0.05, 0.95] if prior.sd > 0 else [0.5]))
        for prior in (first, second)
    ]
    family = "" if first.family == second.family else f" {second.family}"
    return f"{ends[0]} -> {ends[1]}{family}"


def _short(number: float) -> str:
    return short(round(number, 9))


def _natural(side: Side, name: str) -> Array:
    """Values [draw, cell] of a prior block on its natural scale."""
    modalities = {m.name: m for m in side.pset.ledger.modalities}
    for modality in modalities.values():
        if name == v.price_growth(modality):
            log = np.log(flat(side.draws[v.PRICE].sel(modality=modality.name, year=side.pset.anchors(modality))))
            return np.asarray(np.diff(log, axis=1) / np.diff(side.pset.anchors(modality)))
    if name == v.PRICE:
        first = {str(m): side.pset.anchors(modalities[str(m)])[0] for m in side.pset.coords["priced"]}
        return np.column_stack([flat(side.draws[v.PRICE].sel(modality=m, year=year)) for m, year in first.items()])
    return side.table(name)


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


def _spends(pset: PriorSet) -> list[Modality]:
    """The modalities whose spend is what lines cost and a residual."""
    return [m for m in pset.ledger.modalities if m.name not in pset.coords["priced"]]


def _squares(side: Side, modality: Modality) -> Array | None:
    """Squares of the steps [draw, anchor] of what lines leave out of a modality's spend, in their sds.

    Of a modality that is sold its stated revenue is the free variable, whose prior density tells them; None if the run
    has not stored it.
    """
    if modality.uptake == "launch":
        return side.table(v.standard(v.spend_residual(modality))) ** 2
    names = {v.stated_revenue(year): v.sold(year) for year in side.pset.ledger.report.anchors}
    if not set(names) <= set(side.run.names(LOG_PRIOR)):
        return None
    density = side.run.read(names, LOG_PRIOR)
    log = np.column_stack([flat(density[name].sel({dim: modality.name})) for name, dim in names.items()])
    return np.asarray(-2 * (log + np.log(side.number(v.spend_residual_sd(modality)))) - np.log(2 * np.pi))


def _residuals(found: Found, sides: Sides) -> set[str]:
    """What lines leave out of a modality's spend, where its fixed spread is another."""
    covered = set()
    for m in _spends(sides[0].pset):
        name = v.spend_residual_sd(m)
        if not _both(sides, name) or _same(sides, name) or sides[0].number(name).shape != sides[1].number(name).shape:
            continue
        squares = [_squares(side, m) for side in sides]
        if squares[0] is None or squares[1] is None:
            continue
        a, b = (side.number(name) for side in sides)
        steps = (squares[0] * a**2, squares[1] * b**2)
        ratio = ((s * (1 / a**2 - 1 / b**2)).sum(axis=1) / 2 for s in steps)
        found.add(f"spend_residual[{m.name}]", "assumption", f"{a[0]:.3g} -> {b[0]:.3g}", ratio)
        covered.add(name)
    return covered


def _both(sides: Sides, *names: str) -> bool:
    return all(name in side.constants for side in sides for name in names)


def _same(sides: Sides, name: str) -> bool:
    one, other = (side.number(name) for side in sides)
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=1e-12, atol=0))


def _deviations(found: Found, sides: Sides) -> set[str]:
    """Deviations whose fixed spread is another."""
    covered = _residuals(found, sides)
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


def _line_use(found: Found, sides: Sides) -> set[str]:
    """Directions and spread of regions in the use of a line: effects around another centre."""
    names = (v.LINE_USE_REGION_CENTRE, v.sd(v.LINE_USE_REGION))
    lines = [str(line) for line in sides[0].pset.coords["line_claimed"]]
    if not lines or not _both(sides, *names) or all(_same(sides, name) for name in names):
        return set()
    (c, s), (d, t) = ([side.number(name) for name in names] for side in sides)
    if not (np.all(s > 0) and np.all(t > 0)):
        return set()
    effects = (
        side.number(names[0]) + side.number(names[1])[:, None] * flat(side.draws[v.LINE_USE_REGION]) for side in sides
    )
    terms = [
        (((e - c) / s[:, None]) ** 2 - ((e - d) / t[:, None]) ** 2).sum(axis=-1) / 2 for e in effects
    ]  # [draw, line]
    for k, line in enumerate(lines):
        found.add(f"line_use_direction[{line}]", "claim", "directions of regions", (x[:, k] for x in terms))
    return set(names)


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
        _hidden(found, sides, stated)
        first, second = ([_terms(sides[k].pset, stated[k], judged, known) for judged in sides] for k in (0, 1))
        for cell, row in {**stated[0], **stated[1]}.items():
            if not unseen(sides[0].pset, row):
                ratio = (b.get(cell, NONE) - a.get(cell, NONE) for a, b in zip(first, second, strict=True))
                found.add(row.id, "evidence", _restated(*(rows.get(cell) for rows in stated)), ratio)
        if known:
            _trust(found, sides, source, known)


def _hidden(found: Found, sides: Sides, stated: Sequence[Mapping[EvidenceCell, Evidence]]) -> None:
    """Rows about the report's own view, whose mean only a run with the row has stored.

    A factor for each that both runs have with another number, and one for the claims that its revenue follows.
    """
    funnel, in_both = [np.zeros(1), np.zeros(1)], True
    for cell, row in {**stated[0], **stated[1]}.items():
        if not unseen(sides[0].pset, row):
            continue
        a, b = (rows.get(cell) for rows in stated)
        if a is None or b is None:
            found.structure.append(f"{row.id} {'added' if a is None else 'dropped'}")
            continue
        gaps = []  # by side: log value less its mean under the first run's claims, and under the second's
        for k, (side, own) in enumerate(zip(sides, (a, b), strict=True)):
            mean, other = stated_mean(side.draws, own), sides[1 - k].pset
            moved = log_moved(side.draws, side.pset, other, own) if row.quantity == v.REVENUE else np.zeros(1)
            in_both &= moved is not None
            gaps.append((mean, mean if moved is None else mean + moved)[:: 1 if k == 0 else -1])
        terms = [[_normal(a, mean) for mean in pair] for pair in gaps]
        restated = (_normal(b, pair[1]) - t[1] for pair, t in zip(gaps, terms, strict=True))
        funnel = [was + t[1] - t[0] for was, t in zip(funnel, terms, strict=True)]
        if (a.value, a.log_sd) != (b.value, b.log_sd):
            found.add(row.id, "evidence", _restated(a, b), restated)
    if in_both:
        found.add(FUNNEL, "claim", "claims that the report's revenue follows", funnel)
    else:
        found.structure.append(FUNNEL)


def _normal(row: Evidence, mean: Array) -> Array:
    """Log density [draw] of a row around its mean, up to a constant."""
    return np.asarray(-(((np.log(row.value) - mean) / row.log_sd) ** 2) / 2)


def _terms(
    pset: PriorSet, rows: Mapping[EvidenceCell, Evidence], judged: Side, known: Sequence[int]
) -> dict[EvidenceCell, Array]:
    """Log density [draw] of one source's rows under one prior set, in the draws of either run, by what they observe."""
    seen = {cell: row for cell, row in rows.items() if not unseen(pset, row)}
    if not seen:
        return {}
    part = residuals(judged.draws, pset, list(seen.values()), known).terms()
    return dict(zip(seen, part.T, strict=True))


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
        years = [side.pset.anchors(m)[0] for side in sides]
        if years[0] != years[1]:
            found.structure.append(f"first anchor of {m.name} {years[0]} -> {years[1]}")
    for a, b in zip(*((*side.pset.ledger.modalities, *side.pset.ledger.lines) for side in sides), strict=True):
        if a.vendor_assumes != b.vendor_assumes:
            found.structure.append(f"vendor_assumes of {a.name} {a.vendor_assumes} -> {b.vendor_assumes}")
    for name in dict.fromkeys(map(str, [*one.constants, *other.constants])):
        if name in covered or name in REPARAMETERISED or name.startswith(STATED):
            continue
        if not (_both(sides, name) and _same(sides, name)):
            found.structure.append(name)
