"""The rows of a ledger: claims, assumptions, error models, segments and the report's header."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, model_validator

from postcgrp.priors.catalogue import Family, holds_some

UNITS = (
    "patients",
    "fraction",
    "fraction per year",
    "days per month",
    "year",
    "years",
    "count",
    "sign",
    "log",
    "logit",
    "correlation",
)
MONEY_PATTERN = re.compile(r"([A-Z]{3}) (million|per patient-year)")  # in the report's currency
Role = Literal["prior", "evidence", "check", "context"]
UptakeKind = Literal["everyone", "adoption", "launch"]
Stage = Literal["sold", "pipeline"]
VendorAssumes = Literal["success", "expectation"]

POSITIVE: frozenset[str] = frozenset({"patients", "count", "days per month", "years"})
UNIT_INTERVAL: frozenset[str] = frozenset({"fraction", "correlation"})
LARGEST_LOG = 3.0  # a factor of 20
LONGEST_WINDOW = 100
PERCENT = 100
RANGE_ENDS = ("low", "high")


def slug(name: str) -> str:
    """Returns a name as it stands in variable names: only letters, digits and underscores."""
    return re.sub(r"\W+", "_", name).strip("_") or "_"


def _named(text: str) -> str:
    if not text or text != text.strip():
        raise ValueError(f" = {text!r} is empty or has blanks around it: write it without them")
    return text


def _unit(text: str) -> str:
    if text not in UNITS and not MONEY_PATTERN.fullmatch(text):
        raise ValueError(
            f" = {text!r} is not known: use one of {', '.join(UNITS)}, or money as 'USD million' or "
            "'USD per patient-year' in the report's currency"
        )
    return text


def _currency(text: str) -> str:
    if not re.fullmatch("[A-Z]{3}", text):
        raise ValueError(f" = {text!r} is not a code of three capitals: write one such as 'USD'")
    return text


Text = Annotated[str, AfterValidator(_named)]
Unit = Annotated[str, AfterValidator(_unit)]
# Strict: a number in quotes, or `true` for 1, is a mistake.
Number = Annotated[float, Strict()]
Whole = Annotated[int, Strict()]


class Row(BaseModel):
    """A frozen row of a TOML file that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True)


class Placed(Row):
    """A row on something, perhaps for one segment and year, that may state a point `value` or a range `low`..`high`."""

    id: Text
    year: Whole | None = None
    region: str | None = None
    depth: str | None = None
    modality: str | None = None
    line: str | None = None
    value: Number | None = None
    low: Number | None = None
    high: Number | None = None


class Quantified(Placed):
    """A row with a point or a range, in `unit`."""

    unit: Unit
    reason: Text

    @model_validator(mode="after")
    def _numbers(self) -> Self:
        numbers = {k: getattr(self, k) for k in ("value", "low", "high") if getattr(self, k) is not None}
        if not numbers:
            raise ValueError(f"{self.id!r} has no number: give `value`, or `low` and `high`")
        if "value" in numbers and len(numbers) > 1:
            raise ValueError(f"{self.id!r} has both a value and a range: keep one")
        for field, number in numbers.items():
            if wrong := _misfit(number, self.unit):
                raise ValueError(f"{self.id!r}: {field} = {number:g} {wrong}")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"{self.id!r}: low = {self.low:g} is not below high = {self.high:g}: swap or widen them")
        return self


def _misfit(number: float, unit: str) -> str | None:
    """Returns what is wrong with a number in a unit and the way out, or None if nothing is."""
    fraction, money = _as_fraction(number), bool(MONEY_PATTERN.fullmatch(unit))
    rules = (
        (not math.isfinite(number), "is not a finite number: correct it"),
        (unit in UNIT_INTERVAL and not 0 <= number <= 1, f"is outside 0..1 for unit {unit!r}: {fraction}"),
        (unit == "fraction per year" and abs(number) >= 1, f"is no yearly rate: {fraction}"),
        (unit == "log" and abs(number) > LARGEST_LOG, f"is a factor of over 20 on the log scale: {fraction}"),
        (unit == "sign" and number not in (-1, 0, 1), "is no direction: write 1, 0 or -1"),
        ((unit in POSITIVE or money) and number < 0, f"{unit} is negative: it must be positive"),
    )
    return next((message for broken, message in rules if broken), None)


def _as_fraction(number: float) -> str:
    if 0 < abs(number) <= PERCENT:
        return f"write percentages as fractions ({number / PERCENT:g})"
    return "correct it, and write percentages as fractions (0.08 for 8 %)"


def misfit_coverage(coverage: float) -> str | None:
    """Returns what is wrong with the prior mass in a range and the way out, or None if nothing is."""
    if holds_some(coverage):
        return None
    return f"coverage = {coverage:g} is not inside 0..1: {_as_fraction(coverage)}"


class Claim(Quantified):
    """One number of the report: what it says, verbatim, and the role it plays in the forecast."""

    quantity: Text
    item: str | None = None
    # The setting, if None; left out of files then, as in those of runs that did not have it.
    coverage: Number | None = Field(default=None, exclude_if=lambda coverage: coverage is None)
    role: Role
    quote: Text
    also: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.role == "evidence" and (self.high is None) != (self.low is None):
            raise ValueError(f"{self.id!r} is evidence with an open range: give both ends or make it context")
        if self.role == "evidence" and 0.0 in (self.value, self.low):
            raise ValueError(f"{self.id!r} is evidence of zero, which no log scale holds: make it a check")
        undated = self.quantity.endswith("_share") or self.unit == "year"
        if self.role == "evidence" and self.year is None and not undated:
            raise ValueError(f"{self.id!r} is evidence without a year: add `year`")
        if self.coverage is not None and (wrong := misfit_coverage(self.coverage)):
            raise ValueError(f"{self.id!r}: {wrong}")
        return self


class Assumption(Quantified):
    """One number that is not from the report: a fixed `value`, or a range that becomes a prior."""

    coverage: Number = 0.9
    family: Family | None = None
    source: Text

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if wrong := misfit_coverage(self.coverage):
            raise ValueError(f"{self.id!r}: {wrong}")
        if self.value is None and (self.low is None or self.high is None):
            raise ValueError(f"{self.id!r} has an open range: give both `low` and `high`")
        return self


class ErrorModel(Row):
    """How far a source may be off, on the log scale: sd and bias at the base year and at the last year.

    A positive bias is optimism: the source's figures lie above the truth.
    """

    base_log_sd: Number
    final_log_sd: Number
    base_log_bias: Number = 0.0
    final_log_bias: Number = 0.0
    source: Text
    reason: Text

    @property
    def name(self) -> str:
        """How messages call this row."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _grows(self) -> Self:
        for field in ("base_log_sd", "final_log_sd", "base_log_bias", "final_log_bias"):
            number = getattr(self, field)
            if wrong := _misfit(number, "log"):
                raise ValueError(f"{self.name}: {field} = {number:g} {wrong}")
            if number <= 0 and field.endswith("_sd"):
                raise ValueError(f"{self.name}: {field} = {number:g} is not above zero: write a small one (0.001)")
        if self.final_log_sd < self.base_log_sd:
            raise ValueError(
                f"{self.name}: final_log_sd = {self.final_log_sd:g} is below base_log_sd = "
                f"{self.base_log_sd:g}: an error that is a random walk cannot shrink with the horizon: "
                "raise final_log_sd"
            )
        return self


class Trust(ErrorModel):
    """How far the report may be off, under one named level of trust."""

    level: Text

    @property
    def name(self) -> str:
        """How messages call this row."""
        return f"trust {self.level!r}"


class Source(ErrorModel):
    """How far other sources of one kind may be off, and `row_log_sd`: how far each of their rows may be off besides."""

    kind: Text
    row_log_sd: Number | None = None

    @property
    def name(self) -> str:
        """How messages call this row."""
        return f"source {self.kind!r}"

    @model_validator(mode="after")
    def _rows(self) -> Self:
        if (sd := self.row_log_sd) is not None and (sd <= 0 or _misfit(sd, "log")):
            raise ValueError(f"{self.name}: row_log_sd = {sd:g} must lie between 0 and {LARGEST_LOG:g}: correct it")
        if ":" in self.kind:
            raise ValueError(f"{self.name}: a kind has no colon: the name of a single source follows one")
        return self


class Segment(Row):
    """A region or a failure depth, as the report names it."""

    name: Text
    label: str | None = None
    aliases: tuple[str, ...] = ()


class Modality(Segment):
    """A treatment modality and the kind of uptake that the model gives it.

    `vendor_assumes`: how the report's figures on a launched modality, or a pipeline line, are read: as given its
    `success`, or as the `expectation` over success and failure.
    """

    uptake: UptakeKind
    vendor_assumes: VendorAssumes = "success"

    @property
    def key(self) -> str:
        """The name as it stands in variable names."""
        return slug(self.name)


class Line(Segment):
    """What patients of a modality use, with prices of its own; lines of one modality may overlap.

    `stage`: `sold`, or `pipeline` for one that may come on the market. `vendor_assumes` as for a modality.
    """

    modality: Text
    stage: Stage = "sold"
    vendor_assumes: VendorAssumes = "expectation"

    @property
    def key(self) -> str:
        """The name as it stands in variable names."""
        return slug(self.name)


class ReportHeader(Row):
    """What the report is and which years it covers."""

    id: Text
    title: Text
    vendor: Text
    currency: Annotated[str, AfterValidator(_currency)]
    first_year: Whole
    last_year: Whole
    anchors: tuple[Whole, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _anchored(self) -> Self:
        if list(self.anchors) != sorted(set(self.anchors)):
            raise ValueError(f"anchors {list(self.anchors)} are not increasing years: sort them")
        if (self.first_year, self.last_year) != (self.anchors[0], self.anchors[-1]):
            raise ValueError(
                f"anchors {list(self.anchors)} must begin with first_year = {self.first_year} "
                f"and end with last_year = {self.last_year}: correct one of them"
            )
        if self.last_year - self.first_year >= LONGEST_WINDOW:
            raise ValueError(
                f"last_year = {self.last_year} is {self.last_year - self.first_year} years after first_year = "
                f"{self.first_year}: a forecast spans less than {LONGEST_WINDOW} years: correct one of them"
            )
        return self


def middle(row: Quantified) -> float:
    """Returns the point that a row states, or the middle of its range."""
    if row.value is not None:
        return row.value
    ends = [end for end in (row.low, row.high) if end is not None]
    return sum(ends) / len(ends)


def check_support(row: Quantified, family: Family) -> None:
    """Refuse numbers on the edge of a family's support, where it has no density. Raises :class:`ValueError`."""
    for field in ("value", *RANGE_ENDS):
        number = getattr(row, field)
        if number is None or family == "normal":
            continue
        if number <= 0:
            raise ValueError(
                f"{row.id!r}: {field} = {number:g}: a prior here must lie above 0: write a small one (0.001)"
            )
        if number >= 1 and family == "logitnormal":
            raise ValueError(
                f"{row.id!r}: {field} = {number:g}: a prior here must lie below 1: write a near one (0.999)"
            )
