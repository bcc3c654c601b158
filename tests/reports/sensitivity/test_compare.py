"""What moved a forecast: against known priors, and refits of one change at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import logit
from xarray import DataArray, Dataset, DataTree

from postcgrp.inference import Sampling, sample
from postcgrp.models import build_model
from postcgrp.priors import InputError, Ledger, Prior, PriorSet, from_range
from postcgrp.priors.correlations import PriorCorrelation
from postcgrp.priors.elicit import LINK
from postcgrp.priors.sets import load_overlay, prior_set
from postcgrp.reports.runs.evidence import flat, funnel_ratio
from postcgrp.reports.runs.run import Run
from postcgrp.reports.sensitivity import prior_factors
from postcgrp.reports.sensitivity.attribution import ANOTHER, between
from postcgrp.reports.sensitivity.comparison import (
    _REST,
    Comparison,
    compare,
    last_total,
    leading,
)
from postcgrp.reports.sensitivity.comparison_files import save_comparison
from postcgrp.reports.sensitivity.evidence_factors import FUNNEL
from postcgrp.reports.sensitivity.sides import Factor, Side
from postcgrp.reports.sensitivity.tornado import elicited_numbers, shift_prior
from postcgrp.reports.sensitivity.waterfall import waterfall
from postcgrp.tests.helpers.markets import CHANGES, other_market, prior_set_of, row
from postcgrp.tests.helpers.stored import prior_run, restated, write
from postcgrp.tests.helpers.variants import variants

pytestmark = pytest.mark.fit

DRAWS = 2000


# ---- factors -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare(pset: PriorSet, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Prior draws of the report without evidence: what a factor makes of them is known."""
    return prior_run(pset.with_evidence([]), tmp_path_factory.mktemp("bare") / "run", DRAWS)


def changed(ledger: Ledger, overlay: str, folder: Path, **turned: Any) -> PriorSet:
    path = folder / "other.toml"
    path.write_text(f'schema = 1\nname = "other"\nsays = "x"\n{overlay}', encoding="utf-8")
    return prior_set(ledger, load_overlay(path), turned=turned).with_evidence([])


def assumption(name: str, change: str, where: str = "") -> str:
    return f'[[assumption]]\nid = "{name}"\n{where}\n{change}\nreason = "x"\n'


Read = Callable[[Dataset], np.ndarray]
RATIOS: dict[str, tuple[str, Read, float, float]] = {
    # by the factor's name: the change, the quantity that is normal under the new prior, its mean and sd
    "patient_growth[2030]": (  # correlated with the other period
        assumption("patient_growth", "low = 0.0\nhigh = 0.05", "year = 2030"),
        lambda draws: flat(draws["patient_growth"])[:, 0],
        *from_range(0.0, 0.05, 0.9, "normal"),
    ),
    "burden_region_sd": (
        assumption("burden_region_sd", "low = 0.08\nhigh = 0.5"),
        lambda draws: np.log(flat(draws["burden_region_sd"])),
        *from_range(0.08, 0.5, 0.9, "lognormal"),
    ),
    "line_list_price[toxin, Japan]": (  # correlated with the other regions
        assumption("line_list_price", "low = 1700.0\nhigh = 5500.0", 'region = "Japan"\nline = "toxin"'),
        lambda draws: np.log(flat(draws["line_list_price"].sel(region="Japan", line="toxin"))),
        *from_range(1700, 5500, 0.9, "lognormal"),
    ),
    "launch_speed[implantable]": (
        assumption("launch_speed", "low = 4.5\nhigh = 10.0", 'modality = "implantable"'),
        lambda draws: np.log(flat(draws["launch_speed"].sel(launch="implantable"))),
        *from_range(4.5, 10, 0.9, "lognormal"),
    ),
    "line_use[gepant]": (
        '[[claim]]\nid = "line_use_gepant_2025"\nlow = 0.16\nhigh = 0.22\nreason = "x"\n',
        lambda draws: logit(flat(draws["line_use_level"].sel(line_claimed="gepant"))),
        *from_range(0.16, 0.22, 0.9, "logitnormal"),
    ),
    "line_use_direction[gepant]": (  # EU5's deviation around the new centre
        assumption("line_use_region_size", "value = 0.3"),
        lambda draws: flat(draws["line_use_region"].sel(line_claimed="gepant", region="EU5")) * 0.35 - 0.4 + 0.3,
        *(0.0, 0.35),
    ),
    "spend_residual[implantable]": (
        assumption("spend_residual_sd", "value = 0.22", 'modality = "implantable"'),
        lambda draws: 0.25 * flat(draws["spend_residual_implantable_z"])[:, 0],
        *(0.0, 0.22),
    ),
    "region_premium[Japan]": (
        assumption("region_premium", "low = -0.3\nhigh = 0.3", 'region = "Japan"'),
        lambda draws: flat(draws["region_premium"].sel(region="Japan")),
        *from_range(-0.3, 0.3, 0.9, "normal"),
    ),
    "adoption[2035, non_invasive]": (  # correlated with the other levels
        '[[claim]]\nid = "adoption_2035"\nlow = 0.32\nhigh = 0.42\nreason = "x"\n',
        lambda draws: logit(flat(draws["adoption_level"].sel(anchor=2035))),
        *from_range(0.32, 0.42, 0.9, "logitnormal"),
    ),
    "region_premium_modality_sd": (
        assumption("region_premium_modality_sd", "value = 0.13"),
        lambda draws: 0.15 * flat(draws["region_premium_modality"])[:, 1, 1],
        *(0.0, 0.13),
    ),
    "price_noise[pharmacologic]": (
        assumption("price_noise", "value = 0.035", 'modality = "pharmacologic"'),
        lambda draws: 0.03 * flat(draws["price_noise_pharmacologic_z"])[:, 2],
        *(0.0, 0.035),
    ),
    "uptake between anchors[non_invasive]": (  # a Dirichlet, so of a share's sd alone
        assumption("adoption_path_concentration", "value = 28.0"),
        lambda draws: flat(draws["adoption_path_2035"])[:, 1],
        *(0.2, np.sqrt(0.2 * 0.8 / 29)),
    ),
    "adoption_direction[non_invasive]": (  # the first region's effect around the new centre, in its own sds
        assumption("uptake_region_size", "value = 0.2", 'modality = "non_invasive"'),
        lambda draws: (0.3 - 0.2) / flat(draws["adoption_region_sd"]) + flat(draws["adoption_region"])[:, 0],
        *(0.0, 1.0),
    ),
}
SHIFTED = {  # numbers whose cells one standard draw moves together, by as many of their sds
    "launch_year[pacap, United States] and 4 more": 0.5,
    "line_persistence[device, United States] and 4 more": -0.4,
}
HEAVY = assumption("pool_error", 'family = "student"')


@pytest.mark.slow
def test_what_bounds_a_launch_is_a_factor_of_its_own(bare: Run, tmp_path: Path) -> None:
    at: dict[str, Any] = {"year": None, "modality": "implantable", "log_sd": 0.5}
    bound = row(bare.priors, "study", 2031.0, "launch_not_before", **at)
    dated = row(bare.priors, "study", 2030.0, "launch_year", **at)
    other = bare.priors.with_evidence([*bare.priors.evidence, bound, dated])
    found = between(bare, restated(bare, other, tmp_path / "run"))
    assert not found.structure
    ratios = {factor.name: factor.log_ratio for factor in found.factors}
    draws = bare.read(["launch_year", "success"])
    start = flat(draws["launch_year"].sel(launch="implantable").min("region"))
    late = 1 / (1 + np.exp(-np.pi / np.sqrt(3) * (start - 2031.0) / 0.5))
    comes = flat(draws["success"].sel(launch="implantable"))
    assert ratios[bound.id][0] == pytest.approx(np.where(comes > 0, np.log(late), 0.0))
    assert ratios[dated.id][0] == pytest.approx(-(((start - 2030.0) / 0.5) ** 2) / 2)


@pytest.fixture(scope="module")
def factors(bare: Run, ledger: Ledger, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Factor]:
    """All of these changes at once: each factor is about its own."""
    folder = tmp_path_factory.mktemp("changed")
    other = changed(ledger, HEAVY + "".join(change for change, *_ in RATIOS.values()), folder)
    for number in elicited_numbers(other):
        other = shift_prior(other, number, SHIFTED.get(number.name, 0.0))
    found = between(bare, restated(bare, other, folder / "run"))
    assert not found.structure
    return {factor.name: factor for factor in found.factors}


def weights_by(factor: Factor) -> np.ndarray:
    weights = np.exp(factor.log_ratio[0] - factor.log_ratio[0].max())
    return np.asarray(weights / weights.sum())


def test_every_change_is_a_factor_and_nothing_else(factors: dict[str, Factor]) -> None:
    lines = {f"line_use_direction[{line}]" for line in ("toxin", "cgrp_antibody", "acute")}  # of one size
    assert set(factors) == {*RATIOS, *SHIFTED, *lines, "pool_error"}


@pytest.mark.parametrize("name", SHIFTED)
def test_numbers_that_move_together_are_one_factor(name: str, bare: Run, factors: dict[str, Factor]) -> None:
    number = next(n for n in elicited_numbers(bare.priors) if n.name == name)
    weights, block = weights_by(factors[name]), bare.priors.blocks[number.block]
    values = flat(bare.read([number.block])[number.block]).reshape(len(weights), -1)
    for k in (number.index, *number.beside):
        z = (LINK[block.priors[k].family][0](values[:, k]) - block.priors[k].mu) / block.priors[k].sd
        ess = 1 / (weights**2).sum()
        assert weights @ z == pytest.approx(SHIFTED[name], abs=4 / np.sqrt(ess))


def test_the_last_digit_of_another_processor_is_no_change(ledger: Ledger, tmp_path: Path) -> None:
    """Of a range and of a fixed number, which has no density to differ by."""
    fixed = changed(ledger, assumption("eligible_share", "value = 0.2", 'depth = "2"'), tmp_path)

    def nudged(prior: Prior) -> Prior:
        return replace(prior, mu=float(np.nextafter(prior.mu, np.inf)), sd=float(np.nextafter(prior.sd, 0)))

    blocks = {
        name: replace(block, priors=tuple(map(nudged, block.priors)))
        for name, block in fixed.blocks.items()
        if "eligible" in name or name == "line_list_price"
    }
    one = prior_run(fixed, tmp_path / "one", 200)
    found = between(one, restated(one, replace(fixed, blocks={**fixed.blocks, **blocks}), tmp_path / "other"))
    assert len(blocks) == 2
    assert any(prior.sd == 0 for block in blocks.values() for prior in block.priors)
    assert not found.factors
    assert not found.structure


def test_what_cannot_be_in_both_runs_asks_for_a_refit(bare: Run, ledger: Ledger, tmp_path: Path) -> None:
    """One of several numbers that one draw moves is another, or a number is fixed elsewhere."""
    earlier = assumption("launch_year", "low = 2028.0\nhigh = 2031.0", 'modality = "implantable"\nregion = "EU5"')
    fixed = assumption("depth_drift", "value = 0.01")
    found = between(bare, restated(bare, changed(ledger, earlier + fixed, tmp_path), tmp_path / "run"))
    assert not found.factors
    assert [text.split(" ")[0] for text in found.structure] == ["depth_drift", "launch_year[implantable,"]
    assert found.structure[0].endswith("-> 0.01")


@pytest.mark.slow
def test_prices_without_lines_are_factors(tmp_path: Path) -> None:
    market = other_market("five modalities").with_evidence([])
    stored = prior_run(market, tmp_path / "one", DRAWS)
    names, other = ("price[d]", "price[a]", "price_growth[2032, d]"), market
    for number in elicited_numbers(market):
        other = shift_prior(other, number, 0.4 if number.name in names else 0.0)
    found = {f.name: f for f in between(stored, restated(stored, other, tmp_path / "two")).factors}
    assert set(found) == set(names)
    price, anchors = stored.read(["price"])["price"], market.ledger.report.anchors
    first = {m.name: market.anchors(m)[0] for m in market.ledger.modalities}
    values = {f"price[{m}]": np.log(flat(price.sel(modality=m, year=first[m]))) for m in ("a", "d")}
    log = np.log(flat(price.sel(modality="d", year=list(anchors[-2:]))))
    values["price_growth[2032, d]"] = np.diff(log, axis=1)[:, 0] / (anchors[-1] - anchors[-2])
    priors = {prior.name: prior for block in market.blocks.values() for prior in block.priors}
    for name in names:
        weights = weights_by(found[name])
        z = (values[name] - priors[name].mu) / priors[name].sd
        assert weights @ z == pytest.approx(0.4, abs=4 * np.sqrt((weights**2).sum()))


def test_residuals_of_a_sold_modality_are_read_from_its_prior_density(pset: PriorSet) -> None:
    rng, sds = np.random.default_rng(2), np.array([0.15, 0.08, 0.08])
    z = rng.normal(size=(2, 50, 3))
    log = -(z**2) / 2 - np.log(sds) - np.log(2 * np.pi) / 2
    density = {
        f"log_stated_revenue_{year}": DataArray(
            log[..., k : k + 1], {f"sold_{year}": ["pharmacologic"]}, ("chain", "draw", f"sold_{year}")
        )
        for k, year in enumerate(pset.ledger.report.anchors)
    }
    constants = Dataset({"spend_residual_pharmacologic_sd": ("anchor_pharmacologic", sds)})
    run = Run.in_memory(DataTree.from_dict({"log_prior": Dataset(density)}), pset)
    side = Side(run, pset, Dataset(), constants)
    found = prior_factors._squares(side, pset.ledger.modalities[0])
    assert found is not None
    assert found == pytest.approx(z.reshape(-1, 3) ** 2)


@pytest.mark.parametrize("name", RATIOS)
def test_a_factor_turns_one_prior_into_the_other(name: str, bare: Run, factors: dict[str, Factor]) -> None:
    _, read, mu, sd = RATIOS[name]
    weights, x = weights_by(factors[name]), read(bare.read(bare.names()))
    ess = 1 / (weights**2).sum()
    assert ess > 300
    assert weights @ x == pytest.approx(mu, abs=4 * sd / np.sqrt(ess))
    assert np.sqrt(weights @ (x - weights @ x) ** 2) == pytest.approx(sd, rel=4 / np.sqrt(2 * ess))
    assert abs(x.mean() - mu) > 4 * x.std() / np.sqrt(len(x)) or abs(x.std() / sd - 1) > 0.05  # it was another one


def test_heavy_tails_are_a_factor(bare: Run, factors: dict[str, Factor]) -> None:
    weights, x = weights_by(factors["pool_error"]), flat(bare.read(["pool_error"])["pool_error"])
    assert weights @ (abs(x) < 0.2) == pytest.approx(0.9, abs=0.02)  # the range holds what it held
    assert weights @ (abs(x) < 0.05) > np.mean(abs(x) < 0.05) + 0.02  # and the middle more


@pytest.mark.slow
def test_trust_and_every_row_are_factors(pset: PriorSet, ledger: Ledger, tmp_path: Path) -> None:
    extra = [row(pset, "actuals", 455, year=2026), row(pset, ledger.report.id, 560, year=2028)]
    kept = [replace(r, value=500.0) if r.id == "revenue_pharmacologic_2035" else r for r in pset.evidence]
    dropped = kept.pop()
    second = prior_set(ledger, turned={"trust": "low"}).with_evidence([*kept, *extra])
    one, other = prior_run(pset, tmp_path / "one", DRAWS), prior_run(second, tmp_path / "other", DRAWS)
    between_them = between(one, other)
    found = {f.name: f for f in between_them.factors}
    assert set(found) == {extra[0].id, "revenue_pharmacologic_2035", "trust: smr"}
    assert found[extra[0].id].change.endswith("added")
    # What the report's own rows are about is in the draws of a run that has them, and in no other's.
    assert between_them.structure == [f"{dropped.id} dropped", f"{extra[1].id} added"]
    # In prior draws the error is the prior's: weighted by trust alone it is the other prior's.
    backward = -found["trust: smr"].log_ratio[1]
    weights = np.exp(backward - backward.max())
    error = flat(other.read(["source_error"])["source_error"].sel(source_year=[2025, 2030, 2035]))
    mean = weights @ error / weights.sum()
    sd = np.sqrt(weights @ (error - mean) ** 2 / weights.sum())
    assert sd == pytest.approx(pset.vendor_log_sd([2025, 2030, 2035]), rel=0.1)
    # The changed row's factor is its likelihood ratio, given the error that the draws hold.
    draws = one.read(["evidence_log_mean"])["evidence_log_mean"]
    mean = flat(draws.sel(evidence_row="revenue_pharmacologic_2035"))
    expected = -((np.log(500) - mean) ** 2 - (np.log(560) - mean) ** 2) / 2 / 0.05**2
    assert np.allclose(found["revenue_pharmacologic_2035"].log_ratio[0], expected, atol=1e-6)


def test_revenue_follows_the_claims_that_differ(pset: PriorSet, ledger: Ledger, tmp_path: Path) -> None:
    """The report multiplies its own patients and adoption: with other claims the same draws expect other rows."""
    change = '[[claim]]\nid = "{}"\nlow = {}\nhigh = {}\nreason = "x"\n'
    path = tmp_path / "claims.toml"
    text = change.format("adoption_2035", 0.32, 0.42) + change.format("adoption_2030", 0.23, 0.29)
    path.write_text(f'schema = 1\nname = "other"\nsays = "x"\n{text}', encoding="utf-8")
    second = prior_set(ledger, load_overlay(path))
    one, other = prior_run(pset, tmp_path / "one", 200), prior_run(second, tmp_path / "other", 200)
    found = {f.name: f for f in between(one, other).factors}
    assert set(found) == {"adoption[2030, non_invasive] and 1 more", FUNNEL}
    for k, (run, back) in enumerate(((one, second), (other, pset))):
        draws, sign = run.read(run.names()), (1, -1)[k]
        ratio = funnel_ratio(draws, run.priors, back)
        assert ratio is not None
        assert np.ptp(ratio) > 1
        assert found[FUNNEL].log_ratio[k] == pytest.approx(sign * ratio)


# ---- comparing runs ------------------------------------------------------------------------------------------------


def test_a_run_and_itself_do_not_differ(bare: Run) -> None:
    found = compare(bare, bare)
    assert (found.why["factor"] == _REST).all()
    assert found.why["moves"].abs().max() < 1e-9
    assert not found.refused


def test_contributions_add_up_to_what_moved(bare: Run, ledger: Ledger, tmp_path: Path) -> None:
    overlay = assumption("line_price_common", "low = -0.05\nhigh = 0.2")
    overlay += assumption("pool_error", "low = -0.1\nhigh = 0.2")
    second = prior_run(changed(ledger, overlay, tmp_path), tmp_path / "second", DRAWS, seed=8)
    found = compare(bare, second)
    by = ["quantity", "year", "modality"]
    sides: Any = dict(list(found.moved.fillna({"modality": ""}).groupby(by)))
    for label, part in found.why.fillna({"modality": ""}).groupby(by):
        last = part.iloc[-1]
        before, after = sides[label].itertuples()
        assert [before.state, after.state] == ["before", "after"]
        assert part["moves"].sum() == pytest.approx(after.mean - before.mean, rel=1e-9)
        assert part["widens"].sum() == pytest.approx(after.sd - before.sd, rel=1e-9)
        assert last["factor"] == _REST
        assert abs(last["moves"]) < 4 * last["moves_mcse"]
        assert set(part["factor"]) == {"line_price_common", "pool_error", _REST}


@pytest.mark.slow
def test_correlations_between_priors_are_a_factor(bare: Run, tmp_path: Path) -> None:
    """In prior draws, what goes up together widens the total, and nothing else does."""
    row = PriorCorrelation("pool_error", "line_price_common", 0.6, "test", "why")
    second = prior_run(replace(bare.priors, correlations=(row,)), tmp_path / "second", DRAWS, seed=8)
    for pair, told in (((bare, second), "none -> pool"), ((second, bare), "common 0.6 -> none")):
        found = compare(*pair)
        assert not found.structure
        total: Any = found.why[(found.why["quantity"] == "revenue_total") & found.why["modality"].isna()]
        own, rest = (total[total["factor"] == name].iloc[-1] for name in ("correlations between priors", _REST))
        assert told in own["change"]
        assert abs(own["widens"]) > 4 * own["widens_mcse"]
        assert (own["widens"] > 0) == (pair[0] is bare)
        assert abs(rest["widens"]) < 4 * rest["widens_mcse"]


@pytest.mark.slow
def test_what_no_ratio_expresses_is_said(pset: PriorSet, bare: Run, ledger: Ledger, tmp_path: Path) -> None:
    scope = prior_set(ledger, turned={"adoption_scope": "with_launched"}).with_evidence([])
    found = compare(bare, restated(bare, scope, tmp_path / "scope"))
    assert found.structure == ("adoption_scope alone -> with_launched",)
    assert (found.why["change"] == found.structure[0]).all()
    later = assumption("vendor_launch_year", "low = 2031.0\nhigh = 2033.0")
    launch = changed(ledger, later, tmp_path, leave_out=("revenue_implantable_2030",))
    said = compare(bare, restated(bare, launch, tmp_path / "launch")).structure
    assert "first anchor of implantable 2030 -> 2035" in said
    priced = changed(ledger, assumption("line_price_year", "value = 2025"), tmp_path)
    assert compare(bare, restated(bare, priced, tmp_path / "priced")).structure == ("line_price_year",)
    ranges = [assumption(name, "low = 0.1\nhigh = 0.5") for name in ("price_noise", "uptake_region_size")]
    ranged = restated(bare, changed(ledger, "".join(ranges), tmp_path), tmp_path / "ranged")
    names = [f"price_noise[{m.name}]" for m in ledger.modalities]
    names += [f"uptake_region_size[{name}]" for name in ("non_invasive", "implantable")]
    assert sorted(compare(bare, ranged).structure) == sorted(f"{name} a number -> a range" for name in names)
    assert compare(ranged, bare).structure[0].endswith(" a range -> a number")
    modalities = tuple(m.model_copy(update={"vendor_assumes": "expectation"}) for m in ledger.modalities)
    other = replace(bare.priors, ledger=ledger.model_copy(update={"modalities": modalities}))
    found = compare(bare, restated(bare, other, tmp_path / "expectation"))
    assert "vendor_assumes of implantable success -> expectation" in found.structure


def test_runs_that_hardly_overlap_are_not_explained(bare: Run, ledger: Ledger, tmp_path: Path) -> None:
    far = changed(ledger, assumption("line_price_common", "low = 1.0\nhigh = 1.05"), tmp_path)
    found = compare(bare, prior_run(far, tmp_path / "far", 200))
    assert "hardly overlap" in found.refused
    assert (found.why["factor"] == _REST).all()


def test_other_markets_and_currencies(bare: Run, tmp_path: Path) -> None:
    market = other_market("as it is")
    other = prior_run(market, tmp_path / "other", 50)
    with pytest.raises(InputError, match="compare runs of one market"):
        compare(bare, other)
    with pytest.raises(InputError, match="compare runs of one"):
        compare(other, prior_run(prior_set_of(CHANGES["euros"]), tmp_path / "euros", 20))
    two = compare(other, prior_run(prior_set_of(CHANGES["one region"]), tmp_path / "one", 50))
    assert two.structure == (ANOTHER,)
    assert (two.why["factor"] == _REST).all()


@pytest.mark.parametrize("name", variants(["only everyone", "five modalities"], stay=1))
def test_any_market_is_compared(name: str, tmp_path: Path) -> None:
    market = other_market(name)
    total = row(market, "actuals", 900, log_sd=1.0)
    second = market.with_evidence([*market.evidence, total])
    found = compare(prior_run(market, tmp_path / "one"), prior_run(second, tmp_path / "two", seed=8))
    assert set(found.why["factor"]) == {total.id, _REST}
    part, means, year = last_total(found)
    assert year == market.ledger.years[-1]
    rows = waterfall(part, means, ("one", "two"), f"Total revenue {year}, USD million")["data"]["values"]
    assert (rows[0]["bar"], rows[-1]["bar"]) == ("one", "two")
    assert (rows[0]["to"], rows[-1]["to"]) == means
    assert rows[-2]["to"] == pytest.approx(means[1])
    assert len({row["bar"] for row in rows}) == len(rows)


def test_files_name_both_runs(bare: Run, tmp_path: Path) -> None:
    found, out = compare(bare, bare), tmp_path / "out"
    save_comparison(found, bare, bare, out)
    save_comparison(found, bare, bare, out)
    names = {"compare.csv", "moved.csv", "waterfall.png", "waterfall.svg", "manifest.json"}
    assert {path.name for path in out.iterdir()} == names
    record = json.loads((out / "manifest.json").read_text())
    assert [run["recipe_sha256"] for run in record["runs"]] == [bare.priors.fingerprint()] * 2
    with pytest.raises(InputError, match="holds other files"):
        save_comparison(found, bare, bare, bare.folder)


@pytest.mark.slow
def test_small_parts_are_one_bar(bare: Run, ledger: Ledger, tmp_path: Path) -> None:
    ids = ("pool_error", "patient_growth", "depth_drift", "moh_effect", "payer_brake", "line_price_common")
    wider = changed(ledger, "".join(assumption(name, "spread = 1.2") for name in ids), tmp_path)
    other = prior_run(wider.with_evidence([]), tmp_path / "wider", DRAWS)
    why = compare(bare, other).why
    part = why[(why["quantity"] == "revenue_total") & (why["year"] == 2035)]
    few = leading(part, 3)
    assert len(few) <= 5
    assert few["moves"].sum() == pytest.approx(part["moves"].sum())
    assert few["factor"].iloc[-2].endswith("others")


# ---- real posteriors -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_contributions_agree_with_refits(pset: PriorSet, ledger: Ledger, run: DataTree, tmp_path: Path) -> None:
    """Alone, a change's contribution is what a refit of it moves; together nothing is left over."""
    vendor, trust = row(pset, "vendor: second", 500), prior_set(ledger, turned={"trust": "low"})
    growth = changed(ledger, assumption("depth_drift", "low = 0.0\nhigh = 0.08"), tmp_path)

    def fitted(name: str, other: PriorSet) -> Run:
        made = sample(build_model(other), Sampling(seed=3))
        constants = made["constant_data"].to_dataset()
        return write(other, tmp_path / name, made["posterior"].to_dataset(), constants)

    first = write(pset, tmp_path / "first", run["posterior"].to_dataset(), run["constant_data"].to_dataset())
    together = replace(growth, trust=trust.trust).with_evidence([*pset.evidence, vendor])
    together = replace(together, settings=replace(together.settings, trust="low"))
    for name, other, factors in (
        ("vendor", pset.with_evidence([*pset.evidence, vendor]), {vendor.id}),
        ("growth", growth.with_evidence(pset.evidence), None),
        ("together", together, None),
    ):
        found: Comparison = compare(first, fitted(name, other))
        rest: Any = found.why[found.why["factor"] == _REST]
        assert (rest["moves"].abs() < 4 * rest["moves_mcse"]).all()
        assert (rest["widens"].abs() < 4 * rest["widens_mcse"]).all()
        if factors is not None:
            assert set(found.why["factor"]) == {*factors, _REST}
