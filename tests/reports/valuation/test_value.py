"""Values against closed forms, a spreadsheet's formulae and a slow second pricing; invariants; what a run writes."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from xarray import DataTree

from postcgrp.priors import InputError, PriorSet, effective, load_ledger
from postcgrp.reports.runs.run import Run
from postcgrp.reports.valuation import cashflow
from postcgrp.reports.valuation.answer import value
from postcgrp.reports.valuation.deal import Deal, load_deal, read_deal
from postcgrp.reports.valuation.figures import save_valuation
from postcgrp.reports.valuation.pricing import stand_ins
from postcgrp.reports.valuation.tables import shortfall, shown, tornado, value_table, weighted_mean, weighted_quantile
from postcgrp.reports.valuation.valuation import Valuation, price, price_all
from postcgrp.tests.helpers.paths import EXAMPLES

DEALS = sorted(EXAMPLES.glob("*.toml"))
DEAL_OF_IMPLANTS = EXAMPLES / "implantable_pivotal.toml"
CHAINS, DRAWS = 4, 250
RECALCULATE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Office.Calc/Formula/Load"><prop oor:name="OOXMLRecalcMode" oor:op="fuse">
<value>0</value></prop></item></oor:items>"""  # LibreOffice shows cached values unless told otherwise
Tables = dict[str, Any]


def market(pset: PriorSet, *, spread: float = 0.0, growth: float = 0.0, level: float = 1.0) -> DataTree:
    """A run whose every cell earns `level` million in the first year, with a lognormal factor for each draw.

    Every line is used by half of its modality's users and earns half of what these spend; launches succeed.
    """
    coords = {"chain": range(CHAINS), "draw": range(DRAWS), **pset.coords}
    coords = {dim: coords[dim] for dim in ("chain", "draw", "year", "region", "depth", "modality")}
    shape = tuple(len(labels) for labels in coords.values())
    rng = np.random.default_rng(5)
    factor = np.exp(spread * rng.standard_normal((CHAINS, DRAWS, 1, 1, 1, 1)))
    path = (1 + growth) ** np.arange(shape[2])[:, None, None, None]
    revenue = xr.DataArray(np.broadcast_to(level * factor * path, shape), coords)
    use = xr.full_like(revenue, 0.25)
    patients = xr.full_like(revenue.isel(modality=0, drop=True), 4000.0)
    lines = {line.name: line.modality for line in pset.ledger.lines}
    of = xr.DataArray([*lines.values()], {"line": [*lines]}, "line")
    arrays = {"revenue": revenue, "use": use, "patients": patients}
    arrays |= {"revenue_line": revenue.sel(modality=of).drop_vars("modality") / 2}
    arrays |= {"use_line": xr.full_like(arrays["revenue_line"], 0.5)}
    launch = list(pset.coords["launch"])
    success = xr.DataArray(np.ones((CHAINS, DRAWS, len(launch))), {"launch": launch}, ("chain", "draw", "launch"))
    return DataTree.from_dict({"posterior": xr.Dataset({**arrays, "success": success})})


def plain(**changes: Any) -> Deal:
    """One cell of 1 million a year, all of it ours: ten flows of one, from 2026 to 2035."""
    return read_deal(tables(**changes))


def tables(**changes: Any) -> Tables:
    deal: Tables = {
        "schema": 1,
        "name": "plain",
        "captured": {
            "modalities": ["pharmacologic"],
            "regions": ["Japan"],
            "depths": ["2"],
            "peak_share": 1,
            "launch_year": 2020,
        },
        "economics": {"margin": 1},
        "discounting": {"rate": 0.1, "convention": "end", "valuation_date": dt.date(2026, 1, 1)},
    }
    for part, change in changes.items():
        deal[part] = {**deal[part], **change} if isinstance(deal.get(part), dict) else change
    return deal


@pytest.fixture(scope="module")
def flat(pset: PriorSet) -> DataTree:
    return market(pset)


@pytest.fixture(scope="module")
def uneven(pset: PriorSet) -> DataTree:
    return market(pset, spread=0.3, growth=0.06)


def only(one: Valuation) -> float:
    """The value that all draws share."""
    assert np.ptp(one.rnpv) <= 1e-12 * abs(one.rnpv[0])
    return float(one.rnpv[0])


def figure(one: Valuation, quantity: str, given_: str = "all draws") -> pd.Series[Any]:
    rows = value_table(one)
    return rows[(rows["quantity"] == quantity) & (rows["given"] == given_)].iloc[0]


# ---- closed forms ------------------------------------------------------------------------------------------------


def test_constant_flow_is_an_annuity(flat: DataTree, pset: PriorSet) -> None:
    annuity = (1 - 1.1**-10) / 0.1
    assert only(price(Run.in_memory(flat, pset), plain())) == pytest.approx(annuity, rel=1e-12)
    for convention, shift in (("start", 1.0), ("mid", 0.5)):
        one = price(Run.in_memory(flat, pset), plain(discounting={"convention": convention}))
        assert only(one) == pytest.approx(annuity * 1.1**shift, rel=1e-12)
    assert only(price(Run.in_memory(flat, pset), plain(discounting={"rate": 0.0}))) == pytest.approx(10, rel=1e-12)


def test_without_uncertainty_there_is_no_risk(flat: DataTree, pset: PriorSet) -> None:
    one = price(Run.in_memory(flat, pset), plain(economics={"upfront": 7.0}))
    worth = (1 - 1.1**-10) / 0.1 - 7
    assert worth < 0
    found = value_table(one).set_index("quantity")
    for quantity in ("rNPV, mean", "NPV, 5 % quantile", "NPV, 95 % quantile"):
        assert found.loc[quantity, "value"] == pytest.approx(worth, rel=1e-12)
    assert found.loc["VaR 5 %", "value"] == pytest.approx(-worth, rel=1e-12)
    assert found.loc["CVaR 5 %", "value"] == pytest.approx(-worth, rel=1e-12)
    assert found.loc["P(NPV < 0)", "value"] == 1
    assert found.loc["maximum bid, mean", "value"] == pytest.approx(worth + 7, rel=1e-12)
    assert found.loc["pay-back year of the expected flows", "value"] == 2032
    assert (found["mc_error"].dropna() == 0).all()
    assert one.inputs == {}
    said = shown(value_table(one)).set_index("quantity")["value"]
    assert said["rNPV, mean"] == "-0.86"
    assert said["pay-back year of the expected flows"] == "2032"


def test_one_phase_is_a_weighted_pair(flat: DataTree, pset: PriorSet) -> None:
    deal = plain(
        captured={"launch_year": 2028},
        economics={
            "cost": [{"name": "trial", "stage": "trial", "by_year": [2, 1]}],
            "milestone": [{"name": "done", "on": "trial", "amount": 0.5}],
        },
        risk={"phase": [{"name": "trial", "probability": 0.6, "duration": 2}]},
    )
    one = price(Run.in_memory(flat, pset), deal)
    trial = 2 / 1.1 + 1 / 1.1**2
    sold = (1 - 1.1**-8) / 0.1 / 1.1**2 - 0.5 / 1.1**3
    assert only(one) == pytest.approx(0.6 * sold - trial, rel=1e-12)
    np.testing.assert_allclose(one.ends.npv[0], [-trial, sold - trial], rtol=1e-12)
    assert figure(one, "NPV, mean", "given failure")["value"] == pytest.approx(-trial)
    assert figure(one, "break-even probability of success")["value"] == pytest.approx(trial / sold, rel=1e-9)
    assert set(one.npv.round(9)) == {round(-trial, 9), round(sold - trial, 9)}
    assert one.success.mean() == pytest.approx(0.6, abs=4 * np.sqrt(0.24 / len(one.npv)))
    assert (one.npv > 0).tolist() == one.success.tolist()


def test_perpetuity_and_its_limits(flat: DataTree, pset: PriorSet) -> None:
    def beyond(**terminal: Any) -> float:
        return float(
            price(Run.in_memory(flat, pset), plain(terminal={"label": "test", **terminal})).ends.terminal[0] * 1.1**10
        )

    assert beyond(growth=0.0) == pytest.approx(1 / 0.1)
    assert beyond(growth=-0.05) == pytest.approx(0.95 / 0.15)
    assert beyond(growth=0.02, years=1) == pytest.approx(1.02 / 1.1)
    assert beyond(growth=0.02, years=50) < beyond(growth=0.02) == pytest.approx(1.02 / 0.08)
    assert beyond(growth=0.1, years=7) == pytest.approx(7, rel=1e-7)  # rate = growth: the limit
    assert beyond(multiple=3) == pytest.approx(3)
    forever = price(Run.in_memory(flat, pset), plain(terminal={"label": "test", "growth": 0}))
    assert only(forever) == pytest.approx(1 / 0.1)  # ten years and the rest are all of it
    with pytest.raises(InputError, match=r"terminal\.growth = 0\.2: is not below .* in 100%"):
        beyond(growth=0.2)


def test_terminal_is_apart_and_labelled(flat: DataTree, pset: PriorSet) -> None:
    one = price(Run.in_memory(flat, pset), plain(terminal={"label": "my view", "growth": 0}))
    apart = figure(one, "of rNPV, beyond the run's last year")
    assert "explicit terminal assumption: my view" in apart["note"]
    without = figure(one, "rNPV without it")["value"]
    assert without == pytest.approx(only(price(Run.in_memory(flat, pset), plain())))
    assert not value_table(price(Run.in_memory(flat, pset), plain()))["note"].str.contains("terminal").any()


def test_a_year_cut_by_the_valuation_counts_in_part(flat: DataTree, pset: PriorSet) -> None:
    date = dt.date(2034, 7, 2)  # day 183 of 365
    left = 183 / 365
    one = price(Run.in_memory(flat, pset), plain(discounting={"valuation_date": date}))
    assert only(one) == pytest.approx(left / 1.1**left + 1 / 1.1 ** (left + 1), rel=1e-12)


def test_ramp_and_loss_are_their_integrals(flat: DataTree, pset: PriorSet) -> None:
    ramped = price(Run.in_memory(flat, pset), plain(captured={"launch_year": 2027, "ramp_years": 4})).ends.sales[0]
    np.testing.assert_allclose(ramped, [0, 0.125, 0.375, 0.625, 0.875, 1, 1, 1, 1, 1], atol=1e-12)
    delayed = price(Run.in_memory(flat, pset), plain(captured={"launch_year": 2027.5})).ends.sales[0]
    np.testing.assert_allclose(delayed[:3], [0, 0.5, 1], atol=1e-12)
    lost = plain(captured={"loss_of_exclusivity": 2030.25, "share_kept": 0.2})
    np.testing.assert_allclose(
        price(Run.in_memory(flat, pset), lost).ends.sales[0, 3:6], [1, 0.25 + 0.75 * 0.2, 0.2], atol=1e-12
    )


def test_delay_shifts_the_launch_and_its_costs(flat: DataTree, pset: PriorSet) -> None:
    def flows(duration: float) -> Any:
        deal = plain(
            captured={"launch_year": 2027},
            economics={"cost": [{"name": "field force", "stage": "launch", "by_year": [0.5]}]},
            risk={"phase": [{"name": "trial", "probability": 1, "duration": duration}]},
        )
        return price(Run.in_memory(flat, pset), deal).ends.flows[0, -1]

    np.testing.assert_allclose(flows(0.5)[:3], [0, 0.5, 1], atol=1e-12)  # not before the planned year
    np.testing.assert_allclose(flows(2)[:4], [0, 0, 0.5, 1], atol=1e-12)
    np.testing.assert_allclose(flows(2.5)[:5], [0, 0, 0.25, 0.75, 1], atol=1e-12)


def test_working_capital_costs_time_and_not_money(flat: DataTree, pset: PriorSet) -> None:
    one = price(Run.in_memory(flat, pset), plain(economics={"working_capital": 0.3}))
    np.testing.assert_allclose(one.cash_flows[0], [0.7, *[1] * 8, 1.3], rtol=1e-12)


def test_working_capital_comes_back_when_a_finite_terminal_ends(flat: DataTree, pset: PriorSet) -> None:
    def beyond(**terminal: Any) -> float:
        deal = plain(economics={"working_capital": 0.3}, terminal={"label": "test", **terminal})
        return float(price(Run.in_memory(flat, pset), deal).ends.terminal[0] * 1.1**10)

    assert beyond(growth=0.0, years=2) == pytest.approx(1 / 1.1 + 1.3 / 1.1**2, rel=1e-12)
    assert beyond(growth=-0.5, years=1) == pytest.approx((0.5 + 0.3) / 1.1, rel=1e-12)  # all that was tied up
    assert beyond(growth=0.0) == pytest.approx(10, rel=1e-12)  # never


def test_own_price_replaces_the_markets(flat: DataTree, pset: PriorSet) -> None:
    # 4 000 patients, a quarter treated, at 250 a year: a quarter of a million, of which 80 % arrive
    one = price(Run.in_memory(flat, pset), plain(captured={"price": 250, "net": 0.8}))
    np.testing.assert_allclose(one.ends.sales, 0.2, rtol=1e-12)


# ---- the spreadsheet's formulae ----------------------------------------------------------------------------------


def excel_npv(rate: float, flows: ArrayLike) -> float:
    """Excel's NPV: the first flow is due one period from now (sum of v_i / (1 + r)^i, from 1)."""
    values = np.asarray(flows, dtype=float)
    return float(cashflow.present_value(values, rate, np.arange(1.0, len(values) + 1)))


def excel_xnpv(rate: float, flows: ArrayLike, days: list[dt.date]) -> float:
    """Excel's XNPV: the first flow is due now (sum of v_i / (1 + r)^((d_i - d_1) / 365))."""
    times = np.array([(day - days[0]).days / cashflow.DAYS_PER_YEAR for day in days])
    return float(cashflow.present_value(np.asarray(flows, dtype=float), rate, times))


def test_present_value_is_excels_npv_and_xnpv() -> None:
    assert excel_npv(0.1, [-10000, 3000, 4200, 6800]) == pytest.approx(1188.4434123352207, rel=1e-12)
    days = [dt.date(2008, 1, 1), dt.date(2008, 3, 1), dt.date(2008, 10, 30), dt.date(2009, 2, 15), dt.date(2009, 4, 1)]
    flows = [-10000, 2750, 4250, 3250, 2750]
    assert excel_xnpv(0.09, flows, days) == pytest.approx(2086.647602031535, rel=1e-12)  # Microsoft's examples


@pytest.mark.parametrize("convention", ["start", "mid", "end"])
def test_a_deal_is_npv_and_xnpv_of_its_flows(uneven: DataTree, pset: PriorSet, convention: str) -> None:
    valued = dt.date(2026, 3, 15)
    changes = {"upfront": 3.0, "tax_rate": 0.2, "working_capital": 0.1}
    day = {"convention": convention, "valuation_date": valued}
    dated = price(Run.in_memory(uneven, pset), plain(economics=changes, discounting={**day, "day_count": "actual/365"}))
    dates = [valued, *cashflow.due_dates(dated.years, valued, convention)]  # type: ignore[arg-type]
    for d in (0, 17):
        assert excel_xnpv(0.1, [-3, *dated.cash_flows[d]], dates) == pytest.approx(dated.npv[d], rel=1e-9)
    if convention == "end":
        whole = price(Run.in_memory(uneven, pset), plain(economics=changes))
        assert excel_npv(0.1, whole.cash_flows[17]) - 3 == pytest.approx(whole.npv[17], rel=1e-9)


def test_libreoffice_finds_the_same(uneven: DataTree, pset: PriorSet, tmp_path: Path) -> None:
    office = shutil.which("soffice")
    if office is None:
        pytest.skip("LibreOffice (soffice) is not installed here")
    deal = plain(economics={"upfront": 3.0, "tax_rate": 0.2})
    whole = price(Run.in_memory(uneven, pset), deal)
    valued = dt.date(2026, 3, 15)
    day = {"valuation_date": valued, "convention": "mid", "day_count": "actual/365"}
    dated = price(Run.in_memory(uneven, pset), plain(economics={"upfront": 3.0, "tax_rate": 0.2}, discounting=day))
    with xlsxwriter.Workbook(tmp_path / "flows.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row("A1", whole.cash_flows[17])
        sheet.write_row("A2", [-3, *dated.cash_flows[17]])
        form = book.add_format({"num_format": "yyyy-mm-dd"})
        for k, date in enumerate([valued, *cashflow.due_dates(dated.years, valued, "mid")]):
            sheet.write_datetime(2, k, dt.datetime.combine(date, dt.time()), form)
        sheet.write_formula("A4", "=NPV(0.1,A1:J1)-3", None, 0)
        sheet.write_formula("A5", "=XNPV(0.1,A2:K2,A3:K3)", None, 0)
        sheet.write_formula("A6", '=TEXT(A4,"0.000000000000E+00")', None, "")
        sheet.write_formula("B6", '=TEXT(A5,"0.000000000000E+00")', None, "")
    (tmp_path / "profile" / "user").mkdir(parents=True)
    (tmp_path / "profile" / "user" / "registrymodifications.xcu").write_text(RECALCULATE)
    profile = f"-env:UserInstallation=file://{tmp_path / 'profile'}"
    command = [office, profile, "--headless", "--convert-to", "csv", "--outdir", str(tmp_path)]
    subprocess.run([*command, str(tmp_path / "flows.xlsx")], check=True, capture_output=True, timeout=120)
    last = (tmp_path / "flows.csv").read_text().splitlines()[5].split(",")
    assert float(last[0]) == pytest.approx(whole.npv[17], rel=1e-9)
    assert float(last[1]) == pytest.approx(dated.npv[17], rel=1e-9)


# ---- a second pricing, draw by draw and year by year -------------------------------------------------------------


def full() -> Deal:
    return read_deal(full_tables())


def full_tables() -> Tables:
    """Whole years throughout, so that the second pricing needs no integral."""
    return tables(
        captured={
            "regions": ["Japan", "EU5"],
            "peak_share": {"low": 0.3, "high": 0.5},
            "launch_year": 2028,
            "net": {"dist": "beta", "a": 30, "b": 10},
            "loss_of_exclusivity": 2033,
            "share_kept": 0.25,
        },
        economics={
            "margin": {"low": 0.5, "high": 0.7},
            "royalty_paid": [{"above": 0, "rate": 0.02}, {"above": 0.6, "rate": 0.1}],
            "upfront": 0.3,
            "tax_rate": 0.25,
            "loss_limit": 0.8,
            "working_capital": 0.2,
            "cost": [
                {"name": "trial", "stage": "trial", "by_year": [{"low": 0.05, "high": 0.2}, 0.1]},
                {"name": "filing", "stage": "review", "by_year": [0.04]},
                {"name": "launch", "stage": "launch", "by_year": [0.2, 0.1]},
                {"name": "office", "from_year": 2027, "by_year": [0.01, 0.01]},
            ],
            "milestone": [
                {"name": "data", "on": "trial", "amount": 0.05},
                {"name": "grant", "on": "approval", "amount": 0.08, "received": True},
                {"name": "sales", "net_sales_above": 0.7, "amount": 0.1},
            ],
        },
        risk={
            "phase": [
                {"name": "trial", "probability": {"low": 0.4, "high": 0.8}, "duration": 2},
                {"name": "review", "probability": 0.9, "duration": 1},
            ]
        },
        discounting={"rate": {"low": 0.08, "high": 0.12}},
        terminal={"label": "four more years", "growth": -0.1, "years": 4},
    )


def slow_value(one: Valuation, d: int, stop: int) -> float:
    """One draw in one end, priced line by line as a spreadsheet would; phases end in 2028 and 2029."""
    x = {path: float(draws[d]) for path, draws in one.x.items()}
    total, balance, before, paid_once = -x["economics.upfront"], 0.0, 0.0, False
    rate = x["discounting.rate"]
    for t, year in enumerate(range(2026, 2036)):
        kept = 0.0 if year < 2029 else 1.0 if year < 2033 else 0.25
        base = float(one.market.revenue[d, year - 2025])
        net = base * x["captured.peak_share"] * kept * x["captured.net"] if stop == 2 else 0.0
        running = net * x["economics.margin"] - 0.02 * min(net, 0.6) - 0.1 * max(net - 0.6, 0)
        spent = {2026: x["economics.cost.trial.by_year[1]"], 2027: x["economics.cost.trial.by_year[2]"]}.get(year, 0)
        spent += 0.04 if year == 2028 and stop >= 1 else 0
        spent += {2029: 0.2, 2030: 0.1}.get(year, 0) if stop == 2 else 0
        spent += 0.01 if year in (2027, 2028) else 0
        once = -0.05 if year == 2028 and stop >= 1 else 0.0
        once += 0.08 if year == 2029 and stop == 2 else 0
        if net >= 0.7 and not paid_once:
            paid_once, once = True, once - 0.1
        profit = running - spent + once
        used = min(balance, 0.8 * max(profit, 0))
        tax = 0.25 * (max(profit, 0) - used)
        balance += max(-profit, 0) - used
        tied = 0.2 * net
        total += (profit - tax - tied + before) / (1 + rate) ** (t + 1)
        before = tied
        final = (running - spent) * 0.75
    later = [final * 0.9**k + 0.2 * net * (0.9 ** (k - 1) - 0.9**k) for k in range(1, 5)]
    later[-1] += 0.2 * net * 0.9**4
    worth = sum(flow / (1 + rate) ** k for k, flow in enumerate(later, 1)) if stop == 2 else 0
    return total + max(worth, 0) / (1 + rate) ** 10


def test_a_second_pricing_agrees_on_every_end(uneven: DataTree, pset: PriorSet) -> None:
    one = price(Run.in_memory(uneven, pset), full(), seed=3)
    for d in range(0, CHAINS * DRAWS, 37):
        slow = [slow_value(one, d, stop) for stop in range(3)]
        np.testing.assert_allclose(one.ends.npv[d], slow, rtol=1e-9)
        assert one.npv[d] == pytest.approx(slow[one.outcome[d]], rel=1e-9)
    assert (one.ends.sales.max(axis=1) >= 0.7).any()  # the upper tier and the sales milestone were reached


# ---- figures -----------------------------------------------------------------------------------------------------


def test_simulated_outcomes_agree_with_their_exact_average(uneven: DataTree, pset: PriorSet) -> None:
    one = price(Run.in_memory(uneven, pset), full(), seed=3)
    exact, simulated = figure(one, "rNPV, mean"), figure(one, "NPV, mean of simulated outcomes")
    assert simulated["mc_error"] > exact["mc_error"] > 0
    assert simulated["value"] == pytest.approx(exact["value"], abs=4 * simulated["mc_error"])
    shares = np.bincount(one.outcome, minlength=3) / len(one.outcome)
    np.testing.assert_allclose(shares, one.ends.probability.mean(axis=0), atol=4 * np.sqrt(0.25 / len(one.outcome)))
    np.testing.assert_allclose(one.ends.probability.sum(axis=1), 1, rtol=1e-12)


def test_break_evens_break_even(uneven: DataTree, pset: PriorSet) -> None:
    deal = full_tables()
    one = price(Run.in_memory(uneven, pset), full(), seed=3)
    bid = figure(one, "maximum bid, mean")["value"]
    deal["economics"]["upfront"] = bid
    assert price(Run.in_memory(uneven, pset), read_deal(deal), seed=3).rnpv.mean() == pytest.approx(0, abs=1e-12)
    dear = full_tables()
    dear["economics"]["upfront"] = bid + 0.2
    one = price(Run.in_memory(uneven, pset), read_deal(dear), seed=3)
    factor = figure(one, "break-even price, as a factor")["value"]
    assert factor > 1
    raised = uneven.copy()
    raised["posterior"] = uneven["posterior"].to_dataset().assign(revenue=uneven["posterior"]["revenue"] * factor)
    assert price(Run.in_memory(raised, pset), read_deal(dear), seed=3).rnpv.mean() == pytest.approx(0, abs=1e-9)
    share = figure(one, "break-even peak share")["value"]
    assert share == pytest.approx(factor * one.x["captured.peak_share"].mean())
    sold = one.market.since(2026)
    average = (sold.revenue * one.ends.share).sum() * 1e6 / (sold.treated * one.ends.share).sum()
    assert figure(one, "break-even price")["value"] == pytest.approx(average * factor)
    worthless = value_table(price(Run.in_memory(uneven, pset), plain(economics={"margin": 0, "upfront": 1})))
    note = worthless.set_index("quantity").loc["break-even price, as a factor"]
    assert np.isnan(note["value"])
    assert note["note"].startswith("none")


def test_weighted_figures_are_those_of_repeated_draws() -> None:
    rng = np.random.default_rng(1)
    values, counts = rng.standard_normal((200, 3)), rng.integers(0, 4, (200, 3))
    repeated = np.repeat(values.ravel(), counts.ravel())
    weights, sample = counts.astype(float), (4, 50)
    assert weighted_mean(values, weights, sample).value == pytest.approx(repeated.mean())
    for p in (0.05, 0.5, 0.95):
        expected = np.quantile(repeated, p, method="inverted_cdf")
        assert weighted_quantile(values, weights, p, sample).value == expected
    worst = np.sort(repeated)[: len(repeated) // 20 * 1]
    level = np.quantile(repeated, 0.05, method="inverted_cdf")
    expected = (worst.sum() + (0.05 * len(repeated) - len(worst)) * level) / (0.05 * len(repeated))
    assert shortfall(values, weights, 0.05, sample).value == pytest.approx(expected)


@pytest.mark.parametrize("what", ["mean", "quantile", "shortfall"])
def test_monte_carlo_errors_are_what_repetition_shows(what: str) -> None:
    """Autocorrelated draws, two ends with weights: the stated error is the sd over repetitions, within a quarter."""
    rng, rho, sample, found = np.random.default_rng(7), 0.6, (4, 250), []
    for _ in range(200):
        z = rng.standard_normal(sample)
        for t in range(1, sample[1]):
            z[:, t] = rho * z[:, t - 1] + np.sqrt(1 - rho**2) * z[:, t]
        probability = 1 / (1 + np.exp(-0.5 * z.ravel()))
        values = np.stack([-1 - 0.1 * z.ravel() ** 2, 2 * z.ravel()], axis=1)
        weights = np.stack([1 - probability, probability], axis=1)
        figures = {
            "mean": lambda v, w: weighted_mean(v, w, sample),
            "quantile": lambda v, w: weighted_quantile(v, w, 0.25, sample),
        }
        figures["shortfall"] = lambda v, w: shortfall(v, w, 0.1, sample)
        found.append(figures[what](values, weights))
    values = np.array([f.value for f in found])
    stated = np.sqrt(np.mean([f.mc_error**2 for f in found]))
    assert stated == pytest.approx(values.std(ddof=1), rel=0.25)


def test_tornado_sets_each_input_and_sorts(uneven: DataTree, pset: PriorSet) -> None:
    one = price(Run.in_memory(uneven, pset), full(), seed=3)
    rows = tornado(one).set_index("input")
    assert set(rows.index) == {*one.inputs, "technical success"}
    assert (np.diff(rows["swing"]) <= 0).all()
    low = one.x["captured.peak_share"] * 0 + np.quantile(one.x["captured.peak_share"], 0.05)
    deal = full_tables()
    deal["captured"]["peak_share"] = float(low[0])
    fixed = price(Run.in_memory(uneven, pset), read_deal(deal), seed=3)
    assert rows.loc["captured.peak_share", "rnpv_low"] == pytest.approx(fixed.rnpv.mean(), rel=1e-12)
    revenue = one.inputs["market.revenue.2035"]
    assert rows.loc["market.revenue.2035", "rnpv_high"] == one.rnpv[revenue >= np.quantile(revenue, 0.9)].mean()
    change = rows["rnpv_high"] - rows["rnpv_low"]
    assert change["technical success"] > 0 > change["discounting.rate"]


def test_same_seed_same_draws_and_another_input_leaves_the_rest(uneven: DataTree, pset: PriorSet) -> None:
    one, again, other = (price(Run.in_memory(uneven, pset), full(), seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.npv, again.npv)
    assert not np.array_equal(one.npv, other.npv)
    more = full_tables()
    more["economics"]["upfront"] = {"low": 0.2, "high": 0.4}
    changed = price(Run.in_memory(uneven, pset), read_deal(more), seed=3)
    for path, draws in one.x.items():
        if path != "economics.upfront":
            np.testing.assert_array_equal(draws, changed.x[path])
    np.testing.assert_array_equal(one.outcome, changed.outcome)


def test_shares_over_one_are_refused(uneven: DataTree, pset: PriorSet) -> None:
    def deal(name: str, share: Any, region: str = "Japan") -> Deal:
        return plain(name=name, captured={"peak_share": share, "regions": [region]})

    assert len(price_all(Run.in_memory(uneven, pset), [deal("a", 0.6), deal("b", 0.4)])) == 2
    assert len(price_all(Run.in_memory(uneven, pset), [deal("a", 0.6), deal("b", 0.6, "EU5")])) == 2
    with pytest.raises(InputError, match=r"deals 'a' and 'b': their shares of .*Japan.* add up to 1.1 .*100.0%"):
        price_all(Run.in_memory(uneven, pset), [deal("a", 0.6), deal("b", 0.5)])
    with pytest.raises(InputError, match="add up to"):
        price_all(Run.in_memory(uneven, pset), [deal("a", 0.6), deal("b", {"low": 0.3, "high": 0.5})])
    with pytest.raises(InputError, match="--seed -1: is negative"):
        price(Run.in_memory(uneven, pset), deal("a", 0.6), seed=-1)


# ---- invariants of the arithmetic --------------------------------------------------------------------------------

paths = st.lists(st.floats(-100, 100), min_size=2, max_size=12).map(np.array)


@given(paths, st.floats(0, 0.5), st.floats(0, 1))
def test_taxes_lie_between_no_relief_and_all_of_it(profit: Any, rate: float, limit: float) -> None:
    profit = profit[None]
    lost = cashflow.taxes(profit, np.array([rate]), "lost")
    carried = cashflow.taxes(profit, np.array([rate]), "carried forward", np.array([limit]))
    at_once = cashflow.taxes(profit, np.array([rate]), "relieved at once")
    assert (carried >= 0).all()
    assert (carried <= lost + 1e-12).all()
    assert carried.sum() >= at_once.sum() - 1e-9
    assert (np.cumsum(carried) >= np.maximum(np.cumsum(at_once), 0) - 1e-9).all()


@given(paths.map(np.abs), st.floats(0, 1))
def test_working_capital_comes_back(sales: Any, share: float) -> None:
    tied = cashflow.tied_up(sales[None], np.array([share]), released=True)
    assert tied.sum() == pytest.approx(0, abs=1e-9)
    kept = cashflow.tied_up(sales[None], np.array([share]), released=False)
    assert kept.sum() == pytest.approx(share * sales[-1], abs=1e-9)


@given(st.floats(0, 500), st.floats(1, 50), st.floats(51, 200), st.lists(st.floats(0, 0.3), min_size=3, max_size=3))
def test_tiers_are_marginal(sales: float, first: float, second: float, rates: list[float]) -> None:
    due = cashflow.tiered(np.array([[sales]]), [0.0, first, second], rates)[0, 0]
    parts = [min(sales, first), min(max(sales - first, 0), second - first), max(sales - second, 0)]
    assert due == pytest.approx(sum(p * r for p, r in zip(parts, rates, strict=True)), abs=1e-9)


@given(st.floats(-5, 20), st.just(0.0) | st.floats(0.01, 8), st.floats(0, 3))
def test_ramp_is_an_integral_of_a_share(since: float, years: float, further: float) -> None:
    start, end = cashflow.ramp(np.array([since, since + further]), years)
    assert 0 <= start <= end <= start + further + 1e-12
    grid = np.linspace(0, max(since, 0), 4001)
    level = np.clip(grid / years, 0, 1) if years > 0 else np.ones_like(grid)
    assert start == pytest.approx(np.trapezoid(level, grid), abs=2e-3)


@given(paths)
def test_payback_is_for_good(flows: Any) -> None:
    years = np.arange(2026.0, 2026 + len(flows))
    back = cashflow.payback(flows[None], years)[0]
    short = np.cumsum(flows) < 0
    if np.isnan(back):
        assert short[-1]
    else:
        at = int(back - 2026)
        assert not short[at:].any()
        assert at == 0 or short[at - 1]


@pytest.mark.fit
@settings(max_examples=15, deadline=None)
@given(factor=st.floats(0.1, 10))
def test_value_scales_with_money(factor: float) -> None:
    pset = effective(load_ledger())
    deal = full_tables()
    economics = deal["economics"]
    economics["upfront"] *= factor
    for cost in economics["cost"]:
        cost["by_year"] = [
            {end: number * factor for end, number in c.items()} if isinstance(c, dict) else c * factor
            for c in cost["by_year"]
        ]
    for row in (*economics["milestone"], *economics["royalty_paid"]):
        row |= {key: row[key] * factor for key in ("amount", "net_sales_above", "above") if key in row}
    one = price(Run.in_memory(market(pset, spread=0.2), pset), full(), seed=2)
    many = price(Run.in_memory(market(pset, spread=0.2, level=factor), pset), read_deal(deal), seed=2)
    np.testing.assert_allclose(many.ends.npv, factor * one.ends.npv, rtol=1e-8, atol=1e-9)


def test_a_draw_without_the_launch_gets_one_of_its_size_with_it(pset: PriorSet) -> None:
    """A deal with phases has its own chance of success: the market's must not be counted beside it."""
    rng = np.random.default_rng(3)
    succeeds, patients = rng.random(4000) < 0.6, rng.lognormal(0.0, 0.5, 4000)
    at = stand_ins(succeeds, patients)
    assert succeeds[at].all()
    assert (at[succeeds] == np.flatnonzero(succeeds)).all()
    assert np.corrcoef(patients[at], patients)[0, 1] > 0.99  # what else is asked of a draw still goes with its value
    counts = np.bincount(at, minlength=len(at))[succeeds]
    assert counts.min() == 1
    assert counts.max() == 2
    assert (stand_ins(np.ones(5, dtype=bool), np.arange(5.0)) == np.arange(5)).all()

    run, deal = market(pset, spread=0.2), load_deal(DEAL_OF_IMPLANTS)
    whole = price(Run.in_memory(run, pset), deal).market
    fails = rng.random((CHAINS, DRAWS)) < 0.4
    draws = run["posterior"].to_dataset()
    gone = xr.DataArray(fails, dims=("chain", "draw")) & (draws["modality"] == "implantable")
    draws["success"] = draws["success"].where(~xr.DataArray(fails, dims=("chain", "draw")), 0.0)
    draws["revenue"], draws["use"] = (draws[name].where(~gone, 0.0) for name in ("revenue", "use"))
    seen = price(Run.in_memory(DataTree.from_dict({"posterior": draws}), pset), deal).market
    assert (seen.revenue[:, -1] > 0).all()
    np.testing.assert_allclose(seen.revenue[~fails.ravel()], whole.revenue[~fails.ravel()])


# ---- what is written ---------------------------------------------------------------------------------------------


@pytest.mark.fit
def test_the_answer_as_files(uneven: DataTree, pset: PriorSet, tmp_path: Path) -> None:
    record = {"status": "passed", "recipe_sha256": "r" * 64, "files": {"posterior.nc": "d" * 64}, "created": "now"}
    out = tmp_path / "value"
    answer = value(Run.in_memory(uneven, pset, record), DEALS, seed=5, out=out)
    assert answer.table["deal"].nunique() == len(DEALS)
    draws = pd.read_csv(out / "draws.csv")
    said = json.loads((out / "value.json").read_text())
    for one, told in zip(answer.priced, said["deals"], strict=True):
        mine = draws[draws["deal"] == one.deal.name]
        assert mine[".draw"].tolist() == list(range(1, CHAINS * DRAWS + 1))
        assert (mine[".draw"] == (mine[".chain"] - 1) * DRAWS + mine[".iteration"]).all()
        headline = told["figures"][0]
        assert headline["quantity"] == "rNPV, mean"
        assert mine["rnpv"].mean() == pytest.approx(headline["value"], rel=1e-9)
        np.testing.assert_allclose(mine["npv"], one.npv, rtol=1e-9)
    assert said["provenance"]["recipe_sha256"] == "r" * 64
    assert said["provenance"]["seed"] == 5
    manifest = json.loads((out / "manifest.json").read_text())
    names = {path.name for path in out.iterdir()} - {"manifest.json"}
    assert set(manifest["files"]) == names
    assert {path.suffix for path in out.iterdir()} == {".csv", ".json", ".toml", ".png", ".svg"}
    assert (out / "deal-implantable_pivotal_stage.toml").read_bytes() == DEAL_OF_IMPLANTS.read_bytes()
    value(
        Run.in_memory(uneven, pset, record), [DEAL_OF_IMPLANTS], seed=5, out=out
    )  # its own folder may be written again
    assert not (out / "deal-royalty_pharmacologic_line.toml").exists()
    loud = tmp_path / "loud.toml"
    loud.write_text(DEAL_OF_IMPLANTS.read_text().replace("Implantable, pivotal stage", "IMPLANTABLE: pivotal stage"))
    with pytest.raises(InputError, match="their files would have one name: rename one"):
        value(Run.in_memory(uneven, pset, record), [DEAL_OF_IMPLANTS, loud], seed=5, out=out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        value(Run.in_memory(uneven, pset, record), [DEAL_OF_IMPLANTS], out=tmp_path / "mine")


def test_a_deals_name_is_text_in_its_figure_however_it_reads(flat: DataTree, pset: PriorSet, tmp_path: Path) -> None:
    one = price(Run.in_memory(flat, pset), plain(name=r"From $\frac$" + ", and so on" * 12))
    made = save_valuation(one, value_table(one), tornado(one), tmp_path / "figure", "r" * 64)
    assert [path.suffix for path in made] == [".svg", ".png"]
    assert r"From $\frac$" in made[0].read_text()


def test_examples_are_priced_on_any_market_of_their_segments(uneven: DataTree, pset: PriorSet) -> None:
    for one in price_all(Run.in_memory(uneven, pset), [load_deal(path) for path in DEALS]):
        for array in (one.npv, one.rnpv, one.cash_flows, one.max_bid, *one.inputs.values()):
            assert np.isfinite(array).all()
