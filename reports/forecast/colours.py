"""The colours of figures and workbooks: blue and orange first, and all from a palette for every kind of eyes.

The palette is that of Okabe and Ito (2008, "Color Universal Design"), without yellow, which is too pale on white.
"""

from __future__ import annotations

ACCENT = "#0072b2"  # what the model says: posteriors, gains, the deal
CONTRAST = "#d55e00"  # what that is held against: the report's numbers, losses, limits
NEUTRAL = "#8c8c8c"  # before the evidence, starts and ends, what is left over
SEGMENT_COLOURS = (ACCENT, "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8c510a", "#5b4a9c")
GRID_LINES = "#e6e6e6"
INK, QUIET = "#222222", "#5c5c5c"  # text, and what explains it
