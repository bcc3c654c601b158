"""What the model reads from a ledger: unit, prior family and segments of each claim and assumption."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi
from typing import Literal

Family = Literal["normal", "lognormal", "logitnormal", "student", "logstudent", "logitstudent"]
HEAVY: dict[Family, Family] = {"normal": "student", "lognormal": "logstudent", "logitnormal": "logitstudent"}
MIDYEAR = 0.5  # a year has the rates of its middle
LEFT_AT_SPEED = log(10)  # a fall of price is nine tenths done after its `line_exclusivity_speed`
STEEPNESS = pi / 3**0.5  # of a logistic with an sd of 1
MILLION = 1e6  # revenue is in millions, a price in units of the currency
MONEY_UNIT = "{currency} million"
SPEND_UNIT = "{currency} per patient-year"


def holds_some(coverage: float) -> bool:
    """Returns whether a range may hold this mass: not none, not all, nor so nearly all that a last digit is left."""
    return 0.5 < (1 + coverage) / 2 < 1  # noqa: PLR2004


@dataclass(frozen=True)
class Entry:
    """What one quantity must look like.

    `unit`: with a gap for the report's currency. `by`: the dimensions by which a row may narrow it down. `family`: of
    its prior, or None for a fixed number. `positive`: whether a fixed number must be above zero. `fixable`: whether a
    row with a family may also be a fixed number.
    """

    unit: str
    by: tuple[str, ...] = ()
    family: Family | None = None
    positive: bool = False
    fixable: bool = False


def _range(unit: str, by: tuple[str, ...], family: Family) -> Entry:
    """An assumption that is a prior, or a fixed number."""
    return Entry(unit, by, family, fixable=True)


# Claims with the role `prior`. Any may name a year; the model reads it for adoption and patients.
PRIOR_CLAIMS = {
    "patients": Entry("patients", ("region",), "lognormal"),
    "depth_share": Entry("fraction", ("depth",), "lognormal"),  # a weight: the shares are these, normalised
    "adoption": Entry("fraction", ("modality",), "logitnormal"),
    "acute_use": Entry("fraction", (), "logitnormal"),
    "moh": Entry("fraction", (), "logitnormal"),
    "payer_block": Entry("fraction", (), "logitnormal"),
    "adoption_direction": Entry("sign", ("region", "modality")),
    "line_use": Entry("fraction", ("line",), "logitnormal"),
    "line_use_direction": Entry("sign", ("region", "depth", "line")),
}

# Claims with the role `evidence`, and rows of evidence files: on the log scale, but for dates.
OBSERVED = {
    "revenue": Entry(MONEY_UNIT, ("region", "depth", "modality", "line")),
    "revenue_share": Entry("fraction", ("region", "depth", "modality", "line")),
    "revenue_growth": Entry("ratio", ("region", "depth", "modality", "line")),
    "patients": Entry("patients", ("region", "depth")),
    "patients_share": Entry("fraction", ("region", "depth")),
    "patients_growth": Entry("ratio", ("region", "depth")),
    "users_growth": Entry("ratio", ("region", "depth", "modality")),
    "adoption": Entry("fraction", ("region", "depth", "modality")),
    "acute_use": Entry("fraction", ("region", "depth")),
    "moh": Entry("fraction", ("region", "depth")),
    "payer_block": Entry("fraction", ("region",)),
    "line_use": Entry("fraction", ("region", "depth", "line")),
    "price": Entry(SPEND_UNIT, ("region", "depth", "modality")),  # revenue per user: as in a fraction, no shared error
    "launch_year": Entry("year", ("region", "modality", "line"), "normal"),
    "launch_not_before": Entry("year", ("region", "modality", "line"), "normal"),
}
NOT_BEFORE = "launch_not_before"
DATES = ("launch_year", NOT_BEFORE)
GROWN = {"revenue_growth": "revenue", "patients_growth": "patients", "users_growth": "users"}  # and what grows
# Claims that the audit compares with others, beside those above; all others are kept and read by nothing.
COMPARED = (
    "growth_rate",
    "treatment_action",
    "region_list",
    "adoption_trend_direction",
    "mix_direction",
    "intensity_direction",
    "intensity_growth_direction",
)
SIZES = ("revenue", "patients")  # these carry their source's error, which cancels in fractions

# Numbers that are usually fixed and may be ranges too, with the family of their prior: each is above zero and scales
# standard normals or the report's signs. More scales made chains diverge when they were variables: the concentration of
# a path, which makes a funnel with its shares; `region_premium_modality_sd`, by which the mean of the lead region's
# value moves; and the sds of what lines leave out of a spend, which are the width of a ridge of stated revenue.
RANGED: dict[str, Family] = {
    "patient_growth_region_sd": "lognormal",
    "payer_block_region_sd": "lognormal",
    "adoption_step_region_sd": "lognormal",
    "uptake_region_size": "lognormal",
    "line_use_region_size": "lognormal",
    "line_use_depth_size": "lognormal",
    "line_use_region_sd": "lognormal",
    "price_noise": "lognormal",
}
# The sds of what the lines of a modality leave out of its spend: at the first anchor, and from one to the next.
RESIDUAL_SDS = ("spend_residual_sd", "spend_residual_step_sd")
# Why the other fixed numbers have no range, and what serves in its place.
_A_SPREAD = "it is the spread of a point: give the claim itself a range or `quantiles`"
_A_CORRELATION = "it says how priors are drawn, not what is drawn: pool sets that differ in it (a linear pool)"
_A_RESIDUAL = (
    "as a variable it is the width of a ridge between revenue and its factors, and chains diverge: pool sets that "
    "differ in it (a linear pool)"
)
FIXED_BECAUSE: dict[str, str] = {
    **dict.fromkeys(
        (
            "region_patients_log_sd",
            "depth_weight_log_sd",
            "burden_logit_sd",
            "payer_block_logit_sd",
            "adoption_logit_sd",
            "line_use_logit_sd",
        ),
        _A_SPREAD,
    ),
    **dict.fromkeys(
        ("patient_growth_correlation", "burden_correlation", "uptake_correlation", "line_region_correlation"),
        _A_CORRELATION,
    ),
    **dict.fromkeys(RESIDUAL_SDS, _A_RESIDUAL),
    **dict.fromkeys(
        ("evidence_log_sd", "evidence_year_sd"), "it is the error of a row: give a less trusted row a larger one"
    ),
    "adoption_path_concentration": "as a variable it makes a funnel with the shares of its path, and chains diverge",
    "region_premium_modality_sd": "as a variable it moves the mean of the lead region's value, and chains diverge",
    "line_price_year": "it is the year of the prices' money, a definition",
}
ELIGIBLE = {"base": "eligible_share", "strict": "eligible_share_strict", "lenient": "eligible_share_lenient"}
ASSUMPTIONS = {
    "evidence_log_sd": Entry("log", ("year", "region", "depth", "modality"), positive=True),
    "evidence_year_sd": Entry("years", (), positive=True),
    "pool_error": Entry("log", (), "normal"),
    "region_patients_log_sd": Entry("log", ("region",), positive=True),
    "patient_growth": Entry("fraction per year", ("year",), "normal"),
    "patient_growth_correlation": Entry("correlation"),
    "depth_drift": _range("fraction per year", (), "normal"),
    "patient_growth_region_sd": Entry("fraction per year"),
    "depth_weight_log_sd": Entry("log", ("depth",), positive=True),
    "depth_weight_region_sd": Entry("log", (), "lognormal"),
    "burden_logit_sd": Entry("logit", (), positive=True),
    "burden_correlation": Entry("correlation"),
    "acute_use_step": Entry("logit", ("depth",), "lognormal"),
    "moh_step": Entry("logit", ("depth",), "lognormal"),
    "burden_region_sd": Entry("logit", (), "lognormal"),
    "payer_block_logit_sd": Entry("logit", (), positive=True),
    "payer_block_region_sd": Entry("logit"),
    "adoption_logit_sd": Entry("logit", ("year", "modality"), positive=True),
    "uptake_correlation": Entry("correlation", ("modality",)),
    "adoption_path_concentration": Entry("count", ("modality",), positive=True),
    "uptake_region_sd": Entry("logit", ("modality",), "lognormal"),
    "uptake_region_size": Entry("logit", ("modality",)),
    "adoption_step": Entry("logit", ("depth", "modality"), "lognormal"),
    "adoption_step_region_sd": Entry("log", ("modality",)),
    "moh_effect": Entry("logit", ("modality",), "lognormal"),
    "payer_brake": Entry("logit", ("modality",), "lognormal"),
    "centre_share": _range("fraction", ("region",), "logitnormal"),  # these two are read by scenarios, and by no model
    "centre_effect": _range("logit", ("modality",), "lognormal"),
    "launch_year": _range("year", ("region", "modality", "line"), "normal"),
    "vendor_launch_year": _range("year", ("modality",), "normal"),
    "success_probability": _range("fraction", ("modality", "line"), "logitnormal"),
    "launch_ceiling": _range("fraction", ("modality", "line"), "logitnormal"),
    "launch_speed": _range("years", ("modality", "line"), "lognormal"),
    "displacement": _range("fraction", ("modality", "line"), "logitnormal"),
    **{name: _range("fraction", ("depth", "modality"), "logitnormal") for name in ELIGIBLE.values()},
    "vendor_build_up": _range("fraction", (), "logitnormal"),
    "line_use_logit_sd": Entry("logit", ("line",), positive=True),
    "line_use_region_size": Entry("logit", ("line",)),
    "line_use_depth_size": Entry("logit", ("line",)),
    "line_use_region_sd": Entry("logit", ("line",)),
    "line_drift": _range("logit", ("year", "line"), "normal"),
    "line_list_price": _range(SPEND_UNIT, ("region", "line"), "lognormal"),
    "line_net_ratio": _range("fraction", ("region", "line"), "lognormal"),
    "line_persistence": _range("fraction", ("region", "line"), "logitnormal"),
    "line_price_growth": _range("fraction per year", ("region", "line"), "normal"),
    "line_exclusivity_year": _range("year", ("region", "line"), "normal"),
    "line_exclusivity_fall": _range("fraction", ("region", "line"), "logitnormal"),
    "line_exclusivity_speed": _range("years", ("region", "line"), "lognormal"),
    "line_price_common": _range("log", (), "normal"),
    "line_region_correlation": Entry("correlation"),
    "line_price_year": Entry("year"),
    "spend_residual_sd": Entry("log", ("modality",), positive=True),
    "spend_residual_step_sd": Entry("log", ("modality",), positive=True),
    "price": Entry(SPEND_UNIT, ("modality",), "lognormal"),
    "price_growth": Entry("fraction per year", ("year", "modality"), "normal"),
    "price_noise": Entry("log", ("modality",)),
    "region_premium": Entry("log", ("region",), "normal"),
    "region_premium_modality_sd": Entry("log"),
    "intensity_step": Entry("log", ("depth",), "lognormal"),
}
