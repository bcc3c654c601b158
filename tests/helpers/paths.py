"""Where the tests find the documents and the data that they read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
DATA = ROOT / "tests" / "data"
OTHER_MARKET = DATA / "other_market"
