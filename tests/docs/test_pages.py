"""What the pages name exists: files, links, options and commands; and figures are marked as their script expects."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from postcgrp.benchmarks.figures_in_docs.__main__ import MARKED
from postcgrp.benchmarks.figures_in_docs.words import BLOCKS
from postcgrp.reports.cli.main import _parser
from postcgrp.tests.docs.pages import PAGES, prose
from postcgrp.tests.helpers.paths import DOCS, ROOT

README = ROOT / "README.md"
FOLDERS = {"priors", "models", "inference", "reports", "tests", "docs", "benchmarks"}
OF_OTHERS = {"--check"}  # options of scripts and tools, not of `postcgrp`


def subparsers() -> dict[str, argparse.ArgumentParser]:
    (action,) = (a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_that_a_page_names_exist(page: Path) -> None:
    """Every Python file by its full path, and whatever else lies in a folder of the repository."""
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"[\w./-]+\.py\b", text))
    named |= {path for path in re.findall(r"`([\w./-]+/[\w.-]*)`", text) if path.split("/")[0] in FOLDERS}
    assert not [path for path in sorted(named) if not (ROOT / path).exists()]


def test_what_the_map_names_in_a_file_is_defined_there() -> None:
    """A row of "Where things are" names functions, classes, constants or keys beside the files that have them."""
    rows = (DOCS / "index.md").read_text(encoding="utf-8").partition("## Where things are")[2].split("\n## ")[0]
    pairs = re.findall(r"`(\w+)` in `([\w/.]+)`", rows)
    pairs += [(name, path) for path, name in re.findall(r"`([\w/.]+)`, function `(\w+)`", rows)]
    assert len(pairs) >= 9, "one for each question that a place in the code answers"
    for name, path in pairs:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^(def |class )?{name}\b[ (:]", text, re.MULTILINE), f"{path} has no {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not target.startswith("http"):
            path, _, anchor = target.partition("#")
            there = page.parent / path if path else page
            assert there.exists(), target
            assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_that_a_page_names_exist(page: Path) -> None:
    known = {option for sub in subparsers().values() for option in sub._option_string_actions} | OF_OTHERS
    inline = " ".join(re.findall(r"`([^`\n]+)`", prose(page)))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", inline)) <= known


def test_every_command_is_documented() -> None:
    stated = re.findall(r"^\| `postcgrp (\w+)", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(stated) == sorted(subparsers())


def test_the_index_names_every_page() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    assert not [page.name for page in PAGES if page.name != "index.md" and f"{page.name})" not in index]


def test_every_figure_is_marked_once_and_has_its_function() -> None:
    texts = {page: page.read_text(encoding="utf-8") for page in PAGES}
    marks = [m["name"] for text in texts.values() for m in MARKED.finditer(text)]
    assert sorted(marks) == sorted(BLOCKS)
    begun = [len(re.findall(r"^<!-- figures: \w+ -->$", text, re.MULTILINE)) for text in texts.values()]
    assert begun == [len(re.findall(r"^<!-- end -->$", text, re.MULTILINE)) for text in texts.values()]
    assert sum(begun) == len(marks)
