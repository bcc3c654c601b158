"""Prior blocks that are moved by standard draws: what of a block each draw moves, and how draws are correlated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from postcgrp.models import variables as v
from postcgrp.priors import Block, PriorSet
from postcgrp.priors.elicit import standard_log_density

Array = NDArray[np.float64]

# By block, the first of its dims: cells along its other dims are moved by one draw.
DRAW_DIMS: dict[str, tuple[str, ...]] = {
    v.PATIENT_GROWTH: ("period",),
    v.DEPTH_DRIFT: (),
    v.VENDOR_BUILD_UP: (),
    v.SUCCESS_PROBABILITY: ("launch",),
    v.LAUNCH_YEAR: ("launch",),
    v.LAUNCH_CEILING: ("launch",),
    v.LAUNCH_SPEED: ("launch",),
    v.VENDOR_LAUNCH_YEAR: ("launched",),
    v.ELIGIBLE_SHARE: ("launched",),
    v.DISPLACEMENT: ("displacing",),
    v.LINE_USE_LEVEL: ("line_claimed",),
    v.LINE_DRIFT: ("line_claimed", "period"),
    v.LINE_LIST_PRICE: ("line", "region"),
    v.LINE_NET_RATIO: ("line", "region"),
    v.PERSISTENCE: ("line",),
    v.LINE_PRICE_GROWTH: ("line",),
    v.LINE_PRICE_COMMON: (),
    v.LINE_EXCLUSIVITY_YEAR: ("line_exclusive",),
    v.LINE_EXCLUSIVITY_FALL: ("line_exclusive",),
    v.LINE_EXCLUSIVITY_SPEED: ("line_exclusive",),
}
BY_REGION = (v.LINE_LIST_PRICE, v.LINE_NET_RATIO)  # correlated between the regions of a line


@dataclass(frozen=True)
class Standard:
    """The standard draws `{block}_z` of a prior block.

    `dims` of the draws; `cells` [dims, k], the priors, by their index in the block, that each draw moves together;
    `cholesky`, the lower factor of the draws' correlation along the last of `dims`, None where they are independent.
    A cell's value on its link scale is mu + sd * score.
    """

    block: Block
    dims: tuple[str, ...]
    cells: NDArray[np.intp]
    cholesky: Array | None

    def scores(self, z: Array) -> Array:
        """How many sds each draw of `z` [..., dims] lies off the centre, correlated."""
        return z if self.cholesky is None else np.asarray(z @ self.cholesky.T)

    def log_density(self, scores: Array) -> Array:
        """Log density of scores [..., dims] by the standard draw behind each, up to a constant of the family.

        Where draws are correlated, only its sum over the last dim is a density.
        """
        family = self.block.priors[0].family
        if self.cholesky is None:
            return standard_log_density(family, scores)
        z = scores @ np.linalg.inv(self.cholesky).T
        return standard_log_density(family, z) - np.log(np.diag(self.cholesky))


def standard_of(pset: PriorSet, name: str) -> Standard | None:
    """The standard draws of one prior block; None if it has none, and its variable is drawn itself."""
    block = pset.blocks[name]
    dims = DRAW_DIMS.get(name) if block.correlation is None else block.dims
    if dims is None and name in pset.connected:
        dims = block.dims
    if dims is None:
        return None
    coords = pset.coords
    shape = [len(coords.get(dim, block.priors)) for dim in dims]
    cells = np.arange(len(block.priors)).reshape([*shape, -1])
    cholesky = region_cholesky(pset) if name in BY_REGION else None
    return Standard(block, dims, cells, block.cholesky if block.correlation is not None else cholesky)


def region_cholesky(pset: PriorSet) -> Array:
    """Cholesky factor [region, region] under which any two regions have the correlation `line_region_correlation`."""
    n, correlation = len(pset.ledger.regions), pset.number("line_region_correlation")
    matrix = np.full((n, n), correlation) + (1 - correlation) * np.eye(n)
    return np.linalg.cholesky(matrix + 1e-12 * np.eye(n))
