"""What the wheel holds, which way imports point, and that the report's numbers stay out of the code."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import requires
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from postcgrp.priors import load_ledger
from postcgrp.tests.helpers.paths import ROOT
from postcgrp.tests.helpers.source import FOLDERS

MODULES = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
PACKAGES = ["postcgrp", *(f"postcgrp.{name}" for name in FOLDERS if name != "reports")]
PACKAGES += [
    f"postcgrp.reports.{p.parent.name}" for p in sorted(ROOT.glob("reports/*/__init__.py")) if p.parent.name != "cli"
]
NOT_SOURCE = {"build", "dist", "runs"}  # at the top
NEVER_SOURCE = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree: building leaves files beside what it builds."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        return NEVER_SOURCE(folder, names) | (NOT_SOURCE if Path(folder) == ROOT else set())

    return Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("wheel") / "source", ignore=left_out))


@pytest.fixture(scope="module")
def wheel(source: Path) -> set[str]:
    """Names of the files in the wheel."""
    out = source.with_name("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = out.glob("*.whl")
    with ZipFile(path) as archive:
        return set(archive.namelist())


@pytest.mark.fit
def test_wheel_holds_the_package_and_its_data_and_nothing_else(source: Path, wheel: set[str]) -> None:
    files = [source / "__init__.py", source / "py.typed", *(source / "priors").rglob("*.toml")]
    files += [path for folder in FOLDERS for path in (source / folder).rglob("*.py")]
    files += (source / "reports" / "page").glob("*/*")
    package = {name for name in wheel if not re.match(r"postcgrp-[^/]+\.dist-info/", name)}
    assert package == {f"postcgrp/{path.relative_to(source).as_posix()}" for path in files}


@pytest.mark.fit
def test_wheel_holds_what_a_run_needs(wheel: set[str]) -> None:
    needed = {"py.typed", "priors/report.toml", "priors/assumptions.toml", *(f"{f}/__init__.py" for f in FOLDERS)}
    assert {f"postcgrp/{name}" for name in needed} <= wheel
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel)


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, postcgrp, postcgrp.reports.cli.main; print(*sorted({n.split('.')[0] for n in sys.modules}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "pandas", "scipy", "xarray", "pydantic", "jax", "pymc", "vl_convert", "rich", "arviz_stats"}
    assert not heavy & {*result.stdout.split()}


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_there_and_unknown_ones_are_not(package: str) -> None:
    module = import_module(package)
    for name in module.__all__:
        assert getattr(module, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # noqa: B018


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_are_absolute_and_point_left(module: Path) -> None:
    allowed = FOLDERS[: FOLDERS.index(module.parts[0]) + 1]
    for name in _imports(_tree(module)):
        first, *rest = name.split(".")
        assert first not in ("", *FOLDERS, "tests", "benchmarks"), f"{name}: write postcgrp.<folder>.<module>"
        if first == "postcgrp":
            assert rest, "import a folder of postcgrp: its root is for users"
            assert rest[0] in allowed, f"{module} imports {name}, which is to its right"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_numbers_of_the_report_stay_in_the_ledger(module: Path) -> None:
    found = {n.value for n in ast.walk(_tree(module)) if isinstance(n, ast.Constant) and type(n.value) in (int, float)}
    assert not found & _telling_numbers(), "these stand in the report: read them from the ledger"


def test_telling_numbers_are_the_reports_own() -> None:
    telling = _telling_numbers()
    assert {432, 660, 870, 388, 560, 130_000, 0.206, 2025, 2030, 2035} <= telling
    assert not {0, 0.05, 0.5, 0.9, 0.95, 1, 1.01, 10, 12, 30, 50, 80, 90, 100, 250, 365, 400, 500, 1000} & telling


def test_every_dependency_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) and pin.url is None for pin in pins)
    names = [canonicalize_name(pin.name) for pin in pins]
    assert names == sorted(set(names))
    assert set(names) == _closure(Requirement("postcgrp[dev]")) - {"postcgrp"}


def _tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names) if module == "postcgrp" else (module,)


@cache
def _telling_numbers() -> set[float]:
    """The report's numbers that nobody writes by chance: three digits that count, or from 100 up two; its anchors."""
    ledger = load_ledger()
    values = {v for c in ledger.claims if c.unit != "year" for v in (c.value, c.low, c.high) if v is not None}
    return {v for v in values if _digits(v) >= (2 if abs(v) >= 100 else 3)} | set(ledger.report.anchors)


def _digits(value: float) -> int:
    """How many digits count: 3 in 0.206, 2 in 120, 1 in 30 000."""
    mantissa, _ = f"{abs(value):.14e}".split("e")
    return len(mantissa.replace(".", "").strip("0"))


def _closure(requirement: Requirement) -> set[str]:
    """Names of a requirement and of all that it needs, by the metadata of what is installed."""
    todo, seen = [requirement], set()
    while todo:
        current = todo.pop()
        name = canonicalize_name(current.name)
        extras = ("", *sorted(current.extras))
        if (name, extras) not in seen:
            seen.add((name, extras))
            needs = [Requirement(text) for text in requires(name) or ()]
            todo += [n for n in needs if n.marker is None or any(n.marker.evaluate({"extra": e}) for e in extras)]
    return {name for name, _ in seen}
