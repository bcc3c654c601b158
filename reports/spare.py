"""What a process of ours is spared to import."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import Any


class _NoDask(MetaPathFinder):
    def find_spec(self, name: str, *_: Any) -> None:
        """Not found, and no other finder is asked."""
        if name == "dask.array":
            raise ModuleNotFoundError(name=name)


def without_dask() -> None:
    """Keep xarray from importing `dask.array` into a process of ours, which costs as much as pandas and is not used."""
    # Not a None in `sys.modules`, which SciPy takes for the module itself.
    sys.meta_path.insert(0, _NoDask())
