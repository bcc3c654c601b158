"""Several prior sets as one: a file of sets with weights, and their logarithmic pool in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from postcgrp.priors.elicit import Prior, is_heavy
from postcgrp.priors.errors import InputError
from postcgrp.priors.evidence import Evidence
from postcgrp.priors.ledger import Number, Row, Text, Trust
from postcgrp.priors.messages import faults_in_words
from postcgrp.priors.numbers import fixed_numbers
from postcgrp.priors.priorset import Block, PriorSet
from postcgrp.priors.sets import POOL_TABLE
from postcgrp.priors.shipped import shipped
from postcgrp.priors.toml_file import TomlFile

WEIGHTS_ROUNDING = 0.011  # what weights written with two digits may miss their sum by
STRUCTURAL = ("adoption_scope", "uptake_shape")  # settings that have no average


class Member(Row):
    """One set of a pool: a shipped set by its name or a TOML file, and its weight."""

    set: Text
    weight: Number

    @model_validator(mode="after")
    def _counts(self) -> Self:
        if not 0 < self.weight <= 1:
            raise ValueError(f".weight = {self.weight:g} is not inside 0..1: write a fraction, or leave the set out")
        return self


class Pool(Row):
    """Prior sets with weights: what several experts believe, or one who is of several minds.

    `pool`: `linear`, a mixture of the sets' posteriors, which keeps every view alive; or `logarithmic`, the geometric
    mean of their densities, which is one view between them.
    """

    name: Text
    says: Text
    pool: Literal["linear", "logarithmic"]
    member: tuple[Member, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs((total := sum(each.weight for each in self.member)) - 1) > WEIGHTS_ROUNDING:
            raise ValueError(f"the weights sum to {total:g}, not 1: correct them")
        names = [each.set for each in self.member]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"the set {twice!r} is a member twice: give it the sum of the weights")
        return self

    @property
    def weights(self) -> tuple[float, ...]:
        """The weights, of sum 1."""
        total = sum(each.weight for each in self.member)
        return tuple(each.weight / total for each in self.member)


def load_pool(path: str | Path) -> Pool | None:
    """Returns the pool of a TOML file, its members' files as seen from here; None for a file that is no pool.

    Raises :class:`InputError` with one line per fault.
    """
    path = Path(path)
    if not path.is_file():
        return None
    file = TomlFile.read_versioned(path)
    if not {POOL_TABLE, "pool"} & set(file.content):
        return None
    try:
        pool = Pool.model_validate(file.content)
    except ValidationError as error:
        raise file.error(faults_in_words(error, Pool, file.content, guide="docs/prior-sets.md")) from None
    near = [m if m.set in shipped() else m.model_copy(update={"set": str(path.parent / m.set)}) for m in pool.member]
    return pool.model_copy(update={"member": tuple(near)})


def logarithmic_pool(sets: Sequence[PriorSet], weights: Sequence[float], name: str) -> PriorSet:
    """Returns the prior set whose density is the weighted geometric mean of several sets' densities.

    All priors and errors are normal on some scale, and so is their geometric mean: precisions add up with the weights
    (Genest & Zidek 1986). A row of evidence that some sets do not have counts with the weights of those that have it.
    Levels that keep an order are pooled one by one, and then correlated as those of one set. Parameters: `weights`, of
    sum 1; `name`, of the pool.

    Raises :class:`InputError` for sets that differ in what has no such mean: fixed numbers, scope, shape, families.
    """
    first = sets[0]
    if unlike := [reason for other in sets[1:] for reason in _unlike(first, other)]:
        raise InputError(
            *(f"{name}: its sets differ in {reason}: a logarithmic pool needs them alike" for reason in unlike)
        )
    if any(each.correlations for each in sets):
        raise InputError(
            f"{name}: a set correlates named priors, which has no closed form in a logarithmic pool: make the pool "
            "linear, or remove `correlation` from its sets"
        )
    blocks = {key: _pooled_block([each.blocks[key] for each in sets], weights, name) for key in first.blocks}
    trust = _pooled_trust([each.trust for each in sets], weights, name)
    left_out = [key for key in first.settings.leave_out if all(key in each.settings.leave_out for each in sets)]
    levels = (*(row for row in first.ledger.trust if row.level != trust.level), trust)
    return PriorSet(
        first.ledger.model_copy(update={"trust": levels}),
        replace(first.settings, priors=name, trust=trust.level, leave_out=tuple(left_out)),
        blocks,
        _pooled_evidence(sets, weights),
        trust,
    )


def _unlike(first: PriorSet, other: PriorSet) -> list[str]:
    """Returns what has no geometric mean and differs between two sets."""
    one, two = ({n.name: n.value for n in fixed_numbers(each)} for each in (first, other))
    found = [f"the number {key}" for key in dict.fromkeys((*one, *two)) if one.get(key) != two.get(key)]
    found += [
        f"the setting {key}" for key in STRUCTURAL if getattr(first.settings, key) != getattr(other.settings, key)
    ]
    for key, block in first.blocks.items():
        beside = other.blocks.get(key)
        if beside is None or [p.family for p in block.priors] != [p.family for p in beside.priors]:
            found.append(f"the family of {key}")
        elif fixed := [
            a.name for a, b in zip(block.priors, beside.priors, strict=True) if a != b and 0 in (a.sd, b.sd)
        ]:
            found += [f"the number {name}" for name in fixed]
        elif any(is_heavy(prior.family) for prior in block.priors):
            found.append(f"{key}, which has heavy tails and no closed form")
        elif (block.correlation, block.falling) != (beside.correlation, beside.falling):
            found.append(f"the correlation of {key}")
    return found


def _pooled(means: Sequence[float], sds: Sequence[float], weights: Sequence[float]) -> tuple[float, float]:
    """Returns mean and sd of the weighted geometric mean of normal densities."""
    precision = np.asarray(weights) / np.square(sds)
    return float(np.dot(precision, means) / precision.sum()), float(precision.sum() ** -0.5)


def _pooled_block(blocks: Sequence[Block], weights: Sequence[float], name: str) -> Block:
    def pooled(priors: tuple[Prior, ...]) -> Prior:
        if all(prior == priors[0] for prior in priors):
            return priors[0]
        mu, sd = _pooled([prior.mu for prior in priors], [prior.sd for prior in priors], weights)
        origin = f"pool {name}: " + "; ".join(dict.fromkeys(prior.origin for prior in priors))
        new: dict[str, Any] = {"mu": mu, "sd": sd, "origin": origin, "low": None, "high": None, "coverage": None}
        return replace(priors[0], **new, open=all(prior.open for prior in priors))

    return replace(blocks[0], priors=tuple(map(pooled, zip(*(block.priors for block in blocks), strict=True))))


def _pooled_evidence(sets: Sequence[PriorSet], weights: Sequence[float]) -> tuple[Evidence, ...]:
    """Returns the rows of any of the sets, each as far off as those that have it make it together."""
    stated: dict[tuple[object, ...], list[tuple[Evidence, float]]] = {}
    for each, weight in zip(sets, weights, strict=True):
        for row in each.evidence:
            stated.setdefault((row.source, *row.cell), []).append((row, weight))
    rows = []
    for found in stated.values():
        if len(found) == len(sets) and all(row == found[0][0] for row, _ in found):
            rows.append(found[0][0])
            continue
        logs, sds = [row.stated for row, _ in found], [row.log_sd for row, _ in found]
        mean, sd = _pooled(logs, sds, [weight for _, weight in found])
        same = len({row.value for row, _ in found}) == 1  # and then not off by rounding
        first = found[0][0]
        rows.append(replace(first, value=first.value if same else float(first.natural(np.array(mean))), log_sd=sd))
    return tuple(rows)


def _pooled_trust(models: Sequence[Trust], weights: Sequence[float], name: str) -> Trust:
    """Returns the pool of the report's errors: of its base error and of the steps of its random walk."""
    if all(model == models[0] for model in models):
        return models[0]
    base_bias, base = _pooled([m.base_log_bias for m in models], [m.base_log_sd for m in models], weights)
    grown = [(m.final_log_sd**2 - m.base_log_sd**2) ** 0.5 for m in models]
    drifts = [m.final_log_bias - m.base_log_bias for m in models]
    fixed = [drift for drift, sd in zip(drifts, grown, strict=True) if sd == 0]
    if len(set(fixed)) > 1:
        raise InputError(f"{name}: its sets have errors that grow by {fixed[0]:g} and {fixed[1]:g} for sure: no mean")
    drift, walk = (fixed[0], 0.0) if fixed else _pooled(drifts, grown, weights)
    levels = ", ".join(f"{model.level} ({weight:.2f})" for model, weight in zip(models, weights, strict=True))
    return Trust(
        level=name,
        base_log_sd=base,
        final_log_sd=float(np.hypot(base, walk)),
        base_log_bias=base_bias,
        final_log_bias=base_bias + drift,
        source=f"pool {name}",
        reason=f"The geometric mean of the trust {levels}.",
    )
