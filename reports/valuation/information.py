"""Value of information: what it is worth to learn something before deciding, from joint draws alone.

EVPI is the value of learning everything, EVPPI of learning some inputs exactly (by regression: Strong, Oakley & Brennan
2014, Medical Decision Making 34(3), "MDM"), EVSI of running a study (Strong, Oakley, Brennan & Breeze 2015, MDM 35(5)).
All in the unit of the net benefit. In what is reported here

    0 <= EVPPI(A) <= EVPPI(A and B) <= EVPI    and    0 <= EVSI(study) <= EVPPI(what it measures)

hold exactly, as they must in truth, although a regression alone guarantees only the first. How: knowing A and B one
may always decide as if one knew A only, so the value of a set is the largest of what the regressions on its subsets
find, cut off at the EVPI of the same draws. The price is a little more upward bias; every row shows the set's own
regression (`raw`) and the subset it was raised to, so that nobody has to guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from postcgrp.priors import InputError
from postcgrp.reports.valuation.decision import SURE, NetBenefit, Outcomes, mc_error, outcomes
from postcgrp.reports.valuation.regression import BASES, Fit, fit, neighbour_covariance, posterior

Array = NDArray[np.float64]
Inputs = Mapping[str, ArrayLike]

CLOSED = {"spline": 8, "gp": 5}  # inputs of a set up to which every subset is tried
POSTERIOR = 200  # draws of the fitted means, for standard error and bias
BLOCK = 4_000_000  # numbers of them held at a time
MISSED = 0.05  # of the variance that the inputs explain: more left in the residuals than this is reported
ALIKE = 4.0  # z-score from which neighbouring residuals count as alike
BIASED = 0.05  # of the value
BINS = 20


@dataclass(frozen=True)
class Information:
    """What learning something is worth, and how far to trust the figure.

    `value` with its standard error `se` (regression and Monte Carlo, see docs/voi.md) and upward `bias`; `raw`, what
    the set's own regression found before the bounds; `decisive`, the subset or bound that set the value, empty where
    none did; `missed`, the share of explainable variance that the regression left in its residuals, and `z`, how
    surely; `advice`, empty where all is well.
    """

    name: str
    kind: str
    learned: tuple[str, ...]
    value: float
    se: float
    share: float
    method: str
    raw: float
    bias: float
    decisive: str
    missed: float
    z: float
    advice: str


@dataclass(frozen=True)
class Study:
    """A study to run before deciding.

    `measures` names the inputs it informs on, and so bounds its value; `simulate` takes the inputs by name
    ([draw] or [draw, k]) and a random generator and returns the study's result in each draw, [draw] or [draw, k].
    """

    name: str
    measures: tuple[str, ...]
    simulate: Callable[[Mapping[str, Array], np.random.Generator], Array]


def evpi(net_benefit: NetBenefit, chains: int = 1) -> tuple[float, float]:
    """Expected value of perfect information, E max - max E, and its Monte-Carlo error."""
    drawn = outcomes(net_benefit, chains)
    gain = drawn.values.max(axis=1) - drawn.values[:, drawn.best]
    return float(gain.mean()), mc_error(gain, drawn.chains)


def evppi(
    net_benefit: NetBenefit, inputs: Inputs, of: str | Sequence[str], *, method: str = "spline", chains: int = 1
) -> Information:
    """Expected value of learning the inputs named by `of` exactly, all together.

    Parameters: `net_benefit` and `chains`, see :func:`outcomes`; `inputs`, name -> [draw],
    or [draw, k] for a group that is learned as one; `method`, spline or gp. A set of more than `CLOSED` inputs is
    bounded below by its single inputs only. Raises :class:`InputError` for an unknown input or one that does not
    match the draws.
    """
    names = (of,) if isinstance(of, str) else tuple(of)
    return _worth(_problem(net_benefit, inputs, method, chains), " + ".join(names), names)


def evsi(
    net_benefit: NetBenefit, inputs: Inputs, study: Study, *, method: str = "spline", seed: int = 0, chains: int = 1
) -> Information:
    """Expected value of running `study` before deciding: the net benefit is regressed on the study's simulated result.

    Parameters as for :func:`evppi`; `seed` of the simulated results.
    """
    problem = _problem(net_benefit, inputs, method, chains)
    return _study_worth(problem, study, _simulated(problem, study, seed))


def information_table(
    net_benefit: NetBenefit,
    inputs: Inputs,
    groups: Mapping[str, Sequence[str]] | None = None,
    studies: Sequence[Study] = (),
    *,
    method: str = "spline",
    seed: int = 0,
    chains: int = 1,
) -> pd.DataFrame:
    """What each input, each group of inputs and each study is worth, the dearest first.

    One row for everything (EVPI) and one each for the others, with the columns of :class:`Information`. Within a
    table a group is never worth less than any input or smaller group inside it. Parameters as for :func:`evppi`;
    `groups`, name -> inputs. Raises :class:`InputError`.
    """
    problem = _problem(net_benefit, inputs, method, chains)
    sets = {**{name: (name,) for name in problem.inputs}, **{name: tuple(of) for name, of in (groups or {}).items()}}
    problem.check_names(each for of in (*sets.values(), *(s.measures for s in studies)) for each in of)
    asked = tuple(frozenset(of) for of in sets.values())
    total, error = evpi(problem.drawn)
    everything = Information(
        "everything",
        "EVPI",
        tuple(problem.inputs),
        total,
        error,
        1.0 if total else 0.0,
        "exact",
        total,
        0.0,
        "",
        0.0,
        0.0,
        "",
    )
    results = [_simulated(problem, study, seed + k) for k, study in enumerate(studies)]  # first: it may be refused
    rows = [_worth(problem, name, of, asked) for name, of in sets.items()]
    rows += [_study_worth(problem, study, result) for study, result in zip(studies, results, strict=True)]
    return pd.DataFrame([everything, *sorted(rows, key=lambda row: -row.value)])


def residual_trend(
    net_benefit: NetBenefit, inputs: Inputs, of: str | Sequence[str], *, method: str = "spline", chains: int = 1
) -> pd.DataFrame:
    """Mean residual by bins of the fitted mean, with its error: flat around zero where the regression holds.

    One row for each alternative (against the best) and each of `BINS` bins. Parameters as for :func:`evppi`.
    """
    problem = _problem(net_benefit, inputs, method, chains)
    names = frozenset((of,) if isinstance(of, str) else of)
    problem.check_names(names)
    others = [name for k, name in enumerate(problem.drawn.alternatives) if k != problem.drawn.best]
    rows = []
    for alternative, each in zip(others, problem.fits(problem.columns(names)), strict=True):
        for part in np.array_split(np.argsort(each.fitted, kind="stable"), min(BINS, len(each.fitted) // 2)):
            left = each.residual[part]
            error = float(left.std(ddof=1) / np.sqrt(len(left)))
            rows.append((alternative, float(each.fitted[part].mean()), float(left.mean()), error))
    return pd.DataFrame(rows, columns=["alternative", "fitted", "residual", "se"])


def readable(found: pd.DataFrame, unit: str) -> pd.DataFrame:
    """The columns of :func:`information_table` that a reader needs, in plain words; `unit` such as "USD million"."""
    return pd.DataFrame(
        {
            "learn": found["name"],
            "measure": found["kind"],
            f"worth, {unit}": found["value"],
            "se": found["se"],
            "share of EVPI": [f"{share:.0%}" for share in found["share"]],
            "method": found["method"],
            "check": [text or "fine" for text in found["advice"]],
        }
    )


@dataclass(frozen=True)
class _Estimate:
    """One regression's value before any bound, with what it says of itself."""

    value: float
    fits: tuple[Fit, ...]
    columns: Array


@dataclass(frozen=True)
class _Problem:
    """A decision with its inputs [draw, column] by name; `known` keeps the regressions made so far."""

    drawn: Outcomes
    inputs: dict[str, Array]
    method: str
    known: dict[frozenset[str], _Estimate] = field(default_factory=dict)

    def check_names(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.inputs:
                raise InputError(f"input {name!r}: is not known: name some of {', '.join(self.inputs)}")

    def columns(self, names: frozenset[str]) -> Array:
        """Columns of a set: in the order of names, so that a set has one value however it is written."""
        return np.column_stack([self.inputs[name] for name in sorted(names)])

    def fits(self, columns: Array) -> tuple[Fit, ...]:
        """The mean, given `columns`, of how much better each other alternative is than the best one."""
        values, best = self.drawn.values, self.drawn.best
        gains = np.delete(values, best, axis=1) - values[:, [best]]
        # Small matrices by the hundred: on busy cores BLAS threads made this thirty times slower.
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
        found = {frozenset(part) for size in range(1, limit + 1) for part in combinations(sorted(names), size)} | {
            names
        }
        return found.union(*(self.below(part) for part in asked if part < names))


def _problem(net_benefit: NetBenefit, inputs: Inputs, method: str, chains: int) -> _Problem:
    drawn = outcomes(net_benefit, chains)
    if method not in BASES:
        raise InputError(f"method {method!r}: is not known: give {' or '.join(BASES)}")
    arrays = {}
    for name, given in inputs.items():
        array = np.asarray(given, dtype=float)
        if array.ndim not in (1, 2) or len(array) != len(drawn.values):
            raise InputError(
                f"input {name!r}: has shape {array.shape}, the net benefit {len(drawn.values)} draws: "
                "give [draw] or [draw, k] of the same draws"
            )
        if not np.isfinite(array).all():
            raise InputError(f"input {name!r}: holds what is no finite number: mend or drop it")
        arrays[name] = array.reshape(len(array), -1)
    return _Problem(drawn, arrays, method)


def _gain(fitted: Array) -> Array:
    """What deciding on fitted means [..., draw, other alternative] brings over the best alternative [..., draw]."""
    return np.maximum(fitted.max(axis=-1), 0.0)


def _worth(problem: _Problem, name: str, of: Sequence[str], asked: Sequence[frozenset[str]] = ()) -> Information:
    problem.check_names(of)
    names = frozenset(of)
    if not names:
        raise InputError(f"{name!r}: names no input: name at least one")
    own = problem.of(names)
    # Ties go to the larger set: a set is raised only where a part of it found more.
    best = max(problem.below(names, asked), key=lambda part: (problem.of(part).value, len(part), sorted(part)))
    total = evpi(problem.drawn)[0]
    value = min(problem.of(best).value, total)
    decisive = "" if best == names else " + ".join(sorted(best))
    return _describe(
        problem, (name, "EVPPI", tuple(of)), own, problem.of(best), value, "EVPI" if value < own.value else decisive
    )


def _simulated(problem: _Problem, study: Study, seed: int) -> Array:
    """The study's result in each draw [draw, k]."""
    problem.check_names(study.measures)
    given = {name: column[:, 0] if column.shape[1] == 1 else column for name, column in problem.inputs.items()}
    result = np.asarray(study.simulate(given, np.random.default_rng(seed)), dtype=float)
    if len(result) != len(problem.drawn.values) or not np.isfinite(result).all():
        raise InputError(f"study {study.name!r}: must give a finite result for every draw: mend its simulation")
    return result.reshape(len(result), -1)


def _study_worth(problem: _Problem, study: Study, result: Array) -> Information:
    own = problem.estimate(result)
    limit = _worth(problem, study.name, study.measures).value
    about = (study.name, "EVSI", study.measures)
    return _describe(
        problem, about, own, own, min(own.value, limit), "EVPPI of what it measures" if limit < own.value else ""
    )


def _describe(
    problem: _Problem,
    about: tuple[str, str, tuple[str, ...]],
    own: _Estimate,
    best: _Estimate,
    value: float,
    decisive: str,
) -> Information:
    error, bias = _error(best, problem.drawn.chains)
    missed, z = _missed(best)
    total = evpi(problem.drawn)[0]
    advice = []
    if z > ALIKE and missed > MISSED:
        advice.append(f"residuals keep {missed:.0%} of what the inputs explain: try the other method")
    if value <= SURE * error:
        advice.append("not to be told from zero")
    elif bias > max(BIASED * value, error):
        advice.append("the regression's bias is larger than its error: more draws or fewer inputs")
    return Information(
        *about, value, error, value / total if total > 0 else 0.0, problem.method, own.value, bias, decisive, missed, z,
        "; ".join(advice),
    )  # fmt: skip


def _error(estimate: _Estimate, chains: int) -> tuple[float, float]:
    """Standard error and upward bias of a regression's value.

    The regression's part comes from the posterior of its coefficients (MDM, appendix), widened where residuals are
    autocorrelated; the draws' own part from how much the gain varies among them. The two are uncorrelated, for the
    second is about which inputs were drawn and the first about the outcome given these.
    """
    fits = estimate.fits
    size = max(1, BLOCK // (len(fits[0].fitted) * len(fits)))
    values: list[Array] = []
    for block, start in enumerate(range(0, POSTERIOR, size)):
        means = posterior(fits, min(size, POSTERIOR - start), block)
        values.append(_gain(means).mean(axis=1) - _gain(means.mean(axis=1)))
    simulated = np.concatenate(values)
    widened = max(_inflation(f.residual, chains) for f in fits)
    drawn = mc_error(_gain(np.column_stack([f.fitted for f in fits])), chains)
    return float(np.hypot(simulated.std(ddof=1) * np.sqrt(widened), drawn)), float(simulated.mean() - estimate.value)


def _inflation(residual: Array, chains: int) -> float:
    """How much more the mean of `residual` varies than if the draws were independent."""
    plain = float(residual.std(ddof=1)) / np.sqrt(len(residual))
    return (mc_error(residual, chains) / plain) ** 2 if plain > 0 else 1.0


def _missed(estimate: _Estimate) -> tuple[float, float]:
    """Worst share of explainable variance left in residuals, and its z-score: near in the inputs, or in fitted mean."""
    found = []
    for each in estimate.fits:
        for near in (estimate.columns, each.fitted[:, None]):
            covariance, z = neighbour_covariance(near, each.residual)
            explained = float(each.fitted.var())
            found.append((max(covariance, 0.0) / max(explained + covariance, 1e-300), z))
    return max(found, key=lambda pair: pair[1])
