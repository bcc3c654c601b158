"""Which assumptions a model of a ledger takes, for which parts of the market, and so which rows it never reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from postcgrp.priors.catalogue import ASSUMPTIONS, ELIGIBLE, RESIDUAL_SDS
from postcgrp.priors.drivers import CENTRE_ASSUMPTIONS
from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger import Ledger, Modality
from postcgrp.priors.lines import OF_LAUNCHES, OF_LINES, all_labels, cells
from postcgrp.priors.lookup import Key, anchors, assumption, prior_claims

type Where = dict[str, Key]

# What is not listed here is taken for every modality, whatever the report claims.
OF_UPTAKE: dict[str, tuple[str, ...]] = {
    "adoption_logit_sd": ("adoption",),
    "adoption_path_concentration": ("adoption",),
    "adoption_step": ("adoption",),
    "adoption_step_region_sd": ("adoption",),
    "moh_effect": ("adoption",),
    "payer_brake": ("adoption",),
    "uptake_correlation": ("adoption",),
    "uptake_region_sd": ("adoption", "launch"),
    "uptake_region_size": ("adoption", "launch"),
}
OF_CLAIMS: dict[str, tuple[str, ...]] = {  # taken if the report claims one of these
    "burden_logit_sd": ("moh", "acute_use"),
    "burden_correlation": ("moh", "acute_use"),
    "burden_region_sd": ("moh", "acute_use"),
    "acute_use_step": ("acute_use",),
    "moh_step": ("moh",),
    "moh_effect": ("moh",),
    "payer_brake": ("payer_block",),
    "payer_block_logit_sd": ("payer_block",),
    "payer_block_region_sd": ("payer_block",),
}
OF_POINTS: dict[str, tuple[str, ...]] = {  # the spread of a claim that is a point instead of a range
    "region_patients_log_sd": ("patients",),
    "depth_weight_log_sd": ("depth_share",),
    "burden_logit_sd": ("moh", "acute_use"),
    "payer_block_logit_sd": ("payer_block",),
    "adoption_logit_sd": ("adoption",),
    "line_use_logit_sd": ("line_use",),
}
OF_PRICED = ("price", "price_growth")  # taken for a modality without lines, as RESIDUAL_SDS for one that has them
# Taken for what lines and launches there are: by assumption, the dims whose labels name the parts of the market.
LABELLED: dict[str, tuple[str, ...]] = {
    **dict([*OF_LAUNCHES.values(), *OF_LINES.values()]),
    **dict.fromkeys(ELIGIBLE.values(), OF_LAUNCHES["eligible_share"][1]),
    "displacement": ("displacing",),
    **{f"line_use_{what}": ("line_claimed",) for what in ("region_size", "depth_size", "region_sd")},
    "line_region_correlation": (),
    "line_price_year": (),
}
FROM_THE_SECOND = ("acute_use_step", "moh_step", "adoption_step", "intensity_step")  # depths; years: `price_growth`
BY_SCENARIOS = CENTRE_ASSUMPTIONS  # read by scenarios, and by no model
ANYWHERE = ("evidence_log_sd", "evidence_year_sd")  # taken for whatever a row of evidence is about, files included


def rows_read(ledger: Ledger) -> set[int]:
    """Returns the positions of the assumptions that a model of a ledger takes for some part of the market.

    Under some setting: the shares of the eligible by each `stringency` count.
    """
    position = {id(row): k for k, row in enumerate(ledger.assumptions)}
    read = {k for k, row in enumerate(ledger.assumptions) if row.id in (*ANYWHERE, *BY_SCENARIOS)}
    for name in dict.fromkeys(row.id for row in ledger.assumptions if row.id in ASSUMPTIONS):
        for place in places_read(ledger, name):
            try:
                read.add(position[id(assumption(ledger, name, place))])
            except InputError:
                continue  # none, or two that are equally specific: building the priors says so
    return read


def in_reserve(ledger: Ledger, name: str) -> bool:
    """Whether a model takes no row of an assumption only because the report gives ranges, and would for a point.

    A prior set may state a point in the place of any range, and then needs its spread.
    """
    return any(c.value is None for quantity in OF_POINTS.get(name, ()) for c in prior_claims(ledger, quantity))


def places_read(ledger: Ledger, name: str) -> Iterator[Where]:
    """Yields the parts of the market for which a model takes an assumption, named as far as the assumption may be."""
    if name in BY_SCENARIOS or (
        name in OF_CLAIMS and not any(prior_claims(ledger, quantity) for quantity in OF_CLAIMS[name])
    ):
        return
    if name in LABELLED:
        if ledger.lines or not name.startswith("line_"):
            yield from cells(ledger, LABELLED[name], all_labels(ledger))
        return
    by = ASSUMPTIONS[name].by
    points = [c for quantity in OF_POINTS.get(name, ()) for c in prior_claims(ledger, quantity) if c.value is not None]
    if name in OF_POINTS:
        yield from ({dim: key for dim in by if (key := getattr(c, dim)) is not None} for c in points)
        return
    modalities = [m for m in ledger.modalities if m.uptake in OF_UPTAKE.get(name, (m.uptake,))]
    if name in OF_PRICED or name in RESIDUAL_SDS:
        modalities = [m for m in modalities if bool(ledger.lines_of(m.name)) == (name in RESIDUAL_SDS)]
    rest = [dim for dim in by if dim not in ("year", "modality")]
    first = name in FROM_THE_SECOND  # depth, below which nothing rises
    labels = [ledger.segments[dim][first:] if dim == "depth" else ledger.segments[dim] for dim in rest]
    for modality in modalities if "modality" in by else (None,):
        years: Sequence[int | None] = _years(ledger, modality, name) if "year" in by else (None,)
        for year, keys in product(years, product(*labels)):
            place: Where = {} if year is None else {"year": year}
            place |= dict(zip(rest, keys, strict=True))
            yield place if modality is None else {**place, "modality": modality.name}


def _years(ledger: Ledger, modality: Modality | None, name: str) -> list[int]:
    if modality is None:
        return list(ledger.report.anchors)
    try:
        return anchors(ledger, modality)[name == "price_growth" :]
    except InputError:  # no launch year, or one after the last anchor: building the priors says so
        return []
