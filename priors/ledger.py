"""The claims ledger: what the report says and what was assumed beside it, as plain validated objects."""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from postcgrp.priors.errors import InputError

SCHEMA = 1
REPORT = Path(__file__).with_name("report.toml")
ASSUMPTIONS = Path(__file__).with_name("assumptions.toml")

Unit = Literal[
    "USD million",
    "USD per patient-year",
    "patients",
    "fraction",
    "fraction per year",
    "days per month",
    "year",
    "count",
    "sign",
    "log",
    "logit",
    "correlation",
]
Role = Literal["prior", "evidence", "check", "context"]
Uptake = Literal["everyone", "adoption", "launch"]
Family = Literal["normal", "lognormal", "logitnormal"]

POSITIVE: frozenset[str] = frozenset({"USD million", "USD per patient-year", "patients", "count", "days per month"})
UNIT_INTERVAL: frozenset[str] = frozenset({"fraction", "correlation"})


def _named(text: str) -> str:
    if not text or text != text.strip():
        raise ValueError(f"name {text!r} is empty or has blanks around it: write it without them")
    return text


Name = Annotated[str, AfterValidator(_named)]


class Row(BaseModel):
    """A frozen ledger row that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True)


class Quantified(Row):
    """A row with a point `value` or a range `low`..`high` in `unit`, perhaps for one segment and year."""

    id: Name
    year: int | None = None
    region: str | None = None
    depth: str | None = None
    modality: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: Unit
    reason: Name

    @model_validator(mode="after")
    def _numbers(self) -> Self:
        numbers = {k: getattr(self, k) for k in ("value", "low", "high") if getattr(self, k) is not None}
        if not numbers:
            raise ValueError(f"{self.id!r} has no number: give `value`, or `low` and `high`")
        if "value" in numbers and len(numbers) > 1:
            raise ValueError(f"{self.id!r} has both a value and a range: keep one")
        for field, number in numbers.items():
            if not math.isfinite(number):
                raise ValueError(f"{self.id!r}: {field} = {number} is not a finite number: correct it")
            if self.unit in UNIT_INTERVAL and not 0 <= number <= 1:
                raise ValueError(
                    f"{self.id!r}: {field} = {number:g} is outside 0..1 for unit {self.unit!r}: "
                    f"write percentages as fractions ({number / 100:g})"
                )
            if self.unit == "fraction per year" and abs(number) >= 1:
                raise ValueError(
                    f"{self.id!r}: {field} = {number:g} is no yearly rate: write percentages as fractions "
                    f"({number / 100:g})"
                )
            if self.unit in POSITIVE and number < 0:
                raise ValueError(f"{self.id!r}: {field} = {number:g} {self.unit} is negative: it must be positive")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(
                f"{self.id!r}: low = {self.low:g} is not below high = {self.high:g}: swap or widen them"
            )
        return self


class Claim(Quantified):
    """One number of the report: what it says, verbatim, and the role it plays in the forecast."""

    quantity: Name
    item: str | None = None
    role: Role
    quote: Name
    also: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.role == "evidence" and (self.high is None) != (self.low is None):
            raise ValueError(f"{self.id!r} is evidence with an open range: give both ends or make it context")
        if self.role == "evidence" and 0.0 in (self.value, self.low):
            raise ValueError(f"{self.id!r} is evidence of zero, which no log scale holds: make it a check")
        if self.role == "evidence" and self.year is None:
            raise ValueError(f"{self.id!r} is evidence without a year: add `year`")
        return self


class Assumption(Quantified):
    """One number that is not from the report: a fixed `value`, or a range that becomes a prior."""

    coverage: float = Field(0.9, gt=0, lt=1)
    family: Family | None = None
    source: Name

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if self.value is None and (self.low is None or self.high is None):
            raise ValueError(f"{self.id!r} has an open range: give both `low` and `high`")
        return self


class Trust(Row):
    """How far a syndicated report may be off: log-sd at the base year and at the last year of its forecast."""

    level: Name
    base_log_sd: float = Field(gt=0)
    final_log_sd: float = Field(gt=0)
    source: Name
    reason: Name

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.final_log_sd < self.base_log_sd:
            raise ValueError(
                f"trust {self.level!r}: final_log_sd = {self.final_log_sd:g} is below base_log_sd = "
                f"{self.base_log_sd:g}: an error that is a random walk cannot shrink with the horizon"
            )
        return self


class Segment(Row):
    """A region or a failure depth, as the report names it."""

    name: Name
    label: str | None = None
    aliases: tuple[str, ...] = ()


class Modality(Segment):
    """A treatment modality and the kind of uptake that the model gives it."""

    uptake: Uptake


class Header(Row):
    """What the report is and which years it covers."""

    id: Name
    title: Name
    vendor: Name
    currency: Name
    first_year: int
    last_year: int
    anchors: tuple[int, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _anchored(self) -> Self:
        if list(self.anchors) != sorted(set(self.anchors)):
            raise ValueError(f"anchors {list(self.anchors)} are not increasing years: sort them")
        if (self.first_year, self.last_year) != (self.anchors[0], self.anchors[-1]):
            raise ValueError(
                f"anchors {list(self.anchors)} must begin with first_year = {self.first_year} "
                f"and end with last_year = {self.last_year}"
            )
        return self


class Ledger(Row):
    """The report's claims and the assumptions beside them, checked against each other.

    Attributes: `report` (header), `regions`, `depths`, `modalities` (coordinates, in file order),
    `claims`, `assumptions`, `trust` (levels). Built by :func:`load_ledger`.
    """

    report: Header
    regions: tuple[Segment, ...] = Field(min_length=1)
    depths: tuple[Segment, ...] = Field(min_length=1)
    modalities: tuple[Modality, ...] = Field(min_length=1)
    claims: tuple[Claim, ...] = Field(min_length=1)
    assumptions: tuple[Assumption, ...] = Field(min_length=1)
    trust: tuple[Trust, ...] = Field(min_length=1)

    @property
    def years(self) -> tuple[int, ...]:
        """Every year of the forecast window."""
        return tuple(range(self.report.first_year, self.report.last_year + 1))

    @property
    def segments(self) -> dict[str, tuple[str, ...]]:
        """Segment names by dimension."""
        return {
            "region": tuple(s.name for s in self.regions),
            "depth": tuple(s.name for s in self.depths),
            "modality": tuple(s.name for s in self.modalities),
        }

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for dim, names in self.segments.items():
            _unique([n.casefold() for n in names], f"{dim} name")
        _unique([c.id for c in self.claims], "claim id")
        _unique([t.level for t in self.trust], "trust level")
        _unique(
            [" ".join(str(v) for v in (a.id, a.year, a.region, a.depth, a.modality)) for a in self.assumptions],
            "assumption (id year region depth modality)",
        )
        for row in (*self.claims, *self.assumptions):
            for dim, names in self.segments.items():
                _known(row.id, dim, getattr(row, dim), names)
            modelled = not isinstance(row, Claim) or row.role in ("prior", "evidence")
            if modelled and row.year is not None and row.year not in self.years:
                raise ValueError(
                    f"{row.id!r}: year {row.year} is outside {self.years[0]}..{self.years[-1]}: "
                    "correct it or make the claim context"
                )
        self._check_priors()
        return self

    def _check_priors(self) -> None:
        regions, depths, _ = self.segments.values()
        _one_each([c.region for c in self.claims if _is_prior(c, "patients")], regions, "patients", "region")
        shares = [c for c in self.claims if _is_prior(c, "depth_share")]
        _one_each([c.depth for c in shares], depths, "depth_share", "depth")
        total = sum(middle(c) for c in shares)
        if abs(total - 1) > 0.01:
            raise ValueError(f"the depth_share claims sum to {total:g}, not 1: correct the shares")
        for modality in self.modalities:
            if modality.uptake == "adoption":
                years = [
                    c.year for c in self.claims if _is_prior(c, "adoption") and c.modality == modality.name
                ]
                _one_each(years, self.report.anchors, f"adoption of {modality.name}", "anchor year")
        for quantity in ("patients", "depth_share", "adoption", "acute_use", "moh", "payer_block"):
            for claim in self.claims:
                if _is_prior(claim, quantity) and not 0 < middle(claim) < math.inf:
                    raise ValueError(f"{claim.id!r}: a prior needs a positive number: correct it")


def middle(row: Quantified) -> float:
    """The point a claim or assumption states, or the middle of its range."""
    if row.value is not None:
        return row.value
    ends = [end for end in (row.low, row.high) if end is not None]
    return sum(ends) / len(ends)


def _is_prior(claim: Claim, quantity: str) -> bool:
    return claim.role == "prior" and claim.quantity == quantity


def _unique(keys: list[str], what: str) -> None:
    for key, count in Counter(keys).items():
        if count > 1:
            raise ValueError(f"{what} {key!r} stands {count} times (case and blanks do not count): keep one")


def _known(row: str, dim: str, name: str | None, names: tuple[str, ...]) -> None:
    if name is None or name in names:
        return
    near = [n for n in names if n.casefold() == name.strip().casefold()]
    way_out = f"write it {near[0]!r}" if near else f"use one of {', '.join(names)}"
    raise ValueError(f"{row!r}: {dim} {name!r} is not declared: {way_out}")


def _one_each(found: list[Any], wanted: tuple[Any, ...], quantity: str, what: str) -> None:
    for key in wanted:
        if found.count(key) != 1:
            raise ValueError(
                f"{quantity}: {found.count(key)} prior claims for {what} {key!r}, but exactly one is needed"
            )
    if len(found) > len(wanted):
        raise ValueError(f"{quantity}: prior claims must each name a declared {what}")


def load_ledger(report: Path = REPORT, assumptions: Path = ASSUMPTIONS) -> Ledger:
    """Read and check a report's claims and the assumptions beside them.

    Parameters: `report`, `assumptions`, the two TOML files (format: docs/ledger.md).
    Raises :class:`InputError` with one line naming the value, the rule and the way out.
    """
    claims, beside = _read(report), _read(assumptions)
    for path, content in ((report, claims), (assumptions, beside)):
        if content.pop("schema", None) != SCHEMA:
            raise InputError(f"{path.name}: `schema` must be {SCHEMA}: this version reads no other ledger")
    tables = {
        "report": claims.pop("report", None),
        "regions": claims.pop("region", ()),
        "depths": claims.pop("depth", ()),
        "modalities": claims.pop("modality", ()),
        "claims": claims.pop("claim", ()),
        "assumptions": beside.pop("assumption", ()),
        "trust": beside.pop("trust", ()),
    }
    for path, rest in ((report, claims), (assumptions, beside)):
        if rest:
            raise InputError(f"{path.name}: unknown table {next(iter(rest))!r}: see docs/ledger.md")
    try:
        return Ledger.model_validate(tables)
    except ValidationError as error:
        raise InputError(f"{report.name}, {assumptions.name}: {_first_line(error, tables)}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}): give the path of a readable TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: is not valid TOML ({error}): correct that line") from None


def _first_line(error: ValidationError, tables: dict[str, Any]) -> str:
    first = error.errors(include_url=False)[0]
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "value_error":
        return message
    where: Any = tables
    row = ""
    for step in first["loc"]:
        try:
            where = where[step]
        except (KeyError, IndexError, TypeError):
            break
        if isinstance(where, dict):
            row = where.get("id") or where.get("name") or where.get("level") or row
    place = ".".join(str(step) for step in first["loc"])
    return f"{place}{f' (row {row!r})' if row else ''}: {message} (found {str(first['input'])[:60]!r})"
