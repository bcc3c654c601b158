"""The loop over chunks, with a program that only says what it was asked for."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest

from postcgrp.inference import Sampling, chunks
from postcgrp.inference.kernels import CHUNK, FIRST_STEP, Controls, Sampler
from postcgrp.inference.sampling import _SAMPLERS, REFERENCE
from postcgrp.inference.settings import _SAMPLERS as NAMES

TUNE, DRAWS = CHUNK + 30, 2 * CHUNK


def recorder(asked: list[tuple[int, int, float]]) -> Sampler:
    """A sampler whose controls say for which transitions and which step size they were made."""

    def controls(begun: int, step_size: float) -> Controls:
        return begun, step_size

    def unused(logp: Any) -> Any:
        raise AssertionError

    return Sampler(unused, program="", together=0, tune=TUNE, controls=controls)


def advance(state: int, data: Any, steps: int, begun: int, step_size: float) -> Any:
    """Counts transitions; the state is their number, and the step size grows with it."""
    data["asked"].append((begun, int(steps), step_size))
    made = state + 1 + np.arange(CHUNK)
    return state + steps, made[:, None] * 1.0, (made < 0, made, made * 1.0, made * 1.0, made * 1.0, made * 1.0)


def test_chunks_cover_tuning_and_draws_and_follow_the_step_size() -> None:
    asked: list[tuple[int, int, float]] = []
    made = list(chunks.run_chunks(advance, 0, {"asked": asked}, recorder(asked), DRAWS))  # type: ignore[arg-type]
    assert asked == [
        (0, CHUNK, FIRST_STEP),
        (CHUNK, 30, 1.0 * CHUNK),
        (TUNE, CHUNK, 1.0 * TUNE),
        (TUNE + CHUNK, CHUNK, 1.0 * TUNE + CHUNK),
    ]
    assert [chunk.tuning for chunk in made] == [True, True, False, False]
    positions = np.concatenate([chunk.positions[:, 0] for chunk in made])
    assert (positions == np.arange(1, TUNE + DRAWS + 1)).all()
    assert all(len(values) == chunk.steps for chunk in made for values in chunk.info)


def test_lanes_keep_the_step_size_that_they_are_given() -> None:
    asked: list[tuple[int, int, float]] = []

    def lanes(*arguments: Any) -> Any:
        state, x, info = advance(*arguments)
        return state, np.stack([x, -x]), tuple(np.stack([leaf, leaf]) for leaf in info)

    made = list(chunks.run_chunks(lanes, 0, {"asked": asked}, recorder(asked), DRAWS, lanes_step=0.7))  # type: ignore[arg-type]
    assert {step_size for *_, step_size in asked} == {0.7}
    assert [chunk.positions.shape for chunk in made] == [(2, steps, 1) for steps in (CHUNK, 30, CHUNK, CHUNK)]


def test_a_stopped_run_is_cancelled_before_its_next_chunk() -> None:
    asked: list[tuple[int, int, float]] = []
    made = chunks.run_chunks(advance, 0, {"asked": asked}, recorder(asked), DRAWS, stopped=lambda: len(asked) == 2)  # type: ignore[arg-type]
    with pytest.raises(CancelledError):
        list(made)
    assert len(asked) == 2


def test_every_sampler_that_settings_take_is_there() -> None:
    assert (*_SAMPLERS, REFERENCE) == NAMES


@pytest.mark.parametrize("name", _SAMPLERS)
@pytest.mark.parametrize("method", ["parallel", "vectorized"])
def test_what_is_compiled_in_names_the_programs(name: str, method: str) -> None:
    def program(**changes: Any) -> str:
        return _SAMPLERS[name](Sampling(sampler=name, chain_method=method, **changes)).program

    together = name == "hmc" or method == "vectorized"
    assert (program(chains=4) != program(chains=5)) is together
    assert (program(tune=50) != program(tune=60)) is (name != "hmc")
    assert program(draws=50, seed=2) == program()
