"""The drivers of a run as its draws have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from xarray import Dataset

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.models import variables as v
from postcgrp.priors import PriorSet, from_range
from postcgrp.priors.catalogue import ASSUMPTIONS
from postcgrp.priors.drivers import BY_YEAR, DRIVERS, driver_labels, modality_of
from postcgrp.priors.elicit import LINK
from postcgrp.priors.lookup import Key, assumption

Array = NDArray[np.float64]
NEEDED = (  # of a run
    v.PATIENTS,
    v.USE,
    v.USE_LINE,
    v.PAYER_BLOCK,
    v.ACUTE_USE,
    v.MOH,
    v.PERSISTENCE,
    v.ELIGIBLE_SHARE,
    v.LAUNCH_YEAR,
    v.LAUNCH_CEILING,
    v.SUCCESS,
    v.SUCCESS_DRAW,
    v.SUCCESS_PROBABILITY,
    v.LINE_EXCLUSIVITY_YEAR,
)


class Factual:
    """The drivers of a run as its draws have them.

    `draws`, the variables `NEEDED`; `certain` [launch], 1 where sales were measured; `bounds` [chain, draw, launch],
    how likely what bounds a launch was, had it come; `seed`, of what the model does not have and so no draw knows: how
    many patients centres see, and how much more is used there.
    """

    def __init__(self, pset: PriorSet, draws: Dataset, certain: Array, bounds: Array, seed: int) -> None:
        self.pset, self.draws, self.certain, self.bounds, self.seed = pset, draws, certain, bounds, seed
        self.sample = (draws.sizes["chain"], draws.sizes["draw"])
        self._levels: dict[str, Array] = {}

    def level(self, name: str) -> Array:
        """The level of a driver [chain, draw, *its dims]."""
        if name not in self._levels:
            self._levels[name] = self._made(name)
        return self._levels[name]

    def _made(self, name: str) -> Array:
        ledger = self.pset.ledger
        labels, dims = driver_labels(ledger, name), DRIVERS[name].dims
        own = {
            "price": self._price,
            "pool_growth": self._pool_growth,
            "line_use": self._line_use,
            "centre_share": self._centre_share,
            "adoption": self._adoption,
        }
        if name in own:
            return own[name](labels)
        stored = {"exclusivity_year": v.LINE_EXCLUSIVITY_YEAR}.get(name, name)
        array = self.draws[stored]
        if "line_exclusive" in array.dims:
            array = array.rename(line_exclusive="line")
        if BY_YEAR in dims:
            array = array.expand_dims({BY_YEAR: list(ledger.years)})
        return np.asarray(array.transpose(*SAMPLE, *dims).values, dtype=float)

    def _price(self, labels: Mapping[str, Sequence[Key]]) -> Array:
        return np.ones((*self.sample, *(len(of) for of in labels.values())))

    def _pool_growth(self, _: Mapping[str, Sequence[Key]]) -> Array:
        """Growth of each region's patients into a year, log; none into the first."""
        patients = np.log(self.draws[v.PATIENTS].sum("depth").transpose(*SAMPLE, BY_YEAR, "region").values)
        return np.asarray(np.diff(patients, axis=2, prepend=patients[:, :, :1]))

    def _adoption(self, labels: Mapping[str, Sequence[Key]]) -> Array:
        use = self.draws[v.USE].sel(modality=list(labels["modality"]))
        return np.asarray(use.transpose(*SAMPLE, *DRIVERS["adoption"].dims).values)

    def _line_use(self, labels: Mapping[str, Sequence[Key]]) -> Array:
        """Mean use of a line over its modality's users in a region, or, where there are none, over patients."""
        means = []
        for line in labels["line"]:
            users = self.draws[v.PATIENTS] * self.draws[v.USE].sel(
                modality=modality_of(self.pset.ledger, line), drop=True
            )
            weights = users.where(users.sum("depth") > 0, self.draws[v.PATIENTS])
            use = self.draws[v.USE_LINE].sel(line=line, drop=True)
            means.append((weights * use).sum("depth") / weights.sum("depth"))
        return np.stack([mean.transpose(*SAMPLE, BY_YEAR, "region").values for mean in means], axis=-1)

    def _centre_share(self, labels: Mapping[str, Sequence[Key]]) -> Array:
        share = np.stack([self._assumed("centre_share", {"region": region}) for region in labels["region"]], axis=-1)
        return np.broadcast_to(share[:, :, None], (*self.sample, len(labels[BY_YEAR]), len(labels["region"])))

    def centre_effect(self) -> Array:
        """Log odds of use in centres over those elsewhere [chain, draw, modality]; 0 for what everyone uses."""
        zero = np.zeros(self.sample)
        return np.stack(
            [
                zero if m.uptake == "everyone" else self._assumed("centre_effect", {"modality": m.name})
                for m in self.pset.ledger.modalities
            ],
            axis=-1,
        )

    def _assumed(self, name: str, where: dict[str, Key]) -> Array:
        """An assumption that the model does not read [chain, draw], its cells moved by one standard draw."""
        row = assumption(self.pset.ledger, name, where)
        if row.value is not None:
            return np.full(self.sample, row.value)
        stream = np.random.SeedSequence(self.seed, spawn_key=tuple(name.encode()))
        family = row.family or ASSUMPTIONS[name].family or "normal"
        mu, sd = from_range(row.low or 0.0, row.high or 0.0, row.coverage, family)
        z = np.random.default_rng(stream).standard_normal(self.sample)
        return np.asarray(LINK[family][1](mu + sd * z), dtype=float)
