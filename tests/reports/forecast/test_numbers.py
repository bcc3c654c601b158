"""Numbers as readers see them."""

from __future__ import annotations

import pytest

from postcgrp.reports.forecast.numbers import short


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (999.4, "999"),
        (999.6, "1,000"),  # not 1e+03
        (-999.6, "-1,000"),
        (1234.5, "1,234"),
        (12.345, "12.3"),
        (0.0012345, "0.00123"),
        (-0.0, "0"),
    ],
)
def test_three_digits_and_from_a_thousand_on_whole(number: float, text: str) -> None:
    assert short(number) == text


def test_more_digits_below_a_thousand() -> None:
    assert [short(x, 4) for x in (999.64, 999.96, 12.3456)] == ["999.6", "1,000", "12.35"]
