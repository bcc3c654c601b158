"""Cases of a test that `make test` leaves to `make test-all`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def variants(cases: Iterable[Any], *, stay: int) -> list[Any]:
    """Cases for `parametrize` of which the first `stay` are in `make test`: put unlike ones first."""
    return [pytest.param(case, marks=() if k < stay else pytest.mark.slow) for k, case in enumerate(cases)]
