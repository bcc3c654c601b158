"""With nothing new in it, the model gives the posterior that its first edition gave."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from postcgrp.inference import Sampling, sample
from postcgrp.inference.diagnostics import mcse_mean
from postcgrp.models import build_model
from postcgrp.priors import load_ledger
from postcgrp.priors.build import effective
from postcgrp.priors.settings import Settings
from postcgrp.tests.helpers.paths import DATA, OTHER_MARKET

pytestmark = pytest.mark.fit

ERRORS = 5.0  # Monte-Carlo errors that 21 means may lie apart
REFERENCE = DATA / "first_edition.csv"  # of postcgrp 0.2 on the invented market, 4 x 4000 draws


@pytest.mark.slow
def test_without_a_tie_a_drift_or_a_turn_of_growth_the_posterior_is_that_of_the_first_edition() -> None:
    ledger = load_ledger(OTHER_MARKET / "report.toml", OTHER_MARKET / "assumptions.toml")
    fixed = {"depth_drift": 0.0, "patient_growth_correlation": 1.0}
    rows = tuple(
        row.model_copy(update={"value": fixed[row.id], "low": None, "high": None}) if row.id in fixed else row
        for row in ledger.assumptions
    )
    pset = effective(ledger.model_copy(update={"assumptions": rows}), replace(Settings(), vendor_build_up=0.0))
    draws = sample(build_model(pset), Sampling(seed=3, draws=2000))["posterior"].to_dataset()
    people = draws["patients"].sum(("region", "depth"))
    quantities = {
        "revenue_total": draws["revenue_total"],
        "patients": people,
        "adoption_mean": draws["adoption_mean"],
        "price": draws["price"],
    }
    for row in pd.read_csv(REFERENCE).to_dict("records"):
        name, _, place = str(row["quantity"]).rstrip("]").partition("[")
        year, _, modality = place.partition(", ")
        cell = {"year": int(year), **({"modality": modality} if modality else {})}
        values = quantities[name].sel(cell).transpose("chain", "draw").values
        values = values if name == "adoption_mean" else np.log(values)
        assert abs(values.mean() - row["mean"]) < ERRORS * np.hypot(mcse_mean(values), row["mcse"]), row["quantity"]
        assert values.std() == pytest.approx(row["sd"], rel=0.06), row["quantity"]
