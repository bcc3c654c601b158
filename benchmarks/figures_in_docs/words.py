"""Numbers, tables and paragraphs as the documents write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

BLOCKS: dict[str, Callable[[], str]] = {}  # what stands between two marks of a page, by the name in the mark


def block(function: Callable[[], str]) -> Callable[[], str]:
    """Let pages name a function that returns Markdown."""
    BLOCKS[function.__name__] = function
    return function


def number(value: float, digits: int = 0) -> str:
    """The number with thousands in groups, a real minus sign, and no sign before zero."""
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if not text.strip("-0.,") else text.replace("-", "−")


def chance(value: float, digits: int) -> str:
    """A probability, which is never printed as zero."""
    least = 10.0**-digits
    return f"< {least:.{digits}f}" if value < least else number(value, digits)


def signed(value: float, digits: int = 0) -> str:
    """The number with its sign."""
    return ("+" if value >= 0 else "") + number(value, digits)


def to(low: float, high: float, digits: int = 0) -> str:
    """A range with a dash."""
    return f"{number(low, digits)}–{number(high, digits)}"


def percent(value: float, digits: int = 0) -> str:
    """A fraction in percent."""
    return f"{number(100 * value, digits)} %"


def error(value: float) -> str:
    """A Monte-Carlo error, to one digit that says something."""
    return number(value, 1 if value < 0.95 else 0)  # noqa: PLR2004


def table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    body = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in body)


def paragraph(text: str, width: int = 120) -> str:
    """Text broken into lines; a unit stays with its number."""
    words, lines = re.sub(r"(\d) %", "\\1\0%", " ".join(text.split())).split(" "), [""]
    for word in words:
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(lines).replace("\0", " ") + "\n"
