"""What a prior set contributes to the density: given without a graph, and all that the graph takes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from pytensor.graph.traversal import graph_inputs

from postcgrp.inference.forward import ONCE
from postcgrp.models import build_model
from postcgrp.models import variables as v
from postcgrp.models.inputs import Input, arrays, inputs
from postcgrp.priors import Ledger, PriorSet, load_overlay, prior_set
from postcgrp.priors.shipped import shipped
from postcgrp.tests.helpers.markets import CHANGES, bounded, other_market
from postcgrp.tests.helpers.variants import variants

pytestmark = pytest.mark.fit


def assert_taken(pset: PriorSet) -> None:
    """The model's data are the inputs, in names, values, types and dims; each enters a density or a Deterministic."""
    model, given = build_model(pset), inputs(pset)
    assert [variable.name for variable in model.data_vars] == [*given]
    for name, one in given.items():
        values = model[name].get_value()
        assert values.dtype == one.values.dtype, name
        np.testing.assert_array_equal(values, one.values, err_msg=name)
        assert tuple(model.named_vars_to_dims.get(name) or ()) == one.dims, name
        assert one.values.shape == tuple(int(model.dim_lengths[dim].eval(mode=ONCE)) for dim in one.dims), name
    ends = [*model.basic_RVs, *model.deterministics, *(model.rvs_to_values[rv] for rv in model.observed_RVs)]
    assert {leaf.name for leaf in graph_inputs(ends)} >= given.keys()


@pytest.mark.parametrize("name", variants(shipped(), stay=3))
def test_a_model_takes_the_inputs_and_no_other(ledger: Ledger, name: str) -> None:
    assert_taken(prior_set(ledger, load_overlay(name)))


@pytest.mark.parametrize("name", variants([*CHANGES][::6], stay=4))
def test_also_of_another_market(name: str) -> None:
    assert_taken(other_market(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_inputs_of_any_market(name: str) -> None:
    assert_taken(other_market(name))


def test_also_with_bounds_and_without_evidence(pset: PriorSet) -> None:
    assert_taken(bounded())
    assert_taken(pset.with_evidence([]))


def test_an_input_that_no_graph_takes_is_seen(pset: PriorSet, monkeypatch: pytest.MonkeyPatch) -> None:
    more = {**inputs(pset), "idle": Input(np.zeros(()))}
    monkeypatch.setattr("postcgrp.models.latent.inputs", lambda pset: more)
    monkeypatch.setattr(sys.modules[__name__], "inputs", lambda pset: more)
    with pytest.raises(AssertionError):
        assert_taken(pset)


def test_only_values_follow_a_row_s_value(pset: PriorSet) -> None:
    first, *others = pset.evidence
    before, after = arrays(pset), arrays(pset.with_evidence([replace(first, value=2 * first.value), *others]))
    assert {name for name in before if not np.array_equal(before[name], after[name])} == {v.EVIDENCE_VALUE}


def test_inputs_need_neither_pymc_nor_jax() -> None:
    program = (
        "import sys; from postcgrp.priors import effective, load_ledger; "
        "from postcgrp.models.blueprint import market_blueprint; market_blueprint(effective(load_ledger())); "
        "print(*{'pymc', 'pytensor', 'jax'} & {*sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
