"""postcgrp: a hierarchical Bayesian forecast of one market, from the ranges of a market-research report."""
