"""Shares of countries and companies as they are read: the shipped file, and one line for each mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from postcgrp.priors import InputError, Ledger, load_ledger
from postcgrp.priors.shares import load_shares
from postcgrp.priors.shipped import ASSUMPTIONS_FILE, SHARES_FILE
from postcgrp.tests.helpers.paths import OTHER_MARKET

TEXT = ASSUMPTIONS_FILE.with_name(SHARES_FILE).read_text(encoding="utf-8")


def edited(tmp_path: Path, old: str, new: str) -> Path:
    """The shipped shares with their first `old` replaced."""
    assert old in TEXT, "the shipped shares have changed: choose another passage"
    path = tmp_path / SHARES_FILE
    path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    return path


def test_countries_are_those_of_the_report(ledger: Ledger) -> None:
    shares = load_shares(ledger)
    (claim,) = (claim for claim in ledger.claims if claim.id == "country_list")
    countries = list(dict.fromkeys(country.name for country in shares.countries))
    assert claim.quote.endswith(", ".join(countries))


def test_companies_are_those_of_the_report_and_the_others(ledger: Ledger) -> None:
    shares = load_shares(ledger)
    (claim,) = (claim for claim in ledger.claims if claim.id == "company_count")
    named = [company.name for company in shares.companies if company.quote is not None]
    assert len(named) == claim.value
    assert all(name in " ".join(claim.quote.split()) for name in named)
    assert [company.name for company in shares.companies if company.quote is None] == ["not named by the report"]


def test_no_source_is_a_page_of_this_workplace() -> None:
    assert not re.search(r"shared/|sources-", TEXT)


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("schema = 1", "schema = 2", "shares.toml: schema = 2"),
        ("[shares]\n", "[share]\n", "table 'share' is not known"),
        ('report = "smr"', 'report = "mrs"', "report = 'mrs', but the ledger's is 'smr'"),
        ("share = 0.33", "share = 33", "Germany of EU5: share = 33: write a fraction (0.33)"),
        ("share = 0.33", "share = 0", "share = 0: leave it out"),
        ("share = 0.33", "share = 0.34", "the shares of EU5 sum to 1.01, not 1"),
        ('name = "France"', 'name = "Germany"', "Germany has 2 shares of EU5: keep one"),
        ('region = "Japan"', 'region = "Asia"', "country 'Japan': region 'Asia' is not the ledger's"),
        ('region = "EU5"\nconcentration = 25', 'region = "EU"\nconcentration = 25', "EU5 has 0 [[split]] rows: it"),
        ('region = "EU5"\nconcentration = 25', 'region = "Japan"\nconcentration = 25', "EU5 has 0 [[split]] rows"),
        ("concentration = 25", "concentration = 0", "concentration = 0"),
        ("concentration = 25", 'modality = "implantable"\nconcentration = 25', "divides a `region`, or a `modality`"),
        ('company = "Amgen"', 'company = "Amgn"', "stake of 'Amgn': no such [[company]]: write 'Amgen'"),
        ('[[company]]\nname = "Amgen"', '[[company]]\nname = "Pfizer"', "stake of 'Amgen': no such [[company]]"),
        ('[[company]]\nname = "Amgen"', '[[company]]\nname = "AbbVie"', "company 'AbbVie' appears 2 times"),
        ('[[company]]\nname = "not', '[[company]]\nname = "Pfizer"\n\n[[company]]\nname = "not', "has no stake"),
        ('share = 0.48\nsource = "assumption"', 'share = 0.48\nsource = "  "', "is empty or has blanks around it"),
        ('reason = "The region is', 'raeson = "The region is', "country.U.S..raeson is not known: write 'reason'"),
        ('line = "toxin"\nconcentration', 'line = "botox"\nconcentration', "line 'toxin' of pharmacologic has 0 "),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(ledger: Ledger, tmp_path: Path, old: str, new: str, wanted: str) -> None:
    with pytest.raises(InputError) as raised:
        load_shares(ledger, edited(tmp_path, old, new))
    message = str(raised.value)
    assert wanted in message
    assert message.startswith(SHARES_FILE)
    assert "\n" not in message


def without(kind: str, field: str, value: str) -> str:
    """The shipped shares without the rows of a kind that have a value."""
    rows = re.split(r"(?m)^(?=\[\[)", TEXT)
    return "".join(row for row in rows if not (row.startswith(f"[[{kind}]]") and f'{field} = "{value}"' in row))


@pytest.mark.parametrize(
    ("kind", "field", "value", "wanted"),
    [
        ("country", "region", "Rest of World", "region 'Rest of World' has no country: add one, such as 'Others'"),
        ("stake", "modality", "implantable", "company 'Salvia BioElectronics' has no stake"),
    ],
)
def test_what_nobody_shares(ledger: Ledger, tmp_path: Path, kind: str, field: str, value: str, wanted: str) -> None:
    path = tmp_path / SHARES_FILE
    path.write_text(without(kind, field, value), encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(wanted)):
        load_shares(ledger, path)


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ('modality = "implantable"', 'modality = "implant"', "'implant' is not the ledger's: write 'implantable'"),
        ('line = "toxin"', 'line = "device"', None),  # a line is known to runs only, and checked when one is divided
    ],
)
def test_a_modality_is_known_and_a_line_may_be_any(
    ledger: Ledger, tmp_path: Path, old: str, new: str, wanted: str | None
) -> None:
    path = tmp_path / SHARES_FILE
    path.write_text(TEXT.replace(old, new), encoding="utf-8")
    if wanted is None:
        assert "device" in load_shares(ledger, path).lines("pharmacologic")
        return
    with pytest.raises(InputError, match=wanted):
        load_shares(ledger, path)


def test_a_split_of_what_nobody_has(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / SHARES_FILE
    more = '[[split]]\nmodality = "pharmacologic"\nline = "x"\nconcentration = 3\nsource = "a"\nreason = "b"\n'
    path.write_text(f"{TEXT}\n{more}", encoding="utf-8")
    with pytest.raises(InputError, match="split: nobody has a share of line 'x' of pharmacologic"):
        load_shares(ledger, path)


def test_shares_of_another_report_are_refused() -> None:
    other = load_ledger(OTHER_MARKET / "report.toml", OTHER_MARKET / "assumptions.toml")
    with pytest.raises(InputError, match="take that report's shares"):
        load_shares(other)
