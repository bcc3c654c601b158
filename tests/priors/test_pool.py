"""Pools of prior sets: the file, and the logarithmic pool against densities multiplied by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from postcgrp.models.structure import structure_key
from postcgrp.priors import InputError, Ledger, PriorSet, from_json, load_overlay, prior_set
from postcgrp.priors.pool import Pool, load_pool, logarithmic_pool
from postcgrp.reports.cli.main import main

HEAD = 'schema = 1\nname = "panel"\nsays = "so"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "panel.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    return path


def members(**weights: float) -> str:
    return "".join(f'[[member]]\nset = "{name}"\nweight = {weight}\n' for name, weight in weights.items())


def views(ledger: Ledger, *names: str) -> list[PriorSet]:
    return [prior_set(ledger, load_overlay(name)) for name in names]


def test_a_pooled_prior_is_the_geometric_mean_of_the_densities(ledger: Ledger) -> None:
    sets, weights = views(ledger, "report", "vague", "enthusiast"), (0.5, 0.2, 0.3)
    pooled = logarithmic_pool(sets, weights, "panel")
    changed = 0
    for name, block in pooled.blocks.items():
        for k, prior in enumerate(block.priors):
            if prior.sd == 0:  # fixed, alike in all sets
                continue
            x = prior.quantile(np.linspace(0.01, 0.99, 25))
            each = [w * s.blocks[name].priors[k].log_density(x) for s, w in zip(sets, weights, strict=True)]
            gap = np.sum(each, axis=0) - prior.log_density(x)
            assert np.ptp(gap) < 1e-9, prior.name
            changed += prior != sets[0].blocks[name].priors[k]
    assert changed > 20
    assert from_json(pooled.to_json()) == pooled
    assert structure_key(pooled) == structure_key(sets[0])


def test_errors_and_rows_are_pooled_too(ledger: Ledger) -> None:
    sets, weights = views(ledger, "report", "sceptic", "bottom-up"), (0.6, 0.3, 0.1)
    pooled = logarithmic_pool(sets, weights, "panel")
    for k, row in enumerate(pooled.evidence):
        stated = sets[0].evidence[k]
        assert row.value == stated.value
        assert row.log_sd == pytest.approx(stated.log_sd / 0.9**0.5)  # one set does not have it
    models = [s.trust for s in sets]
    base = sum(w / m.base_log_sd**2 for w, m in zip(weights, models, strict=True)) ** -0.5
    walk = sum(w / (m.final_log_sd**2 - m.base_log_sd**2) for w, m in zip(weights, models, strict=True)) ** -0.5
    assert pooled.trust.base_log_sd == pytest.approx(base)
    assert pooled.trust.final_log_sd == pytest.approx(np.hypot(base, walk))
    assert 0 < pooled.trust.final_log_bias < 0.04
    assert pooled.settings.trust == "panel"
    assert pooled.settings.leave_out == ()


def test_a_pool_of_one_view_is_that_view_in_any_order(ledger: Ledger, pset: PriorSet) -> None:
    same = logarithmic_pool([pset, pset], (0.3, 0.7), "panel")
    assert (same.blocks, same.evidence, same.trust) == (pset.blocks, pset.evidence, pset.trust)
    one, two = views(ledger, "report", "vague")
    there, back = logarithmic_pool([one, two], (0.3, 0.7), "p"), logarithmic_pool([two, one], (0.7, 0.3), "p")
    for name, block in there.blocks.items():
        for first, second in zip(block.priors, back.blocks[name].priors, strict=True):
            assert (first.mu, first.sd) == pytest.approx((second.mu, second.sd))


def test_what_has_no_mean_is_refused_with_all_reasons(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text(
        'schema = 1\nname = "other"\nsays = "so"\n[settings]\nuptake_shape = "late"\n'
        '[[assumption]]\nid = "price_noise"\nvalue = 0.01\nreason = "r"\n'
        '[[assumption]]\nid = "moh_step"\nfamily = "logstudent"\nreason = "r"\n',
        encoding="utf-8",
    )
    with pytest.raises(InputError) as caught:
        logarithmic_pool(views(ledger, "report", str(path)), (0.5, 0.5), "panel")
    said = "\n".join(caught.value.faults)
    for reason in ("the number price_noise", "the setting uptake_shape", "the family of moh_step"):
        assert f"panel: its sets differ in {reason}: a logarithmic pool needs them alike" in said


def test_a_pool_is_read_with_members_beside_it(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('schema = 1\nname = "mine"\nsays = "so"\n[settings]\ncoverage = 0.5\n')
    text = f'pool = "linear"\n{members(report=0.33, sceptic=0.33)}[[member]]\nset = "mine.toml"\nweight = 0.33\n'
    pool = load_pool(written(tmp_path, text))
    assert isinstance(pool, Pool)
    assert [member.set for member in pool.member] == ["report", "sceptic", str(tmp_path / "mine.toml")]
    assert pool.weights == pytest.approx((1 / 3,) * 3)
    assert load_pool(tmp_path / "mine.toml") is None
    assert load_pool("sceptic") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (members(report=0.5, sceptic=0.5), "panel.toml: pool is missing: add it"),
        (f'pool = "mean"\n{members(report=0.5, sceptic=0.5)}', "line 4: pool = 'mean' is not known: use 'linear'"),
        (f'pool = "linear"\n{members(report=0.5, sceptic=0.7)}', "the weights sum to 1.2, not 1: correct them"),
        (f'pool = "linear"\n{members(report=1.0)}', "member is missing: add it"),
        (f'pool = "linear"\n{members(report=50.0, sceptic=0.5)}', "line 7: member[1].weight = 50 is not inside 0..1"),
        (f'pool = "linear"\n{members(report=0.5)}{members(report=0.5)}', "the set 'report' is a member twice"),
    ],
)
def test_a_slip_in_a_pool_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_pool(written(tmp_path, text))
    (line,) = caught.value.faults
    assert said in line


def test_a_pool_where_a_set_is_wanted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"panel.toml: is a pool of sets: here, name one of its members"):
        load_overlay(written(tmp_path, f'pool = "linear"\n{members(report=0.5, vague=0.5)}'))


@pytest.mark.fit
def test_priors_shows_a_pool_and_how_it_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, f'pool = "logarithmic"\n{members(report=0.5, vague=0.5)}')
    assert main(["priors", "--diff", str(path)]) == 0
    said = capsys.readouterr()
    assert "report and " in said.out
    assert "pool_error: pool_error" in said.out
    assert not said.err
    linear = written(tmp_path, f'pool = "linear"\n{members(report=0.5, vague=0.5)}')
    assert main(["priors", "--priors", str(linear)]) == 2
    assert "here, name one of its members (report, vague)" in capsys.readouterr().err
