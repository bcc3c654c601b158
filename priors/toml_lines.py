"""The line of a TOML file on which a table or a key stands: the parser of the standard library keeps none."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

type Location = tuple[int | str, ...]  # keys of tables, and positions in lists of tables, from 0

# Comments and strings, longest quotes first; what is inside them is no structure.
_OPAQUE = re.compile(
    r'#[^\n]*|"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'',
    re.DOTALL,
)
_HEADER = re.compile(r"[ \t]*(?P<open>\[\[?)(?P<name>[^\]]+)\]")
_KEY = re.compile(r"[ \t]*(?P<name>[^=\[\]{},]+?)[ \t]*=")


def toml_lines(text: str) -> dict[Location, int]:
    """Returns the line, from 1, of each table and of each key in it, by its path in the parsed file.

    Tables written inline, inside brackets or braces, have the line of the key before them. Parameters: `text`, valid
    TOML.
    """
    masked = _OPAQUE.sub(lambda found: re.sub(r"[^\n]", "_", found[0]), text)
    lines: dict[Location, int] = {}
    rows: dict[Location, int] = {}  # the current position in each list of tables
    table: Location = ()
    depth = 0  # of brackets and braces that are open
    starts = 0
    inside = _inside_strings(text)
    for number, line in enumerate(masked.split("\n"), start=1):
        original, at = text[starts : starts + len(line)], starts
        starts += len(line) + 1
        rest = line
        if depth == 0 and at not in inside:
            if header := _HEADER.match(line):
                path = _path(original[slice(*header.span("name"))])
                table = _entered(path, rows, many=header["open"] == "[[")
                lines[table] = number
                continue
            if key := _KEY.match(line):
                lines[table + _path(original[slice(*key.span("name"))])] = number
                rest = line[key.end() :]
        depth += sum(rest.count(mark) for mark in "[{") - sum(rest.count(mark) for mark in "]}")
    return lines


def line_of(lines: Mapping[Location, int], at: Location) -> int | None:
    """Returns the line of a location, or of the nearest table around it; None for one that is not in the file."""
    return next((lines[at[:size]] for size in range(len(at), 0, -1) if at[:size] in lines), None)


def _inside_strings(text: str) -> set[int]:
    """Returns the positions of the line starts that lie inside a string of several lines."""
    return {
        found.start() + k + 1
        for found in _OPAQUE.finditer(text)
        for k, character in enumerate(found[0])
        if character == "\n"
    }


def _path(name: str) -> tuple[str, ...]:
    """Returns the keys of a dotted name, quoted or not."""
    content, path = tomllib.loads(f"{name.strip()} = 0"), list[str]()
    while isinstance(content, dict):
        ((key, content),) = content.items()
        path.append(key)
    return tuple(path)


def _entered(path: tuple[str, ...], rows: dict[Location, int], *, many: bool) -> Location:
    """Returns the location of the table that a header opens, and counts it where it is one of a list."""
    location: Location = ()
    for k, key in enumerate(path):
        location += (key,)
        if many and k == len(path) - 1:
            rows[location] = rows.get(location, -1) + 1
        if location in rows:
            location += (rows[location],)
    return location
