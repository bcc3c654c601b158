"""What tests share: compiled programs, and three fits of the report, each made once for all processes of a session.

Both are kept in pytest's own cache folder and named by all that they follow from, so a session after a change of tests
alone finds them there. `make clean` removes them.
"""

from __future__ import annotations

import fcntl
import gc
import os
import pickle
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # a session of quick tests starts without PyMC and JAX
    import pymc as pm
    from xarray import DataTree

    from postcgrp.inference import Sampling
    from postcgrp.priors import Ledger, PriorSet

FITTED = ("run", "bottom_up", "exact", "model")  # fixtures: a test that asks for one is marked `fit`
HEAVY = ("jax", "pm", "build_model")  # names: where a test module of these folders has one, its tests are marked so
HEAVY_FOLDERS = ("inference", "models")
QUICK = "not fit and not slow"  # what `make check` asks for
UNOPTIMISED = "--xla_backend_optimization_level=0"
KEPT_DAYS = 3


def pytest_configure(config: pytest.Config) -> None:
    """Share compiled programs between this process, its workers, and the commands that tests start."""
    # Recording where each node was created takes a fifth of building a graph, and only helps when one fails.
    os.environ.setdefault("PYTENSOR_FLAGS", "traceback__limit=0")
    flags = os.environ.get("XLA_FLAGS", "").split()
    # Of short fits: without LLVM's optimisations programs compile in two thirds. A worker has the flag already.
    if "not slow" in config.option.markexpr and UNOPTIMISED not in flags:
        os.environ["XLA_FLAGS"] = " ".join([*flags, UNOPTIMISED])
    if "POSTCGRP_CACHE" in os.environ or not config.pluginmanager.hasplugin("cacheprovider"):
        return  # a worker has it from the process that started it
    folder = config.cache.mkdir("programs")
    for path in folder.rglob("*"):
        if path.is_file() and time.time() - path.stat().st_mtime > KEPT_DAYS * 86_400:
            path.unlink(missing_ok=True)
    os.environ["POSTCGRP_CACHE"] = str(folder)  # for the product's own `enable_cache`
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)  # for tests that call JAX without it
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import, with PyMC and JAX, a module of which a session of quick tests would run nothing."""
    if config.option.markexpr != QUICK or not collection_path.match("test_*.py"):
        return None
    return "\npytestmark = pytest.mark.fit\n" in collection_path.read_text(encoding="utf-8") or None


def pytest_collection_finish() -> None:
    """Look for garbage less often, and not among what is imported: graphs of models are many small objects."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def asks(item: pytest.Item) -> bool:
        return not {*FITTED}.isdisjoint(getattr(item, "fixturenames", ()))

    # Last in its module what needs a shared fit: one process makes it, and the other has something else to do.
    modules = {path: k for k, path in enumerate(dict.fromkeys(item.path for item in items))}
    items.sort(key=lambda item: (modules[item.path], asks(item)))
    for item in items:
        module = vars(item.module) if isinstance(item, pytest.Function) and item.module else {}
        if asks(item) or (item.path.parent.name in HEAVY_FOLDERS and not {*HEAVY}.isdisjoint(module)):
            item.add_marker(pytest.mark.fit)


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    from postcgrp.priors import load_ledger

    return load_ledger()


@pytest.fixture(scope="session")
def pset(ledger: Ledger) -> PriorSet:
    from postcgrp.priors import effective

    return effective(ledger)


@pytest.fixture(scope="session")
def model(pset: PriorSet) -> pm.Model:
    from postcgrp.models import build_model

    return build_model(pset)


@pytest.fixture(scope="session")
def run(pset: PriorSet) -> DataTree:
    """The real report at the default settings."""
    from postcgrp.inference import Sampling

    return fitted("run", pset, Sampling())


@pytest.fixture(scope="session")
def bottom_up(pset: PriorSet) -> DataTree:
    """The same priors without any evidence."""
    from postcgrp.inference import Sampling

    return fitted("bottom_up", pset.with_evidence([]), Sampling())


@pytest.fixture(scope="session")
def exact(pset: PriorSet) -> DataTree:
    """The revenue evidence as if it were nearly exact, launches as the report assumes them, and all successful."""
    from postcgrp.inference import Sampling

    given = {"success_probability": 40.0, "vendor_build_up": -40.0, "launch_year": 2028.0, "vendor_launch_year": 2028.0}
    blocks = {
        name: replace(block, priors=tuple(replace(prior, mu=given[name], sd=0.0) for prior in block.priors))
        for name, block in pset.blocks.items()
        if name in given
    }
    sure = [replace(row, log_sd=2e-3) if row.quantity == "revenue" else row for row in pset.evidence]
    trust = pset.trust.model_copy(update={"base_log_sd": 1e-3, "final_log_sd": 2e-3})
    surely = replace(pset, blocks=pset.blocks | blocks, evidence=tuple(sure), trust=trust)
    return fitted("exact", surely, Sampling(draws=500))


def fitted(name: str, pset: PriorSet, settings: Sampling) -> DataTree:
    """The fit of a prior set, read where another process or session has made it from the same source and libraries."""
    from postcgrp.inference import enable_cache, sample
    from postcgrp.inference.programs import Programs
    from postcgrp.models.blueprint import market_blueprint

    def made() -> DataTree:
        return sample(market_blueprint(pset), settings)

    if (folder := enable_cache()) is None:
        return made()
    flags = os.environ.get("XLA_FLAGS", "")
    path = folder / "fits" / f"{name}-{Programs(f'{pset.fingerprint()} {settings} {flags}').digest}.pickle"
    path.parent.mkdir(exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes second waits for the fit instead of making it too
        if path.exists():
            found: DataTree = pickle.loads(path.read_bytes())
            return found
        fit = made()
        beside = path.with_suffix(".partial")
        beside.write_bytes(pickle.dumps(fit))
        beside.replace(path)
        return fit
