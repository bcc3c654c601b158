"""Scenario files: the shipped ones, what a row is about, and what is refused, each in one line with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from postcgrp.priors import InputError, Ledger, load_ledger
from postcgrp.priors.drivers import DRIVERS, driver_labels
from postcgrp.priors.scenarios import Plan, Scenario, load_scenario, load_weights, plan
from postcgrp.priors.shipped import shipped_scenarios
from postcgrp.tests.helpers.markets import CHANGES, Tables, market
from postcgrp.tests.helpers.paths import DOCS, OTHER_MARKET

HEAD = 'schema = 1\nname = "made"\nsays = "Made for a test."\n'


def from_text(folder: Path, text: str) -> Scenario:
    path = folder / "made.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    return load_scenario(path)


def planned(ledger: Ledger, *rows: dict[str, Any]) -> Plan:
    return plan(ledger, Scenario.model_validate({"name": "made", "says": "Made for a test.", "set": rows}))


@pytest.mark.parametrize("name", shipped_scenarios())
def test_shipped_scenarios_fit_the_shipped_ledger_whole(ledger: Ledger, name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.any_ledger
    found = plan(ledger, scenario)
    assert not found.skipped
    assert len(found.rows) == len(scenario.settings)
    assert all(row.reason for row in scenario.settings)


def test_the_three_that_the_report_promises_come_first() -> None:
    assert list(shipped_scenarios())[:3] == ["conservative", "base", "upside"]
    assert not load_scenario("base").settings


@pytest.mark.parametrize("name", CHANGES)
def test_shipped_scenarios_lie_over_any_ledger_and_say_what_they_skip(name: str) -> None:
    tables: Tables = market()
    CHANGES[name](tables)
    ledger = Ledger.model_validate(tables)
    for shipped in shipped_scenarios():
        scenario = load_scenario(shipped)
        found = plan(ledger, scenario)
        assert bool(found.skipped) == (len(found.rows) < len(scenario.settings))


def test_a_scenario_of_ones_own_is_not_skipped(tmp_path: Path) -> None:
    other = load_ledger(OTHER_MARKET / "report.toml", OTHER_MARKET / "assumptions.toml")
    scenario = from_text(tmp_path, '[[set]]\ndriver = "persistence"\nline = "toxin"\nfactor = 0.9\n')
    with pytest.raises(InputError, match=r"made\.toml: line 4: persistence: this ledger has none"):
        plan(other, scenario)


def test_a_row_holds_from_its_year_until_a_later_row_does(ledger: Ledger) -> None:
    found = planned(
        ledger,
        {"driver": "payer_block", "from": 2027, "factor": 0.5},
        {"driver": "payer_block", "region": "Japan", "from": 2030, "value": 0.1},
    ).governs["payer_block"]
    years, japan = np.arange(2025, 2036), ledger.segments["region"].index("Japan")
    assert found.shape == (11, 5)
    assert (found[years < 2027] == -1).all()
    assert (found[(years >= 2027) & (years < 2030)] == 0).all()
    assert (found[years >= 2030, japan] == 1).all()
    assert (np.delete(found, japan, axis=1)[years >= 2030] == 0).all()


def test_a_modality_names_all_its_lines_and_an_alias_its_line(ledger: Ledger) -> None:
    rows = planned(ledger, {"driver": "persistence", "modality": "pharmacologic", "factor": 0.9}).governs["persistence"]
    lines = driver_labels(ledger, "persistence")["line"]
    of = {line.name: line.modality for line in ledger.lines}
    assert [(rows[..., k] == 0).all() for k in range(len(lines))] == [of[str(x)] == "pharmacologic" for x in lines]
    found = planned(ledger, {"driver": "persistence", "line": "Botox", "factor": 0.9})
    assert found.rows[0].line == "toxin"


REFUSED = {
    'driver = "payer_blok"\nvalue = 0.1': (5, "'payer_blok' is no driver: write 'payer_block'"),
    'driver = "payer_block"': (4, "changes nothing: give exactly one of"),
    'driver = "payer_block"\nvalue = 0.1\nfactor = 0.9': (4, "has value and factor: give exactly one of"),
    'driver = "payer_block"\nfactor = -1.0': (6, "factor = -1: a factor of payer_block is not negative"),
    'driver = "payer_block"\nfactor = 0.0': (6, "payer_block is never 0: give a small factor"),
    'driver = "payer_block"\nvalue = 1.2': (6, "payer_block lies between 0 and 1: write a fraction (0.012)"),
    'driver = "persistence"\nvalue = 80.0': (6, "persistence lies from 0 to 1: write a fraction (0.8)"),
    'driver = "success_probability"\nvalue = 1.5': (6, "lies from 0 to 1"),
    'driver = "payer_block"\nfrom = 2040\nvalue = 0.1': (4, "from = 2040 lies outside 2025..2035: correct it"),
    'driver = "pool_growth"\nfrom = 2025\nshift = 0.1': (4, "nothing grows into the first year"),
    'driver = "launch_year"\nfrom = 2030\nshift = 1.0': (6, "has no path by year: leave `from` out"),
    'driver = "launch_year"\nvalue = 2010.0': (4, "lies outside 2025..2135"),
    'driver = "launch_year"\nfactor = 1.1': (6, "launch_year takes no factor: give value or shift"),
    'driver = "price"\nvalue = 900.0': (6, "price takes no value: give factor"),
    'driver = "payer_block"\nline = "toxin"\nvalue = 0.1': (6, "does not differ by line: name region, or none"),
    'driver = "payer_block"\nregion = "Mars"\nvalue = 0.1': (4, "region 'Mars' is not declared: use one of"),
    'driver = "launch_year"\nline = "toxin"\nshift = 1.0': (4, "launch_year of 'toxin': there is none: use one of"),
    'driver = "adoption"\nmodality = "implantable"\nfactor = 0.9': (4, "adoption of 'implantable': there is none"),
    'driver = "payer_block"\nvalue = inf': (6, "inf is no number"),
    'driver = "payer_block"\nvalue = "a"': (6, "is not a number"),
    'driver = "payer_block"\nvalue = 0.1\nsince = 2027': (7, "since is not known"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_wrong_is_said_with_its_line(ledger: Ledger, tmp_path: Path, text: str) -> None:
    line, said = REFUSED[text]
    with pytest.raises(InputError) as refused:
        plan(ledger, from_text(tmp_path, f"[[set]]\n{text}\n"))
    (fault,) = refused.value.faults
    assert fault.startswith(f"made.toml: line {line}: "), fault
    assert said in fault


def test_a_row_to_which_later_ones_leave_nothing_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InputError, match="later rows leave nothing to this one"):
        planned(
            ledger,
            {"driver": "payer_block", "from": 2030, "value": 0.1},
            {"driver": "payer_block", "from": 2028, "value": 0.2},
        )


def test_every_fault_of_a_file_is_said(ledger: Ledger, tmp_path: Path) -> None:
    rows = ['driver = "payer_block"\nregion = "Mars"\nvalue = 0.1', 'driver = "moh"\nfrom = 1999\nvalue = 0.1']
    with pytest.raises(InputError) as refused:
        plan(ledger, from_text(tmp_path, "".join(f"[[set]]\n{row}\n" for row in rows)))
    assert [fault.partition(": ")[2].partition(":")[0] for fault in refused.value.faults] == ["line 4", "line 8"]


def test_weights() -> None:
    assert load_weights("base=0.5, upside=0.5") == {"base": 0.5, "upside": 0.5}
    for text, said in {
        "base=0.5,upside=0.6": "the weights sum to 1.1, not 1",
        "base=1.5,upside=-0.5": "base = 1.5 is no weight",
        "base=x": "is not understood",
        "base=0.5,base=0.5": "names a scenario twice",
        "base": "is no file",
    }.items():
        with pytest.raises(InputError, match=said):
            load_weights(text)


def test_weights_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "view.toml"
    path.write_text(HEAD + "[weights]\nbase = 0.75\nconservative = 0.25\n", encoding="utf-8")
    assert load_weights(str(path)) == {"base": 0.75, "conservative": 0.25}
    with pytest.raises(InputError, match="is a mixture of scenarios: give it with --weights"):
        load_scenario(path)
    path.write_text(HEAD + "[weights]\nbase = 0.75\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"view\.toml: line 4: the weights sum to 0\.75, not 1"):
        load_weights(str(path))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match="scenario 'pessimistic' is not shipped: use one of conservative, base"):
        load_scenario("pessimistic")


def test_every_driver_says_what_it_moves_and_what_not(ledger: Ledger) -> None:
    for name, driver in DRIVERS.items():
        assert driver.moves
        assert driver.leaves
        assert driver_labels(ledger, name), f"the shipped ledger has {name}"


def test_the_page_of_drivers_says_of_each_what_the_code_does() -> None:
    page = (DOCS / "drivers.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{d.name}` | {', '.join(d.dims)} | {d.unit} | {', '.join(d.allowed)} | {d.moves} | {d.leaves} |"
        for d in DRIVERS.values()
    ]
