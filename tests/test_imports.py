"""The graph of imports: no circle, nothing to its right, wings apart; and one home for each public name."""

from __future__ import annotations

import ast
from importlib import import_module

import pytest

from postcgrp.tests.helpers.paths import ROOT
from postcgrp.tests.helpers.source import (
    FOLDERS,
    circles,
    constants_in_several_modules,
    imports,
    modules,
    names_in_several_modules,
    tree,
)

# What a wing of reports/ may import beside runs/ and forecast/, and why.
ALLOWED: dict[str, dict[str, str]] = {
    "runs": {},  # nor forecast/: a forecast is written by runs/
    "forecast": {"page": "a forecast writes its page"},
    "page": {"sensitivity": "--compare", "valuation": "--deal", "scenarios": "--scenario"},
    "sensitivity": {"valuation": "deal_flips"},
    "calibration": {},
    "valuation": {"scenarios": "--scenario"},
    "export": {},
    "workbook": {"export": "sheets", "valuation": "rNPV"},
    "exposure": {"export": "draws"},
    "scenarios": {"exposure": "who is exposed"},
    "cli": dict.fromkeys(
        ("sensitivity", "calibration", "valuation", "export", "workbook", "page", "exposure", "scenarios"), "commands"
    ),
}
OPEN = ("runs", "forecast")
# One idea that several modules state for themselves: a type, or what each file or command has.
SHARED = {
    "Array": "type",  # of floating point numbers
    "Arrays": "type",  # arrays by name; the simulator imports nothing of inference
    "SCHEMA": "version",  # of the kind of file that the module reads or writes
    "add": "interface",  # every module of cli/ adds its commands by it
}
# One value that two modules each have by themselves.
CHOSEN_APART = {
    "most_bars": "look",  # how many bars one figure has room for says nothing of another
}
# Second readings of the model, which share no constant with the first.
INDEPENDENT = ("models.simulator", "models.simulator_dice", "models.simulator_evidence", "models.simulator_lines")


def wing(module: str) -> str | None:
    """The wing of reports/ that a module lies in."""
    folder, *rest = module.split(".")
    return rest[0] if folder == "reports" and rest and rest[0] in ALLOWED else None


def test_no_circle_of_imports_also_not_in_functions_or_for_types() -> None:
    assert not circles()


def test_no_folder_imports_to_its_right() -> None:
    order = FOLDERS.index
    wrong = [i for i in imports() if order(i.by.split(".")[0]) < order(i.of.split(".")[0])]
    assert not wrong


def test_no_module_imports_the_package_that_it_lies_in() -> None:
    """What a package hands out is found by name when first asked for: a circle that no import shows."""
    assert not [i for i in imports() if i.by.startswith(f"{i.of}.")]


def test_wings_import_runs_forecast_and_what_their_command_needs() -> None:
    folders = {path.name for path in (ROOT / "reports").iterdir() if (path / "__init__.py").exists()}
    assert folders == set(ALLOWED), "name a new wing in ALLOWED, with what it needs"
    crossings = {(i.by, i.of) for i in imports() if (b := wing(i.by)) and (o := wing(i.of)) and b != o}
    wrong = {
        (by, of)
        for by, of in crossings
        if wing(of) not in ALLOWED[str(wing(by))] and (wing(of) not in OPEN or wing(by) == "runs")
    }
    assert not wrong


def test_every_allowed_crossing_is_used() -> None:
    used = {(wing(i.by), wing(i.of)) for i in imports()}
    assert {(b, o) for b, others in ALLOWED.items() for o in others} <= used


def test_nobody_imports_the_command_line() -> None:
    from_outside = {(i.by, i.of) for i in imports() if wing(i.of) == "cli" != wing(i.by)}
    assert not from_outside


def test_no_test_module_imports_another() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(tree(path)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [f"{node.module}.{a.name}" for a in node.names] if isinstance(node, ast.ImportFrom) else []
            names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            shared = [name for name in names if any(part.startswith("test_") for part in name.split("."))]
            assert not shared, f"{path.relative_to(ROOT)} imports {shared[0]}: move what is shared into tests/helpers"


def test_a_public_name_has_one_home() -> None:
    apart = {name: {*where} - {*INDEPENDENT} for name, where in names_in_several_modules().items()}
    several = {name for name, where in apart.items() if len(where) > 1}
    assert several | {"Arrays"} == {*SHARED}, "rename or move a new one; delete from SHARED what has one home"


def test_a_constant_has_one_home_also_behind_an_underscore() -> None:
    copies = {
        name: apart
        for name, where in constants_in_several_modules().items()
        if name not in CHOSEN_APART and len(apart := {*where} - {*INDEPENDENT}) > 1
    }
    assert not copies, "state it in one module and import it from there"


@pytest.mark.parametrize("package", ["", *(name for name, path in modules().items() if path.name == "__init__.py")])
def test_all_that_a_package_promises_exists(package: str) -> None:
    found = import_module(f"postcgrp.{package}".rstrip("."))
    names = getattr(found, "__all__", [])
    assert sorted(names) == list(dict.fromkeys(sorted(names)))
    for name in names:
        assert getattr(found, name) is not None
