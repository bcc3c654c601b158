"""Another market, and every shape of ledger that it could have: the model comes from the ledger alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pymc as pm
import pytest
from numpy.typing import NDArray
from pymc.distributions.shape_utils import change_dist_size
from pytensor.graph.replace import vectorize_graph
from pytensor.graph.traversal import ancestors

from postcgrp.inference import Sampling, forward, sample
from postcgrp.models import build_model
from postcgrp.models.evidence import source_years
from postcgrp.priors import InputError, Ledger, PriorSet, effective, load_ledger
from postcgrp.tests.helpers.paths import OTHER_MARKET

DRAWS, SEED = 300, 7
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


def launch_in(tables: Tables, year: int) -> Any:
    modalities(tables, drugs="everyone", device="adoption", implant="launch")
    tables["assumptions"] = [a for a in tables["assumptions"] if a["id"] != "launch_year"]
    tables["assumptions"].append(assumption("launch_year", "year", modality="implant", value=year))


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
    "euros": euros,
}  # fmt: skip


def prior_set(change: Change) -> PriorSet:
    tables = market()
    change(tables)
    return effective(Ledger.model_validate(tables))


def prior_draws(model: pm.Model) -> dict[str, NDArray[Any]]:
    """Prior draws of everything that a model derives, in one evaluation without compilation."""
    batched: dict[Any, Any] = {}
    for rv in model.free_RVs:
        parents = {p: batched[p] for p in ancestors([rv]) if p in batched}
        batched[rv] = vectorize_graph(rv, replace=parents) if parents else change_dist_size(rv, DRAWS, expand=True)
    graphs = vectorize_graph(model.deterministics, replace=batched)
    outputs = {v.name: graph for v, graph in zip(model.deterministics, graphs, strict=True)}
    return forward._function(outputs, [])({}, SEED)


def check(pset: PriorSet, draws: dict[str, NDArray[Any]]) -> None:
    """What must hold of any market in every draw: finite, positive, coherent, ordered, and at the stated ranges."""
    ledger, years = pset.ledger, pset.ledger.years
    for name, values in draws.items():
        assert np.isfinite(values).all(), name
    patients, use, revenue = draws["patients"], draws["use"], draws["revenue"]
    sizes = [len(names) for names in ledger.segments.values()]
    assert revenue.shape[1:] == (len(years), *sizes)
    assert np.allclose(revenue.sum(axis=(2, 3, 4)), draws["revenue_total"], rtol=1e-9, atol=0)
    assert np.allclose(patients[..., None] * use * draws["intensity"] / 1e6, revenue, rtol=1e-9, atol=0)
    assert np.allclose(draws["depth_share"].sum(axis=-1), 1, atol=1e-12)
    assert (patients > 0).all()
    assert (draws["intensity"] > 0).all()
    assert (revenue >= 0).all()
    assert ((use >= 0) & (use <= 1)).all()
    assert (np.diff(draws["intensity"], axis=3) >= -1e-9 * draws["intensity"][..., :1, :]).all()
    for k, modality in enumerate(ledger.modalities):
        of, weight = use[..., k], patients.sum(axis=(2, 3))
        mean = (patients * of).sum(axis=(2, 3)) / weight
        if modality.uptake == "everyone":
            assert (of == 1).all()
            continue
        level = draws[pset.own(f"{modality.uptake}_level", modality)]
        assert (np.diff(level, axis=1) >= 0).all()
        if modality.uptake == "adoption":
            assert (of > 0).all()
            assert np.allclose(of, draws[pset.own("adoption", modality)])
            assert np.allclose(mean, draws[pset.own("adoption_mean", modality)])
            assert (np.diff(of, axis=3) >= 0).all()
        else:
            share = np.array(
                [pset.number("eligible_share", depth=d, modality=modality.name) for d in ledger.segments["depth"]]
            )
            launch = int(pset.number("launch_year", modality=modality.name))
            before = [year < launch for year in years]
            assert (of[:, before] == 0).all()
            assert (of[:, np.invert(before)][..., share > 0] > 0).all()
            assert (of[..., share == 0] == 0).all()
            mean = mean * weight / (patients * share).sum(axis=(2, 3))
        assert (np.diff(mean, axis=1) >= -1e-6 * mean[:, 1:]).all()
        reached = mean[:, [years.index(a) for a in pset.anchors(modality)]]
        assert np.allclose(
            reached, level, rtol=1e-4
        )  # 1e-5 but for odds that differ between regions by a factor of 400
    users = patients[..., None] * use
    sold = users.sum(axis=(2, 3)) > 0
    spend = (users * draws["intensity"]).sum(axis=(2, 3))
    assert np.allclose(spend[sold], (draws["price"] * users.sum(axis=(2, 3)))[sold], rtol=1e-9)
    check_burden(pset, draws)
    check_evidence(pset, draws)


def check_burden(pset: PriorSet, draws: dict[str, NDArray[Any]]) -> None:
    base = draws["patients"][:, 0]
    for k, name in enumerate(p.name for p in pset.blocks["burden_level"].priors) if "burden_level" in draws else ():
        mean = (base * draws[name]).sum(axis=(1, 2)) / base.sum(axis=(1, 2))
        assert np.allclose(mean, draws["burden_level"][:, k], rtol=1e-4)
    if "acute_use" in draws:
        assert (np.diff(draws["acute_use"], axis=2) >= 0).all()
        assert (draws.get("moh", draws["acute_use"]) <= draws["acute_use"]).all()


def check_evidence(pset: PriorSet, draws: dict[str, NDArray[Any]]) -> None:
    """Each row is observed around the logarithm of the sum of its cells and, but for shares, the report's error."""
    for k, row in enumerate(pset.evidence):
        whole = draws["patients" if row.quantity == "patients" else "revenue"][:, pset.ledger.years.index(row.year)]
        part = whole
        for axis, (dim, names) in enumerate(list(pset.ledger.segments.items())[: whole.ndim - 1], start=1):
            if (label := getattr(row, dim)) is not None:
                part = part.take([names.index(label)], axis=axis)
        mean = np.log(part.reshape(len(part), -1).sum(axis=1))
        if row.quantity == "revenue_share":
            mean -= np.log(whole.reshape(len(whole), -1).sum(axis=1))
        else:
            mean += draws["source_error"][:, source_years(pset).index(row.year)]
        assert np.allclose(mean, draws["evidence_log_mean"][:, k], atol=1e-4), row.id


def in_ranges(pset: PriorSet, draws: dict[str, NDArray[Any]]) -> None:
    """Stated ranges hold their mass, within what so few draws can tell."""
    for name, block in pset.blocks.items():
        for k, prior in enumerate(block.priors):
            if name.startswith(("adoption_level", "burden_level", "launch_level")) and prior.coverage is not None:
                inside = (draws[name][:, k] > prior.low) & (draws[name][:, k] < prior.high)
                assert inside.mean() == pytest.approx(prior.coverage, abs=0.1), prior.name


SLOW = {
    "adoption first",
    "launch before the last anchor",
    "launch a year after the start",
    "launched in the first year",
    "a long window",
    "burden overlapping",
    "patients of another year",
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in CHANGES])
def test_any_shape_of_ledger_gives_a_coherent_model(name: str) -> None:
    pset = prior_set(CHANGES[name])
    model = build_model(pset)
    dims = [model.named_vars_to_dims.get(rv.name, ()) for rv in model.free_RVs]
    assert all(model.coords.get(dim) != () for variable in dims for dim in variable), "a variable without elements"
    draws = prior_draws(model)
    check(pset, draws)
    in_ranges(pset, draws)


def test_a_count_of_another_year_is_the_count_of_that_year() -> None:
    pset = prior_set(CHANGES["patients of another year"])
    draws = prior_draws(build_model(pset))
    counts = draws["patients"].sum(axis=3)
    assert np.median(counts[:, 3, 0]) == pytest.approx(42_000, rel=0.05)
    assert np.median(counts[:, 0, 1]) == pytest.approx(38_000, rel=0.05)
    spread = np.log(counts[:, [0, 3, 8], :2]).std(axis=0)
    assert spread[1, 0] < spread[0, 0]  # growth is counted from the year that the report names
    assert spread[0, 1] < spread[2, 1]


def test_each_modality_takes_the_direction_said_of_it() -> None:
    def change(tables: Tables) -> None:
        modalities(tables, a="adoption", b="adoption", c="launch", drugs="everyone")
        for modality, region, sign in (("a", "Europe", 1), ("b", "Europe", -1), (None, "China", 1), ("b", "China", 0)):
            tables["claims"].append(
                claim("adoption_direction", unit="sign", region=region, modality=modality, value=sign)
            )

    pset = prior_set(change)
    said = {m: list(pset.signs("adoption_direction", "region", m)) for m in "abc"}
    assert said == {"a": [0, 1, 1, 0], "b": [0, -1, 0, 0], "c": [0, 0, 1, 0]}


@pytest.mark.parametrize(
    ("fields", "share", "message"),
    [
        (
            {"year": 2030, "modality": "implant", "depth": "one biologic"},
            0.0,
            "nothing is sold in 2030 to depth one bio",
        ),
        ({"year": 2025, "modality": "implant"}, 0.5, "evidence in 2025, before its launch_year 2026: make .* or move"),
        ({"year": 2030}, {None: 0.0, "two or more": 0.0}, "eligible_share of implant is 0 at every depth: raise one"),
    ],
)
def test_evidence_on_what_is_never_sold_is_refused(fields: Tables, share: Any, message: str) -> None:
    def change(tables: Tables) -> None:
        launch_in(tables, 2026)
        shares = share if isinstance(share, dict) else {"one biologic": share}
        tables["assumptions"] = [a for a in tables["assumptions"] if a["id"] != "eligible_share"]
        for depth, value in ({None: 0.5} | shares).items():
            tables["assumptions"].append(assumption("eligible_share", "fraction", depth=depth, value=value))
        evidence(tables, value=5.0, **fields)

    with pytest.raises(InputError, match=message):
        prior_set(change)


def test_a_total_before_anything_is_sold_is_refused() -> None:
    def change(tables: Tables) -> None:
        modalities(tables, a="launch")

    with pytest.raises(
        InputError, match=r"'revenue_2024': nothing is sold in 2024 to depth any, .*: make the claim a check"
    ):
        prior_set(change)


def bare(tables: Tables) -> None:
    """As little as can be: one region, one depth, every year an anchor, no evidence."""
    anchors(tables, 2024, 2025, 2026)
    keep_regions(tables, 1)
    depths(tables, 1.0)
    modalities(tables, drugs="everyone", implant="launch")
    drop(tables, role="evidence")


@pytest.mark.parametrize(
    "name",
    [
        "as it is",
        pytest.param("bare", marks=pytest.mark.slow),
        pytest.param("evidence on parts", marks=pytest.mark.slow),
        pytest.param("five modalities", marks=pytest.mark.slow),
    ],
)
def test_another_market_is_sampled(name: str) -> None:
    pset = prior_set(bare if name == "bare" else CHANGES[name])
    run = sample(build_model(pset), Sampling(draws=100, tune=100, chains=2, prior_draws=200))
    for group in ("prior", "posterior"):
        check(pset, {str(n): v.values.reshape(-1, *v.shape[2:]) for n, v in run[group].data_vars.items()})
    assert ("evidence" in run["observed_data"]) == bool(pset.evidence)
    if name == "as it is":
        total = run["posterior"]["revenue_total"].sel(year=2024)
        assert float(total.median()) == pytest.approx(1500, rel=0.15)
        assert run["posterior"].sizes["region"] == 4
