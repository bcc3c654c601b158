"""Value of information: what it is worth to learn something before deciding, from joint draws alone.

EVPI is the value of learning everything, EVPPI of learning some inputs exactly (by regression: Strong, Oakley & Brennan
2014, Medical Decision Making 34(3), "MDM"), EVSI of running a study (Strong, Oakley, Brennan & Breeze 2015, MDM 35(5)).
All are in the unit of the net benefit. In what is reported here

    0 <= EVPPI(A) <= EVPPI(A and B) <= EVPI    and    0 <= EVSI(study) <= EVPPI(what it measures)

hold exactly, as they do in theory, although a regression alone guarantees only the first. Whoever knows A and B may
always decide as if knowing only A, so the value of a set is the largest that the regressions on its subsets find, cut
off at the EVPI of the same draws. The price is a little more upward bias; every row also shows what the regression on
the set itself found (`raw`) and the subset that decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from postcgrp.inference.progress import Progress
from postcgrp.priors import InputError
from postcgrp.reports.valuation.decision import SURE, Decision, NetBenefit, as_decision, mc_error
from postcgrp.reports.valuation.regression import BASES, Regression, fit, neighbour_covariance, posterior_means

Array = NDArray[np.float64]
InputDraws = Mapping[str, ArrayLike]

CLOSED = {"spline": 8, "gp": 5}  # most inputs of a set of which every subset is tried
POSTERIOR_DRAWS = 200  # of the fitted means, for standard error and bias
NUMBERS_AT_A_TIME = 4_000_000  # of these draws in memory
LEFT_IN_RESIDUALS = 0.05  # share of explainable variance: advice is given if the residuals keep more
ALIKE = 4.0  # z-score from which neighbouring residuals count as alike
BIASED = 0.05  # of the value
RESIDUAL_BINS = 20


@dataclass(frozen=True)
class Information:
    """What learning something is worth, and how far to trust the figure.

    Attributes: `value` with its standard error `se` (regression and Monte Carlo, see docs/voi.md) and upward `bias`;
    `share` of the EVPI; `raw`, what the regression on exactly `learned` found before the bounds; `decisive`, the subset
    or bound that set the value instead; `missed`, the share of explainable variance left in the residuals, with its
    z-score `z`; `advice`, empty if all is well. Of a study: its `cost`, its `delay` in years, and `net`, what running
    it is worth beside deciding now, see :func:`net_worth`.
    """

    name: str
    kind: Literal["EVPI", "EVPPI", "EVSI"]
    learned: tuple[str, ...]
    value: float
    se: float
    share: float
    method: str
    raw: float
    bias: float = 0.0
    decisive: str = ""
    missed: float = 0.0
    z: float = 0.0
    advice: str = ""
    cost: float = 0.0
    delay: float = 0.0
    net: float | None = None


@dataclass(frozen=True)
class Study:
    """A study to run before deciding.

    Attributes: `measures`, the inputs that it informs about, whose EVPPI bounds its value; `simulate`, a function of
    the inputs by name ([draw] or [draw, k]) and a random generator that returns the study's result in each draw, [draw]
    or [draw, k]; `cost`, in the unit of the net benefit, paid now; `delay`, years for which the decision waits.
    """

    name: str
    measures: tuple[str, ...]
    simulate: Callable[[Mapping[str, Array], np.random.Generator], Array]
    cost: float = 0.0
    delay: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.cost < np.inf and 0 <= self.delay < np.inf):
            raise InputError(
                f"study {self.name!r}: cost {self.cost:g}, delay {self.delay:g}: neither may be negative: write "
                "@COST,YEARS"
            )


def net_worth(value: float, study: Study, now: float, rate: float) -> float:
    """What a study is worth beside deciding now: the value of a better choice, later, less its cost.

    All that is decided on waits for `delay` years and is discounted for them at `rate` a year: (now + value) / (1 +
    rate)^delay - now - cost. Parameters: `value`, the study's EVSI; `now`, the expected value of the best choice today.
    """
    return float((now + value) / (1 + rate) ** study.delay - now - study.cost)


def evpi(net_benefit: NetBenefit, chains: int = 1) -> tuple[float, float]:
    """Expected value of perfect information, E max - max E, and its Monte-Carlo error."""
    decision = as_decision(net_benefit, chains)
    gain = decision.values.max(axis=1) - decision.values[:, decision.best]
    return float(gain.mean()), mc_error(gain, decision.chains)


def evppi(
    net_benefit: NetBenefit, inputs: InputDraws, of: str | Sequence[str], *, method: str = "spline", chains: int = 1
) -> Information:
    """Expected value of learning the inputs named by `of` exactly, all together.

    Parameters: `net_benefit` and `chains`, see :func:`as_decision`; `inputs`, name -> [draw], or [draw, k] for a group
    that is learned as one; `method`, spline or gp. A set of more than `CLOSED` inputs is
    bounded below by its single inputs only. Raises :class:`InputError` for an unknown input or one that does not
    match the draws.
    """
    names = (of,) if isinstance(of, str) else tuple(of)
    return _worth(_problem(net_benefit, inputs, method, chains), " + ".join(names), names)


def evsi(
    net_benefit: NetBenefit, inputs: InputDraws, study: Study, *, method: str = "spline", seed: int = 0, chains: int = 1
) -> Information:
    """Expected value of running `study` before deciding: the net benefit is regressed on the study's simulated result.

    Parameters as for :func:`evppi`; `seed` of the simulated results.
    """
    problem = _problem(net_benefit, inputs, method, chains)
    return _study_worth(problem, study, _simulated(problem, study, seed))


def information_table(  # noqa: PLR0913  options, given by name
    net_benefit: NetBenefit,
    inputs: InputDraws,
    groups: Mapping[str, Sequence[str]] | None = None,
    studies: Sequence[Study] = (),
    *,
    method: str = "spline",
    seed: int = 0,
    chains: int = 1,
    rate: float = 0.0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """What each input, each group of inputs and each study is worth, the most valuable first.

    One row for everything (EVPI) and one each for the others, with the columns of :class:`Information`. Within a
    table a group is never worth less than any input or smaller group inside it. Parameters as for :func:`evppi`;
    `groups`, name -> inputs; `rate`, a year, at which studies' delays are discounted; `progress`, told of
    the sets done. Raises :class:`InputError`.
    """
    problem = _problem(net_benefit, inputs, method, chains)
    sets = {**{name: (name,) for name in problem.inputs}, **{name: tuple(of) for name, of in (groups or {}).items()}}
    problem.check_names(each for of in (*sets.values(), *(s.measures for s in studies)) for each in of)
    asked = tuple(frozenset(of) for of in sets.values())
    total, error = evpi(problem.decision)
    everything = Information(
        name="everything",
        kind="EVPI",
        learned=tuple(problem.inputs),
        value=total,
        se=error,
        share=1.0 if total else 0.0,
        method="exact",
        raw=total,
    )
    # First, because a study may be refused.
    results = [_simulated(problem, study, seed + k) for k, study in enumerate(studies)]
    rows = list[Information]()
    for name, of in sets.items():
        if progress is not None:
            progress(name, len(rows), len(sets) + len(studies))
        rows.append(_worth(problem, name, of, asked))
    now = float(problem.decision.values.mean(axis=0).max())
    for study, result in zip(studies, results, strict=True):
        worth = _study_worth(problem, study, result)
        net = net_worth(worth.value, study, now, rate)
        rows.append(replace(worth, cost=study.cost, delay=study.delay, net=net))
    return pd.DataFrame([everything, *sorted(rows, key=lambda row: -row.value)])


def residual_trend(
    net_benefit: NetBenefit, inputs: InputDraws, of: str | Sequence[str], *, method: str = "spline", chains: int = 1
) -> pd.DataFrame:
    """Mean residual by bins of the fitted mean, with its error: flat around zero where the regression holds.

    One row for each alternative (against the best) and each of `BINS` bins. Parameters as for :func:`evppi`.
    """
    problem = _problem(net_benefit, inputs, method, chains)
    names = frozenset((of,) if isinstance(of, str) else of)
    problem.check_names(names)
    others = [name for k, name in enumerate(problem.decision.alternatives) if k != problem.decision.best]
    rows = []
    for alternative, each in zip(others, problem.fits(problem.columns(names)), strict=True):
        for part in np.array_split(np.argsort(each.fitted, kind="stable"), min(RESIDUAL_BINS, len(each.fitted) // 2)):
            left = each.residual[part]
            error = float(left.std(ddof=1) / np.sqrt(len(left)))
            rows.append((alternative, float(each.fitted[part].mean()), float(left.mean()), error))
    return pd.DataFrame(rows, columns=["alternative", "fitted", "residual", "se"])


@dataclass(frozen=True)
class _Estimate:
    """The value by one regression, before any bound, with its fits and the input columns."""

    value: float
    fits: tuple[Regression, ...]
    columns: Array


@dataclass(frozen=True)
class _Problem:
    """A decision with its inputs [draw, column] by name; `known` keeps the regressions made so far."""

    decision: Decision
    inputs: dict[str, Array]
    method: str
    known: dict[frozenset[str], _Estimate] = field(default_factory=dict)

    def check_names(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.inputs:
                near = get_close_matches(name, self.inputs, 3, 0.4) or list(self.inputs)[:3]
                raise InputError(
                    f"input {name!r}: is not known: name some of {', '.join(near)}, or another of the table"
                )

    def columns(self, names: frozenset[str]) -> Array:
        """Columns of a set, in the order of names: a set has one value however it is written."""
        return np.column_stack([self.inputs[name] for name in sorted(names)])

    def fits(self, columns: Array) -> tuple[Regression, ...]:
        """The mean, given `columns`, of how much better each other alternative is than the best one."""
        values, best = self.decision.values, self.decision.best
        gains = np.delete(values, best, axis=1) - values[:, [best]]
        # Hundreds of small matrices: on busy cores BLAS threads made this thirty times slower.
        with threadpool_limits(limits=1, user_api="blas"):
            return tuple(fit(gain, BASES[self.method](columns, gain)) for gain in gains.T)

    def estimate(self, columns: Array) -> _Estimate:
        fits = self.fits(columns)
        return _Estimate(float(_gain(np.column_stack([f.fitted for f in fits])).mean()), fits, columns)

    def of(self, names: frozenset[str]) -> _Estimate:
        if names not in self.known:
            self.known[names] = self.estimate(self.columns(names))
        return self.known[names]

    def below(self, names: frozenset[str], asked: Sequence[frozenset[str]] = ()) -> set[frozenset[str]]:
        """The subsets that bound a set from below: all of a small one, else its single inputs, and those asked for."""
        limit = len(names) if len(names) <= CLOSED[self.method] else 1
        sizes = range(1, limit + 1)
        subsets = {frozenset(part) for size in sizes for part in combinations(sorted(names), size)} | {names}
        return subsets.union(*(self.below(part) for part in asked if part < names))


def _problem(net_benefit: NetBenefit, inputs: InputDraws, method: str, chains: int) -> _Problem:
    decision = as_decision(net_benefit, chains)
    if method not in BASES:
        raise InputError(f"method {method!r}: is not known: give {' or '.join(BASES)}")
    arrays = {}
    for name, given in inputs.items():
        array = np.asarray(given, dtype=float)
        if array.ndim not in (1, 2) or len(array) != len(decision.values):
            raise InputError(
                f"input {name!r}: has shape {array.shape}, the net benefit {len(decision.values)} draws: "
                "give [draw] or [draw, k] of the same draws"
            )
        if not np.isfinite(array).all():
            raise InputError(f"input {name!r}: holds numbers that are not finite: mend or drop them")
        arrays[name] = array.reshape(len(array), -1)
    return _Problem(decision, arrays, method)


def _gain(fitted: Array) -> Array:
    """What deciding on fitted means [..., draw, other alternative] brings over the best alternative [..., draw]."""
    return np.maximum(fitted.max(axis=-1), 0.0)


def _worth(problem: _Problem, name: str, of: Sequence[str], asked: Sequence[frozenset[str]] = ()) -> Information:
    problem.check_names(of)
    names = frozenset(of)
    if not names:
        raise InputError(f"{name!r}: names no input: name at least one")
    direct = problem.of(names)
    # Ties go to the larger set: a set is raised only where a part of it found more.
    best = max(problem.below(names, asked), key=lambda part: (problem.of(part).value, len(part), sorted(part)))
    total = evpi(problem.decision)[0]
    value = min(problem.of(best).value, total)
    decisive = "" if best == names else " + ".join(sorted(best))
    decisive = "EVPI" if value < direct.value else decisive
    return _describe(problem, name, "EVPPI", of, direct, problem.of(best), value, decisive)


def _simulated(problem: _Problem, study: Study, seed: int) -> Array:
    """The study's result in each draw [draw, k]."""
    problem.check_names(study.measures)
    given = {name: column[:, 0] if column.shape[1] == 1 else column for name, column in problem.inputs.items()}
    result = np.asarray(study.simulate(given, np.random.default_rng(seed)), dtype=float)
    if len(result) != len(problem.decision.values) or not np.isfinite(result).all():
        raise InputError(f"study {study.name!r}: must give a finite result for every draw: mend its simulation")
    return result.reshape(len(result), -1)


def _study_worth(problem: _Problem, study: Study, result: Array) -> Information:
    direct = problem.estimate(result)
    limit = _worth(problem, study.name, study.measures).value
    decisive = "EVPPI of what it measures" if limit < direct.value else ""
    value = min(direct.value, limit)
    return _describe(problem, study.name, "EVSI", study.measures, direct, direct, value, decisive)


def _describe(
    problem: _Problem,
    name: str,
    kind: Literal["EVPPI", "EVSI"],
    learned: Sequence[str],
    direct: _Estimate,
    best: _Estimate,
    value: float,
    decisive: str,
) -> Information:
    error, bias = _error(best, problem.decision.chains)
    missed, z = _missed(best)
    total = evpi(problem.decision)[0]
    advice = []
    if z > ALIKE and missed > LEFT_IN_RESIDUALS:
        advice.append(f"residuals keep {missed:.0%} of what the inputs explain: try the other method")
    if value <= SURE * error:
        advice.append("not to be told from zero")
    elif bias > max(BIASED * value, error):
        advice.append("the regression's bias is larger than its error: more draws or fewer inputs")
    return Information(
        name=name,
        kind=kind,
        learned=tuple(learned),
        value=value,
        se=error,
        share=value / total if total > 0 else 0.0,
        method=problem.method,
        raw=direct.value,
        bias=bias,
        decisive=decisive,
        missed=missed,
        z=z,
        advice="; ".join(advice),
    )


def _error(estimate: _Estimate, chains: int) -> tuple[float, float]:
    """Standard error and upward bias of a regression's value.

    The regression's part comes from the posterior of its coefficients (MDM, appendix), widened where residuals are
    autocorrelated; the draws' own part from how much the gain varies among them. The two are uncorrelated, for the
    second is about which inputs were drawn and the first about the outcome given these.
    """
    fits = estimate.fits
    size = max(1, NUMBERS_AT_A_TIME // (len(fits[0].fitted) * len(fits)))
    values: list[Array] = []
    for block, start in enumerate(range(0, POSTERIOR_DRAWS, size)):
        means = posterior_means(fits, min(size, POSTERIOR_DRAWS - start), block)
        values.append(_gain(means).mean(axis=1) - _gain(means.mean(axis=1)))
    simulated = np.concatenate(values)
    widened = max(_inflation(f.residual, chains) for f in fits)
    decision = mc_error(_gain(np.column_stack([f.fitted for f in fits])), chains)
    return float(np.hypot(simulated.std(ddof=1) * np.sqrt(widened), decision)), float(simulated.mean() - estimate.value)


def _inflation(residual: Array, chains: int) -> float:
    """How much more the mean of `residual` varies than if the draws were independent."""
    plain = float(residual.std(ddof=1)) / np.sqrt(len(residual))
    return (mc_error(residual, chains) / plain) ** 2 if plain > 0 else 1.0


def _missed(estimate: _Estimate) -> tuple[float, float]:
    """The share of explainable variance left in residuals, and its z-score, at the worst over all regressions.

    Residuals are compared among neighbours in the inputs, and among neighbours in the fitted mean.
    """
    missed = []
    for regression in estimate.fits:
        for near in (estimate.columns, regression.fitted[:, None]):
            covariance, z = neighbour_covariance(near, regression.residual)
            explained = float(regression.fitted.var())
            missed.append((max(covariance, 0.0) / max(explained + covariance, 1e-300), z))
    return max(missed, key=lambda pair: pair[1])
