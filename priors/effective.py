"""The effective priors and evidence of one forecast: a ledger read under named settings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from postcgrp.priors.elicit import LINK, Prior, coupling, from_range
from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger import Assumption, Claim, Family, Ledger, Modality, Quantified, Trust

FAMILY_OF_UNIT: dict[str, Family] = {
    "fraction": "logitnormal",
    "USD million": "lognormal",
    "USD per patient-year": "lognormal",
    "patients": "lognormal",
}
SEGMENTS = ("year", "region", "depth", "modality")
Key = str | int
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """What a user may turn without editing a ledger.

    `coverage`: prior mass that a stated range holds (fraction). `trust`: a trust level named in the ledger.
    """

    coverage: float = 0.9
    trust: str = "default"


@dataclass(frozen=True)
class Evidence:
    """One observed aggregate: `value` of `quantity` in a year and segment (None: all of it), with its own log-sd."""

    id: str
    source: str
    quantity: str
    year: int
    region: str | None
    depth: str | None
    modality: str | None
    value: float
    unit: str
    log_sd: float


@dataclass(frozen=True)
class Block:
    """The priors of one model variable, one for each cell of its dims (row-major)."""

    name: str
    dims: tuple[str, ...]
    priors: tuple[Prior, ...]
    correlation: float | None = None

    @property
    def cholesky(self) -> Array:
        """Lower triangle [k, k] of the correlation between cells."""
        return np.eye(len(self.priors)) if self.correlation is None else coupling(self.priors, self.correlation)


@dataclass(frozen=True)
class PriorSet:
    """Everything the model is built from.

    Attributes: `ledger`; `settings`; `blocks`, the priors by model variable; `evidence`; `trust`, the error model of
    the report as a source.
    """

    ledger: Ledger
    settings: Settings
    blocks: dict[str, Block]
    evidence: tuple[Evidence, ...]
    trust: Trust

    @property
    def coords(self) -> dict[str, list[Key]]:
        """Coordinates of the model's dimensions."""
        segments: dict[str, list[Key]] = {dim: list(names) for dim, names in self.ledger.segments.items()}
        return {
            "year": list(self.ledger.years),
            "anchor": list(self.ledger.report.anchors),
            **segments,
            "step": segments["depth"][1:],
        }

    def has(self, quantity: str) -> bool:
        """Whether the report makes a prior claim on `quantity`."""
        return any(_claims(self.ledger, quantity))

    def own(self, name: str, modality: Modality) -> str:
        """A variable's name for one modality: plain where it is the only one of its uptake, else suffixed."""
        return own(self.ledger, name, modality)

    def modalities(self, uptake: str) -> tuple[Modality, ...]:
        """Modalities of one kind of uptake."""
        return tuple(m for m in self.ledger.modalities if m.uptake == uptake)

    def number(self, name: str, **where: Key) -> float:
        """A fixed number of the assumptions' ledger, for a segment and year."""
        return number(self.ledger, name, **where)

    def numbers(self, name: str, dim: str, **where: Key) -> Array:
        """A fixed number for each label of one dimension."""
        return np.array([number(self.ledger, name, **{dim: key}, **where) for key in self.coords[dim]])

    def signs(self, quantity: str, dim: str) -> Array:
        """The direction (-1, 0, 1) that the report gives each label of a dimension; 0 where it is silent."""
        said = {getattr(c, dim): c.value for c in _claims(self.ledger, quantity)}
        return np.array([said.get(key) or 0.0 for key in self.coords[dim]])

    def anchors(self, modality: Modality) -> list[int]:
        """The anchors at which a modality is on the market."""
        return _anchors(self.ledger, modality)

    def launch_anchors(self, modality: str) -> list[int]:
        """The anchors at which a launched modality is on the market."""
        return _launch_anchors(self.ledger, modality)

    def vendor_log_sd(self, years: Sequence[int]) -> Array:
        """Log-sd of the report's own error at each year: a base error plus a random walk over the horizon."""
        report = self.ledger.report
        share = (np.asarray(years) - report.first_year) / (report.last_year - report.first_year)
        base, final = self.trust.base_log_sd**2, self.trust.final_log_sd**2
        return np.asarray(np.sqrt(base + (final - base) * share))

    def with_evidence(self, evidence: Sequence[Evidence]) -> PriorSet:
        """The same priors with other evidence; with none, the bottom-up view."""
        return replace(self, evidence=tuple(evidence))

    def table(self) -> pd.DataFrame:
        """The effective priors, one row a cell: name, family, parameters, implied 5/50/95 %, and why."""
        rows = []
        for block in self.blocks.values():
            for prior in block.priors:
                q05, q50, q95 = prior.quantile([0.05, 0.5, 0.95])
                rows.append(
                    {
                        "variable": block.name,
                        "prior": prior.name,
                        "family": prior.family,
                        "mu": prior.mu,
                        "sd": prior.sd,
                        "q05": q05,
                        "median": q50,
                        "q95": q95,
                        "unit": prior.unit,
                        "low": prior.low,
                        "high": prior.high,
                        "coverage": prior.coverage,
                        "origin": prior.origin,
                        "because": prior.because,
                    }
                )
        return pd.DataFrame(rows)

    def evidence_table(self) -> pd.DataFrame:
        """The evidence, one row an observed aggregate."""
        return pd.DataFrame([asdict(e) for e in self.evidence], columns=list(Evidence.__dataclass_fields__))

    def recipe(self) -> str:
        """The effective priors, evidence, trust and every ledger row, as text: equal texts give equal posteriors."""
        parts = (
            self.table().to_csv(index=False),
            self.evidence_table().to_csv(index=False),
            self.trust.model_dump_json(),
            self.ledger.model_dump_json(indent=1),
        )
        return "\n".join(parts)

    def fingerprint(self) -> str:
        """sha256 of :meth:`recipe`."""
        return hashlib.sha256(self.recipe().encode()).hexdigest()


def effective(ledger: Ledger, settings: Settings | None = None) -> PriorSet:
    """Read a ledger under settings: every prior and every evidence row that the model will use.

    Raises :class:`InputError` for a coverage outside (0, 1), an unknown trust level, a missing assumption, or
    ranges that cannot be ordered.
    """
    settings = settings or Settings()
    if not 0 < settings.coverage < 1:
        raise InputError(
            f"coverage {settings.coverage:g} is not between 0 and 1: write it as a fraction"
            + (f" ({settings.coverage / 100:g})" if 1 < settings.coverage < 100 else "")
        )
    levels = {t.level: t for t in ledger.trust}
    if settings.trust not in levels:
        raise InputError(f"trust {settings.trust!r} is not in the ledger: use one of {', '.join(levels)}")
    blocks = {block.name: block for block in _blocks(ledger, settings)}
    for block in blocks.values():
        block.cholesky  # noqa: B018  a range that cannot be ordered is an input error, so find it here
    pset = PriorSet(ledger, settings, blocks, _evidence(ledger, settings), levels[settings.trust])
    return pset


def own(ledger: Ledger, name: str, modality: Modality) -> str:
    """A variable's name for one modality: plain where it is the only one of its uptake, else with its name behind."""
    alone = sum(m.uptake == modality.uptake for m in ledger.modalities) == 1
    return name if alone else f"{name}_{modality.name}"


def number(ledger: Ledger, name: str, **where: Key) -> float:
    """A fixed number of the assumptions' ledger: the most specific row that covers the segment and year."""
    row = _assumption(ledger, name, where)
    if row.value is None:
        raise InputError(f"assumption {name!r} {_place(where)} is a range: it must be a fixed `value`")
    return row.value


def _blocks(ledger: Ledger, settings: Settings) -> list[Block]:
    """Every prior of the model by variable, in the order patients, burden, uptake, intensity."""

    def assumed(variable: str, *dims: str, name: str | None = None, **where: Key) -> Block:
        labels = [{"step": ledger.segments["depth"][1:], **ledger.segments}[d] for d in dims]
        cells = [dict(zip((_segment(d) for d in dims), cell, strict=True)) for cell in product(*labels)]
        return Block(variable, dims, tuple(_assumed(ledger, name or variable, {**where, **c}) for c in cells))

    def claimed(variable: str, dim: str, quantity: str, spread: str) -> Block:
        cells = ledger.segments[dim]
        return Block(variable, (dim,), tuple(_claimed(ledger, settings, quantity, spread, {dim: c}) for c in cells))

    blocks = [
        assumed("pool_error"),
        claimed("region_patients", "region", "patients", "region_patients_log_sd"),
        assumed("patient_growth"),
        claimed("depth_weight", "depth", "depth_share", "depth_weight_log_sd"),
        assumed("depth_weight_region_sd"),
    ]
    if burden := [q for q in ("moh", "acute_use") if any(_claims(ledger, q))]:
        levels = tuple(_claimed(ledger, settings, q, "burden_logit_sd", {}) for q in burden)
        blocks += [
            Block("burden_level", ("burden",), levels, number(ledger, "burden_correlation")),
            assumed("acute_use_step", "step"),
            assumed("moh_step", "step"),
            assumed("burden_region_sd"),
        ]
    if any(_claims(ledger, "payer_block")):
        blocks += [Block("payer_block_level", (), (_claimed(ledger, settings, "payer_block", "payer_block_logit_sd", {}),))]
    for modality in ledger.modalities:
        m, uptake = modality.name, modality.uptake
        if uptake == "everyone":
            continue
        if uptake == "adoption":
            anchors = list(ledger.report.anchors)
            ranges = tuple(
                _claimed(ledger, settings, "adoption", "adoption_logit_sd", {"year": a, "modality": m}) for a in anchors
            )
        else:
            anchors = _launch_anchors(ledger, m)
            ranges = tuple(_assumed(ledger, "launch_uptake", {"year": a, "modality": m}) for a in anchors)
        dim = "anchor" if uptake == "adoption" else f"anchor_{m}"
        level = own(ledger, f"{uptake}_level", modality)
        blocks += [
            Block(level, (dim,), ranges, number(ledger, "uptake_correlation", modality=m)),
            assumed(own(ledger, f"{uptake}_region_sd", modality), name="uptake_region_sd", modality=m),
        ]
        if uptake == "adoption":
            blocks.append(assumed(own(ledger, "adoption_step", modality), "step", name="adoption_step", modality=m))
            if burden:
                blocks.append(assumed(own(ledger, "moh_effect", modality), name="moh_effect", modality=m))
            if any(_claims(ledger, "payer_block")):
                blocks.append(assumed(own(ledger, "payer_brake", modality), name="payer_brake", modality=m))
    blocks.append(assumed("price", "modality"))
    for modality in ledger.modalities:
        m = modality.name
        anchors = _launch_anchors(ledger, m) if modality.uptake == "launch" else list(ledger.report.anchors)
        growth = tuple(_assumed(ledger, "price_growth", {"year": a, "modality": m}) for a in anchors[1:])
        blocks.append(Block(f"price_growth_{m}", (f"period_{m}",), growth))
    blocks += [assumed("region_premium", "region"), assumed("intensity_step", "step")]
    return blocks


def _evidence(ledger: Ledger, settings: Settings) -> tuple[Evidence, ...]:
    rows = []
    for claim in ledger.claims:
        if claim.role != "evidence" or claim.year is None:
            continue
        if claim.value is None and claim.low is not None and claim.high is not None:
            log_value, log_sd = from_range(claim.low, claim.high, settings.coverage, "lognormal")
            value = float(np.exp(log_value))
        else:
            where = {s: key for s in SEGMENTS if (key := getattr(claim, s)) is not None}
            value, log_sd = float(claim.value or 0.0), number(ledger, "evidence_log_sd", **where)
        segment = (claim.region, claim.depth, claim.modality)
        rows.append(
            Evidence(claim.id, ledger.report.id, claim.quantity, claim.year, *segment, value, claim.unit, log_sd)
        )
        launched = [m for m in ledger.modalities if m.name == claim.modality and m.uptake == "launch"]
        if launched and claim.year < number(ledger, "launch_year", modality=launched[0].name):
            raise InputError(
                f"{claim.id!r}: {claim.modality} has evidence in {claim.year}, before its launch_year: "
                "make the claim a check or move the launch"
            )
    return tuple(rows)


def _anchors(ledger: Ledger, modality: Modality) -> list[int]:
    if modality.uptake == "launch":
        return _launch_anchors(ledger, modality.name)
    return list(ledger.report.anchors)


def _launch_anchors(ledger: Ledger, modality: str) -> list[int]:
    launch = number(ledger, "launch_year", modality=modality)
    anchors = [a for a in ledger.report.anchors if a >= launch]
    if not ledger.report.first_year < launch or not anchors:
        raise InputError(
            f"launch_year of {modality} is {launch:g}: it must lie after {ledger.report.first_year} "
            f"and not after {ledger.report.last_year}"
        )
    return anchors


def _claims(ledger: Ledger, quantity: str) -> list[Claim]:
    return [c for c in ledger.claims if c.role == "prior" and c.quantity == quantity]


def _assumption(ledger: Ledger, name: str, where: dict[str, Key]) -> Assumption:
    matches = [
        (sum(getattr(a, s) is not None for s in SEGMENTS), a)
        for a in ledger.assumptions
        if a.id == name and all(getattr(a, s) in (None, where.get(s)) for s in SEGMENTS)
    ]
    if not matches:
        raise InputError(f"no assumption {name!r} {_place(where)}: add one to the assumptions' ledger")
    return max(matches, key=lambda match: match[0])[1]


def _assumed(ledger: Ledger, name: str, where: dict[str, Key]) -> Prior:
    row = _assumption(ledger, name, where)
    if row.value is not None:
        raise InputError(f"assumption {name!r} {_place(where)} is a number: this one needs `low` and `high`")
    return _ranged(row, name, row.coverage, row.family or _family(row), where, row.source, row.reason)


def _claimed(ledger: Ledger, settings: Settings, quantity: str, spread: str, where: dict[str, Key]) -> Prior:
    found = [c for c in _claims(ledger, quantity) if all(getattr(c, s) == key for s, key in where.items())]
    if len(found) != 1:
        raise InputError(f"{len(found)} prior claims on {quantity} {_place(where)}: the report's ledger needs one")
    claim = found[0]
    if claim.value is None:
        return _ranged(claim, quantity, settings.coverage, _family(claim), where, f"report: {claim.id}", claim.quote)
    family = _family(claim)
    forward, _ = LINK[family]
    return Prior(
        name=_label(quantity, where),
        family=family,
        mu=float(forward(claim.value)),
        sd=number(ledger, spread, **where),
        unit=claim.unit,
        origin=f"report: {claim.id}; spread: assumption {spread}",
        because=claim.quote,
    )


def _ranged(
    row: Quantified, name: str, coverage: float, family: Family, where: dict[str, Key], origin: str, because: str
) -> Prior:
    if row.low is None or row.high is None:
        raise InputError(f"{row.id!r} has an open range: give both `low` and `high`")
    mu, sd = from_range(row.low, row.high, coverage, family)
    return Prior(_label(name, where), family, mu, sd, row.unit, origin, because, row.low, row.high, coverage)


def _family(row: Quantified) -> Family:
    if isinstance(row, Claim) and row.quantity == "depth_share":
        return "lognormal"  # a weight: the shares are these weights, normalised
    return FAMILY_OF_UNIT.get(row.unit, "normal")


def _segment(dim: str) -> str:
    return "depth" if dim == "step" else dim


def _label(name: str, where: dict[str, Key]) -> str:
    return f"{name}[{', '.join(str(key) for key in where.values())}]" if where else name


def _place(where: dict[str, Key]) -> str:
    return "for " + ", ".join(f"{s} {key}" for s, key in where.items()) if where else "for the whole market"
