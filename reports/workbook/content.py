"""What a workbook shows, gathered before any cell is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.priors import InputError, PriorSet
from postcgrp.reports.export.exporting import Chosen, select
from postcgrp.reports.export.schema import Export
from postcgrp.reports.export.xlsx import MOST_COLUMNS, MOST_ROWS
from postcgrp.reports.forecast.summary import summary
from postcgrp.reports.runs.run import Run
from postcgrp.reports.valuation.cashflow import Array
from postcgrp.reports.valuation.deal import Deal
from postcgrp.reports.valuation.pricing import outcomes
from postcgrp.reports.valuation.tables import QUANTILES, assumptions, value_table, weighted_quantile
from postcgrp.reports.valuation.valuation import Valuation, price
from postcgrp.reports.workbook.live_model import (
    PATH_LEVELS,
    CapturedSegment,
    LiveModel,
    LiveNumbers,
    build_live_model,
    evaluate_live,
    left_out,
    neutral,
    plain_numbers,
    segments,
)

MOST_NUMBERS = 1_000_000  # in the draws of a sheet: some 12 MB, which spreadsheets open in seconds
HEADER_ROWS = 10  # at most, above a sheet's draws
MEAN = "mean"
EVERY_SEGMENT = "all"


@dataclass(frozen=True)
class Content:
    """The numbers and texts of one workbook.

    Attributes: `kept`, the joint draws with their ids and provenance; `cut`, the segments; `revenue` [draw, year,
    segment] in millions; `model` and `numbers`, the live sheets; `check`, the figures of `postcgrp value` for the
    model's inputs and the kept draws; `full`, those for the deal as its author wrote it, on all draws, None without a
    deal.
    """

    pset: PriorSet
    record: Mapping[str, Any]
    deal: Deal
    seed: int
    kept: Export
    cut: tuple[CapturedSegment, ...]
    revenue: Array
    model: LiveModel
    numbers: LiveNumbers
    check: dict[str, float]
    table: pd.DataFrame
    paths: pd.DataFrame
    full: pd.DataFrame | None
    stated: pd.DataFrame
    left_out: list[str]

    @property
    def currency(self) -> str:
        """The report's currency."""
        return self.pset.ledger.report.currency

    @property
    def money(self) -> str:
        """The unit of money."""
        return f"{self.currency} million"

    @property
    def years(self) -> tuple[int, ...]:
        """The run's years."""
        return self.model.years

    @property
    def weights(self) -> Array:
        """How much of each segment is captured [segment]."""
        return np.array([s.weight for s in self.cut])

    @property
    def passed(self) -> bool:
        """Whether the run met its gate."""
        return bool(self.record.get("status") == "passed")

    @cached_property
    def labels(self) -> dict[tuple[str, str], str]:
        """How a modality, region or depth is shown, by dimension and name."""
        ledger = self.pset.ledger
        parts = {"modality": ledger.modalities, "region": ledger.regions, "depth": ledger.depths}
        return {(dim, s.name): s.label or s.name for dim, some in parts.items() for s in some}

    def named(self, segment: CapturedSegment) -> str:
        """A segment's name in words."""
        whole = segment.depths == self.pset.ledger.segments["depth"]
        depths = "" if whole else f", depth {' and '.join(segment.depths)}"
        return f"{self.labels['modality', segment.modality]}, {self.labels['region', segment.region]}{depths}"


def gather(run: Run, deal: Deal | None, seed: int, thin: int | None) -> Content:
    """Everything that :func:`postcgrp.reports.workbook.book.workbook` writes, from its arguments."""
    pset = run.priors
    given, deal = deal, deal or neutral(pset.ledger)
    priced = price(run, deal, seed)
    cut = segments(pset.ledger, deal)
    kept = select(run, Chosen(("revenue",)), _number(run, len(pset.ledger.years) * len(cut), thin))
    revenue = _revenue(kept, cut)
    model = build_live_model(deal, priced.market, plain_numbers(deal, priced.x))
    weights = np.array([s.weight for s in cut])
    return Content(
        pset,
        run.manifest,
        deal,
        seed,
        kept,
        cut,
        revenue,
        model,
        evaluate_live(model, revenue, weights),
        _check(priced, kept, plain_numbers(deal, priced.x)),
        summary(run.tree, pset),
        percentile_paths(run),
        None if given is None else value_table(priced),
        assumptions(priced),
        left_out(deal),
    )


def percentile_paths(run: Run) -> pd.DataFrame:
    """Mean and percentiles of yearly revenue: in total, by modality, by region, and by both; one row per statistic.

    Columns `modality`, `region` ("all" for a total), `statistic`, and one per year, over all of the run's draws.
    """
    ledger = run.priors.ledger
    revenue = run.read(["revenue"])["revenue"].sum("depth")
    names = {dim: ledger.segments[dim] for dim in ("modality", "region")}
    parts: list[tuple[str | None, str | None]] = [(None, None), *((m, None) for m in names["modality"])]
    parts += [(None, r) for r in names["region"]]
    parts += [(m, r) for m, r in product(names["modality"], names["region"])]

    def rows() -> Iterator[list[Any]]:
        for modality, region in parts:
            where = {d: label for d, label in (("modality", modality), ("region", region)) if label is not None}
            part = revenue.sel(where)
            part = part.sum([d for d in ("modality", "region") if d in part.dims])
            draws = part.stack(s=SAMPLE).transpose("s", "year").values
            for name, path in (
                (MEAN, draws.mean(axis=0)),
                *zip(map(level_text, PATH_LEVELS), np.quantile(draws, PATH_LEVELS, axis=0), strict=True),
            ):
                yield [modality or EVERY_SEGMENT, region or EVERY_SEGMENT, name, *path]

    return pd.DataFrame(rows(), columns=["modality", "region", "statistic", *ledger.years])


def level_text(level: float) -> str:
    """A fraction as text in per cent."""
    return f"{100 * level:.0f} %"


def _number(run: Run, columns: int, thin: int | None) -> int | None:
    """How many draws to keep: all that sheets hold well, or as many as asked for. Raises :class:`InputError`."""
    count = math.prod(run.sizes)
    if columns + 3 > MOST_COLUMNS:
        raise InputError(
            f"{columns:,} columns of draws (years x segments), but a sheet holds {MOST_COLUMNS:,}: use postcgrp export "
            "--to parquet"
        )
    if thin is not None and thin > MOST_ROWS - HEADER_ROWS and thin <= count:
        raise InputError(
            f"--thin {thin}: a sheet holds {MOST_ROWS:,} rows: give at most {MOST_ROWS - HEADER_ROWS:,}, or use "
            "postcgrp export --to parquet"
        )
    if thin is not None or count * columns <= MOST_NUMBERS:
        return thin
    return max(MOST_NUMBERS // columns, 1)


def _revenue(kept: Export, cut: tuple[CapturedSegment, ...]) -> Array:
    revenue = kept.data["revenue"]
    parts = [
        revenue.sel(modality=s.modality, region=s.region, depth=list(s.depths)).sum("depth").transpose("draw", "year")
        for s in cut
    ]
    return np.stack([part.values for part in parts], axis=-1)


def _check(priced: Valuation, kept: Export, numbers: Mapping[str, float]) -> dict[str, float]:
    """What `postcgrp value` finds for these inputs and draws, without milestones on net sales and without a price."""
    rows = kept.data["draw"].values - 1
    part = {name: getattr(priced.market, name)[rows] for name in ("revenue", "patients", "treated")}
    seen = type(priced.market)(priced.market.years, **part, sample=(1, len(rows)))
    dropped = [m.name for m in priced.deal.economics.milestone if m.net_sales_above is not None]
    fixed = {**numbers, **{f"economics.milestone.{name}.amount": 0.0 for name in dropped}}
    plain = priced.deal.model_copy(update={"captured": priced.deal.captured.model_copy(update={"price": None})})
    ends = outcomes(plain, seen, {path: np.full(len(rows), value) for path, value in fixed.items()})
    value, weights = ends.npv, ends.probability
    levels = {level: weighted_quantile(value, weights, level, seen.sample).value for level in QUANTILES}
    return {
        "rnpv": float((weights * value).sum(axis=1).mean()),
        **{f"npv {level_text(level)}": at for level, at in levels.items()},
        "loss": float((weights * (value < 0)).sum(axis=1).mean()),
        "approval": float(weights[0, -1]),
        "approved": float(value[:, -1].mean()),
        "bid": float((weights * value).sum(axis=1).mean() + ends.upfront[0]),
    }
