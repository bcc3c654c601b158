"""Priors that go together: the joint correlation of the standard draws of blocks that rows of a prior set connect.

A Gaussian copula on the scores of priors, in sds from their centres on their links: what each prior says by itself
stays. Two scores that no row names, and no block correlates by itself, are independent given all others: of all
matrices with the correlations that are asked for this is the one of largest entropy (Dempster 1972, Biometrics 28,
157), and one exists wherever any does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from postcgrp.models import variables as v
from postcgrp.models.standard import Standard, standard_of
from postcgrp.priors import InputError, PriorSet
from postcgrp.priors.elicit import LINK

Array = NDArray[np.float64]
Clique = tuple[NDArray[np.intp], Array]  # positions of scores, and the correlation that they are to have

MOST_SWEEPS = 1000
MATRIX_TOLERANCE = 1e-10  # how far a correlation may lie from what was asked


@dataclass(frozen=True)
class JointScores:
    """The scores of connected blocks in one vector: `at`, where each block's lie; `matrix` [n, n], their correlation.

    `standards`, the blocks' standard draws; `own` [n, n], what the correlation would be without the rows.
    """

    standards: dict[str, Standard]
    at: dict[str, slice]
    matrix: Array
    own: Array

    @cached_property
    def cholesky(self) -> Array:
        """Lower Cholesky factor [n, n]: scores are this times independent standard draws."""
        return np.linalg.cholesky(self.matrix)

    def log_density(self, scores: Array) -> Array:
        """Log density of scores [..., n] over what it would be if the blocks were independent [...]."""
        return _log_normal(self.matrix, scores) - _log_normal(self.own, scores)


def joint_scores(pset: PriorSet) -> JointScores | None:
    """The blocks that rows of a prior set connect, None if there are no rows.

    Raises :class:`InputError` for priors that one draw moves, or whose block correlates them by itself, and for
    correlations that no distribution has together.
    """
    if not pset.correlations:
        return None
    standards = {name: s for name in pset.connected if (s := standard_of(pset, name)) is not None}
    at, cliques, draw_of = dict[str, slice](), list[Clique](), dict[str, int]()
    for name, standard in standards.items():
        first = max((part.stop for part in at.values()), default=0)
        draws = np.arange(standard.cells[..., 0].size) + first
        at[name] = slice(first, first + draws.size)
        cliques += _cliques(standard, draws)
        for draw, cells in zip(draws, standard.cells.reshape(draws.size, -1), strict=True):
            draw_of |= {standard.block.priors[k].name: int(draw) for k in cells}
    own = np.eye(max(part.stop for part in at.values()))
    for index, target in cliques:
        own[np.ix_(index, index)] = target
    pairs: dict[frozenset[int], float] = {}
    for row in pset.correlations:
        pair = frozenset(draw_of[name] for name in row.names)
        if len(pair) == 1:
            raise InputError(f"correlation of {row.name}: one draw moves both already: remove the row")
        if any(pair <= set(index.tolist()) for index, _ in cliques):
            raise InputError(f"correlation of {row.name}: these have one of their own already: change that number")
        if pair in pairs:
            raise InputError(f"correlation of {row.name}: another row is on the same two draws: keep one")
        pairs[pair] = row.value
    asked = [(np.array(sorted(pair)), np.array([[1.0, r], [r, 1.0]])) for pair, r in pairs.items()]
    matrix = _completed(own, [*cliques, *asked])
    if matrix is None:
        said = "; ".join(f"{row.name} {row.value:g}" for row in pset.correlations)
        raise InputError(
            f"correlations ({said}): no distribution has all of them, as their matrix is not positive definite: bring "
            "some nearer to 0"
        )
    return JointScores(standards, at, matrix, own)


def _cliques(standard: Standard, draws: NDArray[np.intp]) -> list[Clique]:
    """The draws of a block that it correlates by itself, as sets."""
    if standard.cholesky is None:
        return []
    target = standard.cholesky @ standard.cholesky.T
    target = target / np.sqrt(np.outer(np.diag(target), np.diag(target)))  # a factor may have a jitter
    return [(row, target) for row in draws.reshape(-1, len(target))]


def _completed(own: Array, cliques: Sequence[Clique]) -> Array | None:
    """The correlation matrix of largest entropy with the targets of all cliques, None if there is none.

    Iterative proportional scaling (Speed & Kiiveri 1986, Annals of Statistics 14, 138) from `own`, in which scores
    are correlated within blocks alone.
    """
    matrix = own.copy()
    if any(np.linalg.eigvalsh(target)[0] <= 0 for _, target in cliques):
        return None
    for _ in range(MOST_SWEEPS):
        for index, target in cliques:
            at = np.ix_(index, index)
            try:
                gain = np.linalg.solve(matrix[at], matrix[index])  # regression of all scores on these
            except np.linalg.LinAlgError:
                return None
            matrix = matrix + gain.T @ (target - matrix[at]) @ gain
        if all(np.abs(matrix[np.ix_(index, index)] - target).max() < MATRIX_TOLERANCE for index, target in cliques):
            return matrix if np.linalg.eigvalsh(matrix)[0] > 0 else None
    return None


def _log_normal(matrix: Array, scores: Array) -> Array:
    """Log density [...] of scores [..., n], up to a constant of n."""
    root = np.linalg.cholesky(matrix)
    z = scores @ np.linalg.inv(root).T
    return np.asarray(-(z**2).sum(axis=-1) / 2 - np.log(np.diag(root)).sum())


# ---- scores of stored draws ----------------------------------------------------------------------------------------


def scores_of(pset: PriorSet, name: str, read: Callable[[str], Array]) -> Array:
    """How many sds each draw that moves a block lies off its centre [..., dims], correlated.

    Parameters: `read`, values [..., dims] of a variable of the model, by its name.
    """
    standard, joint = standard_of(pset, name), joint_scores(pset)
    if standard is None:
        block = pset.blocks[name]
        forward, _ = LINK[block.priors[0].family]
        values = read(name)
        shape = values.shape[values.ndim - len(block.dims) :]
        mu, sd = (np.reshape([getattr(prior, part) for prior in block.priors], shape) for part in ("mu", "sd"))
        return np.asarray((forward(values) - mu) / sd)
    z = read(v.standard(name))
    if joint is None or name not in joint.at:
        return standard.scores(z)
    rows, ndim = joint.cholesky[joint.at[name]], standard.cells.ndim - 1
    lead = z.shape[: z.ndim - ndim]
    before = list(joint.at)[: list(joint.at).index(name) + 1]
    draws = np.concatenate([read(v.standard(other)).reshape(*lead, -1) for other in before], axis=-1)
    return np.asarray(draws @ rows[:, : draws.shape[-1]].T).reshape(z.shape)


def pulls_of(pset: PriorSet, name: str, read: Callable[[str], Array]) -> Array:
    """Derivatives of the log prior density by the centre of each draw that moves a block, in sds [..., dims].

    The centres of all others stay where they are. Parameters: `read`, see :func:`scores_of`.
    """
    standard, joint = standard_of(pset, name), joint_scores(pset)
    scores = scores_of(pset, name, read)
    if standard is None or (joint is None and standard.cholesky is None):
        return scores
    if joint is None or name not in joint.at:
        return scores if standard.cholesky is None else _against(standard.cholesky, scores)
    ndim = len(standard.dims)
    whole = [scores_of(pset, other, read) for other in joint.at]
    lead = scores.shape[: scores.ndim - ndim]
    pulls = _against(joint.cholesky, np.concatenate([each.reshape(*lead, -1) for each in whole], axis=-1))
    return pulls[..., joint.at[name]].reshape(scores.shape)


def _against(cholesky: Array, scores: Array) -> Array:
    """The inverse of a correlation, by its factor, times scores [..., n]."""
    inverse = np.linalg.inv(cholesky)
    return np.asarray(scores @ (inverse.T @ inverse))


def log_dependence(pset: PriorSet, of: PriorSet, read: Callable[[str], Array]) -> Array | float:
    """Log density that the rows of a prior set give draws [...], on top of what its blocks give them.

    Parameters: `of`, the prior set whose model drew them, and `read`, see :func:`scores_of`, of these draws.
    """
    joint = joint_scores(pset)
    if joint is None:
        return 0.0
    parts = []
    for name, standard in joint.standards.items():
        cells = _moving(standard)
        (mu, sd), (was_mu, was_sd) = (
            np.array([(each.blocks[name].priors[k].mu, each.blocks[name].priors[k].sd) for k in cells]).T
            for each in (pset, of)
        )
        scores = scores_of(of, name, read)
        scores = scores.reshape(*scores.shape[: scores.ndim - len(standard.dims)], -1)
        moved = (was_mu + was_sd * scores - mu) / np.where(sd > 0, sd, 1.0)
        parts.append(np.where(sd > 0, moved, scores))  # a draw that moves nothing is its own score
    return joint.log_density(np.concatenate(parts, axis=-1))


def _moving(standard: Standard) -> NDArray[np.intp]:
    """Of the priors that each draw moves, the first that is no fixed number, by its index in the block."""
    sd = np.array([prior.sd for prior in standard.block.priors])
    cells = standard.cells.reshape(-1, standard.cells.shape[-1])
    return np.array([next((int(k) for k in row if sd[k] > 0), int(row[0])) for row in cells])
