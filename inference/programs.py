"""Traced programs kept on disk: a process that finds its program there need not rewrite and trace the model again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from jax import export

PACKAGE = Path(__file__).parents[1]
FOLDERS = ("priors", "models", "inference", "reports")
LIBRARIES = ("postcgrp", "jax", "jaxlib", "numpyro", "blackjax", "pymc", "pytensor", "numpy")
OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}  # its library for sums takes longer than these small ones do


def compiled(program: export.Exported) -> Any:
    """A program ready to be called with arrays of the shapes it was traced for."""
    shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in program.in_avals]
    positional, _ = jax.tree.unflatten(program.in_tree, shapes)
    lowered = jax.jit(program.call).lower(*positional)
    try:
        return lowered.compile(compiler_options=OPTIONS)
    except jax.errors.JaxRuntimeError:  # another XLA may not know the option
        return lowered.compile()


class Programs:
    """Programs of one model under one setting of the sampler, compiled in the background.

    `key` names the model's graph (everything but the values of its `pm.Data`) and the sampler's settings; None keeps
    nothing. Programs are stored as StableHLO, which holds no Python to be run, under the key, this package's source,
    the versions of the libraries and the device: a change of any of these finds nothing and traces anew.
    """

    def __init__(self, key: str | None, pool: ThreadPoolExecutor | None = None) -> None:
        cache = jax.config.jax_compilation_cache_dir
        self.digest = None if key is None else _digest(key)
        self.folder = None if self.digest is None or not cache else Path(cache) / "programs" / self.digest
        self.pool = pool or ThreadPoolExecutor(1)
        self.begun = dict[str, Future[Any]]()

    def begin(self) -> None:
        """Start to compile all that is stored: it leaves Python's lock free for the work that a call of it needs."""
        for path in self.folder.glob("[!.]*") if self.folder else ():
            if (found := self._load(path.name)) is not None:
                self.begun[path.name] = self.pool.submit(compiled, found)

    def compile(self, name: str, trace: Callable[[], tuple[Callable[..., Any], tuple[Any, ...]]]) -> Future[Any]:
        """The compiled program `name`; `trace` gives its function and example arguments where it is not stored.

        Stored or not, the same program is compiled, so both give the same draws.
        """
        return self.begun.get(name) or self.pool.submit(compiled, self.exported(name, trace))

    def exported(self, name: str, trace: Callable[[], tuple[Callable[..., Any], tuple[Any, ...]]]) -> export.Exported:
        """The program `name` as StableHLO."""
        found = self._load(name)
        if found is None:
            function, arguments = trace()
            found = export.export(jax.jit(function))(*arguments)
            self._save(name, found)
        return found

    def _load(self, name: str) -> export.Exported | None:
        try:
            return None if self.folder is None else export.deserialize(bytearray((self.folder / name).read_bytes()))
        except FileNotFoundError:
            return None
        except Exception:  # noqa: BLE001  a damaged file may fail in any way; the program is then traced again
            return None

    def _save(self, name: str, exported: export.Exported) -> None:
        if self.folder is None:
            return
        beside = self.folder / f".{name}.{os.getpid()}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside.write_bytes(exported.serialize())
            beside.replace(self.folder / name)
        except OSError:
            beside.unlink(missing_ok=True)  # without a place for it the next process traces again


def _digest(key: str) -> str:
    """A hash of all that a traced program follows from.

    The source of the whole package counts: a graph may be built in any of its folders, and a program kept too long
    would be used in silence.
    """
    parts = [key, jax.default_backend(), *(f"{name} {version(name)}" for name in LIBRARIES)]
    parts += [f"{path.relative_to(PACKAGE)}\n{path.read_text(encoding='utf-8')}" for path in sources()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def sources() -> list[Path]:
    """Every source file of the package."""
    return [PACKAGE / "__init__.py", *sorted(path for name in FOLDERS for path in (PACKAGE / name).rglob("*.py"))]
