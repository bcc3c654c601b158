"""What must hold of any market in every draw: finite, positive, coherent, ordered, and at the stated ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from postcgrp.models.variables import source_years
from postcgrp.priors import PriorSet
from postcgrp.priors.ledger import Modality

Draws = dict[str, NDArray[Any]]


def check(pset: PriorSet, draws: Draws) -> None:
    """Every invariant, from draws [draw, ...] of everything that is free or derived."""
    for name, values in draws.items():
        assert np.isfinite(values).all(), name
    check_sums(pset, draws)
    for k, modality in enumerate(pset.ledger.modalities):
        if modality.uptake == "everyone":
            assert (draws["use"][..., k] == 1).all()
        elif modality.uptake == "adoption":
            check_adoption(pset, draws, modality)
        else:
            check_launch(pset, draws, modality)
    check_lines(pset, draws)
    check_burden(pset, draws)
    check_evidence(pset, draws)


def check_sums(pset: PriorSet, draws: Draws) -> None:
    patients, use, revenue, intensity = (draws[name] for name in ("patients", "use", "revenue", "intensity"))
    sizes = [len(names) for names in pset.ledger.segments.values()]
    assert revenue.shape[1:] == (len(pset.ledger.years), *sizes)
    for axes in ((4, 3, 2), (2, 3, 4), (3, 4, 2)):  # whatever is summed first
        total = revenue
        for done, axis in enumerate(axes):
            total = total.sum(axis=axis - sum(before < axis for before in axes[:done]))
        assert np.allclose(total, draws["revenue_total"], rtol=1e-9, atol=0)
    users = patients[..., None] * use
    assert np.allclose(users * intensity / 1e6, revenue, rtol=1e-9, atol=0)
    assert np.allclose(draws["depth_share"].sum(axis=-1), 1, atol=1e-12)
    assert (patients > 0).all()
    assert (intensity > 0).all()
    assert (draws["price"] > 0).all()
    assert (revenue >= 0).all()
    assert ((use >= 0) & (use <= 1)).all()
    sold = users.sum(axis=(2, 3)) > 0
    spend = (users * intensity).sum(axis=(2, 3))
    assert np.allclose(spend[sold], (draws["price"] * users.sum(axis=(2, 3)))[sold], rtol=1e-9)
    for k, modality in enumerate(pset.ledger.modalities):
        of = intensity[..., k]
        if not pset.ledger.lines_of(modality.name):
            assert (np.diff(of, axis=3) >= -1e-9 * of[..., :1]).all()


def mean_by_patients(draws: Draws, values: NDArray[Any]) -> NDArray[Any]:
    """The patient-weighted mean of values [draw, year, region, depth]."""
    patients = draws["patients"]
    return np.asarray((patients * values).sum(axis=(2, 3)) / patients.sum(axis=(2, 3)))


def check_adoption(pset: PriorSet, draws: Draws, modality: Modality) -> None:
    of = draws[pset.own("adoption", modality)]
    assert (of > 0).all()
    assert np.array_equal(of, draws["use"][..., pset.ledger.modalities.index(modality)])
    assert (np.diff(of, axis=3) >= 0).all()
    mean, level = mean_by_patients(draws, of), draws[pset.own("adoption_level", modality)]
    assert np.allclose(mean, draws[pset.own("adoption_mean", modality)])
    turn = -1 if pset.blocks[pset.own("adoption_level", modality)].falling else 1
    assert (turn * np.diff(mean, axis=1) >= -1e-6 * mean[:, 1:]).all()
    assert (turn * np.diff(level, axis=1) >= 0).all()
    if pset.settings.adoption_scope == "alone":
        reached = mean[:, [pset.ledger.years.index(a) for a in pset.anchors(modality)]]
        # 1e-5 but for odds that differ between regions by a factor of 400
        assert np.allclose(reached, level, rtol=1e-4)


def on_sale(pset: PriorSet, draws: Draws, name: str) -> NDArray[Any]:
    """Whether a launch has come by the middle of each year [draw, year, region]."""
    k = pset.coords["launch"].index(name)
    begun = np.array(pset.ledger.years)[:, None] + 0.5 > draws["launch_year"][:, None, k]
    return np.asarray(begun & (draws["success"][:, k] == 1)[:, None, None])


def check_launch(pset: PriorSet, draws: Draws, modality: Modality) -> None:
    k = pset.ledger.modalities.index(modality)
    of, sold = draws["use"][..., k], on_sale(pset, draws, modality.name)
    eligible = draws["eligible_share"][:, pset.coords["launched"].index(modality.name)]
    assert (of[~sold] == 0).all()
    assert (draws["revenue"][..., k][~sold] == 0).all()
    assert np.array_equal(of > 0, sold[..., None] & (eligible > 0)[:, None, None])
    assert (np.diff(of, axis=1) >= 0).all()
    assert (of <= eligible[:, None, None]).all()
    assert set(np.unique(draws["success"])) <= {0.0, 1.0}
    for depth, prior in zip(pset.ledger.segments["depth"], eligible.T, strict=True):
        rows = [a for a in pset.ledger.assumptions if (a.id, a.depth, a.value) == ("eligible_share", depth, 0.0)]
        assert not rows or (prior == 0).all(), "a share of nobody is nobody"


def check_lines(pset: PriorSet, draws: Draws) -> None:
    ledger, modalities = pset.ledger, list(pset.ledger.segments["modality"])
    if not ledger.lines:
        assert "revenue_line" not in draws
        return
    use, revenue = draws["use_line"], draws["revenue_line"]
    assert (use >= 0).all()
    assert ((draws["persistence"] > 0) & (draws["persistence"] < 1)).all()
    for k, modality in enumerate(ledger.modalities):
        if lines := [j for j, line in enumerate(ledger.lines) if line.modality == modality.name]:
            assert np.allclose(revenue[..., lines].sum(axis=-1), draws["revenue"][..., k], rtol=1e-9, atol=0)
    entered = np.zeros(len(use), bool)
    for j, line in enumerate(ledger.lines):
        if line.stage == "pipeline":
            sold = on_sale(pset, draws, line.name)
            assert (use[..., j][~sold] == 0).all()
            assert (use[..., j][sold] > 0).all()
            assert (revenue[..., j][~sold] == 0).all()
            entered |= sold[:, 0].any(axis=1)
    base = draws["patients"][:, 0, ..., None] * draws["use"][:, 0]
    for k, name in enumerate(pset.coords["line_claimed"]):
        line = next(line for line in ledger.lines if line.name == name)
        users = base[..., modalities.index(line.modality)]
        known = ~entered & (users.sum(axis=(1, 2)) > 0)
        if ledger.modalities[modalities.index(line.modality)].uptake != "launch":
            used = (users * use[:, 0, ..., ledger.lines.index(line)]).sum(axis=(1, 2)) / users.sum(axis=(1, 2))
            assert np.allclose(used[known], draws["line_use_level"][known, k], rtol=1e-5)


def check_burden(pset: PriorSet, draws: Draws) -> None:
    base = draws["patients"][:, 0]
    for k, name in enumerate(p.name for p in pset.blocks["burden_level"].priors) if "burden_level" in draws else ():
        mean = (base * draws[name]).sum(axis=(1, 2)) / base.sum(axis=(1, 2))
        assert np.allclose(mean, draws["burden_level"][:, k], rtol=1e-4)
    for name in {"acute_use", "moh"} & set(draws):
        assert (np.diff(draws[name], axis=2) >= 0).all(), name
    if "acute_use" in draws:
        assert (draws.get("moh", draws["acute_use"]) <= draws["acute_use"]).all()


def check_evidence(pset: PriorSet, draws: Draws) -> None:
    """Each row is observed around the logarithm of its cells' sum and what its source errs, where no launch differs."""
    if pset.coords["launch"] or "evidence_log_mean" not in draws:
        return
    report, years = pset.ledger.report, pset.ledger.years
    counted = np.exp([prior.mu for prior in pset.blocks["region_patients"].priors]).sum()
    pool = (draws["region_patients"] * np.exp(draws["pool_error"])[:, None]).sum(axis=1) / counted
    for k, row in enumerate(pset.evidence):
        if row.source != report.id or row.year is None:
            continue
        ties = np.repeat(np.log(pool)[:, None], len(pset.ledger.modalities), axis=1)
        for m, modality in enumerate(pset.ledger.modalities):
            if modality.uptake == "adoption":
                name = pset.own("adoption_level", modality)
                apart = np.log(draws[name] / expit([prior.mu for prior in pset.blocks[name].priors]))
                ties[:, m] += [np.interp(row.year, report.anchors, of) for of in apart]
        whole = draws["patients" if row.quantity.startswith("patients") else "revenue"][:, years.index(row.year)]
        if row.quantity == "revenue":
            whole = whole * np.exp(-draws["vendor_build_up"][:, None] * ties)[:, None, None]
        part = whole
        for axis, (dim, names) in enumerate(list(pset.ledger.segments.items())[: whole.ndim - 1], start=1):
            if (label := getattr(row, dim)) is not None:
                part = part.take([names.index(label)], axis=axis)
        mean = np.log(part.reshape(len(part), -1).sum(axis=1))
        if row.quantity.endswith("_share"):
            mean -= np.log(whole.reshape(len(whole), -1).sum(axis=1))
        else:
            mean += draws["source_error"][:, source_years(pset).index(row.year)]
        assert np.allclose(mean, draws["evidence_log_mean"][:, k], atol=1e-4), row.id


def in_ranges(pset: PriorSet, draws: Draws, within: float) -> None:
    """Every stated range of a level holds its mass, `within` what so few draws can tell."""
    for name, block in pset.blocks.items():
        for k, prior in enumerate(block.priors):
            if name.startswith(("adoption_level", "burden_level", "line_use_level")) and prior.coverage is not None:
                inside = (draws[name][:, k] > prior.low) & (draws[name][:, k] < prior.high)
                assert abs(inside.mean() - prior.coverage) < within, prior.name
