"""The names of the model's variables: complete, and spelled in one place."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pymc as pm
import pytest

from postcgrp.models import build_model
from postcgrp.models import variables as v
from postcgrp.models.structure import structure_key
from postcgrp.priors import Ledger, PriorSet, Settings, effective, load_ledger, load_overlay, prior_set
from postcgrp.priors.shipped import shipped
from postcgrp.tests.helpers.paths import OTHER_MARKET, ROOT

# Also names of quantities, columns and options, which files spell.
QUANTITIES = {v.PATIENTS, v.DEPTH_SHARE, v.ACUTE_USE, v.MOH, v.PAYER_BLOCK, v.ADOPTION, v.PRICE, v.USE, v.INTENSITY}
QUANTITIES |= {v.REVENUE, v.REVENUE_TOTAL, v.ADOPTION_MEAN, v.EVIDENCE, v.REGION_PREMIUM, v.ELIGIBLE_SHARE}
# The simulator is written from docs/model.md alone; what elicits a variable is called by it.
ELSEWHERE = {Path("models/variables.py"), Path("models/simulator.py")}


@pytest.fixture(scope="module")
def other() -> PriorSet:
    return effective(load_ledger(OTHER_MARKET / "report.toml", OTHER_MARKET / "assumptions.toml"))


def names(pset: PriorSet) -> tuple[set[str], set[str]]:
    return {part.name for part in v.free(pset)}, {str(rv.name) for rv in build_model(pset).free_RVs}


@pytest.mark.parametrize("name", shipped())
def test_every_free_variable_is_listed_and_no_other(ledger: Ledger, name: str) -> None:
    listed, built = names(prior_set(ledger, load_overlay(name)))
    assert listed == built


def test_also_of_another_market_and_without_evidence(pset: PriorSet, other: PriorSet) -> None:
    for each in (pset.with_evidence([]), other, other.with_evidence([])):
        listed, built = names(each)
        assert listed == built


def test_each_part_is_in_one_group(pset: PriorSet) -> None:
    parts = [(part.name, tuple(part.part.items())) for part in v.free(pset)]
    assert len(parts) == len(set(parts))
    for name in {part.name for part in v.free(pset)}:
        whole = [part for part in v.free(pset) if part.name == name]
        assert len(whole) == 1 or all(part.part for part in whole)


def test_every_block_elicits_a_listed_variable(pset: PriorSet) -> None:
    elicited = {part.block for part in v.free(pset) if part.block}
    assert elicited == {name for name, block in pset.blocks.items() if block.priors}


def test_no_other_module_spells_a_variable(pset: PriorSet, other: PriorSet) -> None:
    spelled = {
        str(variable.name)
        for each in (pset, other)
        for model in (build_model(each),)
        for variable in (*model.free_RVs, *model.deterministics, *model.data_vars)
    } - QUANTITIES
    found = {
        f"{path}: {text}"
        for folder in ("models", "inference", "reports")
        for path in sorted(p.relative_to(ROOT) for p in (ROOT / folder).rglob("*.py"))
        if path not in ELSEWHERE
        for text in strings(ROOT / path)
        if text in spelled - KNOBS
    }
    assert not found


# Numbers of the assumptions' ledger that are also data of the graph under their own names.
KNOBS = {"payer_block_region_sd", "patient_growth_region_sd", "region_premium_modality_sd", "adoption_step_region_sd"}


def strings(path: Path) -> Iterator[str]:
    return (
        n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant) and type(n.value) is str
    )


VARIANTS: dict[str, Callable[[PriorSet], PriorSet]] = {
    "coverage": lambda p: effective(p.ledger, Settings(coverage=0.5)),
    "trust": lambda p: effective(p.ledger, Settings(trust="low")),
    "shape": lambda p: effective(p.ledger, Settings(uptake_shape="late")),
    "row": lambda p: p.with_evidence([replace(p.evidence[0], value=p.evidence[0].value * 1.1), *p.evidence[1:]]),
    "scope": lambda p: effective(p.ledger, Settings(adoption_scope="with_launched")),
    "rows": lambda p: p.with_evidence(p.evidence[1:]),
    "none": lambda p: p.with_evidence([]),
    "left out": lambda p: effective(p.ledger, Settings(leave_out=("moh_2025",))),
    "vague": lambda p: prior_set(p.ledger, load_overlay("vague")),
}
SAME = {"coverage", "trust", "shape", "row", "vague", "left out"}  # these change data alone


def graph(model: pm.Model) -> str:
    """The density's graph in words, with the data's names and not their values."""
    described = sorted(f"{rv.name} {rv.owner.op} {model.named_vars_to_dims.get(rv.name)}" for rv in model.basic_RVs)
    data = sorted(f"{d.name} {d.get_value().shape}" for d in model.data_vars)
    return re.sub(r"0x[0-9a-f]+", "", "\n".join([*described, *data]))


@pytest.mark.parametrize("name", VARIANTS)
def test_equal_keys_are_equal_graphs(pset: PriorSet, name: str) -> None:
    variant = VARIANTS[name](pset)
    assert (structure_key(variant) == structure_key(pset)) == (name in SAME)
    if name in SAME:
        assert graph(build_model(variant)) == graph(build_model(pset))
