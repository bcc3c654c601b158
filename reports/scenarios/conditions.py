"""A run given what somebody knows: its draws conditioned on what they must meet, which moves everything they tell of.

A scenario sets a driver and moves only what follows from it; a condition learns, and moves what goes along with it too.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from postcgrp.inference.convergence import MIN_ESS
from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.inference.estimates import worth
from postcgrp.models import variables as v
from postcgrp.priors import InputError
from postcgrp.priors.lookup import label_of
from postcgrp.priors.messages import nearest_or
from postcgrp.reports.runs.run import Run

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
CONDITION = re.compile(r"\s*(\w+)\s*(?:\[(.*)\])?\s*(<=|>=|<|>)\s*(\S+)\s*")
HOW = 'write VARIABLE[LABELS] < NUMBER, such as "payer_block[United States] < 0.15"'


def given(run: Run, conditions: Sequence[str]) -> Run:
    """A run whose draws are weighted by whether they meet every condition; every command takes it.

    Parameters: `conditions`, such as "revenue_total[2035] > 600": a variable of the posterior, the label of each of
    its dimensions, and a bound. Raises :class:`InputError` for one that is not understood, and where the draws that
    meet them are worth no more than the gate asks of a fit.
    """
    fitted = run.fitted
    met = np.ones(run.sizes, dtype=bool)
    for condition in conditions:
        met &= _meets(fitted, condition)
    before = np.full(met.shape, 1 / met.size) if run.weights is None else run.weights
    weights = before * met
    said = " and ".join(conditions)
    if not weights.any():
        raise InputError(f"--given {said}: no draw meets it: ask for less")
    weights = weights / weights.sum()
    ess = float(1 / (weights**2).sum())
    total = fitted.read([v.REVENUE_TOTAL])[v.REVENUE_TOTAL].isel(year=-1).transpose(*SAMPLE).values
    left = worth(total, ess)
    if left <= MIN_ESS:
        raise InputError(
            f"--given {said}: the {int((weights > 0).sum()):,} of {met.size:,} draws that meet it are worth "
            f"{left:,.0f}, and more than {MIN_ESS:g} are needed: ask for less, or make the run with more draws"
        )
    about = {"k": None, "limit": None, "ess": ess, "worth": left}
    manifest = {**run.manifest, "weights": about, "given": [*run.manifest.get("given", []), *conditions]}
    return replace(run, base=fitted, weights=weights, manifest=manifest)


def _meets(run: Run, condition: str) -> NDArray[np.bool_]:
    """Which draws [chain, draw] meet a condition."""
    parts = CONDITION.fullmatch(condition)
    try:
        name, labels, sign, bound = parts.groups() if parts else ("", "", "", "none")
        number = float(bound)
    except ValueError:
        raise InputError(f"--given {condition}: is not understood: {HOW}") from None
    if name not in run.names():
        way_out = nearest_or(name, run.names(), "use one of posterior.nc, docs/schema.md lists them")
        raise InputError(f"--given {condition}: {name!r} is no variable of the run: {way_out}")
    draws = run.read([name])[name]
    dims = [str(dim) for dim in draws.dims if dim not in SAMPLE]
    asked = [text.strip() for text in labels.split(",")] if labels else []
    if len(asked) != len(dims):
        wanted = f"[{', '.join(dims)}]" if dims else "no labels"
        raise InputError(f"--given {condition}: {name} has {wanted}: give one label for each")
    for dim, text in zip(dims, asked, strict=True):
        draws = draws.sel({dim: _label(run, condition, dim, text, draws[dim].values.tolist())})
    return np.asarray(OPERATORS[sign](draws.transpose(*SAMPLE).values, number))


def _label(run: Run, condition: str, dim: str, text: str, known: Sequence[Any]) -> Any:
    if text not in map(str, known) and dim in ("region", "depth", "modality", "line"):
        try:
            text = label_of(run.priors.ledger, dim, text)
        except InputError as error:
            raise InputError(f"--given {condition}: {error}") from None
    for label in known:
        if str(label) == text:
            return label
    names = [str(label) for label in known]
    raise InputError(
        f"--given {condition}: {dim} {text!r} is none: {nearest_or(text, names, f'use one of {", ".join(names)}')}"
    )
