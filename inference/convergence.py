"""The convergence gate: which criteria a run meets, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xarray import DataTree

from postcgrp.inference.diagnostics import SAMPLE, Diagnostics, diagnostics

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
ONE_CHAIN = "R-hat needs two chains, to see whether they agree: use --chains 2 or more"


@dataclass(frozen=True)
class Check:
    """One criterion: the worst figure, where it occurs, the threshold that it must meet, and advice if it does not."""

    check: str
    passed: bool
    figure: float
    rule: str
    where: str
    advice: str


def gate(run: DataTree, free: Sequence[str], also: Sequence[str] = ()) -> tuple[Check, ...]:
    """The verdicts on a run, judged by its free variables and some derived ones; see :func:`gate_arrays`.

    Parameters: `run`, with `posterior` [chain, draw, ...] and `sample_stats`, and with `log_prior` and `log_likelihood`
    if these must be finite too; `free`, names of the free variables; `also`, names of derived ones.
    """
    densities = {
        f"{group}/{name}": values.values
        for group in ("log_prior", "log_likelihood")
        if group in run.children
        for name, values in run[group].to_dataset().items()
    }
    diverging = run["sample_stats"]["diverging"].transpose(*SAMPLE).values
    return gate_arrays({**_posterior(run), **densities}, diverging, free, also)


def gate_arrays(
    draws: Mapping[str, NDArray[Any]], diverging: NDArray[np.bool_], free: Sequence[str], also: Sequence[str] = ()
) -> tuple[Check, ...]:
    """The verdicts on draws, judged by the free variables, some derived ones, and the finiteness of all.

    Finiteness and movement are tested first, because a NaN or a constant passes comparisons of R-hat. A derived
    quantity that is the same in every draw, such as sales before a launch, has nothing to converge and is not judged.
    Parameters: `draws` [chain, draw, ...] by name; `diverging` [chain, draw]; `free`, names of the free variables;
    `also`, names of derived ones.
    """
    not_finite = {n: int((~np.isfinite(v)).sum()) for n, v in draws.items() if v.dtype.kind == "f"}
    checks = [_worst("finite", not_finite, "== 0 values not finite", lambda x: x == 0)]
    constant = {n: int((draws[n].max(axis=1) == draws[n].min(axis=1)).sum()) for n in free}
    checks.append(_worst("moving", constant, "== 0 constant chains", lambda x: x == 0))
    divergences = {f"chain {chain}": int(flags.sum()) for chain, flags in enumerate(diverging)}
    total = sum(divergences.values())
    most = max(divergences, key=lambda chain: divergences[chain])
    checks.append(_check("divergences", total, "== 0", most, passed=total == 0))
    if all(check.passed for check in checks[:2]):
        changing = {name: cells for name in also if (cells := _changing(draws[name])).size}
        diagnosed = _diagnose({**draws, **changing}, [*free, *changing])
        rhat = {name: figures.rhat.max() for name, figures in diagnosed.items()}
        alike = _worst("rhat", rhat, f"< {MAX_RHAT:g}", lambda x: x < MAX_RHAT)
        checks += [
            replace(alike, where="", advice=ONE_CHAIN) if len(diverging) == 1 else alike,
            _least("ess_bulk", {name: figures.ess_bulk.min() for name, figures in diagnosed.items()}),
            _least("ess_tail", {name: figures.ess_tail.min() for name, figures in diagnosed.items()}),
        ]
    return tuple(checks)


def passed(checks: Sequence[Check]) -> bool:
    """Whether every criterion is met, and none was skipped."""
    return len(checks) == len(ADVICE) and all(check.passed for check in checks)


def gate_table(checks: Sequence[Check]) -> pd.DataFrame:
    """The verdicts as a table, one row per criterion."""
    return pd.DataFrame([asdict(check) for check in checks])


def gate_said(checks: Sequence[Check]) -> str:
    """The verdict in one sentence: passed, or what was missed and what to do about the first of it."""
    failed = [check for check in checks if not check.passed]
    if passed(checks):
        return "The run passed its gate: its draws can be relied on."
    if not failed:
        return "The gate could not judge the run."
    missed = ", ".join(f"{check.check} {check.figure:.4g} ({check.rule})" for check in failed)
    return f"The run missed its gate: {missed}; {failed[0].advice}."


def parameters(run: DataTree) -> pd.DataFrame:
    """R-hat, bulk and tail ESS of the free parameters, one row per parameter."""
    posterior = run["posterior"].to_dataset()[[str(name) for name in run["log_prior"].data_vars]]
    rows = []
    for name, figures in _diagnose(_posterior(run), [str(name) for name in posterior]).items():
        values = posterior[name].isel(chain=0, draw=0)
        for where, *cells in zip(np.ndindex(values.shape), *figures, strict=True):
            at = [str(values[d].values[i]) for d, i in zip(values.dims, where, strict=True)]
            label = f"{name}[{', '.join(at)}]" if at else name
            rows.append({"parameter": label, **dict(zip(Diagnostics._fields, map(float, cells), strict=True))})
    return pd.DataFrame(rows)


def _posterior(run: DataTree) -> dict[str, NDArray[Any]]:
    values = run["posterior"].to_dataset().transpose(*SAMPLE, ...)
    return {str(name): array.values for name, array in values.items()}


def _changing(draws: NDArray[Any]) -> NDArray[Any]:
    """The cells [chain, draw, cell] of a quantity that are not the same in every draw."""
    flat = draws.reshape(*draws.shape[:2], -1)
    return np.asarray(flat[..., np.ptp(flat, axis=(0, 1)) > 0])


def _diagnose(draws: Mapping[str, NDArray[Any]], names: Sequence[str]) -> dict[str, Diagnostics]:
    """Figures of the named variables, each flat, from one call, which costs less than one call per variable."""
    flat = [draws[name].reshape(*draws[name].shape[:2], -1) for name in names]
    ends = np.cumsum([values.shape[-1] for values in flat])[:-1]
    figures = (np.split(figure, ends) for figure in diagnostics(np.concatenate(flat, axis=-1)))
    return {name: Diagnostics(*figure) for name, *figure in zip(names, *figures, strict=True)}


def _worst(check: str, figures: Mapping[str, float], rule: str, met: Callable[[float], bool]) -> Check:
    where = max(figures, key=lambda name: np.nan_to_num(figures[name], nan=np.inf))  # NaN is the worst
    return _check(check, figures[where], rule, where, passed=met(figures[where]))


def _least(check: str, figures: Mapping[str, float]) -> Check:
    where = min(figures, key=lambda name: np.nan_to_num(figures[name], nan=-np.inf))
    return _check(check, figures[where], f"> {MIN_ESS:g}", where, passed=figures[where] > MIN_ESS)


def _check(check: str, figure: float, rule: str, where: str, *, passed: bool) -> Check:
    return Check(check, bool(passed), float(figure), rule, where if figure else "", "" if passed else ADVICE[check])
