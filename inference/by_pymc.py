"""PyMC's own NUTS, the slow reference that other samplers are checked against."""

from __future__ import annotations

import numpy as np
import pymc as pm
from numpy.typing import NDArray

from postcgrp.inference.flat import Flat
from postcgrp.inference.forward import unconstrain
from postcgrp.inference.kernels import Info
from postcgrp.inference.numerics import Arrays
from postcgrp.inference.settings import Sampling


def nuts(
    model: pm.Model, flat: Flat, settings: Sampling, seed: int, begin: Arrays
) -> tuple[NDArray[np.float64], Arrays]:
    """Points [chain * draw, size] and statistics [chain, draw] by name.

    Parameters: `begin`, where chains start, by variable [1, chain, ...].
    """
    run = pm.sample(
        init="adapt_diag",
        initvals=[{rv.name: begin[rv.name][0, chain] for rv in model.free_RVs} for chain in range(settings.chains)],
        draws=settings.draws,
        tune=settings.tune,
        chains=settings.chains,
        cores=1,  # JAX has started, after which a process must not fork
        random_seed=seed,
        nuts_sampler="pymc",
        target_accept=settings.target_accept,
        progressbar=False,
        compute_convergence_checks=False,
        model=model,
    )
    posterior, stats = run["posterior"], run["sample_stats"]
    free = {rv.name: posterior[rv.name].values for rv in model.free_RVs}
    free = {name: values.reshape(-1, *values.shape[2:]) for name, values in free.items()}
    return flat.join(unconstrain(model, free)), {name: stats[name].values for name in Info._fields}
