"""The model against a second implementation of its equations, written from docs/model.md by someone else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, kolmogorov, logit
from scipy.stats import ks_1samp, t

from postcgrp.models import build_model
from postcgrp.models.free import free
from postcgrp.models.simulator import DRIFT, MISSPECIFICATIONS, SHOCK_DF, SHOCK_SCALE, VENDOR_FACTOR, simulate
from postcgrp.models.simulator_dice import placed
from postcgrp.priors import Evidence, Ledger, PriorSet, Settings, Trust, effective, load_ledger, load_overlay
from postcgrp.priors.catalogue import DATES, GROWN, OBSERVED, RANGED
from postcgrp.priors.changes import Change
from postcgrp.priors.correlations import PriorCorrelation
from postcgrp.priors.sets import Overlay, prior_set
from postcgrp.priors.shipped import shipped
from postcgrp.tests.helpers.forward import model_draws
from postcgrp.tests.helpers.markets import CHANGES, bounded, other_market, prior_set_of
from postcgrp.tests.helpers.markets import market as tables_of
from postcgrp.tests.helpers.variants import variants

pytestmark = pytest.mark.fit

Array = NDArray[np.float64]
Arrays = dict[str, Array]

DRAWS, FEW, SEED = 3000, 50, 20
LEVEL = 1e-3
SOLD_IN_THE_END = 0.9  # of draws in which a launch succeeds: by the last year somewhere
CLOSE = 1e-9  # relative: equal but for rounding
SMALLEST = 1e-9  # use that has a logit


def wider() -> PriorSet:
    """The other market with burden, payers, a launch, a second adoption curve, and a count of a later year.

    Some numbers are sharp and depths far apart, so that what wide ranges hide in the other markets shows.
    """
    tables = tables_of()
    said = {"role": "prior", "unit": "fraction", "quote": "said", "reason": "why"}
    ranges = {"moh": (0.345, 0.355), "acute_use": (0.545, 0.555), "payer_block": (0.1, 0.3)}
    uses = [(2024, 0.1, 0.3), (2027, 0.15, 0.35), (2032, 0.3, 0.6)]
    first, *rest = tables["claims"]
    tables["claims"] = (
        {**first, "year": 2027},
        *rest,
        *({"id": q, "quantity": q, "low": low, "high": high} | said for q, (low, high) in ranges.items()),
        *(
            {"id": f"pump {year}", "quantity": "adoption", "modality": "pump", "year": year, "low": low, "high": high}
            | said
            for year, low, high in uses
        ),
    )
    tables["modalities"] += [{"name": "implant", "uptake": "launch"}, {"name": "pump", "uptake": "adoption"}]
    sharper: dict[str, dict[str, float]] = {
        "pool_error": {"low": -0.01, "high": 0.01},
        "region_patients_log_sd": {"value": 0.01},
        "acute_use_step": {"low": 0.5, "high": 1.0},
        "moh_step": {"low": 0.5, "high": 1.0},
        "launch_ceiling": {"low": 0.049, "high": 0.051},
    }
    rows = {row["id"]: row | sharper.get(row["id"], {}) for row in tables["assumptions"]}
    rare = rows["eligible_share"] | {"depth": "one biologic", "value": 0.05}
    tables["assumptions"] = (*rows.values(), rare)
    return effective(Ledger.model_validate(tables))


@dataclass(frozen=True)
class Market:
    pset: PriorSet
    draws: Arrays


def correlated() -> PriorSet:
    """Lines of an adopted modality, whose priors go together across blocks of every kind."""
    rows = (
        ("pool_error", "patient_growth[2027]", 0.8),
        ("patient_growth[2032]", "adoption[2032, thermoplasty]", 0.7),
        ("uptake_region_sd[thermoplasty]", "line_price_common", -0.8),
    )
    pset = other_market("lines of an adopted modality")
    return replace(pset, correlations=tuple(PriorCorrelation(a, b, r, "test", "why") for a, b, r in rows))


MARKETS: dict[str, Callable[[], PriorSet]] = {
    "shipped": lambda: effective(load_ledger()),
    "bounded": bounded,
    "pipeline": lambda: other_market("a pipeline line"),
    "other": lambda: other_market("as it is"),
    "wider": wider,
    "lines": lambda: other_market("lines"),
    "adopted": lambda: other_market("lines of an adopted modality"),
    "launched": lambda: other_market("lines of a launched modality"),
    "without": lambda: other_market("a launched modality without lines"),
    "correlated": correlated,
}


@pytest.fixture(scope="module", params=variants(MARKETS, stay=2))
def market(request: pytest.FixtureRequest) -> Market:
    pset = MARKETS[request.param]()
    return Market(pset, simulate(pset, DRAWS, SEED))


def mean(values: Array, weights: Array) -> Array:
    """The weighted mean over regions and depths."""
    return np.asarray((values * weights).sum(axis=(-2, -1)) / weights.sum(axis=(-2, -1)))


# ---- what must hold whatever the model says ------------------------------------------------------------------------


def test_a_market_is_coherent(market: Market) -> None:
    pset, draws = market.pset, market.draws
    patients, use, revenue = draws["patients"], draws["use"], draws["revenue"]
    treated = patients[..., None] * use
    assert all(np.isfinite(values).all() for values in draws.values())
    assert all(len(values) == DRAWS for values in draws.values())
    assert np.allclose(revenue.sum(axis=(2, 3, 4)), draws["revenue_total"], rtol=1e-12)
    assert np.allclose(treated * draws["intensity"] / 1e6, revenue, rtol=1e-12)
    spend = draws["price"] * treated.sum(axis=(2, 3)) / 1e6
    assert np.allclose(revenue.sum(axis=(2, 3)), spend, rtol=1e-12)
    assert np.allclose(draws["depth_share"].sum(axis=2), 1)
    assert (draws["intensity"] > 0).all()
    if "moh" in draws:
        assert (draws["moh"] <= draws["acute_use"]).all()
    for k, modality in enumerate(pset.ledger.modalities):
        of = use[..., k]
        if modality.uptake == "everyone":
            assert (of == 1).all()
        if modality.uptake == "adoption":
            path = draws[pset.own("adoption_mean", modality)]
            assert np.allclose(mean(of, patients), path, rtol=1e-10, atol=0)
            assert (np.diff(path, axis=1) >= 0).all()
            assert (np.diff(of, axis=3) >= 0).all()
        if modality.uptake == "launch":
            succeeds = draws["success"][:, pset.coords["launch"].index(modality.name)] == 1
            assert (of[~succeeds] == 0).all()
            assert (revenue[..., k][of == 0] == 0).all()
            assert (np.diff(of, axis=1) >= 0).all()
            assert (of[succeeds][:, -1].max(axis=(1, 2)) > 0).mean() > SOLD_IN_THE_END
        if lines := [j for j, line in enumerate(pset.ledger.lines) if line.modality == modality.name]:
            of_lines = draws["revenue_line"][..., lines].sum(axis=-1)
            assert np.allclose(of_lines, revenue[..., k], rtol=1e-12, atol=0)


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_evidence_is_on_sums_of_cells_and_shares_the_vendors_error_and_method(strength: float) -> None:
    """Of what no launch and no pipeline touches, for of those a row sees what its source assumes."""
    shipped_set = effective(load_ledger(), Settings(vendor_build_up=strength))
    other_set = effective(Ledger.model_validate(tables_of()), Settings(vendor_build_up=strength))
    for pset, touched in ((shipped_set, {None, "pharmacologic", "implantable"}), (other_set, set[str | None]())):
        draws, years = simulate(pset, FEW, SEED), pset.ledger.years
        errors = sorted({row.year for row in pset.evidence if row.year} | set(pset.ledger.report.anchors))
        counted = np.exp([prior.mu for prior in pset.blocks["region_patients"].priors]).sum()
        pool = np.log(draws["patients"][:, 0].sum(axis=(1, 2)) / counted)
        adopted = pset.modalities("adoption")[0]
        claims = pset.blocks["adoption_level"].priors
        for k, row in enumerate(pset.evidence):
            if row.quantity != "revenue" or row.modality in touched or row.year is None:
                continue
            claimed = expit(claims[pset.ledger.report.anchors.index(row.year)].mu)
            ties = np.zeros((FEW, len(pset.ledger.modalities))) - strength * pool[:, None]
            at = list(pset.ledger.segments["modality"]).index(adopted.name)
            ties[:, at] -= strength * np.log(draws["adoption_mean"][:, years.index(row.year)] / claimed)
            cells = (draws["revenue"][:, years.index(row.year)] * np.exp(ties)[:, None, None]).sum(axis=(1, 2))
            here = cells.sum(axis=1) if row.modality is None else cells[:, at]
            expected = np.log(here) + draws["source_error"][:, errors.index(row.year)]
            assert np.allclose(draws["evidence_log_mean"][:, k], expected, atol=1e-12), row.id


def test_stated_means_have_the_priors_that_their_ranges_imply(market: Market) -> None:
    pset, draws = market.pset, market.draws
    base, burden, years = draws["patients"][:, 0], pset.blocks.get("burden_level"), pset.ledger.years
    found = [(prior, mean(draws[prior.name], base)) for prior in (burden.priors if burden else ())]
    for modality in pset.modalities("adoption"):
        path = draws[pset.own("adoption_mean", modality)][:, [years.index(year) for year in pset.anchors(modality)]]
        found += zip(pset.blocks[pset.own("adoption_level", modality)].priors, path.T, strict=True)
    modalities = list(pset.ledger.segments["modality"])
    for k, name in enumerate(pset.coords["line_claimed"]):
        line = next(line for line in pset.ledger.lines if line.name == name)
        users = base * draws["use"][:, 0, ..., modalities.index(line.modality)]
        if (users > 0).all():  # of what is not sold yet, the claim is about those who may get it
            used = mean(draws["use_line"][:, 0, ..., pset.ledger.lines.index(line)], users)
            found.append((pset.blocks["line_use_level"].priors[k], used))
    p = {prior.name: ks_1samp(values, prior.cdf, method="asymp").pvalue * len(found) for prior, values in found}
    assert min(p.values(), default=1.0) > LEVEL, p


def test_probabilities_are_placed_exactly() -> None:
    rng = np.random.default_rng(SEED)
    weight, offset = rng.gamma(0.3, size=(200, 4, 3)), 5 * rng.standard_normal((200, 4, 3))
    for target in (1e-9, 1e-3, 0.5, 1 - 1e-9):
        assert np.allclose(mean(placed(weight, offset, np.full(200, target)), weight), target, rtol=1e-12, atol=0)


def test_a_seed_decides_the_draws(pset: PriorSet) -> None:
    a, b, c = (simulate(pset, FEW, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not np.array_equal(a["evidence"], c["evidence"])


# ---- the simulator against the PyMC model --------------------------------------------------------------------------


def scalars(pset: PriorSet, draws: Arrays) -> Arrays:
    """Marginals to compare: all of what is small, and cells of what is large, at the anchors and a year between."""
    years = [pset.ledger.years.index(a) for a in pset.ledger.report.anchors]
    some = {"year": [years[0] + 1, *years], "region": [0, 1, -1], "depth": [0, -1]}
    table: Arrays = {}
    for name, values in draws.items():
        kept = values
        if values.ndim > 3:
            kept = kept[:, some["year"]][:, :, some["region"]][:, :, :, some["depth"]]
        for cell in np.ndindex(kept.shape[1:]):
            table[f"{name}{cell}"] = kept[(slice(None), *cell)]
    by_modality = draws["revenue"].sum(axis=(2, 3))
    for year, k in np.ndindex(by_modality.shape[1:]):
        table[f"revenue of modality {k}, {year}"] = by_modality[:, year, k]
    noise = draws["evidence"] - draws["evidence_log_mean"]
    return table | {f"row error {k}": noise[:, k] for k in range(noise.shape[1])}


def contrasts(draws: Arrays) -> Arrays:
    """What tells segments and years apart, on the scale where the model adds: their products show how they go along."""
    errors = [error for name, error in draws.items() if name.startswith("source_error")]
    table = {f"error {k}": values for k, values in enumerate(np.concatenate(errors, axis=1).T)}
    base = draws["patients"][:, 0]
    for name in ("acute_use", "moh", "payer_block"):
        if name in draws:
            values = logit(draws[name] / draws["acute_use"] if name == "moh" else draws[name])
            table[f"{name} by region"] = (values[:, 0] - values[:, 1]).reshape(DRAWS, -1)[:, 0]
            if name != "payer_block":
                table[f"{name} by depth"] = values[:, 0, -1] - values[:, 0, 0]
                table[f"{name} mean"] = mean(draws[name], base)
    table["patients by region"] = np.log(base[:, 0].sum(axis=1) / base[:, 1].sum(axis=1))
    table["patients"] = np.log(base.sum(axis=(1, 2)))
    for region in (0, 1):
        table[f"growth {region}"] = np.log(draws["patients"][:, -1, region, 0] / base[:, region, 0])
        table[f"mix {region}"] = logit(draws["depth_share"][:, region, -1])
    for k in range(draws["use"].shape[-1]):
        spend, price = np.log(draws["intensity"][..., k]), np.log(draws["price"][..., k])
        table |= of_use(f"use of {k}", draws["use"][..., k], draws["patients"])
        table[f"spend on {k} by region"] = spend[:, -1, 0, -1] - spend[:, -1, 1, -1]
        table[f"spend on {k} by depth"] = spend[:, -1, 0, -1] - spend[:, -1, 0, 0]
        table[f"spend on {k} over time"] = price[:, -1] - price[:, 0]
        table[f"spend on {k}, a year"] = price[:, 2] - price[:, 1]
        table[f"spend on {k}"] = price[:, 0]
    for k in range(draws["use_line"].shape[-1] if "use_line" in draws else 0):
        table |= of_use(f"use of line {k}", draws["use_line"][..., k], draws["patients"])
        part = np.log(np.maximum(draws["revenue_line"][..., k].sum(axis=3), SMALLEST))
        table[f"revenue of line {k} by region"] = part[:, 2, 0] - part[:, 2, 1]
        table[f"revenue of line {k} over time"] = part[:, -1, 0] - part[:, 2, 0]
        table[f"persistence of {k}"] = draws["persistence"][:, k, 0]
    for k in range(draws["success"].shape[-1] if "success" in draws else 0):
        table[f"success of {k}"] = draws["success"][:, k]
    return {name: values for name, values in table.items() if np.ptp(values) > 1e-6}


def of_use(name: str, use: Array, patients: Array) -> Arrays:
    """Contrasts of use [draw, year, region, depth], which may be 0 or 1, between segments and years."""
    odds = logit(np.clip(use, SMALLEST, 1 - SMALLEST))
    slope = odds[:, -1, ..., -1] - odds[:, -1, ..., -2]
    return {
        f"{name} by region": odds[:, -1, 0, -1] - odds[:, -1, 1, -1],
        f"{name} by depth": slope[:, 0],
        f"{name} by depth and region": slope[:, 0] - slope[:, 1],
        f"{name}, a year": odds[:, -1, 0, -1] - odds[:, -2, 0, -1],
        f"{name} over time": odds[:, -1, 0, -1] - odds[:, 0, 0, -1],
        name: mean(use[:, -1], patients[:, -1]),
    }


def together(table: Arrays, around: Arrays) -> Arrays:
    """Products of pairs: positive where both lie on the same side of the medians of `around`."""
    centred = {name: (values - np.median(around[name])) / around[name].std() for name, values in table.items()}
    return {f"{a} x {b}": centred[a] * centred[b] for a, b in combinations(centred, 2)}


def smallest(one: Arrays, two: Arrays) -> tuple[float, str]:
    """The smallest p-value of Kolmogorov-Smirnov tests of all scalars, times their number, and whose it is.

    `scipy.stats.ks_2samp` at its asymptotic p-value, for all scalars in one sort.
    """
    assert one.keys() == two.keys()
    both = np.array([np.concatenate([one[name], two[name]]) for name in one])
    fixed = np.ptp(both, axis=1) == 0
    names = [name for name, one_value in zip(one, fixed, strict=True) if not one_value]
    order = np.argsort(both[~fixed], axis=1)
    ranked = np.take_along_axis(both[~fixed], order, axis=1)
    # Of equal values, such as the zeros before a launch, only the last counts.
    last = np.diff(ranked, axis=1, append=np.inf) > CLOSE * np.abs(ranked)
    gap = np.abs(np.where(order < DRAWS, 1.0, -1.0).cumsum(axis=1) * last).max(axis=1) / DRAWS
    p = kolmogorov(gap * np.sqrt(DRAWS / 2)) * len(names)
    return float(p.min()), names[int(p.argmin())]


def everything(ledger: Ledger) -> list[Evidence]:
    """Evidence on each quantity, for the whole and for parts."""
    rows = []
    for quantity, entry in OBSERVED.items():
        if quantity in DATES:
            in_japan = (quantity, None, "Japan", None, "implantable")
            rows.append(Evidence(quantity, "study: all", *in_japan, 2029.0, entry.unit, 0.5))
            continue
        unit = entry.unit.format(currency=ledger.report.currency)
        for region, depth in ((None, None), ("EU5", None), (None, "3+"), ("Japan", "2")):
            whole = quantity.endswith("_share") and not (region or depth)
            if whole or (depth and "depth" not in entry.by):
                continue
            taken = quantity in ("adoption", "price", "users_growth")
            for modality in ("non_invasive", "implantable") if taken else (None,):
                cell = (quantity, 2031, region, depth, modality)
                start = 2028 if quantity in GROWN and modality != "implantable" else 2030 if quantity in GROWN else None
                name = " ".join(map(str, cell))
                row = Evidence(name, "study: all", *cell, 0.1, unit, 0.5, year_from=start)
                lined = [replace(row, id=f"{name} {line}", line=line) for line in ("gepant", "pacap")]
                rows += lined if quantity == "line_use" else [row, *lined[:1]] if "line" in entry.by else [row]
    return rows


def turned(**settings: Any) -> PriorSet:
    """The shipped ledger with evidence on everything, an optimistic report, a heavy tail and other settings."""
    heavy = Change(id="region_premium", family="student", reason="a test")
    heavy_too = Change(id="launch_speed", family="logstudent", reason="a test")
    optimistic = Trust(
        level="odd", base_log_sd=0.1, final_log_sd=0.3, final_log_bias=0.5, source="a test", reason="a test"
    )
    overlay = Overlay(name="odd", says="a test", trust=(optimistic,), assumption=(heavy, heavy_too))
    ledger = load_ledger()
    return prior_set(ledger, overlay, turned={"trust": "odd", **settings}, evidence=everything(ledger))


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"adoption_scope": "with_launched", "uptake_shape": "early", "leave_out": ["adoption_2025", "moh_2025"]},
        {
            "uptake_shape": "late",
            "stringency": "strict",
            "leave_out": ["adoption_2030", "acute_use_2025", "patients_japan_2025"],
        },
    ],
    ids=["scope", "open"],
)
def test_other_settings_are_drawn_as_the_page_says(settings: dict[str, Any]) -> None:
    pset = turned(**settings)
    compare(Market(pset, simulate(pset, DRAWS, SEED)))


@pytest.mark.parametrize("left_out", [None, 2027], ids=["claimed", "open"])
def test_an_adoption_that_falls_is_drawn_as_the_page_says(left_out: int | None) -> None:
    ledger = prior_set_of(CHANGES["adoption that falls"]).ledger
    ids = tuple(c.id for c in ledger.claims if (c.quantity, c.year) == ("adoption", left_out))
    pset = effective(ledger, Settings(leave_out=ids))
    assert pset.blocks["adoption_level"].falling
    compare(Market(pset, simulate(pset, DRAWS, SEED)))


@pytest.mark.slow
def test_numbers_with_a_range_are_drawn_as_the_page_says() -> None:
    """Every number that may have a range has one."""
    tables = load_ledger().model_dump()
    rows = [row for row in tables["assumptions"] if row["id"] not in RANGED]
    kept = {row["id"]: row for row in tables["assumptions"] if row["id"] in RANGED}
    ranges = [row | {"modality": None, "value": None, "low": 0.1, "high": 0.4} for row in kept.values()]
    assert set(kept) == set(RANGED)
    pset = effective(Ledger.model_validate(tables | {"assumptions": [*rows, *ranges]}))
    named = {prior.name.partition("[")[0] for block in pset.blocks.values() for prior in block.priors}
    assert set(RANGED) <= named
    assert {variable.name for variable in free(pset)} == {rv.name for rv in build_model(pset).free_RVs}
    compare(Market(pset, simulate(pset, DRAWS, SEED)))


def test_the_model_draws_what_the_page_says(market: Market) -> None:
    compare(market)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in shipped() if name != Settings.priors])
def test_the_model_draws_what_the_page_says_of_every_shipped_set(name: str) -> None:
    overlay = load_overlay(name)
    pset = prior_set(load_ledger(), overlay)
    pset = pset if pset.evidence else pset.with_evidence(everything(pset.ledger))
    compare(Market(pset, simulate(pset, DRAWS, SEED)))


def compare(market: Market) -> None:
    draws = model_draws(build_model(market.pset), list(market.draws), DRAWS, SEED)
    assert {name: values.shape for name, values in draws.items()} == {n: v.shape for n, v in market.draws.items()}
    p, worst = smallest(scalars(market.pset, market.draws), scalars(market.pset, draws))
    assert p > LEVEL, worst
    one, two = contrasts(market.draws), contrasts(draws)
    p, worst = smallest(one | together(one, one), two | together(two, one))
    assert p > LEVEL, worst


# ---- departures ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def departed(pset: PriorSet) -> dict[str | None, Arrays]:
    return {name: simulate(pset, FEW, SEED, misspecified=name) for name in (None, *MISSPECIFICATIONS)}


def same(one: Arrays, two: Arrays, *but: str) -> bool:
    return all(np.array_equal(one[name], two[name]) for name in one if name not in but)


def test_a_shock_moves_a_modality_for_good(departed: dict[str | None, Arrays]) -> None:
    true, base = departed["shock"], departed[None]
    outcomes = ("price", "intensity", "revenue", "revenue_line", "revenue_total", "evidence_log_mean", "evidence")
    assert same(true, base, *outcomes)
    log_factor = np.log(true["price"] / base["price"])
    assert np.allclose(true["revenue"], base["revenue"] * np.exp(log_factor)[:, :, None, None])
    assert (log_factor[:, 0] == 0).all()
    steps = np.diff(log_factor, axis=1).ravel()
    assert ks_1samp(steps / SHOCK_SCALE, t(SHOCK_DF).cdf, method="asymp").pvalue > LEVEL


def test_a_drift_moves_patients_to_the_deepest_depth(pset: PriorSet, departed: dict[str | None, Arrays]) -> None:
    true, base = departed["share_drift"], departed[None]
    patients = true["patients"]
    assert np.allclose(patients.sum(axis=3), base["patients"].sum(axis=3))
    assert np.allclose(patients[..., 0] / patients[..., 1], base["patients"][..., 0] / base["patients"][..., 1])
    odds, before = (of[..., -1] / of[..., :-1].sum(axis=-1) for of in (patients, base["patients"]))
    assert np.allclose(odds / before, (1 + DRIFT) ** np.arange(odds.shape[1])[:, None])
    assert same({name: true[name] for name in ("use", "intensity", "depth_share", "moh", "source_error")}, base)
    assert np.allclose(mean(true["adoption"], patients), true["adoption_mean"])
    assert (true["adoption_mean"][:, 1:] > base["adoption_mean"][:, 1:]).all()
    spend = true["price"] * (patients[..., None] * true["use"]).sum(axis=(2, 3)) / 1e6
    assert np.allclose(true["revenue"].sum(axis=(2, 3)), spend)
    assert (true["revenue_total"][:, 1:] > base["revenue_total"][:, 1:]).all()


def test_a_high_vendor_misstates_revenue_and_nothing_else(pset: PriorSet, departed: dict[str | None, Arrays]) -> None:
    true, base = departed["vendor_high"], departed[None]
    assert same(true, base, "evidence_log_mean", "evidence")
    too_high = np.log([VENDOR_FACTOR if row.quantity == "revenue" else 1.0 for row in pset.evidence])
    for name in ("evidence_log_mean", "evidence"):
        assert np.allclose(true[name] - base[name], too_high)


def test_an_unknown_departure_is_refused(pset: PriorSet) -> None:
    with pytest.raises(ValueError, match="'typo': use None or one of shock, share_drift, vendor_high"):
        simulate(pset, FEW, SEED, misspecified="typo")
