"""Factors of two runs' priors: of elicited numbers, and of fixed ones that draws are around or scaled by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from postcgrp.models import variables as v
from postcgrp.models.correlated import log_dependence, scores_of
from postcgrp.models.standard import Standard, standard_of
from postcgrp.priors import Prior, PriorSet
from postcgrp.priors.ledger import Modality
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.runs.evidence import Array, flat
from postcgrp.reports.sensitivity.sides import Found, Side, Sides, both, same

LOG_PRIOR = "log_prior"


def prior_factors(found: Found, sides: Sides) -> set[str]:
    """Find every factor of the priors; returns the model's constants that they speak for."""
    covered = _priors(found, sides) | _correlations(found, sides) | _deviations(found, sides) | _centres(found, sides)
    return covered | _paths(found, sides) | _line_use(found, sides)


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
        changed = [(k, a, b) for k, a, b in _pairs(sides, name) if not _alike(a, b)]
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
    if not coupled and all(_alike(a, b) for _, a, b in pairs):
        return
    z = v.standard(name)
    if not all(z in side.draws for side in sides):
        if any(z in side.draws for side in sides):
            found.structure.append(name)  # the other run has no use for it
        return
    rows = one.cells.shape[: -2 if one.cholesky is not None or other.cholesky is not None else -1]
    scores = [scores_of(side.pset, name, _reader(side)) for side in sides]
    for row in np.ndindex(rows):
        cells = one.cells[row].reshape(-1, one.cells.shape[-1])  # [correlated draw, cells that it moves]
        changed = [(a, b) for k, a, b in pairs if k in cells and not _alike(a, b)]
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


def _correlations(found: Found, sides: Sides) -> set[str]:
    """One factor for all correlations between named priors: for those of one run alone, and for scores that move."""
    one, other = (side.pset for side in sides)
    if not one.correlations and not other.correlations:
        return set()
    names = {name: pset.connected for pset in (one, other) for name in pset.connected}
    drawn = [
        (v.standard(name) if standard_of(side.pset, name) is not None else name) in side.draws
        for side in sides
        for name in names
    ]
    if not all(drawn):
        found.structure.append("correlations between priors")
        return set()
    said = [", ".join(f"{row.name} {row.value:g}" for row in pset.correlations) or "none" for pset in (one, other)]
    change = " -> ".join(dict.fromkeys(said)) if said[0] != said[1] else "the same, between moved priors"
    ratio = (
        log_dependence(other, side.pset, _reader(side)) - log_dependence(one, side.pset, _reader(side))
        for side in sides
    )
    found.add("correlations between priors", "assumption", change, map(np.asarray, ratio))
    return {v.weights(name, beside) for each in names.values() for name in each for beside in each}


def _reader(side: Side) -> Callable[[str], Array]:
    return lambda name: flat(side.draws[name])


def _move(cells: Sequence[tuple[Prior, Prior]]) -> tuple[float, float] | None:
    """How a score under the first run's priors is one under the second's, shift + stretch * score, of the same numbers.

    None if the numbers that one draw moves together are not possible in both runs.
    """
    moves = []
    for a, b in cells:
        if a.sd > 0 and b.sd > 0:
            moves.append(((a.mu - b.mu) / b.sd, a.sd / b.sd))
        elif not _alike(a, b):
            return None
    if not moves:
        return 0.0, 1.0
    return moves[0] if np.allclose(moves, moves[0], rtol=1e-9, atol=1e-9) else None


def _log_density(standard: Standard, score: Array) -> Array:
    """Log density [draw] of the scores [draw, correlated draw] of one row, up to a constant."""
    return np.asarray(standard.log_density(score).sum(axis=1))


def _named(priors: Sequence[Prior]) -> str:
    return priors[0].name if len(priors) == 1 else f"{priors[0].name} and {len(priors) - 1} more"


def _alike(first: Prior, second: Prior) -> bool:
    """Whether two runs state the same prior, up to the last digits, in which processors differ."""
    one, other = ((prior.mu, prior.sd) for prior in (first, second))
    return first.family == second.family and np.allclose(one, other, rtol=1e-12, atol=1e-12)


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


def scaled_normals(pset: PriorSet) -> list[tuple[str, str, str]]:
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
        if not both(sides, name) or same(sides, name) or sides[0].number(name).shape != sides[1].number(name).shape:
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


def _deviations(found: Found, sides: Sides) -> set[str]:
    """Deviations whose fixed spread is another."""
    covered = _residuals(found, sides)
    for name, z, label in scaled_normals(sides[0].pset):
        if not both(sides, name) or same(sides, name) or not all(side.number(name) > 0 for side in sides):
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
        if not both(sides, name) or same(sides, name):
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
    if not lines or not both(sides, *names) or all(same(sides, name) for name in names):
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
        shared = [path for path in paths if both(sides, v.path_mean(path), number)]
        fits = [path for path in shared if len({side.number(v.path_mean(path)).shape for side in sides}) == 1]
        changed = [path for path in fits if not (same(sides, v.path_mean(path)) and same(sides, number))]
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
