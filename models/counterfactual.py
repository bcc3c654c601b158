"""The market under other paths of its drivers, as graphs of one draw of a run.

Every claim is carried at the factual path: patients, use, spend and the intercepts behind them are taken as the draw
has them, and only what lies downstream of a driver is made again. So another path moves nothing before its year, and
the factual paths give the draw back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from postcgrp.models import variables as v
from postcgrp.models.coords import coords
from postcgrp.models.latent import give
from postcgrp.models.launch import Launches
from postcgrp.models.lines import Lines
from postcgrp.models.market import Demand, demand, read_for
from postcgrp.models.uptake import Launched, log_odds
from postcgrp.models.views import LaunchView, happening
from postcgrp.priors import PriorSet
from postcgrp.priors.drivers import has_centres
from postcgrp.priors.ledger import Modality
from postcgrp.priors.segments import SEGMENTS

# What a scenario moves, by name: its dims. Shares, years and success are levels; the others factors on the factual.
POOL, LINE_USE, COST = "pool", "line_use", "cost"
CENTRE_SHARE, CENTRE_SHARE_NOW, CENTRE_EFFECT = "centre_share", "centre_share_now", "centre_effect"
LEVERS: dict[str, tuple[str, ...]] = {
    POOL: ("year", "region"),
    v.PAYER_BLOCK: ("year", "region"),
    v.MOH: ("year", "region", "depth"),
    CENTRE_SHARE: ("year", "region"),
    CENTRE_SHARE_NOW: ("region",),
    CENTRE_EFFECT: ("modality",),
    v.ADOPTION: SEGMENTS,
    v.ELIGIBLE_SHARE: ("launched", "year", "depth"),
    v.SUCCESS: ("launch",),
    v.LAUNCH_YEAR: ("launch", "region"),
    v.LAUNCH_CEILING: ("launch",),
    v.LINE_EXCLUSIVITY_YEAR: ("line_exclusive", "region"),
    LINE_USE: ("line", "year", "region"),
    COST: ("line", "year", "region"),
    v.PRICE: ("year", "region", "modality"),
}
FACTORS = (POOL, v.ADOPTION, LINE_USE, COST, v.PRICE)
AS_DRAWN = (v.PATIENTS, v.USE, v.INTENSITY, v.USE_LINE)  # of a draw, the cells that a counterfactual starts from


@dataclass(frozen=True)
class Counterfactual:
    """A model cut at what a run has drawn.

    `graphs` of everything that a forecast is read for, by name, and the `dims` of each. `inputs`: the shape of each of
    their inputs that is no named variable of `model`: cells as drawn (`AS_DRAWN`) and, under :func:`lever`, levers.
    """

    model: pm.Model
    graphs: dict[str, TensorVariable]
    dims: dict[str, tuple[str, ...]]
    inputs: dict[str, tuple[int, ...]]


def lever(name: str) -> str:
    """The name of the input that holds a lever."""
    return f"{name}_path"


def levers(pset: PriorSet) -> dict[str, tuple[str, ...]]:
    """The levers that a prior set's market has, with their dims."""
    ledger, burden = pset.ledger, pset.blocks.get(v.BURDEN_LEVEL)
    labels = pset.coords
    adopted = bool(pset.modalities("adoption"))
    has = {
        v.PAYER_BLOCK: adopted and v.PAYER_BLOCK_LEVEL in pset.blocks,
        v.MOH: adopted and burden is not None and v.MOH in [prior.name for prior in burden.priors],
        v.ADOPTION: adopted,
        **dict.fromkeys((CENTRE_SHARE, CENTRE_SHARE_NOW, CENTRE_EFFECT), has_centres(ledger)),
        **dict.fromkeys((LINE_USE, COST), bool(ledger.lines)),
    }
    return {name: dims for name, dims in LEVERS.items() if has.get(name, all(labels.get(dim, ["any"]) for dim in dims))}


def counterfactual(pset: PriorSet) -> Counterfactual:
    """The counterfactual market of a prior set, see :class:`Counterfactual`."""
    years = list(pset.ledger.years)
    with pytensor.config.change_flags(traceback__limit=0), pm.Model(coords=coords(pset)) as model:
        give(pset)
        market, shares = demand(pset)
        segments = tuple(len(labels) for labels in pset.ledger.segments.values())
        sizes = {dim: len(labels) for dim, labels in pset.coords.items()}
        inputs: dict[str, tuple[int, ...]] = {
            v.PATIENTS: (len(years), *segments[:2]),
            v.USE: (len(years), *segments),
            v.INTENSITY: (len(years), *segments),
        }
        if market.lines is not None:
            inputs[v.USE_LINE] = (len(years), *segments[:2], sizes["line"])
        inputs |= {lever(name): tuple(sizes[dim] for dim in dims) for name, dims in levers(pset).items()}
        given = {name: pt.tensor(name, dtype="float64", shape=shape) for name, shape in inputs.items()}
        to = {name: given[lever(name)] for name in levers(pset)}
        graphs = _graphs(pset, market, shares, {name: given[name] for name in inputs if name in AS_DRAWN}, to)
    found = {name: graph for name, (_, graph) in graphs.items()}
    return Counterfactual(model, found, {name: dims for name, (dims, _) in graphs.items()}, inputs)


def _graphs(
    pset: PriorSet,
    market: Demand,
    shares: Mapping[str, TensorVariable],
    drawn: Mapping[str, TensorVariable],
    to: Mapping[str, TensorVariable],
) -> dict[str, tuple[tuple[str, ...], TensorVariable]]:
    """Everything that a forecast is read for, by name: dims and graph.

    Parameters: `shares` that move adoption; `drawn`, cells; `to`, levers.
    """
    years = list(pset.ledger.years)
    launches, view = _launches(market.launches, to)
    patients = drawn[v.PATIENTS] * to[POOL][:, :, None]
    modalities = range(len(pset.ledger.modalities))
    use = pt.stack([_use(pset, market, k, shares, drawn, to, launches, view) for k in modalities], axis=-1)
    line_use = by_line = as_drawn = None
    if market.lines is not None:
        cells = pt.moveaxis(drawn[v.USE_LINE], -1, 0)
        as_drawn = market.lines.built(years, cells)
        moved = replace(market, lines=_lines(pset, market.lines, launches, to))
        line_use, by_line = moved.by_line(years, use, view)
        line_use = line_use * to[LINE_USE][..., None]
        by_line = by_line * (to[LINE_USE] * to[COST])[..., None]
    before = market.assembled(drawn[v.PATIENTS], drawn[v.USE], None, as_drawn)
    after = market.assembled(patients, use, line_use, by_line)
    intensity = drawn[v.INTENSITY] / before.spend * after.spend * to[v.PRICE][:, :, None, :]
    return read_for(pset, after, intensity)


def _launches(launches: Launches | None, to: Mapping[str, TensorVariable]) -> tuple[Launches | None, LaunchView | None]:
    """The launches as the levers have them, and what happens then."""
    if launches is None:
        return None, None
    moved = replace(launches, succeeds=to[v.SUCCESS], year=to[v.LAUNCH_YEAR], ceiling=to[v.LAUNCH_CEILING])
    return moved, happening(moved)


def _lines(pset: PriorSet, lines: Lines, launches: Launches | None, to: Mapping[str, TensorVariable]) -> Lines:
    """The lines with the dates and ceilings that the levers have."""
    if v.LINE_EXCLUSIVITY_YEAR in to:
        at = [pset.coords["line"].index(name) for name in pset.coords["line_exclusive"]]
        lines = replace(lines, lost_in=pt.set_subtensor(lines.lost_in[at], to[v.LINE_EXCLUSIVITY_YEAR]))
    pipeline = pset.coords["line_pipeline"]
    if launches is not None and pipeline:
        of = [launches.names.index(str(name)) for name in pipeline]
        at = [pset.coords["line"].index(name) for name in pipeline]
        since = pt.set_subtensor(lines.since[at], launches.year[of])
        lines = replace(lines, since=since, ceiling=launches.ceiling[of])
    return lines


def _use(
    pset: PriorSet,
    market: Demand,
    k: int,
    shares: Mapping[str, TensorVariable],
    drawn: Mapping[str, TensorVariable],
    to: Mapping[str, TensorVariable],
    launches: Launches | None,
    view: LaunchView | None,
) -> TensorVariable:
    """Use of the k-th modality [year, region, depth]."""
    modality, use = pset.ledger.modalities[k], drawn[v.USE][..., k]
    if modality.uptake == "adoption":
        use = _shifted(use, _shift(pset, modality, shares, to))
    uptake = market.uptakes.get(modality.name)
    if isinstance(uptake, Launched) and launches is not None and market.launches is not None and view is not None:
        at = launches.names.index(modality.name)
        raised = log_odds(launches.ceiling[at]) - log_odds(market.launches.ceiling[at])
        eligible = to[v.ELIGIBLE_SHARE][pset.coords["launched"].index(modality.name)]
        moved = replace(uptake, eligible=eligible[:, None, :], ceiling=_shifted(uptake.ceiling, raised))
        use = moved.use(view(modality.name, list(pset.ledger.years)))
    if modality.uptake != "everyone" and CENTRE_SHARE in to:
        use = in_centres(use, to[CENTRE_SHARE_NOW][:, None], to[CENTRE_SHARE][:, :, None], pt.exp(to[CENTRE_EFFECT][k]))
    return use * to[v.ADOPTION][..., k] if modality.uptake == "adoption" else use


def _shift(
    pset: PriorSet, modality: Modality, shares: Mapping[str, TensorVariable], to: Mapping[str, TensorVariable]
) -> TensorVariable:
    """What overuse and payer blocking on another path add to the log-odds of adoption [year, region, depth]."""
    model, shift = pm.modelcontext(None), pt.zeros(())
    if v.MOH in to:
        shift += model[pset.own(v.MOH_EFFECT, modality)] * (log_odds(to[v.MOH]) - log_odds(shares[v.MOH]))
    if v.PAYER_BLOCK in to:
        blocked = log_odds(to[v.PAYER_BLOCK]) - log_odds(shares[v.PAYER_BLOCK])
        shift -= model[pset.own(v.PAYER_BRAKE, modality)] * blocked[:, :, None]
    return shift


def _shifted(share: TensorVariable, by: TensorVariable) -> TensorVariable:
    """A share with `by` added to its log-odds; 0 and 1 stay."""
    return share / (share + (1 - share) * pt.exp(-by))


def in_centres(use: TensorVariable, now: TensorVariable, to: TensorVariable, odds: TensorVariable) -> TensorVariable:
    """Use when the share of patients in centres goes from `now` to `to`.

    Use is a mean over patients in centres and elsewhere; the odds of use are `odds` times as high in centres. Both
    rates are solved for at `now`, a quadratic equation, and stay.
    """
    more = odds - 1
    b = 1 + more * (now - use)
    elsewhere = 2 * use / (b + pt.sqrt(b**2 + 4 * (1 - now) * more * use))
    inside = odds * elsewhere / (1 + more * elsewhere)
    return use + (to - now) * (inside - elsewhere)
