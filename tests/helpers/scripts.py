"""The page's JavaScript modules on an empty page, called from Python."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from postcgrp.reports.page.document import joined
from postcgrp.tests.helpers.browser import Page, browser, chromium

needs_chromium = pytest.mark.skipif(chromium() is None, reason="no Chromium (chromium, google-chrome) on the path")


def modules_page(folder: Path, modules: Sequence[str], names: Sequence[str], data: Any = None) -> Path:
    """A page with some modules, whose `names` can be called as `lib.NAME`, and `data` as `given`."""
    text = json.dumps(data).replace("<", "\\u003c")
    path = folder / "modules.html"
    path.write_text(
        f"<!doctype html><meta charset=utf-8><div id=place></div><script>const given = {text};\n"
        f"const lib = (() => {{ 'use strict';\n{joined(modules)}\nreturn {{ {', '.join(names)} }}; }})();</script>",
        encoding="utf-8",
    )
    return path


@contextmanager
def scripts(folder: Path, modules: Sequence[str], names: Sequence[str], data: Any = None) -> Iterator[Page]:
    """A browser on :func:`modules_page`."""
    with browser() as page:
        page.open(modules_page(folder, modules, names, data))
        assert not page.problems
        yield page
