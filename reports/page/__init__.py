"""The page and the memo of a run: what an investor reads and asks, as HTML files that load nothing."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.reports.page.living import living_page
    from postcgrp.reports.page.memorandum import memo

__all__ = [
    "living_page",
    "memo",
]

if not TYPE_CHECKING:  # or the type checker would take any name for a public one
    __getattr__ = lazy.attributes(
        __name__,
        {
            "living_page": "living",
            "memo": "memorandum",
        },
    )
