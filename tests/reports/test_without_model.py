"""Where the programs of a structure are stored, a command builds no model: it imports neither PyMC nor PyTensor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from postcgrp.priors import PriorSet
from postcgrp.tests.helpers.paths import DOCS
from postcgrp.tests.helpers.stored import prior_run

pytestmark = pytest.mark.fit

PROGRAM = """
import sys
from postcgrp.reports.cli.main import main
from postcgrp.reports.process import begin_command
begin_command()
status = main(sys.argv[1:])
loaded = {'jax', 'pymc', 'pytensor', 'numpyro', 'blackjax', 'scipy'} & {*sys.modules}
sys.stderr.write(f"loaded {' '.join(sorted(loaded))}")
sys.exit(status)
"""


def loaded(*arguments: str) -> str:
    """What a command, in a process of its own, imported of the libraries that build, trace and run models."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode in (0, 3), done.stderr
    return done.stderr.rpartition("loaded ")[2]


def test_a_forecast_of_another_prior_set(tmp_path: Path) -> None:
    """Another set, trust, coverage or seed is other data of the same programs."""
    few = ("--draws", "20", "--tune", "20")
    loaded("forecast", *few, "--out", str(tmp_path / "first"))  # traces what nobody has traced yet
    other = ("--priors", "sceptic", "--trust", "low", "--coverage", "0.8", "--seed", "2")
    assert loaded("forecast", *few, *other, "--out", str(tmp_path / "second")) == "jax scipy"


@pytest.fixture(scope="module")
def folder(pset: PriorSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prior_run(pset, tmp_path_factory.mktemp("stored") / "run", draws=50).folder


def test_a_valuation_runs_no_program(folder: Path, tmp_path: Path) -> None:
    deal = ("--deal", str(DOCS / "examples" / "noninvasive_us.toml"))
    assert loaded("value", str(folder), *deal, "--out", str(tmp_path / "value")) == "scipy"


def test_an_export_of_every_draw_needs_no_scipy(folder: Path, tmp_path: Path) -> None:
    assert loaded("export", str(folder), "--to", "parquet", "--out", str(tmp_path / "out")) == ""


@pytest.mark.slow
def test_refits_and_calibration(tmp_path: Path) -> None:
    program = PROGRAM.replace(
        "status = main(sys.argv[1:])",
        """
from pathlib import Path
from postcgrp.inference import Sampling, enable_cache
from postcgrp.reports.calibration.check import calibrate
from postcgrp.reports.sensitivity.refits import Refits
from postcgrp.tests.helpers.markets import other_market
enable_cache()
base, other = other_market("as it is"), other_market("euros")
Refits(base, settings=Sampling(draws=20, tune=20, prior_draws=200), patient=False)({"base": base, "other": other})
calibrate(base, out=Path(sys.argv[1]), refits=4)
status = 0""",
    )
    for k in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / str(k))], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("loaded jax scipy")
