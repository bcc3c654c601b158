"""What if: a run's market under scenarios, on its own draws."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.reports.scenarios.answer import ScenarioAnswer, scenarios
    from postcgrp.reports.scenarios.conditions import given
    from postcgrp.reports.scenarios.market import WhatIf, under_scenario
    from postcgrp.reports.scenarios.tables import scenario_table

__all__ = ["ScenarioAnswer", "WhatIf", "given", "scenario_table", "scenarios", "under_scenario"]

if not TYPE_CHECKING:  # or the type checker would take any name for a public one
    __getattr__ = lazy.attributes(
        __name__,
        {
            "WhatIf": "market",
            "ScenarioAnswer": "answer",
            "given": "conditions",
            "scenario_table": "tables",
            "scenarios": "answer",
            "under_scenario": "market",
        },
    )
