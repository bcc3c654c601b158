"""Power-scaling against algebra, published values, ArviZ and refits; groups that hold everything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pymc as pm
import pytest
from arviz_stats.base import array_stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import ndtr, ndtri
from xarray import DataArray, Dataset, DataTree

from postcgrp.inference import Sampling, powerscale, sample
from postcgrp.inference.psis import reweight
from postcgrp.models import build_model
from postcgrp.models.standard import standard_of
from postcgrp.priors import Evidence, InputError, PriorSet
from postcgrp.priors.catalogue import RESIDUAL_SDS
from postcgrp.reports.runs.run import Run
from postcgrp.reports.sensitivity.study import power_groups
from postcgrp.tests.helpers.markets import CHANGES, prior_set_of

CHAINS, LENGTH = 4, 1000
LONG = 4000
PUBLISHED = {  # the rendered "getting started" article of the R package priorsense, on draws of its own
    ("mu", "prior"): 0.390,
    ("mu", "likelihood"): 0.558,
    ("sigma", "prior"): 0.288,
    ("sigma", "likelihood"): 0.527,
}
Y = (9.5, 10.2, 9.1, 9.1, 10.3, 10.9, 11.7, 10.3, 9.6, 8.6, 9.1, 11.1, 9.3, 10.5, 9.7, 10.3, 10.0, 9.8, 9.6, 8.3, 10.2,
     9.8, 10.0, 10.0, 9.1)  # fmt: skip


def chains(values: Any) -> DataArray:
    return DataArray(np.reshape(values, (CHAINS, -1)), dims=("chain", "draw"))


def even_draws(seed: int = 0) -> np.ndarray:
    """Standard normal draws without Monte-Carlo error, in random order."""
    size = CHAINS * LENGTH
    return np.random.default_rng(seed).permutation(ndtri((np.arange(size) + 0.5) / size))


# ---- a conjugate model, in closed form -----------------------------------------------------------------------------


class Conjugate:
    """mu ~ N(m, s), one sum of data ~ N(mu, e): every power-scaled posterior is normal and known."""

    def __init__(self, m: float = 2.0, s: float = 1.5, y: float = 0.0, e: float = 1.0) -> None:
        self.m, self.s, self.y, self.e = m, s, y, e
        self.mean, self.sd = self.posterior(1, 1)
        self.mu = chains(self.mean + self.sd * even_draws())

    def posterior(self, prior: float, likelihood: float) -> tuple[float, float]:
        a, b = prior / self.s**2, likelihood / self.e**2
        return (a * self.m + b * self.y) / (a + b), (a + b) ** -0.5

    def components(self) -> dict[str, DataArray]:
        return {"prior": -(((self.mu - self.m) / self.s) ** 2) / 2, "data": -(((self.mu - self.y) / self.e) ** 2) / 2}

    def psi(self, component: str) -> float:
        """The paper's psi by numerical integration over the range of the draws."""
        x = np.linspace(float(self.mu.min()), float(self.mu.max()), 200_001)
        out = []
        for alpha in powerscale.DERIVATIVE_ALPHAS:
            mean, sd = self.posterior(*((alpha, 1) if component == "prior" else (1, alpha)))
            p, q = ndtr((x - self.mean) / self.sd), ndtr((x - mean) / sd)
            both = []
            for f, g in ((p, q), (1 - p, 1 - q)):
                half = (f + g) / 2
                bits = np.trapezoid(f * np.log2(f / half) + g * np.log2(g / half), x)
                both.append(np.sqrt(bits / np.trapezoid(f + g, x)))
            out.append(max(both) / abs(np.log2(alpha)))
        return float(np.mean(out))


def test_a_conjugate_model_gives_its_closed_form() -> None:
    model = Conjugate()
    found: Any = powerscale.power_scaling({"mu": model.mu}, model.components()).set_index("group")
    for component in ("prior", "data"):
        assert found.loc[component, "psi"] == pytest.approx(model.psi(component), abs=2e-3)
        steps = [model.posterior(*((a, 1) if component == "prior" else (1, a))) for a in (0.9999, 1.0001)]
        by = np.log2(1.0001 / 0.9999)
        slope, spread = (steps[1][0] - steps[0][0]) / model.sd / by, np.log(steps[1][1] / steps[0][1]) / by
        assert found.loc[component, "slope"] == pytest.approx(slope, abs=2e-3)
        assert found.loc[component, "spread"] == pytest.approx(spread, abs=2e-3)
    assert list(found["sign"]) == ["+", "-"]
    assert (found["draws"] == CHAINS * LENGTH).all()
    assert (found["k_high"] < 0.5).all()


@pytest.mark.parametrize("component", ["prior", "data"])
def test_shifts_are_those_of_the_scaled_posterior(component: str) -> None:
    model = Conjugate()
    table: Any = powerscale.shifts({"mu": model.mu}, model.components())
    for _, row in table[table["group"] == component].iterrows():
        mean, sd = model.posterior(*((row["alpha"], 1) if component == "prior" else (1, row["alpha"])))
        assert row["mean"] == pytest.approx(mean, abs=0.01)
        assert row["sd"] == pytest.approx(sd, rel=0.01)
        assert [row["q05"], row["q50"], row["q95"]] == pytest.approx(
            list(mean + sd * ndtri([0.05, 0.5, 0.95])), abs=0.02
        )
    assert sorted(table["alpha"].unique()) == [0.8, 1.0, 1.25]


def test_sensitivity_grows_with_conflict() -> None:
    values = [Conjugate(m=m, s=1, e=0.15) for m in (0.0, 5.0, 10.0)]
    psi: Any = [powerscale.power_scaling({"mu": c.mu}, c.components()).set_index("group")["psi"] for c in values]
    assert psi[0]["prior"] < 0.05 < psi[1]["prior"] < psi[2]["prior"]
    assert 0.05 < psi[0]["data"] < psi[1]["data"] < psi[2]["data"]


@pytest.mark.fit
def test_published_values_come_out_on_fresh_draws() -> None:
    """The published values are of 4000 draws by Stan; these are drawn on a grid, and so are independent.

    psi is relative to the range of the draws, so one set of 4000 scatters by 0.03 to 0.05 around what many give.
    """
    y, mu, sigma = np.array(Y), np.linspace(7, 11, 801), np.linspace(0.4, 3, 801)
    grid_mu, grid_sigma = np.meshgrid(mu, sigma, indexing="ij")

    def log_prior(m: Any, s: Any) -> Any:
        return -(m**2) / 2 - (s / 2.5) ** 2 / 2

    def log_lik(m: Any, s: Any) -> Any:
        return -len(y) * np.log(s) - (((y - y.mean()) ** 2).sum() + len(y) * (m - y.mean()) ** 2) / (2 * s**2)

    log = log_prior(grid_mu, grid_sigma) + log_lik(grid_mu, grid_sigma)
    weights = np.exp(log - log.max()).ravel()
    found: dict[tuple[str, str], list[float]] = {pair: [] for pair in PUBLISHED}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        cells = rng.choice(weights.size, CHAINS * LENGTH, p=weights / weights.sum())
        jitter = rng.uniform(-0.5, 0.5, (2, cells.size)) * np.array([[mu[1] - mu[0]], [sigma[1] - sigma[0]]])
        m, s = grid_mu.ravel()[cells] + jitter[0], grid_sigma.ravel()[cells] + jitter[1]
        for group, log_density in (("prior", log_prior(m, s)), ("likelihood", log_lik(m, s))):
            pair = [reweight((a - 1) * chains(log_density)).values.ravel() for a in powerscale.DERIVATIVE_ALPHAS]
            for name, values in (("mu", m), ("sigma", s)):
                found[name, group].append(powerscale.psi(values, *(w[:, None] for w in pair))[0])
    assert {pair: np.mean(each) for pair, each in found.items()} == pytest.approx(PUBLISHED, abs=0.02)
    assert max(np.std(each) for each in found.values()) < 0.06


# ---- the distance -----------------------------------------------------------------------------------------------

SIZES = st.integers(20, 60)


@given(SIZES.flatmap(lambda n: arrays(float, (3, n), elements=st.floats(-5, 5, width=16))))
@settings(max_examples=60, deadline=None)
def test_psi_is_arviz_s(x: np.ndarray) -> None:
    values, low, high = x[0], *np.exp(x[1:])
    low, high = low / low.sum(), high / high.sum()
    if np.ptp(values) == 0:
        assert np.isnan(powerscale.psi(values, low[:, None], high[:, None])).all()
        return
    arviz = array_stats.power_scale_sense(*(a[None] for a in (values, low, high)), *powerscale.DERIVATIVE_ALPHAS)
    assert powerscale.psi(values, low[:, None], high[:, None])[0] == pytest.approx(float(arviz), rel=1e-6, abs=1e-5)


@given(arrays(float, (2, 50), elements=st.floats(-5, 5, width=16)), st.floats(0.1, 10), st.floats(-10, 10))
@settings(max_examples=60, deadline=None)
def test_the_distance_knows_no_sign_scale_or_origin(x: np.ndarray, scale: float, shift: float) -> None:
    weights = np.exp(x[1])[:, None] / np.exp(x[1]).sum()
    first = powerscale.cjs_distance(x[0], weights)
    for other in (-x[0], scale * x[0] + shift):
        if np.ptp(x[0]) > 1e-2:
            assert powerscale.cjs_distance(other, weights) == pytest.approx(first, abs=1e-6)
    assert np.isnan(first) or 0 <= first <= 1


# ---- rows of the table ----------------------------------------------------------------------------------------------


def test_what_is_refused_has_a_reason_and_no_number() -> None:
    z = chains(even_draws())
    wild, of = z.copy(data=60 * np.exp(3 * z.values)), {"z": z, "constant": z * 0 + 3}
    table: Any = powerscale.power_scaling(of, {"wild": wild, "tame": z}).set_index(["group", "quantity"])
    assert "Pareto k" in table.loc[("wild", "z"), "refused"]
    assert table.loc[("tame", "constant"), "refused"] == "the quantity does not vary"
    refused = table["refused"] != ""
    assert list(refused) == [True, False, True, True]
    assert table.loc[refused, ["psi", "psi_se", "noise", "slope", "se", "spread"]].isna().all(axis=None)
    assert table.loc[~refused, ["psi", "psi_se", "noise", "slope", "se"]].notna().all(axis=None)
    assert not table.loc[refused, "clear"].any()
    assert (table.loc[refused, "sign"] == "").all()
    far: Any = powerscale.shifts({"z": z}, {"wild": wild}).set_index("alpha")
    assert far.loc[1.25, ["mean", "sd", "q05"]].isna().all()
    assert "Pareto k" in far.loc[1.25, "refused"]
    assert far.loc[1.0, "mean"] == pytest.approx(0, abs=1e-9)


def test_unrelated_draws_are_told_from_related_ones() -> None:
    z, log = chains(even_draws(1)), chains(even_draws(2))
    table: Any = powerscale.power_scaling({"z": z, "partly": 0.3 * log + z}, {"group": log}).set_index("quantity")
    assert table.loc["z", "psi"] < 1.5 * table.loc["z", "noise"]
    assert table.loc["z", "sign"] == "0"
    assert table.loc["partly", "psi"] > 2 * table.loc["partly", "noise"]
    assert table.loc["partly", "sign"] == "+"
    assert list(table["clear"]) == [False, True]


def test_many_comparisons_of_unrelated_draws_raise_few_alarms() -> None:
    """Twelve groups by seven quantities, as of the shipped report: of 84 pairs four or so cross a line of 95 %."""
    rng = np.random.default_rng(8)

    def some(count: int) -> dict[str, DataArray]:
        return {str(k): chains(rng.normal(size=4000)) for k in range(count)}

    table: Any = powerscale.power_scaling(some(7), some(12))
    assert set(table["comparisons"]) == {84}
    assert not table["clear"].any()
    usual = table["noise"] / np.exp(ndtri(1 - 0.05 / 84) * 0.4)
    assert (table["psi"] > 1.5 * usual).sum() > 0  # a line without regard to their number would have been crossed


def test_a_psi_made_by_a_few_draws_is_not_clear() -> None:
    """A chain that stays in a tail of both for a while: rotations keep such a stretch, and see no error in it."""
    z, log = even_draws(1), 0.1 * even_draws(2)
    together = np.argsort(z)[-60:]
    log[together] += 0.6
    order = np.argsort(~np.isin(np.arange(len(z)), together), kind="stable")
    table: Any = powerscale.power_scaling({"z": chains(z[order])}, {"few": chains(log[order])})
    assert table["psi"][0] > table["noise"][0]
    assert table["psi"][0] < 2 * table["psi_se"][0]
    assert not table["clear"][0]


def test_psi_is_asked_of_the_same_number_of_draws() -> None:
    long = {"z": DataArray(np.random.default_rng(0).normal(size=(4, 3000)), dims=("chain", "draw"))}
    table: Any = powerscale.power_scaling(long, long)
    assert list(table["draws"]) == [powerscale.PSI_DRAWS]


# ---- groups --------------------------------------------------------------------------------------------------------


def everything_once(pset: PriorSet, model: pm.Model) -> dict[str, powerscale.Members]:
    names = [rv.name for rv in model.free_RVs]
    found = powerscale.groups(pset, names)
    for rv in model.free_RVs:
        dims = model.named_vars_to_dims.get(rv.name, ())
        shape = [len(model.coords[d]) for d in dims]
        count = DataArray(np.zeros(shape), {d: list(model.coords[d]) for d in dims}, dims)
        for members in found.values():
            for name, part in members:
                if name == rv.name:
                    count.loc[part] += 1
        assert (count == 1).all(), rv.name
    return found


def test_every_variable_of_the_report_is_in_one_group(pset: PriorSet, model: pm.Model) -> None:
    found = everything_once(pset, model)
    assert set(found) == {
        *("patients", "depth", "burden", "regions", "vendor trust", "yearly noise"),
        *("adoption: non_invasive", "launch: implantable", "launch: pacap", "displacement", "prices in common"),
        *("line use: pharmacologic", "exclusivity: pharmacologic"),
        *(f"intensity: {m.name}" for m in pset.ledger.modalities),
    }
    inner = powerscale.deviations(pset)
    assert inner <= {rv.name for rv in model.free_RVs}
    assert {"region", "launch"} <= {d for name in inner for d in model.named_vars_to_dims[name]}


MARKETS = (
    *("as it is", "five modalities", "two launches, listed first", "burden and blocking", "no evidence", "one depth"),
    *("evidence on parts", "only launch", "two adoption curves"),
)


@pytest.mark.fit
@pytest.mark.parametrize("name", MARKETS)
def test_every_variable_of_any_market_is_in_one_group(name: str) -> None:
    pset = prior_set_of(CHANGES[name])
    found = everything_once(pset, build_model(pset))
    assert {f"intensity: {m.name}" for m in pset.ledger.modalities} <= set(found)
    assert ("vendor trust" in found) is bool(pset.evidence)


def test_other_sources_and_heavy_tails_have_their_groups(pset: PriorSet) -> None:
    counts = pset.blocks["region_patients"]
    heavy = replace(counts, priors=tuple(replace(prior, family="logstudent") for prior in counts.priors))
    books = Evidence("books", "actuals: books", "revenue", 2026, None, None, None, 450.0, "USD million", 0.02)
    other = replace(pset, blocks={**pset.blocks, "region_patients": heavy}, evidence=(*pset.evidence, books))
    found = powerscale.groups(other, ["source_error_z", "source_error_actuals_books_z", "region_patients_log"])
    assert found == {
        "vendor trust": [("source_error_z", {})],
        "trust: actuals_books": [("source_error_actuals_books_z", {})],
        "patients": [("region_patients_log", {})],
    }


def test_a_variable_of_no_group_is_refused(pset: PriorSet) -> None:
    with pytest.raises(InputError, match="'novel': a variable in no group"):
        powerscale.groups(pset, ["novel"])


def logs(pset: PriorSet, model: pm.Model) -> DataTree:
    """A run whose log densities are random."""
    rng, log_prior = np.random.default_rng(3), {}
    for rv in model.free_RVs:
        dims = tuple(model.named_vars_to_dims.get(rv.name, ()))
        coords = {d: list(model.coords[d]) for d in dims}
        shape = (2, 5, *(len(c) for c in coords.values()))
        log_prior[rv.name] = DataArray(rng.normal(size=shape), coords, ("chain", "draw", *dims))
    rows = [row.id for row in pset.evidence]
    lik = DataArray(rng.normal(size=(2, 5, len(rows))), {"evidence_row": rows}, ("chain", "draw", "evidence_row"))
    return DataTree.from_dict({"/log_prior": Dataset(log_prior), "/log_likelihood": Dataset({"evidence": lik})})


def test_components_add_up_to_the_density_without_deviations(pset: PriorSet, model: pm.Model) -> None:
    run, inner = logs(pset, model), powerscale.deviations(pset)
    found = powerscale.components(run, pset)
    priors = sum(log for name, log in found.items() if not name.startswith("evidence"))
    scaled = [log for name, log in run["log_prior"].items() if name not in inner]
    density = sum(log.sum([dim for dim in log.dims if dim not in ("chain", "draw")]) for log in scaled)
    assert np.allclose(priors, density)
    assert np.allclose(found["evidence: smr"], run["log_likelihood"]["evidence"].sum("evidence_row"))
    stated = run["log_prior"]["log_stated_revenue_2025"]
    assert stated.sizes["sold_2025"] == 2
    drug = "pharmacologic"
    revenues = [run["log_prior"][f"log_stated_revenue_{y}"].sel({f"sold_{y}": drug}) for y in (2025, 2030, 2035)]
    lines = [line.name for line in pset.ledger.lines_of(drug)]
    costs = [run["log_prior"][f"{name}_z"].sel(line=lines) for name in COSTS]
    sums = [cost.sum([dim for dim in cost.dims if dim not in ("chain", "draw")]) for cost in costs]
    drugs = np.sum([part.values for part in (*revenues, *sums)], axis=0)
    assert np.allclose(found["intensity: pharmacologic"], drugs)


def test_draws_that_move_nothing_are_in_no_component(pset: PriorSet, model: pm.Model) -> None:
    """A standard draw whose numbers are all fixed still has a density, which would only be noise."""
    block = pset.blocks["launch_speed"]
    fixed = replace(block, priors=(replace(block.priors[0], sd=0.0), *block.priors[1:]))
    run, other = logs(pset, model), replace(pset, blocks={**pset.blocks, "launch_speed": fixed})
    group = "launch: implantable"
    without = powerscale.components(run, pset)[group] - powerscale.components(run, other)[group]
    assert np.allclose(without, run["log_prior"]["launch_speed_z"].sel(launch="implantable"))
    assert np.allclose(
        powerscale.components(run, other)["launch: pacap"], powerscale.components(run, pset)["launch: pacap"]
    )


# ---- what a refit is made of ---------------------------------------------------------------------------------------


COSTS = ("line_list_price", "line_net_ratio", "persistence", "line_price_growth")
POWERED = {  # by group, blocks of which it holds some or all cells, and how many
    "patients": {"pool_error": 1, "region_patients": 5, "patient_growth": 2},
    "depth": {
        "depth_weight": 3,
        "depth_weight_region_sd": 1,
        "depth_drift": 1,
        "adoption_step": 2,
        "intensity_step": 2,
    },
    "burden": {
        "burden_level": 2,
        "acute_use_step": 2,
        "moh_step": 2,
        "burden_region_sd": 1,
        "payer_block_level": 1,
    },
    "regions": {"adoption_region_sd": 1, "launch_region_sd": 1, "region_premium": 5},
    "adoption: non_invasive": {"adoption_level": 3, "moh_effect": 1, "payer_brake": 1},
    "launch: implantable": {
        "success_probability": 1,
        "launch_year": 5,
        "launch_ceiling": 1,
        "launch_speed": 1,
        "vendor_launch_year": 1,
        "eligible_share": 2,  # the third is fixed
    },
    "launch: pacap": {"success_probability": 1, "launch_year": 5, "launch_ceiling": 1, "launch_speed": 1},
    "line use: pharmacologic": {"line_use_level": 4, "line_drift": 8},
    "intensity: pharmacologic": dict.fromkeys(COSTS, 25),
    "intensity: implantable": dict.fromkeys(COSTS, 5),
    "displacement": {"displacement": 2},
    "vendor trust": {"vendor_build_up": 1},
}


@pytest.mark.parametrize("alpha", powerscale.SHIFT_ALPHAS)
@pytest.mark.parametrize("group", POWERED)
def test_a_scaled_prior_set_is_the_density_to_the_power(pset: PriorSet, group: str, alpha: float) -> None:
    """The scaled prior's log density less alpha times the old one's is a constant, at every value of its variable."""
    new, changed = powerscale.scaled(pset, group, alpha), dict[str, int]()
    for name, block in pset.blocks.items():
        for old, scaled in zip(block.priors, new.blocks[name].priors, strict=True):
            if old == scaled:
                continue
            changed[name] = changed.get(name, 0) + 1
            own_scale = old.family == "lognormal" and standard_of(pset, name) is None
            log_x = np.linspace(old.mu - 3 * old.sd, old.mu + 3 * old.sd, 50)  # or x itself: the link scale

            def density(prior: Any, log_x: Any = log_x, own_scale: bool = own_scale) -> Any:
                return -(((log_x - prior.mu) / prior.sd) ** 2) / 2 - own_scale * log_x

            assert np.ptp(density(scaled) - alpha * density(old)) < 1e-9
    assert changed == POWERED[group]


def test_one_price_of_several_is_scaled() -> None:
    """Modalities without lines have their prices in one block; growth is the modality's own."""
    pset = prior_set_of(CHANGES["five modalities"])
    new = powerscale.scaled(pset, "intensity: d", 0.8)
    changed = [
        prior.name
        for name, block in pset.blocks.items()
        for prior, other in zip(block.priors, new.blocks[name].priors, strict=True)
        if prior != other
    ]
    assert changed == ["price[d]", *(f"price_growth[{year}, d]" for year in pset.ledger.report.anchors[1:])]
    assert new.ledger == pset.ledger


def test_what_lines_leave_out_is_scaled_with_them(pset: PriorSet) -> None:
    new = powerscale.scaled(pset, "intensity: pharmacologic", 4.0)
    for name in RESIDUAL_SDS:
        for modality in pset.ledger.segments["modality"]:
            by = 2 if modality == "pharmacologic" else 1
            assert new.number(name, modality=modality) == pytest.approx(pset.number(name, modality=modality) / by)


def test_scaled_evidence_and_trust(pset: PriorSet) -> None:
    whole = powerscale.scaled(pset, "evidence: smr", 4.0)  # with its error, which is part of what the source says
    assert [row.log_sd for row in whole.evidence] == pytest.approx([row.log_sd / 2 for row in pset.evidence])
    assert whole.vendor_log_sd([2025, 2035]) == pytest.approx(pset.vendor_log_sd([2025, 2035]) / 2)
    other = replace(pset.evidence[0], id="mine", source="vendor: other", quantity="revenue")
    with pytest.raises(InputError, match="only the report's error can be set"):
        powerscale.scaled(pset.with_evidence([*pset.evidence, other]), "evidence: vendor: other", 4.0)
    trust = powerscale.scaled(pset, "vendor trust", 4.0).trust
    assert trust.base_log_sd == pytest.approx(pset.trust.base_log_sd / 2)
    assert trust.final_log_sd == pytest.approx(pset.trust.final_log_sd / 2)
    for group in ("yearly noise", "nothing"):
        with pytest.raises(InputError, match="cannot be fitted power-scaled"):
            powerscale.scaled(pset, group, 0.8)


@pytest.fixture(scope="module")
def long_run(pset: PriorSet) -> DataTree:
    """Of few effective draws, as weights leave of some groups, an sd is not known well enough."""
    return sample(build_model(pset), Sampling(draws=LONG, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("alpha", powerscale.SHIFT_ALPHAS)
@pytest.mark.parametrize("group", ["vendor trust", "evidence: smr", "patients", "intensity: pharmacologic", "regions"])
def test_reweighting_agrees_with_a_refit(pset: PriorSet, long_run: DataTree, group: str, alpha: float) -> None:
    of = powerscale.headline_quantities(long_run, pset)
    shifts: Any = powerscale.shifts(of, {group: power_groups(Run.in_memory(long_run, pset))[group]}, [alpha])
    fitted = powerscale.headline_quantities(
        sample(build_model(powerscale.scaled(pset, group, alpha)), Sampling(draws=LONG, seed=2)), pset
    )
    for name, draws in fitted.items():
        row = shifts[(shifts["quantity"] == name) & (shifts["alpha"] == alpha)].iloc[0]
        assert row["refused"] == ""
        both = np.sqrt(1 + draws.size / row["ess"])  # errors of this fit and of the weights
        for moment, value in (("mean", draws.mean()), ("sd", draws.std())):
            error = both * float(array_stats.mcse(draws.values, method=moment))
            assert abs(row[moment] - float(value)) < 4 * error, (name, moment)
