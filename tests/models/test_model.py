"""What must always hold of the model, recomputed from draws with plain xarray."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.traversal import ancestors
from scipy import special, stats
from xarray import DataTree

from postcgrp.inference import Sampling, gate, passed, sample
from postcgrp.inference.density import Density, density
from postcgrp.inference.forward import ONCE, draw_prior
from postcgrp.models import build_model
from postcgrp.models.shapes import Sticks, redistribute
from postcgrp.priors import PriorSet, Settings, effective
from postcgrp.tests.helpers.coherence import Draws, check, check_sums, in_ranges
from postcgrp.tests.helpers.markets import other_market
from postcgrp.tests.helpers.stored import prior_draws

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
    "use_line": ("year", "region", "depth", "line"),
    "revenue_line": ("year", "region", "depth", "line"),
    "persistence": ("line", "region"),
    "success": ("launch",),
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


def flat(run: DataTree, group: str) -> Draws:
    """One group's draws, chains joined, by variable."""
    return {str(name): x.values.reshape(-1, *x.shape[2:]) for name, x in run.children[group].dataset.data_vars.items()}


@pytest.mark.parametrize("group", GROUPS)
def test_cells_sum_to_the_total_in_every_draw(run: DataTree, pset: PriorSet, group: str) -> None:
    check_sums(pset, flat(run, group))


@pytest.mark.parametrize("group", GROUPS)
def test_every_draw_is_coherent(run: DataTree, pset: PriorSet, group: str) -> None:
    check(pset, flat(run, group))


@pytest.fixture(scope="module")
def drawn(pset: PriorSet) -> Draws:
    """Prior draws of everything, without a fit."""
    return prior_draws(pset, 3000)


def test_every_prior_draw_is_coherent(drawn: Draws, pset: PriorSet) -> None:
    check(pset, drawn)
    assert (drawn["revenue"][:, 0, ..., pset.coords["modality"].index("implantable")] == 0).all()
    assert (drawn["use"][..., 0, pset.coords["modality"].index("implantable")] == 0).all(), "after three failures only"
    in_ranges(pset, drawn, within=0.025)


@pytest.mark.slow
@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_ranged_claims_keep_their_mass_in_the_prior(pset: PriorSet, coverage: float) -> None:
    again = effective(pset.ledger, Settings(coverage=coverage))
    model = build_model(again.with_evidence([]))
    free = draw_prior(model, 40_000, seed=1)
    for name in ("adoption_level", "burden_level", "line_use_level"):
        block = again.blocks[name]
        index = [rv.name for rv in model.free_RVs].index(f"{name}_z")
        value = model.value_vars[index].name
        logit = [prior.mu for prior in block.priors] + np.array([p.sd for p in block.priors]) * (
            free[value] @ block.cholesky.T
        )
        level = 1 / (1 + np.exp(-logit))
        if block.correlation is not None:  # these may not fall
            level = np.maximum.accumulate(level, axis=1)
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
    first = prior.sel(year=2025)
    for line in pset.ledger.lines:
        users = first["patients"] * first["use"].sel(modality=line.modality)
        used = (users * first["use_line"].sel(line=line.name)).sum(["region", "depth"])
        means[f"line_use[{line.name}]"] = used / users.sum(["region", "depth"])
    levels = ("burden_level", "adoption_level", "line_use_level")
    for claim in (prior for name in levels for prior in pset.blocks[name].priors):
        assert claim.low is not None
        assert claim.high is not None
        values = means[claim.name].values
        assert np.mean((values > claim.low) & (values < claim.high)) == pytest.approx(0.9, abs=0.01), claim.name


def test_price_keeps_its_prior_although_revenue_is_the_free_variable() -> None:
    """Of modalities without lines, as another market has them."""
    pset = other_market("a launch of one depth")
    drawn, years = prior_draws(pset, 3000), pset.ledger.years
    for k, modality in enumerate(pset.ledger.modalities):
        at = [years.index(year) for year in pset.anchors(modality)]
        price = drawn["price"][:, at, k]
        assert stats.kstest(price[:, 0], pset.blocks["price"].priors[k].cdf).pvalue > 1e-4, modality.name
        growth = np.diff(np.log(price), axis=1) / np.diff(pset.anchors(modality))
        for values, prior in zip(growth.T, pset.blocks[f"price_growth_{modality.key}"].priors, strict=True):
            assert stats.kstest(values, prior.cdf).pvalue > 1e-4, prior.name


def test_what_lines_leave_out_keeps_its_prior_although_revenue_is_free(drawn: Draws, pset: PriorSet) -> None:
    """Spend over the cost of lines, averaged over users, is what they leave out: relative spend averages to one."""
    line = next(line for line in pset.ledger.lines if line.modality == "non_invasive")
    k, m = pset.ledger.lines.index(line), pset.coords["modality"].index(line.modality)
    paid = drawn["line_list_price"][:, k] * drawn["line_net_ratio"][:, k] * drawn["persistence"][:, k]
    left_out = []
    for year in pset.ledger.report.anchors:
        t = pset.ledger.years.index(year)
        grown = drawn["line_price_growth"][:, k] * (year - pset.number("line_price_year"))
        cost = paid * np.exp(grown + drawn["line_price_common"][:, None])
        users = drawn["patients"][:, t] * drawn["use"][:, t, ..., m]
        over = (users * drawn["intensity"][:, t, ..., m] / cost[..., None]).sum(axis=(1, 2)) / users.sum(axis=(1, 2))
        left_out.append(np.log(over))
    sds = [pset.number("spend_residual_sd", modality=line.modality)]
    sds += 2 * [pset.number("spend_residual_step_sd", modality=line.modality)]
    for values, sd in zip(np.diff(left_out, axis=0, prepend=0.0), sds, strict=True):
        assert stats.kstest(values, stats.norm(0, sd).cdf).pvalue > 1e-4


@pytest.mark.slow
def test_without_evidence_the_posterior_is_the_prior(bottom_up: DataTree) -> None:
    assert "evidence" not in bottom_up.children["observed_data"].dataset
    assert passed(gate(bottom_up, list(map(str, bottom_up.children["log_prior"].dataset)), ["revenue_total"]))
    for year in (2025, 2035):
        before = bottom_up.children["prior"].dataset["revenue_total"].sel(year=year).values.ravel()
        after = bottom_up.children["posterior"].dataset["revenue_total"].sel(year=year).values.ravel()
        assert np.median(after) == pytest.approx(np.median(before), rel=0.06)
        assert np.std(np.log(after)) == pytest.approx(np.std(np.log(before)), rel=0.1)


@pytest.mark.slow
def test_exact_evidence_reproduces_the_report(exact: DataTree, pset: PriorSet) -> None:
    total = exact.children["posterior"].dataset["revenue_total"]
    for claim in pset.ledger.claims:
        if claim.quantity == "revenue" and claim.modality is None and claim.value:
            draws = total.sel(year=claim.year)
            assert float(draws.mean()) == pytest.approx(claim.value, rel=0.01)
            assert float(draws.std() / draws.mean()) < 0.01


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
    points = draw_prior(model, 2, seed=3)
    theirs = model.compile_logp(sum=False, mode=ONCE)
    for i in range(2):
        point = {name: values[i] for name, values in points.items()}
        found, _ = compiled(ours.flat.join(point), ours.data)
        assert float(found) == pytest.approx(sum(float(np.sum(term)) for term in theirs(point)), rel=1e-9)


@pytest.mark.slow
def test_pymcs_own_way_to_jax_takes_the_model_too(model: pm.Model, ours: Density, compiled: Any) -> None:
    """As `pm.sample(nuts_sampler="numpyro")` does: traced without knowing the shapes of the variables."""
    from pymc.sampling.jax import get_jaxified_logp  # at the head it would change the environment of all tests

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


@pytest.mark.parametrize(("sd", "error"), [(1.0, 1e-13), (4.0, 1e-6)])
def test_redistribution_keeps_the_mean_however_far_apart_cells_lie(sd: float, error: float) -> None:
    """A mean that is not met has another gradient than the one that is taken, and chains diverge there."""
    rng = np.random.default_rng(4)
    mean, weights, offset = pt.vector("mean"), pt.tensor3("weights"), pt.tensor3("offset")
    cells = pytensor.function([mean, weights, offset], redistribute(mean, weights, offset), mode=ONCE)
    means, shares = rng.uniform(0.01, 0.99, 5000), rng.dirichlet(np.ones(15), 5000).reshape(-1, 5, 3)
    found = (shares * cells(means, shares, rng.normal(0, sd, (5000, 5, 3)))).sum(axis=(1, 2))
    np.testing.assert_allclose(found, means, rtol=error)


def test_the_density_needs_no_year_between_anchors(model: pm.Model) -> None:
    needed = {v.name for v in ancestors([model["evidence_log_mean"]]) if v in model.free_RVs}
    yearly = {rv.name for rv in model.free_RVs if "_path_" in rv.name or "price_noise" in rv.name}
    assert len(yearly) == 5
    assert "adoption_level_z" in needed
    # The share that has no date observes 2025 too, when the report sees hardly any implants.
    assert needed & yearly <= {"price_noise_implantable_z"}


@pytest.mark.slow
def test_other_hyperparameters_enter_as_data(model: pm.Model, pset: PriorSet, ours: Density, compiled: Any) -> None:
    """The density compiled for one prior set serves another of the same structure."""
    low = build_model(effective(pset.ledger, Settings(coverage=0.5, trust="low")))
    point = {name: values[0] for name, values in draw_prior(model, 1, seed=4).items()}
    second, vector = density(low, point), ours.flat.join(point)
    reused = float(compiled(vector, second.data)[0])
    assert reused == pytest.approx(float(second.logp(vector, second.data)), rel=1e-12)
    assert reused != pytest.approx(float(compiled(vector, ours.data)[0]), rel=1e-3)


def test_interventions_and_derived_quantities_need_no_new_model(model: pm.Model) -> None:
    none = {"patient_growth": np.zeros(2), "patient_growth_region": np.zeros(5)}
    unchanged, changed = (
        pm.draw(m["patients"], random_seed=1, mode=ONCE).sum(axis=-1) for m in (model, pm.do(model, none))
    )
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
        "use_line",
        "revenue_line",
        "success",
        "price",
        "intensity",
        "revenue",
        "revenue_total",
        "acute_use",
    }
