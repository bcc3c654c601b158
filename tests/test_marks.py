"""Which tests `make test` leaves out is told, with the reason of each."""

from __future__ import annotations

import re

from postcgrp.tests.helpers.paths import ROOT

SLOW = re.compile(r"^((?:@.*\n(?:[^@d\n].*\n)*)+)def (test_\w+)\(", re.MULTILINE)


def test_every_slow_test_is_listed_with_its_reason() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(test_\w+)` \| .{20,} \|$", text, re.MULTILINE)
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    slow = {name for source in sources for marks, name in SLOW.findall(source) if "pytest.mark.slow" in marks}
    assert len(listed) == len(set(listed))
    assert set(listed) == slow
