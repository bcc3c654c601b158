"""The living page of a run: one HTML file that answers an investor's questions from the joint draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from postcgrp.priors import InputError
from postcgrp.priors.audit import Finding, audit
from postcgrp.reports.forecast.tables import tables_of
from postcgrp.reports.page.content import LARGEST_PAGE, content
from postcgrp.reports.page.document import render
from postcgrp.reports.runs.run import Run


def page(
    run: Run,
    tables: Mapping[str, pd.DataFrame] | None = None,
    findings: Sequence[Finding] | None = None,
    *,
    deals: Sequence[Mapping[str, Any]] = (),
    compared: Mapping[str, Any] | None = None,
) -> str:
    """The page of a run as HTML.

    Parameters: `tables` and `findings`, where they were computed before, see
    :func:`postcgrp.reports.forecast.tables.tables_of` and :func:`postcgrp.priors.audit.audit`; `deals`, see
    :func:`postcgrp.reports.page.deals.deal_data`; `compared`, see :func:`postcgrp.reports.page.compared.against`.
    Raises :class:`InputError` for more deals than a page can carry.
    """
    made = content(
        run,
        tables_of(run.tree, run.priors) if tables is None else tables,
        audit(run.priors.ledger) if findings is None else findings,
        deals=deals,
        compared=compared,
    )
    text = render("page.html.j2", made.said, styles=["page"], data=made.data)
    if deals and len(text.encode()) > LARGEST_PAGE:
        raise InputError(
            f"--deal: with {len(deals)} deals the page has {len(text.encode()) / 1e6:.1f} MB, but at most "
            f"{LARGEST_PAGE / 1e6:.0f} are opened quickly: make a page for fewer deals"
        )
    return text
