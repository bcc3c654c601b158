"""JAX's persistent compilation cache: later processes read back what was compiled once."""

from __future__ import annotations

import os
from pathlib import Path

import jax
from platformdirs import user_cache_path

from postcgrp.priors import InputError


def enable_cache() -> Path | None:
    """Keep compiled programs in the user's cache folder; returns the folder, or None where it cannot be made.

    `POSTCGRP_CACHE` names another folder, or none at all if it is empty. Programs are executed when they are read back,
    so the folder is created for its owner alone. JAX by itself would keep only programs that take a second to compile;
    ours are many small ones, so all are kept. Raises :class:`InputError` where JAX cannot start at all.
    """
    backend()
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


def backend() -> str:
    """The platform that JAX computes on, such as cpu. Raises :class:`InputError` where it cannot be started."""
    try:
        return str(jax.default_backend())
    except (RuntimeError, AssertionError) as error:  # the second, and empty, where it has no library for a platform
        asked = jax.config.jax_platforms
        why = " ".join(str(error).split())[:160] or "it knows no such device here"
        raise InputError(
            f"JAX_PLATFORMS={asked}: JAX cannot start there ({why}): leave it unset, or name one that this machine has"
        ) from None
