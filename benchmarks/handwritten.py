"""The model of docs/model.md written by hand in NumPyro: a peer of the benchmark, and a check of the posterior.

As a careful modeller would write it from that page: a `numpyro.sample` for each random line, hierarchies non-centred,
and evidence on totals taken from totals. No change of variable: where the product's free variables are stated revenue
and the lead of a region's value, which is its trick, prices and premiums are free here. Priors, numbers and evidence
rows are the product's own; the arithmetic is not, so that equal posteriors test both.

Default settings only: the report the only source, adoption read alone, even rises, no claim left out, normal families,
and the three kinds of modality of the shipped ledger in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from arviz_stats.base import array_stats
from jax.nn import sigmoid
from jax.scipy.special import logit
from numpy.typing import ArrayLike, NDArray
from numpyro.infer import MCMC, NUTS, init_to_median

from postcgrp.priors import PriorSet
from postcgrp.priors.ledger import Modality

COMPARED = ("revenue_total", "adoption_mean", "patients", "price")
CHAINS, DRAWS, TUNE, TARGET_ACCEPT = 4, 1000, 300, 0.8
NEWTON_STEPS = 3
LARGEST_SHARE = 1 - 1e-6  # that has a logit
MILLION = 1e6


def market(pset: PriorSet) -> None:
    """The whole model; `COMPARED` and `revenue` [year, region, depth, modality] are kept as deterministic sites."""
    _, device, implant = pset.ledger.modalities
    patients = kept("patients", patients_by_segment(pset))
    pool = patients.sum(axis=(1, 2))
    candidates = patients * pset.numbers("eligible_share", "depth", modality=implant.name)

    adopted = kept("adoption_mean", path(pset, device))
    adoption = adoption_offset(pset, device, *burden(pset, patients[0]))
    launched = path(pset, implant)
    launch = region_offset(pset, implant)

    # Price is what an average treated patient costs, so that no cell is needed for the sum of all.
    treated = jnp.stack([pool, pool * adopted, candidates.sum(axis=(1, 2)) * launched], axis=-1)
    price = kept("price", jnp.exp(log_prices(pset)))
    revenue = treated * price / MILLION
    kept("revenue_total", revenue.sum(axis=-1))
    relative = relative_spend(pset)

    def cells(at: slice) -> jax.Array:
        """Revenue [year, region, depth, modality]: each year's and modality's, split like treated times their spend."""
        # Nothing times any split is nothing before the launch.
        mean = jnp.where(launched[at] > 0, launched[at], 0.5)
        use = [patients[at], patients[at] * placed(adopted[at], patients[at], adoption)]
        use.append(candidates[at] * placed(mean, candidates[at], launch))
        spend = jnp.stack(use, axis=-1) * relative
        return revenue[at][:, None, None] * spend / spend.sum(axis=(1, 2), keepdims=True)

    kept("revenue", cells(slice(None)))
    evidence(pset, revenue, cells(slice(1))[0].sum(axis=(1, 2)))


def patients_by_segment(pset: PriorSet) -> jax.Array:
    """Patients [year, region, depth]."""
    years, regions, depths = (len(pset.coords[dim]) for dim in ("year", "region", "depth"))
    growth = prior(pset, "patient_growth") + pset.number("patient_growth_region_sd") * z("growth_region", regions)
    count = prior(pset, "region_patients") * jnp.exp(prior(pset, "pool_error"))
    by_region = count * jnp.exp(np.arange(years)[:, None] * growth)
    spread = prior(pset, "depth_weight_region_sd") * z("depth_weight_region", regions, depths)
    weight = prior(pset, "depth_weight") * jnp.exp(spread)
    return by_region[..., None] * weight / weight.sum(axis=-1, keepdims=True)


def burden(pset: PriorSet, patients: jax.Array) -> tuple[jax.Array, jax.Array]:
    """MOH [region, depth], a part of acute use, and payer blocking [region], given base-year `patients`."""
    regions = len(pset.coords["region"])
    moh_mean, acute_mean = rising(pset, "burden_level")
    spread = prior(pset, "burden_region_sd")
    acute = placed(acute_mean, patients, spread * z("acute_region", regions, 1) + rise(pset, "acute_use_step"))
    given_mean = jnp.minimum(moh_mean / acute_mean, LARGEST_SHARE)
    given = placed(given_mean, patients * acute, spread * z("moh_region", regions, 1) + rise(pset, "moh_step"))
    own = pset.number("payer_block_region_sd") * z("payer_block_region", regions)
    return acute * given, sigmoid(logit(prior(pset, "payer_block_level")) + own)


def adoption_offset(pset: PriorSet, device: Modality, moh: jax.Array, blocked: jax.Array) -> jax.Array:
    """Log-odds of adoption [region, depth] around its mean."""
    own = pset.number("adoption_step_region_sd", modality=device.name) * z("adoption_step_region", len(blocked), 1)
    steps = rise(pset, "adoption_step") * jnp.exp(own)
    drivers = prior(pset, "moh_effect") * logit(moh) - prior(pset, "payer_brake") * logit(blocked)[:, None]
    return region_offset(pset, device) + steps + drivers


def region_offset(pset: PriorSet, modality: Modality) -> jax.Array:
    """Log-odds of uptake [region, 1]: the report's direction, and a region's own part."""
    size, kind = pset.number("uptake_region_size", modality=modality.name), modality.uptake
    stated = size * pset.signs("adoption_direction", "region", modality.name)
    return (prior(pset, f"{kind}_region_sd") * z(f"{kind}_region", len(stated)) + stated)[:, None]


def path(pset: PriorSet, modality: Modality) -> jax.Array:
    """Mean uptake [year], rising between its levels at the anchors by Dirichlet shares; a launch's from zero."""
    kind, knots, years = modality.uptake, pset.uptake_years(modality), pset.ledger.years
    level = rising(pset, f"{kind}_level")
    concentration = pset.number(f"{kind}_path_concentration", modality=modality.name)
    if kind == "launch":
        level = jnp.concatenate([jnp.zeros(1), level])
    parts = [jnp.zeros(knots[0] - years[0]), level[:1]]
    for k, (start, end) in enumerate(pairwise(knots)):
        weight = np.arange(1.0, end - start + 1) if kind == "launch" and k == 0 else np.ones(end - start)
        share = variable(f"{kind}_path_{end}", dist.Dirichlet(concentration * weight / weight.sum()))
        parts.append(level[k] + (level[k + 1] - level[k]) * jnp.cumsum(share))
    return jnp.concatenate(parts)


def log_prices(pset: PriorSet) -> jax.Array:
    """Log spend per treated patient-year [year, modality]: growth between anchors, and noise pinned to zero there."""
    years, first, columns = np.array(pset.ledger.years), jnp.log(prior(pset, "price", "first_price")), []
    for k, modality in enumerate(pset.ledger.modalities):
        anchors = np.array(pset.anchors(modality))
        gain = np.diff(anchors) * prior(pset, f"price_growth_{modality.key}")
        between = np.stack([np.interp(years, anchors, one) for one in np.eye(len(anchors))], axis=1)
        walk = jnp.cumsum(z(f"price_noise_{modality.key}", len(years)))
        pinned = walk - between @ walk[anchors - years[0]]
        trend = between @ (first[k] + jnp.concatenate([jnp.zeros(1), jnp.cumsum(gain)]))
        columns.append(trend + pset.number("price_noise", modality=modality.name) * pinned)
    return jnp.stack(columns, axis=1)


def relative_spend(pset: PriorSet) -> jax.Array:
    """Spend per treated patient [region, depth, modality] up to a common factor; a procedure has no depth's price."""
    regions, modalities = len(pset.coords["region"]), pset.ledger.modalities
    own = pset.number("region_premium_modality_sd") * z("premium_region_modality", regions, len(modalities))
    premium = prior(pset, "region_premium")[:, None] + own
    graded = np.array([float(modality.uptake != "launch") for modality in modalities])
    return jnp.exp(premium[:, None] + rise(pset, "intensity_step")[:, None] * graded)


def evidence(pset: PriorSet, revenue: jax.Array, base_year: jax.Array) -> None:
    """Observe `revenue` [year, modality] with the vendor's error, shares of `base_year` revenue [region] without it."""
    anchors, first = list(pset.ledger.report.anchors), pset.ledger.years[0]
    step_sd = np.sqrt(np.diff(pset.vendor_log_sd(anchors) ** 2, prepend=0.0))
    error = jnp.cumsum(step_sd * z("vendor_error", len(anchors)))
    means = []
    for row in pset.evidence:
        if row.quantity == "revenue_share":
            means.append(jnp.log(base_year[pset.coords["region"].index(str(row.region))] / base_year.sum()))
        else:
            of = [row.modality in (None, modality.name) for modality in pset.ledger.modalities]
            means.append(jnp.log(revenue[row.year - first, np.array(of)].sum()) + error[anchors.index(row.year)])
    value, log_sd = np.array([(row.value, row.log_sd) for row in pset.evidence]).T
    numpyro.sample("evidence", dist.Normal(jnp.stack(means), log_sd), obs=np.log(value))


# ---- parts of parts ------------------------------------------------------------------------------------------------


def z(name: str, *shape: int) -> jax.Array:
    """Independent standard normals."""
    return variable(name, dist.Normal().expand(shape))


def variable(name: str, distribution: dist.Distribution) -> jax.Array:
    """A free variable of the model."""
    drawn: jax.Array = numpyro.sample(name, distribution)
    return drawn


def prior(pset: PriorSet, name: str, site: str | None = None) -> jax.Array:
    """A variable with the prior of one block, on its natural scale; its `site` has the block's name unless said."""
    (mu, sd), site = link_normal(pset, name), site or name
    match pset.blocks[name].priors[0].family:
        case "lognormal":
            return variable(site, dist.LogNormal(mu, sd))
        case "logitnormal":
            return sigmoid(variable(f"{site}_logit", dist.Normal(mu, sd)))
    return variable(site, dist.Normal(mu, sd))


def kept(name: str, value: jax.Array) -> jax.Array:
    """A value that is stored with the draws."""
    numpyro.deterministic(name, value)
    return value


def rising(pset: PriorSet, name: str) -> jax.Array:
    """Correlated logit-normals of one block that never fall along it."""
    mu, sd = link_normal(pset, name)
    return jax.lax.cummax(sigmoid(mu + sd * (pset.blocks[name].cholesky @ z(name, len(mu)))))


def rise(pset: PriorSet, name: str) -> jax.Array:
    """Sum of a block's steps up to each depth [depth], from zero."""
    return jnp.concatenate([jnp.zeros(1), jnp.cumsum(prior(pset, name))])


def link_normal(pset: PriorSet, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and sd of a block on its link scale."""
    block = pset.blocks[name]
    mu, sd = np.array([(one.mu, one.sd) for one in block.priors]).T
    return (mu, sd) if block.dims else (mu[0], sd[0])


def placed(mean: ArrayLike, weight: jax.Array, offset: jax.Array) -> jax.Array:
    """Shares sigmoid(c + offset) [..., region, depth] whose weighted mean is `mean` [...]: Newton's method for c."""
    weight = weight / weight.sum(axis=(-2, -1), keepdims=True)

    def average(cells: jax.Array) -> jax.Array:
        return (weight * cells).sum(axis=(-2, -1), keepdims=True)

    goal, centre = logit(jnp.asarray(mean))[..., None, None], average(offset + jnp.zeros_like(weight))
    c = goal * jnp.sqrt(1 + jnp.pi / 8 * average((offset - centre) ** 2)) - centre
    for _ in range(NEWTON_STEPS):
        share = sigmoid(c + offset)
        now = average(share)
        c += (goal - logit(now)) * now * (1 - now) / average(share * (1 - share))
    return sigmoid(c + offset)


# ---- sampling, and what to compare ---------------------------------------------------------------------------------


def sampler(pset: PriorSet) -> MCMC:
    """Stock NUTS on the model, ready to `run`: the first run compiles, later ones only sample.

    As many host devices as chains must have been set (`numpyro.set_host_device_count`), and 64 bits.
    """
    kernel = NUTS(partial(market, pset), target_accept_prob=TARGET_ACCEPT, init_strategy=init_to_median)
    return MCMC(
        kernel, num_warmup=TUNE, num_samples=DRAWS, num_chains=CHAINS, chain_method=compiled_once(), progress_bar=False
    )


def compiled_once() -> Callable[[Any], Any]:
    """NumPyro's "parallel", one device for each chain, but for compiling again in every run."""
    programs: list[Callable[[Any], Any]] = []

    def method(chain: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def run(arguments: Any) -> Any:
            if not programs:
                programs.append(jax.pmap(chain).lower(arguments).compile())
            return programs[0](arguments)

        return run

    return method


def agreement(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, float]:
    """How far two posteriors lie apart, the largest over every cell of `COMPARED` [chain, draw, ...].

    Returns `z_mean` and `z_sd`, differences of means and sds in their Monte-Carlo standard errors, and `sd`, the
    relative difference of sds.
    """
    largest = {"z_mean": 0.0, "z_sd": 0.0, "sd": 0.0}
    for name in COMPARED:
        runs = [np.asarray(run[name]) for run in (first, second)]
        for what, figure in (("mean", np.mean), ("sd", np.std)):
            one, other = (figure(run, axis=(0, 1)) for run in runs)
            error = np.hypot(*(array_stats.mcse(run, chain_axis=0, draw_axis=1, method=what) for run in runs))
            largest[f"z_{what}"] = float(np.maximum(largest[f"z_{what}"], np.max(np.abs(one - other) / error)))
        largest["sd"] = float(np.maximum(largest["sd"], np.max(np.abs(one / other - 1))))
    return largest
