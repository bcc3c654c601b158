"""From a ledger, read under named settings, to the effective priors and evidence of one forecast."""

from __future__ import annotations

import json
from difflib import get_close_matches
from itertools import product
from typing import Any

import numpy as np

from postcgrp.priors.catalogue import ASSUMPTIONS, ELIGIBLE, PRIOR_CLAIMS, RANGED, Family, holds_some
from postcgrp.priors.correlations import PriorCorrelation
from postcgrp.priors.elicit import LINK, Prior, falls, from_range, on_link
from postcgrp.priors.errors import InputError
from postcgrp.priors.evidence import Evidence, claimed_evidence
from postcgrp.priors.ledger import PERCENT, Claim, Ledger, Modality, Quantified, Trust, middle
from postcgrp.priors.ledger.checks import check_rows
from postcgrp.priors.lines import OF_LAUNCHES, OF_LINES, all_labels, cells, line_labels
from postcgrp.priors.lookup import (
    Key,
    anchors,
    assumption,
    eligible,
    number,
    number_name,
    prior_claims,
    variable_name,
)
from postcgrp.priors.priorset import Block, PriorSet
from postcgrp.priors.reads import places_read
from postcgrp.priors.segments import segment_in_words
from postcgrp.priors.settings import ADOPTION_SCOPES, STRINGENCIES, UPTAKE_SHAPES, Settings

# Priors of quantities whose claim is left out: a share may be nearly anything, a count resembles the others.
OPEN_LOGIT_SD = 1.5  # 5 % to 95 %: 0.08 to 0.92
OPEN_LOG_SD = 1.0  # a factor of 5 either way
MOST_LISTED = 10  # names that a message lists in full


def from_json(text: str) -> PriorSet:
    """Returns the prior set that :meth:`PriorSet.to_json` wrote, changes made in Python included."""
    content = json.loads(text)
    ledger = Ledger.model_validate(content["ledger"])
    settings = Settings(**content["settings"] | {"leave_out": tuple(content["settings"]["leave_out"])})
    evidence = tuple(Evidence(**row) for row in content["evidence"])
    blocks = {block["name"]: _block(block) for block in content["blocks"]}
    rows = tuple(PriorCorrelation(**row) for row in content.get("correlations", ()))  # 2.0 wrote none
    return PriorSet(ledger, settings, blocks, evidence, Trust.model_validate(content["trust"]), rows)


def _block(content: dict[str, Any]) -> Block:
    priors = tuple(Prior(**prior) for prior in content["priors"])
    return Block(**content | {"dims": tuple(content["dims"]), "priors": priors})


def effective(ledger: Ledger, settings: Settings | None = None) -> PriorSet:
    """Returns every prior and every evidence row that the model will use, from a ledger under settings.

    Raises :class:`InputError` for a coverage outside (0, 1); an unknown trust level, scope, shape or claim; an
    assumption that is missing or not what the model expects; ranges that cannot be ordered; or evidence that the model
    cannot observe.
    """
    settings = settings or Settings()
    _check_settings(ledger, settings)
    check_rows(ledger)
    blocks = {block.name: block for block in _blocks(ledger, settings)}
    for block in blocks.values():
        block.cholesky  # noqa: B018  ranges that cannot be ordered are bad input, so raise it here
        _check_family(block)
        if block.falling and settings.adoption_scope != Settings.adoption_scope:
            raise InputError(
                f"adoption_scope {settings.adoption_scope!r}: takes launched procedures off a rising adoption, but "
                f"{block.name} falls: leave it {Settings.adoption_scope!r}"
            )
    trust = next(t for t in ledger.trust if t.level == settings.trust)
    rows = [row for row in claimed_evidence(ledger, settings.coverage) if row.id not in settings.leave_out]
    return PriorSet(ledger, settings, blocks, tuple(rows), trust)


def _check_settings(ledger: Ledger, settings: Settings) -> None:
    if not holds_some(settings.coverage):
        raise InputError(
            f"coverage {settings.coverage:g} is not between 0 and 1: write it as a fraction"
            + (f" ({settings.coverage / PERCENT:g})" if 1 < settings.coverage < PERCENT else "")
        )
    for name, value, known in (
        ("trust", settings.trust, [t.level for t in ledger.trust]),
        ("adoption_scope", settings.adoption_scope, ADOPTION_SCOPES),
        ("uptake_shape", settings.uptake_shape, UPTAKE_SHAPES),
        ("stringency", settings.stringency, STRINGENCIES),
        *(("leave_out", key, [c.id for c in ledger.claims]) for key in settings.leave_out),
    ):
        if value not in known:
            near = get_close_matches(value, known, 1) if len(known) > MOST_LISTED else known
            use = f"use one of {', '.join(near)}" if near else "its claims are those of the report's file, by `id`"
            raise InputError(f"{name} {value!r} is not in the ledger: {use}")
    if settings.vendor_build_up is not None and not 0 <= settings.vendor_build_up <= 1:
        raise InputError(f"vendor_build_up {settings.vendor_build_up:g} is outside 0..1: write it as a fraction")
    idle = [c for c in ledger.claims if c.id in settings.leave_out and c.role not in ("prior", "evidence")]
    if idle:
        raise InputError(*(f"leave_out {c.id!r}: the claim is {c.role}, which no model reads: remove it" for c in idle))
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
        raise InputError(
            f"{block.name} has priors of families {' and '.join(sorted(families))}: give all of them the same"
        )


def _blocks(ledger: Ledger, settings: Settings) -> list[Block]:
    """Returns every prior of the model by variable, in the order patients, burden, uptake, intensity."""
    blocks = [
        _assumed_block(ledger, "pool_error"),
        _claimed_block(ledger, settings, "region_patients", "region", "patients", "region_patients_log_sd"),
        _growth(ledger),
        _claimed_block(ledger, settings, "depth_weight", "depth", "depth_share", "depth_weight_log_sd"),
        _assumed_block(ledger, "depth_weight_region_sd"),
        _assumed_block(ledger, "depth_drift"),
        _build_up(ledger, settings),
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
    blocks += _launch_blocks(ledger, settings)
    labels = line_labels(ledger)
    price = tuple(_assumed(ledger, "price", {"modality": modality}) for modality in labels["priced"])
    blocks += [Block("price", ("priced",), price)] if price else []
    for modality in ledger.modalities:
        if modality.name in labels["priced"]:
            later = anchors(ledger, modality)[1:]
            growth = tuple(_assumed(ledger, "price_growth", {"year": a, "modality": modality.name}) for a in later)
            blocks.append(Block(f"price_growth_{modality.key}", (f"period_{modality.key}",), growth))
    blocks += _line_blocks(ledger, settings)
    return [
        *blocks,
        _assumed_block(ledger, "region_premium", "region"),
        _assumed_block(ledger, "intensity_step", "step"),
        *_ranged_numbers(ledger),
    ]


def _ranged_numbers(ledger: Ledger) -> list[Block]:
    """Returns the priors of numbers that are usually fixed, where the ledger has a range."""
    places = [(name, where) for name in RANGED for where in places_read(ledger, name)]
    ranged = [(name, where) for name, where in places if assumption(ledger, name, where).value is None]
    return [Block(number_name(ledger, n, where), (), (_assumed(ledger, n, where),)) for n, where in ranged]


def _growth(ledger: Ledger) -> Block:
    """Returns the prior of the pool's growth in each period between anchors."""
    later = ledger.report.anchors[1:]
    priors = tuple(_assumed(ledger, "patient_growth", {"year": year}) for year in later)
    return Block("patient_growth", ("period",), priors, number(ledger, "patient_growth_correlation"), ordered=False)


def _build_up(ledger: Ledger, settings: Settings) -> Block:
    """Returns the prior of how strongly the report's revenue follows its own patients and adoption."""
    prior = _assumed(ledger, "vendor_build_up", {})
    if (chosen := settings.vendor_build_up) is not None:
        prior = _fixed(prior.name, prior.family, chosen, prior.unit, "setting vendor_build_up", "chosen for this run")
    return Block("vendor_build_up", (), (prior,))


def _uptake_blocks(ledger: Ledger, settings: Settings, modality: Modality) -> list[Block]:
    """Returns the priors of one adoption curve or launch: levels at the anchors, and differences between segments."""
    uptake = modality.uptake

    def assumed(variable: str, name: str, *dims: str) -> Block:
        return _assumed_block(
            ledger, variable_name(ledger, variable, modality), *dims, name=name, modality=modality.name
        )

    spread = assumed(f"{uptake}_region_sd", "uptake_region_sd")
    if uptake == "launch":
        anchors(ledger, modality)  # a launch after the last anchor is bad input, so raise it here
        if not any(eligible(ledger, modality.name)):
            raise InputError(f"eligible_share of {modality.name} is 0 at every depth: raise one of them")
        return [spread]
    at: list[dict[str, Key]] = [{"year": a, "modality": modality.name} for a in anchors(ledger, modality)]
    levels = tuple(_claimed(ledger, settings, "adoption", "adoption_logit_sd", cell) for cell in at)
    correlation = number(ledger, "uptake_correlation", modality=modality.name)
    drivers = {"moh": "moh_effect", "payer_block": "payer_brake"}
    return [
        Block(
            variable_name(ledger, "adoption_level", modality), ("anchor",), levels, correlation, falling=falls(levels)
        ),
        spread,
        assumed("adoption_step", "adoption_step", "step"),
        *(assumed(effect, effect) for driver, effect in drivers.items() if any(prior_claims(ledger, driver))),
    ]


def _launch_blocks(ledger: Ledger, settings: Settings) -> list[Block]:
    """Returns the priors of launches: modalities that are to come, and pipeline lines."""
    if not line_labels(ledger)["launch"]:
        return []
    eligibility = {"eligible_share": ELIGIBLE[settings.stringency]}
    blocks = [
        _labelled(ledger, name, eligibility.get(name, assumed), dims) for name, (assumed, dims) in OF_LAUNCHES.items()
    ]
    return [block for block in blocks if block.priors]  # pipeline lines alone have no vendor's date


def _line_blocks(ledger: Ledger, settings: Settings) -> list[Block]:
    """Returns the priors of lines: use, prices, and what takes use from them."""
    labels = line_labels(ledger)
    blocks = [_labelled(ledger, "displacement", "displacement", ("displacing",))]
    if labels["line"]:
        use = tuple(
            _claimed(ledger, settings, "line_use", "line_use_logit_sd", {"line": x}) for x in labels["line_claimed"]
        )
        blocks += [Block("line_use_level", ("line_claimed",), use)]
        blocks += [_labelled(ledger, name, assumed, dims) for name, (assumed, dims) in OF_LINES.items()]
    return [block for block in blocks if block.priors]


def _labelled(ledger: Ledger, variable: str, name: str, dims: tuple[str, ...]) -> Block:
    labels = all_labels(ledger)
    return Block(variable, dims, tuple(_assumed(ledger, name, where) for where in cells(ledger, dims, labels)))


def _assumed_block(ledger: Ledger, variable: str, *dims: str, name: str | None = None, **where: Key) -> Block:
    labels = [{"step": ledger.segments["depth"][1:], **ledger.segments}[d] for d in dims]
    cells = [dict(zip((_segment(d) for d in dims), cell, strict=True)) for cell in product(*labels)]
    return Block(variable, dims, tuple(_assumed(ledger, name or variable, {**where, **c}) for c in cells))


def _claimed_block(ledger: Ledger, settings: Settings, variable: str, dim: str, quantity: str, spread: str) -> Block:
    cells = ledger.segments[dim]
    return Block(variable, (dim,), tuple(_claimed(ledger, settings, quantity, spread, {dim: c}) for c in cells))


def _assumed(ledger: Ledger, name: str, where: dict[str, Key]) -> Prior:
    row = assumption(ledger, name, where)
    family = row.family or ASSUMPTIONS[name].family or RANGED.get(name) or "normal"
    if row.value is not None:
        return _fixed(_label(name, where), family, row.value, row.unit, row.source, row.reason)
    return _ranged(row, name, row.coverage, family, where, row.source, row.reason)


def _claimed(ledger: Ledger, settings: Settings, quantity: str, spread: str, where: dict[str, Key]) -> Prior:
    claims = [c for c in prior_claims(ledger, quantity) if all(getattr(c, s) == key for s, key in where.items())]
    if len(claims) != 1:
        raise InputError(
            f"{len(claims)} prior claims on {quantity} {segment_in_words(where)}: the report's ledger needs one"
        )
    claim = claims[0]
    family = PRIOR_CLAIMS[quantity].family or "normal"
    if claim.id in settings.leave_out:
        return _open(ledger, claim, family, where)
    if claim.value is None:
        coverage = settings.coverage if claim.coverage is None else claim.coverage
        return _ranged(claim, quantity, coverage, family, where, f"report: {claim.id}", claim.quote)
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
    """Returns the prior of a quantity whose claim is left out: nearly flat for a share, like others for a count."""
    others = [middle(c) for c in prior_claims(ledger, claim.quantity) if c.id != claim.id] or [middle(claim)]
    mu, sd = (0.0, OPEN_LOGIT_SD) if family == "logitnormal" else (float(np.mean(np.log(others))), OPEN_LOG_SD)
    reason = f"the claim {claim.id} is left out: a prior that says next to nothing"
    return Prior(_label(claim.quantity, where), family, mu, sd, claim.unit, "left out", reason, open=True)


def _fixed(name: str, family: Family, value: float, unit: str, origin: str, because: str) -> Prior:
    return Prior(name, family, on_link(value, family), 0.0, unit, origin, because)


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
