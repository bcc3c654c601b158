"""The ledger: what the report says and what was assumed beside it, its rows checked against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self

from pydantic import Field, model_validator

from postcgrp.priors.catalogue import PRIOR_CLAIMS
from postcgrp.priors.ledger.rows import (
    RANGE_ENDS,
    Assumption,
    Claim,
    Line,
    Modality,
    ReportHeader,
    Row,
    Segment,
    Source,
    Trust,
    check_support,
)
from postcgrp.priors.messages import Gathered, RowFaultsError
from postcgrp.priors.segments import NARROWED

type _Part = Mapping[str, str | int]  # labels, by dim
SHARES_ROUNDING = 0.0051  # half a percent, and a little for floating point


class Ledger(Row):
    """The report's claims and the assumptions beside them, checked against each other.

    Attributes: `report` (header), `regions`, `depths`, `modalities`, `lines` (coordinates, in file order),
    `claims`, `assumptions`, `trust` (levels), `sources` (kinds of other sources). Built by
    :func:`postcgrp.priors.load_ledger`.
    """

    report: ReportHeader
    regions: tuple[Segment, ...] = Field(min_length=1)
    depths: tuple[Segment, ...] = Field(min_length=1)
    modalities: tuple[Modality, ...] = Field(min_length=1)
    claims: tuple[Claim, ...] = Field(min_length=1)
    assumptions: tuple[Assumption, ...] = Field(min_length=1)
    trust: tuple[Trust, ...] = Field(min_length=1)
    sources: tuple[Source, ...] = ()
    lines: tuple[Line, ...] = ()

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
        found = Gathered()
        kinds = [s.kind.casefold() for s in self.sources]
        rows = [
            " ".join(str(v) for v in (a.id, a.year, a.region, a.depth, a.modality, a.line)) for a in self.assumptions
        ]
        fields = dict(zip(self.segments, ("regions", "depths", "modalities"), strict=True))
        for field, keys, kind in (
            *(
                (fields[d], [" ".join(n.casefold().split()) for n in ns], f"{d} name")
                for d, ns in self.segments.items()
            ),
            ("modalities", [m.key.casefold() for m in self.modalities], "modality name as a variable's name"),
            ("lines", [line.key.casefold() for line in self.lines], "line name as a variable's name"),
            ("claims", [c.id for c in self.claims], "claim id"),
            ("trust", [t.level for t in self.trust], "trust level"),
            ("sources", kinds, "kind of source"),
            ("assumptions", rows, "assumption (id year region depth modality line)"),
        ):
            _unique(found, field, keys, kind)
        if (report := self.report.id.casefold()) in kinds:
            with found.at("sources", kinds.index(report), "kind"):
                raise ValueError(f"kind of source {report!r} is the report's id too: give it another")
        if found.faults:
            raise RowFaultsError(found.faults)  # what refers to these names cannot be judged
        for k, line in enumerate(self.lines):
            with found.at("lines", k, "modality"):
                _known(line.name, "modality", line.modality, self.modalities)
        for field, k, row in (
            *(("claims", k, row) for k, row in enumerate(self.claims)),
            *(("assumptions", k, row) for k, row in enumerate(self.assumptions)),
        ):
            for dim, segments in zip(self.segments, (self.regions, self.depths, self.modalities), strict=True):
                with found.at(field, k, dim):
                    _known(row.id, dim, getattr(row, dim), segments)
            with found.at(field, k, "line"):
                _known(row.id, "line", row.line, self.lines)
            modelled = not isinstance(row, Claim) or row.role in ("prior", "evidence")
            if modelled and row.year is not None and row.year not in self.years:
                with found.at(field, k, "year"):
                    raise ValueError(
                        f"{row.id!r}: year {row.year} is outside {self.years[0]}..{self.years[-1]}: "
                        f"correct it or {'make the claim context' if isinstance(row, Claim) else 'remove the row'}"
                    )
        self._check_priors(found)
        if found.faults:
            raise RowFaultsError(found.faults)
        return self

    def _check_priors(self, found: Gathered) -> None:
        regions, depths, _ = self.segments.values()
        priors = [c for c in self.claims if c.role == "prior"]
        adopted = [m.name for m in self.modalities if m.uptake == "adoption"]
        for k, claim in enumerate(self.claims):
            with found.at("claims", k):
                if claim.role == "prior":
                    _check_prior(claim, adopted)
        claims_on = {quantity: [c for c in priors if c.quantity == quantity] for quantity in PRIOR_CLAIMS}
        with found.at():
            _one_each([c.region for c in claims_on["patients"]], regions, "patients", "region")
        with found.at():
            _one_each([c.depth for c in claims_on["depth_share"]], depths, "depth_share", "depth")
        with found.at():
            self._check_lines(claims_on["line_use"])
        for name in adopted:
            years = [c.year for c in claims_on["adoption"] if c.modality == name]
            with found.at():
                _one_each(years, self.report.anchors, f"adoption of {name}", "anchor year")
        for quantity in ("acute_use", "moh", "payer_block"):
            if len(claims := claims_on[quantity]) > 1:
                with found.at("claims", self.claims.index(claims[1])):
                    raise ValueError(
                        f"{quantity}: {len(claims)} prior claims ({', '.join(c.id for c in claims)}), but at most one "
                        "is needed: make the others checks"
                    )
        if any(None in (c.low, c.high) for c in claims_on["depth_share"] if c.value is None):
            return  # an open range, said above
        # Rounded shares may sum to a little less or more than 1; ranges need only contain it.
        low, high = (
            sum(getattr(c, end) if c.value is None else c.value for c in claims_on["depth_share"]) for end in RANGE_ENDS
        )
        if low - 1 > (slack := SHARES_ROUNDING * len(depths)) or 1 - high > slack:
            total = f"{low:g}" if low == high else f"{low:g}..{high:g}"
            with found.at():
                raise ValueError(f"the depth_share claims sum to {total}, not 1: correct the shares")

    def assumed(self, name: str) -> Sequence[tuple[_Part, Assumption]]:
        """The rows of one assumption, each with the part of the market that it names."""
        return self._rows.get(name, ())

    @cached_property
    def _rows(self) -> dict[str, list[tuple[_Part, Assumption]]]:
        rows: dict[str, list[tuple[_Part, Assumption]]] = {}
        for row in self.assumptions:
            place = {dim: key for dim in NARROWED if (key := getattr(row, dim)) is not None}
            rows.setdefault(row.id, []).append((place, row))
        return rows

    def __copy__(self) -> Self:
        copied = super().__copy__()
        vars(copied).pop("_rows", None)  # a copy may be given other assumptions
        return copied

    def lines_of(self, modality: str) -> tuple[Line, ...]:
        """The lines of one modality; none where it is priced as a whole."""
        return tuple(line for line in self.lines if line.modality == modality)

    def _check_lines(self, claims: list[Claim]) -> None:
        """Refuse lines of whose use nothing is known: a modality's only line is all of it, others need a claim."""
        for claim in claims:
            if claim.year not in (None, self.report.first_year):
                raise ValueError(
                    f"{claim.id!r}: year {claim.year}: the use of lines is a prior in {self.report.first_year} only: "
                    "make the claim a check"
                )
        for line in self.lines:
            alone = len(self.lines_of(line.modality)) == 1
            needs = 0 if alone or line.stage == "pipeline" else 1
            if (count := sum(claim.line == line.name for claim in claims)) != needs:
                why = "it is all of its modality" if alone else "a pipeline line is not used yet"
                rule = "exactly one is needed: add one with role 'prior'" if needs else f"{why}: make the claim context"
                raise ValueError(f"line_use: {count} prior claims for line {line.name!r}, but {rule}")
            if alone and line.stage == "pipeline":
                raise ValueError(
                    f"line {line.name!r} is a modality's only one and in the pipeline: give the modality "
                    "uptake = 'launch' instead"
                )


def _check_prior(claim: Claim, adopted: Sequence[str]) -> None:
    """Refuse a prior claim that the model would not use, or not in full; `adopted` are the modalities with a curve."""
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
    for dim in ("region", "depth", "modality", "line"):
        if (name := getattr(claim, dim)) is not None and dim not in entry.by:
            raise ValueError(
                f"{claim.id!r}: {dim} {name!r}: a prior on {claim.quantity} is not by {dim}: remove it or make it "
                "a check"
            )
    if entry.family is None:
        _check_direction(claim)
        return
    if claim.quantity == "adoption" and claim.modality not in adopted:
        way_out = f"name {' or '.join(map(repr, adopted))}" if adopted else "make it context"
        raise ValueError(
            f"{claim.id!r}: modality {claim.modality!r} has no uptake = 'adoption' and so no adoption prior: {way_out}"
        )
    if claim.value is None and None in (claim.low, claim.high):
        raise ValueError(f"{claim.id!r} is a prior with an open range: give both ends or make it context")
    check_support(claim, entry.family)


def _check_direction(claim: Claim) -> None:
    """Refuse a direction that names no segment or has no sign."""
    needed = ("region",) if claim.quantity == "adoption_direction" else ("region", "depth")
    if claim.value is None or not any(getattr(claim, dim) for dim in needed):
        segment = " or ".join(f"`{dim}`" for dim in needed)
        raise ValueError(f"{claim.id!r}: a direction needs {segment} and `value` (1, 0 or -1): add them")


def _unique(found: Gathered, field: str, keys: list[str], kind: str) -> None:
    for key, count in Counter(keys).items():
        if count > 1:
            with found.at(field, keys.index(key, keys.index(key) + 1)):
                raise ValueError(f"{kind} {key!r} appears {count} times (case and blanks do not count): keep one")


def _known(row: str, dim: str, name: str | None, segments: tuple[Segment, ...]) -> None:
    if name is None or name in (names := [s.name for s in segments]):
        return
    wanted = name.strip().casefold()
    near = [s.name for s in segments if wanted in [n.casefold() for n in (s.name, *s.aliases)]]
    way_out = f"write it {near[0]!r}" if near else f"use one of {', '.join(names)}"
    raise ValueError(f"{row!r}: {dim} {name!r} is not declared: {way_out}")


def _one_each(claimed: list[Any], wanted: tuple[Any, ...], quantity: str, kind: str) -> None:
    """Refuse claims that do not name each of the `wanted` labels exactly once."""
    faults = []
    for key in wanted:
        if (count := claimed.count(key)) != 1:
            way_out = "make the others checks" if count else "add a claim with role 'prior'"
            faults.append(f"{quantity}: {count} prior claims for {kind} {key!r}, but exactly one is needed: {way_out}")
    strange = [
        f"{quantity}: a prior claim for {kind} {key!r}, but they are {', '.join(map(str, wanted))}: make it a check"
        for key in dict.fromkeys(claimed)
        if key not in wanted
    ]
    if faults := faults or strange:
        raise ValueError("\n".join(faults))
