"""Simulation-based calibration: what is exact is exact, faults are found, and a calibrated sampler passes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri
from scipy.stats import chisquare, kstest

from postcgrp.inference import Check
from postcgrp.inference import ranks as calibration
from postcgrp.inference.ranks import (
    CALIBRATED,
    ERROR,
    JOINT,
    MIN_REFITS,
    NOT_CALIBRATED,
    TOO_FEW,
    Array,
    band,
    ecdf,
    outcome,
    pit,
    ranks,
    uniformity,
    verdict,
)
from postcgrp.reports.calibration.figures import FAILING, calibration_table, ecdf_panels, save_calibration

REFITS, SIZE = MIN_REFITS, 30
NAMES = [f"quantity[{i}]" for i in range(SIZE)]
PRIMARY = NAMES[:10]
UNLIKELY = 1e-4  # a p-value at which a fixed seed would be a strange accident
Change = Callable[[Array], Array]
Z = 4.5  # and the standard errors which go with it


def calibrated(seed: int, refits: int = REFITS) -> Array:
    """Normal scores of a calibrated sampler: three factors make the quantities depend on each other."""
    rng = np.random.default_rng(seed)
    loading = np.random.default_rng(0).normal(size=(3, SIZE))
    noise = np.sqrt(1 / (1 + (loading**2).sum(axis=0)))
    return (rng.normal(size=(refits, 3)) @ loading + rng.normal(size=(refits, SIZE))) * noise


def by_name(pits: Array, name: str) -> Check:
    return next(check for check in verdict(pits, NAMES, PRIMARY) if check.where == name)


# ---- ranks and PITs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["normal", "ties", "constant"])
def test_ranks_of_exact_draws_are_uniform(kind: str) -> None:
    """Truth and draws from one distribution, with and without ties: all 0..L are equally likely."""
    rng = np.random.default_rng(1)
    sample = {
        "normal": rng.normal(size=(10, 20_000)),
        "ties": rng.poisson(1, (10, 20_000)),
        "constant": np.ones((10, 20_000)),
    }
    rank = ranks(sample[kind][0], sample[kind][1:], seed=2)
    counts = np.bincount(rank.astype(int), minlength=10)
    assert len(counts) == 10
    assert chisquare(counts).pvalue > UNLIKELY
    u = pit(rank, 9, seed=2)
    assert kstest(u, "uniform").pvalue > UNLIKELY
    assert kstest(10 * u % 1, "uniform").pvalue > UNLIKELY  # within a cell too
    np.testing.assert_array_equal(np.floor(10 * u), rank)


def test_ranks_count_the_draws_below() -> None:
    np.testing.assert_array_equal(ranks([2.5, -1.0, 9.0], [[1, 1, 1], [2, 2, 2], [3, 3, 3]], 0), [2, 0, 3])


def test_seed_decides_ties_and_cells() -> None:
    truth, draws = np.zeros(50), np.zeros((20, 50))
    np.testing.assert_array_equal(ranks(truth, draws, [7, 1]), ranks(truth, draws, [7, 1]))
    assert (ranks(truth, draws, [7, 1]) != ranks(truth, draws, [7, 2])).any()
    np.testing.assert_array_equal(pit(truth, 20, 3), pit(truth, 20, 3))
    assert (pit(truth, 20, 3) != pit(truth, 20, 4)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_not_finite_has_no_rank(value: float) -> None:
    draws = np.zeros((5, 3))
    draws[2, 1] = value
    rank = ranks([value, 0.0, 1.0], draws, 0)
    np.testing.assert_array_equal(np.isnan(rank), [True, True, False])
    np.testing.assert_array_equal(np.isnan(pit(rank, 5, 0)), [True, True, False])


def test_pit_is_inside_the_unit_interval() -> None:
    u = pit(np.repeat([0.0, 999.0], 10_000), 999, 0)
    assert 0 < u.min() < u.max() < 1


def test_bad_input_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"draws \(4, 2\) for truths \(3,\)"):
        ranks(np.zeros(3), np.zeros((4, 2)), 0)
    with pytest.raises(ValueError, match="10 draws give 0 to 10"):
        pit([11], 10, 0)
    for pits in (np.full((1, 2), 0.5), np.full((300, 3), 0.5), np.full(300, 0.5)):
        with pytest.raises(ValueError, match="2 refits or more"):
            verdict(pits, ["a", "b"])
    for names, primary in ((["a", "a"], []), (["a", "b"], ["c"])):
        with pytest.raises(ValueError, match="names must differ, and primary ones be among them"):
            verdict(np.full((300, 2), 0.5), names, primary)


values = st.lists(st.integers(-999, 999), min_size=2, max_size=20, unique=True)


@given(values, st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_rank_ignores_order_and_scale(numbers: list[int], random: object) -> None:
    truth, draws = np.array(numbers[:1], dtype=float), np.array(numbers[1:], dtype=float)[:, None]
    rank = ranks(truth, draws, 0)
    assert rank == ranks(truth, np.random.default_rng(len(numbers)).permutation(draws), 0)
    for monotone in (np.arctan, np.cbrt, lambda x: np.exp(x / 100), lambda x: 3 * x - 7):
        assert rank == ranks(monotone(truth), monotone(draws), 0)
    assert ranks(-truth, -draws, 0) == len(draws) - rank


# ---- the band ------------------------------------------------------------------------------------------------------


def test_uniformity_is_exact_where_all_counts_can_be_listed() -> None:
    """Every way for 4 values to fall into 4 cells, with its probability: the p-value is that of a tail as small."""
    cells = np.array(list(product(range(4), repeat=4)))
    pits = (cells + 0.5) / 4
    p = np.array([uniformity(u) for u in pits])
    for value in np.unique(p):
        assert (p <= value + 1e-12).mean() == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(("n", "error"), [(50, 0.05), (200, 0.05), (200, 0.01)])
def test_band_is_left_as_often_as_it_says(n: int, error: float) -> None:
    repeats = 10_000
    cells = np.random.default_rng(3).integers(n, size=(repeats, n))
    counts = np.stack([np.bincount(row, minlength=n) for row in cells]).cumsum(axis=1)[:, :-1]
    _, low, high = band(n, error)
    left = ((counts / n < low - 1e-9) | (counts / n > high + 1e-9)).any(axis=1).mean()
    standard_error = np.sqrt(error * (1 - error) / repeats)
    assert error * 0.9 - Z * standard_error < left < error + Z * standard_error


@pytest.mark.parametrize("error", [0.05, 1e-4])
def test_band_and_p_value_agree(error: float) -> None:
    rng = np.random.default_rng(4)
    x, low, high = band(100, error)
    agreed = []
    for shift in np.linspace(0, 0.8, 100):
        u = ndtr(rng.normal(shift, 1, 100))
        outside = ((ecdf(u) < low - 1e-9) | (ecdf(u) > high + 1e-9)).any()
        assert outside == (uniformity(u) <= error)
        agreed.append(outside)
    assert 10 < sum(agreed) < 90
    assert np.all(np.diff(low) >= 0)
    assert np.all((low <= x) & (x <= high))


def test_small_p_values_are_small() -> None:
    """Where simulation of the band has nothing to say: all values in the lowest tenth."""
    assert 0 <= uniformity(np.random.default_rng(0).random(200) / 10) <= 1e-12


# ---- the verdict ---------------------------------------------------------------------------------------------------


def test_each_test_of_a_quantity_keeps_its_level() -> None:
    """Of 400 calibrated quantities as many fall below a level as the three tests together may."""
    z = np.random.default_rng(5).normal(size=(REFITS, 400))
    p = np.array([calibration._judge(column)[0] for column in ndtr(z).T])
    for level in (0.3, 0.03):
        below = (3 * p <= level).mean()
        assert below < level + Z * np.sqrt(level / len(p))
        assert below > level / 3 - Z * np.sqrt(level / 3 / len(p))  # what the least of three tests has by itself


@pytest.mark.fit
def test_joint_test_keeps_its_level_for_dependent_quantities() -> None:
    rng, repeats, level = np.random.default_rng(6), 150, 0.2
    p = []
    for seed in range(repeats):
        z = calibrated(seed)
        flips = rng.choice(np.array([-1.0, 1.0]), size=(199, REFITS))
        p.append([calibration._joint(scores, flips) for scores in (z, calibration._normal(np.abs(2 * ndtr(z) - 1)))])
    below = (np.array(p) <= level).mean(axis=0)
    assert (below < level + Z * np.sqrt(level / repeats)).all()
    assert (below > level / 2 - Z * np.sqrt(level / repeats)).all()


def test_calibrated_quantities_pass() -> None:
    """12 verdicts with an error of 1 %: three false alarms would be an accident of 0.02 %."""
    assert sum(outcome(verdict(ndtr(calibrated(seed)), NAMES, PRIMARY)) != CALIBRATED for seed in range(12)) < 3


FAULTS: dict[str, Change] = {
    "every sd x 0.8": lambda z: z / 0.8,
    "every sd x 1.25": lambda z: z * 0.8,
    "bias of 0.25 sd in all": lambda z: z + 0.25,
    "bias of 0.25 sd in a third": lambda z: z + 0.25 * (np.arange(SIZE) % 3 == 0),
    "bias of 0.5 sd in one primary quantity": lambda z: z + 0.5 * (np.arange(SIZE) == 4),
    "a dropped row": lambda z: np.where(np.arange(SIZE) >= SIZE - 2, ndtri(np.sqrt(ndtr(z))), z),
    "two modes merged": lambda z: np.where(np.arange(SIZE) == 2, ndtri(0.25 + ndtr(z) / 2), z),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_found(fault: str) -> None:
    for seed in range(2):
        checks = verdict(ndtr(FAULTS[fault](calibrated(seed))), NAMES, PRIMARY)
        assert outcome(checks) == NOT_CALIBRATED
        assert outcome(checks) != CALIBRATED


def test_joint_tests_find_what_no_quantity_shows() -> None:
    """A fault too small for any quantity by itself, in all of them: 0.1 sd where signs alternate, 6 % of the sd."""
    z = np.random.default_rng(8).normal(size=(REFITS, SIZE))
    for fault, expected in ((z + 0.12 * (-1) ** np.arange(SIZE), "joint_bias"), (z / 0.9, "joint_spread")):
        failing = {check.check for check in verdict(ndtr(fault), NAMES) if not check.passed}
        assert failing == {expected}


@pytest.mark.parametrize("fault", [0.25, 0.12 * (-1.0) ** np.arange(60)], ids=["along", "across"])
def test_joint_test_sees_along_and_across_a_common_factor(fault: Array) -> None:
    rng = np.random.default_rng(17)
    z = np.sqrt(0.5) * (rng.normal(size=(REFITS, 1)) + rng.normal(size=(REFITS, 60)))
    flips = rng.choice(np.array([-1.0, 1.0]), size=(1999, REFITS))
    assert calibration._joint(z, flips) > 0.1
    assert calibration._joint(z + fault, flips) < 0.003


def test_a_shape_that_mean_and_spread_miss() -> None:
    """A PIT on two humps with the mean and variance of a normal score: only the band sees it."""
    z = calibrated(9)
    humps = np.where(z[:, 0] > 0, 1, -1) * np.sqrt(0.95) + np.sqrt(0.05) * z[:, 1]
    u = ndtr(z)
    u[:, 0] = ndtr((humps - humps.mean()) / humps.std())
    check = by_name(u, NAMES[0])
    assert not check.passed
    assert check.advice.startswith(("too few below", "too many below"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda z: z + 0.6, "biased low by 0."),
        (lambda z: z - 0.6, "biased high by 0."),
        (lambda z: z / 0.6, "too narrow, sd of z 1."),
        (lambda z: z * 0.6, "too wide, sd of z 0."),
    ],
)
def test_a_failing_quantity_says_how(change: Change, words: str) -> None:
    z = calibrated(10)
    z[:, 3] = change(z[:, 3])
    check = by_name(ndtr(z), NAMES[3])
    assert (check.check, check.passed) == ("primary", False)
    assert check.advice.startswith(words)


def test_too_few_refits_is_no_pass() -> None:
    z = calibrated(11)
    assert outcome(verdict(ndtr(z), NAMES, PRIMARY)) == CALIBRATED
    few = verdict(ndtr(z[:-1]), NAMES, PRIMARY)
    assert outcome(few) == TOO_FEW
    assert outcome(few) != CALIBRATED
    assert few[0].check == "refits"
    assert few[0].advice == TOO_FEW
    assert outcome(verdict(ndtr(z[:-1] / 0.6), NAMES, PRIMARY)) == NOT_CALIBRATED
    assert outcome(verdict(ndtr(z[:2]), NAMES)) == TOO_FEW
    assert outcome(()) != CALIBRATED


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 1.0])
def test_a_pit_not_finite_fails_by_name(value: float) -> None:
    u = ndtr(calibrated(11))
    u[5, 12] = value
    checks = verdict(u, NAMES, PRIMARY)
    assert outcome(checks) == NOT_CALIBRATED
    first = next(check for check in checks if not check.passed)
    assert (first.check, first.figure, first.where) == ("finite", 1, NAMES[12])
    failing = {check.where for check in checks[2:] if not check.passed}
    assert failing == {NAMES[12], "all"}
    assert {check.check for check in checks if check.where == "all"} == {*JOINT}


def test_error_is_shared_by_all_tests() -> None:
    """Half for the primary, a quarter for the others and a quarter for the joint ones: they add up to the error."""
    assert sum(calibration.ERROR_SHARES.values()) == 1
    assert [*calibration.ERROR_SHARES] == ["primary", "other", *JOINT]
    u = ndtr(calibrated(13))
    alone = calibration._judge(u[:, 0])[0]
    u[:, 1:] = 1 - u[:, 1:]
    assert by_name(u, NAMES[0]).figure == pytest.approx(min(1, alone * 3 * len(PRIMARY) / 0.5))
    alone = calibration._judge(u[:, 20])[0]
    assert by_name(u, NAMES[20]).figure == pytest.approx(min(1, alone * 3 * (SIZE - len(PRIMARY)) / 0.25))


def test_order_of_refits_and_quantities_does_not_matter() -> None:
    rng, u = np.random.default_rng(14), ndtr(calibrated(14) + 0.2)
    order = rng.permutation(SIZE)
    kept = {c.where: c.figure for c in verdict(u, NAMES, PRIMARY) if c.check not in JOINT}
    mixed = verdict(rng.permutation(u)[:, order], [NAMES[i] for i in order], PRIMARY)
    assert {c.where: c.figure for c in mixed if c.check not in JOINT} == pytest.approx(kept)


def test_seed_decides_the_flips() -> None:
    u = ndtr(calibrated(16) + 0.04 * (-1.0) ** np.arange(SIZE))
    one, again, other = (verdict(u, NAMES, seed=seed)[-2] for seed in (1, 1, 2))
    assert 0.01 < one.figure < 1
    assert one == again
    assert one.figure != other.figure


def test_one_quantity_is_enough_to_fail() -> None:
    z = calibrated(14)
    z[:, 3] /= 0.75
    checks = verdict(ndtr(z), NAMES, PRIMARY)
    assert [check.where for check in checks if not check.passed] == [NAMES[3]]
    assert outcome(checks) == NOT_CALIBRATED


# ---- the page ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "title", "panels"),
    [
        (lambda z: z, "Consistent with calibration: none of 30 quantities fails (200 refits)", 11),
        (lambda z: z[:50], "Too few refits to call it calibrated: 50 of at least 200; none of 30 quantities fails", 11),
        (FAULTS["a dropped row"], "NOT calibrated: 2 of 30 quantities fail; all together: biased (200 refits)", 13),
        (
            lambda z: z + np.where(np.arange(SIZE) == 20, np.nan, 0),
            "NOT calibrated: 1 of 30 quantities fails; PITs",
            12,
        ),
    ],
)
def test_figure_says_the_verdict(change: Change, title: str, panels: int) -> None:
    u = ndtr(change(calibrated(11)))
    drawn = ecdf_panels(u, NAMES, verdict(u, NAMES, PRIMARY), "toy")
    assert " ".join(drawn["title"]["text"]).startswith(title)
    *single, last = drawn["vconcat"]
    every = [*single[0]["concat"], last]
    assert len(every) == panels
    failing = [one for one in every if any(layer["mark"].get("color") == FAILING for layer in one["layer"])]
    assert len(failing) == panels - 11


def test_figure_without_primary_quantities_is_one_panel() -> None:
    u = ndtr(calibrated(11))
    drawn = ecdf_panels(u, NAMES, verdict(u, NAMES))
    assert [one["title"]["text"] for one in drawn["vconcat"]] == [["All 30 quantities"]]


def test_saved_figure_is_reproducible(tmp_path: Path) -> None:
    u, names = ndtr(calibrated(11))[:, :3], NAMES[:3]
    for name in ("a", "b"):
        made = save_calibration(u, names, verdict(u, names), tmp_path / name, "0" * 8)
        assert made == [tmp_path / f"{name}.svg", tmp_path / f"{name}.png"]
    for suffix in (".png", ".svg"):
        assert (tmp_path / "a").with_suffix(suffix).read_bytes() == (tmp_path / "b").with_suffix(suffix).read_bytes()


def test_table_has_the_failing_ones_first() -> None:
    checks = verdict(ndtr(FAULTS["a dropped row"](calibrated(11))), NAMES, PRIMARY)
    rows = calibration_table(checks)
    assert len(rows) == len(checks) == SIZE + 4
    assert rows["passed"].is_monotonic_increasing
    assert {*rows["where"][:2]} == {*NAMES[-2:]}
    assert (rows["figure"][~rows["passed"]] <= ERROR).all()
