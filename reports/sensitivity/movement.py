"""How a forecast moved from one set of draws to another: the figures on both sides, and why the total moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from xarray import DataArray, Dataset

from postcgrp.inference.estimates import quantile, quantile_error
from postcgrp.inference.psis import Array
from postcgrp.models import variables as v
from postcgrp.priors import Ledger
from postcgrp.priors.catalogue import MONEY_UNIT, SPEND_UNIT
from postcgrp.reports.forecast.layers import BANDS
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.runs.evidence import STILL, flat

Label = tuple[str, int, str | None]

TOTAL = v.REVENUE_TOTAL
READ = (v.REVENUE, TOTAL, v.PATIENTS, v.USE, v.PRICE)  # for :func:`forecast_quantities`
BEFORE, AFTER = "before", "after"
WITH_ERROR = ("low_90", "median", "high_90")
BY_PATIENTS, BY_UPTAKE, BY_PRICE = "patients", "uptake", "price"
JACKKNIFE = 12  # of consecutive draws, left out one after another
CLEARLY = 2.0  # Monte-Carlo errors from zero
_SEGMENTS = ("region", "depth")


def forecast_quantities(draws: Dataset, ledger: Ledger) -> dict[Label, DataArray]:
    """What a forecast is read for [chain, draw], as far as `draws` have it, each with its `unit` as an attribute.

    The total at the anchors; in the last year revenue and price of each modality, adoption of those that are adopted or
    launched (a share of all patients), and patients; and the total's growth a year from the first anchor to the last.
    By name, year and modality.
    """
    years, money = ledger.report.anchors, MONEY_UNIT.format(currency=ledger.report.currency)
    first, last = years[0], years[-1]
    found: dict[Label, tuple[DataArray, str]] = {
        (TOTAL, year, None): (draws[TOTAL].sel(year=year), money) for year in years
    }
    growth = (draws[TOTAL].sel(year=last) / draws[TOTAL].sel(year=first)) ** (1 / max(1, last - first)) - 1
    found["growth a year", last, None] = growth, "fraction"
    revenue = draws[v.REVENUE].sel(year=last).sum(_SEGMENTS)
    for m in ledger.modalities:
        found[v.REVENUE, last, m.name] = revenue.sel(modality=m.name), money
    if v.PATIENTS in draws:
        patients = draws[v.PATIENTS].sel(year=last)
        found[v.PATIENTS, last, None] = patients.sum(_SEGMENTS), "patients"
        for m in ledger.modalities if v.USE in draws else ():
            if m.uptake != "everyone":
                treated = (patients * draws[v.USE].sel(year=last, modality=m.name)).sum(_SEGMENTS)
                found[v.ADOPTION, last, m.name] = treated / patients.sum(_SEGMENTS), "fraction"
    if v.PRICE in draws:
        spend = SPEND_UNIT.format(currency=ledger.report.currency)
        for m in ledger.modalities:
            found[v.PRICE, last, m.name] = draws[v.PRICE].sel(year=last, modality=m.name), spend
    return {label: values.reset_coords(drop=True).assign_attrs(unit=unit) for label, (values, unit) in found.items()}


def moved(
    before: Mapping[Label, DataArray],
    after: Mapping[Label, DataArray],
    weights: Array | None = None,
    weights_before: Array | None = None,
) -> pd.DataFrame:
    """The forecast before and after.

    Parameters: `before` and `after`, see :func:`forecast_quantities`; `weights` [chain, draw], of `after`, and
    `weights_before`, None where they are equal. Returns two rows for each quantity that both have: `state`, mean, sd,
    median, the ends of the 50 and 90 % interval, and (`mcse_`) the Monte-Carlo error of the median and of the 90 %
    interval's ends, in `unit`.
    """
    rows = []
    for label in (label for label in before if label in after):
        named = dict(zip(("quantity", "year", "modality"), label, strict=True)) | {"unit": before[label].attrs["unit"]}
        rows.append({**named, "state": BEFORE, **_describe(before[label], weights_before)})
        rows.append({**named, "state": AFTER, **_describe(after[label], weights)})
    return pd.DataFrame(rows)


def _describe(draws: DataArray, weights: Array | None) -> dict[str, float]:
    x = flat(draws).reshape(draws.sizes["chain"], -1)
    w = np.full(x.shape, 1 / x.size) if weights is None else weights
    mean = float((w * x).sum())
    ends = quantile(x, w, list(BANDS.values()))
    out = {
        "mean": mean,
        "sd": float(np.sqrt((w * (x - mean) ** 2).sum())),
        **dict(zip(BANDS, ends.tolist(), strict=True)),
    }
    return out | {f"mcse_{name}": quantile_error(x, w, BANDS[name]) for name in WITH_ERROR}


def brief(table: pd.DataFrame, names: tuple[str, str] = (BEFORE, AFTER)) -> pd.DataFrame:
    """The table of :func:`moved` as a terminal shows it: medians and 90 % intervals, each figure with its error."""
    sides = [table[table["state"] == state].reset_index(drop=True) for state in (BEFORE, AFTER)]
    said = sides[0]["quantity"].str.replace("_", " ") + sides[0]["modality"].map(
        lambda m: f", {m}" if isinstance(m, str) else ""
    )
    out = pd.DataFrame({"median": said, "year": sides[0]["year"]})
    for state, side in zip(names, sides, strict=True):
        out[state] = [with_error(m, e) for m, e in zip(side["median"], side["mcse_median"], strict=True)]
    for state, side in zip(names, sides, strict=True):
        ends = zip(*(side[name] for end in ("low_90", "high_90") for name in (end, f"mcse_{end}")), strict=True)
        out[f"90 % {state}"] = [f"{with_error(low, e)} to {with_error(high, f)}" for low, e, high, f in ends]
    out["unit"] = sides[0]["unit"]
    return out


def with_error(value: float, error: float) -> str:
    """A figure and its Monte-Carlo error as text, such as `827 ± 4`: no more decimals than the error warrants."""
    if not np.isfinite(error) or error <= 0:
        return short(value, 4)
    decimals = max(0, -int(np.floor(np.log10(error))))
    return f"{value:,.{decimals}f} ± {error:,.{decimals}f}"


# ---- why the total moved -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WeightedDraws:
    """Draws on one side of a move, and their weights [chain, draw], None where they are equal."""

    draws: Dataset
    weights: Array | None = None


def decomposition(before: WeightedDraws, after: WeightedDraws, ledger: Ledger) -> pd.DataFrame:
    """The move of the last year's mean total, in millions, split into patients, uptake and price of each modality.

    A modality's mean revenue is mean patients x the share of them treated x spend per treated patient, each a ratio of
    means, so the logarithmic-mean Divisia index (Ang 2004, Energy Policy 32, 1131) splits its move without a rest.
    Returns `part`, `modality`, `moves` and its Monte-Carlo error `mcse`, by leaving out blocks of draws (of both sides
    at once where they have the same draws), the largest first; empty where the draws lack patients or use.
    """
    if not all(name in side.draws for side in (before, after) for name in (v.REVENUE, v.PATIENTS, v.USE)):
        return pd.DataFrame(columns=["part", "modality", "moves", "mcse"])
    tables = [_means_by_draw(side.draws, ledger) for side in (before, after)]
    weights = [
        np.full(len(table), 1 / len(table)) if side.weights is None else side.weights.ravel()
        for table, side in zip(tables, (before, after), strict=True)
    ]
    paired = before.draws is after.draws
    whole = _split(*(w @ table for w, table in zip(weights, tables, strict=True)))
    variance = np.zeros_like(whole)
    for sides in ((0, 1),) if paired else ((0,), (1,)):
        parts = []
        for block in np.array_split(np.arange(len(tables[sides[0]])), JACKKNIFE):
            left = [w.copy() for w in weights]
            for side in sides:
                left[side][block] = 0.0
            parts.append(_split(*(w @ table / w.sum() for w, table in zip(left, tables, strict=True))))
        variance += np.var(parts, axis=0) * (JACKKNIFE - 1)
    errors = np.where(np.abs(whole) > 0, np.sqrt(variance), 0.0)
    rows = [
        {"part": part, "modality": m.name, "moves": whole[k, i], "mcse": errors[k, i]}
        for k, m in enumerate(ledger.modalities)
        for i, part in enumerate((BY_PATIENTS, BY_UPTAKE, BY_PRICE))
    ]
    table = pd.DataFrame(rows)
    return table.loc[table["moves"].abs().sort_values(ascending=False, kind="stable").index].reset_index(drop=True)


def _means_by_draw(draws: Dataset, ledger: Ledger) -> Array:
    """The last year's patients, and treated patients and revenue of each modality [draw, 1 + 2 x modality]."""
    last = draws[[v.PATIENTS, v.USE, v.REVENUE]].sel(year=ledger.report.anchors[-1])
    treated, revenue = (x.sum(_SEGMENTS) for x in (last[v.PATIENTS] * last[v.USE], last[v.REVENUE]))
    names = [m.name for m in ledger.modalities]
    return np.column_stack(
        [
            flat(last[v.PATIENTS].sum(_SEGMENTS)),
            *(flat(x.sel(modality=name)) for x in (treated, revenue) for name in names),
        ]
    )


def _split(before: Array, after: Array) -> Array:
    """Parts of the move of mean revenue [modality, part], from the means of :func:`_means_by_draw` on both sides."""
    count = (len(before) - 1) // 2
    (p0, t0, r0), (p1, t1, r1) = ((side[0], side[1 : 1 + count], side[1 + count :]) for side in (before, after))
    parts = np.zeros((count, 3))
    sold = (t0 > 0) & (t1 > 0) & (r0 > 0) & (r1 > 0)
    parts[~sold, 1] = (r1 - r0)[~sold]  # nothing on one side: its users came or went
    logs = np.stack(
        [
            np.full(count, np.log(p1 / p0)),
            *(
                np.log(np.divide(new, old, out=np.ones(count), where=sold))
                for new, old in ((t1 / p1, t0 / p0), (r1 * t0, r0 * t1))
            ),
        ],
        axis=1,
    )
    change = np.log(np.divide(r1, r0, out=np.ones(count), where=sold))
    level = np.divide(r1 - r0, change, out=r0.copy(), where=sold & (np.abs(change) > STILL))
    parts[sold] = (level[:, None] * logs)[sold]
    return parts


def said(parts: pd.DataFrame, table: pd.DataFrame) -> str:
    """One sentence on the move of the last year's total: its median, its mean, and the parts that clearly moved it."""
    year = table["year"].max()
    total = table[(table["quantity"] == TOTAL) & (table["year"] == year)].set_index("state")
    before, after = (with_error(float(total["median"][s]), float(total["mcse_median"][s])) for s in (BEFORE, AFTER))
    gap = float(total.loc[AFTER, "mean"] - total.loc[BEFORE, "mean"])
    first = f"The median of {year} goes from {before} to {after} {total['unit'].iloc[0]}"
    if parts.empty:
        return f"{first}."
    sums = parts.groupby("part", sort=False)["moves"].sum()
    shares = ", ".join(f"{name} {sums[name]:+,.1f}" for name in (BY_PATIENTS, BY_UPTAKE, BY_PRICE))
    clear = parts[parts["moves"].abs() > CLEARLY * parts["mcse"]]
    if clear.empty:
        most = "no part of it is clear of Monte-Carlo error"
    else:
        top = clear.iloc[0]
        most = f"most by {top['part']} of {top['modality']}, {top['moves']:+,.1f} ± {top['mcse']:,.1f}"
    return f"{first}; its mean moves by {gap:+,.1f}: {shares}; {most}."
