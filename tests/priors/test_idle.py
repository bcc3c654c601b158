"""Changes of a prior set that the settings, or what is in evidence, leave without effect: they are named."""

from __future__ import annotations

from typing import Any

import pytest

from postcgrp.priors import InputError, load_ledger
from postcgrp.priors.idle import idle_changes
from postcgrp.priors.sets import Overlay, prior_set

LEDGER = load_ledger()
DIRECTIONS = [c.id for c in LEDGER.claims if c.quantity == "adoption_direction"]
SALES = [c.id for c in LEDGER.claims if c.role == "evidence" and c.quantity == "revenue"]
RANGE = {"low": 0.1, "high": 0.5}


def said(table: str, change: dict[str, Any], turned: dict[str, Any]) -> tuple[str, ...]:
    overlay = Overlay.model_validate({"name": "mine", "says": "a test", table: [change | {"reason": "r"}]})
    return idle_changes(prior_set(LEDGER, overlay, turned=turned), overlay)


@pytest.mark.parametrize(
    ("change", "acts", "idle", "why"),
    [
        ({"id": "eligible_share_strict", "value": 0.1}, {"stringency": "strict"}, {}, "the model takes 'eligible_sh"),
        (
            {"id": "eligible_share", "depth": "3+", "value": 0.5},
            {},
            {"stringency": "lenient"},
            "takes 'eligible_share_lenient'",
        ),
        ({"id": "vendor_build_up", "value": 0.5}, {}, {"vendor_build_up": 0.2}, "the setting is 0.2"),
        ({"id": "vendor_build_up", "value": 0.5}, {}, {"leave_out": SALES}, "no revenue of the report is in evidence"),
        (
            {"id": "evidence_log_sd", "modality": "implantable", "value": 0.5},
            {},
            {"leave_out": SALES},
            "no row of evid",
        ),
        ({"id": "depth_weight_log_sd", "depth": "2", "value": 0.5}, {}, {"leave_out": ["depth_share_2_2025"]}, "left"),
        ({"id": "uptake_region_size", **RANGE}, {}, {"leave_out": DIRECTIONS}, "no direction of a region is in use"),
        ({"id": "line_use_region_size", "line": "toxin", **RANGE}, {}, {"leave_out": ["line"]}, "no direction of a r"),
        ({"id": "line_use_depth_size", "line": "acute", **RANGE}, {}, {"leave_out": ["line"]}, "no direction of a d"),
    ],
)
def test_a_change_is_named_where_settings_leave_it_without_effect(
    change: dict[str, Any], acts: dict[str, Any], idle: dict[str, Any], why: str
) -> None:
    if idle == {"leave_out": ["line"]}:
        idle = {"leave_out": [c.id for c in LEDGER.claims if c.quantity == "line_use_direction"]}
    assert said("assumption", change, acts) == ()
    (line,) = said("assumption", change, idle)
    assert line.startswith(f"the change of {change['id']!r} ")
    assert why in line


def test_a_size_of_directions_that_the_report_does_not_give_is_named() -> None:
    (line,) = said("assumption", {"id": "line_use_depth_size", "line": "gepant", "value": 0.5}, {})
    assert line.endswith("changes nothing here: no direction of a depth is in use there")


def test_a_change_to_a_claim_that_is_left_out_is_named() -> None:
    change = {"id": "adoption_2030", "low": 0.2, "high": 0.3}
    assert said("claim", change, {}) == ()
    (line,) = said("claim", change, {"leave_out": ["adoption_2030"]})
    assert line == "the change of claim 'adoption_2030' changes nothing here: it is left out"


def test_a_correlation_of_what_is_drawn_without_one_is_refused() -> None:
    """Levels at the anchors are those of an adoption curve: a launch has none."""
    with pytest.raises(InputError, match="'uptake_correlation', here, is one that no model takes: remove it"):
        said("assumption", {"id": "uptake_correlation", "modality": "implantable", "value": 0.9}, {})
