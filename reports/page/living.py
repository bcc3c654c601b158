"""The living page of a run: one HTML file that answers an investor's questions from the joint draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from postcgrp.priors import InputError
from postcgrp.priors.audit import audit
from postcgrp.priors.scenarios import Scenario
from postcgrp.reports.forecast.tables import tables_of
from postcgrp.reports.page.compared import beside_another
from postcgrp.reports.page.content import LARGEST_PAGE
from postcgrp.reports.page.deals import deal_data
from postcgrp.reports.page.document import written
from postcgrp.reports.page.market import drawn
from postcgrp.reports.page.what_if import what_if
from postcgrp.reports.runs.run import Run
from postcgrp.reports.valuation.deal import load_deal
from postcgrp.reports.valuation.valuation import price_all


def living_page(
    run: Run,
    deals: Sequence[str | Path] = (),
    other: Run | None = None,
    *,
    seed: int = 1,
    under: Sequence[Scenario] = (),
) -> str:
    """The page of a run as HTML, with deals (paths of TOML files) to re-price and another run to compare with.

    Parameters: `under`, scenarios to show beside it; `seed` of the deals' own inputs, as for
    :func:`postcgrp.reports.valuation.valuation.price_all`, and of scenarios. Raises :class:`InputError` for deals,
    scenarios or a run that do not fit, and for more deals than a page can carry.
    """
    priced = price_all(run, [load_deal(path) for path in deals], seed) if deals else []
    took = drawn(run)
    text = written(
        run,
        tables_of(run.tree, run.priors),
        audit(run.priors.ledger),
        deals=[deal_data(one, took) for one in priced],
        compared=None if other is None else beside_another(run, other),
        scenarios=what_if(run, under, seed) if under else None,
    )
    if (size := len(text.encode())) > LARGEST_PAGE and deals:
        raise InputError(
            f"--deal: with {len(deals)} deals the page would have {size / 1e6:.1f} MB, but at most "
            f"{LARGEST_PAGE / 1e6:.0f} MB open quickly: make a page for fewer deals"
        )
    return text
