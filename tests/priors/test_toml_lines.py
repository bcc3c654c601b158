"""Lines of TOML files: every table and key of a file is found on the line where it stands."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postcgrp.priors.shipped import ASSUMPTIONS_FILE, REPORT_FILE, shipped
from postcgrp.priors.toml_lines import Location, line_of, toml_lines
from postcgrp.tests.helpers.paths import EXAMPLES

HARD = '''\
top = 1 # [not.a.table]
"quoted key" = "a = b # c"

[one]
text = """
[two]
key = 3
"""
other = \'\'\'[[three]] \'\'\'
list = [
  "a = 1",   # [x]
  [1, 2],
]

[[row]]
id = "first"
[row.inside]
deep.er = 1
[[row]]
id = "second"
inline = { a = 1, b = [2, 3] }
[[row.cell]]
x = 1
[[row.cell]]
x = 2
'''


def test_lines_of_a_hard_file() -> None:
    lines = toml_lines(HARD)
    assert tomllib.loads(HARD)["row"][1]["cell"][1] == {"x": 2}
    assert lines == {
        ("top",): 1,
        ("quoted key",): 2,
        ("one",): 4,
        ("one", "text"): 5,
        ("one", "other"): 9,
        ("one", "list"): 10,
        ("row", 0): 15,
        ("row", 0, "id"): 16,
        ("row", 0, "inside"): 17,
        ("row", 0, "inside", "deep", "er"): 18,
        ("row", 1): 19,
        ("row", 1, "id"): 20,
        ("row", 1, "inline"): 21,
        ("row", 1, "cell", 0): 22,
        ("row", 1, "cell", 0, "x"): 23,
        ("row", 1, "cell", 1): 24,
        ("row", 1, "cell", 1, "x"): 25,
    }
    assert line_of(lines, ("row", 1, "inline", "b", 0)) == 21
    assert line_of(lines, ("row", 1, "missing")) == 19
    assert line_of(lines, ("nowhere",)) is None


def leaves(content: Any, at: Location = ()) -> Iterator[Location]:
    """Every table of a file and every key in it, but for what is written inline."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield (*at, key)
            yield from leaves(value, (*at, key))
    elif isinstance(content, list):
        for k, value in enumerate(content):
            yield from leaves(value, (*at, k))


@pytest.mark.parametrize("path", [REPORT_FILE, ASSUMPTIONS_FILE, *shipped().values(), *sorted(EXAMPLES.glob("*.toml"))])
def test_every_key_of_a_shipped_file_has_its_line(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines, written = toml_lines(text), text.split("\n")
    found = set(leaves(tomllib.loads(text)))
    assert set(lines) <= found | {at[:-1] for at in found}
    for at, line in lines.items():
        assert str(at[-1] if isinstance(at[-1], str) else at[-2]) in written[line - 1]
    for at in found:
        assert line_of(lines, at) or isinstance(at[-1], str)
