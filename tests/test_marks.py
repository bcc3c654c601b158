"""Which tests `make test` leaves out is told, with the reason of each."""

from __future__ import annotations

import os
import re

import pytest

from postcgrp.tests.helpers.paths import ROOT
from postcgrp.tests.helpers.variants import variants

MODULES = sorted((ROOT / "tests").rglob("test_*.py"))
MARKED = re.compile(r"^((?:@.*\n(?:[^@d\n].*\n)*)+)def (test_\w+)\(", re.MULTILINE)


def sources() -> dict[str, str]:
    """The source of every module of tests but this one, by its path."""
    return {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for path in MODULES
        if path.name != "test_marks.py"
    }


def test_every_slow_test_is_listed_with_its_reason() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(test_\w+)` \| .{20,} \|$", text, re.MULTILINE)
    slow = {
        name for source in sources().values() for marks, name in MARKED.findall(source) if "pytest.mark.slow" in marks
    }
    assert len(listed) == len(set(listed))
    assert set(listed) == slow
    listed = re.findall(r"^- `(tests/\S+\.py)`: .{20,}", text, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == {name for name, source in sources().items() if "variants(" in source}


@pytest.mark.parametrize("stay", [0, 1, 2])
def test_the_first_variants_stay(stay: int) -> None:
    cases = variants("ab", stay=stay)
    assert [case.values for case in cases] == [("a",), ("b",)]
    assert [bool(case.marks) for case in cases] == [stay < 1, stay < 2]


def test_what_builds_or_compiles_is_not_among_the_quick_tests(request: pytest.FixtureRequest) -> None:
    """Of those that this session runs: the rules of `tests/conftest.py` mark them."""
    builds = re.compile(r"^ *(import|from) (jax|pymc|pytensor)\b|\bbuild_model\(", re.MULTILINE)
    heavy = {
        path for path in MODULES if path.parent.name in ("inference", "models") and builds.search(path.read_text())
    }
    assert len(heavy) > 10
    assert not [i.nodeid for i in request.session.items if i.path in heavy and i.get_closest_marker("fit") is None]


def test_no_module_of_tests_asks_for_other_devices() -> None:
    """As importing `pymc.sampling.jax` does: every test and process after it would then compile programs of its own."""
    assert "device_count" not in os.environ.get("XLA_FLAGS", "")
