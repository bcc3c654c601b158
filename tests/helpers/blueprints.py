"""Any model as a blueprint, so that its programs are kept under a name."""

from __future__ import annotations

import pymc as pm

from postcgrp.inference.jaxify import model_data
from postcgrp.models.blueprint import Blueprint


def named(model: pm.Model, key: str) -> Blueprint:
    return Blueprint(key, model_data(model), model.coords, lambda: model)
