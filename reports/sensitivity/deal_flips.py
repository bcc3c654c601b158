"""What would change the sign of a deal's value: each assumption moved alone, and two at once where one cannot."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from xarray import DataTree

from postcgrp.inference.diagnostics import mcse_mean
from postcgrp.inference.psis import Array, Weights, reweight
from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.runs.run import Run
from postcgrp.reports.sensitivity.flip import FARTHEST, GRID_STEP, guess_from_draws
from postcgrp.reports.sensitivity.tornado import ElicitedNumber, log_ratio, shift_prior
from postcgrp.reports.valuation.deal import Deal
from postcgrp.reports.valuation.valuation import price

PAIRED = 6  # numbers that move a deal most, tried two at a time
PROBE = 0.5  # prior sds by which a number is moved to see what it does
FLIPS_SIGN, OUT_OF_REACH = "flips", "stored draws do not reach it"


def deal_flips(run: Run, deal: Deal, numbers: Sequence[ElicitedNumber], seed: int = 1) -> pd.DataFrame:
    """The smallest shift of each number that takes a deal's mean rNPV across zero, the smallest first.

    On stored draws under importance weights, as far as Pareto k trusts them: nothing is fitted again. Where no number
    alone does it, pairs of those that move it most are moved by as many prior sds each. Returns `input`, `unit`,
    `value_now`, `flips_at_sds` and `value` there (of a pair, of the first), `rnpv_now`, its error, and the `outcome`:
    flips, or why nobody can tell.
    """
    tree, pset = run.tree, run.priors
    rnpv = price(run, deal, seed).rnpv.reshape(run.sizes)
    now = {"rnpv_now": float(rnpv.mean()), "rnpv_now_se": mcse_mean(rnpv)}
    rows = []
    for number in numbers:
        sds, how = guess_from_draws(tree, pset, number, rnpv, 0.0)
        rows.append(_row(number.name, number, sds, how) | now)
    if not any(row["outcome"] == FLIPS_SIGN for row in rows):
        rows += [row | now for row in _pairs(tree, pset, numbers, rnpv)]
    table = pd.DataFrame(rows)
    return table.loc[table["flips_at_sds"].abs().sort_values(na_position="last").index].reset_index(drop=True)


def _row(name: str, number: ElicitedNumber, sds: float | None, how: str) -> dict[str, object]:
    return {
        "input": name,
        "unit": number.prior.unit,
        "value_now": number.value(),
        "flips_at_sds": np.nan if sds is None else sds,
        "value": np.nan if sds is None else number.value(sds),
        "outcome": OUT_OF_REACH if sds is None else FLIPS_SIGN,
        "how": how,
    }


def _pairs(tree: DataTree, pset: PriorSet, numbers: Sequence[ElicitedNumber], rnpv: Array) -> list[dict[str, object]]:
    """Pairs that flip a deal, each number moved by as many prior sds in the direction that helps."""
    start = float(rnpv.mean())
    helps: dict[str, float] = {}
    for number in numbers:
        weights = _moved(tree, pset, [(number, PROBE)])
        if weights is not None:
            helps[number.name] = -np.sign(start) * (float((weights.values * rnpv).sum()) - start)
    best = sorted((n for n in numbers if n.name in helps), key=lambda n: -abs(helps[n.name]))[:PAIRED]
    found = []
    for pair in combinations(best, 2):
        for step in np.arange(GRID_STEP, FARTHEST + GRID_STEP / 2, GRID_STEP):
            weights = _moved(tree, pset, [(n, float(np.sign(helps[n.name]) * step)) for n in pair])
            if weights is None:
                break
            if float((weights.values * rnpv).sum()) * start <= 0:
                name = " and ".join(f"{n.name} ({np.sign(helps[n.name]) * step:+.2g} sd)" for n in pair)
                sds = float(np.sign(helps[pair[0].name]) * step)
                found.append(_row(name, pair[0], sds, f"stored draws: Pareto k {weights.k:.2f}"))
                break
    return found


def _moved(tree: DataTree, pset: PriorSet, shifts: Sequence[tuple[ElicitedNumber, float]]) -> Weights | None:
    """Weights under the numbers moved by so many prior sds each; None where they cannot be had or trusted."""
    total = np.zeros(1)
    for number, sds in shifts:
        try:
            ratio = log_ratio(tree, pset, number, shift_prior(pset, number, sds))
        except InputError:
            return None
        if ratio is None:
            return None
        total = total + ratio
    weights = reweight(total)
    return None if weights.refused else weights
