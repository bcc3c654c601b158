"""Every cross reference of a docstring or a comment names something that is there."""

from __future__ import annotations

import builtins
import re
from importlib import import_module
from types import ModuleType

import pytest

from postcgrp.tests.helpers.source import PACKAGE, modules

REFERENCE = re.compile(r":(?:func|class|mod|meth|attr|data|exc|obj|const):`~?([^`]*)`")


@pytest.mark.parametrize("name", modules())
def test_cross_references_resolve(name: str) -> None:
    module = import_module(f"{PACKAGE}.{name}")
    named = REFERENCE.findall(modules()[name].read_text(encoding="utf-8"))
    missing = [target for target in named if not resolves(target, module)]
    assert not missing, "write the dotted path from the package on, or correct the name"


def resolves(target: str, module: ModuleType) -> bool:
    """Whether a name is there in a module, as a member of its classes, or, from the package's name on, anywhere."""
    classes = [thing for thing in vars(module).values() if getattr(thing, "__module__", None) == module.__name__]
    if any(reaches(scope, target.split(".")) for scope in (module, builtins, *classes)):
        return True
    head, *rest = target.split(".")
    return head == PACKAGE and reaches(import_module(PACKAGE), rest)


def reaches(found: object, parts: list[str]) -> bool:
    """Whether attribute after attribute is there; a field of a class counts, and a module that is not imported yet."""
    for part in parts:
        if isinstance(found, type) and part in found.__annotations__:
            return True
        if not hasattr(found, part) and isinstance(found, ModuleType) and hasattr(found, "__path__"):
            try:
                found = import_module(f"{found.__name__}.{part}")
            except ModuleNotFoundError:
                return False
        elif not hasattr(found, part):
            return False
        else:
            found = getattr(found, part)
    return True


def test_a_reference_to_nothing_is_seen() -> None:
    run = import_module("postcgrp.reports.runs.run")
    there = (
        "Run",
        "Run.open",
        "open",
        "read",
        "written",
        "ValueError",
        "postcgrp.models",
        "postcgrp.reports.runs.run.Run",
    )
    assert [
        name for name in (*there, "Running", "Run.close", "postcgrp.nothing", "reports.runs") if not resolves(name, run)
    ] == [
        "Running",
        "Run.close",
        "postcgrp.nothing",
        "reports.runs",
    ]
