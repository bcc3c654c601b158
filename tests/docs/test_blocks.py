"""Every Python and shell block of README and docs runs, page by page and in the order of the page.

A page runs in a folder that holds what its reader has: the examples, and finished runs of prior draws, which take no
fit. What fits the model takes minutes and is left to the slow tests. A block that cannot run here says
why in a comment before its fence, `<!-- not run: REASON -->`.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from postcgrp.priors import PriorSet, load_ledger
from postcgrp.priors.sets import load_overlay, prior_set
from postcgrp.reports.cli.main import _parser, main
from postcgrp.reports.cli.terminal import DONE, GATE_FAILED
from postcgrp.tests.docs.pages import PAGES, READ, RUN, Block, blocks, indented
from postcgrp.tests.helpers.paths import DOCS, ROOT
from postcgrp.tests.helpers.stored import prior_run, restated

# Commands that fit the model, or judge a fit, and options that make one shorter.
FITTING: dict[str, list[str]] = {"forecast": [], "diagnose": [], "sensitivity": [], "calibrate": ["--refits", "3"]}
FITTING_CALLS = re.compile(r"\b(sample|forecast|prepare|fit_many)\(")
# Pages whose commands take seconds or more.
LONG = {"README", "page", "funnel", "evidence", "scenarios", "schema", "voi", "workbook", "exposure"}
MAKE_TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def commands(block: Block) -> list[list[str]]:
    """The commands of a shell block as words; a comment is none."""
    lines = (shlex.split(line, comments=True) for line in block.text.replace("\\\n", " ").splitlines())
    return [words for words in lines if words]


def runnable(page: Path) -> list[Block]:
    """The blocks of a page that are run."""
    return [block for block in blocks(page) if block.language in RUN and not block.reason]


def fits(block: Block) -> bool:
    if block.language == "python":
        return FITTING_CALLS.search(block.text) is not None
    return any(words[0] == "postcgrp" and words[1] in FITTING for words in commands(block))


def run_page(page: Path, *, fitting: bool) -> None:
    """Run the blocks of a page in order, without what fits the model if `fitting` is false."""
    names: dict[str, object] = {}
    for block in runnable(page):
        if block.language == "sh":
            for words in commands(block):
                run_command(words, fitting=fitting)
        elif fitting or not fits(block):
            # Empty lines in front, so that a traceback names the line of the page.
            exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), names)


def run_command(words: list[str], *, fitting: bool) -> None:
    if words[0] == "make":
        assert set(words[1:]) <= MAKE_TARGETS, shlex.join(words)
    elif words[1] not in FITTING:
        assert main(words[1:]) == DONE, shlex.join(words)
    elif fitting:
        assert main([*words[1:], *FITTING[words[1]]]) in (DONE, GATE_FAILED), shlex.join(words)


@pytest.fixture(scope="module")
def stored(pset: PriorSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs of the shipped report and of the sceptic's prior set."""
    folder = tmp_path_factory.mktemp("docs")
    run = prior_run(pset, folder / "forecast", draws=100)
    restated(run, prior_set(load_ledger(), load_overlay("sceptic")), folder / "sceptic")
    for each in folder.iterdir():
        manifest = each / "manifest.json"
        files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in each.iterdir() if p != manifest}
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"files": files}))
    return folder


@pytest.fixture
def _reader(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where a reader of a page does: beside `docs`, with runs and a ledger of one's own."""
    shutil.copytree(stored, tmp_path / "runs")
    (tmp_path / "docs").symlink_to(DOCS)
    (tmp_path / "my").mkdir()
    for file in ("report.toml", "assumptions.toml"):
        shutil.copy(ROOT / "priors" / file, tmp_path / "my")
    monkeypatch.chdir(tmp_path)


def name(page: Path) -> str:
    return page.stem


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_runs_or_says_why_not(page: Path) -> None:
    assert not [str(b) for b in blocks(page) if b.language not in RUN | READ and not b.reason]
    code = [text for text in indented(page) if re.search(r"^    (postcgrp |make |import |from )", text, re.MULTILINE)]
    assert not code, "fence it and name its language, so that it runs here"


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=name)
def test_every_command_is_one_that_the_command_line_takes(page: Path) -> None:
    for block in runnable(page):
        for words in commands(block) if block.language == "sh" else ():
            assert words[0] in ("postcgrp", "make"), f"{block}: {words[0]} is not run here: say why before the block"
            if words[0] == "postcgrp":
                _parser().parse_args(words[1:])


@pytest.mark.fit
@pytest.mark.usefixtures("_reader")
@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=pytest.mark.slow if p.stem in LONG else ()) for p in PAGES if runnable(p)],
    ids=name,
)
def test_pages_run(page: Path) -> None:
    run_page(page, fitting=False)


@pytest.mark.slow
@pytest.mark.usefixtures("_reader")
@pytest.mark.parametrize("page", [page for page in PAGES if any(map(fits, runnable(page)))], ids=name)
def test_pages_run_with_what_they_fit(page: Path) -> None:
    """On a run that was fitted, for `diagnose` and `sensitivity` ask for more than a stored one has."""
    assert main(["forecast"]) == DONE
    run_page(page, fitting=True)
