"""All that a prior set contributes to the density, as named arrays: hyperparameters, fixed numbers, and evidence.

Each is `pm.Data` of the model by its name here, so another prior set of the same structure needs no other graph, and a
program of the graph needs nothing but these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from postcgrp.models import variables as v
from postcgrp.models.correlated import joint_scores
from postcgrp.models.standard import region_cholesky
from postcgrp.priors import PriorSet
from postcgrp.priors.catalogue import MILLION, RESIDUAL_SDS
from postcgrp.priors.ledger import Modality
from postcgrp.priors.lookup import Key, number_name

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Input:
    """One array of the model's data and its dims."""

    values: NDArray[np.generic]
    dims: tuple[str, ...] = ()


def inputs(pset: PriorSet) -> dict[str, Input]:
    """The data of the model of a prior set, by name."""
    parts = (_blocks, _connected, _fixed, _multiples, _launches, _paths, _lines, _intensity, _bounds, _evidence)
    return {name: given for part in parts for name, given in part(pset)}


def arrays(pset: PriorSet) -> dict[str, NDArray[np.generic]]:
    """The values of :func:`inputs` alone."""
    return {name: given.values for name, given in inputs(pset).items()}


Given = Iterator[tuple[str, Input]]


def _floats(values: ArrayLike, *dims: str) -> Input:
    return Input(np.asarray(values, dtype=float), dims)


def _blocks(pset: PriorSet) -> Given:
    """Mean and sd of each prior block on its link scale, and what keeps a block in order."""
    in_order = {v.BURDEN_LEVEL, *(v.level(pset, modality) for modality in pset.modalities("adoption"))}
    labels = pset.coords
    for name, block in pset.blocks.items():
        if not block.priors:  # one depth has no steps, one anchor no growth
            continue
        if name == v.VENDOR_BUILD_UP and not v.states_revenue(pset):  # there is nothing that it could move
            continue
        shape = [len(labels.get(dim, block.priors)) for dim in block.dims]
        yield v.mu(name), _floats(np.reshape([prior.mu for prior in block.priors], shape), *block.dims)
        yield v.sd(name), _floats(np.reshape([prior.sd for prior in block.priors], shape), *block.dims)
        if name in in_order:
            yield v.is_open(name), _floats(block.open, *block.dims)
        if (name in in_order or block.correlation is not None) and name not in pset.connected:
            dim = block.dims[-1]
            yield v.cholesky(name), _floats(block.cholesky, dim, v.standard(dim))


def _connected(pset: PriorSet) -> Given:
    """What each block that rows of the prior set connect with others takes from their standard draws."""
    if (joint := joint_scores(pset)) is None:
        return
    names = list(joint.at)
    for k, name in enumerate(names):
        for other in names[: k + 1]:
            weights = joint.cholesky[joint.at[name], joint.at[other]]
            yield v.weights(name, other), _floats(weights, *v.weights_dims(name, other))


def _fixed(pset: PriorSet) -> Given:
    """Numbers that the ledger has without a range: with one, each is a prior block of this name."""
    numbers: dict[str, tuple[str, dict[str, Key]]] = {
        v.sd(v.PATIENT_GROWTH_REGION): ("patient_growth_region_sd", {}),
    }
    if v.PAYER_BLOCK_LEVEL in pset.blocks:
        numbers[v.sd(v.PAYER_BLOCK_REGION)] = "payer_block_region_sd", {}
    for modality in pset.ledger.modalities:
        of: dict[str, Key] = {"modality": modality.name}
        numbers[v.price_noise(modality)] = "price_noise", of
        if modality.uptake == "adoption":
            numbers[v.adoption_step_region_sd(pset, modality)] = "adoption_step_region_sd", of
    for name, (number, where) in numbers.items():
        if name not in pset.blocks:
            yield name, _floats(pset.number(number, **where))


@dataclass(frozen=True)
class Scaled:
    """Data [dims] that a number of the assumptions multiplies, in each cell along the first dim.

    `unit` [dims], what numbers of 1 make; `by`, for each label of the first dim, an assumption and its place.
    """

    unit: Array
    by: tuple[tuple[str, Mapping[str, Key]], ...]
    dims: tuple[str, ...]

    def blocks(self, pset: PriorSet) -> list[str | None]:
        """For each label of the first dim the prior block that draws its number, None where it is fixed."""
        names = [number_name(pset.ledger, number, where) for number, where in self.by]
        return [name if name in pset.blocks else None for name in names]

    def given(self, pset: PriorSet) -> Input:
        """The data, fixed numbers multiplied in."""
        sizes = [
            1.0 if block else pset.number(number, **where)
            for block, (number, where) in zip(self.blocks(pset), self.by, strict=True)
        ]
        return Input((self.unit.T * sizes).T, self.dims)

    def named(self, pset: PriorSet, name: str) -> str:
        """The name of the data: where a number is drawn, one that nobody takes for that of the product."""
        return v.per_unit(name) if any(self.blocks(pset)) else name


def multiples(pset: PriorSet) -> dict[str, Scaled]:
    """What of a model is a multiple of numbers of the assumptions, by the name of the product."""
    found = {}
    for modality in pset.ledger.modalities:
        if modality.uptake != "everyone":
            direction = np.asarray(pset.signs("adoption_direction", "region", modality.name), dtype=float)
            sizes: list[tuple[str, Mapping[str, Key]]]
            sizes = [("uptake_region_size", {"modality": modality.name})] * len(direction)
            found[v.uptake_region_centre(pset, modality)] = Scaled(direction, tuple(sizes), ("region",))
    claimed = [str(name) for name in pset.coords["line_claimed"]]

    def by_line(unit: ArrayLike, number: str, *dims: str) -> Scaled:
        by = tuple((number, {"line": line}) for line in claimed)
        return Scaled(np.asarray(unit, dtype=float), by, ("line_claimed", *dims))

    if claimed:
        found[v.sd(v.LINE_USE_REGION)] = by_line(np.ones(len(claimed)), "line_use_region_sd")
        for name, dim in ((v.LINE_USE_REGION_CENTRE, "region"), (v.LINE_USE_DEPTH_CENTRE, "depth")):
            signs = [pset.line_signs(dim, line) for line in claimed]
            found[name] = by_line(signs, f"line_use_{dim}_size", dim)
    return found


def _multiples(pset: PriorSet) -> Given:
    for name, multiple in multiples(pset).items():
        yield multiple.named(pset, name), multiple.given(pset)


def _launches(pset: PriorSet) -> Given:
    """Which launches others than the report have measured sales of."""
    if names := pset.coords["launch"]:
        yield v.SUCCESS_MEASURED, _floats([name in pset.seen_launched for name in names], "launch")


def _paths(pset: PriorSet) -> Given:
    """How an adopted modality's use rises between the anchors."""
    for modality in pset.modalities("adoption"):
        stretches = v.stretches(pset, modality)
        if stretches:
            total = pset.number(v.path_assumption(modality), modality=modality.name)
            yield v.path_concentration(pset, modality), _floats(total)
        for low, high in stretches:
            name = v.path(pset, modality, high)
            yield v.path_mean(name), _floats(pset.rise(high - low), f"{name}_year")


def _lines(pset: PriorSet) -> Given:
    """How prices of a line go together between regions, and the year of the price rows."""
    if pset.ledger.lines:
        yield v.LINE_REGION_CHOLESKY, _floats(region_cholesky(pset), "region", "region_z")
        yield v.LINE_PRICE_YEAR, _floats(pset.number("line_price_year"))


def _intensity(pset: PriorSet) -> Given:
    """Spreads of spend per user that are no variables."""
    yield v.sd(v.REGION_PREMIUM_MODALITY), _floats(pset.number("region_premium_modality_sd"))
    if v.lead_row(pset) is not None:
        yield v.MODALITY_VALUE_SHARE, _floats(_value_share(pset), "modality")
    for modality in pset.ledger.modalities:
        if modality.name not in pset.coords["priced"]:
            first, later = (pset.number(name, modality=modality.name) for name in RESIDUAL_SDS)
            sds = [first] + [later] * (len(pset.anchors(modality)) - 1)
            yield v.spend_residual_sd(modality), _floats(sds, v.anchor_dim(modality))


def _value_share(pset: PriorSet) -> Array:
    """Rough share of each modality in revenue [modality]: by its rows of evidence, else from prior medians.

    It only chooses the variable that the sampler moves, so it changes no distribution.
    """
    patients = sum(float(prior.quantile(0.5)) for prior in pset.blocks[v.REGION_PATIENTS].priors)
    value = []
    for modality in pset.ledger.modalities:
        whole = ("revenue", None, None, modality.name)
        rows = [e.value for e in pset.measured if (e.quantity, e.region, e.depth, e.modality) == whole]
        levels = pset.blocks.get(v.level(pset, modality))
        use = 1.0 if levels is None else float(np.mean([level.quantile(0.5) for level in levels.priors]))
        prior = 0.0 if modality.uptake == "launch" else use * _rough_price(pset, modality) * patients / MILLION
        value.append(float(np.mean(rows)) if rows else prior)
    return np.array(value) / max(sum(value), 1e-12)


def _rough_price(pset: PriorSet, modality: Modality) -> float:
    """What a user of a modality spends in a year by prior medians, those of lines averaged over regions."""
    if modality.name in pset.coords["priced"]:
        return float(pset.blocks[v.PRICE].priors[pset.coords["priced"].index(modality.name)].quantile(0.5))
    total = 0.0
    claimed = [str(name) for name in pset.coords["line_claimed"]]
    for line in pset.ledger.lines_of(modality.name):
        if line.stage == "sold":
            k, regions = pset.coords["line"].index(line.name), len(pset.ledger.regions)
            cost = np.ones(regions)
            for block in (v.LINE_LIST_PRICE, v.LINE_NET_RATIO, v.PERSISTENCE):
                priors = pset.blocks[block].priors[k * regions : (k + 1) * regions]
                cost = cost * [float(prior.quantile(0.5)) for prior in priors]
            level = pset.blocks[v.LINE_USE_LEVEL].priors[claimed.index(line.name)] if line.name in claimed else None
            total += float(cost.mean()) * (1.0 if level is None else float(level.quantile(0.5)))
    return total


def _bounds(pset: PriorSet) -> Given:
    """Rows that bound launches: their dates, their sds, and that all of a launch's bounds hold."""
    if pset.bounds:
        rows = [row for of in pset.bounds.values() for row in of]
        yield v.BOUND_DATE, _floats([row.stated for row in rows], v.BOUND_ROW)
        yield v.BOUND_SD, _floats([row.log_sd for row in rows], v.BOUND_ROW)
        yield v.BOUNDS_HOLD, Input(np.ones(len(pset.bounds), dtype="int32"), (v.BOUNDED,))  # `pm.Data`'s whole numbers


def _evidence(pset: PriorSet) -> Given:
    """Each row's logarithm, or date, its own sd, and the error that all sizes of its source share."""
    for source in pset.sources:
        if not (years := v.source_years(pset, source)):
            continue
        variance = pset.source_log_sd(source, years) ** 2
        step_sd = np.sqrt(np.maximum(np.diff(variance, prepend=0.0), 0.0))
        dim = v.source_year(pset, source)
        yield v.source_error_step_sd(pset, source), _floats(step_sd, dim)
        yield v.source_error_bias(pset, source), _floats(pset.source_log_bias(source, years), dim)
    if pset.measured:
        yield v.EVIDENCE_VALUE, _floats([row.stated for row in pset.measured], v.EVIDENCE_ROW)
        yield v.EVIDENCE_LOG_SD, _floats([row.log_sd for row in pset.measured], v.EVIDENCE_ROW)


def measured_twice(first: Array, second: Array, log_sd: Array) -> dict[str, Array]:
    """Data [evidence_row] for two independent measurements of each row, by name: as exact as one of their mean."""
    return {v.EVIDENCE_VALUE: (first + second) / 2, v.EVIDENCE_LOG_SD: log_sd / np.sqrt(2)}
