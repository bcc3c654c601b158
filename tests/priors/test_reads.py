"""Which assumptions a model takes: what is declared is what building one looks up."""

from __future__ import annotations

import pytest

from postcgrp.models import build_model
from postcgrp.priors import Ledger, build, effective, load_ledger, lookup
from postcgrp.priors.ledger import Assumption
from postcgrp.priors.lookup import Key
from postcgrp.priors.numbers import unread_rows
from postcgrp.priors.reads import ANYWHERE, BY_SCENARIOS, rows_read
from postcgrp.tests.helpers.markets import CHANGES, prior_set_of


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
        build_model(effective(ledger))
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
    ],
)
def test_declared_reads_are_the_reads_of_a_model(name: str) -> None:
    ledger = prior_set_of(CHANGES[name]).ledger
    files = {k for k, row in enumerate(ledger.assumptions) if row.id in (*ANYWHERE, *BY_SCENARIOS)}
    assert rows_read(ledger) == looked_up(ledger) | files


@pytest.mark.fit
def test_declared_reads_of_the_shipped_ledger() -> None:
    ledger = load_ledger()
    scenarios = {k for k, row in enumerate(ledger.assumptions) if row.id in BY_SCENARIOS}
    assert rows_read(ledger) == looked_up(ledger) | scenarios
    assert unread_rows(ledger) == ("burden_logit_sd", "adoption_logit_sd")
