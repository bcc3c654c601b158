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


@block
def furthest() -> str:
    """docs/sensitivity.md: the widest of the tornado."""
    phrases = []
    for _, row in csv("sensitivity", "tornado").head(4).iterrows():
        unit, (a, b) = row["unit"], (row["value_low"], row["value_high"])
        if unit == "stated / true":
            values = f"{to(a, b, 2)} times the truth"
        elif unit == "year":
            values = f"{a:.1f} to {b:.1f}"
        elif unit.startswith("fraction"):
            values = f"{number(100 * a, 1)} to {percent(b, 1)}" + (" a year" if "year" in unit else "")
        else:
            values = f"{number(a, 2)} to {number(b, 2)} {unit}"
        name = row["input"] if row["input"].startswith("the ") else f"`{row['input']}`"
        phrases.append(f"{name} ({values}: mean {number(row['mean_low'])} to {number(row['mean_high'])})")
    return paragraph(f"Moved one at a time, 2035 goes furthest with {', '.join(phrases[:-1])} and {phrases[-1]}.")


@block
def left_out() -> str:
    """docs/sensitivity.md: the claims that matter most, and the smallest p."""
    lefts, worst = csv("sensitivity", "leave_one_out"), csv("sensitivity", "conflicts").iloc[0]
    most = lefts.loc[lefts["shift"].abs().sort_values(ascending=False).index].head(3)
    split = lefts.loc[lefts["split_shift"].abs().idxmax()]
    shifts = [f"`{row['claim']}` ({signed(row['shift'], 2)} sd)" for _, row in most.iterrows()]
    return paragraph(
        f"The 2035 total moves most without {', '.join(shifts)}. The split moves "
        f"most without `{split['claim']}`: the {split['modality'].replace('_', '-')} share goes from "
        f"{number(100 * split['share'], 1)} to {percent(split['share_without'], 1)}. The claim that agrees least with "
        f"the rest is `{worst['claim']}`, with p = {number(worst['p'], 2)}."
    )
