"""The names of the model's variables: complete, and spelled in one place."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymc as pm
import pytest
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import equal_computations
from pytensor.graph.traversal import graph_inputs
from pytensor.tensor.random.type import RandomType

from postcgrp.models import build_model
from postcgrp.models import variables as v
from postcgrp.models.free import free
from postcgrp.models.structure import structure_key
from postcgrp.priors import Ledger, PriorSet, Settings, effective, load_overlay, prior_set
from postcgrp.priors.catalogue import HEAVY
from postcgrp.priors.shipped import shipped
from postcgrp.tests.helpers.markets import CHANGES, other_market
from postcgrp.tests.helpers.paths import ROOT
from postcgrp.tests.helpers.variants import variants

# Also names of quantities, columns and options, which files spell.
QUANTITIES = {v.PATIENTS, v.DEPTH_SHARE, v.ACUTE_USE, v.MOH, v.PAYER_BLOCK, v.ADOPTION, v.PRICE, v.USE, v.INTENSITY}
QUANTITIES |= {v.REVENUE, v.REVENUE_TOTAL, v.ADOPTION_MEAN, v.EVIDENCE, v.REGION_PREMIUM, v.ELIGIBLE_SHARE}
QUANTITIES |= {v.REVENUE_LINE, v.USE_LINE, v.PERSISTENCE, v.SUCCESS}
# The simulator is written from docs/model.md alone; what elicits a variable is called by it.
ELSEWHERE = {
    Path("models/variables.py"),
    *(Path(f"models/{name}.py") for name in ("simulator", "simulator_evidence", "simulator_lines")),
}


def names(pset: PriorSet) -> tuple[set[str], set[str]]:
    return {part.name for part in free(pset)}, {str(rv.name) for rv in build_model(pset).free_RVs}


@pytest.mark.parametrize("name", variants(shipped(), stay=3))
def test_every_free_variable_is_listed_and_no_other(ledger: Ledger, name: str) -> None:
    listed, built = names(prior_set(ledger, load_overlay(name)))
    assert listed == built


@pytest.mark.parametrize("name", variants([*CHANGES][::4] + [n for k, n in enumerate(CHANGES) if k % 4], stay=6))
def test_also_of_any_market(name: str) -> None:
    pset = other_market(name)
    for each in (pset, pset.with_evidence([])):
        listed, built = names(each)
        assert listed == built


def test_also_of_heavy_tails_and_other_sources(pset: PriorSet) -> None:
    books = replace(pset.evidence[0], id="books", source="actuals: books")
    listed, built = names(heavy(pset).with_evidence([*pset.evidence, books]))
    assert listed == built


def heavy(pset: PriorSet) -> PriorSet:
    """The same priors with Student-t tails, but for levels that a normal copula orders."""
    blocks = {
        name: replace(block, priors=tuple(replace(prior, family=HEAVY[prior.family]) for prior in block.priors))
        for name, block in pset.blocks.items()
        if block.correlation is None
    }
    return replace(pset, blocks=pset.blocks | blocks)


def test_each_part_is_in_one_group(pset: PriorSet) -> None:
    parts = [(part.name, tuple(part.part.items())) for part in free(pset)]
    assert len(parts) == len(set(parts))
    for name in {part.name for part in free(pset)}:
        whole = [part for part in free(pset) if part.name == name]
        assert len(whole) == 1 or all(part.part for part in whole)


def test_every_block_elicits_a_listed_variable(pset: PriorSet) -> None:
    elicited = {part.block for part in free(pset) if part.block}
    assert elicited == {name for name, block in pset.blocks.items() if block.priors}


def test_no_other_module_spells_a_variable(pset: PriorSet) -> None:
    markets = (other_market(name) for name in ("as it is", "five modalities", "burden and blocking"))
    names = {
        str(variable.name)
        for each in (pset, *markets)
        for model in (build_model(each),)
        for variable in (*model.free_RVs, *model.deterministics, *model.data_vars)
    }
    spelled = "\n".join(names - QUANTITIES)
    found = {
        f"{path}:{line}: {text}"
        for folder in ("models", "inference", "reports")
        for path in sorted(p.relative_to(ROOT) for p in (ROOT / folder).rglob("*.py"))
        if path not in ELSEWHERE
        for line, text, pattern in strings(ROOT / path)
        if text not in ALLOWED and re.search(f"^(?:{pattern})$", spelled, re.MULTILINE)
    }
    assert not found


ALLOWED = {
    # Numbers of the assumptions' ledger that are also data of the graph under their own names.
    *("payer_block_region_sd", "patient_growth_region_sd", "region_premium_modality_sd", "adoption_step_region_sd"),
    *("line_price_year", "line_use_region_sd"),
    "vendor_build_up",  # a setting too
    "success",  # how a report's figures on a launch are read, too
    *("launch_year", "success_probability", "launch_ceiling"),  # of a deal; drivers
    "f'{prefix}mean'",  # a column
    *("f'{name}_year'", "f'{v.path(pset, modality, high)}_year'"),  # dimensions
    "f'{dim}s'",  # a plural
    "f'modality_{anchor}'",  # a dimension of the outcomes
}


def strings(path: Path) -> Iterator[tuple[int, str, str]]:
    """Every string that a module spells: its line, how it reads, and a pattern of what it may become."""
    inside: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in node.values}
            text = [str(part.value) if isinstance(part, ast.Constant) else None for part in node.values]
            if any(re.search("[a-z]", part) for part in text if part is not None):
                pattern = "".join(".+" if part is None else re.escape(part) for part in text)
                yield node.lineno, ast.unparse(node), pattern
        elif isinstance(node, ast.Constant) and type(node.value) is str and id(node) not in inside:
            yield node.lineno, node.value, re.escape(node.value)


VARIANTS: dict[str, Callable[[PriorSet], PriorSet]] = {
    "coverage": lambda p: effective(p.ledger, Settings(coverage=0.5)),
    "trust": lambda p: effective(p.ledger, Settings(trust="low")),
    "shape": lambda p: effective(p.ledger, Settings(uptake_shape="late")),
    "row": lambda p: p.with_evidence([replace(p.evidence[0], value=p.evidence[0].value * 1.1), *p.evidence[1:]]),
    "scope": lambda p: effective(p.ledger, Settings(adoption_scope="with_launched")),
    "rows": lambda p: p.with_evidence(p.evidence[1:]),
    "part": lambda p: p.with_evidence([replace(p.evidence[0], region="EU5"), *p.evidence[1:]]),
    "source": lambda p: p.with_evidence([replace(p.evidence[0], source="actuals: books"), *p.evidence[1:]]),
    "none": lambda p: p.with_evidence([]),
    "heavy": heavy,
    "left out": lambda p: effective(p.ledger, Settings(leave_out=("moh_2025",))),
    "vague": lambda p: prior_set(p.ledger, load_overlay("vague")),
}
SAME = {"coverage", "trust", "shape", "row", "vague", "left out"}  # these change data alone


def graph(model: pm.Model) -> tuple[list[Any], list[Any]]:
    """Every variable of a model, and what its graph begins from: data and lengths of dims by name, random streams."""
    outputs = sorted([*model.basic_RVs, *model.deterministics], key=lambda variable: variable.name)
    leaves = [leaf for leaf in graph_inputs(outputs) if isinstance(leaf, SharedVariable)]
    streams = [leaf for leaf in leaves if isinstance(leaf.type, RandomType)]
    return outputs, [*sorted(set(leaves) - set(streams), key=lambda leaf: leaf.name), *streams]


def assert_same_graph(first: PriorSet, second: PriorSet) -> None:
    models = build_model(first), build_model(second)
    shapes = [[(data.name, data.get_value().shape) for data in model.data_vars] for model in models]
    assert shapes[0] == shapes[1]
    (outputs, inputs), (others, other_inputs) = map(graph, models)
    assert [variable.name for variable in outputs] == [variable.name for variable in others]
    assert [leaf.name for leaf in inputs] == [leaf.name for leaf in other_inputs]
    assert equal_computations(outputs, others, inputs, other_inputs)


@pytest.mark.parametrize("name", VARIANTS)
def test_equal_keys_are_equal_graphs(pset: PriorSet, name: str) -> None:
    variant = VARIANTS[name](pset)
    assert (structure_key(variant) == structure_key(pset)) == (name in SAME)
    if name in SAME:
        assert_same_graph(variant, pset)


@pytest.mark.slow
def test_equal_keys_are_equal_graphs_of_any_market() -> None:
    first: dict[str, PriorSet] = {}
    shared = 0
    for pset in map(other_market, CHANGES):
        if (known := first.setdefault(structure_key(pset), pset)) is not pset:
            assert_same_graph(known, pset)
            shared += 1
    assert shared
