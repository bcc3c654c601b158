"""What the page of a run says: tables and sentences for the template, and the draws that its scripts question."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from postcgrp.priors import Ledger
from postcgrp.priors.audit import Finding
from postcgrp.priors.ledger import Claim
from postcgrp.reports.forecast.summary import growth
from postcgrp.reports.page import svg
from postcgrp.reports.page.market import market_data, points, segment_labels
from postcgrp.reports.page.medians import ALL_PARTS, SKEW, median_bridge
from postcgrp.reports.page.narrowing import narrowing
from postcgrp.reports.page.without import without_rows
from postcgrp.reports.runs.evidence import flat
from postcgrp.reports.runs.run import Run

Rows = list[dict[str, Any]]

LARGEST_PAGE = 4_000_000  # bytes
LARGEST_MARKET = 2_900_000  # characters of it that draws of the market may take
REST = 600_000  # bytes that text, style and scripts are allowed, so that the whole keeps to its limit
LEAST_MARKET = 300_000
_SLIDERS = 150_000  # bytes that the figures at the stops of the drivers' sliders take, twice: as data and in tables
FAN = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
_LABELLED = ("modality", "line", "region", "depth")
MOST_LEVERS = 8
MEANINGS = {
    "patients": "more patients",
    "mix": "patients move among regions and failure depths",
    "adoption": "patients use more of it, launches included",
    "intensity": "a treated patient costs more",
}


@dataclass(frozen=True)
class PageContent:
    """A page: `said`, what its template prints, and `data`, what its scripts read (finite numbers only)."""

    said: dict[str, Any]
    data: dict[str, Any] = field(default_factory=dict)


def content(
    run: Run,
    tables: Mapping[str, pd.DataFrame],
    findings: Sequence[Finding],
    *,
    deals: Sequence[Mapping[str, Any]] = (),
    compared: Mapping[str, Any] | None = None,
    scenarios: Mapping[str, Any] | None = None,
    market: Mapping[str, Any] | None = None,
) -> PageContent:
    """The content of a run's page.

    Parameters: `tables`, see :func:`postcgrp.reports.forecast.tables.tables_of`; `findings` of the audit; `deals`, see
    :func:`postcgrp.reports.page.deals.deal_data`; `compared`, see
    :func:`postcgrp.reports.page.compared.beside_another`; `scenarios`, see
    :func:`postcgrp.reports.page.what_if.what_if`; `market`, the draws of the market as :func:`packed` gives them.
    """
    if market is None:
        market = packed(run, deals, scenarios)
    said = _said(run, tables, findings, deals, compared, scenarios)
    ledger = run.priors.ledger
    taken = {key: market[key] for key in ("sample", "stride")} | {"step": market["cells"]["step"]}
    data = {
        "money": run.money,
        "currency": ledger.report.currency,
        "total": total_quantiles(run),
        "points": [point | {"place": said["claims"].place(point["claim"])} for point in points(ledger)],
        "market": market,
        "deals": [deal["data"] for deal in deals],
        "compared": None if compared is None else compared["data"],
        "scenarios": None if scenarios is None else scenarios["data"],
    }
    return PageContent(said | {"market": taken}, data)


def packed(
    run: Run, deals: Sequence[Mapping[str, Any]] = (), scenarios: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The draws of a run's market in the room that deals and scenarios leave on the page, see :func:`market_data`."""
    spent = sum(_characters(deal["data"]) for deal in deals)
    if scenarios is not None:
        spent += _SLIDERS + _characters(scenarios["data"])
    return market_data(run, max(LEAST_MARKET, min(LARGEST_MARKET, LARGEST_PAGE - REST - spent)))


def _said(
    run: Run,
    tables: Mapping[str, pd.DataFrame],
    findings: Sequence[Finding],
    deals: Sequence[Mapping[str, Any]],
    compared: Mapping[str, Any] | None,
    scenarios: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What the template prints, but for how the market was packed."""
    ledger = run.priors.ledger
    totals = tables["summary"].query("quantity == 'revenue_total'")
    claims = Claims(run)
    return {
        "report": ledger.report,
        "run": run,
        "record": {**run.fitted.manifest, **run.manifest},  # an update has no sampling of its own
        "settings": run.priors.settings,
        "trust": run.priors.trust,
        "claims": claims,
        "headline": _rows(totals[totals["year"].isin(ledger.report.anchors)]),
        "years": _rows(totals),
        "segments": _segments(tables["summary"], ledger),
        "fan": _fan(run, totals),
        "growth": growth(run.tree, ledger),
        "vendor_sd": dict(zip(ledger.report.anchors, run.priors.vendor_log_sd(ledger.report.anchors), strict=True)),
        "centre": _centre(run),
        "levers": _levers(tables.get("leverage")),
        "weights": _weights(tables.get("centre"), ledger),
        "width": _width(tables["variance_budget"]),
        "narrowing": [] if run.mixture else _narrowing(run),  # of one set's errors
        "bridge": _bridge(tables["growth_bridge"]),
        "bridges": _bridges(tables["growth_bridge"], ledger),
        "growth_claim": _rows(tables["growth_claim"]),
        "deals": [deal["said"] for deal in deals],
        "compared": compared,
        "scenarios": None if scenarios is None else scenarios["said"],
        "priors": _priors(claims),
        "evidence": run.priors.evidence,
        "findings": [{**vars(f), "claims": [claims.place(c) for c in f.claims]} for f in findings],
        "gate": run.fitted.manifest.get("gate", []),
    }


class Claims:
    """The claims of a ledger as the page lists them, each at a place of its own: `claim-1`, `claim-2`, ..."""

    def __init__(self, run: Run) -> None:
        ledger = run.priors.ledger
        self._places = {claim.id: f"claim-{k}" for k, claim in enumerate(ledger.claims, start=1)}
        self._revenue = {
            (c.year, c.region, c.modality): c.id
            for c in ledger.claims
            if c.quantity == "revenue" and c.depth is None and c.value is not None
        }
        self.priors = _rows(run.priors.table())
        named = [set(_names(prior["origin"])) for prior in self.priors]
        observed = {row.id: row for row in run.priors.evidence}
        without = without_rows(run)
        self.rows = [
            {
                "place": self._places[claim.id],
                "claim": claim,
                "where": _where(claim, ledger),
                "says": _says(claim),
                "priors": [prior for prior, names in zip(self.priors, named, strict=True) if claim.id in names],
                "evidence": observed.get(claim.id),
                "without": without.get(claim.id),
                "left_out": claim.id in run.priors.settings.leave_out,
            }
            for claim in ledger.claims
        ]

    def place(self, claim: str | None) -> str:
        """Where a claim stands on the page; empty for what is none."""
        return self._places.get(claim or "", "")

    def revenue(self, year: int, region: object = None, modality: object = None) -> str:
        """Where the claim on the revenue of a year and segment stands."""

        def key(name: object) -> str | None:
            return name if isinstance(name, str) else None

        return self.place(self._revenue.get((year, key(region), key(modality))))


def _characters(value: Any) -> int:
    """About how many characters the text in a value takes."""
    if isinstance(value, str):
        return len(value)
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return sum(map(_characters, inside))


def _rows(table: pd.DataFrame) -> Rows:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def _fan(run: Run, totals: pd.DataFrame) -> Any:
    """The fan of total revenue that stays where no script runs."""
    years = [int(year) for year in totals["year"]]
    said = totals.dropna(subset="report")
    stated = dict(zip(map(int, said["year"]), map(float, said["report"]), strict=True))
    report = run.priors.ledger.report
    title = f"Total revenue {years[0]} to {years[-1]}, {run.money}: median, 50 % and 90 % intervals, report's points"
    return svg.fan_svg(years, total_quantiles(run), stated, title, report.anchors)


def total_quantiles(run: Run) -> dict[str, list[float]]:
    """Quantiles of total revenue by year."""
    draws = flat(run.read(["revenue_total"])["revenue_total"])
    return dict(zip(FAN, np.quantile(draws, list(FAN.values()), axis=0).tolist(), strict=True))


def _segments(table: pd.DataFrame, ledger: Ledger) -> Rows:
    """Revenue of every segment at the anchors."""
    labels = segment_labels(ledger)
    rows = _rows(table[table["quantity"].isin(("revenue", "revenue_line")) & table["year"].isin(ledger.report.anchors)])
    for row in rows:
        names = [row[dim] for dim in _LABELLED if isinstance(row.get(dim), str)]
        row["label"] = ", ".join(labels.get(name, name) for name in names)
    return rows


def _centre(run: Run) -> dict[str, Any]:
    """The bridge of medians, with bars on one axis, and what it comes to in words."""
    table = median_bridge(run)
    labels = segment_labels(run.priors.ledger)
    modalities = run.priors.ledger.segments["modality"]
    columns = ("bottom_up", "posterior", "report")
    finite = table[list(columns)].to_numpy()[np.isfinite(table[list(columns)].to_numpy())]
    low, high = min(0.0, float(finite.min())), float(finite.max())
    rows = _rows(table)
    for row in rows:
        row["label"] = labels.get(row["part"], row["part"])
        row["own"] = row["part"] in modalities
        row["modality"] = row["part"] if row["own"] else None
        for name in columns:
            kind = "skewed" if row["part"] == SKEW else "all" if row["part"] == ALL_PARTS else ""
            row[f"{name}_bar"] = svg.bar(0, row[name], low, high, kind) if np.isfinite(row[name]) else ""
    total = rows[-1]
    gaps = {row["label"]: row["posterior"] - row["report"] for row in rows[:-1] if np.isfinite(row["report"])}
    return {
        "rows": rows,
        "year": run.priors.ledger.report.last_year,
        "before": bool(np.isfinite(total["bottom_up"])),
        "largest": max(gaps.items(), key=lambda item: abs(item[1])) if gaps else None,
        "total": total,
    }


def _levers(table: pd.DataFrame | None) -> Rows:
    """What each assumption carries of the centre, the largest first; the first without a source is marked."""
    rows = [] if table is None else _rows(table.head(MOST_LEVERS))
    reach = max((abs(row["change"]) for row in rows), default=1.0)
    for row in rows:
        row["bar"] = svg.bar(0, row["change"], -reach, reach, "gain" if row["change"] > 0 else "loss")
    return rows


def _weights(table: pd.DataFrame | None, ledger: Ledger) -> Rows:
    """How far the report's figures of the last year have drawn each part from bottom-up towards them."""
    if table is None:
        return []
    labels = segment_labels(ledger)
    rows = _rows(table[(table["year"] == ledger.report.last_year) & table["report_weight"].notna()])
    return [row | {"label": labels.get(row["modality"], "Total")} for row in rows]


def _width(budget: pd.DataFrame) -> Rows:
    rows = _rows(budget)
    most = max((row["share"] for row in rows), default=1.0)
    for row in rows:
        row["bar"] = svg.bar(0, row["share"], 0, most)
    return rows


def _narrowing(run: Run) -> Rows:
    rows = _rows(narrowing(run))
    for row in rows:
        row["bar"] = svg.bar(0, row["half_width"], 0, rows[0]["half_width"])
    return rows


def _bridge(table: pd.DataFrame) -> Rows:
    """The total's steps from the first anchor to the last, as bars that begin where the one before ended."""
    rows = _rows(table[table["segment"].fillna("") == ""])
    at = 0.0
    ends = []
    for row in rows:
        start = 0.0 if row["effect"] in ("start", "end") else at
        at = row["mean"] if row["effect"] in ("start", "end") else at + row["mean"]
        ends.append((start, at))
    reach = [number for pair in ends for number in pair]
    for row, (start, end) in zip(rows, ends, strict=True):
        whole = row["effect"] in ("start", "end")
        kind = "all" if whole else "loss" if end < start else "gain"
        row["bar"] = svg.bar(start, end, min(0.0, *reach), max(reach), kind)
        row["meaning"] = MEANINGS.get(row["effect"], "")
    return rows


def _bridges(table: pd.DataFrame, ledger: Ledger) -> Rows:
    """The same by region and modality: one row per segment, its effects beside each other."""
    labels = segment_labels(ledger)
    rows = []
    for (_, name), part in table[table["segment"].fillna("") != ""].groupby(["segment", "name"], sort=False):
        means = part.set_index("effect")["mean"]
        rows.append(
            {
                "label": labels.get(str(name), str(name)),
                **{str(effect): float(value) for effect, value in means.items()},
            }
        )
    return rows


def _priors(claims: Claims) -> Rows:
    """Every prior, with the places of the claims that it comes from."""
    return [
        row | {"places": [place for name in _names(row["origin"]) if (place := claims.place(name))]}
        for row in claims.priors
    ]


def _names(origin: str) -> list[str]:
    """The ids in the text that says where a prior comes from."""
    return "".join(c if c.isalnum() or c in "_-" else " " for c in origin).split()


def _where(claim: Claim, ledger: Ledger) -> str:
    labels = segment_labels(ledger)
    parts = (labels.get(name or "") for name in (claim.region, claim.modality, claim.depth))
    return ", ".join([*filter(None, parts), *([str(claim.year)] if claim.year is not None else [])])


def _says(claim: Claim) -> tuple[float | None, float | None, float | None]:
    return claim.value, claim.low, claim.high


def finite_or_none(value: Any) -> Any:
    """The same for JSON, which has no number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite_or_none(item) for key, item in value.items()}
    return [finite_or_none(item) for item in value] if isinstance(value, list | tuple) else value
