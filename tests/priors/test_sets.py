"""Prior sets: what an overlay may change, and that nothing it names is silently ignored."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postcgrp.inference.jaxify import model_data
from postcgrp.models import build_model
from postcgrp.models.free import free
from postcgrp.models.simulator import simulate
from postcgrp.models.structure import structure_key
from postcgrp.priors import (
    InputError,
    Ledger,
    PriorSet,
    effective,
    elicit,
    from_json,
    load_ledger,
    load_overlay,
    prior_set,
)
from postcgrp.priors.catalogue import ASSUMPTIONS, ELIGIBLE, FIXED_BECAUSE, RANGED
from postcgrp.priors.difference import difference
from postcgrp.priors.elicit import LINK
from postcgrp.priors.numbers import fixed_numbers
from postcgrp.priors.pool import load_pool, logarithmic_pool
from postcgrp.priors.reads import BY_SCENARIOS, places_read, rows_read
from postcgrp.priors.segments import SEGMENT_DIMS
from postcgrp.priors.sets import apply
from postcgrp.priors.shipped import shipped
from postcgrp.tests.helpers.paths import DOCS, OTHER_MARKET
from postcgrp.tests.helpers.variants import variants

PRIOR_SETS_PAGE = DOCS / "prior-sets.md"
LEDGER = load_ledger()
HEAD = 'schema = 1\nname = "mine"\nsays = "so"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    return path


def under(ledger: Ledger, folder: Path, text: str) -> PriorSet:
    return prior_set(ledger, load_overlay(written(folder, text)))


def test_the_report_is_the_ledger_itself(ledger: Ledger, pset: PriorSet) -> None:
    assert prior_set(ledger, load_overlay("report")) == pset == prior_set(ledger)


@pytest.mark.parametrize("name", shipped())
def test_shipped_sets_load_survive_json_and_are_documented(ledger: Ledger, pset: PriorSet, name: str) -> None:
    other = prior_set(ledger, load_overlay(name))
    assert other.settings.priors == name
    assert from_json(other.to_json()) == other
    assert bool(difference(pset, other)) == (name != "report")
    assert f"| `{name}` | {load_overlay(name).says} |" in PRIOR_SETS_PAGE.read_text(encoding="utf-8")


def test_a_set_changed_in_python_survives_json(pset: PriorSet, tmp_path: Path) -> None:
    price = pset.blocks["line_list_price"]
    moved = replace(price, priors=tuple(replace(prior, mu=prior.mu + 0.1) for prior in price.priors))
    looser = replace(pset.blocks["burden_level"], correlation=0.123)
    trust = pset.trust.model_copy(update={"base_log_sd": 0.3})
    evidence = tuple(replace(row, log_sd=row.log_sd * 1.5) for row in pset.evidence[1:])
    changed = replace(
        pset, blocks={**pset.blocks, "line_list_price": moved, "burden_level": looser}, trust=trust, evidence=evidence
    )
    again = from_json(changed.to_json())
    assert again == changed
    assert list(again.blocks) == list(changed.blocks)
    assert again.fingerprint() == changed.fingerprint()
    alone = [
        replace(pset, blocks={**pset.blocks, "line_list_price": moved}),
        replace(pset, blocks={**pset.blocks, "burden_level": looser}),
        replace(pset, trust=trust),
        replace(pset, evidence=evidence),
        pset,
    ]
    assert len({one.fingerprint() for one in alone}) == len(alone)


@pytest.mark.parametrize("towards", [0.0, np.inf])  # towards infinity, ends that cancel leave a residue
@pytest.mark.parametrize("name", ["report", "vague"])  # the second one's ranges are computed
def test_the_recipe_is_the_same_on_another_processor(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, name: str, towards: float
) -> None:
    """One whose functions differ in the last digit: a run made elsewhere opens, and its priors can be made again."""
    pset = prior_set(ledger, load_overlay(name))
    recipe, stored = pset.recipe(), pset.to_json()

    def nudged(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: np.nextafter(function(x), towards)

    for family, functions in list(elicit.LINK.items()):
        if functions[0] is not np.asarray:  # plain arithmetic is the same everywhere
            monkeypatch.setitem(elicit.LINK, family, tuple(map(nudged, functions)))
    assert from_json(stored).recipe() == recipe
    made = prior_set(ledger, load_overlay(name))
    assert made != pset
    assert made.recipe() == recipe


def test_the_sceptic_misses_as_the_reference_class_does(ledger: Ledger) -> None:
    sceptic = prior_set(ledger, load_overlay("sceptic"))
    sd = float(sceptic.vendor_log_sd([2035])[0])
    error = sd * np.random.default_rng(1).standard_normal(1_000_000)
    assert np.mean((error < np.log(0.6)) | (error > np.log(1.4))) == pytest.approx(0.60, abs=0.005)
    assert sceptic.source_log_bias("smr", [2025, 2035]) == pytest.approx([0.0, 0.04])


def test_the_bottom_up_view_has_no_revenue_and_vague_is_wider_everywhere(ledger: Ledger, pset: PriorSet) -> None:
    assert not prior_set(ledger, load_overlay("bottom-up")).evidence
    vague = prior_set(ledger, load_overlay("vague"))
    for name, block in pset.blocks.items():
        for before, after in zip(block.priors, vague.blocks[name].priors, strict=True):
            if before.low is not None and before.sd > 0 and not name.endswith(("region_sd", "net_ratio")):
                assert after.sd > 1.4 * before.sd
                assert after.mu == pytest.approx(before.mu)


def test_a_change_is_narrowed_widened_moved_or_replaced(ledger: Ledger, pset: PriorSet, tmp_path: Path) -> None:
    mine = under(
        ledger,
        tmp_path,
        """
[settings]
coverage = 0.8
trust = "odd"
[[trust]]
level = "odd"
base_log_sd = 0.1
final_log_sd = 0.2
base_log_bias = -0.1
source = "assumption"
reason = "r"
[[assumption]]
id = "launch_ceiling"
modality = "implantable"
spread = 2.0
reason = "r"
[[assumption]]
id = "line_drift"
year = 2035
line = "gepant"
centre = 0.0
reason = "r"
[[assumption]]
id = "price_noise"
value = 0.01
reason = "r"
[[claim]]
id = "moh_2025"
low = 0.32
high = 0.45
reason = "r"
""",
    )
    ceiling, before = mine.blocks["launch_ceiling"].priors[0], pset.blocks["launch_ceiling"].priors[0]
    assert (ceiling.mu, ceiling.sd) == pytest.approx((before.mu, 2 * before.sd))
    drift, as_it_was = ({p.name: p for p in one.blocks["line_drift"].priors} for one in (mine, pset))
    moved = "line_drift[gepant, 2035]"
    assert (drift[moved].mu, drift[moved].sd) == pytest.approx((0.0, as_it_was[moved].sd))
    assert {name for name in drift if drift[name] != as_it_was[name]} == {moved}
    assert mine.number("price_noise", modality="non_invasive") == 0.01
    moh = mine.blocks["burden_level"].priors[0]
    assert (moh.low, moh.high, moh.coverage) == (0.32, 0.45, 0.8)
    assert mine.trust.base_log_bias == -0.1
    assert mine.ledger != ledger


def test_a_change_of_everything_keeps_to_its_part(ledger: Ledger, pset: PriorSet, tmp_path: Path) -> None:
    text = '[[assumption]]\nid = "*"\nmodality = "implantable"\nspread = 2.0\nreason = "r"'
    mine = under(ledger, tmp_path, text)
    changed = {
        p.name
        for name, b in mine.blocks.items()
        for p, q in zip(b.priors, pset.blocks[name].priors, strict=True)
        if p != q
    }
    assert "launch_ceiling[implantable]" in changed
    assert all("implantable" in name for name in changed)


def test_a_change_of_everything_leaves_out_what_it_names(ledger: Ledger, pset: PriorSet, tmp_path: Path) -> None:
    text = '[[assumption]]\nid = "*"\nbut = ["patient_growth", "line_net_ratio"]\nspread = 2.0\nreason = "r"'
    mine = under(ledger, tmp_path, text)
    assert mine.blocks["patient_growth"] == pset.blocks["patient_growth"]
    assert mine.blocks["moh_effect"].priors[0].sd == pytest.approx(2 * pset.blocks["moh_effect"].priors[0].sd)


def test_a_change_of_a_part_adds_a_row_and_leaves_the_rest(ledger: Ledger, pset: PriorSet, tmp_path: Path) -> None:
    text = '[[assumption]]\nid = "region_premium"\nregion = "Japan"\nlow = 0.1\nhigh = 0.2\nreason = "r"'
    mine = under(ledger, tmp_path, text).blocks["region_premium"].priors
    changed = [now != before for now, before in zip(mine, pset.blocks["region_premium"].priors, strict=True)]
    assert changed == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[[assumption]]\nid = "payer_brak"\nvalue = 1.0\nreason = "r"',
            "'payer_brak' is not in the ledger: write 'payer_brake'",
        ),
        ('[[claim]]\nid = "zebra"\nvalue = 1.0\nreason = "r"', "claim 'zebra' is not in the ledger"),
        ('[[claim]]\nid = "revenue_2035"\nvalue = 1.0\nreason = "r"', "'revenue_2035' is check, which no model reads"),
        ('[[assumption]]\nid = "payer_brake"\nreason = "r"', "changes nothing: give `value`"),
        (
            '[[assumption]]\nid = "payer_brake"\nbut = ["moh_effect"]\nspread = 2.0\nreason = "r"',
            "but has no effect on 'payer_brake': remove it, or change '*'",
        ),
        (
            '[[assumption]]\nid = "*"\nbut = ["moh_efect"]\nspread = 2.0\nreason = "r"',
            "but = 'moh_efect' is no assumption: write 'moh_effect'",
        ),
        (
            '[[assumption]]\nid = "*"\nspread = 2.0\nreason = "r"',
            "'line_net_ratio': spread = 2 takes its range above 1: lower it, or leave it out",
        ),
        ('[[assumption]]\nid = "payer_brake"\nspread = 0.0\nreason = "r"', "spread = 0 must be above zero: 2 doubles"),
        ('[[assumption]]\nid = "payer_brake"\nlow = 2.0\nreason = "r"', "open range"),
        ('[[assumption]]\nid = "payer_brake"\nlow = 3.0\nhigh = 2.0\nreason = "r"', "low = 3 is not below high = 2"),
        ('[[assumption]]\nid = "price_noise"\nspread = 2.0\nreason = "r"', "is a number and has no spread"),
        (
            '[[assumption]]\nid = "moh_step"\ndepth = "2"\nfamily = "logstudent"\nreason = "r"',
            "give all of them the",
        ),
        ('[[assumption]]\nid = "payer_brake"\nfamily = "normal"\nreason = "r"', "may be lognormal or logstudent"),
        ('[settings]\ntrust = "blind"', "trust 'blind' is not in the ledger: use one of low"),
        (
            '[settings]\nadoption_scope = "all"',
            "'all' is not in the ledger: use one of alone",
        ),
        ('[settings]\nleave_out = ["moh_202"]', "leave_out 'moh_202' is not in the ledger: use one of moh_2025"),
        ("[settings]\ncoverag = 0.5", "settings.coverag is not known: write 'coverage'"),
        ('[settings]\ncoverage = "0.5"', "coverage = '0.5' is not a number: write it as a number without quotes"),
        ('[settings]\nleave_out = "revenue"', "leave_out = 'revenue' is not a list: write it in brackets"),
        ('[[assumption]]\nvalue = 1.0\nreason = "r"', "mine.toml: line 4: assumption[1].id is missing: add it"),
        (
            '[[assumption]]\nid = "payer_brake"\nfamily = "cauchy"\nreason = "r"',
            "family = 'cauchy' is not known: use 'normal'",
        ),
        (
            '[[assumption]]\nid = "launch_ceiling"\ncentre = 8.0\nreason = "r"',
            "centre = 8 must lie between 0 and 1: write percentages as fractions",
        ),
        ('[[assumption]]\nid = "payer_brake"\ncentre = -8.0\nreason = "r"', "centre = -8 must be above zero"),
        ('[[assumption]]\nid = "payer_brake"\nspread = 1e9\nreason = "r"', "spread = 1e+09 is too wide: lower it"),
        (
            '[[assumption]]\nid = "*"\nregion = "Mars"\nspread = 2.0\nreason = "r"',
            "region 'Mars' is not declared: use one of",
        ),
        ("x = 1", "x is not known: use one of name, says"),
        (
            '[[claim]]\nid = "moh_2025"\nlow = 0.3\nhigh = 0.4\nreason = "r"\n' * 2,
            "line 9: claim 'moh_2025' for the whole market is changed twice: keep one of the changes",
        ),
        # what a row names and does not change, and what nothing reads
        (
            '[[claim]]\nid = "adoption_2035"\nregion = "Japan"\nyear = 2031\nlow = 0.31\nhigh = 0.39\nreason = "r"',
            "claim 'adoption_2035' is not for year 2031, region Japan: remove `year` and `region`: a change to a claim",
        ),
        (
            '[[claim]]\nid = "revenue_share_united_states"\nyear = 2035\nvalue = 0.6\nreason = "r"',
            "claim 'revenue_share_united_states' is not for year 2035: remove `year`",
        ),
        (
            '[[claim]]\nid = "adoption_2035"\nyear = 2030\nlow = 0.31\nhigh = 0.39\nreason = "r"',
            "change 'adoption_2030' instead, or remove `year`",
        ),
        (
            '[[assumption]]\nid = "line_drift"\nyear = 2031\nlow = 0.0\nhigh = 0.1\nreason = "r"',
            "assumption 'line_drift' for year 2031 is not in the ledger: remove it",
        ),
        (
            '[[assumption]]\nid = "price_noise"\nmodality = "implantable"\nyear = 2031\nvalue = 0.1\nreason = "r"',
            "year 2031, but it may name modality only: remove `year`",
        ),
        (
            '[[assumption]]\nid = "moh_step"\ndepth = "1"\nlow = 0.1\nhigh = 0.2\nreason = "r"',
            "assumption 'moh_step', here, is one that no model takes: remove it",
        ),
        ('[[assumption]]\nid = "adoption_logit_sd"\nvalue = 0.3\nreason = "r"', "is one that no model takes"),
        (
            '[[assumption]]\nid = "price_noise"\nvalue = 0.3\nfamily = "normal"\nreason = "r"',
            "family has no effect on a fixed number: remove `family`",
        ),
        (
            '[[assumption]]\nid = "price_noise"\nvalue = 0.3\ncoverage = 0.5\nreason = "r"',
            "coverage has no effect on a fixed number: remove `coverage`",
        ),
        ('[[assumption]]\nid = "price_noise"\ncoverage = 0.5\nreason = "r"', "a number, on which coverage has no eff"),
        ('[[assumption]]\nid = "payer_brake"\ncoverage = 50\nreason = "r"', "coverage = 50 is not inside 0..1"),
        ('[[claim]]\nid = "moh_2025"\nlow = 0.3\nhigh = 0.4\nsource = "me"\nreason = "r"', "has no source of its own"),
        ('[[claim]]\nid = "moh_2025"\nfamily = "logitstudent"\nreason = "r"', "has no family of its own"),
        (
            '[[claim]]\nid = "revenue_2030"\ncoverage = 0.5\nreason = "r"',
            "'revenue_2030' is a number, on which coverage has no effect",
        ),
        (
            '[[assumption]]\nid = "payer_brake"\nquantiles = { 50 = 3000.0 }\nreason = "r"',
            "give two, by the percentage",
        ),
        (
            '[[assumption]]\nid = "payer_brake"\nquantiles = { 50 = 3000.0, 90 = 2000.0 }\nreason = "r"',
            "do not rise with the percentage",
        ),
        (
            '[[claim]]\nid = "moh_2025"\nquantiles = { 50 = 12.0, 90 = 20.0 }\nreason = "r"',
            "quantiles 12 and 20 have no logitnormal prior: use rising ones inside its support",
        ),
    ],
)
def test_a_slip_gives_one_clear_line(ledger: Ledger, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        under(ledger, tmp_path, text)
    (said,) = caught.value.faults
    assert message in said
    assert "\n" not in said


def test_a_file_that_is_not_there_or_has_no_schema(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'scaptic' is not shipped: use one of report, "):
        load_overlay("scaptic")
    with pytest.raises(InputError, match="cannot be read"):
        load_overlay(tmp_path / "none.toml")
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(InputError, match="schema = None"):
        load_overlay(tmp_path / "empty.toml")


def test_the_documented_file_loads(ledger: Ledger, tmp_path: Path) -> None:
    text, pair, pool = re.findall(r"```toml\n(.*?)```", PRIOR_SETS_PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "doc.toml").write_text(text, encoding="utf-8")
    assert difference(effective(ledger), prior_set(ledger, load_overlay(tmp_path / "doc.toml")))
    assert len(under(ledger, tmp_path, pair).correlations) == 1
    (tmp_path / "pool.toml").write_text(pool, encoding="utf-8")
    panel = load_pool(tmp_path / "pool.toml")
    assert panel is not None
    sets = [prior_set(ledger, load_overlay(member.set)) for member in panel.member]
    assert difference(effective(ledger), logarithmic_pool(sets, panel.weights, panel.name))


def test_a_heavy_tail_holds_its_range_too(ledger: Ledger, pset: PriorSet, tmp_path: Path) -> None:
    text = '[[assumption]]\nid = "moh_step"\nfamily = "logstudent"\nreason = "r"'
    heavy = under(ledger, tmp_path, text)
    for prior, before in zip(heavy.blocks["moh_step"].priors, pset.blocks["moh_step"].priors, strict=True):
        assert prior.cdf([prior.low or 0, prior.high or 0]) == pytest.approx([0.05, 0.95])
        assert prior.quantile(0.999) > before.quantile(0.999)
        assert LINK[prior.family] == LINK[before.family]
    assert structure_key(heavy) != structure_key(pset)


def numbers(pset: PriorSet) -> dict[str, np.ndarray]:
    return dict(model_data(build_model(pset)))


@pytest.mark.fit
@pytest.mark.parametrize(
    "text",
    variants(
        [
            '[[assumption]]\nid = "*"\nbut = ["line_net_ratio"]\nspread = 1.3\nreason = "r"',
            '[[assumption]]\nid = "eligible_share"\ndepth = "2"\nvalue = 0.2\nreason = "r"',
            '[[assumption]]\nid = "launch_year"\nmodality = "implantable"\nvalue = 2028.0\nreason = "r"',
            '[settings]\nuptake_shape = "late"',
            '[settings]\nleave_out = ["adoption_2030"]',
            *(
                f'[[assumption]]\nid = "{name}"\nvalue = {value}\nreason = "r"'
                for name, value in (
                    ("evidence_log_sd", 0.07),
                    ("patient_growth_region_sd", 0.004),
                    ("burden_correlation", 0.95),
                    ("payer_block_region_sd", 0.2),
                    ("uptake_correlation", 0.95),
                    ("adoption_path_concentration", 30),
                    ("uptake_region_size", 0.2),
                    ("adoption_step_region_sd", 0.2),
                    ("price_noise", 0.02),
                    ("region_premium_modality_sd", 0.1),
                )
            ),
            '[settings]\nleave_out = ["adoption_direction_united_states"]',
        ],
        stay=5,
    ),
)
def test_every_number_is_data_of_one_program(ledger: Ledger, pset: PriorSet, tmp_path: Path, text: str) -> None:
    """Another number makes other data, never another graph: that is what lets one program fit them all."""
    other = under(ledger, tmp_path, text)
    assert structure_key(other) == structure_key(pset)
    before, after = numbers(pset), numbers(other)
    assert {k: v.shape for k, v in before.items()} == {k: v.shape for k, v in after.items()}
    assert any(not np.array_equal(before[name], after[name]) for name in before)


def test_other_structure_is_another_graph(ledger: Ledger, pset: PriorSet, tmp_path: Path) -> None:
    for text in (
        '[settings]\nadoption_scope = "with_launched"',
        '[settings]\nleave_out = ["revenue_2030"]',
    ):
        assert structure_key(under(ledger, tmp_path, text)) != structure_key(pset)


@pytest.mark.fit
def test_the_scope_takes_implants_off_the_claim(ledger: Ledger, tmp_path: Path) -> None:
    """Seen as the report sees launches, which here is what happens."""
    text = "".join(
        f'[[assumption]]\nid = "{name}"\nmodality = "implantable"\nvalue = {value}\nreason = "r"\n'
        for name, value in (("success_probability", 1.0), ("launch_year", 2028.0), ("vendor_launch_year", 2028.0))
    )
    overlay = load_overlay(written(tmp_path, text))
    sets = (prior_set(ledger, overlay, turned={"adoption_scope": scope}) for scope in ("alone", "with_launched"))
    alone, with_launched = (simulate(each, 2000, 1) for each in sets)
    cells = with_launched["patients"][..., None] * with_launched["use"]
    stock = cells[..., 2].sum(axis=(2, 3)).cumsum(axis=1) / with_launched["patients"].sum(axis=(2, 3))
    total, claimed = (with_launched["adoption_mean"] + stock)[:, -1], alone["adoption_mean"][:, -1]
    exact = np.isclose(total, claimed, rtol=1e-3)  # rows see launches with a short foot
    assert exact.mean() > 0.7
    assert (total[~exact] > claimed[~exact]).all()  # so many implants that the rest would have fallen: it stays
    assert np.median(with_launched["adoption_mean"][:, -1]) < 0.95 * np.median(alone["adoption_mean"][:, -1])


@given(shape=st.sampled_from(["even", "early", "late"]), steps=st.integers(1, 9))
def test_shares_of_a_rise_sum_to_one(shape: str, steps: int) -> None:
    pset = prior_set(LEDGER, turned={"uptake_shape": shape})
    share = pset.rise(steps)
    assert share.sum() == pytest.approx(1)
    rising = np.all(np.diff(share) >= 0)
    assert rising == (shape != "early" or steps == 1)


def test_all_faults_of_a_set_are_said_at_once_with_their_lines(ledger: Ledger, tmp_path: Path) -> None:
    text = """
[[assumption]]
id = "payer_brak"
value = 1.0
reason = "r"

[[claim]]
id = "adoption_2035"
region = "Japan"
low = 0.31
high = 0.39
reason = "r"
"""
    with pytest.raises(InputError) as caught:
        under(ledger, tmp_path, text)
    first, second = caught.value.faults
    assert first == "mine.toml: line 5: assumption 'payer_brak' is not in the ledger: write 'payer_brake'"
    assert second.startswith("mine.toml: line 10: claim 'adoption_2035' is not for region Japan: remove `region`")


def test_a_set_names_segments_by_their_aliases(ledger: Ledger, pset: PriorSet, tmp_path: Path) -> None:
    text = '[[assumption]]\nid = "region_premium"\nregion = "us"\nlow = 0.1\nhigh = 0.2\nreason = "r"'
    mine = under(ledger, tmp_path, text).blocks["region_premium"].priors
    changed = [now != before for now, before in zip(mine, pset.blocks["region_premium"].priors, strict=True)]
    assert changed == [True, False, False, False, False]


def test_a_claim_has_its_own_coverage_or_two_quantiles(ledger: Ledger, tmp_path: Path) -> None:
    text = """
[[claim]]
id = "moh_2025"
coverage = 0.5
reason = "r"
[[claim]]
id = "adoption_2035"
quantiles = { 50 = 0.36, 90 = 0.42 }
reason = "r"
[[claim]]
id = "revenue_share_united_states"
coverage = 0.5
reason = "r"
[[assumption]]
id = "line_list_price"
line = "implant_case"
region = "Japan"
quantiles = { 10 = 20000.0, 75 = 50000.0 }
reason = "r"
"""
    mine, plain = under(ledger, tmp_path, text), effective(ledger)
    moh = next(p for p in mine.blocks["burden_level"].priors if p.name == "moh")
    assert moh.cdf([0.3, 0.4]) == pytest.approx([0.25, 0.75])
    adoption = mine.blocks["adoption_level"].priors[2]
    assert adoption.quantile([0.5, 0.9]) == pytest.approx([0.36, 0.42])
    assert adoption.coverage == 0.9
    price = next(p for p in mine.blocks["line_list_price"].priors if p.name == "line_list_price[implant_case, Japan]")
    assert price.quantile([0.1, 0.75]) == pytest.approx([20000, 50000])
    share, before = (next(r for r in s.evidence if r.id == "revenue_share_united_states") for s in (mine, plain))
    assert share.log_sd == pytest.approx(before.log_sd * 1.6449 / 0.6745, rel=1e-3)
    named = {row["name"] for row in difference(plain, mine)}
    assert {
        "burden_level: moh",
        "line_list_price: line_list_price[implant_case, Japan]",
        "revenue_share_united_states",
    } <= named
    turned = prior_set(ledger, load_overlay(tmp_path / "mine.toml"), turned={"coverage": 0.8})
    assert turned.blocks["burden_level"].priors[0].cdf([0.3, 0.4]) == pytest.approx([0.25, 0.75])  # its own coverage


@pytest.mark.parametrize("name", shipped())
def test_shipped_sets_lie_over_any_market_and_say_what_they_skip(name: str) -> None:
    market = load_ledger(OTHER_MARKET / "report.toml", OTHER_MARKET / "assumptions.toml")
    overlay = load_overlay(name)
    skipped = apply(market, overlay).skipped
    assert prior_set(market, overlay).settings.priors == name
    with pytest.raises(InputError) if skipped else nullcontext():
        prior_set(market, overlay.model_copy(update={"any_ledger": False}))
    assert bool(skipped) == (name not in ("report", "vague"))
    if name == "bottom-up":
        assert skipped == ("leave_out 'revenue_share': the report has no such evidence",)
        assert not prior_set(market, overlay).evidence
    assert not apply(LEDGER, overlay).skipped


@pytest.mark.slow
def test_every_number_of_a_ledger_is_listed_and_differs_where_it_is_changed(
    ledger: Ledger, pset: PriorSet, tmp_path: Path
) -> None:
    """Each row that can be set shows in `priors` and, changed, in `--diff`: priors, fixed numbers and directions."""
    read = rows_read(ledger)
    listed = {number.name for number in fixed_numbers(pset)}
    assert {"line_price_year", "spend_residual_sd", "uptake_correlation", "price_noise"} <= listed
    first = {row.id: k for k, row in reversed([*enumerate(ledger.assumptions)])}
    last = {row.id: k for k, row in enumerate(ledger.assumptions)}
    for k, row in enumerate(ledger.assumptions):
        if k not in (first[row.id], last[row.id]):
            continue  # one kind of row; prices by line and region are dozens
        where = "".join(f'{s} = "{key}"\n' for s in SEGMENT_DIMS if (key := getattr(row, s)) is not None)
        where += f"year = {row.year}\n" if row.year else ""
        if row.value is None:
            number = "spread = 0.9"
        else:
            number = f"value = {row.value + 1 if row.unit == 'year' else row.value * 0.8 + 0.01}"
        text = f'[[assumption]]\nid = "{row.id}"\n{where}{number}\nreason = "r"'
        if row.id in BY_SCENARIOS:
            continue
        if k not in read:
            with pytest.raises(InputError, match="is one that no model takes"):
                under(ledger, tmp_path, text)
            continue
        turned = {"stringency": next((key for key, name in ELIGIBLE.items() if name == row.id), "base")}
        before, after = (
            prior_set(ledger, turned=turned),
            prior_set(ledger, load_overlay(written(tmp_path, text)), turned=turned),
        )
        changed = [r for r in difference(before, after) if r["what"] != "setting"]
        assert changed, row.id
    text = '[[claim]]\nid = "adoption_direction_eu5"\nvalue = 0.0\nreason = "r"'
    (sign,) = [r for r in difference(pset, under(ledger, tmp_path, text)) if r["what"] == "number"]
    assert sign["name"] == "adoption_direction[EU5, non_invasive]"


def test_a_set_changes_a_kind_of_source_or_adds_one(ledger: Ledger, pset: PriorSet, tmp_path: Path) -> None:
    text = "".join(
        f'[[source]]\nkind = "{kind}"\nbase_log_sd = 0.2\nfinal_log_sd = 0.5\nsource = "s"\nreason = "r"\n'
        for kind in ("vendor", "panel")
    )
    mine = under(ledger, tmp_path, text)
    assert mine.source_log_sd("vendor: second", [2025, 2035]) == pytest.approx([0.2, 0.5])
    assert mine.source_log_sd("panel", [2025]) == pytest.approx([0.2])
    changed = {row["name"] for row in difference(pset, mine) if row["what"] == "kind of source"}
    assert changed == {"vendor", "panel"}


def test_a_scale_may_be_a_range(ledger: Ledger, pset: PriorSet, tmp_path: Path) -> None:
    text = '[[assumption]]\nid = "price_noise"\nmodality = "implantable"\nlow = 0.02\nhigh = 0.2\nreason = "r"'
    mine = under(ledger, tmp_path, text)
    (prior,) = mine.blocks["price_noise_implantable"].priors
    assert prior.cdf([0.02, 0.2]) == pytest.approx([0.05, 0.95])
    assert structure_key(mine) != structure_key(pset)
    assert from_json(mine.to_json()) == mine
    rows = {(r["what"], r["name"]): (r["first"], r["second"]) for r in difference(pset, mine)}
    assert rows["number", "price_noise[implantable]"] == ("0.08 log", "")
    assert rows["prior", "price_noise_implantable: price_noise[implantable]"][0] == ""
    assert "price_noise_pharmacologic" not in mine.blocks
    with pytest.raises(InputError, match=r"'line_price_year' .* is a range 2024..2026: it must be a fixed `value`"):
        under(ledger, tmp_path, '[[assumption]]\nid = "line_price_year"\nlow = 2024\nhigh = 2026\nreason = "r"')


@pytest.mark.fit
@pytest.mark.parametrize("name", variants(RANGED, stay=3))
def test_every_scale_may_be_a_range_of_its_own_by_modality_or_line(
    ledger: Ledger, pset: PriorSet, tmp_path: Path, name: str
) -> None:
    text = f'[[assumption]]\nid = "{name}"\nquantiles = {{ 50 = 0.2, 90 = 0.4 }}\nreason = "r"'
    mine = under(ledger, tmp_path, text)
    new = {block: mine.blocks[block].priors for block in mine.blocks.keys() - pset.blocks.keys()}
    places = list(places_read(ledger, name))
    assert sorted(prior.name for (prior,) in new.values()) == sorted(
        f"{name}[{', '.join(map(str, place.values()))}]" if place else name for place in places
    )
    for block, (prior,) in new.items():
        assert block.startswith(name)
        assert prior.cdf([0.2, 0.4]) == pytest.approx([0.5, 0.9])
    assert structure_key(mine) != structure_key(pset)
    assert structure_key(mine) == structure_key(under(ledger, tmp_path, text.replace("0.4", "0.5")))
    assert {part.block for part in free(mine)} >= set(new)
    assert from_json(mine.to_json()) == mine
    rows = {(r["what"], r["name"]) for r in difference(pset, mine)}
    assert {("prior", f"{block}: {prior.name}") for block, (prior,) in new.items()} <= rows
    assert name not in {number.id for number in fixed_numbers(mine)}


def test_a_number_for_a_part_stands_against_what_the_other_set_has_there(
    ledger: Ledger, pset: PriorSet, tmp_path: Path
) -> None:
    text = '[[assumption]]\nid = "price_noise"\nmodality = "pharmacologic"\nvalue = 0.01\nreason = "r"'
    other = under(ledger, tmp_path, text)
    for first, second in ((pset, other), (other, pset)):
        rows = [row for row in difference(first, second) if row["what"] == "number"]
        assert [row["name"] for row in rows] == ["price_noise[pharmacologic]"]
        assert {rows[0]["first"], rows[0]["second"]} == {"0.03 log", "0.01 log"}


@pytest.mark.parametrize(
    "name", [name for name, entry in ASSUMPTIONS.items() if not entry.family and name not in RANGED]
)
def test_a_range_for_what_must_be_fixed_says_why(ledger: Ledger, tmp_path: Path, name: str) -> None:
    assert name in {row.id for row in ledger.assumptions} | {"line_use_logit_sd", "payer_block_logit_sd"}
    if name in {row.id for row in ledger.assumptions}:
        text = f'[[assumption]]\nid = "{name}"\nlow = 0.2\nhigh = 0.4\nreason = "r"'
        with pytest.raises(InputError, match=r"it must be a fixed `value`: (it|as|regions) "):
            under(ledger, tmp_path, text)
    assert FIXED_BECAUSE[name]
