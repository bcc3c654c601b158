"""Shared fits: each is made once a session, for the compilation is what costs."""

from __future__ import annotations

from dataclasses import replace

import pymc as pm
import pytest
from xarray import DataTree

from postcgrp.inference import Sampling, sample
from postcgrp.models import build_model
from postcgrp.priors import Ledger, PriorSet, effective, load_ledger


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    return load_ledger()


@pytest.fixture(scope="session")
def pset(ledger: Ledger) -> PriorSet:
    return effective(ledger)


@pytest.fixture(scope="session")
def model(pset: PriorSet) -> pm.Model:
    return build_model(pset)


@pytest.fixture(scope="session")
def run(model: pm.Model) -> DataTree:
    """The real report at the default settings."""
    return sample(model, Sampling())


@pytest.fixture(scope="session")
def bottom_up(pset: PriorSet) -> DataTree:
    """The same priors without any evidence."""
    return sample(build_model(pset.with_evidence([])), Sampling())


@pytest.fixture(scope="session")
def exact(pset: PriorSet) -> DataTree:
    """The revenue evidence as if it were nearly exact."""
    sure = [replace(row, log_sd=2e-3) if row.quantity == "revenue" else row for row in pset.evidence]
    trust = pset.trust.model_copy(update={"base_log_sd": 1e-3, "final_log_sd": 2e-3})
    return sample(build_model(replace(pset, evidence=tuple(sure), trust=trust)), Sampling(draws=500))
