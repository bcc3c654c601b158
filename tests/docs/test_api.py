"""docs/api.md lists what is public: the names in each package's `__all__`."""

from __future__ import annotations

import importlib
import re

import pytest

from postcgrp.tests.helpers.paths import DOCS, ROOT

PACKAGES = sorted(
    ".".join(("postcgrp", *path.parent.relative_to(ROOT).parts))
    for folder in (".", "priors", "models", "inference", "reports")
    for path in (ROOT / folder).glob("__init__.py" if folder == "." else "**/__init__.py")
)


def listed() -> dict[str, list[str]]:
    """The names that docs/api.md has in the table of each package."""
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    _, *sections = re.split(r"^## `(postcgrp[\w.]*)`\n", page, flags=re.MULTILINE)
    tables = dict(zip(sections[::2], sections[1::2], strict=True))
    return {package: re.findall(r"^\| `(\w+)", text, re.MULTILINE) for package, text in tables.items()}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_lists_what_is_public(package: str) -> None:
    public = getattr(importlib.import_module(package), "__all__", [])
    assert sorted(listed().get(package, [])) == sorted(public)


def test_the_page_lists_no_other_package() -> None:
    assert set(listed()) <= set(PACKAGES)
