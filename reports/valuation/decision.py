"""A decision among alternatives on joint draws: which is best, how surely, and what a wrong choice costs.

Every function takes the outcome of each alternative in each draw. Passing is an alternative like any other: a column
of zeros. Outcomes keep their unit throughout (here: NPV in millions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp
from xarray import DataArray

from postcgrp.inference.diagnostics import ess_mean
from postcgrp.inference.estimates import SUMMARY_QUANTILES
from postcgrp.priors import InputError
from postcgrp.reports.forecast.numbers import short

Array = NDArray[np.float64]

SURE = 2.0  # standard errors by which one alternative must be ahead to count as better
FEWEST_DRAWS = 20
CONSTANT = 1e-14  # relative spread up to which draws are a constant, which has no error
YES, NO, CLOSE = "yes", "no", "too close to call"


@dataclass(frozen=True)
class Decision:
    """The net benefit of each alternative in each draw: `values` [draw, alternative], one chain after another."""

    alternatives: tuple[str, ...]
    values: Array
    chains: int = 1

    @property
    def best(self) -> int:
        """Index of the alternative with the highest mean."""
        return int(self.values.mean(axis=0).argmax())


NetBenefit = Decision | pd.DataFrame | DataArray


class View(Protocol):
    """An attitude to risk: how a decision maker values an uncertain outcome."""

    @property
    def name(self) -> str:
        """Its name in tables."""

    def value(self, outcome: Array) -> tuple[float, Array]:
        """The certainty equivalent of an outcome [draw], and the influence of each draw on it [draw], for its error."""


@dataclass(frozen=True)
class Neutral:
    """The mean, whatever the spread."""

    name: str = "risk-neutral"

    def value(self, outcome: Array) -> tuple[float, Array]:
        """The mean, which each draw influences by itself."""
        return float(outcome.mean()), outcome


@dataclass(frozen=True)
class CARA:
    """Constant absolute risk aversion: utility -exp(-coefficient x); `coefficient` in one over the outcome's unit.

    Its inverse, the risk tolerance, is roughly the sum that one would just stake on even odds of winning it or losing
    half of it (Howard 1988, Management Science 34(6)).
    """

    coefficient: float

    def __post_init__(self) -> None:
        _check_coefficient("CARA", self.coefficient)

    @property
    def name(self) -> str:
        """The kind of utility and its coefficient."""
        return f"CARA {self.coefficient:g}"

    def value(self, outcome: Array) -> tuple[float, Array]:
        """The certainty equivalent -log mean exp(-a x) / a, and the influence of each draw on it [draw]."""
        a = self.coefficient
        if a == 0:
            return Neutral().value(outcome)
        equivalent = float((np.log(len(outcome)) - logsumexp(-a * outcome)) / a)
        return equivalent, -np.exp(-a * (outcome - equivalent)) / a


@dataclass(frozen=True)
class CRRA:
    """Constant relative risk aversion over `wealth` + x (the outcome's unit): utility (wealth + x)^(1-g) / (1-g)."""

    coefficient: float
    wealth: float

    def __post_init__(self) -> None:
        _check_coefficient("CRRA", self.coefficient)
        if not (np.isfinite(self.wealth) and self.wealth > 0):
            raise InputError(f"CRRA wealth {self.wealth:g}: must be positive: give what the decision maker owns")

    @property
    def name(self) -> str:
        """The kind of utility, its coefficient and the wealth."""
        return f"CRRA {self.coefficient:g}, wealth {self.wealth:g}"

    def value(self, outcome: Array) -> tuple[float, Array]:
        """The certainty equivalent of an outcome [draw], and the influence of each draw on it [draw].

        Raises :class:`InputError` if a draw leaves no wealth, for which this utility is not defined.
        """
        owned = self.wealth + outcome
        if (least := float(owned.min())) <= 0:
            raise InputError(
                f"CRRA wealth {self.wealth:g}: an outcome of {outcome.min():,.6g} would leave {least:,.6g}, "
                f"but wealth must stay positive in every draw: give more than {-outcome.min():,.6g}, or use CARA"
            )
        power, logs = 1 - self.coefficient, np.log(owned)
        if power == 0:
            log_equivalent = float(logs.mean())
            influence = np.exp(log_equivalent) * (logs - log_equivalent)
        else:
            log_equivalent = float((logsumexp(power * logs) - np.log(len(logs))) / power)
            influence = np.exp(log_equivalent + power * (logs - log_equivalent)) / power
        return float(np.expm1(log_equivalent - np.log(self.wealth)) * self.wealth), influence


def as_decision(net_benefit: NetBenefit, chains: int = 1) -> Decision:
    """The decision that net benefits describe, checked.

    Parameters: `net_benefit`, a DataFrame with one row per draw and one column per alternative, or a DataArray with
    dims ([chain,] draw, alternative); `chains`, into how many equally long chains the rows of a DataFrame fall. Raises
    :class:`InputError` for fewer than two alternatives, too few draws, or numbers that are not finite.
    """
    if isinstance(net_benefit, Decision):
        return net_benefit
    if isinstance(net_benefit, DataArray):
        dims = [dim for dim in ("chain", "draw", "alternative") if dim in net_benefit.dims]
        if {*net_benefit.dims} != {*dims} or not {"draw", "alternative"} <= {*dims}:
            raise InputError(
                f"net benefit has dims {net_benefit.dims}: give (draw, alternative), before them chain if any"
            )
        ordered = net_benefit.transpose(*dims)
        names = tuple(map(str, ordered["alternative"].values))
        chains = ordered.sizes.get("chain", chains)
        values = np.asarray(ordered.values, dtype=float).reshape(-1, len(names))
    else:
        names, values = tuple(map(str, net_benefit.columns)), net_benefit.to_numpy(dtype=float)
    if len(names) < 2:  # noqa: PLR2004
        raise InputError(f"{len(names)} alternative(s): a decision needs two: add a column of zeros for passing")
    if repeated := [name for name in names if names.count(name) > 1]:
        raise InputError(f"alternative {repeated[0]!r} stands twice: give each alternative its own name")
    if len(values) < FEWEST_DRAWS:
        raise InputError(f"{len(values)} draws: at least {FEWEST_DRAWS} are needed: give more draws")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise InputError(
            f"{names[column]}, draw {row + 1}: {values[row, column]} is not a finite number: mend or drop it"
        )
    if chains < 1 or len(values) % chains:
        raise InputError(f"{len(values)} draws in {chains} chains: chains must be equally long: give their number")
    return Decision(names, values, chains)


def mc_error(values: Array, chains: int = 1) -> float:
    """Monte-Carlo standard error of the mean of `values` [draw], from the effective number of draws (Geyer 1992)."""
    spread = float(values.std(ddof=1))
    if spread <= CONSTANT * float(np.abs(values).max()):
        return 0.0
    effective = ess_mean(values.reshape(chains, -1))
    # Antithetic draws could count for more than they are; an error that is too large does less harm.
    return float(spread / np.sqrt(min(effective, len(values)) if effective > 0 else 1.0))


def decision_table(net_benefit: NetBenefit, chains: int = 1) -> pd.DataFrame:
    """One row per alternative, the best first: expected value, P(best), expected loss of choosing it, quantiles.

    The expected (opportunity) loss is how much better the best alternative of each draw does, on average; the
    smallest of them is the EVPI. A draw in which several are best counts for each in equal parts. Parameters: see
    :func:`as_decision`. `se`, `p_se` and `loss_se` are Monte-Carlo errors.
    """
    decision = as_decision(net_benefit, chains)
    top = decision.values.max(axis=1, keepdims=True)
    ties = decision.values == top
    share, loss = ties / ties.sum(axis=1, keepdims=True), top - decision.values
    quantiles = np.quantile(decision.values, SUMMARY_QUANTILES, axis=0)
    rows = [
        {
            "alternative": name,
            "expected": decision.values[:, k].mean(),
            "se": mc_error(decision.values[:, k], decision.chains),
            "p_best": share[:, k].mean(),
            "p_se": mc_error(share[:, k], decision.chains),
            "expected_loss": loss[:, k].mean(),
            "loss_se": mc_error(loss[:, k], decision.chains),
            **{f"q{round(100 * q):02d}": value for q, value in zip(SUMMARY_QUANTILES, quantiles[:, k], strict=True)},
        }
        for k, name in enumerate(decision.alternatives)
    ]
    return pd.DataFrame(rows).sort_values("expected", ascending=False, kind="stable", ignore_index=True)


def decision_said(table: pd.DataFrame, unit: str) -> str:
    """The first clause on a table of :func:`decision_table`: what is best on average, and how surely."""
    best = table.iloc[0]
    told = f"{best['alternative']} is best on average ({short(best['expected'])} {unit})"
    return f"{told} and in {best['p_best']:.0%} of draws"


def risk_averse(net_benefit: NetBenefit, views: Sequence[View], chains: int = 1) -> pd.DataFrame:
    """One row per view and alternative: its certainty equivalent, and whether the view would choose it.

    The certainty equivalent is the sure sum that is worth as much as the uncertain outcome; `premium` is how far it
    lies below the mean. Raises :class:`InputError`, see :class:`CRRA`.
    """
    decision = as_decision(net_benefit, chains)
    rows = []
    for view in views:
        appraised = [view.value(column) for column in decision.values.T]
        chosen = int(np.argmax([equivalent for equivalent, _ in appraised]))
        rows += [
            {
                "view": view.name,
                "alternative": name,
                "certainty_equivalent": equivalent,
                "se": mc_error(influence, decision.chains),
                "premium": float(column.mean()) - equivalent,
                "chosen": k == chosen,
            }
            for k, (name, column, (equivalent, influence)) in enumerate(
                zip(decision.alternatives, decision.values.T, appraised, strict=True)
            )
        ]
    return pd.DataFrame(rows)


def robustness(
    sets: Mapping[str, NetBenefit], view: View | None = None, reference: str | None = None, chains: int = 1
) -> pd.DataFrame:
    """Whether the choice made under one prior set survives under the others; one row per prior set.

    Parameters: `sets`, the net benefits of the same alternatives by prior set (draws need not be paired); `view`,
    risk-neutral by default; `reference`, the set whose best alternative is tested, by default the first. Columns:
    `choice`, that alternative, with its value, P(best) and expected loss; `best`, the set's own; `lead`, how far the
    choice is ahead of its best rival (negative: behind), with its error; `survives`: yes, no, or too close to call
    within two standard errors. Raises :class:`InputError` if alternatives differ among sets.
    """
    view = view or Neutral()
    decisions = {name: as_decision(each, chains) for name, each in sets.items()}
    if not decisions or (reference is not None and reference not in decisions):
        raise InputError(f"prior set {reference!r}: is not among {', '.join(decisions) or 'none'}: name one of them")
    tested = decisions[reference if reference is not None else next(iter(decisions))]
    for name, decision in decisions.items():
        if {*decision.alternatives} != {*tested.alternatives}:
            raise InputError(
                f"prior set {name!r}: its alternatives differ from the others': price the same deals on each"
            )
    choice = tested.alternatives[int(np.argmax([view.value(column)[0] for column in tested.values.T]))]
    rows = []
    for name, decision in decisions.items():
        appraised = dict(zip(decision.alternatives, (view.value(column) for column in decision.values.T), strict=True))
        order = sorted(appraised, key=lambda alternative: -appraised[alternative][0])
        rival = next(alternative for alternative in order if alternative != choice)
        lead = appraised[choice][0] - appraised[rival][0]
        error = mc_error(appraised[choice][1] - appraised[rival][1], decision.chains)
        beliefs = decision_table(decision).set_index("alternative")
        rows.append(
            {
                "prior_set": name,
                "choice": choice,
                "value": appraised[choice][0],
                "p_best": beliefs.loc[choice, "p_best"],
                "expected_loss": beliefs.loc[choice, "expected_loss"],
                "best": order[0],
                "lead": lead,
                "se": error,
                "survives": CLOSE if abs(lead) <= SURE * error else YES if lead > 0 else NO,
            }
        )
    return pd.DataFrame(rows)


def _check_coefficient(kind: str, coefficient: float) -> None:
    if not (np.isfinite(coefficient) and coefficient >= 0):
        raise InputError(f"{kind} coefficient {coefficient:g}: must be zero (risk-neutral) or more: give its size")
