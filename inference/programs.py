"""Traced programs kept on disk, so that a later process need not rewrite and trace the model again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

from postcgrp.inference.cache import backend
from postcgrp.inference.numerics import FLOAT
from postcgrp.priors.files import FOLDERS, replacing

PACKAGE = Path(__file__).parents[1]
TRACING_LIBRARIES = ("postcgrp", "jax", "jaxlib", "numpyro", "blackjax", "pymc", "pytensor", "numpy")
CHECKSUM = hashlib.sha256().digest_size  # bytes at the head of a stored file, the hash of all that follow
# XLA's own library for sums takes longer than these small sums do (docs/performance.md).
COMPILER_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}

Trace = Callable[[], tuple[Callable[..., Any], tuple[Any, ...]]]  # gives a function and example arguments


def compiled(program: export.Exported) -> Any:
    """A program ready to be called with arrays of the shapes it was traced for."""
    shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in program.in_avals]
    positional, _ = jax.tree.unflatten(program.in_tree, shapes)
    lowered = jax.jit(program.call).lower(*positional)
    try:
        return lowered.compile(compiler_options=COMPILER_OPTIONS)
    except jax.errors.JaxRuntimeError:  # another version of XLA may not know the option
        return lowered.compile()


class Programs:
    """Programs of one model under one setting of the sampler, compiled in the background.

    `key` names the model's graph (everything but the values of its `pm.Data`) and the sampler's settings; None keeps
    nothing. `data`, the values that programs are given, by name: a stored one that was traced for other shapes or types
    of them is traced again. Programs are stored as StableHLO, which holds no Python to be run, under a hash of the key,
    this package's source, the versions of the libraries, the device and the precision: after a change of any of these,
    programs are traced anew.
    """

    def __init__(
        self, key: str | None, pool: ThreadPoolExecutor | None = None, data: Mapping[str, Any] | None = None
    ) -> None:
        cache = jax.config.jax_compilation_cache_dir
        self.digest = None if key is None else _digest(key)
        self.folder = None if self.digest is None or not cache else Path(cache) / "programs" / self.digest
        self.pool = pool or ThreadPoolExecutor(1)
        self.data = {name: (np.shape(value), np.asarray(value).dtype) for name, value in (data or {}).items()}
        self.begun = dict[str, Future[Any]]()

    def begin(self, *names: str) -> None:
        """Start to compile those of these programs that are stored, in this order.

        Meanwhile Python can do the work that must precede their first call.
        """
        for name in names:
            if (program := self._load(name)) is not None:
                self.begun[name] = self.pool.submit(compiled, program)

    def compile(self, name: str, trace: Trace) -> Future[Any]:
        """The compiled program `name`, traced only if it is not stored.

        Stored or not, the same program is compiled, so both give the same draws.
        """
        if name not in self.begun:
            self.begun[name] = self.pool.submit(compiled, self.exported(name, trace))
        return self.begun[name]

    def exported(self, name: str, trace: Trace) -> export.Exported:
        """The program `name` as StableHLO, traced only if it is not stored."""
        program = self._load(name)
        if program is None:
            function, arguments = trace()
            program = export.export(jax.jit(function))(*arguments)
            self._save(name, program)
        return program

    def text(self, name: str, make: Callable[[], str]) -> str:
        """What is said of the model under a name; made only if it is not stored, or stored for data of other shapes."""
        shapes = repr(sorted(self.data.items()))
        stored = self._read(name)
        if stored is not None:
            of, _, text = stored.decode().partition("\n")
            if of == shapes:
                return text
        text = make()
        self._write(name, f"{shapes}\n{text}".encode())
        return text

    def _load(self, name: str) -> export.Exported | None:
        """A stored program; None where there is none, or not as it was written, or it takes other data."""
        if (content := self._read(name)) is None:
            return None
        # What JAX itself wrote under these versions it can read: an error here is a bug, and is raised.
        program = export.deserialize(bytearray(content))
        return program if self._takes_data(program) else None

    def _read(self, name: str) -> bytes | None:
        """What is stored under a name; None where there is nothing, or it is not as it was written."""
        if self.folder is None:
            return None
        try:
            stored = (self.folder / name).read_bytes()
        except OSError:
            return None
        checksum, content = stored[:CHECKSUM], stored[CHECKSUM:]
        return content if hashlib.sha256(content).digest() == checksum else None

    def _takes_data(self, program: export.Exported) -> bool:
        """Whether a program's arguments that have the names of the data have their shapes and types."""
        arguments, _ = jax.tree.unflatten(program.in_tree, [(aval.shape, aval.dtype) for aval in program.in_avals])
        named = (argument for argument in arguments if isinstance(argument, dict))
        return all(argument == self.data for argument in named if argument.keys() == self.data.keys())

    def _save(self, name: str, program: export.Exported) -> None:
        if self.folder is not None:
            self._write(name, bytes(program.serialize()))

    def _write(self, name: str, content: bytes) -> None:
        if self.folder is None:
            return
        with suppress(OSError):  # without a place for it, the next process traces again
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with replacing(self.folder / name) as beside:
                beside.write_bytes(hashlib.sha256(content).digest() + content)


def _digest(key: str) -> str:
    """A hash of everything that a traced program follows from.

    The source of the whole package counts: a graph may be built in any of its folders, and an outdated program would
    be used in silence.
    """
    parts = [key, backend(), FLOAT, *(f"{name} {version(name)}" for name in TRACING_LIBRARIES)]
    parts += [f"{path.relative_to(PACKAGE)}\n{path.read_text(encoding='utf-8')}" for path in sources()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def sources() -> list[Path]:
    """Every source file of the package."""
    return [PACKAGE / "__init__.py", *sorted(path for name in FOLDERS for path in (PACKAGE / name).rglob("*.py"))]
