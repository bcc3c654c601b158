"""What a process of ours is spared to import."""

from __future__ import annotations

import sys
from typing import Any

_MODULES: dict[str, Any] = sys.modules


def without_dask() -> None:
    """Keep xarray from importing Dask, which it does wherever it finds it, and which costs more than pandas.

    A None in place of a module is Python's own way to say that there is none.
    """
    _MODULES.setdefault("dask", None)


def with_dask() -> None:
    """Let Dask be imported again, for a command that needs a cluster."""
    if _MODULES.get("dask", sys) is None:
        del _MODULES["dask"]
