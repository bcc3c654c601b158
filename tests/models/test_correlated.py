"""Correlations between named priors: margins stay, scores have the correlation asked for, and densities follow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ks_1samp, multivariate_normal, norm, spearmanr
from xarray import Dataset, DataTree

from postcgrp.inference.powerscale import scaled
from postcgrp.models import build_model
from postcgrp.models import variables as v
from postcgrp.models.correlated import joint_scores, log_dependence, scores_of
from postcgrp.models.simulator_dice import Dice
from postcgrp.models.standard import standard_of
from postcgrp.models.structure import structure_key
from postcgrp.priors import InputError, PriorSet, from_json, load_ledger, load_overlay
from postcgrp.priors.difference import difference
from postcgrp.priors.elicit import LINK
from postcgrp.priors.pool import logarithmic_pool
from postcgrp.priors.sets import prior_set
from postcgrp.reports.sensitivity.leave_out import claims_left_out
from postcgrp.reports.sensitivity.tornado import elicited_numbers, joint_log_ratio, shift_prior
from postcgrp.reports.sensitivity.variants import crossed
from postcgrp.tests.helpers.forward import model_draws

Array = NDArray[np.float64]
LEDGER = load_ledger()
HEAD = 'schema = 1\nname = "mine"\nsays = "so"\n'
DRAWS, SEED, LEVEL = 4000, 8, 1e-4
GROWTH, ADOPTION, POOL = "patient_growth[2030]", "adoption[2030, non_invasive]", "pool_error"
LAUNCH, PRICE, BRAKE = "launch_year[implantable, EU5]", "line_list_price[device, Japan]", "payer_brake[non_invasive]"
# Kinds of blocks: correlated by themselves and not, in order and not, of one draw for all regions, drawn themselves.
ROWS = ((GROWTH, ADOPTION, 0.5), (POOL, LAUNCH, -0.4), (PRICE, BRAKE, 0.6), (POOL, BRAKE, 0.3))


def rows(*of: tuple[str, str, float]) -> str:
    return "".join(f'[[correlation]]\nbetween = ["{a}", "{b}"]\nvalue = {r}\nreason = "r"\n' for a, b, r in of)


def under(folder: Path, text: str, **turned: Any) -> PriorSet:
    path = folder / "mine.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    return prior_set(LEDGER, load_overlay(path), turned=turned)


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> PriorSet:
    return under(tmp_path_factory.mktemp("correlated"), rows(*ROWS))


@pytest.fixture(scope="module")
def draws(mine: PriorSet) -> dict[str, Array]:
    """Prior draws [draw, dims] of every block that is connected, and of the standard draws behind it."""
    names = [name for block in mine.connected for name in (block, v.standard(block))]
    return model_draws(build_model(mine), names, DRAWS, SEED)


def of_prior(pset: PriorSet, name: str) -> tuple[str, int]:
    """The block of a prior and where in it it lies."""
    return next(
        (block.name, k) for block in pset.blocks.values() for k, prior in enumerate(block.priors) if prior.name == name
    )


def score(pset: PriorSet, values: Callable[[str], Array], name: str) -> Array:
    block, k = of_prior(pset, name)
    prior = pset.blocks[block].priors[k]
    return np.asarray((LINK[prior.family][0](values(block).reshape(DRAWS, -1)[:, k]) - prior.mu) / prior.sd)


@pytest.mark.fit
def test_margins_stay_and_scores_are_correlated_as_asked(mine: PriorSet, draws: dict[str, Array]) -> None:
    for name in (GROWTH, ADOPTION, POOL, LAUNCH, PRICE, BRAKE):
        assert ks_1samp(score(mine, draws.__getitem__, name), norm.cdf).pvalue > LEVEL, name
    for first, second, value in ROWS:
        one, two = (score(mine, draws.__getitem__, name) for name in (first, second))
        assert spearmanr(one, two).statistic == pytest.approx(6 / np.pi * np.arcsin(value / 2), abs=4 / DRAWS**0.5)


@pytest.mark.fit
def test_what_correlates_by_itself_still_does(mine: PriorSet, draws: dict[str, Array]) -> None:
    for name in ("adoption_level", "patient_growth", "line_list_price"):
        standard = standard_of(mine, name)
        assert standard is not None
        assert standard.cholesky is not None
        cells = [prior.name for prior in standard.block.priors][-2:]
        found = np.corrcoef([score(mine, draws.__getitem__, cell) for cell in cells])[0, 1]
        asked = (standard.cholesky @ standard.cholesky.T)[-1, -2]
        assert found == pytest.approx(asked, abs=4 / DRAWS**0.5), name


@pytest.mark.fit
def test_the_density_is_that_of_a_normal_on_the_scores(mine: PriorSet, draws: dict[str, Array]) -> None:
    joint = joint_scores(mine)
    assert joint is not None
    scores = np.concatenate([scores_of(mine, name, draws.__getitem__).reshape(DRAWS, -1) for name in joint.at], axis=1)
    for name in (GROWTH, POOL, LAUNCH, PRICE, BRAKE):  # levels in order are raised in one draw of a thousand
        block, k = of_prior(mine, name)
        standard = standard_of(mine, block)
        assert standard is not None
        at = int(np.flatnonzero((standard.cells.reshape(-1, standard.cells.shape[-1]) == k).any(axis=1))[0])
        assert np.allclose(scores[:, joint.at[block]][:, at], score(mine, draws.__getitem__, name))
    z = np.concatenate([draws[v.standard(name)].reshape(DRAWS, -1) for name in joint.at], axis=1)
    of_draws = norm.logpdf(z).sum(axis=1) - np.log(np.diag(joint.cholesky)).sum()
    exact = multivariate_normal(cov=joint.matrix).logpdf(scores)
    assert np.allclose(of_draws, exact)
    by_block = [multivariate_normal(cov=joint.own[at, at]).logpdf(scores[:, at]) for at in joint.at.values()]
    ratio = log_dependence(mine, mine, draws.__getitem__) + np.sum(by_block, axis=0) - exact
    assert np.ptp(ratio) < 1e-6


@pytest.mark.fit
def test_shifts_are_judged_by_the_joint_density(mine: PriorSet, draws: dict[str, Array]) -> None:
    joint = joint_scores(mine)
    assert joint is not None
    numbers = [number for number in elicited_numbers(mine) if number.name in (POOL, BRAKE)]
    shifted = shift_prior(shift_prior(mine, numbers[0], 0.5), numbers[1], -1.0)
    posterior = {
        name: (("chain", "draw", *(f"{name}_{k}" for k in range(values.ndim - 1))), values[None])
        for name, values in draws.items()
    }
    run = DataTree.from_dict({"posterior": Dataset(posterior)})
    found = joint_log_ratio(run, mine, numbers, shifted.with_evidence([]))
    assert found is not None
    scores = np.concatenate([scores_of(mine, name, draws.__getitem__).reshape(DRAWS, -1) for name in joint.at], axis=1)
    by = np.zeros(len(joint.matrix))
    by[joint.at["pool_error"]], by[joint.at["payer_brake"]] = 0.5, -1.0
    normal = multivariate_normal(cov=joint.matrix)
    assert np.allclose(found[0], normal.logpdf(scores - by) - normal.logpdf(scores))


def test_the_simulator_draws_them_too(mine: PriorSet) -> None:
    dice = Dice(mine, np.random.default_rng(SEED), DRAWS)
    found = {
        name: dice.prior(name, shared=name == "launch_year", between=0.5 * (name == "line_list_price"))
        for name in mine.connected
    }
    for first, second, value in ROWS:
        one, two = (score(mine, found.__getitem__, name) for name in (first, second))
        assert np.corrcoef(one, two)[0, 1] == pytest.approx(value, abs=4 / DRAWS**0.5)


def test_unnamed_pairs_follow_from_those_that_are_named(tmp_path: Path) -> None:
    joint = joint_scores(under(tmp_path, rows((POOL, GROWTH, 0.8), (POOL, BRAKE, 0.5))))
    assert joint is not None
    pool, growth, brake = (joint.at[name].start for name in ("pool_error", "patient_growth", "payer_brake"))
    assert joint.matrix[growth, brake] == pytest.approx(0.4)  # independent given the pool
    assert joint.matrix[growth, growth + 1] == pytest.approx(0.5)
    assert joint.matrix[pool, growth + 1] == pytest.approx(0.8 * 0.5)
    named = joint_scores(under(tmp_path, rows((POOL, GROWTH, 0.8), (POOL, BRAKE, 0.5), (GROWTH, BRAKE, 0.0))))
    assert named is not None
    assert named.matrix[growth, brake] == pytest.approx(0.0, abs=1e-9)


def test_it_is_stored_listed_and_a_graph_of_its_own(mine: PriorSet, pset: PriorSet, tmp_path: Path) -> None:
    assert from_json(mine.to_json()) == mine
    weaker = under(tmp_path, rows(*((a, b, r / 2) for a, b, r in ROWS)))
    assert structure_key(mine) == structure_key(weaker) != structure_key(pset)
    assert mine.fingerprint() != weaker.fingerprint()
    listed = {row["name"]: (row["first"], row["second"]) for row in difference(mine, weaker)}
    assert len(listed) == len(ROWS)
    assert listed[f"correlation[{ADOPTION}, {GROWTH}]"] == ("0.5 correlation", "0.25 correlation")
    turned = under(tmp_path, rows((GROWTH, ADOPTION, 0.5)))
    assert not [r for r in difference(turned, under(tmp_path, rows((ADOPTION, GROWTH, 0.5)))) if r["what"] == "number"]


def test_where_a_claim_is_left_out_its_correlations_go(mine: PriorSet) -> None:
    left = {one.id: one.without for one in claims_left_out(mine)[0]}
    assert len(left["adoption_2030"].correlations) == len(ROWS) - 1
    assert left["adoption_2035"].correlations == mine.correlations
    grid = crossed(mine, LEDGER, ["coverage=0.5,0.8"])
    assert [each.pset.correlations for each in grid if each.pset] == [mine.correlations] * 2


def test_what_has_no_closed_form_with_them_is_refused(mine: PriorSet, pset: PriorSet) -> None:
    with pytest.raises(InputError, match="p: a set correlates named priors, which has no closed form"):
        logarithmic_pool([mine, mine], (0.5, 0.5), "p")
    with pytest.raises(InputError, match="'patients' cannot be fitted power-scaled: patient_growth, pool_error"):
        scaled(mine, "patients", 0.8)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            rows((POOL, "patient_growth[2031]", 0.5)),
            r"line 4: between: 'patient_growth\[2031\]' is no prior here",
        ),
        (rows((POOL, GROWTH, 0.5), (GROWTH, POOL, 0.4)), r"line 8: the correlation of .* is given twice: keep one"),
        (rows((POOL, "eligible_share[implantable, 1]", 0.5)), "is a fixed number: give it a range, or remove the row"),
        (rows((POOL, "region_premium[Japan]", 0.5)), "is drawn by way of the revenue that the report states"),
        (rows((POOL, "vendor_build_up", 0.5)), "is drawn only where the report's revenue is in evidence"),
        (rows((POOL, GROWTH, 1.0)), r"line 6: correlation\[1\].value = 1 must lie between -1 and 1"),
        (rows((POOL, POOL, 0.5)), r"correlation\[1\].between names 'pool_error' twice: name two priors"),
    ],
)
def test_a_row_that_no_prior_can_have_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        under(tmp_path, text)


def test_a_prior_that_is_left_out_or_has_heavy_tails_takes_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is left out, so nothing is claimed of it: remove the row"):
        under(tmp_path, rows((POOL, ADOPTION, 0.5)), leave_out=["adoption_2030"])
    heavy = '[[assumption]]\nid = "pool_error"\nfamily = "student"\nreason = "r"\n'
    with pytest.raises(InputError, match=r"'pool_error' has heavy tails \(student\): make its `family` a normal one"):
        under(tmp_path, heavy + rows((POOL, GROWTH, 0.5)))


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (((LAUNCH, "launch_year[implantable, Japan]", 0.5),), "one draw moves both already: remove the row"),
        (((GROWTH, "patient_growth[2035]", 0.5),), "these have one of their own already: change that number"),
        (((POOL, LAUNCH, 0.5), (POOL, LAUNCH.replace("EU5", "Japan"), 0.5)), "another row is on the same two draws"),
        (((POOL, GROWTH, 0.9), (POOL, BRAKE, 0.9), (GROWTH, BRAKE, -0.9)), r"brake\[non_invasive\] -0.9\): no distrib"),
        (((POOL, GROWTH, 0.9), (POOL, "patient_growth[2035]", -0.9)), r"not positive definite: bring some nearer to 0"),
    ],
)
def test_correlations_that_nothing_can_have_are_refused(
    tmp_path: Path, of: tuple[tuple[str, str, float], ...], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        joint_scores(under(tmp_path, rows(*of)))
