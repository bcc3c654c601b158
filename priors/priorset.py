"""The prior set: everything that the model is built from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from postcgrp.priors.correlations import PriorCorrelation, possible
from postcgrp.priors.elicit import Prior, coupling, markov
from postcgrp.priors.evidence import (
    Evidence,
    error_model,
    launch_of,
    log_bias,
    log_variance,
    modality_of_row,
)
from postcgrp.priors.evidence_checks import check_evidence
from postcgrp.priors.ledger import Claim, Ledger, Modality, Trust
from postcgrp.priors.lines import line_labels
from postcgrp.priors.lookup import Key, anchors, number, prior_claims, variable_name
from postcgrp.priors.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
LATER_COLUMNS = ("line", "year_from")  # of evidence, since the first edition
IMPLIED = ("q05", "median", "q95")  # by mu and sd, in the table of priors
SIGNIFICANT = "%.10g"  # of the numbers in a recipe
CANCELLED = 12  # decimals of a centre: what lies behind them is left over where the ends of a range cancel


@dataclass(frozen=True)
class Block:
    """The priors of one model variable: one per cell of its dims, in row-major order.

    `correlation`: of each cell with the one before it, None for none; `ordered`: whether the cells must not fall, or if
    `falling` must not rise.
    """

    name: str
    dims: tuple[str, ...]
    priors: tuple[Prior, ...]
    correlation: float | None = None
    ordered: bool = True
    falling: bool = False

    @property
    def cholesky(self) -> Array:
        """Lower Cholesky factor [k, k] of the correlation between cells."""
        if self.correlation is None:
            return np.eye(len(self.priors))
        if not self.ordered:
            return markov([self.correlation] * len(self.priors))
        return coupling(self.priors, self.correlation, falling=self.falling)

    @property
    def open(self) -> Array:
        """1 for each cell [k] about which nothing is claimed, else 0."""
        return np.array([float(prior.open) for prior in self.priors])


@dataclass(frozen=True)
class PriorSet:
    """Everything the model is built from.

    Attributes: `ledger`; `settings`; `blocks`, the priors by model variable; `evidence`; `trust`, the error model of
    the report; `correlations` between priors of the blocks, beside those that a block has of its own. Raises
    :class:`postcgrp.priors.InputError` for evidence that the model cannot observe or that contradicts itself.
    """

    ledger: Ledger
    settings: Settings
    blocks: dict[str, Block]
    evidence: tuple[Evidence, ...]
    trust: Trust
    correlations: tuple[PriorCorrelation, ...] = ()

    def __post_init__(self) -> None:
        check_evidence(self.ledger, self.evidence, self.trust)

    @property
    def coords(self) -> dict[str, list[Key]]:
        """The labels of the model's dimensions."""
        segments: dict[str, list[Key]] = {dim: list(names) for dim, names in self.ledger.segments.items()}
        return {
            "year": list(self.ledger.years),
            "anchor": list(self.ledger.report.anchors),
            **segments,
            "step": segments["depth"][1:],
            "period": list(self.ledger.report.anchors[1:]),
            **{dim: list(labels) for dim, labels in line_labels(self.ledger).items()},
        }

    @property
    def priors(self) -> dict[str, tuple[Prior, ...]]:
        """The priors by block."""
        return {name: block.priors for name, block in self.blocks.items()}

    @property
    def connected(self) -> tuple[str, ...]:
        """The blocks of which a row of `correlations` names a prior, in their order."""
        named = {name for row in self.correlations for name in row.names}
        return tuple(
            name for name, block in self.blocks.items() if named and any(prior.name in named for prior in block.priors)
        )

    def has(self, quantity: str) -> bool:
        """Whether a claim of the report sets a prior on `quantity`."""
        return any(prior_claims(self.ledger, quantity))

    def own(self, name: str, modality: Modality) -> str:
        """Returns a variable's name for one modality: plain if no other has its kind of uptake, else with a suffix."""
        return variable_name(self.ledger, name, modality)

    def modalities(self, uptake: str) -> tuple[Modality, ...]:
        """Returns the modalities with one kind of uptake."""
        return tuple(m for m in self.ledger.modalities if m.uptake == uptake)

    def cells(self, block: str, part: Mapping[str, str]) -> NDArray[np.bool_]:
        """Returns whether each prior [k] of a block has these labels, by dimension; all have an empty part.

        Raises :class:`ValueError` for a dimension that the block does not have.
        """
        of = self.blocks[block]
        if not set(part) <= set(of.dims):
            raise ValueError(f"{block} has dims {of.dims}, not {[*part]}")
        labels = [[str(key) for key in self.coords.get(dim, range(len(of.priors)))] for dim in of.dims]
        chosen = [
            [part.get(dim, label) == label for label in along] for dim, along in zip(of.dims, labels, strict=True)
        ]
        return np.array([all(cell) for cell in product(*chosen)])

    def number(self, name: str, **where: Key) -> float:
        """Returns a fixed number of the assumptions, for a segment and year."""
        return number(self.ledger, name, **where)

    def numbers(self, name: str, dim: str, **where: Key) -> Array:
        """Returns a fixed number [label] for each label of one dimension."""
        return np.array([number(self.ledger, name, **{dim: key}, **where) for key in self.coords[dim]])

    def signs(self, quantity: str, dim: str, modality: str) -> Array:
        """Returns the direction [label], -1 to 1, that the report gives each label of a dimension for a modality.

        If it says nothing about that modality: what it says about all modalities, else the mean of what it says about
        others, else 0.
        """
        claims = self._directions(quantity)

        def direction(key: Key) -> float:
            here = [c for c in claims if getattr(c, dim) == key]
            tiers = (
                [c.value or 0.0 for c in here if c.modality == modality],
                [c.value or 0.0 for c in here if c.modality is None],
                [c.value or 0.0 for c in here],
            )
            return float(np.mean(next(filter(None, tiers), [0.0])))

        return np.array([direction(key) for key in self.coords[dim]])

    def line_signs(self, dim: str, line: str) -> Array:
        """Returns the direction [label], -1 to 1, that the report gives the use of a line; 0 where it gives none."""
        claims = [c for c in self._directions("line_use_direction") if c.line in (None, line)]
        stated = {getattr(c, dim): c.value or 0.0 for c in claims}
        return np.array([stated.get(key, 0.0) for key in self.coords[dim]])

    def _directions(self, quantity: str) -> list[Claim]:
        return [claim for claim in prior_claims(self.ledger, quantity) if claim.id not in self.settings.leave_out]

    def anchors(self, modality: Modality) -> list[int]:
        """Returns the anchors at which a modality is on the market."""
        return anchors(self.ledger, modality)

    def uptake_years(self, modality: Modality) -> list[int]:
        """Returns the years between which an adoption curve rises: the anchors."""
        return self.anchors(modality)

    def rise(self, steps: int) -> Array:
        """Returns the expected share [step] of a rise that each of its years takes: the setting `uptake_shape`."""
        growing = np.arange(1.0, steps + 1)
        late, early = self.settings.uptake_shape == "late", self.settings.uptake_shape == "early"
        weight = growing if late else growing[::-1] if early else np.ones(steps)
        return np.asarray(weight / weight.sum())

    def source_log_sd(self, source: str, years: Sequence[int]) -> Array:
        """Returns the log-sd [year] of a source's error: a base error plus a random walk over the horizon."""
        model = error_model(self.ledger, self.trust, source)
        return np.sqrt([log_variance(model, share) for share in self._horizon(years)])

    def source_log_bias(self, source: str, years: Sequence[int]) -> Array:
        """Returns the mean [year] of a source's log error: its optimism."""
        model = error_model(self.ledger, self.trust, source)
        return np.array([log_bias(model, share) for share in self._horizon(years)])

    def vendor_log_sd(self, years: Sequence[int]) -> Array:
        """Returns :meth:`source_log_sd` of the report."""
        return self.source_log_sd(self.ledger.report.id, years)

    def _horizon(self, years: Sequence[int]) -> Array:
        report = self.ledger.report
        return (np.asarray(years) - report.first_year) / (report.last_year - report.first_year)

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source of evidence, the report first."""
        return tuple(
            sorted({row.source for row in self.evidence}, key=lambda name: (name != self.ledger.report.id, name))
        )

    @property
    def seen_launched(self) -> set[str]:
        """The launches, modalities and pipeline lines, of which a source other than the report has measured sales."""
        others = [row for row in self.evidence if row.source != self.ledger.report.id and not row.is_dated]
        named = {label for row in others for label in (row.line, modality_of_row(self.ledger, row))}
        return {str(name) for name in self.coords["launch"]} & named

    @property
    def measured(self) -> tuple[Evidence, ...]:
        """The rows whose value has a density: all but bounds on launches."""
        return tuple(row for row in self.evidence if not row.is_bound)

    @property
    def bounds(self) -> dict[str, list[Evidence]]:
        """The rows that say that a launch came no sooner than a date, or failed, by launch."""
        found: dict[str, list[Evidence]] = {}
        for row in self.evidence:
            if row.is_bound:
                found.setdefault(str(launch_of(self.ledger, row)), []).append(row)
        return found

    def with_evidence(self, evidence: Sequence[Evidence]) -> PriorSet:
        """Returns the same priors with other evidence; without any, the bottom-up view."""
        return replace(self, evidence=tuple(evidence))

    def with_correlations(self, rows: Sequence[PriorCorrelation]) -> PriorSet:
        """Returns the same priors with those of the rows that they can have: a variant may lack a prior of one."""
        return replace(self, correlations=possible(self.priors, rows))

    def table(self) -> pd.DataFrame:
        """Returns the effective priors, one row per cell: name, family, parameters, implied 5/50/95 %, and why."""
        table = self._parameters()
        implied = [prior.quantile([0.05, 0.5, 0.95]) for block in self.blocks.values() for prior in block.priors]
        for name, values in zip(IMPLIED, zip(*implied, strict=True), strict=True):
            table.insert(list(table.columns).index("unit"), name, values)
        return table

    def _parameters(self) -> pd.DataFrame:
        """The effective priors without what their parameters imply: a recipe needs no more."""
        import pandas as pd  # here and below: a prior set is built, and a model from it, without pandas (0.3 s)

        rows = [
            {
                "variable": block.name,
                "prior": prior.name,
                "family": prior.family if prior.sd > 0 else "fixed",
                "mu": prior.mu,
                "sd": prior.sd,
                "unit": prior.unit,
                "low": prior.low,
                "high": prior.high,
                "coverage": prior.coverage,
                "origin": prior.origin,
                "because": prior.because,
            }
            for block in self.blocks.values()
            for prior in block.priors
        ]
        return pd.DataFrame(rows)

    def evidence_table(self) -> pd.DataFrame:
        """Returns the evidence, one row per observed aggregate."""
        import pandas as pd

        rows = pd.DataFrame([asdict(e) for e in self.evidence], columns=list(Evidence.__dataclass_fields__))
        rows = rows.astype({"year": "Int64", "year_from": "Int64"})  # a share may have none
        # Without columns that no row fills and that earlier versions did not have: their recipes stay what they were.
        return rows.drop(columns=[name for name in LATER_COLUMNS if rows[name].isna().all()])

    def recipe(self) -> str:
        """Returns priors, evidence, trust and every ledger row as text: equal texts give equal posteriors.

        Without the last digits of what is computed, which differ from one processor to another.
        """
        parameters = self._parameters()
        parameters["mu"] = parameters["mu"].round(CANCELLED) + 0.0  # minus zero is zero
        parts = (
            parameters.to_csv(index=False, float_format=SIGNIFICANT),
            repr([(b.name, b.dims, b.correlation, *(["falling"] * b.falling)) for b in self.blocks.values()]),
            self.evidence_table().to_csv(index=False, float_format=SIGNIFICANT),
            self.trust.model_dump_json(),
            repr(self.settings),
            self.ledger.model_dump_json(indent=1),
            *(repr(astuple(row)) for row in self.correlations),
        )
        return "\n".join(parts)

    def to_json(self) -> str:
        """Returns JSON from which :func:`postcgrp.priors.from_json` restores an equal prior set."""
        content = {
            "ledger": self.ledger.model_dump(mode="json"),
            "settings": asdict(self.settings),
            "blocks": [asdict(block) for block in self.blocks.values()],
            "evidence": [asdict(row) for row in self.evidence],
            "trust": self.trust.model_dump(mode="json"),
            "correlations": [asdict(row) for row in self.correlations],
        }
        return json.dumps(content, indent=1, ensure_ascii=False)

    def fingerprint(self) -> str:
        """Returns the SHA-256 of :meth:`recipe`, in hexadecimal."""
        return hashlib.sha256(self.recipe().encode()).hexdigest()
