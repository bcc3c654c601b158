"""How central the report's rows lie in the prior predictive: closeness is no corroboration, and distance is a conflict.

The squared Mahalanobis distance of the rows from the mean of what the priors predict, against that of the predictions
themselves (Box 1980, JRSS A 143, 383). Priors that have not seen the report put it anywhere; rows more central than
nearly all predictions would say that the priors were chosen by someone who had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from postcgrp.priors import PriorSet

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Centrality:
    """`distance`, squared, on `freedom` degrees of freedom; `nearer` and `farther`, the shares of predictions that lie
    nearer and farther; `rows`, each row's id and the share of its predictions that lie below it.
    """  # noqa: D205

    distance: float
    freedom: int
    nearer: float
    farther: float
    rows: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        """One sentence."""
        worst = max(self.rows, key=lambda row: abs(row[1] - 0.5))
        return (
            f"the report's {self.freedom} rows lie {self.distance:.1f} (squared) from the centre of what "
            f"the priors predict ({self.freedom} degrees of freedom): {self.nearer:.1%} of predictions lie nearer and "
            f"{self.farther:.1%} farther; farthest out is {worst[0]}, above {worst[1]:.1%} of its predictions"
        )


def centrality(predicted: Array, observed: Array, ids: Sequence[str]) -> Centrality:
    """How central rows lie among predictions of them.

    Parameters: `predicted` [draw, row] and `observed` [row], on the same scale (logs); `ids`, the rows' names.
    """
    mean, covariance = predicted.mean(axis=0), np.atleast_2d(np.cov(predicted, rowvar=False))
    precision = np.linalg.pinv(covariance, hermitian=True)

    def squared(values: Array) -> Array:
        away = np.atleast_2d(values - mean)
        return np.asarray(np.einsum("ni,ij,nj->n", away, precision, away))

    [distance], among = squared(observed), squared(predicted)
    below = (predicted < observed).mean(axis=0)
    return Centrality(
        float(distance),
        int(np.linalg.matrix_rank(covariance, hermitian=True)),
        float((among < distance).mean()),
        float((among > distance).mean()),
        tuple(zip(ids, map(float, below), strict=True)),
    )


def of_report(pset: PriorSet, predicted: Array) -> Centrality | None:
    """:func:`centrality` of the report's revenue rows; None if it has none in evidence.

    Parameters: `predicted` [draw, row], logs of every row of evidence as the priors predict it.
    """
    at = [k for k, row in enumerate(pset.measured) if row.source == pset.ledger.report.id and "revenue" in row.quantity]
    if not at:
        return None
    observed = np.log([pset.measured[k].value for k in at])
    return centrality(predicted[:, at], observed, [pset.measured[k].id for k in at])
