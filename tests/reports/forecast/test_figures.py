"""Figures: what a spec shows is its table's, whatever the market is called and however large it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import vl_convert
from xarray import DataArray, DataTree

from postcgrp.priors import Ledger, PriorSet
from postcgrp.reports.forecast.attribution_figures import bridge_waterfall, budget_bars
from postcgrp.reports.forecast.composition_figures import MOST_LAYERS, composition
from postcgrp.reports.forecast.figure_set import run_figures
from postcgrp.reports.forecast.figure_tables import ranged_priors
from postcgrp.reports.forecast.figures import MOST_CURVES, adoption_fans, exceedance_curves, fan_modality, fan_total
from postcgrp.reports.forecast.layers import BANDS, STATED_COLUMNS, stated, with_stated
from postcgrp.reports.forecast.prior_figures import prior_posterior, prior_ranges
from postcgrp.reports.forecast.style import LABEL_LIMIT, Spec, json_rows
from postcgrp.reports.forecast.summary import headline, summarised
from postcgrp.reports.forecast.tables import bench_tables
from postcgrp.reports.forecast.variance_budget import UNATTRIBUTED
from postcgrp.reports.forecast.words import Words, distinct, unlike, words_of
from postcgrp.tests.helpers.markets import claim, market, other_market
from postcgrp.tests.helpers.stored import prior_tree

YEARS = tuple(range(2025, 2036))
HOSTILE = ("datum", 'a "quoted" <b>label</b>', "</script><script>alert(1)</script>", "it's ${x} {y} [0] a.b", "x" * 300)


def words(names: Iterable[str] = ("drug", "device"), anchors: tuple[int, ...] = (2025, 2030, 2035)) -> Words:
    labels = {name: f"{name}, in words" for name in names}
    return Words("EUR", YEARS, anchors, {"modality": labels, "region": labels, "depth": labels})


def fan_table(level: float = 400, growth: float = 1.05, **columns: Any) -> pd.DataFrame:
    paths = level * growth ** (np.array(YEARS) - YEARS[0])
    bands = {name: paths * (0.8 + 0.4 * q) for name, q in BANDS.items()}
    said = dict.fromkeys(STATED_COLUMNS, np.nan)
    return pd.DataFrame({"year": YEARS, **bands, **said, **columns})


def drawn(spec: Spec | None, capfd: pytest.CaptureFixture[str]) -> str:
    """The SVG of a spec that is drawn without a warning."""
    assert spec is not None
    capfd.readouterr()
    svg: str = vl_convert.vegalite_to_svg(json.loads(json.dumps(spec, allow_nan=False)), show_warnings=True)
    assert not capfd.readouterr().err
    return svg


def texts(svg: str) -> list[str]:
    return re.findall(r"<(?:text|tspan)[^>]*>([^<]+)<", svg)


def shown(spec: Spec | None) -> pd.DataFrame:
    assert spec is not None
    return pd.DataFrame(spec["data"]["values"])


def test_a_fan_shows_its_table_and_what_the_report_states(capfd: pytest.CaptureFixture[str]) -> None:
    table = fan_table()
    table.loc[0, "report"] = 432.0
    table.loc[3, ["report_low", "report_high"]] = [440.0, 520.0]  # a range, in a year that is no anchor
    spec = fan_total(table, words())
    pd.testing.assert_frame_equal(shown(spec)[list(table)], table, check_dtype=False)
    said = texts(drawn(spec, capfd))
    assert {"432", "440–520"} <= set(said)
    last = table.iloc[-1]
    assert f"{last['low_90']:,.0f} and {last['high_90']:,.0f} EUR million" in " ".join(spec["title"]["text"])
    assert f"median {last['median']:,.0f}" in said


@pytest.mark.parametrize("growth", [0.7, 1.3])
def test_nothing_but_labels_of_marks_lies_in_a_fan(growth: float) -> None:
    """No legend: what the marks are stands in the note, clear of a fan however it runs."""
    spec = fan_total(fan_table(growth=growth), words())
    assert "legend" not in json.dumps({**spec, "config": None})
    assert "median" in " ".join(spec["title"]["subtitle"])


def test_ranges_and_other_years_of_the_ledger_are_stated(ledger: Ledger) -> None:
    tables = market()
    tables["claims"] = [c for c in tables["claims"] if c["quantity"] != "revenue"]
    tables["claims"] += [
        claim("revenue", "check", "USD million", year=2026, low=300.0, high=340.0),
        claim("revenue", "check", "USD million", year=2024, value=250.0),
        claim("revenue", "check", "USD million", year=2027, modality="thermoplasty", value=9.0),
    ]
    other = Ledger(**tables)
    total, part = stated(other, "revenue"), stated(other, "revenue", modality="thermoplasty")
    assert total["year"].tolist() == [2024, 2026]
    np.testing.assert_array_equal(total[[*STATED_COLUMNS]].to_numpy(), [[250, np.nan, np.nan], [np.nan, 300, 340]])
    assert part["report"].tolist() == [9]
    years = pd.DataFrame({"year": range(2024, 2033)})
    assert with_stated(years, total)["report_high"].notna().sum() == 1
    assert stated(ledger, "revenue")["report"].tolist() == [432, 660, 870]


@pytest.mark.parametrize("names", [HOSTILE, ("drug", "drug, in words"), ("片頭痛", "ارتفاع", "emoji 🧠")])
def test_a_label_is_text(names: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    table = pd.concat([fan_table(modality=name) for name in names], ignore_index=True)
    called = words(names)
    spec = fan_modality(table, called)
    svg = drawn(spec, capfd)
    assert "<script" not in svg
    assert "<b>" not in svg
    assert spec is not None
    assert len(spec["concat"]) == len(names)
    said = " ".join(texts(svg))
    assert "undefined" not in said
    for one, name in zip(spec["concat"], names, strict=True):
        assert "".join(one["title"]["text"]).replace(" ", "") == called.labels["modality"][name].replace(" ", "")
    share = table.assign(region=table["modality"], mean=1 / len(names))
    assert "<script" not in drawn(composition(share, called, "region"), capfd)


def test_no_label_stands_in_an_expression() -> None:
    marks = "a label to be found"
    table = pd.concat([fan_table(modality=name) for name in (marks, "other")], ignore_index=True)
    vega = vl_convert.vegalite_to_vega(fan_modality(table, words((marks, "other"))))

    def expressions(part: Any) -> Iterable[str]:
        if isinstance(part, dict):
            for key, value in part.items():
                if key in ("expr", "signal", "test", "update", "init") and isinstance(value, str):
                    yield value
                yield from expressions(value)
        elif isinstance(part, list):
            for value in part:
                yield from expressions(value)

    found = list(expressions(vega))
    assert found
    assert not [text for text in found if marks in text]


def test_segments_called_alike_are_told_apart() -> None:
    assert distinct([("a", "Device"), ("b", "Device"), ("c", "Drug")]) == {
        "a": "Device (a)",
        "b": "Device (b)",
        "c": "Drug",
    }
    assert unlike(["x", "y", "x"]) == ["x", "y", "x (2)"]


def exceedance_table(years: Iterable[int]) -> pd.DataFrame:
    levels, probability = np.linspace(100, 900, 201), np.linspace(1, 0, 201)
    rows = [
        pd.DataFrame({"year": year, "level": levels + 20 * (year - 2025), "probability": probability, "what": "curve"})
        for year in years
    ]
    points = pd.DataFrame({"year": [*years], "level": 500.0, "probability": 0.4, "what": "report"})
    return pd.concat([*rows, points], ignore_index=True)


@pytest.mark.parametrize("anchors", [YEARS, (2025, 2030, 2035), (2035,)])
def test_every_anchor_has_a_curve_or_is_named_as_left_out(
    anchors: tuple[int, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    spec = exceedance_curves(exceedance_table(anchors), words(anchors=anchors))
    found = shown(spec)["year"].unique()
    note = " ".join(spec["title"]["subtitle"])
    assert len(found) == min(len(anchors), MOST_CURVES)
    assert {anchors[0], anchors[-1]} <= set(found)
    assert ("Years shown: 2025, " in note) == (len(anchors) > MOST_CURVES)
    said = texts(drawn(spec, capfd))
    assert {str(year) for year in found} <= set(said)
    assert said.count("500: 40 %") == 2 * len(found)  # over its white edge


def test_adoption_draws_points_and_ranges_and_no_tick_twice(capfd: pytest.CaptureFixture[str]) -> None:
    table = fan_table(0.001, 1.3, modality="device")
    table.loc[0, "report"], table.loc[10, ["report_low", "report_high"]] = 0.0013, [0.01, 0.02]
    svg = drawn(adoption_fans(table, words(("device",))), capfd)
    said = texts(svg)
    assert {"0.13 %", "1–2 %"} <= set(said)
    ticks = [text for text in said if re.fullmatch(r"[\d.]+ %", text) and text != "0.13 %"]
    assert len(ticks) == len(set(ticks)) > 3
    assert adoption_fans(pd.DataFrame(), words()) is None


def test_prior_and_posterior_are_both_drawn_wherever_they_lie(capfd: pytest.CaptureFixture[str]) -> None:
    edges = np.linspace(0, 1, 41)
    table = pd.concat(
        [
            pd.DataFrame({"draws": draws, "low": at + edges[:-1], "high": at + edges[1:], "density": np.arange(40) % 5})
            for draws, at in (("prior", 0.0), ("posterior", 1e5))
        ],
        ignore_index=True,
    ).assign(quantity=HOSTILE[1])
    spec = prior_posterior(table)
    assert shown(spec).groupby("draws")["height"].max().tolist() == [1, 1]
    assert drawn(spec, capfd).count("M") > 80  # a path for every bar


def test_ranged_priors_name_their_ranges(capfd: pytest.CaptureFixture[str]) -> None:
    x = np.linspace(1, 9, 60)
    rest = {"x": x, "density": np.exp(-x), "low": 1.5, "high": 6500.0}
    table = pd.DataFrame({"prior": "price[a_b]", "unit": "EUR", **rest})
    assert {"1.5", "6,500", "price[a b]"} <= set(texts(drawn(prior_ranges(table), capfd)))
    year = table.assign(unit="year", x=2025 + x, low=2026.5, high=2033.0)
    assert {"2026.5", "2033"} <= set(texts(drawn(prior_ranges(year), capfd)))
    assert prior_ranges(table.iloc[:0]) is None


def test_of_priors_that_differ_by_region_the_first_is_shown(pset: PriorSet) -> None:
    shown_ = set(ranged_priors(pset)["prior"])
    assert "line_list_price[toxin, United States]" in shown_
    assert {"launch_ceiling[implantable]", "launch_ceiling[pacap]", "moh"} <= shown_
    assert not [name for name in shown_ if "Japan" in name]


@pytest.mark.parametrize("number", [2, 7, 40])
def test_shares_of_any_number_of_segments(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    names = [f"region {k}" for k in range(number)]
    table = pd.concat([fan_table(0.9 / number, 1, region=n, mean=1 / number) for n in names], ignore_index=True)
    spec = composition(table, words(names), "region")
    assert spec is not None
    said = texts(drawn(spec, capfd))
    assert {f"{name}, in words" for name in names} <= set(said)  # every one has a row
    left, right = spec["concat"]
    assert right["height"] >= 16 * number
    assert len(left["layer"][0]["encoding"]["color"]["scale"]["domain"]) == min(number, MOST_LAYERS)
    assert len({row["layer"] for row in spec["data"]["values"]}) == min(number, MOST_LAYERS)


def test_one_segment_has_no_shares_to_show() -> None:
    assert composition(fan_table(1, 1, region="all", mean=1.0), words(("all",)), "region") is None


def test_long_labels_end_in_dots_and_keep_the_plot(capfd: pytest.CaptureFixture[str]) -> None:
    names = (HOSTILE[-1], "short")
    table = pd.concat([fan_table(0.5, 1, region=n, mean=0.5) for n in names], ignore_index=True)
    svg = drawn(composition(table, words(names), "region"), capfd)
    width = float(re.findall(r'width="([\d.]+)"', svg)[0])
    assert width < 3 * 250 + 2 * LABEL_LIMIT + 200
    assert any(text.endswith("…") for text in texts(svg))


def test_what_is_missing_is_null_and_numbers_are_plain() -> None:
    (row,) = json_rows(pd.DataFrame({"a": [np.nan], "b": [np.int64(3)], "c": [None], "d": [np.inf], "e": ["x"]}))
    assert row == {"a": None, "b": 3, "c": None, "d": None, "e": "x"}
    assert type(row["b"]) is int


def test_words_come_from_the_ledger(ledger: Ledger) -> None:
    found = words_of(ledger)
    assert found.money == f"{ledger.report.currency} million"
    assert found.labels["depth"]["1"] == "1 failed preventive"
    assert found.last == ledger.years[-1]


def test_the_headline_has_every_year_that_the_report_speaks_of() -> None:
    tables = market()
    tables["claims"] = [c for c in tables["claims"] if c["quantity"] != "revenue"]
    tables["claims"].append(claim("revenue", "check", "USD million", year=2026, low=300.0, high=340.0))
    other = Ledger(**tables)
    years = [*other.years]
    draws = np.random.default_rng(0).uniform(1, 2, (1, 50, len(years)))
    table = summarised(
        other,
        "revenue_total",
        DataArray(draws, {"year": years}, ("chain", "draw", "year")),
        "USD million",
        claim="revenue",
    )
    shown = headline(table, other).set_index("year")
    assert shown.index.tolist() == [2024, 2026, 2027, 2032]
    assert shown["report's range"].to_dict() == {2024: "", 2026: "300 - 340", 2027: "", 2032: ""}


def test_the_budget_names_groups_by_labels_and_leaves_out_what_is_not_attributed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    groups = {"price: device": 0.6, "patients": 0.4, UNATTRIBUTED: 0.0}
    table = pd.DataFrame({"group": groups.keys(), "share": groups.values(), "se": 0.01, "first_order": 0.7})
    bridge = pd.DataFrame([{"segment": "", "effect": "end", "low_90": 600.0, "high_90": 1100.0}])
    spec = budget_bars(table, bridge, words())
    assert spec is not None
    message = " ".join(spec["title"]["text"])
    assert message == "Price of device, in words makes 60 % of the interval around 2035 (600–1,100 EUR million)"
    assert shown(spec)["called"].tolist() == ["price of device, in words: 60 %", "patients: 40 %"]
    assert "patients: 40 %" in texts(drawn(spec, capfd))
    assert budget_bars(table.iloc[:0], bridge, words()) is None


def test_the_bridge_leads_from_the_first_year_to_the_last(capfd: pytest.CaptureFixture[str]) -> None:
    steps = {"start": 400.0, "patients": -50.0, "mix": 0.0, "adoption": 200.0, "intensity": 100.0, "end": 650.0}
    segments = [("", ""), ("region", "drug"), ("modality", "device")]
    table = pd.DataFrame(
        [
            {"segment": dim, "name": name, "effect": effect, "mean": mean, "low_90": mean - 9, "high_90": mean + 9}
            for dim, name in segments
            for effect, mean in steps.items()
        ]
    )
    claims = pd.DataFrame({"reading": ["intensity alone", "per patient"], "probability": [0.7, 1.0]})
    spec = bridge_waterfall(table, claims, words())
    bars = shown(spec)
    total = bars[bars["part"] == "steps"]
    assert total["to"].tolist() == [400, 600, 700, 700, 650, 650]
    assert bars[bars["part"] == "segments"]["to"].tolist() == [200, 300, 0, -50] * 2
    said = texts(drawn(spec, capfd))
    assert {"+200", "\N{MINUS SIGN}50", "+250", "2025", "2035"} <= set(said)
    assert "probability 70 %; with adoption and mix, > 99.9 %" in " ".join(spec["title"]["subtitle"])


@pytest.mark.fit
def test_figures_of_another_market_have_no_words_of_the_shipped_one(ledger: Ledger) -> None:
    pset = other_market("lines of a launched modality")
    tree = prior_tree(pset)
    tree["prior"] = DataTree(tree["posterior"].to_dataset())
    said = json.dumps({name: made.spec for name, made in run_figures(tree, pset, bench_tables(tree, pset)).items()})

    def words(of: Ledger) -> set[str]:
        segments = (*of.regions, *of.depths, *of.modalities, *of.lines)
        return {word.casefold() for s in segments for word in (s.name, s.label or s.name, *s.aliases) if len(word) > 3}

    foreign = {word for word in words(ledger) if not any(word in own for own in words(pset.ledger))}
    assert len(foreign) > 20
    # `acute` begins no word of a market here: whole words count.
    found = [word for word in sorted(foreign) if re.search(rf"\b{re.escape(word)}\b", said.casefold())]
    assert not found
