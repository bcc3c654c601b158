"""The patient funnel: ranged and cited shares of patients, from all adults to those in care after CGRP failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from postcgrp.priors.elicit import Prior, from_range
from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger import PERCENT, Claim, Ledger, Number, Row, Text, Whole, middle
from postcgrp.priors.lookup import prior_claims
from postcgrp.priors.messages import nearest_or
from postcgrp.priors.settings import Settings
from postcgrp.priors.shipped import ASSUMPTIONS_FILE, FUNNEL_FILE
from postcgrp.priors.toml_file import TomlFile

GUIDE = "docs/funnel.md"
TABLES = {"funnel": "header", "step": "steps", "branch": "branches", "row": "rows", "drift": "drifts"}
ASSUMED = "assumption"  # how a source begins that is none
Seen = Literal["text", "abstract", "second-hand", "assumption"]
Correlation = Annotated[Number, Field(ge=0, le=1)]


class FunnelHeader(Row):
    """The report whose pool is examined, the year of the ranges, and the last year of the path."""

    report: Text
    year: Whole
    last_year: Whole


class FunnelStep(Row):
    """A part of the trunk: `people`, or a `fraction` of the step before it."""

    name: Text
    label: Text
    unit: Literal["people", "fraction"]
    correlation: Correlation
    about: Text


class Branch(Row):
    """A share `of` a step or branch, or those of its parent who are `without` it.

    `modality`, `depth`, `stringency`: who may get which modality, at which depth, by which definition. `group`: the
    branches of one group divide the last step.
    """

    name: Text
    label: Text
    of: str | None = None
    without: str | None = None
    correlation: Correlation | None = None
    modality: str | None = None
    group: Literal["exposure", "botox"] | None = None
    depth: str | None = None
    stringency: Literal["strict", "base", "lenient"] | None = None
    about: Text

    @model_validator(mode="after")
    def _one_parent(self) -> Self:
        if (self.of is None) == (self.without is None):
            raise ValueError(f"branch {self.name!r}: give either `of` (a share of that) or `without` (the others)")
        if (self.correlation is None) != (self.of is None):
            raise ValueError(
                f"branch {self.name!r}: `correlation` goes with `of`, as what is `without` has no range: "
                f"{'add it' if self.correlation is None else 'remove it'}"
            )
        return self


class Sourced(Row):
    """What stands behind a range: its source, how that was read, and why the range is so."""

    seen: Seen | None = None
    source: Text | None = None
    reason: Text | None = None

    def _check_source(self, name: str) -> None:
        for field in ("seen", "source", "reason"):
            if getattr(self, field) is None:
                raise ValueError(f"{name}: {field} is missing: add it ({GUIDE})")
        if (self.seen == ASSUMED) != str(self.source).startswith(ASSUMED):
            raise ValueError(
                f"{name}: seen = {self.seen!r}, but source = {str(self.source)[:60]!r}: a source that begins with "
                f"{ASSUMED!r} was seen as one, and no other"
            )


class RangeRow(Sourced):
    """The range of a step or branch in a region (None: in all), or the `claim` of the report that states it."""

    step: Text
    region: str | None = None
    low: Number | None = None
    high: Number | None = None
    claim: str | None = None

    @property
    def name(self) -> str:
        """How messages call this row."""
        return f"row of {self.step!r}" + (f" in {self.region}" if self.region else "")

    @model_validator(mode="after")
    def _ranged(self) -> Self:
        if self.claim is not None:
            if any(value is not None for value in (self.low, self.high, self.seen, self.source, self.reason)):
                raise ValueError(f"{self.name}: takes its range from claim {self.claim!r}: remove its other fields")
            return self
        if self.low is None or self.high is None:
            raise ValueError(f"{self.name}: has no range: give `low` and `high`, or a `claim` of the report")
        if not self.low < self.high:
            raise ValueError(f"{self.name}: low = {self.low:g} is not below high = {self.high:g}: swap or widen them")
        self._check_source(self.name)
        return self


class Drift(Sourced):
    """Change of a step a year between two years: on the logit scale, of people on the log scale."""

    step: Text
    region: str | None = None
    first_year: Whole
    last_year: Whole
    low: Number
    high: Number

    @property
    def name(self) -> str:
        """How messages call this row."""
        return f"drift of {self.step!r}" + (f" in {self.region}" if self.region else "")

    @model_validator(mode="after")
    def _ranged(self) -> Self:
        if not -1 < self.low < self.high < 1:
            raise ValueError(
                f"{self.name}: low = {self.low:g}, high = {self.high:g}: a yearly change lies between -1 and 1, low "
                "below high: correct them"
            )
        if not self.first_year < self.last_year:
            raise ValueError(
                f"{self.name}: first_year = {self.first_year} is not before last_year = {self.last_year}: correct one"
            )
        self._check_source(self.name)
        return self


class Funnel(Row):
    """A patient funnel: trunk, branches, their ranges by region, and how the steps drift.

    Attributes: `header`; `steps`, the trunk in order; `branches`, each after what it divides; `rows`; `drifts`. Built
    and held against its ledger by :func:`load_funnel`.
    """

    header: FunnelHeader
    steps: tuple[FunnelStep, ...] = Field(min_length=2)
    branches: tuple[Branch, ...] = ()
    rows: tuple[RangeRow, ...] = Field(min_length=1)
    drifts: tuple[Drift, ...] = ()

    @property
    def nodes(self) -> tuple[FunnelStep | Branch, ...]:
        """Steps and branches, each after what it is a share of."""
        return (*self.steps, *self.branches)

    @property
    def ranged(self) -> tuple[FunnelStep | Branch, ...]:
        """The nodes that have a range of their own."""
        return tuple(node for node in self.nodes if isinstance(node, FunnelStep) or node.of is not None)

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that the funnel covers, in the order in which its rows name them."""
        return tuple(dict.fromkeys(row.region for row in self.rows if row.region is not None))

    @property
    def years(self) -> tuple[int, ...]:
        """Every year of the path."""
        return tuple(range(self.header.year, self.header.last_year + 1))

    def node(self, name: str) -> FunnelStep | Branch:
        """The step or branch of a name."""
        return next(node for node in self.nodes if node.name == name)

    def parent(self, node: FunnelStep | Branch) -> str | None:
        """The name of what a node is a share of; None for the first step."""
        if isinstance(node, FunnelStep):
            at = self.steps.index(node)
            return self.steps[at - 1].name if at else None
        return node.of if node.without is None else self.parent(self.node(node.without))

    def row(self, name: str, region: str) -> RangeRow:
        """The row of a ranged node in a region: its own before the one of all regions."""
        rows = [row for row in self.rows if row.step == name]
        return next((row for row in rows if row.region == region), rows[0])

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.header.year < self.header.last_year:
            raise ValueError(
                f"funnel: year = {self.header.year} is not before last_year = {self.header.last_year}: correct one"
            )
        for name, count in Counter(node.name for node in self.nodes).items():
            if count > 1:
                raise ValueError(f"step or branch {name!r} appears {count} times: rename one")
        for at, step in enumerate(self.steps):
            if (step.unit == "people") != (at == 0):
                raise ValueError(
                    f"step {step.name!r}: unit = {step.unit!r}: the first step counts 'people', each other is a "
                    "'fraction' of the one before"
                )
        self._check_branches()
        self._check_rows()
        self._check_drifts()
        return self

    def _check_branches(self) -> None:
        known = [step.name for step in self.steps]
        for branch in self.branches:
            other = branch.of or branch.without
            if other not in known:
                way_out = nearest_or(str(other), known, "name a step, or a branch above it")
                raise ValueError(f"branch {branch.name!r}: {other!r} is no step or branch above it: {way_out}")
            if branch.without in [step.name for step in self.steps]:
                raise ValueError(f"branch {branch.name!r}: is without {other!r}, which is a step: name a branch")
            known.append(branch.name)

    def _check_rows(self) -> None:
        ranged = {node.name: node for node in self.ranged}
        for row in self.rows:
            node = _known_step(row.step, row.name, ranged)
            for number in [end for end in (row.low, row.high) if end is not None]:
                if number <= 0 or (number >= 1 and not _counts(node)):
                    way_out = "write a count above 0" if _counts(node) else f"write a fraction ({number / PERCENT:g})"
                    kind = "people" if _counts(node) else "a share"
                    raise ValueError(f"{row.name}: {number:g} is outside the range of {kind}: {way_out}")
        for name in ranged:
            own = [row.region for row in self.rows if row.step == name]
            for region in self.regions:
                if own != [None] and own.count(region) != 1:
                    raise ValueError(
                        f"{name!r} has {own.count(region)} rows for {region}: give one for each region, or one without "
                        "`region` for all"
                    )

    def _check_drifts(self) -> None:
        ranged = {node.name: node for node in self.ranged}
        taken: Counter[tuple[str, str, int]] = Counter()
        for drift in self.drifts:
            _known_step(drift.step, drift.name, ranged)
            if drift.first_year < self.header.year or drift.last_year > self.header.last_year:
                raise ValueError(
                    f"{drift.name}: {drift.first_year} to {drift.last_year} is not within {self.header.year} to "
                    f"{self.header.last_year}: correct it"
                )
            if drift.region is not None and drift.region not in self.regions:
                raise ValueError(f"{drift.name}: no row is of this region: use one of {', '.join(self.regions)}")
            years = range(drift.first_year, drift.last_year)
            regions = [drift.region] if drift.region else self.regions
            taken.update((drift.step, region, year) for region in regions for year in years)
        for (step, region, year), count in taken.items():
            if count > 1:
                raise ValueError(f"drift of {step!r} in {region}: {count} rows cover {year} to {year + 1}: keep one")


def _counts(node: FunnelStep | Branch) -> bool:
    return isinstance(node, FunnelStep) and node.unit == "people"


def _known_step(name: str, row: str, ranged: dict[str, FunnelStep | Branch]) -> FunnelStep | Branch:
    if name not in ranged:
        way_out = nearest_or(name, list(ranged), f"use one of {', '.join(ranged)}")
        raise ValueError(f"{row}: {name!r} is no step or branch with a range: {way_out}")
    return ranged[name]


def funnel_beside(assumptions: Path = ASSUMPTIONS_FILE) -> Path:
    """Returns the file of the funnel that lies beside a ledger's assumptions.

    Raises :class:`InputError` where there is none: a ledger needs no funnel.
    """
    path = assumptions.with_name(FUNNEL_FILE)
    if not path.is_file():
        raise InputError(f"{path}: this ledger has no patient funnel: write one ({GUIDE}), or name it with --funnel")
    return path


def load_funnel(ledger: Ledger, path: str | Path | None = None) -> Funnel:
    """Returns the checked funnel of a ledger.

    Parameters: `path`, the TOML file (format: docs/funnel.md), by default the shipped one. Raises :class:`InputError`
    with one line naming the value, the rule and the way out, also where the funnel is of another report or names a
    region, depth or claim that the ledger does not have.
    """
    path = funnel_beside() if path is None else Path(path)
    funnel = TomlFile.read_versioned(path).validated(Funnel, TABLES, GUIDE)
    for wrong in _misfits(funnel, ledger):
        raise InputError(f"{path.name}: {wrong}")
    return funnel


def _misfits(funnel: Funnel, ledger: Ledger) -> Iterator[str]:
    """What of a funnel does not fit its ledger."""
    if funnel.header.report != ledger.report.id:
        yield f"report = {funnel.header.report!r}, but the ledger's is {ledger.report.id!r}: take that report's funnel"
    named = [(row.name, "region", row.region) for row in funnel.rows]
    for branch in funnel.branches:
        named += [(f"branch {branch.name!r}", dim, getattr(branch, dim)) for dim in ("depth", "modality")]
    for name, dim, label in named:
        if label is not None and label not in (known := ledger.segments[dim]):
            way_out = nearest_or(label, known, f"use one of {', '.join(known)}")
            yield f"{name}: {dim} {label!r} is not the ledger's: {way_out}"
    for row in funnel.rows:
        claim = next((claim for claim in ledger.claims if claim.id == row.claim), None)
        if row.claim is not None and (claim is None or None in (claim.low, claim.high) or claim.unit != "fraction"):
            yield f"{row.name}: {row.claim!r} is no claim of a range of a fraction: name one, or give the range"
    for region in funnel.regions:
        claim = _pool_claim(ledger, region)
        if claim is None:
            yield f"the ledger claims no patients of {region}: leave its rows out"
        elif (year := claim.year or ledger.report.first_year) != funnel.header.year:
            yield f"year = {funnel.header.year}, but {claim.id!r} counts patients of {year}: give ranges of that year"


def claimed_pool(ledger: Ledger, region: str) -> float | None:
    """Returns the patients that the report claims for a region; None if it claims none."""
    claim = _pool_claim(ledger, region)
    return None if claim is None else middle(claim)


def _pool_claim(ledger: Ledger, region: str) -> Claim | None:
    claims = prior_claims(ledger, "patients")
    return next((claim for claim in claims if claim.region == region), None)


def step_prior(funnel: Funnel, ledger: Ledger, name: str, region: str, coverage: float = Settings.coverage) -> Prior:
    """Returns the prior of a ranged step or branch in a region: log-normal for people, logit-normal for a share.

    Parameters: `coverage`, the mass that its range holds, equal-tailed.
    """
    row, node = funnel.row(name, region), funnel.node(name)
    if row.claim is None:
        low, high, origin, because = row.low, row.high, row.source, row.reason
    else:
        claim = next(claim for claim in ledger.claims if claim.id == row.claim)
        low, high, origin, because = claim.low, claim.high, f"claim {claim.id}", claim.quote
    family: Literal["lognormal", "logitnormal"] = "lognormal" if _counts(node) else "logitnormal"
    mu, sd = from_range(float(low or 0), float(high or 0), coverage, family)
    unit = "people" if _counts(node) else "fraction"
    return Prior(f"{name}[{region}]", family, mu, sd, unit, str(origin), str(because), low, high, coverage)
