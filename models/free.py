"""The free variables of a model, and the group of priors that each belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from postcgrp.models import variables as v
from postcgrp.priors import PriorSet
from postcgrp.priors.catalogue import RANGED
from postcgrp.priors.ledger import slug

# Groups of priors that a user thinks in: see :func:`free`.
OF_PATIENTS = "patients"
OF_DEPTH = "depth"
OF_BURDEN = "burden"
OF_REGIONS = "regions"
TRUST = "vendor trust"
NOISE = "yearly noise"
PRICES = "prices in common"


@dataclass(frozen=True)
class Free:
    """A free variable, or a part of one, and the group of priors that it belongs to.

    `part`: what of it, as `DataArray.sel` takes it; empty for all. `block`: the prior block that elicits it, if one
    does, and `cells` the labels of its priors that do, None where they are those of `part`. `pooled`: whether it is a
    partially pooled deviation, the inner level of a hierarchy, which nobody elicits.
    """

    name: str
    group: str
    part: Mapping[str, str] = field(default_factory=dict)
    block: str | None = None
    pooled: bool = False
    cells: Mapping[str, str] | None = None

    @property
    def elicited(self) -> Mapping[str, str]:
        """The labels of the priors of `block` that elicit it; empty for all."""
        return self.part if self.cells is None else self.cells


def free(pset: PriorSet) -> tuple[Free, ...]:
    """Every free variable of the model of a prior set, each part of it in exactly one group.

    The density of `log_stated_revenue_YEAR` is that of the price, or of its growth, of each modality sold, and that of
    `region_value_lead` and `region_premium_rest` is that of the regional premium: those changes of variable have a
    unit Jacobian.
    """
    parts = (_patients, _burden, _uptake, _lines, _intensity, _ranged, _errors)
    return tuple(variable for part in parts for variable in part(pset))


def _elicited(pset: PriorSet, group: str, *blocks: str) -> Iterator[Free]:
    """The free variables of prior blocks; one depth has no steps, one anchor no growth."""
    for block in blocks:
        if block in pset.blocks and pset.blocks[block].priors:
            yield Free(v.link_name(pset, block), group, block=block)


def _standardised(pset: PriorSet, group: str, *blocks: str, **part: str) -> Iterator[Free]:
    """The standard draws of prior blocks, or a part of them."""
    for block in blocks:
        if block in pset.blocks:
            yield Free(v.standard(block), group, part, block=block)


def _patients(pset: PriorSet) -> Iterator[Free]:
    yield from _elicited(pset, OF_PATIENTS, v.POOL_ERROR, v.REGION_PATIENTS)
    yield from _standardised(pset, OF_PATIENTS, v.PATIENT_GROWTH)
    yield Free(v.PATIENT_GROWTH_REGION, OF_PATIENTS, pooled=True)
    yield from _elicited(pset, OF_DEPTH, v.DEPTH_WEIGHT, v.DEPTH_WEIGHT_REGION_SD)
    yield from _standardised(pset, OF_DEPTH, v.DEPTH_DRIFT)
    yield Free(v.DEPTH_WEIGHT_REGION, OF_DEPTH, pooled=True)


def _burden(pset: PriorSet) -> Iterator[Free]:
    if v.BURDEN_LEVEL in pset.blocks:
        yield Free(v.standard(v.BURDEN_LEVEL), OF_BURDEN, block=v.BURDEN_LEVEL)
        yield from _elicited(pset, OF_BURDEN, v.BURDEN_REGION_SD)
        for prior in pset.blocks[v.BURDEN_LEVEL].priors:
            yield Free(v.by_region(prior.name), OF_BURDEN, pooled=True)
            yield from _elicited(pset, OF_BURDEN, v.step(prior.name))
    if v.PAYER_BLOCK_LEVEL in pset.blocks:
        yield from _elicited(pset, OF_BURDEN, v.PAYER_BLOCK_LEVEL)
        yield Free(v.PAYER_BLOCK_REGION, OF_BURDEN, pooled=True)


def _uptake(pset: PriorSet) -> Iterator[Free]:
    for modality in pset.ledger.modalities:
        if modality.uptake == "everyone":
            continue
        yield from _elicited(pset, OF_REGIONS, v.uptake_region_sd(pset, modality))
        yield Free(v.uptake_region(pset, modality), OF_REGIONS, pooled=True)
        if modality.uptake == "adoption":
            group, block = f"adoption: {modality.name}", v.level(pset, modality)
            yield Free(v.standard(block), group, block=block)
            yield Free(pset.own(v.ADOPTION_STEP_REGION, modality), OF_REGIONS, pooled=True)
            yield from _elicited(pset, OF_DEPTH, pset.own(v.ADOPTION_STEP, modality))
            yield from _elicited(pset, group, pset.own(v.MOH_EFFECT, modality), pset.own(v.PAYER_BRAKE, modality))
            for _, end in v.stretches(pset, modality):
                yield Free(v.path(pset, modality, end), NOISE)
    for name in map(str, pset.coords["launch"]):
        group = f"launch: {name}"
        blocks = (v.SUCCESS_PROBABILITY, v.LAUNCH_YEAR, v.LAUNCH_CEILING, v.LAUNCH_SPEED)
        yield from _standardised(pset, group, *blocks, launch=name)
        yield Free(v.SUCCESS_DRAW, group, {"launch": name}, pooled=True)
        if name in pset.coords["launched"]:
            yield from _standardised(pset, group, v.VENDOR_LAUNCH_YEAR, v.ELIGIBLE_SHARE, launched=name)


def _lines(pset: PriorSet) -> Iterator[Free]:
    for line in pset.ledger.lines:
        spend, use = f"{v.INTENSITY}: {line.modality}", f"line use: {line.modality}"
        costs = (v.LINE_LIST_PRICE, v.LINE_NET_RATIO, v.PERSISTENCE, v.LINE_PRICE_GROWTH)
        yield from _standardised(pset, spend, *costs, line=line.name)
        if line.name in pset.coords["line_exclusive"]:
            losses = (v.LINE_EXCLUSIVITY_YEAR, v.LINE_EXCLUSIVITY_FALL, v.LINE_EXCLUSIVITY_SPEED)
            yield from _standardised(pset, f"exclusivity: {line.modality}", *losses, line_exclusive=line.name)
        if line.name in pset.coords["line_claimed"]:
            yield from _standardised(pset, use, v.LINE_USE_LEVEL, v.LINE_DRIFT, line_claimed=line.name)
            yield Free(v.LINE_USE_REGION, OF_REGIONS, {"line_claimed": line.name}, pooled=True)
    yield from _standardised(pset, v.DISPLACEMENT, v.DISPLACEMENT)
    yield from _standardised(pset, PRICES, v.LINE_PRICE_COMMON)


def _intensity(pset: PriorSet) -> Iterator[Free]:
    anchors, years = pset.ledger.report.anchors, pset.ledger.years
    for modality in pset.ledger.modalities:
        group, priced = f"{v.INTENSITY}: {modality.name}", modality.name in pset.coords["priced"]
        if modality.uptake == "launch" and priced:
            yield Free(v.log_price(modality), group, block=v.PRICE, cells={"priced": modality.name})
            yield from _elicited(pset, group, v.price_growth(modality))
        elif modality.uptake == "launch":
            yield Free(v.standard(v.spend_residual(modality)), group)
        else:
            for k, anchor in enumerate(anchors):
                block = (v.price_growth(modality) if k else v.PRICE) if priced else None
                cells: dict[str, str] = {"priced": modality.name} if block == v.PRICE else {}
                yield Free(v.stated_revenue(anchor), group, {v.sold(anchor): modality.name}, block, cells=cells)
        if len(pset.anchors(modality)) < len(years):
            yield Free(v.standard(v.price_noise(modality)), NOISE)
    if v.lead_row(pset) is None:
        yield from _elicited(pset, OF_REGIONS, v.REGION_PREMIUM)
    else:
        yield from (
            Free(name, OF_REGIONS, block=v.REGION_PREMIUM) for name in (v.REGION_PREMIUM_REST, v.REGION_VALUE_LEAD)
        )
    yield Free(v.REGION_PREMIUM_MODALITY, OF_REGIONS, pooled=True)
    yield from _elicited(pset, OF_DEPTH, v.INTENSITY_STEP)


def _ranged(pset: PriorSet) -> Iterator[Free]:
    """Numbers that are usually fixed, where the ledger has a range: by default, how far regions differ."""
    for block in pset.blocks.values():
        if len(block.priors) == 1 and (name := block.priors[0].name.partition("[")[0]) in RANGED:
            group = {"price_noise": NOISE, "line_use_depth_size": OF_DEPTH}.get(name, OF_REGIONS)
            yield Free(v.link_name(pset, block.name), group, block=block.name)


def _errors(pset: PriorSet) -> Iterator[Free]:
    if v.states_revenue(pset):
        yield from _standardised(pset, TRUST, v.VENDOR_BUILD_UP)
    for source in pset.sources:
        if v.source_years(pset, source):
            group = TRUST if source == pset.ledger.report.id else f"trust: {slug(source)}"
            yield Free(v.standard(v.source_error(pset, source)), group)
