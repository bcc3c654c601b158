"""The package as its source has it: modules, which imports which and where, and the public names that each defines."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from postcgrp.tests.helpers.paths import ROOT

PACKAGE = "postcgrp"
FOLDERS = ("priors", "models", "inference", "reports")  # data flows this way


class Import(NamedTuple):
    """One import: by which module, of which, and whether at its top, in a function, or for the type checker alone."""

    by: str
    of: str
    where: str


@cache
def modules() -> dict[str, Path]:
    """Files of the package's modules, by dotted name without the package's own: `priors.sets`."""
    paths = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return {".".join(path.with_suffix("").parts).removesuffix(".__init__"): ROOT / path for path in paths}


def tree(path: Path) -> ast.Module:
    """The syntax tree of a source file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports() -> frozenset[Import]:
    """Every import of one of the package's modules by another."""
    return frozenset(
        Import(name, of, where)
        for name, path in modules().items()
        for target, where in _imported(tree(path), "top")
        if (of := _module(target)) and of != name
    )


def _imported(node: ast.AST, where: str) -> Iterator[tuple[str, str]]:
    """Dotted names imported below a node, `from x import y` as `x.y`, and where."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, where) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from ((f"{child.module}.{alias.name}", where) for alias in child.names)
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from _imported(child, "typing")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _imported(child, "function")
        else:
            yield from _imported(child, where)


def _module(target: str) -> str | None:
    """The module that a dotted name lies in; None if it is not this package's."""
    first, *rest = target.split(".")
    while first == PACKAGE and rest:
        if (name := ".".join(rest)) in modules():
            return name
        rest.pop()
    return None


def circles() -> set[frozenset[str]]:
    """The largest sets of modules that each reach all others of their set by imports, wherever these stand."""
    reach = {name: {name} for name in modules()}
    while True:
        wider = {name: known | {i.of for i in imports() if i.by in known} for name, known in reach.items()}
        if wider == reach:
            break
        reach = wider
    sets = {frozenset(other for other in known if name in reach[other]) for name, known in reach.items()}
    return {together for together in sets if len(together) > 1}


@cache
def names_in_several_modules() -> dict[str, tuple[str, ...]]:
    """Public functions, classes and constants at the top of two modules or more, with these modules."""
    found: dict[str, list[str]] = {}
    for module, path in modules().items():
        for name in sorted({*_defined(tree(path))}):
            if not name.startswith("_"):
                found.setdefault(name, []).append(module)
    return {name: tuple(where) for name, where in sorted(found.items()) if len(where) > 1}


@cache
def constants_in_several_modules() -> dict[str, tuple[str, ...]]:
    """Constants that two modules or more state with one value, by their name without underscores, with these modules.

    A list, tuple, set or dict of three or more is one constant under any name. Benchmarks count as modules here.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    benchmarks = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in (ROOT / "benchmarks").rglob("*.py")}
    for module, path in (modules() | benchmarks).items():
        for name, value in _literals(tree(path)):
            bare = name.strip("_").lower()
            long = isinstance(value, list | tuple | set | dict) and len(value) > 2
            found.setdefault(repr(value) if long else f"{bare} = {value!r}", []).append((bare, module))
    several = [where for where in found.values() if len({module for _, module in where}) > 1]
    return {where[0][0]: tuple(sorted(module for _, module in where)) for where in several}


def _literals(module: ast.Module) -> Iterator[tuple[str, object]]:
    """The names at the top of a module that are given a value written out in full, with that value."""
    for node in module.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            with suppress(ValueError):
                value = ast.literal_eval(node.value)
                yield from ((target.id, value) for target in targets if isinstance(target, ast.Name))


def _defined(module: ast.Module) -> Iterator[str]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.TypeAlias):
            targets = node.targets if isinstance(node, ast.Assign) else [_target(node)]
            yield from (n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))


def _target(node: ast.AnnAssign | ast.TypeAlias) -> ast.expr:
    return node.name if isinstance(node, ast.TypeAlias) else node.target
