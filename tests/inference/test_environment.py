"""Whatever the environment asks of JAX or PyTensor, draws are made in double precision, or one line says why not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pymc as pm
import pytensor
import pytest
from jax import export

from postcgrp.inference import Sampling, sample
from postcgrp.inference.programs import Programs
from postcgrp.priors import InputError
from postcgrp.tests.helpers.variants import variants

pytestmark = pytest.mark.fit

PROGRAM = """
import sys
from postcgrp.priors import InputError
from postcgrp.inference import Sampling, enable_cache, sample
import pymc as pm
from postcgrp.tests.helpers.blueprints import named
with pm.Model() as model:
    y = pm.Data("y", 1.0)
    x = pm.Normal("x")
    pm.Normal("seen", x, 1.0, observed=y)
try:
    enable_cache()
    run = sample(named(model, "of one normal"), Sampling(draws=50, tune=50, prior_draws=200))
except InputError as error:
    sys.exit(str(error))
print(run["posterior"]["x"].dtype, float(run["posterior"]["x"].mean()))
"""


def fitted(cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A small model, fitted in a process with this environment and a cache that later processes find."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "POSTCGRP_CACHE": str(cache), **environment},
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def usual(cache: Path) -> str:
    return fitted(cache).stdout


@pytest.mark.parametrize(
    "environment",
    variants(
        [
            {"PYTENSOR_FLAGS": "floatX=float32"},
            {"JAX_DISABLE_JIT": "1", "JAX_DEBUG_NANS": "1", "JAX_NUMPY_RANK_PROMOTION": "raise"},
            {"JAX_ENABLE_X64": "0"},
        ],
        stay=1,
    ),
    ids=" ".join,
)
def test_the_environment_changes_no_draw(cache: Path, usual: str, environment: dict[str, str]) -> None:
    done = fitted(cache, **environment)
    assert done.stderr == ""
    assert done.stdout == usual
    assert done.stdout.startswith("float64 0.")


@pytest.mark.parametrize("platform", variants(["moon", "cuda"], stay=1))
def test_a_platform_that_is_not_there_is_one_line(cache: Path, platform: str) -> None:
    done = fitted(cache, JAX_PLATFORMS=platform)
    if platform == "cuda" and done.returncode == 0:
        pytest.skip("this machine has a GPU")
    assert done.returncode == 1
    assert f"JAX_PLATFORMS={platform}: JAX cannot start there" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_model_in_single_precision_is_refused() -> None:
    with pytensor.config.change_flags(floatX="float32"), pm.Model() as model:
        pm.Normal("x")
    with pytest.raises(InputError, match="x: is float32, but models are sampled in float64"):
        sample(model, Sampling(draws=4, tune=1))


def test_a_stored_program_that_takes_other_data_is_traced_again() -> None:
    def traced(data: dict[str, np.ndarray]) -> export.Exported:
        return Programs("of some data", data=data).exported("double", lambda: (lambda d: d["y"] * 2, (data,)))

    single, double = ({"y": np.ones(2, dtype)} for dtype in (np.float32, np.float64))
    for data in (single, double, {"y": np.ones(3)}, single):
        (aval,) = traced(data).in_avals
        assert (aval.shape, aval.dtype) == (data["y"].shape, data["y"].dtype)
