"""A run's revenue divided among countries and companies, under assumed shares that are drawn with each of its draws.

The shares are assumptions of the ledger, not the report's. A country's share holds in every year and modality, a
company's in every year and region.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from xarray import DataArray, Dataset, concat

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.models import variables as v
from postcgrp.priors import InputError
from postcgrp.priors.shares import Divided, Shares, in_words_of
from postcgrp.reports.runs.run import Run

EXACT = 1e-9  # relative: how exactly parts must sum to their whole
BY_LINE = "revenue_line"  # [chain, draw, year, region, depth, line], of runs whose ledger has lines


@dataclass(frozen=True)
class Exposure:
    """Revenue of a run by country and by company, in its money.

    `countries` [chain, draw, year, country, modality]; `companies` [chain, draw, year, company, part], where a part is
    a line where the run has lines, else a modality. Each sums to the market's revenue in every draw and year.
    `country_shares` [chain, draw, region, country] and `company_shares` [chain, draw, part, company] are those by which
    it was divided. `modality_of`: the modality of each part.
    """

    countries: DataArray
    companies: DataArray
    country_shares: DataArray
    company_shares: DataArray
    modality_of: Mapping[str, str]


def divide_revenue(run: Run, shares: Shares, seed: int = 1) -> Exposure:
    """Divide a run's revenue by shares drawn once for each draw, see :func:`divide_draws`.

    After an update by weights the draws are those that :meth:`Run.read` gives, each with shares of its own.
    """
    return divide_draws(run.read([v.REVENUE, BY_LINE]), shares, seed)


def divide_draws(data: Dataset, shares: Shares, seed: int = 1) -> Exposure:
    """Divide any draws of revenue by shares drawn once for each of them.

    The same seed gives the same shares, so two sets of draws that belong together, such as a run's and those of a
    counterfactual, are divided alike. Countries and companies have streams of random numbers of their own: the shares
    of one do not change with the other's.

    Parameters: `data`, `revenue` [chain, draw, year, region, depth, modality] and, where there are lines,
    `revenue_line` [chain, draw, year, region, depth, line]. Raises :class:`InputError` for a region, modality or line
    that the shares do not divide.
    """
    of_countries, of_companies = (np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(2))
    by_region = data[v.REVENUE].sum("depth")
    regions = {str(region): (str(region), None, None) for region in by_region["region"].values}
    names = list(dict.fromkeys(country.name for country in shares.countries))
    country_shares = share_draws(shares, "region", regions, "country", names, of_countries, by_region)
    by_part, parts = _parts(data, shares)
    names = [company.name for company in shares.companies]
    company_shares = share_draws(shares, "part", parts, "company", names, of_companies, by_part)
    return Exposure(
        (by_region * country_shares).sum("region").transpose(*SAMPLE, "year", "country", "modality"),
        (by_part * company_shares).transpose(*SAMPLE, "year", "company", "part"),
        country_shares,
        company_shares,
        {part: str(whole[1]) for part, whole in parts.items()},
    )


def share_draws(
    shares: Shares,
    dim: str,
    wholes: Mapping[str, Divided],
    into: str,
    holders: Sequence[str],
    rng: np.random.Generator,
    like: DataArray,
) -> DataArray:
    """Shares of each whole [chain, draw, `dim`, `into`], zero for a holder without a part; over `into` they sum to one.

    Parameters: `wholes`, what is divided, by its label along `dim`; `holders`, the labels along `into`; `like`, an
    array with the chains and draws. Raises :class:`InputError` for a whole that nobody shares.
    """
    size = tuple(like.sizes[dim] for dim in SAMPLE)
    divided = np.zeros((*size, len(wholes), len(holders)))
    for at, whole in enumerate(wholes.values()):
        parts = shares.parts(whole)
        if not parts:
            raise InputError(
                f"{in_words_of(whole)} of this run has no shares: add them to its shares.toml, or give a file that has "
                "them with --shares (docs/exposure.md)"
            )
        means = np.array([part.share for part in parts])
        drawn = np.ones((*size, 1)) if len(parts) == 1 else rng.dirichlet(shares.concentration(whole) * means, size)
        divided[:, :, at, [holders.index(part.holder) for part in parts]] = drawn
    coords = {**{name: like[name] for name in SAMPLE}, dim: list(wholes), into: list(holders)}
    return DataArray(divided, coords, (*SAMPLE, dim, into))


def _parts(data: Dataset, shares: Shares) -> tuple[DataArray, dict[str, Divided]]:
    """Revenue [chain, draw, year, part] by line where the run has lines and else by modality, and what is divided.

    Without lines a modality is divided as such, or as its only line.
    """
    by_modality = data[v.REVENUE].sum(["region", "depth"]).rename(modality="part")
    known = {line: str(modality) for modality in by_modality["part"].values for line in shares.lines(modality)}
    pieces, wholes = [], dict[str, Divided]()
    if BY_LINE in data:
        by_line = data[BY_LINE].sum(["region", "depth"]).rename(line="part")
        for line in map(str, by_line["part"].values):
            if line not in known:
                raise InputError(
                    f"line {line!r} of this run has no shares: add [[stake]] rows and a [[split]] for it to its "
                    "shares.toml, or give a file that has them with --shares (docs/exposure.md)"
                )
            wholes[line] = (None, known[line], line)
        pieces.append(by_line)
    with_lines = list(dict.fromkeys(str(whole[1]) for whole in wholes.values()))
    rest = [modality for modality in map(str, by_modality["part"].values) if modality not in with_lines]
    for modality in rest:
        whole: Divided = (None, modality, None)
        only = shares.lines(modality)[:1]
        wholes[modality] = whole if shares.parts(whole) or not only else (None, modality, only[0])
    if rest:
        pieces.append(by_modality.sel(part=rest))
    by_part = concat(pieces, "part").transpose(*SAMPLE, "year", "part")
    for modality in with_lines:
        own = by_part.sel(part=[part for part, whole in wholes.items() if whole[1] == modality]).sum("part")
        if not np.allclose(own, by_modality.sel(part=modality), rtol=EXACT, atol=0):
            raise InputError(
                f"the lines of {modality!r} in the shares ({', '.join(shares.lines(modality))}) do not sum to its "
                "revenue in this run: give each line the modality that the ledger gives it"
            )
    return by_part, wholes
