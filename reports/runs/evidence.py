"""Stored draws against rows of evidence: aggregates, and their densities with a source's error integrated out.

What `models/evidence.py` observes, computed from a finished run in NumPy, so that asking costs no compiler. A run
stores what happens. Rows of other sources are about that; the report's are about its own view of launches, and its
revenue follows its own patients and adoption, so draws hold what its rows observe only where the run has these rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.models import variables as v
from postcgrp.priors import Evidence, PriorSet
from postcgrp.priors.catalogue import GROWN, MILLION, SIZES, STEEPNESS
from postcgrp.priors.evidence import PARTS, launch_of, modality_of_row
from postcgrp.priors.ledger import Ledger, Modality

Array = NDArray[np.float64]
MADE_OF = {  # of what is not a variable, or not by what a row may be about
    v.ADOPTION: (v.PATIENTS, v.USE),
    v.PRICE: (v.REVENUE, v.PATIENTS, v.USE),
    "users": (v.PATIENTS, v.USE),
    "line_use": (v.PATIENTS, v.USE, v.USE_LINE),
}
STILL = 1e-12  # a log ratio up to which nothing moved


def needed(pset: PriorSet, rows: Iterable[Evidence]) -> list[str]:
    """The variables that the aggregates of these rows, and the errors of their sources, are made of."""
    names: list[str] = []
    for row in rows:
        names += [v.EVIDENCE_MEAN] if unseen(pset, row) else []
        if row.is_dated:
            names += [v.LAUNCH_YEAR, v.SUCCESS]
            continue
        base = GROWN.get(row.quantity, row.quantity.removesuffix("_share"))
        names += MADE_OF.get(base, (base,) if base in SIZES else (v.PATIENTS, base))
        names += [v.REVENUE_LINE] if base == v.REVENUE and row.line is not None else []
        names += [v.source_error(pset, row.source)] if row.shared_error else []
    return list(dict.fromkeys(names))


def unseen(pset: PriorSet, row: Evidence) -> str:
    """Why stored draws do not hold what a row observes; empty if they do."""
    if row.source != pset.ledger.report.id:
        return ""
    launched = bool(pset.coords["launch"])
    on_launch = launched and (
        row.quantity in ("revenue_share", "line_use", v.PRICE)
        or (row.quantity in (v.ADOPTION, "users_growth") and row.modality in pset.coords["launched"])
    )
    if GROWN.get(row.quantity, row.quantity) != v.REVENUE and not on_launch:
        return ""
    return (
        f"{row.id!r} is about the report's own view of {'launches' if on_launch else 'the market'}, which stored draws "
        "do not hold"
    )


def expected(draws: Dataset, ledger: Ledger, row: Evidence) -> DataArray:
    """The log of what a row observes, or the date, before any error [chain, draw]; minus infinity where it is nothing.

    Parameters: `draws`, a posterior with the variables that :func:`needed` names. A row without a year is about the
    mean over the report's anchors.
    """
    if row.is_dated:
        starts = draws[v.LAUNCH_YEAR].sel(launch=launch_of(ledger, row))
        return starts.min("region") if row.region is None else starts.sel(region=row.region)
    if row.quantity in GROWN:
        earlier, later = (expected(draws, ledger, end) for end in row.ends)
        return (later - earlier).where(np.isfinite(earlier), -np.inf)
    if row.year is None:
        of_years = [expected(draws, ledger, replace(row, year=year)) for year in ledger.report.anchors]
        return _log(of_years[0].copy(data=np.mean([np.exp(log.values) for log in of_years], axis=0)))
    return _log_in_year(draws, ledger, row)


def _log_in_year(draws: Dataset, ledger: Ledger, row: Evidence) -> DataArray:
    """The log of what a row observes in its year [chain, draw]."""

    def part(cells: DataArray) -> DataArray:
        labels = {dim: label for dim in PARTS if dim in cells.dims and (label := getattr(row, dim)) is not None}
        return _sum(cells.sel(labels))

    def at(name: str) -> DataArray:
        values = draws[name]
        return values.sel(year=row.year) if "year" in values.dims else values

    base = row.quantity.removesuffix("_share")
    if base in SIZES:
        whole = at(base)
        share = row.quantity != base
        cells = at(v.REVENUE_LINE) if row.line is not None else whole
        return _log(part(cells)) - (_log(_sum(whole)) if share else 0.0)
    patients = at(v.PATIENTS)
    if base == "line_use":
        users = (patients * at(v.USE)).sel(modality=modality_of_row(ledger, row))
        return _ratio(part(users * at(v.USE_LINE)), part(users))
    users = part(patients * at(v.USE)) if base in MADE_OF else patients
    if base == "users":
        return _log(users)
    if base == v.PRICE:  # nobody pays for what failed: minus infinity
        return _ratio(part(at(v.REVENUE)) * MILLION, users)
    return _log(users if base == v.ADOPTION else part(patients * at(base))) - _log(part(patients))


@dataclass(frozen=True)
class Residuals:
    """Rows of one source against draws: log value less what is expected [draw, row], and its covariance [row, row].

    Normal, with the source's error integrated out at every year at which the draws do not hold it. A value is infinite
    where a draw has nothing of what the row is about, as after a launch that failed.
    """

    rows: tuple[Evidence, ...]
    values: Array
    covariance: Array

    def terms(self) -> Array:
        """Each row's part of the log density [draw, row], up to one constant: they add up to all of it."""
        some = np.where(np.isinf(self.values), 0.0, self.values)
        parts = -some * np.linalg.solve(self.covariance, some.T).T / 2
        return np.where(np.isinf(self.values), -np.inf, parts)


@dataclass(frozen=True)
class Bounds:
    """What bounds launches against draws, see :mod:`postcgrp.models.bounds`: these hold success, so nothing is summed.

    `dates` [draw, row] of the launch; `comes` [draw, row], whether it does, 1 or 0: where it fails, every bound holds.
    """

    rows: tuple[Evidence, ...]
    dates: Array
    comes: Array

    @property
    def log_holds(self) -> Array:
        """Log probability of each row if the launch comes [draw, row]."""
        stated, sd = (np.array([getattr(row, name) for row in self.rows]) for name in ("stated", "log_sd"))
        return np.asarray(-np.logaddexp(0.0, -STEEPNESS * (self.dates - stated) / sd))

    def terms(self) -> Array:
        """Each row's part of the log density [draw, row]: they add up to all of it."""
        return self.log_holds * self.comes


def rarer(chance: float) -> float:
    """The chance of an answer to yes or no that is as rare as a yes of this chance: its own, or 1 of the likelier."""
    return chance if chance < 0.5 else 1.0  # noqa: PLR2004


def bounds(draws: Dataset, pset: PriorSet, rows: Sequence[Evidence]) -> Bounds:
    """Rows that bound launches against draws."""
    dates = [flat(expected(draws, pset.ledger, row)) for row in rows]
    comes = [flat(draws[v.SUCCESS].sel(launch=launch_of(pset.ledger, row))) for row in rows]
    return Bounds(tuple(rows), np.column_stack(dates), np.column_stack(comes))


def residuals(draws: Dataset, pset: PriorSet, rows: Sequence[Evidence], known: Sequence[int] = ()) -> Residuals:
    """Rows of one source against draws; NaN for a row that is :func:`unseen` and that the run does not have.

    Parameters: `rows`, all of one source; `known`, years at which `draws` hold that source's error, which is then
    taken as known there and, as the random walk that it is, conditioned on elsewhere. `pset` has the error's model.
    """
    source, report = rows[0].source, pset.ledger.report
    mean = np.column_stack(
        [_as_stated(draws, pset, row) if unseen(pset, row) else flat(expected(draws, pset.ledger, row)) for row in rows]
    )
    years = sorted({year for row in rows for year in row.shared_error}) or [report.first_year]
    times = np.array([[row.shared_error.get(year, 0.0) for year in years] for row in rows])  # [row, year]
    variance = _walk(pset, source, years, years)
    mean = mean + times @ pset.source_log_bias(source, years)
    if len(known):
        gain = np.linalg.pinv(_walk(pset, source, known, known), hermitian=True) @ _walk(pset, source, known, years)
        variance = variance - _walk(pset, source, years, known) @ gain
        error = draws[v.source_error(pset, source)]
        at_known = flat(error.sel({error.dims[-1]: list(known)})) - pset.source_log_bias(source, known)
        mean = mean + at_known @ gain @ times.T
    own = np.diag([row.log_sd**2 for row in rows])
    values = np.array([row.stated for row in rows]) - mean
    return Residuals(tuple(rows), values, own + times @ variance @ times.T)


def _as_stated(draws: Dataset, pset: PriorSet, row: Evidence) -> Array:
    """What the run itself expects of its row before its source's error [draw]; NaN where it does not have the row."""
    if v.EVIDENCE_MEAN not in draws or row.id not in draws[v.EVIDENCE_MEAN][v.EVIDENCE_ROW]:
        return np.full(draws.sizes["chain"] * draws.sizes["draw"], np.nan)
    mean = stated_mean(draws, row)
    if not row.shared_error:
        return mean
    error = draws[v.source_error(pset, row.source)]
    return np.asarray(
        mean - sum(times * flat(error.sel({error.dims[-1]: year})) for year, times in row.shared_error.items())
    )


def known_years(draws: Dataset, pset: PriorSet, source: str) -> list[int]:
    """The years at which draws hold a source's error; none where its evidence is new."""
    name = v.source_error(pset, source)
    if name not in draws:
        return []
    return [int(year) for year in draws[name][draws[name].dims[-1]].values]


def against(
    draws: Dataset, pset: PriorSet, rows: Iterable[Evidence], *, known: bool = True
) -> list[Residuals | Bounds]:
    """Rows against draws, source by source, and what bounds launches.

    Parameters: `known`, whether a source's error is taken as known where the draws hold it.
    """
    alike: dict[tuple[str, bool], list[Evidence]] = {}
    for row in rows:
        alike.setdefault((row.source, row.is_bound), []).append(row)
    return [
        bounds(draws, pset, of_one)
        if bounding
        else residuals(draws, pset, of_one, known_years(draws, pset, source) if known else ())
        for (source, bounding), of_one in alike.items()
    ]


def source_densities(draws: Dataset, pset: PriorSet) -> dict[str, DataArray]:
    """Log likelihood of each source's rows with its error integrated out [chain, draw], up to a constant, by source.

    This is what a source as a whole says of the market: given the error that a draw happens to hold, its rows would
    only measure their own noise. Parameters: `draws`, with the variables that :func:`needed` names.
    """
    found = {}
    for source in dict.fromkeys(row.source for row in pset.evidence):
        parts = against(draws, pset, [row for row in pset.evidence if row.source == source], known=False)
        shape = (draws.sizes["chain"], draws.sizes["draw"])
        density = np.sum([part.terms().sum(axis=1) for part in parts], axis=0)
        found[source] = DataArray(density.reshape(shape), dims=SAMPLE)
    return found


# ---- the report's own funnel ---------------------------------------------------------------------------------------


def funnel_ratio(draws: Dataset, pset: PriorSet, other: PriorSet) -> Array | None:
    """Log likelihood ratio [draw] of the report's revenue if its own claims on patients and adoption were other ones.

    The report's revenue follows these claims (`vendor_build_up`). Parameters: `draws` of a run of `pset`; `other`, with
    the same rows of evidence and other middles of the claims. Returns None where the draws do not say.
    """
    ratio = np.zeros(draws.sizes["chain"] * draws.sizes["draw"])
    for row in pset.evidence:
        if (row.source, row.quantity) == (pset.ledger.report.id, v.REVENUE):
            moved = log_moved(draws, pset, other, row)
            if moved is None:
                return None
            if np.any(moved):
                gap = np.log(row.value) - stated_mean(draws, row)
                ratio += (gap**2 - (gap - moved) ** 2) / (2 * row.log_sd**2)
    return ratio


def stated_mean(draws: Dataset, row: Evidence) -> Array:
    """The mean of the log of a row [draw], the errors of its source included, of a run that has the row."""
    return flat(draws[v.EVIDENCE_MEAN].sel({v.EVIDENCE_ROW: row.id}))


def log_moved(draws: Dataset, pset: PriorSet, other: PriorSet, row: Evidence) -> Array | None:
    """How far the mean of a row of the report's revenue moves [draw], log, with the claims of `other`.

    None for a row over several modalities that move differently, unless it is on the whole market at an anchor: there
    the draws hold the report's revenue by modality.
    """
    zeros = np.zeros(draws.sizes["chain"] * draws.sizes["draw"])
    if row.year is None:
        return zeros
    by_modality = {m.name: _claimed(other, m, row.year) - _claimed(pset, m, row.year) for m in pset.ledger.modalities}
    mine = by_modality if row.modality is None else {row.modality: by_modality[row.modality]}
    shifts = np.array([*mine.values()])
    if not np.abs(shifts).max() > STILL:
        return zeros
    strength = flat(draws[v.VENDOR_BUILD_UP])
    if np.ptp(shifts) < STILL:
        return np.asarray(strength * shifts[0])
    stated = v.stated_revenue(row.year)
    if stated not in draws or row.region is not None or row.depth is not None:
        return None
    whole, sold = np.exp(stated_mean(draws, row)), draws[stated]
    of_sold = np.exp(flat(sold))
    launched = next((by_modality[m.name] for m in pset.ledger.modalities if m.uptake == "launch"), 0.0)
    factors = np.exp(np.multiply.outer(strength, [by_modality[str(m)] for m in sold[v.sold(row.year)].values]))
    rest = (whole - of_sold.sum(axis=1)) * np.exp(strength * launched)
    return np.asarray(np.log((of_sold * factors).sum(axis=1) + rest) - np.log(whole))


def _claimed(pset: PriorSet, modality: Modality, year: int) -> float:
    """Log of the report's claim on patients and, where a modality is adopted, on adoption in a year."""
    patients = np.log(np.exp([prior.mu for prior in pset.blocks[v.REGION_PATIENTS].priors]).sum())
    if modality.uptake != "adoption":
        return float(patients)
    levels = [np.log(prior.quantile(0.5)) for prior in pset.blocks[v.level(pset, modality)].priors]
    return float(patients + np.interp(year, pset.ledger.report.anchors, levels))


def flat(draws: DataArray) -> Array:
    """Values [chain x draw, ...], one chain after the other."""
    values = draws.transpose(*SAMPLE, ...).values
    return np.asarray(values.reshape(values.shape[0] * values.shape[1], *values.shape[2:]), dtype=float)


def _walk(pset: PriorSet, source: str, first: Sequence[int], second: Sequence[int]) -> Array:
    """Covariance of a source's error between years: a random walk's, hence that of the earlier year."""
    return np.asarray(pset.source_log_sd(source, np.minimum.outer(first, second).ravel().tolist()) ** 2).reshape(
        len(first), len(second)
    )


def _ratio(part: DataArray, whole: DataArray) -> DataArray:
    """The log of a ratio; minus infinity where there is nothing of either."""
    return _log(part / whole.where(whole > 0, 1.0))


def _sum(cells: DataArray) -> DataArray:
    return cells.sum([dim for dim in cells.dims if dim not in SAMPLE])


def _log(values: DataArray) -> DataArray:
    with np.errstate(divide="ignore"):  # of a launch that failed
        return values.copy(data=np.log(values.values))
