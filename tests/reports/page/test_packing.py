"""Draws packed for the page: what is lost, and that nothing else is."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from postcgrp.reports.page.packing import MOVE_STEPS, ROW_STEPS, pack_cells, pack_moves, pack_rows
from postcgrp.tests.helpers.packed import unpack_cells

STEP = 2.0**-7


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        float,
        array_shapes(min_dims=2, max_dims=4, max_side=5),
        elements=st.one_of(st.just(0.0), st.floats(1e-6, 1e9)),
    )
)
def test_a_cell_is_off_by_half_a_step_at_most_and_zero_stays_zero(values: np.ndarray) -> None:
    packed = pack_cells(values, STEP)
    seen = unpack_cells(packed)
    assert ((seen == 0) == (values == 0)).all()
    positive = values > 0
    off = np.abs(np.log(seen[positive]) - np.log(values[positive]))
    assert off.size == 0 or off.max() <= STEP / 2 * (1 + 1e-6)


def test_correlated_cells_take_less_than_a_byte_each() -> None:
    rng = np.random.default_rng(1)
    year, region, depth = (np.exp(rng.normal(size=(n, 1000))) for n in (11, 5, 3))
    values = (year[:, None, None] * region[None, :, None] * depth[None, None, :])[:, :, :, None]
    assert pack_cells(values, STEP).size < 0.6 * values.size


def test_rows_are_exact_to_fourteen_digits_of_their_range() -> None:
    rng = np.random.default_rng(2)
    values = np.stack([rng.normal(1e6, 1e-3, 500), rng.lognormal(3, 2, 500), np.full(500, 7.25)])
    packed = pack_rows(values)
    assert packed["low"][2] == 7.25
    assert packed["width"][2] == 0
    assert np.max((values.max(axis=1) - values.min(axis=1)) / ROW_STEPS - np.array(packed["width"]) / ROW_STEPS) == 0


def test_moves_keep_their_sign_and_what_does_not_move_is_zero() -> None:
    rng = np.random.default_rng(3)
    values = np.stack([rng.normal(0, 50, 500) * (rng.random(500) > 0.3), np.full(500, 0.0), rng.normal(size=500) ** 9])
    packed = pack_moves(values)
    levels = np.frombuffer(zlib.decompress(base64.b64decode(packed["bytes"])), "<i2").reshape(values.shape)
    assert (np.sign(levels) == np.sign(values)).all()
    step = np.array(packed["step"])[:, None]
    assert (np.abs(levels * step - values) <= step).all()
    assert np.abs(levels).max() == MOVE_STEPS


def test_nothing_positive_is_packed_too() -> None:
    packed = pack_cells(np.zeros((2, 3)), STEP)
    assert not unpack_cells(packed).any()


@pytest.mark.parametrize("step", [2.0**-11, 2.0**-8])
def test_a_jump_larger_than_a_byte_is_kept(step: float) -> None:
    values = np.array([[1.0, 1e-9, 0.0], [1e9, 2.0, 5.0]])
    assert np.allclose(unpack_cells(pack_cells(values, step)), values, rtol=step)
