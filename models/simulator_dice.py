"""Random numbers and probabilities for the model's second implementation, `models/simulator.py`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from postcgrp.models.correlated import joint_scores
from postcgrp.priors import PriorSet
from postcgrp.priors.elicit import STUDENT_DF, expit, logit
from postcgrp.priors.ledger import Modality

Array = NDArray[np.float64]

_HALVINGS = 52  # leave 2e-16 of the bracket
_NEVER = 1e-15  # a share fixed at zero stands at log-odds that no prior reaches


@dataclass(frozen=True)
class Dice:
    """Random numbers for `draws` markets at once, and the priors that they become."""

    pset: PriorSet
    rng: np.random.Generator
    draws: int

    def z(self, *shape: int) -> Array:
        """Independent standard normals [draw, *shape]."""
        return self.rng.standard_normal((self.draws, *shape))

    @cached_property
    def connected(self) -> dict[str, Array]:
        """Scores [draw, n] of the blocks that rows of the prior set connect, by name."""
        joint = joint_scores(self.pset)
        if joint is None:
            return {}
        scores = self.rng.multivariate_normal(np.zeros(len(joint.matrix)), joint.matrix, self.draws)
        return {name: scores[:, part] for name, part in joint.at.items()}

    def prior(self, name: str, *, shared: bool = False, between: float = 0.0) -> Array:
        """One prior's values [draw, *dims], or [draw] if it is a single number, in the prior's unit.

        Parameters: `shared`, whether one random number moves all cells of the last dimension; `between`, the
        correlation of any two of them otherwise.
        """
        block = self.pset.blocks[name]
        mean, sd = (np.array([getattr(prior, part) for prior in block.priors]) for part in ("mu", "sd"))
        last = len(self.pset.coords[block.dims[-1]]) if len(block.dims) > 1 else len(mean)
        family = block.priors[0].family if block.priors else "normal"
        shape = (self.draws, len(mean) // max(last, 1), 1 if shared else last)
        if name in self.connected:
            score = np.broadcast_to(self.connected[name].reshape(shape), (*shape[:2], last)).reshape(self.draws, -1)
        else:
            z = self.rng.standard_t(STUDENT_DF, shape) if family.endswith("student") else self.z(*shape[1:])
            if between:
                z = z @ np.linalg.cholesky(np.full((last, last), between) + (1 - between) * np.eye(last)).T
            score = np.broadcast_to(z, (*shape[:2], last)).reshape(self.draws, -1) @ block.cholesky.T
        value = mean + sd * score
        if family not in ("normal", "student"):
            value = np.exp(value) if family.startswith("log") and not family.startswith("logit") else expit(value)
        if family.startswith("logit"):
            value = np.where((sd == 0) & (value < _NEVER), 0.0, value)
        if len(block.dims) > 1:
            return value.reshape(self.draws, -1, last)
        return value if block.dims else value[:, 0]

    def number(self, name: str, assumption: str, *dims: int, **where: str) -> Array:
        """A number of the assumptions: [], or where the ledger has a range [draw, *dims], of which all are 1."""
        if name not in self.pset.blocks:
            return np.asarray(self.pset.number(assumption, **where))
        return self.prior(name).reshape(self.draws, *dims)

    def directions(self, modality: Modality) -> Array:
        """What the report says of regions' uptake of a modality, on the logit scale [draw or 1, region]."""
        size = self.number(f"uptake_region_size_{modality.key}", "uptake_region_size", 1, modality=modality.name)
        return np.atleast_2d(size * self.pset.signs("adoption_direction", "region", modality.name))

    def rising(self, name: str) -> Array:
        """A prior whose values [draw, cell] may not fall along the cells; or may not rise, if its block is falling.

        A claimed one is raised to the claimed ones before it; one that is left open is moved between the claimed ones
        around it, and then raised to any left open before it.
        """
        value, claimed = self.prior(name), self.pset.blocks[name].open == 0
        if self.pset.blocks[name].falling:
            value = 1 - value
        out = np.zeros_like(value)
        for k in range(value.shape[1]):
            before = [value[:, j] for j in range(k) if claimed[j]]
            least = np.max([np.zeros(self.draws), *before], axis=0)
            out[:, k] = np.maximum(value[:, k], least)
            after = [j for j in range(k + 1, value.shape[1]) if claimed[j]]
            if not claimed[k] and after:
                out[:, k] = np.minimum(out[:, k], np.maximum(value[:, after[0]], least))
        kept = np.maximum.accumulate(out, axis=1)
        return 1 - kept if self.pset.blocks[name].falling else kept

    def rise(self, name: str) -> Array:
        """The sum of a prior's positive steps up to each depth [draw, depth], from zero at the first."""
        return np.pad(self.prior(name).cumsum(axis=1), ((0, 0), (1, 0)))


def placed(weight: Array, offset: Array, mean: Array) -> Array:
    """Probabilities expit(c + offset) whose weighted mean over region and depth is `mean`, by bisection for c.

    Parameters: `weight` [..., region, depth], not negative; `offset`, logits that broadcast against it; `mean` [...]
    inside (0, 1). Returns [..., region, depth].
    """
    offset, weight = np.broadcast_arrays(offset, weight)
    share = weight / weight.sum(axis=(-2, -1), keepdims=True)
    target = mean[..., None, None]
    # The mean lies between the smallest and the largest of the probabilities, so these ends hold c.
    low = logit(target) - offset.max(axis=(-2, -1), keepdims=True)
    high = logit(target) - offset.min(axis=(-2, -1), keepdims=True)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        over = (share * expit(middle + offset)).sum(axis=(-2, -1), keepdims=True) > target
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    return expit((low + high) / 2 + offset)
