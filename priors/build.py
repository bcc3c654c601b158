"""The effective priors and evidence of one forecast: a ledger read under named settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from postcgrp.priors.catalogue import ASSUMPTIONS, PRIOR_CLAIMS, Family
from postcgrp.priors.checks import check_assumptions, check_currency, place
from postcgrp.priors.elicit import LINK, Prior, coupling, from_range
from postcgrp.priors.errors import InputError
from postcgrp.priors.evidence import (
    Evidence,
    check_evidence,
    claimed_evidence,
    error_model,
    log_bias,
    log_variance,
)
from postcgrp.priors.ledger.ledger import PERCENT, Claim, Ledger, Modality, Quantified, Trust, middle
from postcgrp.priors.lookup import Key, anchors, assumption, eligible, launch_anchors, number, own, prior_claims
from postcgrp.priors.settings import ADOPTION_SCOPES, UPTAKE_SHAPES, Settings

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
# What is known of a quantity whose claim is left out: a share may be nearly anything, a count as others are.
OPEN_LOGIT_SD = 1.5  # 5 % to 95 %: 0.08 to 0.92
OPEN_LOG_SD = 1.0  # a factor of 5 either way
MANY = 10


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

    @property
    def open(self) -> Array:
        """1 for each cell [k] of which nothing is claimed, else 0."""
        return np.array([float(prior.open) for prior in self.priors])


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
        check_evidence(self.ledger, self.evidence, self.trust)

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
        return any(prior_claims(self.ledger, quantity))

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
        said = [claim for claim in prior_claims(self.ledger, quantity) if claim.id not in self.settings.leave_out]

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
        return anchors(self.ledger, modality)

    def launch_anchors(self, modality: str) -> list[int]:
        """The anchors at which a launched modality is on the market."""
        return launch_anchors(self.ledger, modality)

    def uptake_years(self, modality: Modality) -> list[int]:
        """The years between which uptake rises: the anchors; a launch begins with nothing in the year before it."""
        own = self.anchors(modality)
        if modality.uptake != "launch":
            return own
        launch = int(self.number("launch_year", modality=modality.name))
        return [max(launch, self.ledger.report.first_year) - 1, *own]

    def rise(self, steps: int, *, foot: bool = False) -> Array:
        """Expected shares [step] of a rise over so many years: by the setting, or the `foot` of a logistic curve."""
        growing = np.arange(1.0, steps + 1)
        late, early = foot or self.settings.uptake_shape == "late", self.settings.uptake_shape == "early"
        weight = growing if late else growing[::-1] if early else np.ones(steps)
        return np.asarray(weight / weight.sum())

    def source_log_sd(self, source: str, years: Sequence[int]) -> Array:
        """Log-sd of a source's own error at each year: a base error plus a random walk over the horizon."""
        model = error_model(self.ledger, self.trust, source)
        return np.sqrt([log_variance(model, share) for share in self._horizon(years)])

    def source_log_bias(self, source: str, years: Sequence[int]) -> Array:
        """Mean of a source's error at each year, log: its optimism."""
        model = error_model(self.ledger, self.trust, source)
        return np.array([log_bias(model, share) for share in self._horizon(years)])

    def vendor_log_sd(self, years: Sequence[int]) -> Array:
        """The same for the report."""
        return self.source_log_sd(self.ledger.report.id, years)

    def _horizon(self, years: Sequence[int]) -> Array:
        report = self.ledger.report
        return (np.asarray(years) - report.first_year) / (report.last_year - report.first_year)

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source of evidence, the report first."""
        return tuple(
            sorted({row.source for row in self.evidence}, key=lambda name: (name != self.ledger.report.id, name))
        )

    def with_evidence(self, evidence: Sequence[Evidence]) -> PriorSet:
        """The same priors with other evidence; with none, the bottom-up view."""
        return replace(self, evidence=tuple(evidence))

    def table(self) -> pd.DataFrame:
        """The effective priors, one row a cell: name, family, parameters, implied 5/50/95 %, and why."""
        import pandas as pd  # half a second, which `postcgrp audit` does without

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
        """The evidence, one row per observed aggregate."""
        import pandas as pd

        return pd.DataFrame([asdict(e) for e in self.evidence], columns=list(Evidence.__dataclass_fields__))

    def recipe(self) -> str:
        """The effective priors, evidence, trust and every ledger row, as text: equal texts give equal posteriors."""
        parts = (
            self.table().to_csv(index=False),
            repr([(block.name, block.dims, block.correlation) for block in self.blocks.values()]),
            self.evidence_table().to_csv(index=False),
            self.trust.model_dump_json(),
            repr(self.settings),
            self.ledger.model_dump_json(indent=1),
        )
        return "\n".join(parts)

    def to_json(self) -> str:
        """As JSON from which :func:`from_json` restores an equal prior set."""
        content = {
            "ledger": self.ledger.model_dump(mode="json"),
            "settings": asdict(self.settings),
            "blocks": [asdict(block) for block in self.blocks.values()],
            "evidence": [asdict(row) for row in self.evidence],
            "trust": self.trust.model_dump(mode="json"),
        }
        return json.dumps(content, indent=1, ensure_ascii=False)

    def fingerprint(self) -> str:
        """sha256 of :meth:`recipe`."""
        return hashlib.sha256(self.recipe().encode()).hexdigest()


def from_json(text: str) -> PriorSet:
    """Returns the prior set that :meth:`PriorSet.to_json` wrote, changes made in Python included."""
    content = json.loads(text)
    ledger = Ledger.model_validate(content["ledger"])
    settings = Settings(**content["settings"] | {"leave_out": tuple(content["settings"]["leave_out"])})
    evidence = tuple(Evidence(**row) for row in content["evidence"])
    if "blocks" not in content:  # runs of postcgrp 0.1.0 stored only what the ledger and the settings imply
        return replace(effective(ledger, settings), evidence=evidence)
    blocks = {block["name"]: _block(block) for block in content["blocks"]}
    return PriorSet(ledger, settings, blocks, evidence, Trust.model_validate(content["trust"]))


def _block(content: dict[str, Any]) -> Block:
    priors = tuple(Prior(**prior) for prior in content["priors"])
    return Block(**content | {"dims": tuple(content["dims"]), "priors": priors})


def effective(ledger: Ledger, settings: Settings | None = None) -> PriorSet:
    """Read a ledger under settings: every prior and every evidence row that the model will use.

    Raises :class:`InputError` for a coverage outside (0, 1), an unknown trust level, scope, shape or claim, an
    assumption that is missing or not what the model expects, ranges that cannot be ordered, or evidence that the model
    cannot observe.
    """
    settings = settings or Settings()
    _check_settings(ledger, settings)
    check_currency(ledger)
    check_assumptions(ledger)
    blocks = {block.name: block for block in _blocks(ledger, settings)}
    for block in blocks.values():
        block.cholesky  # noqa: B018  a range that cannot be ordered is an input error, so find it here
        _check_family(block)
    trust = next(t for t in ledger.trust if t.level == settings.trust)
    rows = [row for row in claimed_evidence(ledger, settings.coverage) if row.id not in settings.leave_out]
    return PriorSet(ledger, settings, blocks, tuple(rows), trust)


def _check_settings(ledger: Ledger, settings: Settings) -> None:
    if not 0 < settings.coverage < 1:
        raise InputError(
            f"coverage {settings.coverage:g} is not between 0 and 1: write it as a fraction"
            + (f" ({settings.coverage / PERCENT:g})" if 1 < settings.coverage < PERCENT else "")
        )
    for name, value, known in (
        ("trust", settings.trust, [t.level for t in ledger.trust]),
        ("adoption_scope", settings.adoption_scope, ADOPTION_SCOPES),
        ("uptake_shape", settings.uptake_shape, UPTAKE_SHAPES),
        *(("leave_out", key, [c.id for c in ledger.claims]) for key in settings.leave_out),
    ):
        if value not in known:
            near = get_close_matches(value, known, 1) if len(known) > MANY else known
            use = f"use one of {', '.join(near)}" if near else "postcgrp audit lists them"
            raise InputError(f"{name} {value!r} is not in the ledger: {use}")
    uptakes = [m.uptake for m in ledger.modalities]
    if settings.adoption_scope != Settings.adoption_scope and (
        uptakes.count("adoption") != 1 or "launch" not in uptakes
    ):
        raise InputError(
            f"adoption_scope {settings.adoption_scope!r} needs one modality with uptake 'adoption' and a launched one: "
            f"leave it {Settings.adoption_scope!r}"
        )


def _check_family(block: Block) -> None:
    if len(families := {prior.family for prior in block.priors}) > 1:
        raise InputError(f"{block.name} has priors of families {' and '.join(sorted(families))}: give all of them one")


def _blocks(ledger: Ledger, settings: Settings) -> list[Block]:
    """Every prior of the model by variable, in the order patients, burden, uptake, intensity."""
    blocks = [
        _assumed_block(ledger, "pool_error"),
        _claimed_block(ledger, settings, "region_patients", "region", "patients", "region_patients_log_sd"),
        _assumed_block(ledger, "patient_growth"),
        _claimed_block(ledger, settings, "depth_weight", "depth", "depth_share", "depth_weight_log_sd"),
        _assumed_block(ledger, "depth_weight_region_sd"),
    ]
    if burden := [q for q in ("moh", "acute_use") if any(prior_claims(ledger, q))]:
        levels = tuple(_claimed(ledger, settings, q, "burden_logit_sd", {}) for q in burden)
        blocks += [
            Block("burden_level", ("burden",), levels, number(ledger, "burden_correlation")),
            *(_assumed_block(ledger, f"{q}_step", "step") for q in reversed(burden)),
            _assumed_block(ledger, "burden_region_sd"),
        ]
    if any(prior_claims(ledger, "payer_block")):
        level = _claimed(ledger, settings, "payer_block", "payer_block_logit_sd", {})
        blocks.append(Block("payer_block_level", (), (level,)))
    for modality in ledger.modalities:
        if modality.uptake != "everyone":
            blocks += _uptake_blocks(ledger, settings, modality)
    blocks.append(_assumed_block(ledger, "price", "modality"))
    for modality in ledger.modalities:
        later = anchors(ledger, modality)[1:]
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
    cells: list[dict[str, Key]] = [{"year": a, "modality": modality.name} for a in anchors(ledger, modality)]
    if adopted:
        levels = tuple(_claimed(ledger, settings, "adoption", "adoption_logit_sd", cell) for cell in cells)
    else:
        levels = tuple(_assumed(ledger, "launch_uptake", cell) for cell in cells)
        if not any(eligible(ledger, modality.name)):
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
        blocks += [assumed(effect, effect) for driver, effect in drivers.items() if any(prior_claims(ledger, driver))]
    return blocks


def _assumed_block(ledger: Ledger, variable: str, *dims: str, name: str | None = None, **where: Key) -> Block:
    labels = [{"step": ledger.segments["depth"][1:], **ledger.segments}[d] for d in dims]
    cells = [dict(zip((_segment(d) for d in dims), cell, strict=True)) for cell in product(*labels)]
    return Block(variable, dims, tuple(_assumed(ledger, name or variable, {**where, **c}) for c in cells))


def _claimed_block(ledger: Ledger, settings: Settings, variable: str, dim: str, quantity: str, spread: str) -> Block:
    cells = ledger.segments[dim]
    return Block(variable, (dim,), tuple(_claimed(ledger, settings, quantity, spread, {dim: c}) for c in cells))


def _assumed(ledger: Ledger, name: str, where: dict[str, Key]) -> Prior:
    row = assumption(ledger, name, where)
    family = row.family or ASSUMPTIONS[name].family or "normal"
    return _ranged(row, name, row.coverage, family, where, row.source, row.reason)


def _claimed(ledger: Ledger, settings: Settings, quantity: str, spread: str, where: dict[str, Key]) -> Prior:
    found = [c for c in prior_claims(ledger, quantity) if all(getattr(c, s) == key for s, key in where.items())]
    if len(found) != 1:
        raise InputError(f"{len(found)} prior claims on {quantity} {place(where)}: the report's ledger needs one")
    claim = found[0]
    family = PRIOR_CLAIMS[quantity].family or "normal"
    if claim.id in settings.leave_out:
        return _open(ledger, claim, family, where)
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


def _open(ledger: Ledger, claim: Claim, family: Family, where: dict[str, Key]) -> Prior:
    """The prior of a quantity whose claim is left out: near flat for a share, like the other segments for a count."""
    others = [middle(c) for c in prior_claims(ledger, claim.quantity) if c.id != claim.id] or [middle(claim)]
    mu, sd = (0.0, OPEN_LOGIT_SD) if family == "logitnormal" else (float(np.mean(np.log(others))), OPEN_LOG_SD)
    reason = f"the claim {claim.id} is left out: a prior that says next to nothing"
    return Prior(_label(claim.quantity, where), family, mu, sd, claim.unit, "left out", reason, open=True)


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
