"""Shares of countries and companies: assumed Dirichlet shares by which a region's or modality's revenue is divided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger import PERCENT, Ledger, Number, Row, Text
from postcgrp.priors.messages import nearest_or
from postcgrp.priors.shipped import ASSUMPTIONS_FILE, SHARES_FILE
from postcgrp.priors.toml_file import TomlFile

SHARES_GUIDE = "docs/exposure.md"
SHARES_TABLES = {
    "shares": "header",
    "country": "countries",
    "company": "companies",
    "stake": "stakes",
    "split": "splits",
}
ROUNDING = 1e-6  # of shares that sum to one
SUREST = 1e6  # concentration: a share is then known to 0.05 points
Divided = tuple[str | None, str | None, str | None]  # what is divided: region, or modality and line


class SharesHeader(Row):
    """The report whose countries and companies these are."""

    report: Text


class Holding(Row):
    """A mean share of a whole, with its source and reason."""

    share: Number
    source: Text
    reason: Text

    @property
    def holder(self) -> str:
        """Who has the share."""
        raise NotImplementedError

    @property
    def whole(self) -> Divided:
        """What the share is of."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _is_share(self) -> Self:
        if not 0 < self.share <= 1:
            way_out = f"write a fraction ({self.share / PERCENT:g})" if self.share > 1 else "leave it out"
            raise ValueError(f"{self.holder} of {in_words_of(self.whole)}: share = {self.share:g}: {way_out}")
        return self


class Country(Holding):
    """A country's mean share of its region."""

    name: Text
    region: Text

    @property
    def holder(self) -> str:
        """Who has the share."""
        return self.name

    @property
    def whole(self) -> Divided:
        """What the share is of."""
        return self.region, None, None


class Stake(Holding):
    """A company's mean share of a modality, or of a line of it."""

    company: Text
    modality: Text
    line: Text | None = None

    @property
    def holder(self) -> str:
        """Who has the share."""
        return self.company

    @property
    def whole(self) -> Divided:
        """What the share is of."""
        return None, self.modality, self.line


class Company(Row):
    """A company and its position in the report's own words; None for those that the report does not name."""

    name: Text
    quote: Text | None = None


class Split(Row):
    """How sure the shares of one whole are: the concentration of their Dirichlet distribution."""

    region: Text | None = None
    modality: Text | None = None
    line: Text | None = None
    concentration: Annotated[Number, Field(gt=0, le=SUREST)]
    source: Text
    reason: Text

    @property
    def whole(self) -> Divided:
        """What is divided."""
        return self.region, self.modality, self.line

    @model_validator(mode="after")
    def _one_whole(self) -> Self:
        if (self.region is None) == (self.modality is None) or (self.line is not None and self.modality is None):
            raise ValueError("split: divides a `region`, or a `modality` or a `line` of one: name one of them")
        return self


class Shares(Row):
    """Mean shares of countries and companies, and how sure they are.

    Attributes: `header`, `countries`, `companies` (in the order in which they are shown), `stakes`, `splits`. Built and
    held against its ledger by :func:`load_shares`.
    """

    header: SharesHeader
    countries: tuple[Country, ...] = Field(min_length=1)
    companies: tuple[Company, ...] = Field(min_length=1)
    stakes: tuple[Stake, ...] = Field(min_length=1)
    splits: tuple[Split, ...] = ()

    def parts(self, whole: Divided) -> tuple[Holding, ...]:
        """Who shares a whole; empty for one that is not divided here."""
        return tuple(part for part in (*self.countries, *self.stakes) if part.whole == whole)

    def concentration(self, whole: Divided) -> float:
        """The concentration of the shares of a whole; one that has a single holder needs none."""
        return next((split.concentration for split in self.splits if split.whole == whole), 1.0)

    def lines(self, modality: str) -> tuple[str, ...]:
        """The lines of a modality that are divided."""
        lines = [stake.line for stake in self.stakes if stake.modality == modality and stake.line is not None]
        return tuple(dict.fromkeys(lines))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, count in Counter(company.name for company in self.companies).items():
            if count > 1:
                raise ValueError(f"company {name!r} appears {count} times: keep one")
        names = [company.name for company in self.companies]
        for stake in self.stakes:
            if stake.company not in names:
                way_out = nearest_or(stake.company, names, f"use one of {', '.join(names)}")
                raise ValueError(f"stake of {stake.company!r}: no such [[company]]: {way_out}")
        for name in names:
            if name not in [stake.company for stake in self.stakes]:
                raise ValueError(f"company {name!r} has no stake: give it one, or remove it")
        self._check_wholes()
        return self

    def _check_wholes(self) -> None:
        wholes = dict.fromkeys(part.whole for part in (*self.countries, *self.stakes))
        splits = Counter(split.whole for split in self.splits)
        for whole in wholes:
            parts, said = self.parts(whole), in_words_of(whole)
            for holder, count in Counter(part.holder for part in parts).items():
                if count > 1:
                    raise ValueError(f"{holder} has {count} shares of {said}: keep one")
            total = sum(part.share for part in parts)
            if abs(total - 1) > ROUNDING:
                raise ValueError(f"the shares of {said} sum to {total:g}, not 1: correct them")
            wanted = int(len(parts) > 1)
            if splits[whole] != wanted:
                raise ValueError(
                    f"{said} has {splits[whole]} [[split]] rows: it needs {wanted}, as {len(parts)} share it: "
                    f"{'remove' if splits[whole] > wanted else 'add'} one"
                )
        for whole in splits:
            if whole not in wholes:
                raise ValueError(f"split: nobody has a share of {in_words_of(whole)}: add shares, or remove it")


def in_words_of(whole: Divided) -> str:
    """How messages call what is divided."""
    region, modality, line = whole
    return region or (f"{modality}" if line is None else f"line {line!r} of {modality}")


def load_shares(ledger: Ledger, path: str | Path | None = None) -> Shares:
    """Returns the checked shares of a ledger.

    Parameters: `path`, the TOML file (format: docs/exposure.md), by default the shipped one. Raises
    :class:`InputError` with one line naming the value, the rule and the way out, also where the shares are of another
    report, name a region or modality that the ledger does not have, or leave one undivided.
    """
    path = ASSUMPTIONS_FILE.with_name(SHARES_FILE) if path is None else Path(path)
    shares = TomlFile.read_versioned(path).validated(Shares, SHARES_TABLES, SHARES_GUIDE)
    for wrong in _misfits(shares, ledger):
        raise InputError(f"{path.name}: {wrong}")
    return shares


def _misfits(shares: Shares, ledger: Ledger) -> Iterator[str]:
    """What of the shares does not fit a ledger."""
    if shares.header.report != ledger.report.id:
        yield f"report = {shares.header.report!r}, but the ledger's is {ledger.report.id!r}: take that report's shares"
    countries = [(f"country {country.name!r}", country.region) for country in shares.countries]
    yield from _unknown(countries, "region", ledger)
    yield from _unknown(
        [(f"stake of {stake.company!r}", stake.modality) for stake in shares.stakes], "modality", ledger
    )
    for region in ledger.segments["region"]:
        if not shares.parts((region, None, None)):
            yield f"region {region!r} has no country: add one, such as 'Others' with share = 1.0"
    for modality in ledger.segments["modality"]:
        if not shares.parts((None, modality, None)) and len(shares.lines(modality)) != 1:
            yield f"modality {modality!r} has no company: add a [[stake]] without `line`"


def _unknown(named: Iterable[tuple[str, str]], dim: str, ledger: Ledger) -> Iterator[str]:
    known = ledger.segments[dim]
    for name, label in named:
        if label not in known:
            way_out = nearest_or(label, known, f"use one of {', '.join(known)}")
            yield f"{name}: {dim} {label!r} is not the ledger's: {way_out}"
