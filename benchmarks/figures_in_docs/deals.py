"""What the three example deals are worth: docs/value.md."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from postcgrp.benchmarks.figures_in_docs.runs import DEALS, Table, csv
from postcgrp.benchmarks.figures_in_docs.words import block, number, paragraph, percent, table


def _deals() -> dict[str, Table]:
    of = csv("value", "value").set_index(["quantity", "given"])
    return {name: of[of["deal"] == name] for name in of["deal"].unique()}


def _at(deal: Table, quantity: str, given: str = "all draws", column: str = "value") -> float:
    return float(deal.loc[(quantity, given), column])


@block
def deals() -> str:
    """docs/value.md: the three examples."""
    every = list(_deals().values())
    staged = [("P(approval)", "all draws") in deal.index for deal in every]
    beyond = "of rNPV, beyond the run's last year"

    def triple(deal: Table, name: str, digits: int = 1) -> str:
        return " / ".join(number(_at(deal, f"{name}, {q} % quantile"), digits) for q in (5, 50, 95))

    def bid(deal: Table) -> str:
        low, mean, high = (_at(deal, f"maximum bid, {what}") for what in ("5 % quantile", "mean", "95 % quantile"))
        return f"{number(mean - _at(deal, 'rNPV, mean'))}; {number(mean, 1)} ({number(low, 1)} to {number(high, 1)})"

    def back(deal: Table) -> str:
        year = _at(deal, "pay-back year of the expected flows")
        return f"{'not by 2035' if np.isnan(year) else f'{year:.0f}'}; {percent(_at(deal, 'P(paid back by 2035)'))}"

    def outcome(deal: Table) -> str:
        good, bad = (number(_at(deal, "NPV, mean", f"given {what}"), 1) for what in ("approval", "failure"))
        return f"{percent(_at(deal, 'P(approval)'))}; {good} / {bad}"

    cells: dict[str, Callable[[Table, bool], str]] = {
        "rNPV, mean": lambda d, _: _with_error(d, "rNPV, mean"),
        "NPV, 5 / 50 / 95 %": lambda d, _: triple(d, "NPV"),
        "P(NPV < 0)": lambda d, _: percent(_at(d, "P(NPV < 0)")),
        "VaR / CVaR, 5 %": lambda d, _: " / ".join(number(_at(d, f"{name} 5 %"), 1) for name in ("VaR", "CVaR")),
        "P(approval); NPV if approved / if not": lambda d, risky: outcome(d) if risky else "",
        "of rNPV, beyond 2035 (terminal assumption)": lambda d, _: (
            number(_at(d, beyond), 1) if (beyond, "all draws") in d.index else "none"
        ),
        "peak net sales, mean (if approved)": lambda d, risky: number(
            _at(d, "peak net sales a year, mean", "given approval" if risky else "all draws"), 1
        ),
        "pay-back of expected flows; P(paid back by 2035)": lambda d, _: back(d),
        "upfront asked; maximum bid, mean (5–95 %)": lambda d, _: bid(d),
        "break-even price, factor; peak share": lambda d, _: (
            f"{number(_at(d, 'break-even price, as a factor'), 2)}; {_share(_at(d, 'break-even peak share'))}"
        ),
    }
    lines = [
        [label, *(cell(deal, risky) for deal, risky in zip(every, staged, strict=True))]
        for label, cell in cells.items()
    ]
    titles = ("implantable, pivotal", "non-invasive, US", "royalty, drug")
    head = ["", *(f"[{title}](examples/{file}.toml)" for title, file in zip(titles, DEALS, strict=True))]
    return table(head, lines)


def _share(value: float) -> str:
    """A share at which a deal breaks even; none where no share does."""
    return "none" if np.isnan(value) else number(value, 3)


def _with_error(deal: Table, quantity: str) -> str:
    value, noise = _at(deal, quantity), _at(deal, quantity, column="mc_error")
    digits = 1 if abs(value) >= 1 else 2
    return f"{number(value, digits)} ± {number(noise, digits)}"


@block
def deals_read() -> str:
    """docs/value.md: how to read the table."""
    implant, device, royalty = _deals().values()
    draws = csv("value", "tornado")
    segment = draws[(draws["deal"] == implant["deal"].iloc[0]) & (draws["input"] == "market.revenue.2035")].iloc[0]
    share = csv("value", "assumptions")
    peak = share[(share["deal"] == implant["deal"].iloc[0]) & (share["input"] == "captured.peak_share")].iloc[0]
    enough = _at(implant, "break-even peak share")
    pays = (
        "no share of the segment makes it pay" if np.isnan(enough) else f"it pays with {percent(enough)} of the segment"
    )
    losses = [percent(_at(deal, "P(NPV < 0)")) for deal in (device, royalty)]
    return paragraph(
        "How to read it. **The implantable programme does not pay on this market alone**, even with ten years after "
        f"2035 assumed: in its regions the segment's revenue of 2035 is USD {number(segment['input_low'])} to "
        f"{number(segment['input_high'])} million from the lowest to the highest tenth of draws. A hospital keeps part "
        f"of it and one entrant of several takes {percent(peak['median'])}: too little, too late for trial, filing and "
        "launch. "
        "Success does not rescue it: given approval it still comes to "
        f"{number(_at(implant, 'NPV, mean', 'given approval'), 1)} on average, so there is no break-even probability "
        "of success. It would need a price "
        f"{number(_at(implant, 'break-even price, as a factor'), 1)} times as high, or other indications, which the "
        f"report does not cover; {pays}. Of the other two, at the asking price "
        f"{losses[0]} and {losses[1]} of the draws lose money. Which input decides is in `tornado.csv`."
    )
