"""Deals as files: the shipped examples load; what is wrong is said in one line that names value, rule and way out."""

from __future__ import annotations

import copy
import datetime as dt
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from postcgrp.priors import InputError, Ledger
from postcgrp.reports.valuation.deal import UNSTATED, Deal, load_deal, read_deal
from postcgrp.reports.valuation.deal_fit import check_deals
from postcgrp.reports.valuation.distributions import FORMS, GROWTH, MONEY, SHARE, Uncertain, read
from postcgrp.tests.helpers.paths import EXAMPLES

DEALS = sorted(EXAMPLES.glob("*.toml"))
IMPLANT = next(path for path in DEALS if "implantable" in path.name)
SHIPPED = tomllib.loads(IMPLANT.read_text())
Tables = dict[str, Any]


def tables() -> Tables:
    return copy.deepcopy(SHIPPED)


def test_the_examples_load_and_every_input_states_its_source(ledger: Ledger) -> None:
    assert len(DEALS) == 4
    for path in DEALS:
        deal = load_deal(path)
        check_deals([deal], ledger)
        defaults = {"captured.net", "economics.upfront", "economics.loss_limit", "economics.working_capital"}
        zero = {path for path, said in deal.inputs.items() if str(said) == "0"}
        unstated = {path for path in deal.inputs if deal.source(path) == UNSTATED}
        assert unstated <= defaults | zero


def put(*path: Any) -> Callable[[Tables], None]:
    """Set the last of `path` at the place that the others lead to."""
    *way, key, value = path

    def change(deal: Tables) -> None:
        here: Any = deal
        for step in way:
            here = here[step]
        here[key] = value

    return change


def both(*changes: Callable[[Tables], None]) -> Callable[[Tables], None]:
    def change(deal: Tables) -> None:
        for one in changes:
            one(deal)

    return change


BAD: dict[str, tuple[Callable[[Tables], None], str]] = {
    "probability over 1": (
        put("risk", "phase", 1, "probability", 1.2),
        "risk.phase.PMA review.probability = 1.2 is outside .*write percentages as fractions",
    ),
    "probability in percent": (put("risk", "phase", 1, "probability", 90), r"= 90 is outside .*fractions \(0.9\)"),
    "range over 1": (put("captured", "peak_share", {"low": 0.5, "high": 1.5}), "captured.peak_share: range 0.5..1.5"),
    "normal share": (
        put("captured", "peak_share", {"dist": "normal", "mean": 0.5, "sd": 0.3}),
        r"captured.peak_share = normal\(mean 0.5, sd 0.3\) reaches .*outside 0..1.*bounds",
    ),
    "discount rate of 12": (put("discounting", "rate", 12), r"discounting.rate = 12 is outside .*fractions \(0.12\)"),
    "percent as text": (put("discounting", "rate", "12 %"), r"discounting.rate = '12 %' is text: .*\(0.12\)"),
    "text": (put("economics", "upfront", "much"), "economics.upfront = 'much' is text: write a number without"),
    "true": (put("economics", "upfront", True), "economics.upfront = True is not a number"),
    "not a number": (put("economics", "upfront", float("nan")), "economics.upfront = nan is not finite"),
    "negative price": (put("captured", "price", -500), "captured.price = -500 is negative: give a positive"),
    "negative cost": (put("economics", "cost", 1, "by_year", [-2]), r"regulatory review.by_year\[1\] = -2 is negative"),
    "unknown key": (put("captured", "peek_share", 0.4), "captured.peek_share is not known: write 'peak_share'"),
    "unknown table": (put("discountin", {}), "discountin is not known: write 'discounting'"),
    "unknown key of a phase": (
        put("risk", "phase", 0, "chance", 0.4),
        "risk.phase.pivotal trial.chance is not known: use one of name, probability, duration, start",
    ),
    "unknown distribution": (
        put("captured", "net", {"dist": "tringular", "low": 0.1, "mode": 0.2, "high": 0.3}),
        "captured.net: dist = 'tringular' is not known: write 'triangular'",
    ),
    "unknown parameter": (put("captured", "net", {"low": 0.1, "hgh": 0.3}), "captured.net: 'hgh' .*write 'high'"),
    "missing parameter": (put("captured", "net", {"low": 0.1}), "captured.net: 'high' is missing for 'range'"),
    "swapped": (put("captured", "net", {"low": 0.3, "high": 0.1}), "captured.net: low = 0.3 is not below high = 0.1"),
    "mode outside": (
        put("captured", "net", {"dist": "pert", "low": 0.1, "mode": 0.4, "high": 0.3}),
        "captured.net: mode = 0.4 is outside 0.1..0.3",
    ),
    "coverage in percent": (put("captured", "net", {"low": 0.1, "high": 0.3, "coverage": 90}), "coverage = 90 is not"),
    "missing key": (lambda deal: deal["captured"].pop("peak_share"), "captured.peak_share is missing: add it"),
    "missing table": (lambda deal: deal.pop("discounting"), "discounting is missing: add it"),
    "phases swapped": (
        lambda deal: deal["risk"]["phase"].reverse(),
        "'PMA review' stands before 'pivotal trial': phases out of order",
    ),
    "phases' starts swapped": (
        both(put("risk", "phase", 0, "start", 2028), put("risk", "phase", 1, "start", 2027)),
        "'PMA review' starts in 2027, before 'pivotal trial' in 2028: phases out of order",
    ),
    "phases alike": (put("risk", "phase", 1, "name", "pivotal trial"), "phase 'pivotal trial' stands 2 times"),
    "unknown stage": (put("economics", "cost", 0, "stage", "pivotal tral"), "is no phase .*write 'pivotal trial'"),
    "cost without a time": (lambda deal: deal["economics"]["cost"][0].pop("stage"), "has no time: give `stage`"),
    "two incomes": (put("economics", "royalty", [{"above": 0, "rate": 0.1}]), "either `margin` or `royalty`"),
    "tiers out of order": (
        put("economics", "royalty_paid", [{"above": 50, "rate": 0.1}, {"above": 10, "rate": 0.2}]),
        "economics.royalty_paid: tiers begin at",
    ),
    "two triggers": (put("economics", "milestone", 0, "net_sales_above", 5), "either `on` or `net_sales_above`"),
    "perpetuity and multiple": (put("terminal", "multiple", 3), "either `growth` .* or `multiple`"),
    "unlabelled terminal": (lambda deal: deal["terminal"].pop("label"), "terminal.label is missing"),
    "source of nothing": (put("sources", "captured.peak_shar", "me"), "'captured.peak_shar' is no input .*peak_share"),
    "kept of nothing lost": (put("captured", "share_kept", 0.4), "captured.share_kept: has no loss_of_exclusivity"),
    "convention": (put("discounting", "convention", "middle"), "convention = 'middle' is not known: use 'start', "),
    "date as text": (put("discounting", "valuation_date", "soon"), "valuation_date = 'soon' is no date"),
    "schema": (put("schema", 7), "schema = 7: this version reads 1"),
    "table as number": (put("captured", 3), "captured = 3 is not a table: write it as \\[captured\\]"),
    "list as number": (put("economics", "cost", 0, "by_year", 3), "by_year = 3 is not a list"),
    "probability of zero": (put("risk", "phase", 1, "probability", 0), "probability = 0 is not above 0: "),
    "range in percent": (
        put("risk", "phase", 0, "probability", {"low": 55, "high": 80}),
        r"range 55..80 is not inside 0..1, ends excluded: write percentages as fractions, or give a `dist`",
    ),
    "range of money from zero": (
        put("economics", "upfront", {"low": 0, "high": 5}),
        "economics.upfront: range 0..5 is not above 0, ends excluded: .* or give a `dist` with bounds",
    ),
    "a number of 400 digits": (put("economics", "upfront", 10**400), "economics.upfront = 10{59} is not finite"),
    "misspelt and therefore missing": (
        both(lambda deal: deal["captured"].pop("peak_share"), put("captured", "peek_share", 0.4)),
        "captured.peek_share is not known: write 'peak_share'",
    ),
    "yes for true": (put("economics", "milestone", 0, "received", "yes"), "received = 'yes' is not true or false"),
    "year as text": (put("economics", "cost", 0, "from_year", "2027"), "from_year = '2027' is not a whole number"),
    "half a year": (put("economics", "cost", 0, "from_year", 2027.5), "from_year = 2027.5 is not a whole"),
    "schema as text": (
        put("schema", "1"),
        "schema = '1' is not a whole number: write it as",
    ),
    "date as number": (put("discounting", "valuation_date", 2026), "valuation_date = 2026 is no date: write"),
    "date with a time": (
        put("discounting", "valuation_date", dt.datetime(2026, 1, 1, 9)),  # noqa: DTZ001
        "valuation_date = 2026-01-01 09:00:00 is no date",
    ),
    "overflow": (
        put("economics", "upfront", {"dist": "lognormal", "median": 1e300, "log_sd": 1000}),
        "economics.upfront = lognormal.* reaches inf, outside",
    ),
    "blank label": (put("terminal", "label", "  "), "terminal.label = '  ' is empty: write a few words"),
    "no regions": (
        put("captured", "regions", []),
        r"captured.regions = .* is too short: give at least 1, or leave",
    ),
}

UNFIT: dict[str, tuple[Callable[[Tables], None], str]] = {
    "region": (put("captured", "regions", ["Untied States"]), "'Untied States' is not declared: write 'United States'"),
    "modality": (
        put("captured", "modalities", ["teleport"]),
        "captured.modalities: .*'teleport' is not declared: use one of",
    ),
    "region twice": (put("captured", "regions", ["EU5", "EU5"]), "captured.regions 'EU5' stands 2 times"),
    "region twice, by alias": (put("captured", "regions", ["EU5", "Europe"]), "captured.regions 'EU5' stands 2 times"),
    "currency": (put("currency", "EUR"), "currency = 'EUR': the report is in 'USD'"),
    "late launch": (put("captured", "launch_year", 2036), "launch_year = 2036: is after the run's last year 2035"),
    "long phases": (put("risk", "phase", 0, "duration", 12), "the phases end in 2039.*launch is after the run's last"),
    "early valuation": (put("discounting", "valuation_date", "2024-06-30"), "2024-06-30: is outside the run's 2025"),
    "lost before launch": (put("captured", "loss_of_exclusivity", 2026), "= 2026: is before launch_year = 2028"),
    "lost beyond the run": (put("captured", "loss_of_exclusivity", 2040), "after the run's last year 2035"),
    "sunk": (put("economics", "cost", 0, "from_year", 2025), "from_year = 2025: is outside 2026"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_deal_is_refused_in_one_line(case: str) -> None:
    change, said = BAD[case]
    deal = tables()
    change(deal)
    with pytest.raises(InputError, match=said) as error:
        read_deal(deal, "deal.toml")
    assert str(error.value).startswith("deal.toml: ")
    assert "\n" not in str(error.value)


def places(part: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested tables and lists."""
    steps = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    return [found for key, below in steps for found in ((*path, key), *places(below, (*path, key)))]


ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    7,
    1e400,
    "",
    "x",
    " x ",
    "a.b",
    [],
    [1],
    ["x"],
    {},
    {"x": 1},
    [{}],
    {"low": 1},
    [[]],
    "50 %",
)


@pytest.mark.fit
def test_anything_anywhere_is_read_or_refused_in_one_line(ledger: Ledger) -> None:
    refused = 0
    for place in places(tables()):
        for odd in ODD:
            deal = tables()
            put(*place, odd)(deal)
            try:
                check_deals([read_deal(deal, "deal.toml")], ledger)
            except InputError as error:
                refused += 1
                assert not any("\n" in fault for fault in error.faults)  # noqa: PT017
                assert ": " in str(error)  # noqa: PT017
    assert refused > 500


@pytest.mark.parametrize("case", UNFIT)
def test_a_deal_that_does_not_fit_the_report_is_refused(case: str, ledger: Ledger) -> None:
    change, said = UNFIT[case]
    deal = tables()
    change(deal)
    with pytest.raises(InputError, match=said) as error:
        check_deals([read_deal(deal)], ledger)
    assert "\n" not in str(error.value)


def test_two_deals_of_one_name_are_refused(ledger: Ledger) -> None:
    deal = load_deal(IMPLANT)
    with pytest.raises(InputError, match="stands 2 times"):
        check_deals([deal, deal], ledger)


def test_a_file_that_is_no_deal_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "deal.toml"
    with pytest.raises(InputError, match="cannot be read"):
        load_deal(file)
    for content, said in ((b"", "is empty"), (b"schema = \n", "line 1"), (b"\xff\xfe\x00", "UTF-8")):
        file.write_bytes(content)
        with pytest.raises(InputError, match=said):
            load_deal(file)


def test_an_inputs_source_is_the_most_specific_that_covers_it() -> None:
    deal = tables()
    deal["sources"] = {"economics.cost": "all", "economics.cost.launch.by_year[2]": "the second"}
    read_one = read_deal(deal).source
    assert read_one("economics.cost.launch.by_year[1]") == "all"
    assert read_one("economics.cost.launch.by_year[2]") == "the second"
    assert read_one("economics.upfront") == UNSTATED
    deal["sources"] = {"economics": ""}
    assert read_deal(deal).source("economics.upfront") == UNSTATED


def test_distributions_are_those_of_their_names() -> None:
    u = np.linspace(0.001, 0.999, 99)
    known = {
        "beta": ({"a": 2.0, "b": 3.0}, stats.beta(2, 3)),
        "normal": ({"mean": 1.0, "sd": 2.0}, stats.norm(1, 2)),
        "lognormal": ({"median": 3.0, "log_sd": 0.4}, stats.lognorm(0.4, scale=3)),
        "uniform": ({"low": 1.0, "high": 4.0}, stats.uniform(1, 3)),
        "triangular": ({"low": 1.0, "mode": 2.0, "high": 4.0}, stats.triang(1 / 3, 1, 3)),
        "pert": ({"low": 1.0, "mode": 2.0, "high": 4.0}, stats.beta(1 + 4 / 3, 1 + 8 / 3, 1, 3)),
    }
    assert set(known) == set(FORMS)
    for dist, (parameters, frozen) in known.items():
        np.testing.assert_allclose(Uncertain(dist, parameters).quantile(u), frozen.ppf(u), rtol=1e-9)


@given(st.floats(0.01, 0.5), st.floats(0.01, 0.4), st.floats(0.5, 0.95))
def test_a_range_holds_its_coverage(low: float, width: float, coverage: float) -> None:
    table = {"low": low, "high": low + width, "coverage": coverage}
    for kind in (SHARE, MONEY, GROWTH):
        try:
            made = read(dict(table), kind)
        except ValueError as error:  # a wide range on a family without bounds may leave the kind's limits
            assert "outside" in str(error)  # noqa: PT017
            continue
        tail = (1 - coverage) / 2
        np.testing.assert_allclose(made.quantile([tail, 1 - tail]), [low, low + width], rtol=1e-9)


def test_an_input_has_a_stream_of_its_own() -> None:
    share = Uncertain("range", {"low": 0.2, "high": 0.4, "coverage": 0.9}, "logitnormal")
    one = share.draws(1000, 1, "deal", "share")
    np.testing.assert_array_equal(one, share.draws(1000, 1, "deal", "share"))
    for seed, deal, path in ((2, "deal", "share"), (1, "other", "share"), (1, "deal", "net")):
        assert abs(np.corrcoef(one, share.draws(1000, seed, deal, path))[0, 1]) < 0.12
    other = Uncertain("uniform", {"low": 5.0, "high": 6.0}).draws(1000, 1, "deal", "share")
    np.testing.assert_array_equal(np.argsort(one), np.argsort(other))  # another distribution keeps the ranks


def test_a_deal_is_its_content(tmp_path: Path) -> None:
    file = tmp_path / "copy.toml"
    file.write_text("# another comment\n" + IMPLANT.read_text())
    assert load_deal(file).fingerprint() == load_deal(IMPLANT).fingerprint()
    changed = tables()
    changed["economics"]["upfront"] = 3
    assert read_deal(changed).fingerprint() != load_deal(IMPLANT).fingerprint()
    assert isinstance(read_deal(changed), Deal)
