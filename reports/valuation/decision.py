"""A decision among alternatives on joint draws: which is best, how surely, what a wrong choice costs, and for whom.

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
from postcgrp.priors import InputError

Array = NDArray[np.float64]

QUANTILES = (0.05, 0.5, 0.95)
SURE = 2.0  # standard errors from which one alternative counts as better than another
MIN_DRAWS = 20
ROUNDING = 1e-14  # of a constant's size: it has no error
YES, NO, CLOSE = "yes", "no", "too close to call"


@dataclass(frozen=True)
class Outcomes:
    """Net benefit of each alternative: `values` [draw, alternative], chain after chain where there are several."""

    alternatives: tuple[str, ...]
    values: Array
    chains: int = 1

    @property
    def best(self) -> int:
        """Index of the alternative with the highest mean."""
        return int(self.values.mean(axis=0).argmax())


NetBenefit = Outcomes | pd.DataFrame | DataArray


class View(Protocol):
    """How a decision maker values an uncertain outcome."""

    @property
    def name(self) -> str:
        """What the tables call it."""

    def value(self, outcome: Array) -> tuple[float, Array]:
        """Certainty equivalent of an outcome [draw], and each draw's influence on it [draw] for its error."""


@dataclass(frozen=True)
class Neutral:
    """The mean, whatever the spread."""

    name: str = "risk-neutral"

    def value(self, outcome: Array) -> tuple[float, Array]:
        """The mean, and the draws themselves."""
        return float(outcome.mean()), outcome


@dataclass(frozen=True)
class CARA:
    """Constant absolute risk aversion: utility -exp(-coefficient x); `coefficient` in one over the outcome's unit.

    Its inverse, the risk tolerance, is roughly the sum one would stake on even odds to win it or lose half of it
    (Howard 1988, Management Science 34(6)).
    """

    coefficient: float

    def __post_init__(self) -> None:
        _check_coefficient("CARA", self.coefficient)

    @property
    def name(self) -> str:
        """With its coefficient."""
        return f"CARA {self.coefficient:g}"

    def value(self, outcome: Array) -> tuple[float, Array]:
        """Certainty equivalent -log mean exp(-a x) / a, and the influence of each draw on it."""
        a = self.coefficient
        if a == 0:
            return Neutral().value(outcome)
        sure = float((np.log(len(outcome)) - logsumexp(-a * outcome)) / a)
        return sure, -np.exp(-a * (outcome - sure)) / a


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
        """With its coefficient and wealth."""
        return f"CRRA {self.coefficient:g}, wealth {self.wealth:g}"

    def value(self, outcome: Array) -> tuple[float, Array]:
        """Certainty equivalent of the outcome, and the influence of each draw on it.

        Raises :class:`InputError` where a draw leaves no wealth: no utility of this kind is defined there.
        """
        owned = self.wealth + outcome
        if (least := float(owned.min())) <= 0:
            raise InputError(
                f"CRRA wealth {self.wealth:g}: an outcome of {outcome.min():,.6g} would leave {least:,.6g}, "
                f"but wealth must stay positive in every draw: give more than {-outcome.min():,.6g}, or use CARA"
            )
        power, logs = 1 - self.coefficient, np.log(owned)
        if power == 0:
            log_sure = float(logs.mean())
            return float(np.expm1(log_sure - np.log(self.wealth)) * self.wealth), np.exp(log_sure) * (logs - log_sure)
        log_sure = float((logsumexp(power * logs) - np.log(len(logs))) / power)
        sure = float(np.expm1(log_sure - np.log(self.wealth)) * self.wealth)
        return sure, np.exp(log_sure + power * (logs - log_sure)) / power


def outcomes(net_benefit: NetBenefit, chains: int = 1) -> Outcomes:
    """Check and unify what the functions of value of information and decisions take.

    Parameters: `net_benefit`, a DataFrame with a row for each draw and a column for each alternative, or a DataArray
    with dims ([chain,] draw, alternative); `chains`, how many equally long chains the rows of a DataFrame are.
    Raises :class:`InputError` for fewer than two alternatives, too few draws, or what is no finite number.
    """
    if isinstance(net_benefit, Outcomes):
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
    if len(values) < MIN_DRAWS:
        raise InputError(f"{len(values)} draws: at least {MIN_DRAWS} are needed: give more draws")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise InputError(f"{names[column]}, draw {row + 1}: {values[row, column]} is no finite number: mend or drop it")
    if chains < 1 or len(values) % chains:
        raise InputError(f"{len(values)} draws in {chains} chains: chains must be equally long: give their number")
    return Outcomes(names, values, chains)


def mc_error(values: Array, chains: int = 1) -> float:
    """Monte-Carlo standard error of the mean of `values` [draw], by the effective number of draws (Geyer 1992)."""
    spread = float(values.std(ddof=1))
    if spread <= ROUNDING * float(np.abs(values).max()):
        return 0.0
    effective = ess_mean(values.reshape(chains, -1))
    # Draws that repel each other would count for more; an error is better too large.
    return float(spread / np.sqrt(min(effective, len(values)) if effective > 0 else 1.0))


def decision_table(net_benefit: NetBenefit, chains: int = 1) -> pd.DataFrame:
    """One row an alternative, the best first: expected value, P(best), expected loss of choosing it, quantiles.

    The expected (opportunity) loss is how much better the best alternative of each draw does, on average; the
    smallest of them is the EVPI. Draws in which several are best count for each in equal parts. Parameters: see
    :func:`outcomes`. `se`, `p_se` and `loss_se` are Monte-Carlo errors.
    """
    drawn = outcomes(net_benefit, chains)
    top = drawn.values.max(axis=1, keepdims=True)
    ties = drawn.values == top
    share, loss = ties / ties.sum(axis=1, keepdims=True), top - drawn.values
    quantiles = np.quantile(drawn.values, QUANTILES, axis=0)
    rows = [
        {
            "alternative": name,
            "expected": drawn.values[:, k].mean(),
            "se": mc_error(drawn.values[:, k], drawn.chains),
            "p_best": share[:, k].mean(),
            "p_se": mc_error(share[:, k], drawn.chains),
            "expected_loss": loss[:, k].mean(),
            "loss_se": mc_error(loss[:, k], drawn.chains),
            **{f"q{round(100 * q):02d}": value for q, value in zip(QUANTILES, quantiles[:, k], strict=True)},
        }
        for k, name in enumerate(drawn.alternatives)
    ]
    return pd.DataFrame(rows).sort_values("expected", ascending=False, kind="stable", ignore_index=True)


def risk_averse(net_benefit: NetBenefit, views: Sequence[View], chains: int = 1) -> pd.DataFrame:
    """Certainty equivalent of each alternative in each view, one row each, and whether the view would choose it.

    The certainty equivalent is the sure sum that is worth as much as the uncertain outcome; `premium` is how far it
    is below the mean. Raises :class:`InputError`, see :class:`CRRA`.
    """
    drawn = outcomes(net_benefit, chains)
    rows = []
    for view in views:
        found = [view.value(column) for column in drawn.values.T]
        chosen = int(np.argmax([sure for sure, _ in found]))
        rows += [
            {
                "view": view.name,
                "alternative": name,
                "certainty_equivalent": sure,
                "se": mc_error(influence, drawn.chains),
                "premium": float(column.mean()) - sure,
                "chosen": k == chosen,
            }
            for k, (name, column, (sure, influence)) in enumerate(
                zip(drawn.alternatives, drawn.values.T, found, strict=True)
            )
        ]
    return pd.DataFrame(rows)


def robustness(
    sets: Mapping[str, NetBenefit], view: View | None = None, reference: str | None = None, chains: int = 1
) -> pd.DataFrame:
    """Does the choice made under one prior set survive under the others? One row a prior set.

    Parameters: `sets`, the draws of the same alternatives by prior set (the sets' draws need not be paired); `view`,
    risk-neutral by default; `reference`, the set whose best alternative is put to the test, by default the first.
    Columns: the set's own best alternative; P(best) and expected loss of the tested `choice`; `lead`, how far the
    choice is ahead of the best other one (negative: behind), with its error; `survives`: yes, no, or too close to call
    within two standard errors. Raises :class:`InputError` where alternatives differ among sets.
    """
    view = view or Neutral()
    drawn = {name: outcomes(each, chains) for name, each in sets.items()}
    if not drawn or (reference is not None and reference not in drawn):
        raise InputError(f"prior set {reference!r}: is not among {', '.join(drawn) or 'none'}: name one of them")
    tested = drawn[reference if reference is not None else next(iter(drawn))]
    for name, each in drawn.items():
        if {*each.alternatives} != {*tested.alternatives}:
            raise InputError(
                f"prior set {name!r}: its alternatives differ from the others': price the same deals on each"
            )
    choice = tested.alternatives[int(np.argmax([view.value(column)[0] for column in tested.values.T]))]
    rows = []
    for name, each in drawn.items():
        found = dict(zip(each.alternatives, (view.value(column) for column in each.values.T), strict=True))
        order = sorted(found, key=lambda alternative: -found[alternative][0])
        rival = next(alternative for alternative in order if alternative != choice)
        lead, error = found[choice][0] - found[rival][0], mc_error(found[choice][1] - found[rival][1], each.chains)
        beliefs = decision_table(each).set_index("alternative")
        rows.append(
            {
                "prior_set": name,
                "choice": choice,
                "value": found[choice][0],
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
