"""What a scenario may change: each driver by name, for which parts of a market it has a path, and what it moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from postcgrp.priors.ledger import Ledger
from postcgrp.priors.lines import line_labels
from postcgrp.priors.lookup import Key, prior_claims

Operation = Literal["value", "factor", "shift"]
ALL_OPERATIONS: tuple[Operation, ...] = ("value", "factor", "shift")
BY_YEAR = "year"
CENTRE_ASSUMPTIONS = ("centre_share", "centre_effect")  # how many patients centres see, and how much more is used there


@dataclass(frozen=True)
class Driver:
    """One driver.

    `dims`: what it differs by; with `year` it is a path, otherwise one number for the whole window. `unit`: of its
    value and shift. `allowed`: what a scenario may do to it. `least` and `most`: the bounds of its value, which it may
    reach unless it is `strict`. `moves` and `leaves`: what follows from it, and what does not. `needs`: what a ledger
    must have for it.
    """

    name: str
    dims: tuple[str, ...]
    unit: str
    moves: str
    leaves: str
    needs: str
    allowed: tuple[Operation, ...] = ALL_OPERATIONS
    least: float = 0.0
    most: float = 1.0
    strict: bool = False

    @property
    def is_path(self) -> bool:
        """Whether it has a value for each year."""
        return BY_YEAR in self.dims

    @property
    def may_name(self) -> tuple[str, ...]:
        """What a row may name to be about a part of the market."""
        named = {"modality": ("modality",), "launched": ("modality",), "line": ("modality", "line")}
        named |= {"launch": ("modality", "line"), "sold": ("modality", "line")}
        return tuple(dict.fromkeys(key for dim in self.dims if dim != BY_YEAR for key in named.get(dim, (dim,))))


_EVERYONE = "whatever everyone uses"
DRIVERS = {
    driver.name: driver
    for driver in (
        Driver(
            "payer_block",
            ("year", "region"),
            "fraction",
            "use of adopted modalities, by `payer_brake`: the odds of use fall as the odds of blocking rise",
            "prices, drugs and launches: the model has no brake there",
            "a prior claim on payer_block and an adopted modality",
            strict=True,
        ),
        Driver(
            "acute_use",
            ("year", "region", "depth"),
            "fraction",
            "overuse headache, in proportion, and by it the use of adopted modalities (`moh_effect`)",
            "spend on acute drugs: that is `line_use`",
            "prior claims on acute_use and moh, and an adopted modality",
            strict=True,
        ),
        Driver(
            "moh",
            ("year", "region", "depth"),
            "fraction",
            "use of adopted modalities, by `moh_effect`; never above acute use, where it is held",
            "acute use itself",
            "a prior claim on moh and an adopted modality",
            strict=True,
        ),
        Driver(
            "adoption",
            ("year", "region", "depth", "modality"),
            "fraction",
            "users and revenue of an adopted modality, and what these displace",
            f"{_EVERYONE}, launches, and prices per user",
            "an adopted modality",
        ),
        Driver(
            "centre_share",
            ("year", "region"),
            "fraction",
            "use of adopted and launched modalities, whose odds are higher in centres by `centre_effect`",
            f"{_EVERYONE}; how many patients there are",
            "the assumptions centre_share and centre_effect",
        ),
        Driver(
            "pool_growth",
            ("year", "region"),
            "fraction per year",
            "patients from that year on, and with them users and revenue of everything",
            "the mix of depths, use per patient, prices",
            "nothing",
            least=-0.5,
            most=1.0,
        ),
        Driver(
            "line_use",
            ("year", "region", "line"),
            "fraction",
            "spend on a line that the report has a claim on",
            "other lines: nobody knows whom its users leave",
            "a line with a prior claim on line_use",
        ),
        Driver(
            "persistence",
            ("year", "region", "line"),
            "fraction",
            "what a user-year of a line costs, in proportion",
            "how many start it, and how often it fails",
            "lines",
        ),
        Driver(
            "price",
            ("year", "region", "sold"),
            "factor",
            "what a user-year of a line, or of a modality without lines, costs",
            "use: demand does not answer to prices here",
            "nothing",
            allowed=("factor",),
            most=float("inf"),
        ),
        Driver(
            "exclusivity_year",
            ("region", "line"),
            "year",
            "the year from which a line's price falls instead of growing",
            "use of the line, and how far and fast the price falls",
            "a line with line_exclusivity_year",
            allowed=("value", "shift"),
        ),
        Driver(
            "launch_year",
            ("region", "launch"),
            "year",
            "when a launched modality or pipeline line comes on the market; before, nothing is sold",
            "whether it does, its ceiling and its speed",
            "a launched modality or a pipeline line",
            allowed=("value", "shift"),
        ),
        Driver(
            "success_probability",
            ("launch",),
            "fraction",
            "in which draws a launch comes: those whose uniform number lies below it, as in the model",
            "what is measured already: sales that were seen are certain",
            "a launched modality or a pipeline line",
        ),
        Driver(
            "launch_ceiling",
            ("launch",),
            "fraction",
            "the share that a launch reaches in the end",
            "its date and speed",
            "a launched modality or a pipeline line",
            strict=True,
        ),
        Driver(
            "eligible_share",
            ("year", "depth", "launched"),
            "fraction",
            "who may get a launched modality, by failure depth",
            "the share of these who do",
            "a launched modality",
        ),
    )
}


def driver_labels(ledger: Ledger, name: str) -> dict[str, tuple[Key, ...]]:
    """Returns the labels of a driver's dims in a ledger; none at all where the ledger does not have the driver."""
    driver, of_lines = DRIVERS[name], line_labels(ledger)
    adopted = tuple(m.name for m in ledger.modalities if m.uptake == "adoption")
    claimed = {quantity for quantity in ("payer_block", "acute_use", "moh") if any(prior_claims(ledger, quantity))}
    moves_adoption = {"payer_block": {"payer_block"}, "acute_use": {"acute_use", "moh"}, "moh": {"moh"}}
    if name in moves_adoption and not (adopted and moves_adoption[name] <= claimed):
        return {}
    if name == "centre_share" and not has_centres(ledger):
        return {}
    lines = {"line_use": "line_claimed", "exclusivity_year": "line_exclusive"}
    labels: dict[str, tuple[Key, ...]] = {
        BY_YEAR: ledger.years,
        "region": ledger.segments["region"],
        "depth": ledger.segments["depth"],
        "modality": adopted,
        "line": tuple(of_lines[lines.get(name, "line")]),
        "launch": tuple(of_lines["launch"]),
        "launched": tuple(of_lines["launched"]),
        "sold": (*of_lines["line"], *of_lines["priced"]),
    }
    found = {dim: labels[dim] for dim in driver.dims}
    return found if all(found.values()) else {}


def has_centres(ledger: Ledger) -> bool:
    """Returns whether a ledger says how many patients centres see, and how much more is used there."""
    assumed = {row.id for row in ledger.assumptions}
    return {*CENTRE_ASSUMPTIONS} <= assumed and any(m.uptake != "everyone" for m in ledger.modalities)


def modality_of(ledger: Ledger, label: Key) -> str:
    """Returns the modality that a line, or a modality itself, belongs to."""
    return next((line.modality for line in ledger.lines if line.name == label), str(label))
