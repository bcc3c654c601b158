"""The arithmetic of every program: double precision, and JAX set up for it, whatever the environment asks for."""

from __future__ import annotations

from typing import Any

import jax

FLOAT = "float64"
# For the whole process, whatever its environment asks for.
_JAX_SETTINGS: dict[str, Any] = {
    "jax_enable_x64": True,  # double precision, in which our models are written
    # Programs run in the thread that calls them: chains have threads of their own, and handing over costs time
    # (docs/performance.md).
    "jax_cpu_enable_async_dispatch": False,
    # There is nothing to run but compiled programs, in which a proposal may well be rejected for a density of NaN; the
    # gate asks whether any is left in the draws.
    "jax_disable_jit": False,
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    # PyTensor's graphs mix types and ranks as NumPy does.
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
}
for _name, _value in _JAX_SETTINGS.items():
    jax.config.update(_name, _value)

Arrays = dict[str, Any]
