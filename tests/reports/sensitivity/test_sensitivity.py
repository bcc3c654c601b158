"""Sensitivity: moves, conflicts and flips against closed forms; what a user may ask for; the whole command (slow)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, ndtr, ndtri
from xarray import DataArray, Dataset, DataTree

from postcgrp.inference import enable_cache
from postcgrp.inference.sampling import _dataset, _Evaluator
from postcgrp.models import build_model
from postcgrp.models.standard import standard_of
from postcgrp.priors import InputError, PriorSet, effective, load_ledger
from postcgrp.priors.changes import Change
from postcgrp.priors.elicit import LINK
from postcgrp.priors.sets import Overlay, prior_set
from postcgrp.reports.cli.sensitivity import strongest
from postcgrp.reports.forecast.pipeline import forecast
from postcgrp.reports.runs.run import Run
from postcgrp.reports.sensitivity import study as command
from postcgrp.reports.sensitivity import tornado
from postcgrp.reports.sensitivity.figures import tornado_and_views
from postcgrp.reports.sensitivity.flip import Flip, Point, flip_table, next_try, parse_flip, solve
from postcgrp.reports.sensitivity.leave_out import (
    LeftOut,
    claims_left_out,
    conflicts,
    influence,
    note_on_unused_claims,
    variables_for_conflicts,
)
from postcgrp.reports.sensitivity.moves import FARTHEST
from postcgrp.reports.sensitivity.refits import Refit
from postcgrp.reports.sensitivity.study import sensitivity
from postcgrp.reports.sensitivity.tornado import (
    END_SDS,
    ElicitedNumber,
    conditional_means,
    draws_of_number,
    elicited_numbers,
    log_ratio,
    numbers_not_moved,
    shift_prior,
    shifted_sets,
    tornado_table,
)
from postcgrp.reports.sensitivity.variants import TOGETHER, crossed, parse_vary, sets, skipped
from postcgrp.tests.helpers.blueprints import forecast_target
from postcgrp.tests.helpers.paths import OTHER_MARKET
from postcgrp.tests.helpers.variants import variants

pytestmark = pytest.mark.fit

CHAINS, DRAWS = 4, 1000


@pytest.fixture(scope="module")
def other() -> PriorSet:
    return effective(load_ledger(OTHER_MARKET / "report.toml", OTHER_MARKET / "assumptions.toml"))


def by_name(pset: PriorSet) -> dict[str, ElicitedNumber]:
    return {number.name: number for number in elicited_numbers(pset)}


# ---- moves -----------------------------------------------------------------------------------------------------------


def test_every_elicited_number_can_be_moved_and_nothing_else_moves(pset: PriorSet) -> None:
    every = [(block.name, k) for block in pset.blocks.values() for k in range(len(block.priors))]
    of = [number for number in elicited_numbers(pset) if number.kind == "prior"]
    fixed = [(number.block, number.index) for number in numbers_not_moved(pset)]
    assert fixed == [("eligible_share", 0)]
    moved = [(number.block, k) for number in of for k in (number.index, *number.beside)]
    assert sorted(moved + fixed) == sorted(every)
    assert len({number.name for number in of}) == len(of)
    for number in elicited_numbers(pset):
        new = shift_prior(pset, number, 0.5)
        if number.kind == "prior":
            changed = [
                (block.name, k)
                for block in pset.blocks.values()
                for k, (a, b) in enumerate(zip(block.priors, new.blocks[block.name].priors, strict=True))
                if (a.mu, a.sd) != (b.mu, b.sd)
            ]
            assert changed == [(number.block, k) for k in (number.index, *number.beside)]
            for _, k in changed:
                before, prior = (one.blocks[number.block].priors[k] for one in (pset, new))
                assert prior.mu - before.mu == pytest.approx(0.5 * before.sd)
                assert prior.sd == before.sd
            prior = new.blocks[number.block].priors[number.index]
            assert float(prior.quantile(0.5)) == pytest.approx(number.value(0.5))
            assert number.value(END_SDS) == pytest.approx(float(number.prior.quantile(0.9)))
        assert new.evidence == pset.evidence


def test_cells_of_one_standard_draw_are_one_number(pset: PriorSet) -> None:
    names = by_name(pset)
    assert len(names["launch_year[pacap, United States] and 4 more"].beside) == 4
    assert names["eligible_share[implantable, 2] and 1 more"].beside == (2,)  # the first depth's is fixed
    assert names["line_list_price[toxin, EU5]"].beside == ()  # each region has a draw of its own


def test_the_reports_error_moves_by_its_own_sd(pset: PriorSet) -> None:
    base, drift = elicited_numbers(pset)[-2:]
    source, years = pset.ledger.report.id, [pset.ledger.years[0], pset.ledger.years[-1]]
    first, last = pset.source_log_sd(source, years)
    before = pset.source_log_bias(source, years)
    assert shift_prior(pset, base, 2).source_log_bias(source, years) - before == pytest.approx([2 * first, 2 * first])
    assert shift_prior(pset, drift, 2).source_log_bias(source, years) - before == pytest.approx(
        [0, 2 * np.sqrt(last**2 - first**2)]
    )


def test_a_move_against_the_order_is_refused_and_left_out(pset: PriorSet, monkeypatch: pytest.MonkeyPatch) -> None:
    number = by_name(pset)["adoption[2030, non_invasive]"]
    with pytest.raises(InputError, match="must not fall"):
        shift_prior(pset, number, 12)
    fixed = numbers_not_moved(pset)[0]
    assert list(shifted_sets(pset, [number, fixed])) == [f"{number.name} low", f"{number.name} high"]
    monkeypatch.setattr(tornado, "END_SDS", 12)
    assert list(shifted_sets(pset, [number])) == []


@pytest.fixture(scope="module")
def prior_run(pset: PriorSet) -> tuple[DataTree, Any, Any]:
    """Prior draws in the form of a run's posterior, the same as vectors, and the model's log density.

    By the programs of a forecast, which are stored where one was made.
    """
    enable_cache()
    target = forecast_target(pset)
    points = target.prior(CHAINS * DRAWS, 3)
    found = _Evaluator(target)(points, (CHAINS, DRAWS), 3)["posterior"]
    return DataTree.from_dict({"posterior": _dataset(target, found, ("chain", "draw"))}), points, target.density


MOVED = (
    "adoption[2030, non_invasive]",  # which the report's revenue follows
    *("pool_error", "line_list_price[toxin, Japan]", "vendor_build_up", "success_probability[pacap]"),
    *("launch_year[implantable, United States] and 4 more", "line_use[gepant]"),
    "patients[Japan]",  # and this one
    *("payer_block", "region_premium[EU5]", "region_premium[United States]", "patient_growth[2030]"),
    *("line_drift[toxin, 2035]", "line_price_common", "moh"),
    *("line_persistence[device, United States] and 4 more", "eligible_share[implantable, 2] and 1 more"),
)


@pytest.mark.parametrize("name", variants(MOVED, stay=1))
def test_the_density_ratio_of_a_move_is_the_models_own(
    pset: PriorSet, prior_run: tuple[DataTree, Any, Any], name: str
) -> None:
    """The same quantities, prices included, under the model of the shifted set: its standard draws are others."""
    run, vectors, dense = prior_run
    number, chosen = by_name(pset)[name], slice(None, None, 500)
    to = shift_prior(pset, number, 0.7)
    data = {v.name: v.get_value() for v in build_model(to).data_vars}
    data["modality_value_share"] = dense.data["modality_value_share"]  # names a change of variable, no distribution
    old, posterior = vectors[chosen], run["posterior"].to_dataset().stack(s=("chain", "draw")).isel(s=chosen)
    new = {key: np.array(values) for key, values in dense.flat.split(old).items()}
    before, after = standard_of(pset, number.block), standard_of(to, number.block)
    scale = 1.0
    if before is not None and after is not None:
        z = f"{number.block}_z"
        score = before.scores(new[z]) - 0.7 * np.any(before.cells == number.index, axis=-1)
        new[z] = score if after.cholesky is None else score @ np.linalg.inv(after.cholesky).T
        if before.cholesky is not None and after.cholesky is not None:
            scale = float(np.prod(np.diag(before.cholesky) / np.diag(after.cholesky)))
    levels = [np.log([p.quantile(0.5) for p in one.blocks["adoption_level"].priors]) for one in (pset, to)]
    patients = [np.log(np.exp([p.mu for p in one.blocks["region_patients"].priors]).sum()) for one in (pset, to)]
    for k, year in enumerate(pset.ledger.report.anchors):  # stated revenue at the same price
        by = [patients[1] - patients[0], patients[1] - patients[0] + levels[1][k] - levels[0][k]]
        new[f"log_stated_revenue_{year}"] = new[f"log_stated_revenue_{year}"] + np.multiply.outer(
            posterior["vendor_build_up"].values, by
        )
    points = zip(dense.flat.join(new), old, strict=True)
    expected = [float(dense.logp(x, data)) - float(dense.logp(y, dense.data)) for x, y in points]
    ratio = log_ratio(run, pset, number, to)
    assert ratio is not None
    assert ratio.ravel()[chosen] == pytest.approx(np.array(expected) + np.log(scale), abs=1e-5)
    assert np.ptp(expected) > 0.01


@pytest.mark.parametrize("name", ["moh", "patient_growth[2035]", "line_net_ratio[device, Japan]"])
def test_weights_move_one_level_of_a_coupled_block(
    pset: PriorSet, prior_run: tuple[DataTree, Any, Any], name: str
) -> None:
    run, _, _ = prior_run
    number = by_name(pset)[name]
    block, to = pset.blocks[number.block], shift_prior(pset, number, 0.4)
    ratio = log_ratio(run, pset, number, to)
    assert ratio is not None
    weights = np.exp(ratio).ravel() / np.exp(ratio).sum()
    found = standard_of(pset, number.block)
    assert found is not None
    z = run["posterior"].to_dataset()[f"{number.block}_z"].values
    mean = weights @ found.scores(z.reshape(CHAINS * DRAWS, *z.shape[2:])).reshape(CHAINS * DRAWS, -1)
    expected = np.eye(len(block.priors))[number.index] * 0.4
    worth = 1 / (weights**2).sum()
    assert np.abs(mean - expected).max() < 4 / np.sqrt(worth)
    assert weights.size * np.exp(ratio).mean() == pytest.approx(weights.size, rel=0.1)


def test_weights_move_the_reports_error(pset: PriorSet, prior_run: tuple[DataTree, Any, Any]) -> None:
    run, _, _ = prior_run
    for number in elicited_numbers(pset)[-2:]:
        ratio, error = log_ratio(run, pset, number, shift_prior(pset, number, 0.5)), draws_of_number(run, pset, number)
        assert ratio is not None
        assert error is not None
        shift = (np.exp(ratio) * np.log(error)).mean() - np.log(error).mean()
        assert shift == pytest.approx(0.5 * number.prior.sd, abs=5 * number.prior.sd / np.sqrt(error.size))
        assert np.log(error).std() == pytest.approx(number.prior.sd, rel=0.05)


def test_drawn_inputs_have_their_priors(pset: PriorSet, prior_run: tuple[DataTree, Any, Any]) -> None:
    run, _, _ = prior_run
    found = {number.name: draws_of_number(run, pset, number) for number in elicited_numbers(pset)}
    checked = 0
    for number in elicited_numbers(pset):
        draws = found[number.name]
        if draws is None or number.kind != "prior":
            continue
        score = (LINK[number.prior.family][0](draws) - number.prior.mu) / number.prior.sd
        assert abs(score.mean()) < 5 / np.sqrt(score.size), number.name
        assert score.std() == pytest.approx(1, abs=0.07), number.name
        checked += 1
    assert checked > 150


def test_what_learning_an_input_does_to_dependent_draws(pset: PriorSet, prior_run: tuple[DataTree, Any, Any]) -> None:
    run, _, _ = prior_run
    number = by_name(pset)["pool_error"]
    values = draws_of_number(run, pset, number)
    assert values is not None
    outcome = 100 + 10 * (values - values.mean()) / values.std()
    found = conditional_means(run, pset, number, outcome)
    tail = np.exp(-(ndtri(0.9) ** 2) / 2) / np.sqrt(2 * np.pi) / 0.1  # mean of a unit normal above its 90 % point
    assert found["learned_high"] == pytest.approx(100 + 10 * tail, abs=0.6)
    assert found["learned_low"] == pytest.approx(100 - 10 * tail, abs=0.6)


# ---- flips -----------------------------------------------------------------------------------------------------------


def refit(total: np.ndarray, year: int, shares: tuple[float, float] = (0.7, 0.3)) -> Refit:
    by = total[..., None, None] * np.array(shares)
    return Refit(
        Dataset(
            {
                "revenue_total": (("chain", "draw", "year"), total[..., None]),
                "revenue_modality": (("chain", "draw", "anchor", "modality"), by),
            },
            {"year": [year], "anchor": [year], "modality": ["a", "b"]},
        )
    )


@given(at=st.floats(-1.5, 1.5), slope=st.floats(0.1, 1.0), level=st.floats(0.2, 0.8), down=st.booleans())
def test_a_flip_is_where_a_probit_line_meets_the_level(at: float, slope: float, level: float, *, down: bool) -> None:
    slope = -slope if down else slope
    truth = (float(ndtri(level)) - at) / slope
    points = tuple(Point(d, float(ndtr(at + slope * d)), 1e-3) for d in (0.0, -END_SDS, END_SDS, 2.0, -0.5))
    found = solve([p for p in points if 1e-3 < p.p < 1 - 1e-3], level)
    if abs(truth) < FARTHEST - 0.01:
        assert found is not None
        assert found[0] == pytest.approx(truth, abs=0.02)
    if abs(truth) > FARTHEST + 0.01:
        assert found is None


def test_a_search_ends_at_both_ends() -> None:
    flat = (Point(0.0, 0.4, 0.01), Point(-END_SDS, 0.4, 0.01), Point(END_SDS, 0.41, 0.01))
    first = next_try(flat, 0.9)
    assert first == FARTHEST
    second = next_try((*flat, Point(FARTHEST, 0.41, 0.01)), 0.9)
    assert second == -FARTHEST
    assert next_try((*flat, Point(FARTHEST, 0.41, 0.01), Point(-FARTHEST, 0.4, 0.01)), 0.9) is None
    assert next_try((*flat, Point(1.0, 0.891, 0.01)), 0.9) is None


def test_flips_are_found_where_refits_put_them(pset: PriorSet, prior_run: tuple[DataTree, Any, Any]) -> None:
    last = "line_drift[gepant, 2035]"
    names = ("patient_growth[2035]", "pool_error", "moh", last)
    slope = dict(zip(names, (30.0, -20.0, 0.0, 4.0), strict=True))
    noise = np.random.default_rng(1).standard_normal((CHAINS, DRAWS))
    of = [by_name(pset)[name] for name in names]
    posterior = prior_run[0]["posterior"].to_dataset()
    total = DataArray(np.tile((850 + 50 * noise)[..., None], len(pset.ledger.years)), dims=("chain", "draw", "year"))
    run = DataTree.from_dict({"posterior": posterior.assign(revenue_total=total.assign_coords(year=posterior["year"]))})
    rng, calls = np.random.default_rng(2), []

    def fit(asked: Mapping[str, PriorSet]) -> dict[str, Refit]:
        calls.append(list(asked))
        out = {}
        for name, to in asked.items():
            number = by_name(pset)[name]
            sds = (to.blocks[number.block].priors[number.index].mu - number.prior.mu) / number.prior.sd
            draws = 850 + slope[name] * sds + 50 * rng.standard_normal((CHAINS, DRAWS))
            every = DataArray(draws, dims=("chain", "draw")).expand_dims(year=list(pset.ledger.years))
            fitted = Refit(Dataset({"revenue_total": every}))
            out[name] = Refit(Dataset(), "missed the gate") if name == "moh" and sds < 0 else fitted
        return out

    table: Any = flip_table(run, pset, Flip(870.0, 0.5), of, {}, fit).set_index("input")
    for name in names[:2]:
        assert table.loc[name, "outcome"] == "flips"
        assert abs(table.loc[name, "flips_at_sds"] - 20 / slope[name]) < 4 * table.loc[name, "se"]
        assert table.loc[name, "value"] == pytest.approx(by_name(pset)[name].value(table.loc[name, "flips_at_sds"]))
    assert table.loc[last, "outcome"] == "no change within 3 prior sds flips it"
    assert table.loc[last, "p"] == pytest.approx(float(ndtr(-8 / 50)), abs=0.04)
    assert np.isnan(table.loc[last, "flips_at_sds"])
    assert "missed the gate" in table.loc["moh", "outcome"]
    already = flip_table(run, pset, Flip(850.0, 0.5), of, {}, fit)
    assert set(already["outcome"]) == {"already there, within Monte-Carlo error"}


@pytest.mark.parametrize("text", ["870", "870:", "870:1.5", "-3:0.5", "a:b", "870:0.5:1", "nan:0.5"])
def test_a_flip_that_is_none_gets_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"such as 1000:0\.5"):
        parse_flip(text)


# ---- claims ----------------------------------------------------------------------------------------------------------


def test_every_claim_that_is_used_is_left_out_once(pset: PriorSet, other: PriorSet) -> None:
    for one in (pset, other):
        claims, forbidden = claims_left_out(one)
        used = [claim.id for claim in one.ledger.claims if claim.role in ("prior", "evidence")]
        assert [left.id for left in claims] + list(forbidden) == used
    assert "11 with role check" in note_on_unused_claims(pset)
    part = effective(pset.ledger, replace(pset.settings, leave_out=("revenue_2030",)))
    assert "revenue_2030" not in [left.id for left in claims_left_out(part)[0]]


def test_rows_of_files_are_left_out_too(pset: PriorSet) -> None:
    row = replace(pset.evidence[0], id="mine", source="vendor: other", value=640.0)
    claims, _ = claims_left_out(pset.with_evidence([*pset.evidence, row]))
    mine = next(left for left in claims if left.id == "mine")
    assert mine.without.evidence == pset.evidence
    assert all("mine" in [e.id for e in left.without.evidence] for left in claims if left.id != "mine")


def test_conflict_has_its_closed_form(pset: PriorSet) -> None:
    rng = np.random.default_rng(4)
    claims = {left.id: left for left in claims_left_out(pset)[0]}
    row = next(row for row in pset.evidence if row.id == "revenue_2030")
    prior = next(p for p in pset.blocks["adoption_level"].priors if "2035" in p.name)
    index = list(pset.blocks["adoption_level"].priors).index(prior)
    mean, sd = np.log(row.value) + 0.3, 0.2
    logs = mean + sd * rng.standard_normal((CHAINS, DRAWS, 1))
    levels = np.full((CHAINS, DRAWS, 3), 0.2)
    levels[..., index] = 1 / (1 + np.exp(-(prior.mu - 0.5 + 0.1 * rng.standard_normal((CHAINS, DRAWS)))))
    draws = Dataset(
        {
            "evidence_log_mean": (("chain", "draw", "evidence_row"), logs),
            "adoption_level": (("chain", "draw", "anchor"), levels),
        },
        {"evidence_row": [row.id]},
    )
    chosen = [claims["revenue_2030"], claims["adoption_2035"]]
    table: Any = conflicts(pset, chosen, {left.id: Refit(draws) for left in chosen}).set_index("claim")
    expected = 2 * ndtr(-0.3 / np.hypot(sd, row.log_sd))
    assert table.loc["revenue_2030", "p"] == pytest.approx(expected, abs=4 * table.loc["revenue_2030", "p_se"])
    assert table.loc["revenue_2030", "p_centre"] == pytest.approx(2 * ndtr(-0.3 / sd), abs=0.03)
    assert table.loc["revenue_2030", "median"] == pytest.approx(np.exp(mean), rel=0.03)
    expected = 2 * ndtr(-0.5 / np.hypot(0.1, prior.sd))
    assert table.loc["adoption_2035", "p"] == pytest.approx(expected, abs=4 * table.loc["adoption_2035", "p_se"])
    assert table.loc["adoption_2035", "inside"] < 0.05
    assert table.loc["adoption_2035", "above"] == 0


def test_a_claim_that_nothing_else_informs_has_nothing_to_compare_with(pset: PriorSet) -> None:
    """The draws without it are those of the vague prior in its place; p would only compare the claim with that."""
    left = next(one for one in claims_left_out(pset)[0] if one.id == "adoption_2035")
    vague = left.without.blocks["adoption_level"].priors
    index = next(k for k, p in enumerate(vague) if "2035" in p.name)
    scores = ndtri((np.random.default_rng(2).permutation(CHAINS * DRAWS) + 0.5) / (CHAINS * DRAWS))
    levels = np.full((CHAINS, DRAWS, len(vague)), 0.2)

    def verdict(width: float) -> Any:
        levels[..., index] = expit(vague[index].mu + width * vague[index].sd * scores).reshape(CHAINS, DRAWS)
        draws = Dataset({"adoption_level": (("chain", "draw", "anchor"), levels)})
        return conflicts(pset, [left], {left.id: Refit(draws)}).iloc[0]

    nothing = verdict(1.0)
    assert nothing["verdict"] == "nothing to compare with"
    assert np.isnan(nothing["p"])
    assert abs(nothing["informed"]) < 0.01
    compared = verdict(0.3)
    assert compared["verdict"] in ("agrees", "disagrees")
    assert compared["informed"] == pytest.approx(1 - 0.3**2, abs=0.01)
    assert 0 < compared["notices"] < nothing["notices"]


def test_a_direction_is_judged_by_its_sign(pset: PriorSet) -> None:
    left = next(one for one in claims_left_out(pset)[0] if one.id == "adoption_direction_eu5")
    regions = pset.coords["region"]
    effect = np.zeros((CHAINS, DRAWS, len(regions)))
    effect[:, :750, regions.index("EU5")] = -1
    effect[:, 750:, regions.index("EU5")] = 3
    draws = Dataset(
        {
            "adoption_region": (("chain", "draw", "region"), effect),
            "adoption_region_sd": (("chain", "draw"), np.ones((CHAINS, DRAWS))),
        },
        {"region": regions},
    )
    assert {"adoption_region", "adoption_region_sd", "adoption_level", "evidence_log_mean"} <= set(
        variables_for_conflicts(pset)
    )
    table: Any = conflicts(pset, [left], {left.id: Refit(draws)})
    assert table["p"][0] == pytest.approx(0.75)


def test_a_direction_of_a_line_is_judged_by_its_sign(pset: PriorSet) -> None:
    claims = {one.id: one for one in claims_left_out(pset)[0]}
    lines, regions = pset.coords["line_claimed"], pset.coords["region"]
    z = np.zeros((CHAINS, DRAWS, len(lines), len(regions)))
    z[:, :600, lines.index("gepant"), regions.index("EU5")] = -1
    z[:, 600:, lines.index("gepant"), regions.index("EU5")] = 9
    of = ("chain", "draw", "line_claimed", "region")
    draws = Dataset({"line_use_region": (of, z)}, {"line_claimed": lines, "region": regions})
    assert "line_use_region" in variables_for_conflicts(pset)
    left = claims["line_use_direction_eu5_gepant"]
    table: Any = conflicts(pset, [left], {left.id: Refit(draws)})
    assert table["p"][0] == pytest.approx(0.6)
    depth = claims["line_use_direction_depth_acute"]  # depths have no deviations that could say anything of it
    assert "p" not in conflicts(pset, [depth], {depth.id: Refit(draws)})


def test_a_direction_is_judged_by_the_draws_of_a_size_that_has_a_range(pset: PriorSet) -> None:
    scales = ("uptake_region_size", "line_use_region_size", "line_use_region_sd")
    changes = [Change(id=name, low=0.1, high=0.9, reason="r") for name in scales]
    ranged = prior_set(pset.ledger, Overlay(name="mine", says="a test", assumption=tuple(changes)))
    claims = {one.id: one for one in claims_left_out(ranged)[0]}
    named = {"uptake_region_size_non_invasive", "line_use_region_size_toxin", "line_use_region_sd_toxin"}
    assert named <= set(variables_for_conflicts(ranged))
    lines, regions = ranged.coords["line_claimed"], ranged.coords["region"]
    still = np.zeros((CHAINS, DRAWS, len(lines), len(regions)))
    still[..., lines.index("toxin"), regions.index("EU5")] = 1
    still[..., lines.index("toxin"), regions.index("Rest of World")] = 1
    size = np.full((CHAINS, DRAWS), 0.5)
    size[:, :250] = 5.0  # so large that what is said of the Rest of World decides
    draws = Dataset(
        {
            "line_use_region": (("chain", "draw", "line_claimed", "region"), still),
            "line_use_region_size_toxin": (("chain", "draw"), size),
            "line_use_region_sd_toxin": (("chain", "draw"), np.ones((CHAINS, DRAWS))),
        },
        {"line_claimed": lines, "region": regions},
    )
    left = claims["line_use_direction_rest_of_world_toxin"]  # left out, it is 0 there
    table: Any = conflicts(ranged, [left], {left.id: Refit(draws)})
    # 1 against a mean of (1 + size + 1) / 5: above it, unless the size is large.
    assert table["p"][0] == pytest.approx(0.25)


def test_influence_ranks_what_is_clear_of_noise_and_keeps_misses_apart(pset: PriorSet) -> None:
    rng, year = np.random.default_rng(6), pset.ledger.years[-1]

    def of(shift: float, share: float = 0.7) -> Refit:
        draws = 800 + 100 * (shift + rng.standard_normal((CHAINS, DRAWS)))
        fit = refit(draws, year)
        jitter = share + 0.01 * rng.standard_normal((CHAINS, DRAWS, 1))
        split = draws[..., None, None] * np.stack([jitter, 1 - jitter], axis=-1)
        return Refit(fit.draws.assign(revenue_modality=(("chain", "draw", "anchor", "modality"), split)))

    fits = {"none": of(0), "lost": Refit(Dataset(), "missed the gate"), "total": of(0.5), "split": of(0, 0.72)}
    table = influence(of(0), pset, [LeftOut(name, "prior", pset) for name in fits], fits)
    assert list(table["claim"]) == ["split", "total", "none", "lost"]
    assert list(table["clear"][:3]) == [False, True, False]
    assert table["split_shift"][0] == pytest.approx(-2, abs=0.2) or table["split_shift"][0] == pytest.approx(2, abs=0.2)
    assert table["shift"][1] == pytest.approx(0.5, abs=0.1)
    assert table["missed"][3] == "missed the gate"
    assert np.isnan(table["shift"][3])


# ---- what a user may ask for -----------------------------------------------------------------------------------------


def test_a_grid_is_the_product_of_its_axes(pset: PriorSet) -> None:
    grid = crossed(pset, pset.ledger, ["trust=low,high", "coverage=0.5,0.9"])
    assert [v.name for v in grid] == [f"trust={t}, coverage={c}" for t in ("low", "high") for c in ("0.5", "0.9")]
    assert [(v.pset.settings.trust, v.pset.settings.coverage) for v in grid if v.pset] == [
        ("low", 0.5),
        ("low", 0.9),
        ("high", 0.5),
        ("high", 0.9),
    ]
    assert crossed(pset, pset.ledger, []) == []
    both = crossed(pset, pset.ledger, ["priors=sceptic", "leave_out=revenue"])[0].pset
    assert both is not None
    assert both.settings.trust == "reference_class"
    assert {row.quantity for row in both.evidence} == {"revenue_share"}


@pytest.mark.parametrize(
    ("text", "way_out"),
    [
        ("trst=low", "trust"),
        ("trust", "write trust=A,B"),
        ("trust=low,low", "distinct"),
        ("coverage=0.5,0.50", "distinct"),
        ("coverage=a", "coverage=0.5"),
        ("coverage=50,80", "0.5"),
        ("trust=lowest", "low, default, high"),
        ("priors=nobody", "sceptic"),
    ],
)
def test_a_grid_that_is_none_gets_one_line(pset: PriorSet, text: str, way_out: str) -> None:
    with pytest.raises(InputError, match=way_out) as error:
        crossed(pset, pset.ledger, [text])
    assert "\n" not in str(error.value)


def test_an_axis_stands_once(pset: PriorSet) -> None:
    assert parse_vary("adoption-scope=alone,with_launched") == ("adoption_scope", ["alone", "with_launched"])
    with pytest.raises(InputError, match="twice"):
        crossed(pset, pset.ledger, ["trust=low", "trust=high"])


# ---- the table and the figure ----------------------------------------------------------------------------------------


def test_the_tornado_names_what_moves_most_and_the_figure_says_so(
    pset: PriorSet, prior_run: tuple[DataTree, Any, Any]
) -> None:
    rng, year = np.random.default_rng(8), pset.ledger.years[-1]
    of = elicited_numbers(pset)[:6]
    effects = {number.name: 10.0 * k for k, number in enumerate(of)}
    effects[of[4].name] *= -1
    noise = rng.standard_normal((2 * len(of) + 1, CHAINS, DRAWS))
    ended = {
        f"{number.name} {end}": refit(800 + side * effects[number.name] + 20 * noise[2 * k + (side > 0)], year)
        for k, number in enumerate(of)
        for end, side in (("low", -1), ("high", 1))
    }
    ended[f"{of[5].name} low"] = Refit(Dataset(), "missed the gate")
    base = refit(800 + 20 * noise[-1], year)
    table = tornado_table(prior_run[0], base, pset, [*of, *numbers_not_moved(pset)], ended)
    assert list(table["input"][:2]) == [of[4].name, of[3].name]
    assert list(table["direction"][:2]) == ["-", "+"]
    assert table["swing"][0] == pytest.approx(-80, abs=3)
    assert table["direction"][list(table["input"]).index(of[0].name)] == "0"
    assert table["missed"].iloc[-2] == "low: missed the gate"
    assert table["swing"].iloc[-2:].isna().all()
    assert table["input"].iloc[-1] == "eligible_share[implantable, 1]"
    assert table["missed"].iloc[-1] == "low: a fixed number is not moved; high: a fixed number is not moved"
    rows = command.posteriors(pset, base, [("prior set", "x", {}, ended[f"{of[3].name} high"])], 810.0)
    assert list(rows["name"]) == ["as it is", "x"]
    assert rows["shift"][1] == pytest.approx(1.5, abs=0.1)
    figure = tornado_and_views(pset, rows, table, 810.0)
    message = " ".join(figure["title"]["text"])
    assert str(year) in message
    assert of[4].name.split("[")[0].replace("_", " ") in message
    bars = [row for row in figure["data"]["values"] if row["part"] == "tornado"]
    assert [row["to"] for row in bars[:2]] == [table["mean_low"][0], table["mean_high"][0]]


@pytest.mark.slow
def test_the_whole_command_on_another_market(other: PriorSet, tmp_path: Path) -> None:
    forecast(other, out=tmp_path / "run")
    seen: list[str] = []
    result = sensitivity(
        Run.open(tmp_path / "run"),
        out=tmp_path / "out",
        vary=["coverage=0.5,0.9"],
        flip="2600:0.5",
        progress=lambda stage, done, total: seen.append(stage),
    )
    assert {"compiling", "building", "fitting"} <= set(seen)
    table = result.table
    assert set(table["kind"]) == {"run", "prior set", "grid", "claim left out", TOGETHER, "assumption moved"}
    assert not [note for note in result.notes if "fitted again" in note]
    assert any("prior set bottom-up skips what this market lacks" in note for note in result.notes)
    assert len(result.tables["flips"]) == len(elicited_numbers(other))
    for name in ("sensitivity", "tornado", "leave_one_out", "conflicts", "flips", "flip_pairs", "power_scaling"):
        assert len(pd.read_csv(tmp_path / "out" / f"{name}.csv"))
    assert (tmp_path / "out" / "sensitivity.png").is_file()
    seen.clear()
    again = sensitivity(
        Run.open(tmp_path / "run"),
        out=tmp_path / "out",
        vary=["coverage=0.5,0.9"],
        flip="2600:0.5",
        progress=lambda stage, done, total: seen.append(stage),
    )
    assert "fitting" not in seen
    pd.testing.assert_frame_equal(again.table, table)


def test_the_terminal_has_the_last_year_s_power_scaling_with_its_draws() -> None:
    rows = [
        {
            "group": group,
            "quantity": quantity,
            "psi": psi,
            "psi_se": 0.02,
            "noise": 0.05,
            "clear": psi > 0.05,
            "sign": "+",
            "spread": 0.1,
            "k_low": 0.1,
            "k_high": 0.2,
            "draws": 1200,
            "refused": "Pareto k" if np.isnan(psi) else "",
        }
        for quantity in ("revenue 2025", "revenue 2035", "growth a year")
        for group, psi in (("weak", 0.01), ("refused", np.nan), ("strong", 0.3))
    ]
    shown, name, draws = strongest(pd.DataFrame(rows))
    assert (name, draws) == ("revenue 2035", 1200)
    assert list(shown["group"]) == ["refused", "strong", "weak"]
    assert list(shown["refused"]) == ["Pareto k", "", ""]
    assert list(shown["psi"]) == ["", "0.300 ± 0.020", "(0.010 ± 0.020)"]
    assert (shown["pareto_k"] == 0.2).all()


def test_shipped_sets_apply_to_another_market_and_say_what_they_skip(other: PriorSet) -> None:
    assert not [variant.name for variant in sets(other.ledger, other) if variant.pset is None]
    said = skipped(other.ledger)
    assert [line.split()[2] for line in said] == ["bear", "bottom-up", "bull", "enthusiast", "sceptic"]
    assert "leave_out 'revenue_share': the report has no such evidence" in said[1]
    assert not skipped(load_ledger())
