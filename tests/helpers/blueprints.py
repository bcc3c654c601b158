"""Any model as a blueprint, so that its programs are kept under a name; a market with the programs of a forecast."""

from __future__ import annotations

import pymc as pm

from postcgrp.inference import Sampling
from postcgrp.inference.hmc import jittered_hmc
from postcgrp.inference.jaxify import model_data
from postcgrp.inference.programs import Programs
from postcgrp.inference.target import Target
from postcgrp.models.blueprint import Blueprint, market_blueprint
from postcgrp.priors import PriorSet


def named(model: pm.Model, key: str) -> Blueprint:
    return Blueprint(key, model_data(model), model.coords, lambda: model)


def forecast_target(pset: PriorSet) -> Target:
    """The model of a prior set with the programs that a forecast of it has, stored where one was made."""
    model = market_blueprint(pset)
    return Target(model, lambda data: Programs(f"{model.key} {jittered_hmc(Sampling()).program}", None, data))
