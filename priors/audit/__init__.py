"""The report against itself."""
