"""What sources would say of markets, for the model's second implementation, `models/simulator.py`.

Written from docs/model.md alone, like the rest of it. Arrays lead with draws, then follow the dims named in brackets.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from postcgrp.models.simulator_dice import Array, Dice
from postcgrp.priors import Evidence, PriorSet
from postcgrp.priors.catalogue import GROWN, SIZES

Arrays = dict[str, Array]

_MILLION = 1e6


def told(dice: Dice, views: dict[str, Arrays], vendor_factor: float) -> Arrays:
    """Each source's error in each year it speaks of, and each row's mean and value on the log scale.

    Parameters: `views`, the market as the `report` sees it, as it states revenue (`tied`), and, if there is one, as any
    `other` source does; `vendor_factor`, by which the report's revenue is too high.
    """
    pset, rows, report = dice.pset, dice.pset.measured, dice.pset.ledger.report
    bounds = {"launch_bound": _bounds_hold(dice, views["other"])} if pset.bounds else {}
    if not rows:
        return bounds
    means = []
    for row in rows:
        seen_by = ("tied" if row.quantity == "revenue" else "report") if row.source == report.id else "other"
        means.append(_log_aggregate(pset, views[seen_by], row))
    errors, mean = {}, np.stack(means, axis=1)
    for source in dict.fromkeys(row.source for row in rows):
        counted = (*SIZES, *GROWN)
        sizes = [k for k, row in enumerate(rows) if row.source == source and row.quantity in counted]
        if not sizes:
            continue
        is_report = source == report.id
        spoken = {year for k in sizes for year in (rows[k].year, rows[k].year_from) if year is not None}
        years = sorted(spoken | set(report.anchors if is_report else ()))
        variance = np.diff(pset.source_log_sd(source, years) ** 2, prepend=0.0)
        walk = (np.sqrt(np.maximum(variance, 0.0)) * dice.z(len(years))).cumsum(axis=1)
        error = pset.source_log_bias(source, years) + walk
        name = "source_error" if is_report else f"source_error_{re.sub(r'[^0-9A-Za-z]+', '_', source).strip('_')}"
        errors[name] = error
        for k in sizes:
            mean[:, k] += error[:, years.index(rows[k].year or 0)]
            if (start := rows[k].year_from) is not None:
                mean[:, k] -= error[:, years.index(start)]
            if is_report and rows[k].quantity == "revenue":
                mean[:, k] += np.log(vendor_factor)
    value = mean + np.array([row.log_sd for row in rows]) * dice.z(len(rows))
    return {**bounds, **errors, "evidence_log_mean": mean, "evidence": value}


def _bounds_hold(dice: Dice, market: Arrays) -> Array:
    """Whether all that bounds a launch would have been seen [launch_bounded], 1 or 0: 1 where the launch fails."""
    names, held = [str(name) for name in dice.pset.coords["launch"]], []
    for launch, rows in dice.pset.bounds.items():
        later = np.ones(dice.draws)
        for row in rows:
            error = dice.rng.logistic(scale=row.log_sd * np.sqrt(3) / np.pi, size=dice.draws)
            later *= _start(dice.pset, market, row) + error > row.stated
        held.append(np.where(market["success"][:, names.index(launch)] > 0, later, 1.0))
    return np.stack(held, axis=1).astype(int)


def _start(pset: PriorSet, market: Arrays, row: Evidence) -> Array:
    """When sales of what one row is about start: without a region, those of the first."""
    names, of = [str(name) for name in pset.coords["launch"]], {line.name: line.modality for line in pset.ledger.lines}
    about = {row.line, row.modality, of.get(str(row.line))}
    start = market["start"][:, next(k for k, name in enumerate(names) if name in about)]
    return np.asarray(start.min(axis=1) if row.region is None else start[:, pset.coords["region"].index(row.region)])


def _log_aggregate(pset: PriorSet, market: Arrays, row: Evidence) -> Array:
    """The log of the true value [draw] of what one row is about, or the date: without a year, the mean over anchors."""
    if row.quantity == "launch_year":
        return _start(pset, market, row)
    if row.quantity in GROWN and row.year is not None and row.year_from is not None:
        later, earlier = (_aggregate(pset, market, row, year) for year in (row.year, row.year_from))
        return np.asarray(np.log(later / earlier))
    years = pset.ledger.report.anchors if row.year is None else (row.year,)
    return np.asarray(np.log(np.mean([_aggregate(pset, market, row, year) for year in years], axis=0)))


def _aggregate(pset: PriorSet, market: Arrays, row: Evidence, when: int) -> Array:
    """The true value [draw], in one year, of what one row of evidence is about."""
    year = pset.ledger.years.index(when)
    where: list[Any] = [slice(None)]
    for dim, names in pset.ledger.segments.items():
        name = getattr(row, dim)
        where.append(slice(None) if name is None else slice(names.index(name), names.index(name) + 1))
    region_depth, patients = tuple(where[:3]), market["patients"][:, year]

    def total(cells: Array) -> Array:
        return np.asarray(cells.reshape(len(cells), -1).sum(axis=1))

    if row.quantity == "adoption":
        number = total((patients[..., None] * market["use"][:, year])[tuple(where)]) / total(patients[region_depth])
    elif row.quantity == "price":
        users = (patients[..., None] * market["use"][:, year])[tuple(where)]
        number = total(market["revenue"][:, year][tuple(where)]) * _MILLION / total(users)
    elif row.quantity in ("acute_use", "moh", "payer_block"):
        share = market[row.quantity]
        share = share if share.ndim == patients.ndim else share[:, :, None]
        number = total((patients * share)[region_depth]) / total(patients[region_depth])
    elif row.quantity == "users_growth":
        number = total((patients[..., None] * market["use"][:, year])[tuple(where)])
    elif row.quantity == "line_use":
        k = [line.name for line in pset.ledger.lines].index(str(row.line))
        of = [m.name for m in pset.ledger.modalities].index(pset.ledger.lines[k].modality)
        users = patients * market["use"][:, year, ..., of]
        number = total((users * market["use_line"][:, year, ..., k])[region_depth]) / total(users[region_depth])
    elif row.quantity.startswith("patients"):
        number = total(patients[region_depth]) / (total(patients) if row.quantity.endswith("_share") else 1.0)
    else:
        revenue = market["revenue"][:, year]
        part = revenue[tuple(where)]
        if row.line is not None:
            k = [line.name for line in pset.ledger.lines].index(row.line)
            part = market["revenue_line"][:, year, ..., k][region_depth]
        number = total(part) / (total(revenue) if row.quantity.endswith("_share") else 1.0)
    return np.asarray(number)
