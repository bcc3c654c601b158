"""What the forecast owes to which assumption: docs/sensitivity.md."""

from __future__ import annotations

from postcgrp.benchmarks.figures_in_docs.runs import DEALS, VIEWS, Table, csv, total
from postcgrp.benchmarks.figures_in_docs.words import block, number, paragraph, percent, signed, table, to


@block
def views() -> str:
    """docs/sensitivity.md: prior sets, trust and coverage."""
    names = {
        "bottom_up": "bottom-up: no revenue from the vendor",
        "trust_low": "trust low",
        "trust_high": "trust high",
        "coverage_50": "coverage 0.5, default trust",
        "coverage_80": "coverage 0.8, default trust",
    }
    last, deal = {name: total(name).loc[2035] for name in VIEWS}, {name: _implant(name) for name in VIEWS}
    lines = [
        [
            names.get(name, name),
            number(row["median"]),
            to(row["low_90"], row["high_90"]),
            percent(row["p_above_report"]),
            f"{signed(deal[name]['value'], 1)} ± {number(deal[name]['mc_error'], 1)}",
            "go" if deal[name]["value"] > 0 else "no-go",
        ]
        for name, row in last.items()
    ]
    decided = {name for name, row in deal.items() if row["value"] > 0}
    whose = " and ".join(names.get(name, f"`{name}`") for name in VIEWS if name in decided)
    verdict = f"It is a go under {whose} only" if decided else "No view makes it a go"
    text = paragraph(
        "The middle follows whom one believes: patients × adoption × price alone, which know nothing of the vendor's "
        f"revenue, say {number(last['bottom_up']['median'])}; the vendor's own figures lift that to "
        f"{number(last['report']['median'])}, and more under high trust. The last two columns are the risk-adjusted "
        f"NPV of the [implantable example](examples/{DEALS[0]}.toml), in USD million, and what it says of the deal. "
        f"{verdict}."
    )
    return table(["view", "median", "90 % interval", "P(> 870)", "implant deal, rNPV", ""], lines) + "\n" + text


def _implant(name: str) -> Table:
    """The mean rNPV of the implantable example under a view."""
    of = csv(f"value_{name}", "value").set_index(["quantity", "given"])
    return of.loc[("rNPV, mean", "all draws")]
