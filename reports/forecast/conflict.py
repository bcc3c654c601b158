"""Where prior and evidence disagree, from a run's own draws: each row of evidence, and each prior that was pulled away.

A row is compared with what the priors alone expect of it (Box 1980, JRSS A 143, 383): its replications under the prior,
with its own error and its source's. A prior is compared with its posterior: one whose middle lies in the prior's far
tail was overruled, and says which assumption a conflict may hang on. Neither needs a fit. What each claim owes to all
the others takes one refit a claim, and is part of `postcgrp sensitivity`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xarray import DataTree

from postcgrp.models import variables as v
from postcgrp.priors import PriorSet
from postcgrp.reports.forecast.numbers import number_of
from postcgrp.reports.runs.evidence import bounds, flat, rarer
from postcgrp.reports.runs.groups import group

Array = NDArray[np.float64]

DISAGREES = 0.05  # tail probability below which a row surprises the priors, or a posterior its prior
APART = 1e-3  # below which a failed gate is put down to the conflict
BLUNT_YEARS = 5.0  # what cannot tell a date from one so far off compares it with nothing
BLUNT = 5.0  # factor: what cannot tell a row from one so many times as large compares it with nothing
CONFLICT, NO_POWER, AGREES = "disagrees", "nothing to compare with", "agrees"
DISAGREEMENT_COLUMNS = ("kind", "name", "verdict", "p", "stated", "median", "low_90", "high_90", "unit", "notices")


def prior_evidence(run: DataTree, pset: PriorSet) -> pd.DataFrame:
    """Each row of evidence against the priors, then each prior whose posterior left it, the most surprising first.

    Returns the columns `DISAGREEMENT_COLUMNS`. Of a row (`kind` evidence): what it `stated`, and median and 90 %
    interval of what the priors expect; `p`, the chance under the priors of something as extreme; `notices`, by how many
    times as much or as little a row would have to differ from the median to have p below 0.05 (of a date: by how many
    years), so how much p can see; NaN of what bounds a launch.
    Of a prior: the middle of its posterior, and the prior's median and interval; `p` of the former under the latter.
    """
    rows = [*_rows(run, pset), *_pulled(run, pset)]
    return pd.DataFrame(rows, columns=list(DISAGREEMENT_COLUMNS))


def _rows(run: DataTree, pset: PriorSet) -> list[dict[str, Any]]:
    found = _bounds(run, pset)
    if not pset.measured or v.EVIDENCE not in run["prior_predictive"]:
        return found
    expected = group(run, "prior_predictive")[v.EVIDENCE]
    for row in pset.measured:
        logs = expected.sel({v.EVIDENCE_ROW: row.id}).values.ravel()
        logs = logs[np.isfinite(logs)]
        low, near, median, far, high = np.quantile(logs, [0.05, 0.025, 0.5, 0.975, 0.95])
        p, notices = _tail(logs, row.stated), max(far - median, median - near)
        blunt = notices > (BLUNT_YEARS if row.is_dated else np.log(BLUNT))
        verdict = CONFLICT if p < DISAGREES else NO_POWER if blunt else AGREES
        notices = float(notices if row.is_dated else np.exp(notices))
        figures = (verdict, p, row.value, *row.natural(np.array([median, low, high])).tolist(), row.unit, notices)
        found.append(dict(zip(DISAGREEMENT_COLUMNS, ("evidence", row.id, *figures), strict=True)))
    return sorted(found, key=lambda one: one["p"])


def _bounds(run: DataTree, pset: PriorSet) -> list[dict[str, Any]]:
    """What bounds launches, each row against the priors alone: `p` is the chance that it holds, or 1 if that is likely.

    The priors' success is given all bounds, so it is summed out here. Expected is the date of a launch that comes.
    """
    if not pset.bounds:
        return []
    before, found = group(run, "prior"), []
    for launch, rows in pset.bounds.items():
        part = bounds(before, pset, rows)
        chance = flat(before[v.SUCCESS_PROBABILITY].sel(launch=launch))
        for k, row in enumerate(rows):
            holds = float((1 - chance + chance * np.exp(part.log_holds[:, k])).mean())
            low, median, high = np.quantile(part.dates[:, k], [0.05, 0.5, 0.95])
            p = rarer(holds)
            verdict = CONFLICT if p < DISAGREES else AGREES
            figures = (verdict, p, row.stated, median, low, high, "year", np.nan)
            found.append(dict(zip(DISAGREEMENT_COLUMNS, ("evidence", row.id, *figures), strict=True)))
    return found


def _pulled(run: DataTree, pset: PriorSet) -> list[dict[str, Any]]:
    """Priors whose posterior lies in their tails, of each block the cell that does so most."""
    before, after = group(run, "prior"), group(run)
    found = []
    for name, block in pset.blocks.items():
        if name not in before or name not in after or before[name].dims != after[name].dims:
            continue
        cells = [values[name].transpose("chain", "draw", ...).values for values in (before, after)]
        prior, posterior = (x.reshape(x.shape[0] * x.shape[1], -1) for x in cells)
        middles = np.median(posterior, axis=0)
        tails = [_tail(prior[:, k], middles[k]) for k in range(len(middles))]
        if not tails or min(tails) >= DISAGREES:
            continue
        at = int(np.argmin(tails))
        where = np.unravel_index(at, cells[0].shape[2:])
        labels = [str(before[name][dim].values[i]) for dim, i in zip(before[name].dims[2:], where, strict=True)]
        low, median, high = np.quantile(prior[:, at], [0.05, 0.5, 0.95])
        label = f"{name}[{', '.join(labels)}]" if labels else name
        figures = (CONFLICT, tails[at], middles[at], median, low, high, block.priors[0].unit, np.nan)
        found.append(dict(zip(DISAGREEMENT_COLUMNS, ("prior", label, *figures), strict=True)))
    return sorted(found, key=lambda one: one["p"])


def _tail(draws: Array, value: float) -> float:
    """Two-sided tail probability of a value among draws; of one beyond them all, that of the last."""
    below = (draws < value).mean() + (draws == value).mean() / 2
    return float(min(1.0, 2 * max(min(below, 1 - below), 1 / (2 * len(draws)))))


def conflict_said(table: pd.DataFrame) -> str:
    """One sentence on a table of :func:`prior_evidence`."""
    rows, pulled = (table[table["kind"] == kind] for kind in ("evidence", "prior"))
    if rows.empty:
        return "There is no evidence for the priors to disagree with."
    against = rows[rows["verdict"] == CONFLICT]
    blind = (rows["verdict"] == NO_POWER).sum()
    unseen = f"; {blind} of {len(rows)} rows have no prior narrow enough to disagree with" if blind else ""
    if against.empty:
        return f"No row of evidence surprises the priors{unseen}."
    told = "; ".join(_against(row) for row in against.head(2).to_dict("records"))
    more = f" and {len(against) - 2} more" if len(against) > 2 else ""  # noqa: PLR2004
    overruled = f"; overruled: {', '.join(pulled['name'].head(3))}" if len(pulled) else ""
    return f"Prior and evidence disagree on {told}{more}{overruled}{unseen}."


def _against(row: dict[Any, Any]) -> str:
    ratio, years = row["stated"] / row["median"], row["unit"] == "year"
    apart = f"{abs(row['stated'] - row['median']):.1f} years" if years else f"{max(ratio, 1 / ratio):.2g} times"
    stated, low, high = (number_of(row[name], row["unit"]) for name in ("stated", "low_90", "high_90"))
    return (
        f"{row['name']} (stated {stated}, the priors expect {low} to {high} {row['unit']}, {apart} apart, p "
        f"{row['p']:.2g})"
    )


def advice_of_conflict(table: pd.DataFrame) -> str:
    """What a gate that failed should advise where prior and evidence are far apart; empty where they are not."""
    apart = table[(table["kind"] == "evidence") & (table["p"] < APART)]
    if apart.empty:
        return ""
    return (
        f"prior and evidence disagree, which no longer run mends: {_against(apart.iloc[0].to_dict())}: mend one of them"
    )
