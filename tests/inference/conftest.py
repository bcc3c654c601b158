"""What tests of inference share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """The folder of stored programs in a compilation cache of the test's own."""
    import jax  # a session of quick tests starts without it

    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path / "programs"
    jax.config.update("jax_compilation_cache_dir", before)
