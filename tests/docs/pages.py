"""The pages of the documentation, and the code blocks in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from postcgrp.tests.helpers.paths import DOCS, ROOT

PAGES = (ROOT / "README.md", *sorted(DOCS.glob("*.md")))
RUN = {"python", "sh"}
READ = {"toml", "text", "mermaid"}  # not to be run; tests of their own read the TOML
FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>.+?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
INDENTED = re.compile(r"\n\n((?:    .+\n|\n(?=    ))+)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the line it begins in, its language, its text, and why it is not run (or empty)."""

    page: Path
    line: int
    language: str
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """The fenced blocks of a page in their order, of one language if it is given."""
    text = page.read_text(encoding="utf-8")
    found = [
        Block(page, text[: m.start("text")].count("\n") + 1, m["language"], m["text"], m["reason"] or "")
        for m in FENCE.finditer(text)
    ]
    return [block for block in found if language in (None, block.language)]


def indented(page: Path) -> list[str]:
    """The indented blocks of a page."""
    return INDENTED.findall(FENCE.sub("", page.read_text(encoding="utf-8")))


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))
