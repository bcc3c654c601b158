"""The dimensions of a market, and a part of it in words."""

from __future__ import annotations

from collections.abc import Mapping

SEGMENTS = ("year", "region", "depth", "modality")
SEGMENT_DIMS = SEGMENTS[1:]


def segment_in_words(where: Mapping[str, str | int]) -> str:
    """Returns the part of the market that a row is about, in words."""
    return "for " + ", ".join(f"{s} {key}" for s, key in where.items()) if where else "for the whole market"
