"""The commands on what a forecast is made from: they refuse what a forecast refuses, and name what they skip."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from postcgrp.priors.idle import idle_settings
from postcgrp.priors.shipped import ASSUMPTIONS_FILE
from postcgrp.reports.cli.main import main
from postcgrp.tests.helpers.markets import Tables, anchors, modalities, points, prior_set_of
from postcgrp.tests.helpers.paths import OTHER_MARKET

REPORT, ASSUMPTIONS = "report.toml", "assumptions.toml"


def other(folder: Path, *, report: str = "", assumptions: str = "", **swaps: str) -> list[str]:
    """The options for a copy of the other market, with text added to its files, or swapped in the report."""
    for name, more in ((REPORT, report), (ASSUMPTIONS, assumptions)):
        text = (OTHER_MARKET / name).read_text(encoding="utf-8")
        for old, new in swaps.items():
            text = text.replace(old, new)
        (folder / name).write_text(text + more, encoding="utf-8")
    return ["--report", str(folder / REPORT), "--assumptions", str(folder / ASSUMPTIONS)]


def claim(**fields: object) -> str:
    row = {"id": "new", "role": "evidence", "quote": "said", "reason": "why", **fields}
    return "\n[[claim]]\n" + "".join(f'{k} = "{v}"\n' if isinstance(v, str) else f"{k} = {v}\n" for k, v in row.items())


@pytest.mark.fit
@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"quantity": "cagr", "year": 2027, "value": 0.1, "unit": "fraction per year"},
            "'new': evidence on 'cagr', but the model observes revenue",
        ),
        (
            {"quantity": "adoption", "year": 2027, "value": 0.1, "unit": "fraction"},
            "adoption is of a modality that not",
        ),
        ({"quantity": "revenue", "year": 2025, "value": 9.0, "unit": "EUR million"}, "report's currency is 'USD'"),
        ({"quantity": "revenue_share", "year": 2025, "value": 0.5, "unit": "fraction"}, "the share of all is 1"),
        ({"quantity": "revenue", "year": 2024, "value": 9000.0, "unit": "USD million"}, "the same number as"),
    ],
)
def test_audit_refuses_what_a_forecast_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: dict[str, object], message: str
) -> None:
    options = other(tmp_path, report=claim(**row))
    for verb, more in (("audit", []), ("priors", []), ("forecast", ["--out", str(tmp_path / "run")])):
        assert main([verb, *options, *more]) == 2
        said = capsys.readouterr()
        assert message in said.err
        assert said.err.count("\n") == 1
        assert bool(said.out) == (verb == "audit" and "currency" not in message)  # the findings are shown all the same
    assert not (tmp_path / "run").exists()


def test_every_fault_of_every_file_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = other(tmp_path, report=claim(quantity="revenue", year=2025, value=-9.0, unit="USD million"), USD="EUR")
    text = (tmp_path / ASSUMPTIONS).read_text(encoding="utf-8").replace("EUR per patient-year", "USD per patient-year")
    (tmp_path / ASSUMPTIONS).write_text(text, encoding="utf-8")
    assert main(["audit", *options]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("postcgrp audit: report.toml: line ")
    assert "'new': value = -9" in lines[0]
    for line in lines[1:]:
        assert line.startswith("postcgrp audit: assumptions.toml: line ")
        assert "unit 'USD per patient-year', but the report's currency is 'EUR'" in line


def test_a_slipped_unit_is_noted_by_every_command_that_reads_the_ledger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    swaps = {"value = 1500\n": "value = 1.5\n", "value = 1900\n": "value = 1.9\n"}
    options = other(tmp_path)
    text = (tmp_path / REPORT).read_text(encoding="utf-8")
    for old, new in swaps.items():
        text = text.replace(old, new)
    (tmp_path / REPORT).write_text(text, encoding="utf-8")
    assert main(["audit", *options]) == 0
    said = capsys.readouterr()
    assert "implausible (a unit must have slipped)" in said.out
    assert "revenue in billions under 'USD million'?" in said.err
    assert main(["priors", *options]) == 0
    assert "revenue in billions under 'USD million'?" in capsys.readouterr().err


def test_a_shipped_set_says_what_it_skips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["priors", *other(tmp_path), "--priors", "bottom-up"]) == 0
    skipped = "postcgrp priors: note: prior set 'bottom-up' skips what this market does not have: "
    assert capsys.readouterr().err == f"{skipped}leave_out 'revenue_share': the report has no such evidence\n"
    assert main(["priors", "--priors", "bottom-up"]) == 0
    assert not capsys.readouterr().err


@pytest.mark.fit
def test_priors_lists_and_diffs_every_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["priors", "--out", str(tmp_path / "priors.csv")]) == 0
    said = capsys.readouterr().out
    assert "Fixed numbers" in said
    assert "actuals" in said  # each source's error
    table = pd.read_csv(tmp_path / "priors.csv").set_index("prior")
    for number, value in (("line_price_year", 2026.0), ("eligible_share[implantable, 1]", 0.0)):
        assert table.loc[number, "family"] == "fixed"
        assert table.loc[number, "median"] == value
    assert table.index.is_unique
    later = tmp_path / "later.toml"
    later.write_text(
        'schema = 1\nname = "later"\nsays = "so"\n[[assumption]]\nid = "launch_year"\nline = "pacap"\n'
        'region = "Japan"\nvalue = 2029\nreason = "r"\n'
    )
    assert main(["priors", "--diff", str(later), "--out", str(tmp_path / "diff.csv")]) == 0
    rows = pd.read_csv(tmp_path / "diff.csv").set_index("name")
    changed = rows.loc["launch_year: launch_year[pacap, Japan]"]
    assert list(changed) == ["prior", "normal 2032 / 2034.5 / 2037 year", "fixed 2029 year"]


def test_audit_names_rows_that_no_model_takes_and_the_claims_it_rests_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["audit", "--out", str(tmp_path / "audit.csv")]) == 0
    said = capsys.readouterr().out
    assert "No model" not in said
    assert "revenue_pharmacologic_2025" in (tmp_path / "audit.csv").read_text(encoding="utf-8")
    row = '[[assumption]]\nid = "launch_speed"\nline = "toxin"\nlow = 2.0\nhigh = 5.0\nunit = "years"\n'
    more = tmp_path / "assumptions.toml"
    more.write_text(f'{ASSUMPTIONS_FILE.read_text(encoding="utf-8")}\n{row}source = "assumption"\nreason = "r"\n')
    assert main(["audit", "--assumptions", str(more)]) == 0
    assert "No model of this market takes these assumptions: launch_speed[toxin]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--priors", "bottom-up", "--trust", "low"],
            "trust 'low' changes nothing here: no revenue or patients of the",
        ),
        (["--coverage", "0.8"], ""),
        (["--trust", "low"], ""),
        (["--uptake-shape", "late"], ""),
    ],
)
def test_settings_without_effect_are_named(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert main(["priors", *arguments]) == 0
    error = capsys.readouterr().err
    assert said in error
    assert bool(said) == bool(error)


def test_correlations_that_nothing_can_have_are_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = (
        ("pool_error", "depth_drift", 0.9),
        ("pool_error", "payer_block", 0.9),
        ("depth_drift", "payer_block", -0.9),
    )
    path = tmp_path / "mine.toml"
    text = "".join(f'[[correlation]]\nbetween = ["{a}", "{b}"]\nvalue = {r}\nreason = "r"\n' for a, b, r in pairs)
    path.write_text(f'schema = 1\nname = "mine"\nsays = "so"\n{text}', encoding="utf-8")
    assert main(["priors", "--priors", str(path)]) == 2
    error = capsys.readouterr().err
    assert f"{path.name}: correlations (pool_error and depth_drift 0.9; " in error
    assert "no distribution has all of them" in error


def test_settings_that_a_market_has_no_use_for_are_named() -> None:
    def drugs_in_points(tables: Tables) -> None:
        modalities(tables, drugs="everyone")
        points(tables)

    alone = prior_set_of(drugs_in_points)
    said = idle_settings(alone, {"uptake_shape": "late", "coverage": 0.8, "trust": "default"})
    assert [line.split()[0] for line in said] == ["coverage", "uptake_shape"]
    yearly = prior_set_of(lambda t: anchors(t, 2024, 2025, 2026))
    assert idle_settings(yearly, {"uptake_shape": "late"})


def test_a_claim_that_no_model_reads_cannot_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["priors", "--leave-out", "revenue_2035"]) == 2
    assert "leave_out 'revenue_2035': the claim is check, which no model reads" in capsys.readouterr().err
