"""A deal as its author writes it, checked: what it captures, its economics, risk, discounting and sources."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    model_validator,
)

from postcgrp.priors import InputError
from postcgrp.priors.ledger import Whole
from postcgrp.priors.messages import NO_DATE, InputFault, faults_in_words, nearest_or
from postcgrp.priors.toml_file import TomlFile
from postcgrp.reports.valuation import distributions
from postcgrp.reports.valuation.distributions import Uncertain, read

SCHEMA = 1
UNSTATED = "assumption (no reason stated)"
APPROVAL = "approval"
LAUNCH = "launch"
STAGES = (  # phases must be in this order; one whose name matches none of these may stand anywhere
    r"discovery",
    r"pre-?clinical",
    r"feasibility|first.in.human|phase (1|i)\b",
    r"phase (2|ii)\b",
    r"pivotal|phase (3|iii)\b",
    r"submission|review|approval|registration|clearance",
)

Fraction = Annotated[Uncertain, BeforeValidator(partial(read, kind=distributions.SHARE))]
PositiveFraction = Annotated[Uncertain, BeforeValidator(partial(read, kind=distributions.POSITIVE_FRACTION))]
Rate = Annotated[Uncertain, BeforeValidator(partial(read, kind=distributions.RATE))]
Growth = Annotated[Uncertain, BeforeValidator(partial(read, kind=distributions.GROWTH))]
Money = Annotated[Uncertain, BeforeValidator(partial(read, kind=distributions.MONEY))]
Year = Annotated[Uncertain, BeforeValidator(partial(read, kind=distributions.YEAR))]
Span = Annotated[Uncertain, BeforeValidator(partial(read, kind=distributions.DURATION))]
Multiple = Annotated[Uncertain, BeforeValidator(partial(read, kind=distributions.MULTIPLE))]
NOTHING, EVERYTHING = Uncertain("fixed", {"value": 0.0}), Uncertain("fixed", {"value": 1.0})


def _named(text: str) -> str:
    if text != text.strip() or not text or re.search(r"[.\[\]\n]", text):
        raise ValueError(f" = {text!r} is empty or has blanks around it, a dot or a bracket: rename it")
    return text


def _date(value: Any) -> Any:
    """Refuse numbers, which pydantic would read as seconds, and times of day."""
    if isinstance(value, dt.datetime) or not isinstance(value, dt.date | str):
        raise ValueError(f" = {value} {NO_DATE}")  # noqa: TRY004  pydantic collects these only
    return value


Name = Annotated[str, AfterValidator(_named)]
Segments = Annotated[tuple[str, ...], Field(min_length=1)]


class Part(BaseModel):
    """A frozen part of a deal that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Captured(Part):
    """Which cells of the market the deal's product competes in, and the share of them that it takes.

    `modalities`, `regions` or `depths` left out mean all. The share rises linearly from `launch_year` over `ramp_years`
    to its peak; from `loss_of_exclusivity` on, `share_kept` of it remains. `net` is the part of the spending on the
    product that reaches its seller. `price`, in the report's currency per treated patient-year or procedure, replaces
    the market's own.
    """

    modalities: Segments = ()
    regions: Segments = ()
    depths: Segments = ()
    peak_share: Fraction
    launch_year: Year
    ramp_years: Span = NOTHING
    loss_of_exclusivity: Year | None = None
    share_kept: Fraction = NOTHING
    net: Fraction = EVERYTHING
    price: Money | None = None


class Tier(Part):
    """A royalty `rate` on the part of a year's net sales `above` a level (million)."""

    above: Money
    rate: Fraction


class Cost(Part):
    """Yearly amounts (million) from the start of a `stage`, or from the calendar year `from_year`.

    `stage` is a phase, or "launch"; the amounts are spent only if it is reached. Without one they are always spent.
    """

    name: Name
    stage: str | None = None
    from_year: Whole | None = None
    by_year: tuple[Money, ...] = Field(min_length=1)


class Milestone(Part):
    """An `amount` (million) paid, or `received`, once: on a phase's success, on approval, or above yearly net sales."""

    name: Name
    on: str | None = None
    net_sales_above: Money | None = None
    amount: Money
    received: Annotated[bool, Strict()] = False


class Economics(Part):
    """What a net sale is worth: a `margin`, or a `royalty` in tiers; and what is paid for it.

    `upfront` is paid on the valuation date. `losses`: a year's loss is carried forward, relieved at once against other
    profits of the holder, or lost; losses carried forward offset at most `loss_limit` of a year's profit.
    `working_capital` is a share of yearly net sales, tied up as they grow, freed as they fall and at the end.
    """

    margin: Fraction | None = None
    royalty: tuple[Tier, ...] = ()
    royalty_paid: tuple[Tier, ...] = ()
    upfront: Money = NOTHING
    tax_rate: Fraction = NOTHING
    losses: Literal["carried forward", "relieved at once", "lost"] = "carried forward"
    loss_limit: Fraction = EVERYTHING
    working_capital: Fraction = NOTHING
    cost: tuple[Cost, ...] = ()
    milestone: tuple[Milestone, ...] = ()


class Phase(Part):
    """A hurdle, taken with a `probability` after a `duration` in years; it begins at once, or in `start` if later."""

    name: Name
    probability: PositiveFraction
    duration: Span
    start: Year | None = None


class Risk(Part):
    """The phases, in order."""

    phase: tuple[Phase, ...] = ()


class Discounting(Part):
    """The yearly `rate`, without the technical risk that the phases hold, and when in a year its flow is due."""

    rate: Rate
    convention: Literal["start", "mid", "end"] = "mid"
    day_count: Literal["years", "actual/365"] = "years"
    valuation_date: Annotated[dt.date, BeforeValidator(_date)]


class Terminal(Part):
    """The value of what lies beyond the last year of the run, an assumption with a `label`.

    Either the last year's flow goes on with `growth`, for `years` or for ever, or it counts with a `multiple`.
    """

    label: Annotated[str, Field(pattern=r"\S")]
    growth: Growth | None = None
    years: Span | None = None
    multiple: Multiple | None = None


class Deal(Part):
    """A deal; money is in millions of the report's currency. Built by :func:`load_deal`; format: docs/value.md."""

    schema_: Whole = Field(alias="schema")
    name: Name
    description: str = ""
    currency: str | None = None
    captured: Captured
    economics: Economics
    risk: Risk = Risk()
    discounting: Discounting
    terminal: Terminal | None = None
    sources: dict[str, str] = {}

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases, in order."""
        return self.risk.phase

    @property
    def inputs(self) -> dict[str, Uncertain]:
        """Every number of the deal by its path, such as `economics.cost.trial.by_year[1]`."""
        return dict(_inputs(self, ""))

    def source(self, path: str) -> str:
        """Where an input comes from: the `[sources]` entry for it, or for the part of the deal that holds it."""
        covering = [key for key in self.sources if re.match(re.escape(key) + r"(?![^.\[])", path)]
        return (self.sources[max(covering, key=len)] if covering else "") or UNSTATED

    def fingerprint(self) -> str:
        """sha256 of the deal's content."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.schema_ != SCHEMA:
            raise ValueError(f"schema = {self.schema_}: this version reads {SCHEMA} only: write `schema = {SCHEMA}`")
        economics = self.economics
        for kind, rows in (("cost", economics.cost), ("milestone", economics.milestone), ("phase", self.phases)):
            unique([row.name for row in rows], kind)
        _check_phases(self.phases)
        _check_economics(economics, [phase.name for phase in self.phases])
        _check_terminal(self.terminal)
        _check_captured(self.captured)
        known = self.inputs
        for key in self.sources:
            if not any(re.match(re.escape(key) + r"(?![^.\[])", path) for path in known):
                way_out = nearest_or(key, list(known), "remove it")
                raise ValueError(f"[sources]: {key!r} is no input of this deal: {way_out}")
        return self


def load_deal(path: str | Path) -> Deal:
    """Returns one deal as read and checked (TOML; format: docs/value.md).

    Raises :class:`InputError` with one line per fault: the file and line, the value, the rule and the way out.
    """
    file = TomlFile.read(Path(path))
    if not file.content:
        raise InputError(f"{file.name}: is empty: start from one of docs/examples")
    try:
        return Deal.model_validate(file.content)
    except ValidationError as error:
        raise file.error(_faults(error, file.content)) from None


def read_deal(tables: dict[str, Any], origin: str = "deal") -> Deal:
    """Returns a deal given as plain tables, checked; `origin` names it in messages. Raises :class:`InputError`."""
    try:
        return Deal.model_validate(tables)
    except ValidationError as error:
        raise InputError(*(f"{origin}: {fault.text}" for fault in _faults(error, tables))) from None


def _faults(error: ValidationError, tables: dict[str, Any]) -> list[InputFault]:
    return faults_in_words(error, Deal, tables, guide="docs/value.md")


def _check_phases(phases: Sequence[Phase]) -> None:
    ranked = [
        (phase.name, rank)
        for phase in phases
        for rank, words in enumerate(STAGES)
        if re.search(words, phase.name.casefold())
    ]
    for (before, high), (after, low) in pairwise(ranked):
        if low < high:
            raise ValueError(f"risk.phase: {before!r} stands before {after!r}: phases out of order: list them in time")
    begun = [(phase.name, float(phase.start.quantile(0.5))) for phase in phases if phase.start]
    for (before, early), (after, late) in pairwise(begun):
        if late < early:
            raise ValueError(
                f"risk.phase: {after!r} starts in {late:g}, before {before!r} in {early:g}: phases out of order: "
                "list them in time"
            )
    for phase in phases:
        if phase.name in (APPROVAL, LAUNCH):
            raise ValueError(f"risk.phase: name = {phase.name!r}: stands for the end of all phases: rename it")


def _check_captured(captured: Captured) -> None:
    if captured.loss_of_exclusivity is None and "share_kept" in captured.model_fields_set:
        raise ValueError("captured.share_kept: has no loss_of_exclusivity: give its year, or remove share_kept")


def _check_economics(economics: Economics, phases: list[str]) -> None:
    if (economics.margin is None) == (not economics.royalty):
        raise ValueError("economics: give either `margin` or `royalty`, the holder's income on net sales: keep one")
    if economics.losses != "carried forward" and "loss_limit" in economics.model_fields_set:
        raise ValueError(f"economics.loss_limit: has no meaning where losses = {economics.losses!r}: remove it")
    for field in ("royalty", "royalty_paid"):
        levels = [float(tier.above.quantile(0.5)) for tier in getattr(economics, field)]
        if levels and (levels[0] != 0 or any(b <= a for a, b in pairwise(levels))):
            raise ValueError(
                f"economics.{field}: tiers begin at {levels}: let the first begin at `above = 0` and the others rise"
            )
    for cost in economics.cost:
        _check_cost(cost, phases)
    for milestone in economics.milestone:
        _check_milestone(milestone, phases)


def _check_cost(cost: Cost, phases: list[str]) -> None:
    place = f"economics.cost.{cost.name}"
    if cost.stage is None and cost.from_year is None:
        raise ValueError(f"{place}: has no time: give `stage` or `from_year`")
    if cost.stage is not None:
        _check_stage(f"{place}: stage", cost.stage, [*phases, LAUNCH])


def _check_milestone(milestone: Milestone, phases: list[str]) -> None:
    place = f"economics.milestone.{milestone.name}"
    if (milestone.on is None) == (milestone.net_sales_above is None):
        raise ValueError(f"{place}: give either `on` or `net_sales_above`: keep one")
    if milestone.on is not None:
        _check_stage(f"{place}: on", milestone.on, [*phases, *([APPROVAL] if phases else [])])


def _check_terminal(terminal: Terminal | None) -> None:
    if terminal is None:
        return
    if (terminal.growth is None) == (terminal.multiple is None):
        raise ValueError("terminal: give either `growth` (with or without `years`) or `multiple`: keep one")
    if terminal.years is not None and terminal.growth is None:
        raise ValueError("terminal: `years` belongs to `growth`: remove it, or give `growth`")


def _check_stage(where: str, name: str, known: list[str]) -> None:
    if name not in known:
        way_out = nearest_or(name, known, f"use one of {', '.join(known)}")
        raise ValueError(f"{where} = {name!r} is no phase of this deal: {way_out}")


def _inputs(part: Part, path: str) -> Iterator[tuple[str, Uncertain]]:
    for field in type(part).model_fields:
        place, value = (f"{path}.{field}" if path else field), getattr(part, field)
        if isinstance(value, Uncertain):
            yield place, value
        elif isinstance(value, Part):
            yield from _inputs(value, place)
        elif isinstance(value, tuple):
            for k, item in enumerate(value):
                if isinstance(item, Uncertain):
                    yield f"{place}[{k + 1}]", item
                elif isinstance(item, Part):
                    yield from _inputs(item, f"{place}.{item.name}" if hasattr(item, "name") else f"{place}[{k + 1}]")


def unique(names: list[str], kind: str) -> None:
    """Refuse names that occur more than once. Raises :class:`ValueError`."""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"{kind} {name!r} stands {names.count(name)} times: names must differ: rename or remove one"
            )
