"""The patient funnel as it is read: the shipped file, and one line for each mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from postcgrp.priors import InputError, Ledger, load_ledger
from postcgrp.priors.funnel import claimed_pool, funnel_beside, load_funnel, step_prior
from postcgrp.priors.shipped import ASSUMPTIONS_FILE, FUNNEL_FILE
from postcgrp.tests.helpers.paths import OTHER_MARKET

TEXT = ASSUMPTIONS_FILE.with_name(FUNNEL_FILE).read_text(encoding="utf-8")


def edited(tmp_path: Path, old: str, new: str) -> Path:
    """The shipped funnel with its first `old` replaced."""
    assert old in TEXT, "the shipped funnel has changed: choose another passage"
    path = tmp_path / FUNNEL_FILE
    path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    return path


def test_the_shipped_funnel_has_every_stage_of_the_report(ledger: Ledger) -> None:
    funnel = load_funnel(ledger)
    assert [step.name for step in funnel.steps] == [
        "adults",
        "chronic_migraine",
        "diagnosed",
        "preventive",
        "exposed",
        "failed",
        "pool",
    ]
    assert {"United States", "EU5"} <= {*funnel.regions}
    assert {branch.depth for branch in funnel.branches} - {None} == {*ledger.segments["depth"]}
    assert {branch.stringency for branch in funnel.branches} - {None} == {"strict", "base", "lenient"}


def test_no_source_is_a_page_of_this_workplace() -> None:
    assert not re.search(r"shared/|sources-", TEXT)


def test_a_range_holds_90_percent_of_its_prior(ledger: Ledger) -> None:
    funnel = load_funnel(ledger)
    for region in funnel.regions:
        for node in funnel.ranged:
            prior = step_prior(funnel, ledger, node.name, region)
            assert prior.quantile([0.05, 0.95]) == pytest.approx((prior.low, prior.high))


def test_a_row_with_a_claim_takes_the_report_range(ledger: Ledger) -> None:
    funnel = load_funnel(ledger)
    prior = step_prior(funnel, ledger, "botox", "EU5")
    claim = next(claim for claim in ledger.claims if claim.id == funnel.row("botox", "EU5").claim)
    assert (prior.low, prior.high) == (claim.low, claim.high)
    assert prior.origin == f"claim {claim.id}"


def test_the_claimed_pool_is_the_ledger_claim(ledger: Ledger) -> None:
    claims = {c.region: c.value for c in ledger.claims if c.quantity == "patients" and c.role == "prior"}
    assert {region.name: claimed_pool(ledger, region.name) for region in ledger.regions} == claims


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("schema = 1", "schema = 2", "funnel.toml: schema = 2, but this version reads 1 only"),
        ("[funnel]\n", "[funel]\n", "table 'funel' is not known"),
        ("last_year = 2035\n\n", "last_year = 2025\n\n", "year = 2025 is not before last_year = 2025"),
        ("year = 2025\n", "year = 2024\n", "year = 2024, but 'patients_united_states_2025' counts patients of 2025"),
        ('report = "smr"', 'report = "mrs"', "report = 'mrs', but the ledger's is 'smr'"),
        ('unit = "fraction"', 'unit = "people"', "step 'chronic_migraine': unit = 'people'"),
        ('name = "preventive"', 'name = "diagnosed"', "step or branch 'diagnosed' appears 2 times"),
        ("correlation = 0.3\n", "correlation = 1.3\n", "correlation = 1.3"),
        ('of = "exposed"', 'of = "exposd"', "'exposd' is no step or branch above it: write 'exposed'"),
        ('without = "exposed_gepant"', 'without = "exposed"', "is without 'exposed', which is a step"),
        ('of = "exposed"\ncorrelation = 0.2\n', 'of = "exposed"\n', "`correlation` goes with `of`"),
        ('of = "exposed"\n', 'of = "exposed"\nwithout = "pool"\n', "give either `of`"),
        ("low = 0.008\n", "low = 0.8\n", "low = 0.8 is not below high = 0.02"),
        ("low = 0.008\nhigh = 0.020", "low = 0.8\nhigh = 2.0", "write a fraction (0.02)"),
        ("low = 264000000", "low = -1", "-1 is outside the range of people: write a count above 0"),
        ("low = 0.008\n", "", "give `low` and `high`, or a `claim`"),
        ("low = 0.008\n", 'low = "0.008"\n', "is not a number: write it as a number without quotes"),
        ('region = "Japan"\nlow', 'region = "Japn"\nlow', "'adults' has 0 rows for Japan"),
        ('seen = "abstract"', 'seen = "assumption"', "seen = 'assumption', but source ="),
        ('seen = "abstract"\n', "", "seen is missing: add it"),
        ('claim = "', 'claim = "un', "is no claim of a range of a fraction"),
        ('claim = "', 'low = 0.1\nclaim = "', "remove its other fields"),
        ('depth = "3+"', 'depth = "3"', "depth '3' is not the ledger's: write '3+'"),
        ('modality = "implantable"', 'modality = "implant"', "modality 'implant' is not the ledger's"),
        ("low = 0.003\nhigh = 0.009", "low = 3.0\nhigh = 9.0", "a yearly change lies between -1 and 1"),
        ("first_year = 2030\nlast_year = 2035", "first_year = 2029\nlast_year = 2035", "2 rows cover 2029 to 2030"),
        ("first_year = 2030\nlast_year = 2035", "first_year = 2030\nlast_year = 2036", "not within 2025 to 2035"),
        (
            'step = "failed"\nfirst_year',
            'step = "faild"\nfirst_year',
            "is no step or branch with a range: write 'failed'",
        ),
        (
            'step = "failed"\nfirst_year',
            'step = "no_botox"\nfirst_year',
            "'no_botox' is no step or branch with a range",
        ),
        ('label = "Adults"', 'lable = "Adults"', "step.adults.lable is not known: write 'label'"),
    ],
)
def test_bad_input_is_one_line(ledger: Ledger, tmp_path: Path, old: str, new: str, wanted: str) -> None:
    with pytest.raises(InputError) as raised:
        load_funnel(ledger, edited(tmp_path, old, new))
    message = str(raised.value)
    assert wanted in message
    assert message.startswith(FUNNEL_FILE)
    assert "\n" not in message


def test_a_row_of_a_region_that_the_ledger_lacks(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / FUNNEL_FILE
    path.write_text(TEXT.replace('"Japan"', '"Nippon"'), encoding="utf-8")
    with pytest.raises(InputError, match="region 'Nippon' is not the ledger's"):
        load_funnel(ledger, path)


def test_a_ledger_without_a_funnel_says_so() -> None:
    with pytest.raises(InputError, match="this ledger has no patient funnel: write one"):
        funnel_beside(OTHER_MARKET / "assumptions.toml")


def test_a_funnel_of_another_report_is_refused() -> None:
    other = load_ledger(OTHER_MARKET / "report.toml", OTHER_MARKET / "assumptions.toml")
    with pytest.raises(InputError, match="take that report's funnel"):
        load_funnel(other)
