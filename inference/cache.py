"""JAX's persistent compilation cache: a program compiled once is read back by every later process."""

from __future__ import annotations

import os
from pathlib import Path

import jax
from platformdirs import user_cache_path


def enable_cache() -> Path | None:
    """Use the user's cache folder, or the one `POSTCGRP_CACHE` names ("" for none); None where it cannot be written.

    Compiled programs are executed when read back, so the folder is created for its owner alone.
    """
    chosen = os.environ.get("POSTCGRP_CACHE")
    if chosen == "":
        return None
    folder = Path(chosen) if chosen else user_cache_path("postcgrp") / "jax"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder
