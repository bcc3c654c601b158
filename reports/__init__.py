"""Summaries, figures, the page, run folders and the command line."""
