"""What must always hold of the model, recomputed from draws with plain xarray."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pymc.sampling.jax import get_jaxified_logp
from pytensor.graph.traversal import ancestors
from scipy import special, stats
from xarray import DataTree

from postcgrp.inference import Sampling, gate, passed, sample
from postcgrp.inference.density import Density, density
from postcgrp.inference.forward import ONCE, draw_prior
from postcgrp.models import build_model
from postcgrp.models.shapes import Sticks, redistribute
from postcgrp.priors import PriorSet, Settings, effective

pytestmark = pytest.mark.fit

GROUPS = ("prior", "posterior")
PUBLIC = {
    "revenue": ("year", "region", "depth", "modality"),
    "revenue_total": ("year",),
    "patients": ("year", "region", "depth"),
    "adoption": ("year", "region", "depth"),
    "adoption_mean": ("year",),
    "acute_use": ("region", "depth"),
    "moh": ("region", "depth"),
    "use": ("year", "region", "depth", "modality"),
    "intensity": ("year", "region", "depth", "modality"),
    "price": ("year", "modality"),
    "depth_share": ("region", "depth"),
    "payer_block": ("region",),
}


@pytest.mark.parametrize("group", GROUPS)
def test_public_names_and_dims(run: DataTree, group: str) -> None:
    for name, dims in PUBLIC.items():
        assert run.children[group].dataset[name].dims == ("chain", "draw", *dims)
    assert set(run.children) == {
        "prior",
        "prior_predictive",
        "posterior",
        "posterior_predictive",
        "log_prior",
        "log_likelihood",
        "sample_stats",
        "observed_data",
        "constant_data",
    }


@pytest.mark.parametrize("group", GROUPS)
def test_cells_sum_to_the_total_in_every_draw(run: DataTree, group: str) -> None:
    draws = run.children[group].dataset
    for order in (["modality", "region", "depth"], ["depth", "modality", "region"]):
        total = draws["revenue"]
        for dim in order:
            total = total.sum(dim)
        assert np.allclose(total, draws["revenue_total"], rtol=1e-9, atol=0)
    product = draws["patients"] * draws["use"] * draws["intensity"] / 1e6
    assert np.allclose(product.transpose(*draws["revenue"].dims), draws["revenue"], rtol=1e-9, atol=0)


@pytest.mark.parametrize("group", GROUPS)
def test_values_are_possible_in_every_draw(run: DataTree, pset: PriorSet, group: str) -> None:
    draws = run.children[group].dataset
    for name, values in draws.data_vars.items():
        assert np.isfinite(values).all(), name
    assert (draws["patients"] > 0).all()
    assert (draws["intensity"] > 0).all()
    assert ((draws["use"] >= 0) & (draws["use"] <= 1)).all()
    assert np.allclose(draws["depth_share"].sum("depth"), 1, atol=1e-12)
    assert (draws["revenue"].sel(modality=["pharmacologic", "non_invasive"]) > 0).all()
    launch = int(pset.number("launch_year", modality="implantable"))
    implants = draws["revenue"].sel(modality="implantable")
    assert (implants.sel(year=slice(None, launch - 1)) == 0).all()
    assert (implants.sel(year=slice(launch, None), depth="3+") > 0).all()
    assert (implants.sel(depth="1") == 0).all()


@pytest.mark.parametrize("group", GROUPS)
def test_orderings_hold_in_every_draw(run: DataTree, group: str) -> None:
    draws = run.children[group].dataset
    assert (draws["moh"] <= draws["acute_use"]).all()
    for name in ("adoption", "acute_use", "moh"):
        assert (draws[name].diff("depth") >= 0).all(), name
    assert (draws["intensity"].diff("depth") >= -1e-9 * draws["intensity"].isel(depth=0)).all()
    assert (draws["adoption_mean"].diff("year") >= -1e-9).all()


@pytest.mark.parametrize("group", GROUPS)
def test_aggregates_are_the_quantities_that_carry_the_ranges(run: DataTree, group: str) -> None:
    draws = run.children[group].dataset
    weights = draws["patients"]
    mean = (weights * draws["adoption"]).sum(["region", "depth"]) / weights.sum(["region", "depth"])
    assert np.allclose(mean, draws["adoption_mean"], rtol=1e-9)
    level = draws["adoption_level"]
    assert np.allclose(mean.sel(year=level["anchor"].values), level, rtol=1e-9)
    base = weights.isel(year=0)
    for name in ("acute_use", "moh"):
        mean = (base * draws[name]).sum(["region", "depth"]) / base.sum(["region", "depth"])
        assert np.allclose(mean, draws["burden_level"].sel(burden=name), rtol=1e-9)
    users = weights * draws["use"]
    spent = (users * draws["intensity"]).sum(["region", "depth"])
    sold = users.sum(["region", "depth"]) > 0
    price = (spent / users.sum(["region", "depth"])).where(sold)
    assert np.allclose(price.fillna(0), draws["price"].where(sold).fillna(0), rtol=1e-9)


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_ranged_claims_keep_their_mass_in_the_prior(pset: PriorSet, coverage: float) -> None:
    again = effective(pset.ledger, Settings(coverage=coverage))
    model = build_model(again.with_evidence([]))
    free = draw_prior(model, 40_000, seed=1)
    for name in ("adoption_level", "burden_level"):
        block = again.blocks[name]
        index = [rv.name for rv in model.free_RVs].index(f"{name}_z")
        value = model.value_vars[index].name
        logit = [prior.mu for prior in block.priors] + np.array([p.sd for p in block.priors]) * (
            free[value] @ block.cholesky.T
        )
        level = np.maximum.accumulate(1 / (1 + np.exp(-logit)), axis=1)
        for k, prior in enumerate(block.priors):
            assert prior.low is not None
            assert prior.high is not None
            assert np.mean(level[:, k] < prior.low) == pytest.approx((1 - coverage) / 2, abs=0.005)
            assert np.mean((level[:, k] > prior.low) & (level[:, k] < prior.high)) == pytest.approx(coverage, abs=0.01)


def test_ranged_claims_keep_their_mass_in_the_prior_group(run: DataTree, pset: PriorSet) -> None:
    """The same from the stored draws, as patient-weighted means of the stored cells."""
    prior = run.children["prior"].dataset
    base = prior["patients"].isel(year=0)
    means = {
        name: (base * prior[name]).sum(["region", "depth"]) / base.sum(["region", "depth"])
        for name in ("moh", "acute_use")
    }
    means |= {f"adoption[{y}, non_invasive]": prior["adoption_mean"].sel(year=y) for y in pset.ledger.report.anchors}
    for claim in (*pset.blocks["burden_level"].priors, *pset.blocks["adoption_level"].priors):
        assert claim.low is not None
        assert claim.high is not None
        values = means[claim.name].values
        assert np.mean((values > claim.low) & (values < claim.high)) == pytest.approx(0.9, abs=0.01), claim.name


def test_price_keeps_its_prior_although_revenue_is_the_free_variable(run: DataTree, pset: PriorSet) -> None:
    price = run.children["prior"].dataset["price"]
    for k, modality in enumerate(pset.ledger.modalities):
        draws = price.sel(modality=modality.name, year=pset.anchors(modality)[0]).values.ravel()
        prior = pset.blocks["price"].priors[k]
        assert stats.kstest(draws, prior.cdf).pvalue > 1e-4
    ratio = price.sel(year=2030) / price.sel(year=2025)
    growth = ratio.copy(data=np.log(ratio.values)) / 5
    for name in ("pharmacologic", "non_invasive"):
        prior = pset.blocks[f"price_growth_{name}"].priors[0]
        assert stats.kstest(growth.sel(modality=name).values.ravel(), prior.cdf).pvalue > 1e-4, name


def test_without_evidence_the_posterior_is_the_prior(bottom_up: DataTree) -> None:
    assert "evidence" not in bottom_up.children["observed_data"].dataset
    assert passed(gate(bottom_up, list(map(str, bottom_up.children["log_prior"].dataset)), ["revenue_total"]))
    for year in (2025, 2035):
        before = bottom_up.children["prior"].dataset["revenue_total"].sel(year=year).values.ravel()
        after = bottom_up.children["posterior"].dataset["revenue_total"].sel(year=year).values.ravel()
        assert np.median(after) == pytest.approx(np.median(before), rel=0.06)
        assert np.std(np.log(after)) == pytest.approx(np.std(np.log(before)), rel=0.1)


def test_exact_evidence_reproduces_the_report(exact: DataTree, pset: PriorSet) -> None:
    total = exact.children["posterior"].dataset["revenue_total"]
    for claim in pset.ledger.claims:
        if claim.quantity == "revenue" and claim.modality is None and claim.value:
            draws = total.sel(year=claim.year)
            assert float(draws.mean()) == pytest.approx(claim.value, rel=0.01)
            assert float(draws.std() / draws.mean()) < 0.01


def test_revenue_evidence_is_the_sum_of_its_cells(run: DataTree, pset: PriorSet) -> None:
    posterior = run.children["posterior"].dataset
    for row in pset.evidence:
        cells = posterior["revenue"].sel(year=row.year)
        part = cells
        for dim in ("region", "depth", "modality"):
            label = getattr(row, dim)
            part = part.sum(dim) if label is None else part.sel({dim: label})
        mean = np.log(part)
        if row.quantity == "revenue_share":
            mean = mean - np.log(cells.sum(["region", "depth", "modality"]))
        else:
            mean = mean + posterior["source_error"].sel(source_year=row.year)
        assert np.allclose(mean, posterior["evidence_log_mean"].sel(evidence_row=row.id), atol=1e-5), row.id


def test_log_densities_are_those_of_the_distributions(run: DataTree, pset: PriorSet) -> None:
    posterior = run.children["posterior"].dataset
    assert np.allclose(
        run.children["log_prior"].dataset["pool_error"], stats.norm.logpdf(posterior["pool_error"], 0, *_sd(pset))
    )
    z = posterior["adoption_level_z"]
    assert np.allclose(run.children["log_prior"].dataset["adoption_level_z"], stats.norm.logpdf(z))
    observed = run.children["observed_data"].dataset["evidence"]
    expected = stats.norm.logpdf(observed, posterior["evidence_log_mean"], [row.log_sd for row in pset.evidence])
    assert np.allclose(run.children["log_likelihood"].dataset["evidence"], expected)


def _sd(pset: PriorSet) -> list[float]:
    return [prior.sd for prior in pset.blocks["pool_error"].priors]


@pytest.fixture(scope="module")
def ours(model: pm.Model) -> Density:
    return density(model, {name: values[0] for name, values in draw_prior(model, 1, seed=3).items()})


@pytest.fixture(scope="module")
def compiled(ours: Density) -> Any:
    """The density and its gradient at a vector, given the data: compiled once for all tests that call it."""
    return jax.jit(jax.value_and_grad(ours.logp))


def test_the_jax_density_is_pymcs(model: pm.Model, ours: Density, compiled: Any) -> None:
    points = draw_prior(model, 5, seed=3)
    theirs = model.compile_logp(sum=False, mode=ONCE)
    for i in range(5):
        point = {name: values[i] for name, values in points.items()}
        found, _ = compiled(ours.flat.join(point), ours.data)
        assert float(found) == pytest.approx(sum(float(np.sum(term)) for term in theirs(point)), rel=1e-9)


def test_pymcs_own_way_to_jax_takes_the_model_too(model: pm.Model, ours: Density, compiled: Any) -> None:
    """As `pm.sample(nuts_sampler="numpyro")` does: traced without knowing the shapes of the variables."""
    point = model.initial_point()
    theirs = jax.jit(get_jaxified_logp(model))([point[v.name] for v in model.value_vars])
    found, _ = compiled(ours.flat.join(point), ours.data)
    assert float(theirs) == pytest.approx(float(found), rel=1e-9)


def test_gradients_are_those_of_the_density(model: pm.Model, ours: Density, compiled: Any) -> None:
    for vector in ours.flat.join(draw_prior(model, 3, seed=6)):
        _, found = compiled(vector, ours.data)
        direction = np.random.default_rng(1).normal(size=vector.size)
        ahead, behind = (compiled(vector + step * direction, ours.data)[0] for step in (1e-6, -1e-6))
        assert float(ahead - behind) / 2e-6 == pytest.approx(float(found @ direction), rel=1e-5)


def test_sticks_are_the_shares_of_a_dirichlet() -> None:
    """There and back, with the Jacobian that makes both scales one distribution (Connor & Mosimann 1969)."""
    alpha, transform = np.array([0.7, 2.0, 5.0, 1.3]), Sticks()
    value = pt.vector()
    there, back, jacobian = transform.forward(value), transform.backward(value), transform.log_jac_det(value)
    forward, backward = (pytensor.function([value], out, mode=ONCE) for out in (there, back))
    log_density = pytensor.function([value], pm.logp(pm.Dirichlet.dist(alpha), back) + jacobian, mode=ONCE)
    left = alpha[::-1].cumsum()[::-1]
    for shares in np.random.default_rng(3).dirichlet(alpha, 20):
        odds = forward(shares)
        np.testing.assert_allclose(backward(odds), shares, rtol=1e-12)
        taken = special.expit(odds)
        of_each = stats.beta.logpdf(taken, alpha[:-1], left[1:]) + np.log(taken * (1 - taken))
        assert float(log_density(odds)) == pytest.approx(of_each.sum(), rel=1e-10)


def test_redistribution_has_the_gradient_of_its_solution() -> None:
    """Newton steps begin from values without a gradient: that of the implicit function is left, in PyTensor too."""
    rng = np.random.default_rng(2)
    values = [np.array(0.2), rng.uniform(1, 2, (5, 3)), rng.normal(size=(5, 3))]
    given = [pt.tensor(dtype=float, shape=value.shape) for value in values]
    cost = (redistribute(*given) * rng.normal(size=(5, 3))).sum()
    cost_at, gradient_at = (pytensor.function(given, out, mode=ONCE) for out in (cost, pytensor.grad(cost, given)))
    for found, value in zip(gradient_at(*values), values, strict=True):
        direction = 1e-6 * rng.normal(size=value.shape)
        ahead, behind = (cost_at(*(v + sign * direction if v is value else v for v in values)) for sign in (1, -1))
        assert (ahead - behind) / 2 == pytest.approx((found * direction).sum(), rel=1e-5)


def test_the_density_needs_no_year_between_anchors(model: pm.Model) -> None:
    needed = {v.name for v in ancestors([model["evidence_log_mean"]]) if v in model.free_RVs}
    yearly = {rv.name for rv in model.free_RVs if "_path_" in rv.name or "price_noise" in rv.name}
    assert len(yearly) == 7
    assert "adoption_level_z" in needed
    assert not needed & yearly


def test_other_hyperparameters_enter_as_data(model: pm.Model, pset: PriorSet, ours: Density, compiled: Any) -> None:
    """The density compiled for one prior set serves another of the same structure."""
    low = build_model(effective(pset.ledger, Settings(coverage=0.5, trust="low")))
    point = {name: values[0] for name, values in draw_prior(model, 1, seed=4).items()}
    second, vector = density(low, point), ours.flat.join(point)
    reused = float(compiled(vector, second.data)[0])
    assert reused == pytest.approx(float(second.logp(vector, second.data)), rel=1e-12)
    assert reused != pytest.approx(float(compiled(vector, ours.data)[0]), rel=1e-3)


def test_interventions_and_derived_quantities_need_no_new_model(model: pm.Model) -> None:
    still = pm.do(model, {"patient_growth": np.array(0.0), "patient_growth_region": np.zeros(5)})
    unchanged, changed = (pm.draw(m["patients"], random_seed=1, mode=ONCE) for m in (model, still))
    assert np.allclose(changed[0], changed[-1])
    assert not np.allclose(unchanged[0], unchanged[-1])


def test_no_divergence_at_the_default_settings(run: DataTree) -> None:
    checks = gate(run, list(map(str, run.children["log_prior"].dataset)), ["revenue_total"])
    assert passed(checks), checks
    assert Sampling().target_accept == 0.8
    assert float(run.children["sample_stats"].dataset["n_steps"].mean()) < 40


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_ten_seeds_of_ten_pass_the_gate(model: pm.Model, seed: int) -> None:
    run = sample(model, Sampling(seed=seed))
    assert passed(gate(run, list(map(str, run.children["log_prior"].dataset)), ["revenue_total"]))


def test_interventions_reach_the_evidence_but_from_what_is_for_reading(model: pm.Model) -> None:
    """What docs/model.md says of `pm.do`: variables of all years are not what the evidence's years are made of."""
    reaching = set(ancestors([model["evidence_log_mean"]]))
    assert {variable.name for variable in model.deterministics if variable not in reaching} == {
        "patients",
        "adoption",
        "adoption_mean",
        "use",
        "price",
        "intensity",
        "revenue",
        "revenue_total",
        "acute_use",
    }
