"""Scenarios: small TOML files, each a counterfactual: drivers that take another path in the draws of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError, model_validator

from postcgrp.priors.drivers import BY_YEAR, DRIVERS, Driver, Operation, driver_labels, modality_of
from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger import PERCENT, Ledger, Number, Row, Text, Whole
from postcgrp.priors.lookup import Key, label_of
from postcgrp.priors.messages import InputFault, faults_in_words, nearest_or
from postcgrp.priors.segments import NARROWED
from postcgrp.priors.shares import ROUNDING
from postcgrp.priors.shipped import shipped_scenarios
from postcgrp.priors.toml_file import FromFile, TomlFile

SCENARIO_GUIDE = "docs/scenarios.md"
BASE = "base"  # the scenario in which nothing changes, beside which all others are shown
LATEST = 100  # years after the window: a later date is none
SEGMENT_KEYS = NARROWED[1:]


class Setting(Row):
    """One row of a scenario: a driver, for which part of the market, from which year, and its new level.

    `value` replaces the driver, `factor` multiplies and `shift` adds to it, in every draw; exactly one of them.
    """

    driver: Text
    region: Text | None = None
    depth: Text | None = None
    modality: Text | None = None
    line: Text | None = None
    since: Whole | None = None
    value: Number | None = None
    factor: Number | None = None
    shift: Number | None = None
    reason: Text | None = None

    model_config = Row.model_config | {"alias_generator": lambda name: "from" if name == "since" else name}

    @property
    def operation(self) -> Operation:
        """What it does to the driver."""
        return next(name for name in ("value", "factor", "shift") if getattr(self, name) is not None)

    @property
    def number(self) -> float:
        """The number that it does it with."""
        return float(getattr(self, self.operation))

    @model_validator(mode="after")
    def _one_change(self) -> Self:
        if self.driver not in DRIVERS:
            way_out = nearest_or(self.driver, list(DRIVERS), f"use one of {', '.join(DRIVERS)}")
            raise ValueError(f".driver = {self.driver!r} is no driver: {way_out}")
        stated = [name for name in ("value", "factor", "shift") if getattr(self, name) is not None]
        if len(stated) != 1:
            said = f"has {' and '.join(stated)}" if stated else "changes nothing"
            raise ValueError(f": {self.driver} {said}: give exactly one of `value`, `factor` and `shift`")
        driver = DRIVERS[self.driver]
        if self.operation not in driver.allowed:
            raise ValueError(f".{self.operation}: {self.driver} takes no {self.operation}: give {_or(driver.allowed)}")
        if not math.isfinite(self.number):
            raise ValueError(f".{self.operation} = {self.number:g} is no number: give a finite one")
        for name in SEGMENT_KEYS:
            if getattr(self, name) is not None and name not in driver.may_name:
                may = f"name {_or(driver.may_name)}, or none" if driver.may_name else "name none"
                raise ValueError(f".{name} = {getattr(self, name)!r}: {self.driver} does not differ by {name}: {may}")
        if self.since is not None and not driver.is_path:
            raise ValueError(f".from = {self.since}: {self.driver} has no path by year: leave `from` out")
        if wrong := _misfit(driver, self.operation, self.number):
            raise ValueError(f".{self.operation} = {self.number:g}: {wrong}")
        return self


def _misfit(driver: Driver, operation: Operation, number: float) -> str:
    """Returns what is wrong with a number whatever the draws are, empty if nothing is."""
    if operation == "factor" and number < 0:
        return f"a factor of {driver.name} is not negative: 0.9 is 10 % less"
    if operation == "factor" and number == 0 and driver.strict:
        return f"{driver.name} is never 0: give a small factor"
    if operation != "value" or driver.unit == BY_YEAR:
        return ""
    inside = driver.least < number < driver.most if driver.strict else driver.least <= number <= driver.most
    if inside:
        return ""
    between, to = ("between", "and") if driver.strict else ("from", "to")
    way_out = f"write a fraction ({number / PERCENT:g})" if 1 < number <= PERCENT else "correct it"
    return f"{driver.name} lies {between} {driver.least:g} {to} {driver.most:g}: {way_out}"


class Scenario(FromFile, Row):
    """One scenario: its name, a sentence, what the report says of it, and what it sets.

    `any_ledger`: whether it is meant for any market: what one does not have is then skipped, and otherwise refused.
    """

    KIND: ClassVar[str] = "scenario"
    name: Text
    says: Text
    quote: Text | None = None
    any_ledger: bool = False
    settings: tuple[Setting, ...] = ()

    model_config = Row.model_config | {"alias_generator": lambda name: "set" if name == "settings" else name}

    def place(self, row: int) -> str:
        """Returns how a message on one of its rows begins."""
        return f"scenario {self.name!r}: " if self._file is None else self._file.place(("set", row))


class Mixture(Row):
    """A mixture of scenarios: a probability of each, by name."""

    name: Text
    says: Text
    weights: dict[str, Number]


@dataclass(frozen=True)
class Plan:
    """A scenario held against a ledger: its rows, with labels as the ledger has them, and where each governs.

    `rows`: each row with its number in the file, from 0. `governs`: by driver, the number of the row that holds in each
    cell of its dims, -1 where none does. `skipped`: what of a scenario for any ledger this one does not have.
    """

    scenario: Scenario
    rows: dict[int, Setting]
    governs: dict[str, NDArray[np.intp]]
    skipped: tuple[str, ...] = ()


def load_scenario(name: str | Path) -> Scenario:
    """Returns a shipped scenario by its name, or that of a TOML file (format: docs/scenarios.md).

    Raises :class:`InputError` with one line per fault, naming the line, the value, the rule and the way out.
    """
    file = _file_of(name, "scenario")
    if "weights" in file.content:
        raise InputError(f"{file.name}: has [weights], so it is a mixture of scenarios: give it with --weights")
    try:
        return Scenario.model_validate(file.content, context=file)
    except ValidationError as error:
        raise file.error(faults_in_words(error, Scenario, file.content, guide=SCENARIO_GUIDE)) from None


def load_weights(text: str) -> dict[str, float]:
    """Returns the weights of a mixture of scenarios: of a TOML file with [weights], or of `NAME=W,NAME=W`.

    They sum to one. Raises :class:`InputError`.
    """
    if "=" not in text:
        file = _file_of(text, "mixture")
        try:
            mixture = Mixture.model_validate(file.content, context=file)
        except ValidationError as error:
            raise file.error(faults_in_words(error, Mixture, file.content, guide=SCENARIO_GUIDE)) from None
        return _summing(mixture.weights, file.place(("weights",)))
    pairs = [part.partition("=")[::2] for part in text.split(",")]
    try:
        weights = {name.strip(): float(weight) for name, weight in pairs}
    except ValueError:
        raise InputError(f"--weights {text}: is not understood: write NAME=WEIGHT,NAME=WEIGHT, or a file") from None
    if len(weights) < len(pairs):
        raise InputError(f"--weights {text}: names a scenario twice: keep one")
    return _summing(weights, f"--weights {text}: ")


def _summing(weights: Mapping[str, float], place: str) -> dict[str, float]:
    for name, weight in weights.items():
        if not 0 <= weight <= 1:
            raise InputError(f"{place}{name} = {weight:g} is no weight: give a number from 0 to 1")
    if abs(total := sum(weights.values())) and abs(total - 1) <= ROUNDING:
        return dict(weights)
    raise InputError(f"{place}the weights sum to {total:g}, not 1: correct them")


def _file_of(name: str | Path, kind: str) -> TomlFile:
    path = shipped_scenarios().get(str(name), Path(name)) if kind == "scenario" else Path(name)
    if path.suffix or path.exists():
        return TomlFile.read_versioned(path)
    if kind == "scenario":
        names = ", ".join(shipped_scenarios())
        raise InputError(f"scenario {str(name)!r} is not shipped: use one of {names}, or a .toml file")
    raise InputError(f"--weights {name}: is no file: give a .toml file with [weights], or NAME=WEIGHT,NAME=WEIGHT")


def plan(ledger: Ledger, scenario: Scenario) -> Plan:
    """Returns a scenario held against a ledger.

    A row holds from its year on (from the first year if it names none) wherever no later row of the file does. Raises
    :class:`InputError`, with every fault, for a driver or a part of the market that the ledger does not have, a year
    outside its window, and a row that later ones leave nothing to; a scenario for any ledger skips these and says so.
    """
    rows: dict[int, Setting] = {}
    faults = list[InputFault]()
    for k, row in enumerate(scenario.settings):
        try:
            rows[k] = _placed(ledger, row)
        except InputError as error:
            faults += [InputFault(("set", k), fault) for fault in error.faults]
    governs: dict[str, NDArray[np.intp]] = {}
    for k, row in rows.items():
        here = _cells(ledger, row)
        before = governs.setdefault(row.driver, np.full(here.shape, -1))
        before[here] = k
    acting = {int(k) for cells in governs.values() for k in np.unique(cells)}
    for k in [k for k in rows if k not in acting]:
        driver = rows.pop(k).driver
        way_out = "remove it, or let them begin later"
        faults.append(InputFault(("set", k), f"{driver}: later rows leave nothing to this one: {way_out}"))
    if faults and not scenario.any_ledger:
        raise scenario.error(faults)
    skipped = tuple(dict.fromkeys(fault.text.rpartition(": ")[0] or fault.text for fault in faults))
    return Plan(scenario, rows, governs, skipped)


def _placed(ledger: Ledger, row: Setting) -> Setting:
    """Returns a row with labels as the ledger has them. Raises :class:`InputError` where it does not fit the ledger."""
    driver, labels = DRIVERS[row.driver], driver_labels(ledger, row.driver)
    if not labels:
        raise InputError(f"{row.driver}: this ledger has none, for that needs {driver.needs}: leave the row out")
    named = {name: label_of(ledger, name, text) for name in SEGMENT_KEYS if (text := getattr(row, name)) is not None}
    placed = row.model_copy(update=named)
    if not _cells(ledger, placed).any() and (asked := [named[name] for name in ("line", "modality") if name in named]):
        dim = next(dim for dim in driver.dims if dim not in (BY_YEAR, "region", "depth"))
        known = ", ".join(map(str, labels[dim]))
        raise InputError(f"{row.driver} of {' of '.join(map(repr, asked))}: there is none: use one of {known}")
    if wrong := _out_of_window(ledger, row):
        raise InputError(wrong)
    return placed


def _out_of_window(ledger: Ledger, row: Setting) -> str:
    """Returns what is wrong with the years of a row, empty if nothing is."""
    first, last = ledger.years[0], ledger.years[-1]
    if row.since is not None and not first <= row.since <= last:
        return f"{row.driver}: from = {row.since} lies outside {first}..{last}: correct it"
    if DRIVERS[row.driver].unit == BY_YEAR:
        if row.operation == "value" and not first <= row.number <= last + LATEST:
            never = ", or set success_probability to 0 for never" if row.driver == "launch_year" else ""
            return f"{row.driver}: value = {row.number:g} lies outside {first}..{last + LATEST}: correct it{never}"
        if row.operation == "shift" and abs(row.number) > LATEST:
            return f"{row.driver}: shift = {row.number:g} is more than {LATEST} years: correct it"
    if row.driver == "pool_growth" and row.since == first:
        return f"pool_growth: from = {row.since}: nothing grows into the first year: give a later one, or none"
    return ""


def _cells(ledger: Ledger, row: Setting) -> NDArray[np.bool_]:
    """Returns the cells [the driver's dims] that a row is about."""
    cells = np.ones((), dtype=bool)
    for dim, labels in driver_labels(ledger, row.driver).items():
        cells = np.logical_and.outer(cells, [_is_about(ledger, row, dim, label) for label in labels])
    return np.asarray(cells)


def _is_about(ledger: Ledger, row: Setting, dim: str, label: Key) -> bool:
    if dim == BY_YEAR:
        return row.since is None or int(label) >= row.since
    if dim in ("region", "depth"):
        return getattr(row, dim) in (None, label)
    return row.line in (None, label) and row.modality in (None, modality_of(ledger, label))


def _or(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
