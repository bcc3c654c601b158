"""The effective priors and evidence of one forecast: a ledger read under named settings."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from postcgrp.priors.catalogue import ASSUMPTIONS, OBSERVED, PRIOR_CLAIMS, Family
from postcgrp.priors.checks import SEGMENTS, check_assumptions, check_currency, place
from postcgrp.priors.elicit import LINK, Prior, coupling, from_range
from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger import PERCENT, Assumption, Claim, Ledger, Modality, Quantified, Trust

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

    def __post_init__(self) -> None:
        _check_evidence(self.ledger, self.evidence)

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

    def signs(self, quantity: str, dim: str, modality: str) -> Array:
        """The direction (-1 to 1) that the report gives each label of a dimension for a modality.

        Where it is silent about that modality, what it says of all, else the mean of what it says of others, else 0.
        """
        said = _claims(self.ledger, quantity)

        def direction(key: Key) -> float:
            here = [c for c in said if getattr(c, dim) == key]
            tiers = (
                [c.value or 0.0 for c in here if c.modality == modality],
                [c.value or 0.0 for c in here if c.modality is None],
                [c.value or 0.0 for c in here],
            )
            return float(np.mean(next(filter(None, tiers), [0.0])))

        return np.array([direction(key) for key in self.coords[dim]])

    def anchors(self, modality: Modality) -> list[int]:
        """The anchors at which a modality is on the market."""
        return _anchors(self.ledger, modality)

    def launch_anchors(self, modality: str) -> list[int]:
        """The anchors at which a launched modality is on the market."""
        return _launch_anchors(self.ledger, modality)

    def uptake_years(self, modality: Modality) -> list[int]:
        """The years between which uptake rises: the anchors; a launch begins with nothing in the year before it."""
        own = self.anchors(modality)
        if modality.uptake != "launch":
            return own
        launch = int(self.number("launch_year", modality=modality.name))
        return [max(launch, self.ledger.report.first_year) - 1, *own]

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

    Raises :class:`InputError` for a coverage outside (0, 1), an unknown trust level, an assumption that is missing or
    not what the model expects, ranges that cannot be ordered, or evidence that the model cannot observe.
    """
    settings = settings or Settings()
    if not 0 < settings.coverage < 1:
        raise InputError(
            f"coverage {settings.coverage:g} is not between 0 and 1: write it as a fraction"
            + (f" ({settings.coverage / PERCENT:g})" if 1 < settings.coverage < PERCENT else "")
        )
    levels = {t.level: t for t in ledger.trust}
    if settings.trust not in levels:
        raise InputError(f"trust {settings.trust!r} is not in the ledger: use one of {', '.join(levels)}")
    check_currency(ledger)
    check_assumptions(ledger)
    blocks = {block.name: block for block in _blocks(ledger, settings)}
    for block in blocks.values():
        block.cholesky  # noqa: B018  a range that cannot be ordered is an input error, so find it here
    return PriorSet(ledger, settings, blocks, _evidence(ledger, settings), levels[settings.trust])


def own(ledger: Ledger, name: str, modality: Modality) -> str:
    """A variable's name for one modality: plain where it is the only one of its uptake, else with its name behind."""
    alone = sum(m.uptake == modality.uptake for m in ledger.modalities) == 1
    return name if alone else f"{name}_{modality.key}"


def number(ledger: Ledger, name: str, **where: Key) -> float:
    """A fixed number of the assumptions' ledger: the most specific row that covers the segment and year."""
    row = _assumption(ledger, name, where)
    if row.value is None:
        raise InputError(f"assumption {name!r} {place(where)} is a range: it must be a fixed `value`")
    return row.value


def _check_evidence(ledger: Ledger, rows: Sequence[Evidence]) -> None:
    """Refuse evidence on what the model does not have, in another unit, or where the model has nothing to observe."""
    for row in rows:
        _check_segment(ledger, row)
        for field, figure in (("value", row.value), ("log_sd", row.log_sd)):
            if not 0 < figure < np.inf:
                raise InputError(f"{row.id!r}: {field} = {figure:g} has no logarithm: evidence must be above zero")
        if "modality" in OBSERVED[row.quantity].by:
            _check_sold(ledger, row)
    for key, count in Counter(row.id for row in rows).items():
        if count > 1:
            raise InputError(f"evidence id {key!r} stands {count} times: give each row its own")


def _check_segment(ledger: Ledger, row: Evidence) -> None:
    entry = OBSERVED.get(row.quantity)
    if entry is None:
        raise InputError(
            f"{row.id!r}: evidence on {row.quantity!r}, but the model observes {', '.join(OBSERVED)}: make it a check"
        )
    if row.unit != (unit := entry.unit.format(currency=ledger.report.currency)):
        raise InputError(f"{row.id!r}: unit {row.unit!r}: evidence on {row.quantity} is in {unit!r}: convert it")
    for dim, names in ledger.segments.items():
        name = getattr(row, dim)
        if name is not None and dim not in entry.by:
            raise InputError(f"{row.id!r}: {dim} {name!r}: {row.quantity} has no {dim}: remove it")
        if name is not None and name not in names:
            raise InputError(f"{row.id!r}: {dim} {name!r} is not declared: use one of {', '.join(names)}")
    if row.year not in ledger.years:
        raise InputError(
            f"{row.id!r}: year {row.year} is outside {ledger.years[0]}..{ledger.years[-1]}: correct or remove it"
        )


def _check_sold(ledger: Ledger, row: Evidence) -> None:
    """Refuse evidence on sales that the model holds at zero: before a launch, or to depths that are not eligible."""
    for modality in ledger.modalities:
        if row.modality not in (None, modality.name):
            continue
        if modality.uptake != "launch":
            return
        launch = number(ledger, "launch_year", modality=modality.name)
        if row.modality is not None and row.year < launch:
            raise InputError(
                f"{row.id!r}: {row.modality} has evidence in {row.year}, before its launch_year {launch:g}: "
                "make the claim a check or move the launch"
            )
        if row.year >= launch and any(_eligible(ledger, modality.name, row.depth)):
            return
    raise InputError(
        f"{row.id!r}: nothing is sold in {row.year} to depth {row.depth or 'any'}, by launch_year and eligible_share: "
        "make the claim a check or change those"
    )


def _eligible(ledger: Ledger, modality: str, depth: str | None = None) -> list[float]:
    depths = ledger.segments["depth"] if depth is None else (depth,)
    return [number(ledger, "eligible_share", depth=d, modality=modality) for d in depths]


def _blocks(ledger: Ledger, settings: Settings) -> list[Block]:
    """Every prior of the model by variable, in the order patients, burden, uptake, intensity."""
    blocks = [
        _assumed_block(ledger, "pool_error"),
        _claimed_block(ledger, settings, "region_patients", "region", "patients", "region_patients_log_sd"),
        _assumed_block(ledger, "patient_growth"),
        _claimed_block(ledger, settings, "depth_weight", "depth", "depth_share", "depth_weight_log_sd"),
        _assumed_block(ledger, "depth_weight_region_sd"),
    ]
    if burden := [q for q in ("moh", "acute_use") if any(_claims(ledger, q))]:
        levels = tuple(_claimed(ledger, settings, q, "burden_logit_sd", {}) for q in burden)
        blocks += [
            Block("burden_level", ("burden",), levels, number(ledger, "burden_correlation")),
            *(_assumed_block(ledger, f"{q}_step", "step") for q in reversed(burden)),
            _assumed_block(ledger, "burden_region_sd"),
        ]
    if any(_claims(ledger, "payer_block")):
        level = _claimed(ledger, settings, "payer_block", "payer_block_logit_sd", {})
        blocks.append(Block("payer_block_level", (), (level,)))
    for modality in ledger.modalities:
        if modality.uptake != "everyone":
            blocks += _uptake_blocks(ledger, settings, modality)
    blocks.append(_assumed_block(ledger, "price", "modality"))
    for modality in ledger.modalities:
        later = _anchors(ledger, modality)[1:]
        growth = tuple(_assumed(ledger, "price_growth", {"year": a, "modality": modality.name}) for a in later)
        blocks.append(Block(f"price_growth_{modality.key}", (f"period_{modality.key}",), growth))
    return [
        *blocks,
        _assumed_block(ledger, "region_premium", "region"),
        _assumed_block(ledger, "intensity_step", "step"),
    ]


def _uptake_blocks(ledger: Ledger, settings: Settings, modality: Modality) -> list[Block]:
    """The priors of one adoption curve or launch: its levels at the anchors, and what tells segments apart."""
    uptake, adopted = modality.uptake, modality.uptake == "adoption"
    cells: list[dict[str, Key]] = [{"year": a, "modality": modality.name} for a in _anchors(ledger, modality)]
    if adopted:
        levels = tuple(_claimed(ledger, settings, "adoption", "adoption_logit_sd", cell) for cell in cells)
    else:
        levels = tuple(_assumed(ledger, "launch_uptake", cell) for cell in cells)
        if not any(_eligible(ledger, modality.name)):
            raise InputError(f"eligible_share of {modality.name} is 0 at every depth: give one depth more")

    def assumed(variable: str, name: str, *dims: str) -> Block:
        return _assumed_block(ledger, own(ledger, variable, modality), *dims, name=name, modality=modality.name)

    dims = ("anchor",) if adopted else (f"anchor_{modality.key}",)
    correlation = number(ledger, "uptake_correlation", modality=modality.name)
    blocks = [
        Block(own(ledger, f"{uptake}_level", modality), dims, levels, correlation),
        assumed(f"{uptake}_region_sd", "uptake_region_sd"),
    ]
    if adopted:
        blocks.append(assumed("adoption_step", "adoption_step", "step"))
        drivers = {"moh": "moh_effect", "payer_block": "payer_brake"}
        blocks += [assumed(effect, effect) for driver, effect in drivers.items() if any(_claims(ledger, driver))]
    return blocks


def _assumed_block(ledger: Ledger, variable: str, *dims: str, name: str | None = None, **where: Key) -> Block:
    labels = [{"step": ledger.segments["depth"][1:], **ledger.segments}[d] for d in dims]
    cells = [dict(zip((_segment(d) for d in dims), cell, strict=True)) for cell in product(*labels)]
    return Block(variable, dims, tuple(_assumed(ledger, name or variable, {**where, **c}) for c in cells))


def _claimed_block(ledger: Ledger, settings: Settings, variable: str, dim: str, quantity: str, spread: str) -> Block:
    cells = ledger.segments[dim]
    return Block(variable, (dim,), tuple(_claimed(ledger, settings, quantity, spread, {dim: c}) for c in cells))


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
    return tuple(rows)


def _anchors(ledger: Ledger, modality: Modality) -> list[int]:
    if modality.uptake == "launch":
        return _launch_anchors(ledger, modality.name)
    return list(ledger.report.anchors)


def _launch_anchors(ledger: Ledger, modality: str) -> list[int]:
    launch = number(ledger, "launch_year", modality=modality)
    anchors = [a for a in ledger.report.anchors if a >= launch]
    if not anchors:
        raise InputError(
            f"launch_year of {modality} is {launch:g}: it must not lie after {ledger.report.last_year}: "
            "correct it or leave the modality out"
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
        raise InputError(f"no assumption {name!r} {place(where)}: add one to the assumptions' ledger")
    specificity = max(count for count, _ in matches)
    best = [row for count, row in matches if count == specificity]
    if len(best) > 1:
        raise InputError(
            f"assumption {name!r} {place(where)}: {len(best)} rows serve it equally well: add one that names all of "
            f"{', '.join(s for s in SEGMENTS if any(getattr(row, s) is not None for row in best))}"
        )
    return best[0]


def _assumed(ledger: Ledger, name: str, where: dict[str, Key]) -> Prior:
    row = _assumption(ledger, name, where)
    return _ranged(row, name, row.coverage, ASSUMPTIONS[name].family or "normal", where, row.source, row.reason)


def _claimed(ledger: Ledger, settings: Settings, quantity: str, spread: str, where: dict[str, Key]) -> Prior:
    found = [c for c in _claims(ledger, quantity) if all(getattr(c, s) == key for s, key in where.items())]
    if len(found) != 1:
        raise InputError(f"{len(found)} prior claims on {quantity} {place(where)}: the report's ledger needs one")
    claim = found[0]
    family = PRIOR_CLAIMS[quantity].family or "normal"
    if claim.value is None:
        return _ranged(claim, quantity, settings.coverage, family, where, f"report: {claim.id}", claim.quote)
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


def _segment(dim: str) -> str:
    return "depth" if dim == "step" else dim


def _label(name: str, where: dict[str, Key]) -> str:
    return f"{name}[{', '.join(str(key) for key in where.values())}]" if where else name
