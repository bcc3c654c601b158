"""What `postcgrp value` answers: the figures of each deal, its draws and its sources, written as one folder."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from postcgrp.priors import InputError
from postcgrp.priors.scenarios import Scenario
from postcgrp.reports.runs.folder import as_json, versions, write_manifest
from postcgrp.reports.runs.groups import draw_numbers
from postcgrp.reports.runs.place import check_folder, new_folder
from postcgrp.reports.runs.run import Run
from postcgrp.reports.valuation.deal import load_deal
from postcgrp.reports.valuation.figures import save_valuation
from postcgrp.reports.valuation.tables import assumptions, tornado, value_table
from postcgrp.reports.valuation.valuation import Valuation, price_all

SCHEMA = "postcgrp.value/1"
LONGEST = 80  # part of a file's name that a deal's name makes


def draws_table(priced: Sequence[Valuation]) -> pd.DataFrame:
    """One row a deal and draw: ids one-based as R's posterior package has them, value by end, and every input."""
    frames = []
    for one in priced:
        known = {
            "outcome": np.array(one.outcomes)[one.outcome],
            "npv": one.npv,
            "rnpv": one.rnpv,
            "max_bid": one.max_bid,
            "probability_of_success": one.ends.probability[:, -1],
            "npv_if_approved": one.ends.npv[:, -1],
            "peak_sales_if_approved": one.peak_sales,
            "launch": one.ends.launch,
        }
        frames.append(pd.DataFrame({"deal": one.deal.name, **draw_numbers(*one.market.sample), **known, **one.inputs}))
    return pd.concat(frames, ignore_index=True)


@dataclass(frozen=True)
class Answer:
    """What `postcgrp value` found: the deals' valuations, the table of figures, the tornado and the assumptions.

    `under`: the deals under scenarios, None where none were asked for.
    """

    priced: list[Valuation]
    table: pd.DataFrame
    tornado: pd.DataFrame
    assumptions: pd.DataFrame
    under: pd.DataFrame | None = None


def value(
    run: Run,
    deals: Sequence[str | Path],
    *,
    seed: int = 1,
    out: str | Path | None = None,
    under: Sequence[Scenario] = (),
) -> Answer:
    """Price deals given as files; where `out` is given, write the answer to that folder, whole or not at all.

    Parameters: `under`, scenarios under which they are priced too. Raises :class:`InputError` for a deal or a scenario
    that does not fit, and for a folder that cannot or must not be written.
    """
    paths = [Path(path) for path in deals]
    read = [load_deal(path) for path in paths]
    files = {file_slug(deal.name): deal.name for deal in read}
    for deal in read:
        if (other := files[file_slug(deal.name)]) != deal.name:
            raise InputError(f"deals {deal.name!r} and {other!r}: their files would have one name: rename one")
    if out is not None:
        check_folder(Path(out), SCHEMA)
    priced = price_all(run, read, seed)
    table, moves, assumed = (
        pd.concat([f(one) for one in priced], ignore_index=True) for f in (value_table, tornado, assumptions)
    )
    there = None
    if under:
        from postcgrp.reports.valuation.under import deals_under  # needs JAX, and PyMC where no program is stored

        there = deals_under(run, priced, under, seed)
    answer = Answer(priced, table, moves, assumed, there)
    if out is not None:
        _write(answer, run, paths, seed, Path(out))
    return answer


def _write(answer: Answer, run: Run, deals: Sequence[Path], seed: int, out: Path) -> None:
    provenance = {
        "schema": SCHEMA,
        **run.provenance,
        "deals": {one.deal.name: one.deal.fingerprint() for one in answer.priced},
        "seed": seed,
        "versions": versions(),
    }
    with new_folder(out) as folder:
        answer.table.to_csv(folder / "value.csv", index=False)
        answer.tornado.to_csv(folder / "tornado.csv", index=False)
        answer.assumptions.to_csv(folder / "assumptions.csv", index=False)
        if answer.under is not None:
            answer.under.to_csv(folder / "scenarios.csv", index=False)
        draws_table(answer.priced).to_csv(folder / "draws.csv", index=False)
        (folder / "value.json").write_text(_json(answer, provenance), encoding="utf-8")
        for path, one in zip(deals, answer.priced, strict=True):
            (folder / f"deal-{file_slug(one.deal.name)}.toml").write_bytes(path.read_bytes())
            figures, swings = (frame[frame["deal"] == one.deal.name] for frame in (answer.table, answer.tornado))
            target = folder / f"value-{file_slug(one.deal.name)}"
            save_valuation(one, figures, swings, target, run.recipe)
        write_manifest(provenance, folder)


def file_slug(name: str) -> str:
    """A deal's name as part of a file's name."""
    return re.sub(r"\W+", "_", name.casefold())[:LONGEST].strip("_") or "deal"


def _json(answer: Answer, provenance: dict[str, Any]) -> str:
    """The answer as JSON; what has no value is null."""

    def rows(frame: pd.DataFrame, deal: str) -> list[dict[Hashable, Any]]:
        return frame[frame["deal"] == deal].drop(columns="deal").to_dict("records")

    deals = [
        {
            "name": one.deal.name,
            "description": one.deal.description,
            "currency": one.currency,
            "figures": rows(answer.table, one.deal.name),
            "tornado": rows(answer.tornado, one.deal.name),
            "assumptions": rows(answer.assumptions, one.deal.name),
            "years": list(one.years),
            "expected_cash_flow": one.cash_flows.mean(axis=0).tolist(),
            "expected_cash_flow_if_approved": one.ends.flows[:, -1].mean(axis=0).tolist(),
        }
        for one in answer.priced
    ]
    return as_json({"provenance": provenance, "deals": deals}, indent=1) + "\n"
