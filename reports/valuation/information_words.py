"""What learning is worth, for readers: a table in plain words, the answer in one sentence, a folder of files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.runs.folder import versions, write_manifest
from postcgrp.reports.runs.place import check_folder, new_folder
from postcgrp.reports.valuation.information_figures import save_information

SCHEMA = "postcgrp.voi/1"


def readable(table: pd.DataFrame, unit: str) -> pd.DataFrame:
    """The columns that a reader needs, in plain words; `unit` such as "USD million".

    Studies come first, whatever they are worth: they were asked for. Parameters: `table`, of
    :func:`postcgrp.reports.valuation.information.information_table`.
    """
    table = pd.concat([table[table["kind"] == "EVPI"], table[table["kind"] == "EVSI"], table[table["kind"] == "EVPPI"]])
    shown: dict[str, Any] = {"learn": table["name"], f"worth, {unit}": table["value"], "se": table["se"]}
    if (table["kind"] == "EVSI").any():
        shown["net of cost and delay"] = table["net"]
    shown |= {"share": [f"{share:.0%}" for share in table["share"]], "measure": table["kind"]}
    shown["check"] = [text or "fine" for text in table["advice"]]
    return pd.DataFrame(shown)


def information_said(table: pd.DataFrame, unit: str) -> str:
    """One sentence on a table of worths: what is worth most, and which study pays."""
    total = table["value"].iloc[0]
    learned, studies = table[table["kind"] == "EVPPI"], table[table["kind"] == "EVSI"]
    if total <= 0:
        told = "nothing that could be learned would change the choice"
    else:
        told = f"to know everything first would be worth {short(total)} {unit}"
        single = learned[learned["learned"].map(len) == 1]
        if len(single):
            top = single.iloc[0]
            told += f", most of a single input {top['name']} ({short(top['value'])})"
    for _, study in studies.iterrows():
        verdict = "pays" if study["net"] > 0 else "does not pay"
        told += f"; the study {study['name']} {verdict}: net {short(study['net'])} {unit}"
    return f"{told}."


def save_voi(
    found: pd.DataFrame, others: Mapping[str, pd.DataFrame], unit: str, recipe: str, about: Mapping[str, Any], out: Path
) -> None:
    """Write voi.csv, the figure voi.png and .svg, the other tables by name, and a manifest, whole or not at all.

    Parameters: `found`, the table of worths; `recipe`, that the figure carries; `about`, what the manifest records.
    Raises :class:`postcgrp.priors.InputError` where `out` holds anything but an earlier answer or cannot be written.
    """
    check_folder(out, SCHEMA)
    with new_folder(out) as folder:
        found.assign(learned=found["learned"].map(" + ".join)).to_csv(folder / "voi.csv", index=False)
        for name, table in others.items():
            table.to_csv(folder / f"{name}.csv", index=False)
        save_information(found, unit, folder / "voi", recipe)
        write_manifest({"schema": SCHEMA, "versions": versions(), **about}, folder)
