"""Two assumptions moved at once: weights of a joint move, the direction in which least is needed, and the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr
from xarray import DataArray, Dataset, DataTree

from postcgrp.models.standard import standard_of
from postcgrp.priors import PriorSet
from postcgrp.reports.sensitivity.flip import Flip, Point, pair_table, solve
from postcgrp.reports.sensitivity.moves import Move, steepest_pairs
from postcgrp.reports.sensitivity.refits import Refit
from postcgrp.reports.sensitivity.tornado import END_SDS, ElicitedNumber, elicited_numbers, joint_log_ratio, log_ratio
from postcgrp.tests.helpers.stored import prior_tree

pytestmark = pytest.mark.fit

CHAINS, DRAWS = 4, 1000
HALF = 0.5**0.5


@pytest.fixture(scope="module")
def tree(pset: PriorSet) -> DataTree:
    return prior_tree(pset, CHAINS * DRAWS)


@pytest.fixture(scope="module")
def numbers(pset: PriorSet) -> dict[str, ElicitedNumber]:
    return {number.name: number for number in elicited_numbers(pset)}


def test_a_joint_move_of_unlike_numbers_is_the_product_of_both(
    pset: PriorSet, tree: DataTree, numbers: dict[str, ElicitedNumber]
) -> None:
    pair = numbers["pool_error"], numbers["patient_growth[2035]"]
    move = Move(pair, (0.6, -0.8))
    both = joint_log_ratio(tree, pset, pair, move.to(pset, 0.5))
    each = [log_ratio(tree, pset, n, Move((n,)).to(pset, by)) for n, by in zip(pair, (0.3, -0.4), strict=True)]
    assert both is not None
    assert each[0] is not None
    assert each[1] is not None
    np.testing.assert_allclose(both, each[0] + each[1])


def test_a_joint_move_inside_a_correlated_block_is_not(
    pset: PriorSet, tree: DataTree, numbers: dict[str, ElicitedNumber]
) -> None:
    """Of two correlated normals moved along their sum the density ratio is known; the product would be another."""
    pair = numbers["patient_growth[2030]"], numbers["patient_growth[2035]"]
    ratio = joint_log_ratio(tree, pset, pair, Move(pair, (HALF, HALF)).to(pset, 0.5))
    block = standard_of(pset, "patient_growth")
    assert ratio is not None
    assert block is not None
    assert block.cholesky is not None
    score = block.scores(tree["posterior"].to_dataset()["patient_growth_z"].values)
    by, precision = np.full(2, 0.5 * HALF), np.linalg.inv(block.cholesky @ block.cholesky.T)
    expected = score @ precision @ by - by @ precision @ by / 2
    np.testing.assert_allclose(ratio, expected, atol=1e-9)


def test_two_numbers_move_along_the_gradient_towards_the_level(numbers: dict[str, ElicitedNumber]) -> None:
    of = [numbers[name] for name in ("pool_error", "patient_growth[2035]", "moh")]
    slopes = {"pool_error": 3.0, "patient_growth[2035]": -4.0, "moh": 0.0}
    (move,) = steepest_pairs(of, slopes, rise=-0.2)  # one slope is flat: nothing to move by
    assert dict(zip(move.name.split(" and "), move.parts, strict=True)) == pytest.approx(
        {"patient_growth[2035]": 0.8, "pool_error": -0.6}
    )
    assert move.described(2.0)["sds_1"] == pytest.approx(1.6)
    assert move.described(2.0)["value_1"] == pytest.approx(numbers["patient_growth[2035]"].value(1.6))


def test_a_level_met_between_points_is_not_sought_beyond_them() -> None:
    """A quadratic that bends a little may meet the level a second time, nearer to zero, where nobody looked."""
    points = [Point(d, p, 0.008) for d, p in ((0.0, 0.341), (2.615, 0.527), (2.247, 0.475), (2.412, 0.4955))]
    found = solve(points, 0.5)
    assert found is not None
    assert found[0] == pytest.approx(2.43, abs=0.05)


def test_two_numbers_flip_what_neither_does_alone(
    pset: PriorSet, tree: DataTree, numbers: dict[str, ElicitedNumber]
) -> None:
    """On a line in both, P crosses one half 20 millions up: sqrt(36 + 25) a joint sd."""
    slope = {"patient_growth[2035]": 6.0, "pool_error": -5.0}
    of = [numbers[name] for name in slope]
    rng = np.random.default_rng(2)

    def posterior(mean: float) -> Dataset:
        draws = mean + 50 * rng.standard_normal((CHAINS, DRAWS))
        return Dataset({"revenue_total": DataArray(draws, dims=("chain", "draw")).expand_dims(year=pset.ledger.years)})

    def mean_of(to: PriorSet) -> float:
        moved = [(to.blocks[n.block].priors[n.index].mu - n.prior.mu) / n.prior.sd for n in of]
        return 850 + float(np.dot(moved, list(slope.values())))

    def fit(asked: Mapping[str, PriorSet]) -> dict[str, Refit]:
        return {name: Refit(posterior(mean_of(to))) for name, to in asked.items()}

    stored = tree["posterior"].to_dataset().drop_vars("revenue_total")
    shaped = {
        name: (("chain", "draw", *values.dims[2:]), values.values.reshape(CHAINS, DRAWS, *values.shape[2:]))
        for name, values in stored.data_vars.items()
    }
    labels = {name: coord for name, coord in stored.coords.items() if name not in ("chain", "draw")}
    run = DataTree.from_dict({"posterior": Dataset(shaped, labels).merge(posterior(850))})
    known = {
        name: [Point(s * END_SDS, float(ndtr((b * s * END_SDS - 20) / 50)), 0.008) for s in (-1, 1)]
        for name, b in slope.items()
    }
    table: Any = pair_table(run, pset, Flip(870.0, 0.5), of, known, fit)
    (row,) = table.to_dict("records")
    assert row["outcome"] == "flips"
    assert abs(row["flips_at_sds"] - 20 / 61**0.5) < 4 * row["se"] + 0.1  # the gradient is known up to its error
    assert row["p"] == pytest.approx(0.5, abs=4 * row["p_se"])
    moved = {row["input_1"]: row["sds_1"], row["input_2"]: row["sds_2"]}
    assert moved["patient_growth[2035]"] > 0 > moved["pool_error"]
    assert np.hypot(*moved.values()) == pytest.approx(row["flips_at_sds"])
    assert pair_table(run, pset, Flip(850.0, 0.5), of, known, fit).empty  # it is there already
