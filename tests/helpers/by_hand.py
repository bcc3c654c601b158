"""A counterfactual of the shipped market written out by hand in NumPy, from docs/model.md and docs/drivers.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Dataset

Array = NDArray[np.float64]
YEARS = np.arange(2025, 2036)
MIDDLE = YEARS + 0.5
LINES = {"toxin": 0, "cgrp_antibody": 0, "gepant": 0, "acute": 0, "pacap": 0, "device": 1, "implant_case": 2}


def logit(p: Array) -> Array:
    return np.log(p / (1 - p))


def expit(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def by_hand(  # noqa: C901, PLR0915  straight down the page, as the equations stand there
    draws: Dataset, constants: Dataset, exclusive: list[str], to: Mapping[str, Array]
) -> dict[str, Array]:
    """Patients, use, use by line, revenue and revenue by line [draw, ...] on other paths.

    Parameters: `draws`, a run's posterior; `constants`, its data; `exclusive`, the lines that may lose exclusivity;
    `to`, new levels by driver: `growth` [draw, year, region], `payer_block` [draw, year, region], `acute_use` [draw,
    year, region, depth], `persistence`, `price` and `line_use` [draw, year, region, line] (the last two as factors),
    `exclusivity_year` [draw, line, region], `launch_year` [draw, launch, region], `success`, `ceiling` [draw, launch],
    `eligible` [draw, year, depth]; all others stay.
    """

    def x(name: str) -> Array:
        a = draws[name].values
        return np.asarray(a.reshape(-1, *a.shape[2:]))

    was: dict[str, Any] = {
        "payer_block": np.repeat(x("payer_block")[:, None], len(YEARS), 1),
        "acute_use": np.repeat(x("acute_use")[:, None], len(YEARS), 1),
        "persistence": np.repeat(np.moveaxis(x("persistence"), 1, 2)[:, None], len(YEARS), 1),
        "price": 1.0,
        "line_use": 1.0,
        "exclusivity_year": x("line_exclusivity_year"),
        "launch_year": x("launch_year"),
        "success": x("success"),
        "ceiling": x("launch_ceiling"),
        "eligible": np.repeat(x("eligible_share")[:, 0][:, None], len(YEARS), 1),
    }
    now = was | {name: level for name, level in to.items() if name != "growth"}

    def risen(of: Mapping[str, Any], k: int) -> Array:
        """Share of its ceiling that a launch has reached, 0 where it fails [draw, year, region]."""
        since = np.maximum(MIDDLE[:, None] - of["launch_year"][:, k][:, None, :], 0)
        reached = 1 - 2.0 ** -((since / x("launch_speed")[:, k][:, None, None]) ** 2)
        return np.asarray(of["success"][:, k][:, None, None] * reached)

    patients, use = x("patients"), x("use")
    growth = to.get("growth")
    if growth is not None:
        stated = np.diff(np.log(patients.sum(axis=-1)), axis=1, prepend=np.log(patients[:, :1].sum(axis=-1)))
        patients = patients * np.exp(np.cumsum(growth - stated, axis=1))[..., None]
    # Non-invasive: payer blocking and overuse move the log-odds; overuse is the same share of acute users.
    moh = x("moh")[:, None] * now["acute_use"] / x("acute_use")[:, None]
    odds = logit(use[..., 1])
    odds += x("moh_effect")[:, None, None, None] * (logit(moh) - logit(x("moh")[:, None]))
    blocked = logit(now["payer_block"]) - logit(was["payer_block"])
    odds -= (x("payer_brake")[:, None, None] * blocked)[..., None]
    # Implantable: eligible x ceiling of the region x what has risen.
    centre = constants["launch_region_centre"].values + x("launch_region_sd")[:, None] * x("launch_region")
    ceiling = expit(logit(now["ceiling"][:, 0])[:, None] + centre)
    implants = (ceiling[:, None] * risen(now, 0))[..., None] * now["eligible"][:, :, None, :]
    new_use = np.stack([np.ones_like(use[..., 0]), expit(odds), implants], axis=-1)

    def left(of: Mapping[str, Any], use: Array) -> dict[str, Array]:
        """What the displaced lines keep of their use [draw, year, region, depth]."""
        pacap = (of["ceiling"][:, 1][:, None, None] * risen(of, 1))[..., None]
        beside = 1 - x("displacement")[:, index["pacap"]][:, None, None, None] * pacap
        further = use[..., 1] - x("use")[:, :1, ..., 1]
        devices = 1 - x("displacement")[:, index["device"]][:, None, None, None] * further
        kept = {name: np.ones_like(use[..., 0]) for name in LINES}
        for name in ("toxin", "cgrp_antibody", "gepant", "acute"):
            kept[name] = kept[name] * beside
        kept["acute"] = kept["acute"] * devices
        return kept

    names = [str(label) for label in draws["displacing"].values]
    index = {"pacap": names.index("pacap"), "device": 1 - names.index("pacap")}
    line_use = np.array(x("use_line"))
    before, after = left(was, use), left(now, new_use)
    for k, name in enumerate(LINES):
        if name == "pacap":
            line_use[..., k] = (now["ceiling"][:, 1][:, None, None] * risen(now, 1))[..., None]
        else:
            line_use[..., k] = line_use[..., k] / before[name] * after[name]
    line_use = line_use * (now["line_use"] if np.ndim(now["line_use"]) == 0 else now["line_use"][:, :, :, None, :])

    def cost(of: Mapping[str, Any]) -> Array:
        """What a user-year of each line costs [draw, year, region, line]."""
        out, never = [], np.full_like(x("persistence")[:, 0], 1e6)
        for k, name in enumerate(LINES):
            lost = of["exclusivity_year"][:, exclusive.index(name)] if name in exclusive else never
            held = np.minimum(MIDDLE[:, None], lost[:, None])
            if name == "pacap":
                grown = np.maximum(held - of["launch_year"][:, 1][:, None], 0)
            else:
                grown = held - float(constants["line_price_year"]) - 0.5
            price = x("line_list_price")[:, k] * x("line_net_ratio")[:, k] * np.exp(x("line_price_common"))[:, None]
            price = price[:, None] * np.exp(x("line_price_growth")[:, k][:, None] * grown)
            if name in exclusive:
                at = exclusive.index(name)
                past = np.maximum(MIDDLE[:, None] - lost[:, None], 0) / x("line_exclusivity_speed")[:, at][:, None]
                price = price * (1 - x("line_exclusivity_fall")[:, at][:, None] * (1 - 10.0**-past))
            out.append(price)
        return np.asarray(np.stack(out, axis=-1) * of["persistence"] * of["price"])

    spend_was = x("use_line") * cost(was)[:, :, :, None, :]
    spend_now = line_use * cost(now)[:, :, :, None, :]
    revenue_line, revenue = np.empty_like(spend_now), np.empty_like(use)
    for m in range(3):
        own = [k for k, of in enumerate(LINES.values()) if of == m]
        beyond = x("intensity")[..., m] / spend_was[..., own].sum(axis=-1)
        for k in own:
            revenue_line[..., k] = patients * new_use[..., m] * spend_now[..., k] * beyond / 1e6
        revenue[..., m] = revenue_line[..., own].sum(axis=-1)
    found = {"patients": patients, "use": new_use, "use_line": line_use}
    return found | {"revenue": revenue, "revenue_line": revenue_line}
