"""Tables of who is exposed to what: revenue by country and company, and what each company's revenue depends on."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xarray import DataArray, concat

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.reports.exposure.split import Exposure
from postcgrp.reports.forecast.summary import INTERVALS, interval

Array = NDArray[np.float64]
NOT_THE_REPORTS = "The shares of countries and companies are assumptions of this ledger, not the report's."
LARGEST_SHOWN = 3  # countries, and companies, that the sentence names
WHOLE = "all"  # the label of a sum over modalities or parts


def country_table(exposure: Exposure, unit: str) -> pd.DataFrame:
    """Revenue by year and country, in all and by modality.

    Columns: year, country, modality, mean, median, sd, the ends of the 50, 80 and 90 % intervals, unit.
    """
    return _described(exposure.countries, "country", "modality", unit)


def company_table(exposure: Exposure, unit: str) -> pd.DataFrame:
    """Revenue by year and company, in all and by each part (a line, or a modality) in which it has a stake.

    Columns: as of the countries, with part for modality, and `p_any`, the probability that there is any revenue.
    """
    table = _described(exposure.companies, "company", "part", unit)
    held = pd.MultiIndex.from_frame(table[["company", "part"]]).isin(_stakes(exposure))
    return table[held | (table["part"] == WHOLE)].reset_index(drop=True)


def exposure_table(exposure: Exposure) -> pd.DataFrame:
    """Who is exposed to what: the share of each company's revenue that comes from each part, by year.

    Columns: year, company, part, modality, `share` (median) and its 90 % interval, `of_part` (the company's median
    share of the part's revenue). Each is over the draws in which there is such revenue; a company has no row for a year
    in which it has none in any draw.
    """
    rows = []
    for company, part in _stakes(exposure):
        own = exposure.companies.sel(company=company)
        for year in exposure.companies["year"].values:
            here = own.sel(year=year, part=part).values
            of_company = _ratio(here, own.sel(year=year).sum("part").values)
            of_part = _ratio(here, exposure.companies.sel(year=year, part=part).sum("company").values)
            if of_company.size:
                low, median, high = np.quantile(of_company, [0.05, 0.5, 0.95])
                rows.append(
                    {
                        "year": int(year),
                        "company": company,
                        "part": part,
                        "modality": exposure.modality_of[part],
                        "share": median,
                        "low_90": low,
                        "high_90": high,
                        "of_part": float(np.median(of_part)) if of_part.size else np.nan,
                    }
                )
    return pd.DataFrame(rows).sort_values("year", kind="stable", ignore_index=True)


def exposure_sentence(exposure: Exposure, unit: str) -> str:
    """The sentence that answers first: the largest countries and companies of the last year."""
    year = exposure.countries["year"].values[-1]
    countries, companies = (
        _largest(revenue.sel(year=year).sum(part), dim)
        for revenue, dim, part in ((exposure.countries, "country", "modality"), (exposure.companies, "company", "part"))
    )
    return f"Largest in {year}, {unit} (90 % interval): {countries}; {companies}. {NOT_THE_REPORTS}"


def _largest(revenue: DataArray, dim: str) -> str:
    """The labels with the largest medians of a revenue [chain, draw, dim], in words."""
    medians = revenue.median(["chain", "draw"])
    said = []
    for label in medians[dim].values[np.argsort(-medians.values)[:LARGEST_SHOWN]]:
        low, high = interval(revenue.sel({dim: label}), 90)
        said.append(f"{label} {float(medians.sel({dim: label})):,.0f} ({low:,.0f} to {high:,.0f})")
    return ", ".join(said)


def _ratio(part: Array, whole: Array) -> Array:
    """Part over whole, where there is a whole."""
    there = whole > 0
    return part[there] / whole[there]


def _stakes(exposure: Exposure) -> list[tuple[str, str]]:
    """Companies and the parts in which they have a stake, in order."""
    any_share = exposure.company_shares.any(["chain", "draw"]).transpose("company", "part")
    return [
        (str(company), str(part))
        for company in any_share["company"].values
        for part in any_share["part"].values
        if bool(any_share.sel(company=company, part=part))
    ]


def _described(revenue: DataArray, dim: str, part: str, unit: str) -> pd.DataFrame:
    """A divided revenue in numbers, one row for each year, label and part, and before the parts their sum."""
    whole = revenue.sum(part).expand_dims({part: [WHOLE]})
    both = concat([whole, revenue], part).transpose(*SAMPLE, "year", dim, part)
    draws = both.values.reshape(-1, *both.shape[2:])
    columns = {"mean": draws.mean(axis=0), "median": np.median(draws, axis=0), "sd": draws.std(axis=0, ddof=1)}
    for width in INTERVALS:
        tail = (1 - width / 100) / 2
        columns[f"low_{width}"], columns[f"high_{width}"] = np.quantile(draws, [tail, 1 - tail], axis=0)
    if dim == "company":
        columns["p_any"] = (draws > 0).mean(axis=0)
    index = pd.MultiIndex.from_product([both[name].values.tolist() for name in ("year", dim, part)])
    table = pd.DataFrame({name: values.ravel() for name, values in columns.items()}, index)
    return table.rename_axis(["year", dim, part]).reset_index().assign(unit=unit)
