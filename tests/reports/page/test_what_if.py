"""Scenarios on the page: what each says, what it would move, and hostile words as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from postcgrp.priors import PriorSet, load_scenario
from postcgrp.priors.scenarios import Scenario
from postcgrp.reports.page.living import living_page
from postcgrp.reports.page.what_if import what_if
from postcgrp.tests.helpers.stored import prior_run

pytestmark = pytest.mark.fit  # compiles
HOSTILE = Scenario(name="<img src=x onerror=hacked=1>", says="</script><script>hacked=2</script>")


def test_the_page_shows_scenarios_as_text(pset: PriorSet, tmp_path: Path) -> None:
    run = prior_run(pset, tmp_path / "run", 60)
    told = what_if(run, [load_scenario("payers-open"), HOSTILE])
    titles = [table["title"] for table in told["tables"]]
    assert len(titles) == 1 + 2 + 3  # what they say, two later anchors, three modalities
    last = told["tables"][2]
    assert [row[0] for row in last["rows"]] == ["base", "payers-open", HOSTILE.name]
    assert last["rows"][1][2].startswith("+")
    text = living_page(run, under=[load_scenario("payers-open"), HOSTILE])
    assert '<section id="what-if"' in text
    assert "<img src=x" not in text
    assert "<script>hacked" not in text
    assert '<section id="what-if"' not in living_page(run)
