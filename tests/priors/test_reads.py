"""Which assumptions a model takes: what is declared is what building one looks up."""

from __future__ import annotations

from typing import Any

import pytest

from postcgrp.models import build_model
from postcgrp.priors import Ledger, build, effective, load_ledger, lookup
from postcgrp.priors.catalogue import ELIGIBLE
from postcgrp.priors.ledger import Assumption
from postcgrp.priors.lookup import Key
from postcgrp.priors.numbers import unread_rows
from postcgrp.priors.reads import ANYWHERE, BY_SCENARIOS, rows_read
from postcgrp.priors.settings import STRINGENCIES, Settings
from postcgrp.tests.helpers.markets import CHANGES, assumption, prior_set_of


def looked_up(ledger: Ledger) -> set[int]:
    """Returns the positions of the assumptions that building the model of a ledger looks up."""
    real, taken = lookup.assumption, set[int]()

    def spy(of: Ledger, name: str, where: dict[str, Key]) -> Assumption:
        row = real(of, name, where)
        taken.add(next(k for k, each in enumerate(ledger.assumptions) if each == row))
        return row

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "assumption", spy)
        patch.setattr(lookup, "assumption", spy)
        stated = {row.id for row in ledger.assumptions}
        for stringency in (s for s in STRINGENCIES if s == Settings.stringency or ELIGIBLE[s] in stated):
            build_model(effective(ledger, Settings(stringency=stringency)))
    return taken


@pytest.mark.fit
@pytest.mark.parametrize(
    "name",
    [
        "as it is",
        "only everyone",
        "five modalities",
        "launch before the last anchor",
        "a launch of one depth",
        "burden and blocking",
        "burden as points",
        "only overuse",
        "points for ranges",
        "one region, one depth, one modality",
        "lines",
        "a line for all",
        "two pipeline lines",
        "lines of a launched modality",
        "a launched modality without lines",
    ],
)
def test_declared_reads_are_the_reads_of_a_model(name: str) -> None:
    ledger = prior_set_of(CHANGES[name]).ledger
    files = {k for k, row in enumerate(ledger.assumptions) if row.id in (*ANYWHERE, *BY_SCENARIOS)}
    assert rows_read(ledger) == looked_up(ledger) | files


@pytest.mark.fit
def test_declared_reads_of_the_shipped_ledger() -> None:
    ledger = load_ledger()
    files = {k for k, row in enumerate(ledger.assumptions) if row.id in (*ANYWHERE, *BY_SCENARIOS)}
    assert rows_read(ledger) == looked_up(ledger) | files
    assert unread_rows(ledger) == ()  # spreads of points are there for sets that state one


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (assumption("line_net_ratio", "fraction", line="toxin", region="EU5", low=0.4, high=0.6), ()),
        (assumption("line_drift", "logit", line="device", low=-0.2, high=0.2), ("line_drift[device]",)),
        (assumption("launch_speed", "years", line="toxin", low=2.0, high=5.0), ("launch_speed[toxin]",)),
        (
            assumption("line_exclusivity_fall", "fraction", line="implant_case", low=0.1, high=0.5),
            ("line_exclusivity_fall[implant_case]",),
        ),
        (
            assumption("price", "USD per patient-year", modality="non_invasive", low=2000.0, high=5000.0),
            ("price[non_invasive]",),
        ),
    ],
    ids=lambda value: value["id"] if isinstance(value, dict) else None,
)
def test_a_row_that_no_line_takes_is_named(row: dict[str, Any], said: tuple[str, ...]) -> None:
    tables = load_ledger().model_dump()
    twin = [a for a in tables["assumptions"] if not all(a.get(k) == row.get(k) for k in ("id", "line", "region"))]
    assert unread_rows(Ledger.model_validate(tables | {"assumptions": [*twin, row]})) == said
