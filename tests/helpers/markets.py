"""Another market's ledger, every shape that it could have, and rows of new evidence on any market."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from postcgrp.priors import Evidence, Ledger, PriorSet, effective, load_ledger
from postcgrp.priors.catalogue import OBSERVED
from postcgrp.tests.helpers.paths import OTHER_MARKET

DRUG, DEVICE = "Biologic switch / add-on", "thermoplasty"
Tables = dict[str, Any]
Change = Callable[[Tables], object]


def market() -> Tables:
    """The other market's ledger as plain tables, to be changed."""
    tables = load_ledger(OTHER_MARKET / "report.toml", OTHER_MARKET / "assumptions.toml").model_dump()
    return {name: [*rows] if isinstance(rows, tuple) else rows for name, rows in tables.items()}


def claim(quantity: str, role: str = "prior", unit: str = "fraction", **fields: Any) -> Tables:
    name = "_".join(map(str, (quantity, *fields.values())))
    row = {"id": name, "quantity": quantity, "role": role, "unit": unit, "quote": "said", "reason": "why"}
    return {**dict.fromkeys(("year", "region", "depth", "modality")), **row, **fields}


def assumption(name: str, unit: str, **fields: Any) -> Tables:
    return {"id": name, "unit": unit, "source": "assumption", "reason": "why", **fields}


def drop(tables: Tables, **where: Any) -> Any:
    """Remove the claims that agree with all of these fields."""
    tables["claims"] = [c for c in tables["claims"] if any(c[k] != v for k, v in where.items())]


def keep_regions(tables: Tables, number: int) -> Any:
    tables["regions"] = tables["regions"][:number]
    names = [None, *(r["name"] for r in tables["regions"])]
    tables["claims"] = [c for c in tables["claims"] if c["region"] in names]


def depths(tables: Tables, *shares: float) -> Any:
    drop(tables, quantity="depth_share")
    tables["depths"] = [{"name": f"line {k}"} for k in range(len(shares))]
    tables["claims"] += [claim("depth_share", depth=f"line {k}", value=share) for k, share in enumerate(shares)]


def anchors(tables: Tables, *years: int) -> Any:
    """Other anchors: the adoption ranges and the evidence move along in order."""
    moved = dict(zip(tables["report"]["anchors"], years, strict=True))
    tables["report"] |= {"anchors": years, "first_year": years[0], "last_year": years[-1]}
    tables["claims"] = [{**c, "year": moved.get(c["year"])} for c in tables["claims"]]


def modalities(tables: Tables, **uptakes: str) -> Any:
    """These modalities instead; each adoption curve gets ranges, its revenue evidence goes."""
    drop(tables, quantity="adoption")
    drop(tables, quantity="adoption_direction")
    tables["claims"] = [c for c in tables["claims"] if c["modality"] is None]
    tables["modalities"] = [{"name": name, "uptake": uptake} for name, uptake in uptakes.items()]
    for name, uptake in uptakes.items():
        if uptake == "adoption":
            for k, year in enumerate(tables["report"]["anchors"]):
                tables["claims"].append(
                    claim("adoption", modality=name, year=year, low=0.1 + 0.05 * k, high=0.3 + 0.05 * k)
                )


def launch_in(tables: Tables, year: float) -> Any:
    modalities(tables, drugs="everyone", device="adoption", implant="launch")
    launched = ("launch_year", "vendor_launch_year")
    tables["assumptions"] = [a for a in tables["assumptions"] if a["id"] not in launched]
    tables["assumptions"].append(assumption("vendor_launch_year", "year", value=year))
    tables["assumptions"].append(assumption("launch_year", "year", low=year - 0.5, high=year + 2.5))


def lines(tables: Tables, **modality_of: str) -> Any:
    """These lines: each takes 30 % of its modality's users or more, unless it is their only one or named `pipeline_`.

    Exclusivity of every second line may be lost.
    """
    for k, (name, modality) in enumerate(modality_of.items()):
        stage = "pipeline" if name.startswith("pipeline_") else "sold"
        tables["lines"] = [*tables["lines"], {"name": name, "modality": modality, "stage": stage}]
        if stage == "sold" and [*modality_of.values()].count(modality) > 1:
            tables["claims"].append(
                claim("line_use", line=name, low=min(0.3 + 0.1 * k, 0.7), high=min(0.5 + 0.1 * k, 0.9))
            )
        if k % 2:
            for what, unit, low, high in (
                ("year", "year", 2026.0, 2030.0),
                ("fall", "fraction", 0.2, 0.6),
                ("speed", "years", 2.0, 5.0),
            ):
                tables["assumptions"].append(
                    assumption(f"line_exclusivity_{what}", unit, line=name, low=low, high=high)
                )


def directed(tables: Tables, line: str) -> Any:
    """The report says where and to whom a line goes, and what takes from it."""
    region, depth = tables["regions"][0]["name"], tables["depths"][-1]["name"]
    tables["claims"].append(claim("line_use_direction", unit="sign", line=line, region=region, value=1))
    tables["claims"].append(claim("line_use_direction", unit="sign", line=line, depth=depth, value=-1))
    tables["assumptions"].append(assumption("displacement", "fraction", modality=DEVICE, line=line, low=0.3, high=0.9))


def burden(tables: Tables, **ranges: tuple[float, float] | float) -> Any:
    for quantity, said in ranges.items():
        number: dict[str, Any] = (
            {"value": said} if isinstance(said, float) else dict(zip(("low", "high"), said, strict=True))
        )
        tables["claims"].append(claim(quantity, **number))


def evidence(tables: Tables, quantity: str = "revenue", unit: str = "USD million", **fields: Any) -> Any:
    tables["claims"].append(claim(quantity, "evidence", unit, **fields))


def points(tables: Tables) -> None:
    """Every range of a claim becomes a point."""
    for k, c in enumerate(tables["claims"]):
        if c.get("low") is not None:
            tables["claims"][k] = {**c, "value": (c["low"] * c["high"]) ** 0.5, "low": None, "high": None}


def euros(tables: Tables) -> None:
    tables["report"] |= {"currency": "EUR"}
    for name in ("claims", "assumptions"):
        tables[name] = [{**row, "unit": row["unit"].replace("USD", "EUR")} for row in tables[name]]


def wide_then_ranges_of_shares(tables: Tables) -> None:
    drop(tables, quantity="depth_share")
    for name, low, high in (("one biologic", 0.55, 0.75), ("two or more", 0.25, 0.4)):
        tables["claims"].append(claim("depth_share", depth=name, low=low, high=high))


CHANGES: dict[str, Change] = {
    "as it is": lambda t: None,
    "one region": lambda t: keep_regions(t, 1),
    "one depth": lambda t: depths(t, 1.0),
    "four depths": lambda t: depths(t, 0.33, 0.33, 0.17, 0.16),
    "one region, one depth, one modality": lambda t: (
        keep_regions(t, 1), depths(t, 1.0), modalities(t, drugs="everyone")
    ),
    "only everyone": lambda t: modalities(t, a="everyone", b="everyone"),
    "only adoption": lambda t: modalities(t, a="adoption"),
    "only launch": lambda t: (modalities(t, a="launch"), drop(t, year=2024, quantity="revenue")),
    "two adoption curves": lambda t: (
        modalities(t, a="adoption", drugs="everyone", b="adoption"), burden(t, moh=(0.3, 0.4), payer_block=0.2)
    ),
    "two launches, listed first": lambda t: modalities(t, a="launch", b="launch", drugs="everyone"),
    "five modalities": lambda t: modalities(t, a="launch", b="adoption", c="launch", d="everyone", e="adoption"),
    "adoption first": lambda t: t["modalities"].reverse(),
    "launch before the last anchor": lambda t: launch_in(t, 2028),
    "launch in the last year": lambda t: launch_in(t, 2032),
    "launch in an anchor year": lambda t: launch_in(t, 2027),
    "launch a year before an anchor": lambda t: launch_in(t, 2026),
    "launch a year after the start": lambda t: launch_in(t, 2025),
    "launched in the first year": lambda t: launch_in(t, 2024),
    "launched long ago": lambda t: launch_in(t, 2015),
    "a launch of one depth": lambda t: (
        launch_in(t, 2026),
        t["assumptions"].append(assumption("eligible_share", "fraction", depth="one biologic", value=0.0)),
    ),
    "anchors a year apart": lambda t: (anchors(t, 2024, 2025, 2026), launch_in(t, 2026)),
    "two anchors": lambda t: (
        drop(t, year=2027), t["report"].update(anchors=(2024, 2032)),
    ),
    "a long window": lambda t: anchors(t, 1990, 2010, 2040),
    "burden and blocking": lambda t: burden(t, moh=(0.3, 0.4), acute_use=(0.5, 0.6), payer_block=(0.1, 0.3)),
    "burden overlapping": lambda t: burden(t, moh=(0.3, 0.5), acute_use=(0.35, 0.55)),
    "burden as points": lambda t: burden(t, moh=0.4, acute_use=0.4),
    "only overuse": lambda t: burden(t, moh=(0.3, 0.4)),
    "only acute use": lambda t: burden(t, acute_use=(0.3, 0.4)),
    "points for ranges": points,
    "ranges for shares": wide_then_ranges_of_shares,
    "no evidence": lambda t: drop(t, role="evidence"),
    "evidence between anchors": lambda t: (
        evidence(t, year=2025, value=1600.0), evidence(t, year=2029, value=90.0, modality=DEVICE)
    ),
    "evidence on parts": lambda t: (
        launch_in(t, 2026),
        evidence(t, year=2024, value=800.0, region="North America"),
        evidence(t, year=2025, value=20.0, region="China", modality="device"),
        evidence(t, year=2032, value=30.0, depth="two or more", modality="implant"),
        evidence(t, year=2030, value=5.0, region="China", depth="one biologic", modality="implant"),
        evidence(t, "revenue_share", "fraction", year=2026, value=0.3, region="Europe"),
        evidence(t, "revenue_share", "fraction", year=2032, low=0.4, high=1.0, depth="one biologic"),
        evidence(t, "revenue_share", "fraction", year=2024, value=0.9, modality="drugs"),
    ),
    "evidence on patients": lambda t: (
        evidence(t, "patients", "patients", year=2030, value=120000),
        evidence(t, "patients", "patients", year=2027, value=9000, region="China", depth="two or more"),
    ),
    "patients of another year": lambda t: t["claims"].__setitem__(0, {**t["claims"][0], "year": 2027}),
    "adoption ranges overlapping": lambda t: (
        drop(t, quantity="adoption"),
        t["claims"].extend(claim("adoption", modality=DEVICE, year=y, low=0.1, high=0.3) for y in (2024, 2027, 2032)),
    ),
    "adoption that falls": lambda t: (
        drop(t, quantity="adoption"),
        t["claims"].extend(
            claim("adoption", modality=DEVICE, year=y, low=low, high=low + 0.08)
            for y, low in ((2024, 0.2), (2027, 0.12), (2032, 0.05))
        ),
    ),
    "euros": euros,
    "lines": lambda t: (lines(t, shot=DRUG, pill=DRUG), directed(t, "pill")),
    "lines of an adopted modality": lambda t: lines(t, catheter=DEVICE, balloon=DEVICE, pipeline_wire=DEVICE),
    "a line for all": lambda t: lines(t, shot=DRUG, catheter=DEVICE),
    "a pipeline line": lambda t: (lines(t, shot=DRUG, pipeline_pill=DRUG), directed(t, "shot")),
    "two pipeline lines": lambda t: lines(t, pill=DRUG, pipeline_a=DRUG, pipeline_b=DRUG),
    "lines of a launched modality": lambda t: (
        launch_in(t, 2026), lines(t, implant_a="implant", implant_b="implant", pipeline_c="implant", shot="drugs")
    ),
    "a launched modality without lines": lambda t: (launch_in(t, 2026), lines(t, shot="drugs", pill="drugs")),
}  # fmt: skip


def prior_set_of(change: Change) -> PriorSet:
    """The other market's prior set after a change of its ledger."""
    tables = market()
    change(tables)
    return effective(Ledger.model_validate(tables))


def other_market(name: str) -> PriorSet:
    """Another market, to which the shipped kinds of source are known."""
    sources = [kind.model_dump() for kind in load_ledger().sources]
    return prior_set_of(lambda tables: (CHANGES[name](tables), tables.update(sources=sources)))


def row(pset: PriorSet, source: str, value: float, quantity: str = "revenue", **where: Any) -> Evidence:
    """New evidence of a source on a market, by default on all of it in its first year."""
    place: dict[str, Any] = {"year": pset.ledger.years[0], "region": None, "depth": None, "modality": None} | where
    unit = OBSERVED[quantity].unit.format(currency=pset.ledger.report.currency)
    log_sd = place.pop("log_sd", 0.05)
    name = " ".join(map(str, (source, quantity, *place.values())))
    return Evidence(name, source, quantity, value=value, unit=unit, log_sd=log_sd, **place)


def bounded() -> PriorSet:
    """A market of whose launch others say that it was not seen in two ways, and when it may come."""
    pset = other_market("a pipeline line")
    launch, first = str(pset.coords["launch"][0]), pset.ledger.years[0]
    of: dict[str, Any] = {"year": None, "line": launch, "log_sd": 0.5}
    rows = [
        row(pset, "study: launches", first + 3.0, "launch_not_before", **of),
        row(pset, "study: launches", 0.0, **of | {"year": first + 4, "region": pset.ledger.segments["region"][-1]}),
        row(pset, "study: launches", first + 5.0, "launch_year", **of),
    ]
    return pset.with_evidence([*pset.evidence, *rows])
