"""What would change the sign of a deal's value: each assumption moved alone, and two at once where one cannot."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import pandas as pd
from xarray import DataTree

from postcgrp.inference.diagnostics import mcse_mean
from postcgrp.inference.psis import Array
from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.runs.run import Run
from postcgrp.reports.sensitivity.moves import Move, guess_from_draws, steepest_pairs
from postcgrp.reports.sensitivity.tornado import ElicitedNumber
from postcgrp.reports.valuation.deal import Deal
from postcgrp.reports.valuation.valuation import price

PROBE = 0.5  # prior sds by which a number is moved to see what it does
FLIPS_SIGN, OUT_OF_REACH = "flips", "stored draws do not reach it"


def deal_flips(run: Run, deal: Deal, numbers: Sequence[ElicitedNumber], seed: int = 1) -> pd.DataFrame:
    """The smallest shift of each number that takes a deal's mean rNPV across zero, the smallest first.

    On stored draws under importance weights, as far as Pareto k trusts them: nothing is fitted again. Where no number
    alone does it, pairs of those that move it most are moved along the gradient, and `flips_at_sds` is the length of
    that move (:class:`Move`). Returns `input`, `unit`, `value_now`, `flips_at_sds` and `value` there (of a pair, of the
    first), `rnpv_now`, its error, and the `outcome`: flips, or why nobody can tell.
    """
    tree, pset = run.tree, run.priors
    rnpv = price(run, deal, seed).rnpv.reshape(run.sizes)
    now = {"rnpv_now": float(rnpv.mean()), "rnpv_now_se": mcse_mean(rnpv)}
    rows = []
    for number in numbers:
        sds, how = guess_from_draws(tree, pset, Move((number,)), rnpv, 0.0)
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
    """Pairs that flip a deal, each moved along the gradient of its mean rNPV."""
    start, slopes = float(rnpv.mean()), dict[str, float]()
    for number in numbers:
        with suppress(InputError):
            weights = Move((number,)).weights(tree, pset, PROBE)
            if weights is not None and not weights.refused:
                slopes[number.name] = (float((weights.values * rnpv).sum()) - start) / PROBE
    found = []
    for move in steepest_pairs(numbers, slopes, -start):
        sds, how = guess_from_draws(tree, pset, move, rnpv, 0.0)
        if sds is not None:
            first = move.parts[0] * sds
            row = _row(move.said(sds), move.numbers[0], first, how)
            found.append(row | {"flips_at_sds": sds})
    return found
