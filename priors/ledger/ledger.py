"""The claims ledger: what the report says and what was assumed beside it, as plain validated objects."""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from postcgrp.priors.catalogue import PRIOR_CLAIMS, Family
from postcgrp.priors.errors import InputError
from postcgrp.priors.shipped import ASSUMPTIONS_FILE, REPORT_FILE

SCHEMA = 1
CLAIM_TABLES = {"report": "report", "region": "regions", "depth": "depths", "modality": "modalities", "claim": "claims"}
ASSUMPTION_TABLES = {"assumption": "assumptions", "trust": "trust", "source": "sources"}

UNITS = (
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
)
MONEY = re.compile(r"([A-Z]{3}) (million|per patient-year)")  # in the report's currency
Role = Literal["prior", "evidence", "check", "context"]
Uptake = Literal["everyone", "adoption", "launch"]

POSITIVE: frozenset[str] = frozenset({"patients", "count", "days per month"})
UNIT_INTERVAL: frozenset[str] = frozenset({"fraction", "correlation"})
LARGEST_LOG = 3.0  # a factor of 20
LONGEST_WINDOW = 100
PERCENT = 100
ROUNDING = 0.0051  # half a percent, and a little for floating point
ENDS = ("low", "high")


def slug(name: str) -> str:
    """A name as a part of variable names: only what every file format allows there."""
    return re.sub(r"\W+", "_", name).strip("_") or "_"


def _named(text: str) -> str:
    if not text or text != text.strip():
        raise ValueError(f"name {text!r} is empty or has blanks around it: write it without them")
    return text


def _unit(text: str) -> str:
    if text not in UNITS and not MONEY.fullmatch(text):
        raise ValueError(
            f"unit {text!r} is not known: use one of {', '.join(UNITS)}, or money as 'USD million' or "
            "'USD per patient-year' in the report's currency"
        )
    return text


def _currency(text: str) -> str:
    if not re.fullmatch("[A-Z]{3}", text):
        raise ValueError(f"currency {text!r} is not a code of three capitals: write one such as 'USD'")
    return text


Name = Annotated[str, AfterValidator(_named)]
Unit = Annotated[str, AfterValidator(_unit)]
# Strict: a number in quotes, or true for 1, is a slip and not a number.
Number = Annotated[float, Strict()]
Whole = Annotated[int, Strict()]


class Row(BaseModel):
    """A frozen ledger row that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True)


class Quantified(Row):
    """A row with a point `value` or a range `low`..`high` in `unit`, perhaps for one segment and year."""

    id: Name
    year: Whole | None = None
    region: str | None = None
    depth: str | None = None
    modality: str | None = None
    value: Number | None = None
    low: Number | None = None
    high: Number | None = None
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
            if wrong := _misfit(number, self.unit):
                raise ValueError(f"{self.id!r}: {field} = {number:g} {wrong}")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"{self.id!r}: low = {self.low:g} is not below high = {self.high:g}: swap or widen them")
        return self


def _misfit(number: float, unit: str) -> str | None:
    """What is wrong with a number in a unit and the way out, or None."""
    fraction, money = _as_fraction(number), bool(MONEY.fullmatch(unit))
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

    coverage: Number = 0.9
    family: Family | None = None
    source: Name

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if not 0 < self.coverage < 1:
            raise ValueError(
                f"{self.id!r}: coverage = {self.coverage:g} is not inside 0..1: {_as_fraction(self.coverage)}"
            )
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
    source: Name
    reason: Name

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

    level: Name

    @property
    def name(self) -> str:
        """How messages call this row."""
        return f"trust {self.level!r}"


class Source(ErrorModel):
    """How far other sources of one kind may be off, and (`row_log_sd`) each of their rows beyond what all share."""

    kind: Name
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
            raise ValueError(f"{self.name}: a kind holds no colon: what follows one is the name of a single source")
        return self


class Segment(Row):
    """A region or a failure depth, as the report names it."""

    name: Name
    label: str | None = None
    aliases: tuple[str, ...] = ()


class Modality(Segment):
    """A treatment modality and the kind of uptake that the model gives it."""

    uptake: Uptake

    @property
    def key(self) -> str:
        """The name as a part of variable names: only what every file format allows there."""
        return slug(self.name)


class Header(Row):
    """What the report is and which years it covers."""

    id: Name
    title: Name
    vendor: Name
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


class Ledger(Row):
    """The report's claims and the assumptions beside them, checked against each other.

    Attributes: `report` (header), `regions`, `depths`, `modalities` (coordinates, in file order),
    `claims`, `assumptions`, `trust` (levels), `sources` (kinds of other sources). Built by :func:`load_ledger`.
    """

    report: Header
    regions: tuple[Segment, ...] = Field(min_length=1)
    depths: tuple[Segment, ...] = Field(min_length=1)
    modalities: tuple[Modality, ...] = Field(min_length=1)
    claims: tuple[Claim, ...] = Field(min_length=1)
    assumptions: tuple[Assumption, ...] = Field(min_length=1)
    trust: tuple[Trust, ...] = Field(min_length=1)
    sources: tuple[Source, ...] = ()

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
            _unique([" ".join(n.casefold().split()) for n in names], f"{dim} name")
        _unique([m.key.casefold() for m in self.modalities], "modality name as a variable's name")
        _unique([c.id for c in self.claims], "claim id")
        _unique([t.level for t in self.trust], "trust level")
        _unique([s.kind.casefold() for s in self.sources] + [self.report.id.casefold()], "kind of source")
        _unique(
            [" ".join(str(v) for v in (a.id, a.year, a.region, a.depth, a.modality)) for a in self.assumptions],
            "assumption (id year region depth modality)",
        )
        for row in (*self.claims, *self.assumptions):
            for dim, segments in zip(self.segments, (self.regions, self.depths, self.modalities), strict=True):
                _known(row.id, dim, getattr(row, dim), segments)
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
        priors = [c for c in self.claims if c.role == "prior"]
        adopted = [m.name for m in self.modalities if m.uptake == "adoption"]
        for claim in priors:
            _check_prior(claim)
            if claim.quantity == "adoption" and claim.modality not in adopted:
                way_out = f"name {' or '.join(map(repr, adopted))}" if adopted else "make it context"
                raise ValueError(
                    f"{claim.id!r}: modality {claim.modality!r} has no uptake = 'adoption' and so no adoption prior: "
                    f"{way_out}"
                )
        of = {quantity: [c for c in priors if c.quantity == quantity] for quantity in PRIOR_CLAIMS}
        _one_each([c.region for c in of["patients"]], regions, "patients", "region")
        _one_each([c.depth for c in of["depth_share"]], depths, "depth_share", "depth")
        for name in adopted:
            years = [c.year for c in of["adoption"] if c.modality == name]
            _one_each(years, self.report.anchors, f"adoption of {name}", "anchor year")
        for quantity in ("acute_use", "moh", "payer_block"):
            if len(of[quantity]) > 1:
                raise ValueError(
                    f"{quantity}: {len(of[quantity])} prior claims ({', '.join(c.id for c in of[quantity])}), but at "
                    "most one is needed: make the others checks"
                )
        # Rounded shares may miss one, and ranges need only contain it.
        low, high = (sum(getattr(c, end) if c.value is None else c.value for c in of["depth_share"]) for end in ENDS)
        if low - 1 > (slack := ROUNDING * len(depths)) or 1 - high > slack:
            total = f"{low:g}" if low == high else f"{low:g}..{high:g}"
            raise ValueError(f"the depth_share claims sum to {total}, not 1: correct the shares")


def middle(row: Quantified) -> float:
    """The point a claim or assumption states, or the middle of its range."""
    if row.value is not None:
        return row.value
    ends = [end for end in (row.low, row.high) if end is not None]
    return sum(ends) / len(ends)


def _check_prior(claim: Claim) -> None:
    """Refuse a prior claim that the model would not, or only in part, use."""
    entry = PRIOR_CLAIMS.get(claim.quantity)
    if entry is None:
        raise ValueError(
            f"{claim.id!r}: quantity {claim.quantity!r} takes no prior from a claim: use one of "
            f"{', '.join(PRIOR_CLAIMS)}, or make it a check or context"
        )
    if claim.unit != entry.unit:
        raise ValueError(
            f"{claim.id!r}: unit {claim.unit!r}: a prior on {claim.quantity} is in {entry.unit!r}: convert it"
        )
    for dim in ("region", "depth", "modality"):
        if (name := getattr(claim, dim)) is not None and dim not in entry.by:
            raise ValueError(
                f"{claim.id!r}: {dim} {name!r}: a prior on {claim.quantity} is not by {dim}: remove it or make it "
                "a check"
            )
    if entry.family is None:
        if claim.region is None or claim.value is None:
            raise ValueError(f"{claim.id!r}: a direction needs `region` and `value` (1, 0 or -1): add them")
        return
    if claim.value is None and None in (claim.low, claim.high):
        raise ValueError(f"{claim.id!r} is a prior with an open range: give both ends or make it context")
    check_support(claim, entry.family)


def check_support(row: Quantified, family: Family) -> None:
    """Refuse numbers on the edge of a family's support, where it has no density."""
    for field in ("value", *ENDS):
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


def _unique(keys: list[str], what: str) -> None:
    for key, count in Counter(keys).items():
        if count > 1:
            raise ValueError(f"{what} {key!r} stands {count} times (case and blanks do not count): keep one")


def _known(row: str, dim: str, name: str | None, segments: tuple[Segment, ...]) -> None:
    if name is None or name in (names := [s.name for s in segments]):
        return
    wanted = name.strip().casefold()
    near = [s.name for s in segments if wanted in [n.casefold() for n in (s.name, *s.aliases)]]
    way_out = f"write it {near[0]!r}" if near else f"use one of {', '.join(names)}"
    raise ValueError(f"{row!r}: {dim} {name!r} is not declared: {way_out}")


def _one_each(found: list[Any], wanted: tuple[Any, ...], quantity: str, what: str) -> None:
    for key in wanted:
        if (count := found.count(key)) != 1:
            way_out = "make the others checks" if count else "add a claim with role 'prior'"
            raise ValueError(
                f"{quantity}: {count} prior claims for {what} {key!r}, but exactly one is needed: {way_out}"
            )
    for key in found:
        if key not in wanted:
            raise ValueError(
                f"{quantity}: a prior claim for {what} {key!r}, but they are {', '.join(map(str, wanted))}: "
                "make it a check"
            )


def load_ledger(report: str | Path = REPORT_FILE, assumptions: str | Path = ASSUMPTIONS_FILE) -> Ledger:
    """Read and check a report's claims and the assumptions beside them.

    Parameters: `report`, `assumptions`, the two TOML files (format: docs/ledger.md).
    Raises :class:`InputError` with one line naming the value, the rule and the way out.
    """
    report, assumptions = Path(report), Path(assumptions)
    tables: dict[str, Any] = {}
    for path, names in ((report, CLAIM_TABLES), (assumptions, ASSUMPTION_TABLES)):
        found = read_toml(path)
        schema = found.pop("schema", None)
        if type(schema) is not int or schema != SCHEMA:
            raise InputError(
                f"{path.name}: schema = {schema!r}, but this version reads {SCHEMA} only: write `schema = {SCHEMA}` "
                "as its first line"
            )
        if unknown := [name for name in found if name not in names]:
            near = get_close_matches(unknown[0], names, 1)
            known = ", ".join(f"[{n}]" if n == "report" else f"[[{n}]]" for n in names)
            raise InputError(
                f"{path.name}: table {unknown[0]!r} is not known: {f'write {near[0]!r}' if near else f'use {known}'}"
            )
        tables |= {field: found[name] for name, field in names.items() if name in found}
    try:
        return Ledger.model_validate(tables)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        of_claims = not first["loc"] or first["loc"][0] in CLAIM_TABLES.values()
        raise InputError(f"{(report if of_claims else assumptions).name}: {_line(first, tables)}") from None


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises :class:`InputError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): give the path of a readable TOML file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read as UTF-8 ({error.reason}): give a TOML text file") from None
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: is not valid TOML ({reason}): correct that line") from None


def _line(error: ErrorDetails, tables: dict[str, Any]) -> str:
    """One line for pydantic's error: where, the value, the rule, the way out."""
    table, row, field = _place(error["loc"], tables)
    message = str(error["msg"]).removeprefix("Value error, ")
    place = f"{table}{f' {row!r}' if row else ''}"
    if error["type"] == "value_error":  # from this module; a message on a whole row names it already
        return f"{place}: {field}: {message}" if field else message
    where = table if not field else place
    return f"{where}: {worded(error, field, _fields(table), table)}"


def worded(error: ErrorDetails, field: str, known: Sequence[str], table: str = "") -> str:
    """Pydantic's error about a field, or a whole table, in words: the value, the rule, the way out.

    Parameters: `known`, the fields that there are.
    """
    found, message = error["input"], str(error["msg"])
    name, short = field or table, str(found)[:60]
    value = f"{name} = {short!r}" if isinstance(found, str) else f"{name} = {short}"
    context = error.get("ctx", {})
    near = get_close_matches(field, known, 1)
    few = f"{value} is too short: give at least {context.get('min_length')}"
    table_wanted = f"found {short!r}, not a table: write it as {table or f'[{field}]'}"
    words = {
        "missing": f"`{field}` is missing: add it" if field else "is missing: add it (docs/ledger.md shows how)",
        "too_short": few if field else "is missing: add it (docs/ledger.md shows how)",
        "extra_forbidden": f"field {field!r} is not known: {f'write {near[0]!r}' if near else 'remove it'}",
        "literal_error": f"{value} is not known: use {context.get('expected')}",
        "float_type": f"{value} is not a number: write it as a number without quotes",
        "int_type": f"{value} is not a whole number: write it as a whole number without quotes",
        "string_type": f"{value} is not text: write it in quotes ({str(found)!r})",
        "tuple_type": f"{value} is not a list: write it in brackets" if field else table_wanted,
        "model_type": table_wanted,
        "model_attributes_type": table_wanted,
    }
    return words.get(error["type"], f"{value}: {message}: correct it")


def _place(loc: tuple[int | str, ...], tables: dict[str, Any]) -> tuple[str, str, str]:
    """The table, the row's name and the field of an error's location; empty where it has none."""
    if not loc:
        return "", "", ""
    names = {field: name for name, field in (*CLAIM_TABLES.items(), *ASSUMPTION_TABLES.items())}
    content, rest = tables.get(str(loc[0])), list(loc[1:])
    if not (single := loc[0] == "report") and rest:
        index = rest.pop(0)
        content = content[index] if isinstance(content, (list, tuple)) and isinstance(index, int) else None
        row = content if isinstance(content, dict) else {}
        name = str(
            row.get("id") or row.get("name") or row.get("level") or row.get("kind") or f"number {int(index) + 1}"
        )
    else:
        name = ""
    table = names.get(str(loc[0]), str(loc[0]))
    return (f"[{table}]" if single else f"[[{table}]]"), name, ".".join(map(str, rest))


def _fields(table: str) -> list[str]:
    rows: dict[str, type[Row]] = {
        "report": Header,
        "region": Segment,
        "depth": Segment,
        "modality": Modality,
        "claim": Claim,
        "assumption": Assumption,
        "trust": Trust,
        "source": Source,
    }
    return list(rows[table.strip("[]")].model_fields)
