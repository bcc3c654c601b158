"""What more knowledge would take off the interval: a second vendor, actuals of an early year, an exact report.

On the log scale and as if normal: the variance that a linear regression on what would be learned leaves (the
conditional variance of a joint normal). Exact for none of these questions, and near enough to rank them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from postcgrp.models import variables as v
from postcgrp.reports.forecast.summary import interval
from postcgrp.reports.forecast.variance_budget import INTERVAL_WIDTH, RELATIVE_RIDGE
from postcgrp.reports.runs.evidence import flat
from postcgrp.reports.runs.run import Run

Array = NDArray[np.float64]


def left_of_variance(target: Array, learned: Array, noise: Array | None = None) -> float:
    """The share of the variance of `target` [draw] that stays once `learned` [draw, signal] is known.

    Parameters: `noise` [signal, signal], the covariance of the errors with which the signals are learned; by default
    there are none.
    """
    joint = np.cov(np.column_stack([target, learned]), rowvar=False)
    signals = joint[1:, 1:] + (0.0 if noise is None else noise)
    signals = signals + RELATIVE_RIDGE * np.trace(signals) / len(signals) * np.eye(len(signals))
    explained = joint[0, 1:] @ np.linalg.solve(signals, joint[1:, 0])
    return float(np.clip(1 - explained / joint[0, 0], 0, 1))


def narrowing(run: Run) -> pd.DataFrame:
    """What the 90 % interval of the last year's total would be on average, once more was known.

    Returns `learned`, `left` (the share of the variance of the log that stays) and `half_width`, in millions, with the
    interval as it is in the first row. What the run has no part of, such as a report's error without evidence, is left
    out.
    """
    pset = run.priors
    ledger, report = pset.ledger, pset.ledger.report
    error = v.source_error(pset, report.id)
    draws = run.read(["revenue_total", error])
    last, anchors = report.last_year, list(report.anchors)
    total = draws["revenue_total"]
    target = np.log(flat(total.sel(year=last)))
    rows = [("as it is", 1.0)]
    early = report.first_year + 1
    if early in ledger.years and early != last:
        known = np.log(flat(total.sel(year=early)))[:, None]
        rows.append((f"exact actuals of {early}", left_of_variance(target, known)))
    if any(row.source == report.id for row in pset.evidence):
        sd = pset.source_log_sd(report.id, np.minimum.outer(anchors, anchors).ravel().tolist())
        noise = (sd**2).reshape(len(anchors), len(anchors))  # of a random walk: the variance of the earlier year
        stated = np.log(flat(total.sel(year=anchors)))
        rows.append(("one more vendor as good as this one", left_of_variance(target, stated, noise)))
    if error in draws:
        rows.append(("the report's error known exactly", left_of_variance(target, flat(draws[error]))))
    low, high = interval(total.sel(year=last), INTERVAL_WIDTH)
    table = pd.DataFrame(rows, columns=["learned", "left"])
    return table.assign(half_width=(high - low) / 2 * np.sqrt(table["left"]))
