"""The package's public names: each is there, in whatever order modules were imported, and none starts JAX early."""

from __future__ import annotations

import subprocess
import sys

from postcgrp import inference


def printed(program: str) -> str:
    """What a program prints in a process of its own, where nothing is imported yet."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_every_public_name_is_there() -> None:
    assert all(callable(getattr(inference, name)) for name in inference.__all__)


def test_the_gate_is_a_function_whatever_was_imported_before() -> None:
    program = "import postcgrp.inference.batch; from postcgrp.inference import gate; print(callable(gate))"
    assert printed(program) == "True"


def test_reweighting_and_the_gate_import_neither_jax_nor_pymc_nor_arviz() -> None:
    imports = "import sys, postcgrp.inference.psis, postcgrp.inference.convergence"
    assert printed(f"{imports}; print(*{{'jax', 'pymc', 'arviz_stats'}} & {{*sys.modules}})") == ""
