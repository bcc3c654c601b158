"""The convergence gate: verdicts as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from arviz_stats import ess, rhat
from xarray import Dataset, DataTree

MAX_RHAT = 1.01
MIN_ESS = 400.0
ADVICE = {
    "finite": "a value is not finite: the model or its data are wrong, do not use the run",
    "moving": "a chain does not move: look at its starting point and step size, do not use the run",
    "divergences": "the geometry is bad: re-parametrise; a smaller step alone would hide it",
    "rhat": "chains disagree: run longer (--draws, --tune) or look for several modes",
    "ess_bulk": "too few effective draws for the centre: raise --draws",
    "ess_tail": "too few effective draws for the tails: raise --draws",
}


@dataclass(frozen=True)
class Check:
    """One criterion: the worst figure, where it is, the threshold it must meet, and what to do if not."""

    check: str
    passed: bool
    figure: float
    rule: str
    where: str
    advice: str


def gate(run: DataTree, free: Sequence[str], also: Sequence[str] = ()) -> tuple[Check, ...]:
    """Judge a run on every free variable and the named derived ones.

    Finiteness and movement come first, for a NaN or a constant passes comparisons of R-hat. Parameters: `run` with
    `posterior` [chain, draw, ...] and `sample_stats`; `free`, names of the free variables; `also`, derived ones.
    """
    names = [*free, *also]
    draws = run["posterior"].to_dataset()[names]
    everything = run["posterior"].to_dataset()
    not_finite = {str(n): int((~np.isfinite(v)).sum()) for n, v in everything.items() if v.dtype.kind == "f"}
    checks = [_worst("finite", not_finite, "== 0 values not finite", lambda x: x == 0)]
    constant = {n: int((draws[n].max("draw") == draws[n].min("draw")).sum()) for n in free}
    checks.append(_worst("moving", constant, "== 0 constant chains", lambda x: x == 0))
    stats = run["sample_stats"].to_dataset()
    diverging = {f"chain {int(c)}": int(stats["diverging"].sel(chain=c).sum()) for c in stats["chain"]}
    total = sum(diverging.values())
    most = max(diverging, key=lambda chain: diverging[chain])
    checks.append(_check("divergences", total, "== 0", most, passed=total == 0))
    if all(check.passed for check in checks[:2]):
        checks += [
            _worst("rhat", _by_name(rhat(draws), np.max), f"< {MAX_RHAT:g}", lambda x: x < MAX_RHAT),
            _least("ess_bulk", _by_name(ess(draws, method="bulk"), np.min)),
            _least("ess_tail", _by_name(ess(draws, method="tail"), np.min)),
        ]
    return tuple(checks)


def passed(checks: Sequence[Check]) -> bool:
    """Whether every criterion is met, and none was skipped."""
    return len(checks) == len(ADVICE) and all(check.passed for check in checks)


def table(checks: Sequence[Check]) -> pd.DataFrame:
    """The verdicts, one row a criterion."""
    return pd.DataFrame([asdict(check) for check in checks])


def parameters(run: DataTree) -> pd.DataFrame:
    """R-hat, bulk and tail ESS of every free parameter, one row each."""
    draws = run["posterior"].to_dataset()[[str(name) for name in run["log_prior"].data_vars]]
    figures = {"rhat": rhat(draws), "ess_bulk": ess(draws, method="bulk"), "ess_tail": ess(draws, method="tail")}
    rows = []
    for name, values in figures["rhat"].items():
        for where in np.ndindex(values.shape):
            cell = {str(d): values[d].values[i] for d, i in zip(values.dims, where, strict=True)}
            label = f"{name}[{', '.join(map(str, cell.values()))}]" if cell else str(name)
            rows.append({"parameter": label, **{key: float(ds[name].values[where]) for key, ds in figures.items()}})
    return pd.DataFrame(rows)


def _by_name(dataset: Dataset, reduce: Callable[[Any], Any]) -> dict[str, float]:
    return {str(name): float(reduce(values.values)) for name, values in dataset.items()}


def _worst(check: str, figures: Mapping[str, float], rule: str, met: Callable[[float], bool]) -> Check:
    where = max(figures, key=lambda name: np.nan_to_num(figures[name], nan=np.inf))  # no figure is the worst figure
    return _check(check, figures[where], rule, where, passed=met(figures[where]))


def _least(check: str, figures: Mapping[str, float]) -> Check:
    where = min(figures, key=lambda name: np.nan_to_num(figures[name], nan=-np.inf))
    return _check(check, figures[where], f"> {MIN_ESS:g}", where, passed=figures[where] > MIN_ESS)


def _check(check: str, figure: float, rule: str, where: str, *, passed: bool) -> Check:
    return Check(check, passed, float(figure), rule, where if figure else "", "" if passed else ADVICE[check])
