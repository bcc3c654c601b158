"""Every variable of the model by name: this module spells them, and no other does.

A prior block (`PriorSet.blocks`) has the name of the variable that it is the prior of. Names ending in `_mu`, `_sd`,
`_cholesky`, `_open`, `_mean` and the like are data of the graph: hyperparameters of the variable named before.
"""

from __future__ import annotations

from itertools import pairwise

from postcgrp.priors import Evidence, PriorSet
from postcgrp.priors.ledger import Modality, slug

# What a forecast is read for: docs/model.md describes each.
PATIENTS = "patients"
DEPTH_SHARE = "depth_share"
ACUTE_USE = "acute_use"
MOH = "moh"
PAYER_BLOCK = "payer_block"
ADOPTION = "adoption"
ADOPTION_MEAN = "adoption_mean"
USE = "use"
PRICE = "price"
INTENSITY = "intensity"
REVENUE = "revenue"
REVENUE_TOTAL = "revenue_total"
USE_LINE = "use_line"
REVENUE_LINE = "revenue_line"
PERSISTENCE = "persistence"
SUCCESS = "success"

# Free variables, by part of the model; those of one modality or year have a function below.
POOL_ERROR = "pool_error"
REGION_PATIENTS = "region_patients"
PATIENT_GROWTH = "patient_growth"
PATIENT_GROWTH_REGION = "patient_growth_region"
DEPTH_WEIGHT = "depth_weight"
DEPTH_WEIGHT_REGION_SD = "depth_weight_region_sd"
DEPTH_WEIGHT_REGION = "depth_weight_region"
BURDEN_LEVEL = "burden_level"
BURDEN_REGION_SD = "burden_region_sd"
PAYER_BLOCK_LEVEL = "payer_block_level"
PAYER_BLOCK_REGION = "payer_block_region"
ADOPTION_LEVEL = "adoption_level"
ADOPTION_STEP = "adoption_step"
ADOPTION_STEP_REGION = "adoption_step_region"
MOH_EFFECT = "moh_effect"
PAYER_BRAKE = "payer_brake"
REGION_PREMIUM = "region_premium"
REGION_PREMIUM_REST = "region_premium_rest"
REGION_PREMIUM_MODALITY = "region_premium_modality"
REGION_VALUE_LEAD = "region_value_lead"
INTENSITY_STEP = "intensity_step"
DEPTH_DRIFT = "depth_drift"
VENDOR_BUILD_UP = "vendor_build_up"
SUCCESS_PROBABILITY = "success_probability"
SUCCESS_DRAW = "success_draw"
LAUNCH_YEAR = "launch_year"
VENDOR_LAUNCH_YEAR = "vendor_launch_year"
LAUNCH_CEILING = "launch_ceiling"
LAUNCH_SPEED = "launch_speed"
ELIGIBLE_SHARE = "eligible_share"
DISPLACEMENT = "displacement"
LINE_USE_LEVEL = "line_use_level"
LINE_USE_REGION = "line_use_region"
LINE_DRIFT = "line_drift"
LINE_LIST_PRICE = "line_list_price"
LINE_NET_RATIO = "line_net_ratio"
LINE_PRICE_GROWTH = "line_price_growth"
LINE_PRICE_COMMON = "line_price_common"
LINE_EXCLUSIVITY_YEAR = "line_exclusivity_year"
LINE_EXCLUSIVITY_FALL = "line_exclusivity_fall"
LINE_EXCLUSIVITY_SPEED = "line_exclusivity_speed"

# Data that are no hyperparameter of a variable above.
MODALITY_VALUE_SHARE = "modality_value_share"
SUCCESS_MEASURED = "success_measured"
LINE_USE_REGION_CENTRE = "line_use_region_centre"
LINE_USE_DEPTH_CENTRE = "line_use_depth_centre"
LINE_REGION_CHOLESKY = "line_region_cholesky"
LINE_PRICE_YEAR = "line_price_year"

SOURCE_ERROR = "source_error"
EVIDENCE = "evidence"
EVIDENCE_ROW = "evidence_row"
EVIDENCE_MEAN = "evidence_log_mean"
EVIDENCE_VALUE = "evidence_log_value"
EVIDENCE_LOG_SD = "evidence_log_sd"

# What bounds launches: of each launch that is bounded, whether all its bounds hold; the rows that make them.
BOUND = "launch_bound"
BOUNDED = "launch_bounded"
BOUNDS_HOLD = "launch_bounds_hold"
BOUND_ROW = "launch_bound_row"
BOUND_DATE = "launch_bound_date"
BOUND_SD = "launch_bound_sd"


# ---- names made of names -------------------------------------------------------------------------------------------


def standard(name: str) -> str:
    """The standard normals that a variable is made of."""
    return f"{name}_z"


def mu(block: str) -> str:
    """The means of a prior block on its link scale."""
    return f"{block}_mu"


def sd(name: str) -> str:
    """The sds of a prior block on its link scale, or the spread that scales deviations."""
    return f"{name}_sd"


def per_unit(data: str) -> str:
    """Data as it would be if the numbers that scale it were 1, where one of these is drawn."""
    return f"{data}_per_unit"


def cholesky(block: str) -> str:
    """The correlation of an ordered prior block."""
    return f"{block}_cholesky"


def weights(block: str, other: str) -> str:
    """What the standard draws of another block add to the scores of one that is correlated with it."""
    return f"{block}_of_{standard(other)}"


def weights_dims(block: str, other: str) -> tuple[str, str]:
    """The dims of :func:`weights`: scores of a block, and draws of the other."""
    return f"{block}_score", f"{other}_draw"


def is_open(block: str) -> str:
    """The cells of an ordered prior block about which nothing is claimed: 1, else 0."""
    return f"{block}_open"


def path_mean(path: str) -> str:
    """The expected shares of a path's rise."""
    return f"{path}_mean"


def link_name(pset: PriorSet, block: str) -> str:
    """The free variable of a prior block: that on the link scale, where PyMC has no distribution on the natural one.

    Of a block that is correlated with others, its standard draws.
    """
    if block in pset.connected:
        return standard(block)
    family = pset.blocks[block].priors[0].family
    if family.startswith("logit"):
        return f"{block}_logit"
    return f"{block}_log" if family == "logstudent" else block


def by_region(quantity: str) -> str:
    """Deviations of regions in acute use or MOH."""
    return f"{quantity}_region"


def step(quantity: str) -> str:
    """The rise of acute use or MOH from one failure depth to the next."""
    return f"{quantity}_step"


def stated_revenue(anchor: int) -> str:
    """Log of an anchor year's revenue as the report's vendor would state it [modality sold]."""
    return f"log_stated_revenue_{anchor}"


def sold(anchor: int) -> str:
    """The dimension of :func:`stated_revenue`."""
    return f"sold_{anchor}"


def log_price(modality: Modality) -> str:
    """Log of a launched modality's first price."""
    return f"log_price_{modality.key}"


def price_growth(modality: Modality) -> str:
    """Yearly growth of a modality's price between anchors."""
    return f"price_growth_{modality.key}"


def spend_residual(modality: Modality) -> str:
    """What the lines of a modality that is not sold yet leave out of its spend, log, as steps over the anchors."""
    return f"spend_residual_{modality.key}"


def spend_residual_sd(modality: Modality) -> str:
    """The sds of the steps of what a modality's lines leave out of its spend."""
    return sd(spend_residual(modality))


def anchor_dim(modality: Modality) -> str:
    """The dimension of the anchors at which the report may have figures on a modality."""
    return f"anchor_{modality.key}"


def price_noise(modality: Modality) -> str:
    """Size of the yearly noise of a modality's price."""
    return f"price_noise_{modality.key}"


def level(pset: PriorSet, modality: Modality) -> str:
    """An adopted modality's use at the anchors."""
    return pset.own(ADOPTION_LEVEL, modality)


def uptake_region(pset: PriorSet, modality: Modality) -> str:
    """Deviations of regions in a modality's uptake."""
    return pset.own(f"{modality.uptake}_region", modality)


def uptake_region_sd(pset: PriorSet, modality: Modality) -> str:
    """The spread of :func:`uptake_region`."""
    return pset.own(f"{modality.uptake}_region_sd", modality)


def uptake_region_centre(pset: PriorSet, modality: Modality) -> str:
    """The report's directions, around which :func:`uptake_region` deviates."""
    return pset.own(f"{modality.uptake}_region_centre", modality)


def adoption_step_region_sd(pset: PriorSet, modality: Modality) -> str:
    """The spread of the deviations of regions in how steeply adoption rises with depth."""
    return pset.own(f"{ADOPTION_STEP_REGION}_sd", modality)


def path(pset: PriorSet, modality: Modality, end: int) -> str:
    """The share of each year in the rise of a modality's uptake to the anchor `end`."""
    return pset.own(f"{modality.uptake}_path_{end}", modality)


def path_concentration(pset: PriorSet, modality: Modality) -> str:
    """How close the shares of :func:`path` keep to their means: the total concentration of the Dirichlet."""
    return pset.own(path_assumption(modality), modality)


def path_assumption(modality: Modality) -> str:
    """The assumption whose number :func:`path_concentration` is."""
    return f"{modality.uptake}_path_concentration"


def source_error(pset: PriorSet, source: str) -> str:
    """The log error that all sizes of one source share; plain for the report, else followed by the source's name."""
    return _of_source(SOURCE_ERROR, pset, source)


def source_error_step_sd(pset: PriorSet, source: str) -> str:
    """The sds of the steps of :func:`source_error`."""
    return sd(f"{source_error(pset, source)}_step")


def source_error_bias(pset: PriorSet, source: str) -> str:
    """The mean of :func:`source_error`: the source's optimism."""
    return f"{source_error(pset, source)}_bias"


def source_year(pset: PriorSet, source: str) -> str:
    """The dimension of :func:`source_error`."""
    return _of_source("source_year", pset, source)


def source_years(pset: PriorSet, source: str | None = None) -> list[int]:
    """The years in which a source's error is a variable: those of its sizes and growth, and the report's anchors.

    Parameters: `source`, by default the report. Empty for a source that states no sizes, which has no error.
    """
    report = pset.ledger.report
    source = source or report.id
    years = {year for row in pset.evidence if row.source == source for year in row.shared_error}
    return sorted(years | set(report.anchors) if years and source == report.id else years)


def states_revenue(pset: PriorSet) -> bool:
    """Whether the report's revenue is in evidence."""
    return any((row.source, row.quantity) == (pset.ledger.report.id, REVENUE) for row in pset.evidence)


def _of_source(name: str, pset: PriorSet, source: str) -> str:
    return name if source == pset.ledger.report.id else f"{name}_{slug(source)}"


def lead_row(pset: PriorSet) -> Evidence | None:
    """The first row of evidence on a region's share of all revenue: that region's value is a free variable."""
    if len(pset.ledger.regions) == 1:
        return None
    whole = ("revenue_share", None, None, None)
    shares = [e for e in pset.evidence if (e.quantity, e.depth, e.modality, e.line) == whole]
    return next((row for row in shares if row.region is not None), None)


def stretches(pset: PriorSet, modality: Modality) -> list[tuple[int, int]]:
    """Pairs of years between which a modality's uptake rises over more than one year."""
    return [(low, high) for low, high in pairwise(pset.uptake_years(modality)) if high - low > 1]
