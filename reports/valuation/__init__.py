"""What is a deal worth, and what is it worth to learn."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.reports.valuation.answer import Answer, value
    from postcgrp.reports.valuation.deal import Deal, load_deal, read_deal
    from postcgrp.reports.valuation.information import evppi, evsi
    from postcgrp.reports.valuation.information_inputs import voi
    from postcgrp.reports.valuation.valuation import Valuation, price, price_all

__all__ = [
    "Answer",
    "Deal",
    "Valuation",
    "evppi",
    "evsi",
    "load_deal",
    "price",
    "price_all",
    "read_deal",
    "value",
    "voi",
]

if not TYPE_CHECKING:  # or the type checker would take any name for a public one
    __getattr__ = lazy.attributes(
        __name__,
        {
            "Answer": "answer",
            "Deal": "deal",
            "Valuation": "valuation",
            "load_deal": "deal",
            "price": "valuation",
            "price_all": "valuation",
            "read_deal": "deal",
            "value": "answer",
            "voi": "information_inputs",
            "evppi": "information",
            "evsi": "information",
        },
    )
