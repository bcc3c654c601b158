"""An input of a deal: a number or a distribution, read from plain tables, with its own random stream."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtri

from postcgrp.priors import from_range
from postcgrp.priors.catalogue import Family
from postcgrp.priors.elicit import LINK
from postcgrp.priors.ledger import PERCENT

Array = NDArray[np.float64]
CUT = 1e-6  # probability beyond which tails are cut, so that a kind's limits hold for every draw
DEFAULT_COVERAGE = 0.9


@dataclass(frozen=True)
class Kind:
    """What a number may be: its limits (included), the family of a range, and what to do about one outside them."""

    low: float
    high: float
    family: Family
    way_out: str


AS_FRACTION = "write percentages as fractions"
SHARE = Kind(0, 1, "logitnormal", AS_FRACTION)
POSITIVE_FRACTION = Kind(1e-9, 1, "logitnormal", AS_FRACTION)
RATE = Kind(0, 0.9, "lognormal", AS_FRACTION)
GROWTH = Kind(-0.9, 0.5, "normal", AS_FRACTION)
MONEY = Kind(0, 1e9, "lognormal", "give a positive amount, in millions where it is not a price")
YEAR = Kind(1900, 2200, "normal", "give a calendar year such as 2029 or 2029.5")
DURATION = Kind(0, 50, "lognormal", "give a number of years")
MULTIPLE = Kind(0, 50, "lognormal", "give a multiple such as 3")


def _beta(u: Array, a: float, b: float) -> Array:
    return np.asarray(betaincinv(a, b, u), dtype=float)


def _triangular(u: Array, low: float, mode: float, high: float) -> Array:
    left = (mode - low) / (high - low)
    rise = low + np.sqrt(u * (high - low) * (mode - low))
    return np.where(u < left, rise, high - np.sqrt((1 - u) * (high - low) * (high - mode)))


def _pert(u: Array, low: float, mode: float, high: float) -> Array:
    """A beta on low..high whose mean is (low + 4 mode + high) / 6 (Malcolm et al. 1959)."""
    width = high - low
    return low + width * _beta(u, 1 + 4 * (mode - low) / width, 1 + 4 * (high - mode) / width)


Quantile = Callable[..., Array]
FORMS: dict[str, tuple[tuple[str, ...], Quantile]] = {
    "beta": (("a", "b"), _beta),
    "normal": (("mean", "sd"), lambda u, mean, sd: mean + sd * ndtri(u)),
    "lognormal": (("median", "log_sd"), lambda u, median, log_sd: median * np.exp(log_sd * ndtri(u))),
    "uniform": (("low", "high"), lambda u, low, high: low + (high - low) * u),
    "triangular": (("low", "mode", "high"), _triangular),
    "pert": (("low", "mode", "high"), _pert),
}
FAMILIES: tuple[Family, ...] = ("normal", "lognormal", "logitnormal")
RANGE = ("low", "high", "coverage")
ABOVE_ZERO = ("a", "b", "sd", "median", "log_sd")


@dataclass(frozen=True)
class Uncertain:
    """A number (`dist` is "fixed") or a distribution, with its parameters as the user wrote them.

    `family` says on which link scale a range (`dist` is "range") is a normal, see :func:`from_range`.
    """

    dist: str
    parameters: dict[str, float] = field(hash=False)
    family: Family = "normal"

    @property
    def fixed(self) -> bool:
        """Whether it is a plain number."""
        return self.dist == "fixed"

    def quantile(self, probability: ArrayLike) -> Array:
        """Quantiles at probabilities of any shape [...]."""
        u = np.clip(np.asarray(probability, dtype=float), CUT, 1 - CUT)
        if self.fixed:
            return np.full(u.shape, self.parameters["value"])
        if self.dist == "range":
            mu, sd = _link_scale(self.parameters, self.family)
            return np.asarray(LINK[self.family][1](mu + sd * ndtri(u)), dtype=float)
        return np.asarray(FORMS[self.dist][1](u, **self.parameters), dtype=float)

    def draws(self, number: int, seed: int, *key: str) -> Array:
        """Independent draws [draw] from the random stream of `seed` and `key`, the deal's name and the input's path.

        Adding an input changes no other input's draws; giving this one another distribution keeps their ranks.
        """
        words = np.frombuffer(hashlib.sha256("\n".join(key).encode()).digest(), dtype="<u4")
        rng = np.random.default_rng(np.random.SeedSequence([seed, *map(int, words)]))
        return self.quantile(rng.random(number))

    def __str__(self) -> str:
        numbers = self.parameters
        if self.fixed:
            return f"{numbers['value']:.10g}"
        if self.dist == "range":
            return f"{numbers['low']:g} to {numbers['high']:g} ({numbers['coverage']:.0%} range)"
        return f"{self.dist}({', '.join(f'{name} {number:g}' for name, number in numbers.items())})"


def read(value: Any, kind: Kind) -> Uncertain:
    """An input of one kind from a number or a table (`{ dist = ... }` or `{ low, high, coverage }`).

    Raises :class:`ValueError` whose message begins with the value, as " = 12 is ...": the caller puts its name before.
    """
    if isinstance(value, Uncertain):
        return value
    if isinstance(value, Mapping):
        return _in_limits(_distribution(dict(value), kind), kind)
    return _in_limits(Uncertain("fixed", {"value": _number(value, "")}), kind)


def _link_scale(numbers: Mapping[str, float], family: Family) -> tuple[float, float]:
    return from_range(numbers["low"], numbers["high"], numbers["coverage"], family)


def _number(value: Any, name: str) -> float:
    where = f": {name}" if name else ""
    if isinstance(value, str):
        percent = re.fullmatch(r"\s*(-?[\d.]+)\s*%\s*", value)
        as_fraction = f"write percentages as fractions ({float(percent[1]) / PERCENT:g})" if percent else None
        way_out = as_fraction or "write a number without quotes"
        raise ValueError(f"{where} = {value[:60]!r} is text: {way_out}")  # noqa: TRY004  pydantic collects these only
    if isinstance(value, bool) or not isinstance(value, int | float):
        way_out = "write a number, or a table such as { low = 0.2, high = 0.4 }"
        raise ValueError(f"{where} = {str(value)[:60]} is not a number: {way_out}")  # noqa: TRY004
    try:
        number = float(value)
    except OverflowError:  # TOML sets no limit to whole numbers
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{where} = {str(value)[:60]} is not finite: write a number")
    return number


def _distribution(table: dict[str, Any], kind: Kind) -> Uncertain:
    dist = str(table.pop("dist", "range"))
    if dist != "range" and dist not in FORMS:
        near = get_close_matches(dist, FORMS, 1)
        raise ValueError(f": dist = {dist[:60]!r} is not known: {_use(near, FORMS)}")
    family = table.pop("family", kind.family) if dist == "range" else kind.family
    if family not in FAMILIES:
        raise ValueError(f": family = {str(family)[:60]!r} is not known: use one of {', '.join(FAMILIES)}")
    if dist == "range":
        table.setdefault("coverage", DEFAULT_COVERAGE)
    names = RANGE if dist == "range" else FORMS[dist][0]
    for name in table:
        if name not in names:
            raise ValueError(f": {name!r} is not known for {dist!r}: {_use(get_close_matches(name, names, 1), names)}")
    if missing := [name for name in names if name not in table]:
        raise ValueError(f": {missing[0]!r} is missing for {dist!r}: give {', '.join(names)}")
    numbers = {name: _number(table[name], name) for name in names}
    _check(numbers)
    uncertain = Uncertain(dist, numbers, family)
    if dist == "range":
        try:
            _link_scale(numbers, family)
        except ValueError:
            support = "inside 0..1" if family == "logitnormal" else "above 0"
            raise ValueError(
                f": range {numbers['low']:g}..{numbers['high']:g} is not {support}, ends excluded: {kind.way_out}, "
                "or give a `dist` with bounds, such as triangular"
            ) from None
    return uncertain


def _check(numbers: dict[str, float]) -> None:
    for name in ABOVE_ZERO:
        if name in numbers and numbers[name] <= 0:
            raise ValueError(f": {name} = {numbers[name]:g} is not above 0: correct it")
    if not 0 < numbers.get("coverage", DEFAULT_COVERAGE) < 1:
        raise ValueError(f": coverage = {numbers['coverage']:g} is not inside 0..1: write it as a fraction (0.9)")
    if "low" in numbers and not numbers["low"] < numbers["high"]:
        raise ValueError(f": low = {numbers['low']:g} is not below high = {numbers['high']:g}: swap or widen them")
    if "mode" in numbers and not numbers["low"] <= numbers["mode"] <= numbers["high"]:
        raise ValueError(f": mode = {numbers['mode']:g} is outside {numbers['low']:g}..{numbers['high']:g}: move it")


def _in_limits(uncertain: Uncertain, kind: Kind) -> Uncertain:
    with np.errstate(all="ignore"):  # what overflows is outside
        low, high = uncertain.quantile([0.0, 1.0])
    if kind.low <= low and high <= kind.high:
        return uncertain
    way_out = kind.way_out
    if uncertain.fixed and low == 0 < kind.low:
        raise ValueError(" = 0 is not above 0: give a fraction above 0")
    if way_out == AS_FRACTION and uncertain.fixed:
        way_out += f" ({low / PERCENT:g})" if 1 <= low <= PERCENT else " (0.12 for 12 %)"
    limits = f"{kind.low:g}..{kind.high:g}"
    if uncertain.fixed:
        fault = "negative" if low < 0 <= kind.low else f"outside {limits}"
        raise ValueError(f" = {low:g} is {fault}: {way_out}")
    raise ValueError(
        f" = {uncertain} reaches {low if low < kind.low else high:.3g}, outside {limits}: {way_out}, or use a "
        "distribution with bounds (beta, uniform, triangular, pert)"
    )


def _use(near: list[str], known: Any) -> str:
    return f"write {near[0]!r}" if near else f"use one of {', '.join(known)}"
