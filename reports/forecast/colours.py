"""The colours of figures and workbooks. Apart from `style`, so that a workbook does not load matplotlib."""

from __future__ import annotations

ACCENT = "#1f5a96"  # what the model says: posteriors, gains, the deal
CONTRAST = "#c8502d"  # what that is held against: the report's numbers, losses, limits
NEUTRAL = "#9a9a9a"  # before the evidence, starts and ends, what is left over
SEGMENT_COLOURS = (ACCENT, "#e0a030", "#4a9c6d", "#8a5aa8", "#8c8c8c", "#b85450", "#3d9fb0")
GRID_LINES = "#e6e6e6"
