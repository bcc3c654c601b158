"""The growth bridge: how much of a change in revenue comes from patients, their mix, adoption and intensity.

Revenue of a segment (region, depth, modality) is pool x share of the pool x use x spend per treated patient. The
log-mean Divisia index (Ang 2004, Energy Policy 32, 1131; 2015, 86, 233) splits each segment's change into these four
without a remainder and whatever the order of the factors, and segments add up to any total, in every draw.

- patients: the whole pool grows; mix: patients move among regions and depths (for one region, patients and mix
  together are the growth of its own pool)
- adoption: a segment's patients use a modality more; a launch counts as adoption
- intensity: a treated patient costs more
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xarray import DataArray, Dataset, DataTree, concat

from postcgrp.inference.diagnostics import SAMPLE, diagnostics
from postcgrp.priors import InputError, PriorSet
from postcgrp.priors.catalogue import MILLION
from postcgrp.reports.forecast.summary import interval
from postcgrp.reports.runs.groups import group

Array = NDArray[np.float64]

EFFECTS = ("patients", "mix", "adoption", "intensity")
READINGS = {
    "intensity alone": "spend per treated patient added more than patients did",
    "per patient": "spend per patient (adoption, intensity and mix) added more than patients did",
}


def divisia(before: Sequence[Array], after: Sequence[Array]) -> Array:
    """Additive log-mean Divisia split of the change of a product into its factors (LMDI-I).

    Parameters: `before` and `after`, the factors, not negative, each of shape [...]. Returns [factor, ...], whose sum
    is the change of the product. If the product starts or ends at zero, the factors that are zero there share the
    change equally: the limit as they go to zero (Ang & Liu 2007, Energy Policy 35, 238). If it is zero at both ends it
    does not change. Raises :class:`ValueError` for a negative factor.
    """
    old, new = np.stack(np.broadcast_arrays(*before)), np.stack(np.broadcast_arrays(*after))
    if (old < 0).any() or (new < 0).any():
        raise ValueError("a factor is negative and has no logarithm")
    start, end = old.prod(axis=0), new.prod(axis=0)
    positive = (start > 0) & (end > 0)
    log = np.log(np.where(positive, new, 1.0)) - np.log(np.where(positive, old, 1.0))
    total = log.sum(axis=0)
    # The log mean of start and end, as start * (exp(x) - 1) / x, which subtracts no nearly equal numbers.
    mean = start * np.where(total == 0, 1.0, np.expm1(total) / np.where(total == 0, 1.0, total))
    zero = np.where(start > 0, new == 0, old == 0)
    return np.asarray(np.where(positive, mean * log, (end - start) * zero / np.maximum(zero.sum(axis=0), 1)))


def bridge(run: DataTree, pset: PriorSet, first: int | None = None, last: int | None = None) -> Dataset:
    """The bridge between two years, in millions: `change` [chain, draw, effect, region, modality], `start`, `end`.

    Parameters: `first` and `last`, by default the first and last anchor. Effects sum to `end` - `start` in every draw,
    region and modality. Raises :class:`InputError` for years that the run lacks, or in the wrong order.
    """
    years = pset.ledger.years
    first, last = first or pset.ledger.report.anchors[0], last or pset.ledger.report.anchors[-1]
    if first not in years or last not in years or first >= last:
        raise InputError(f"bridge {first}-{last}: name two years of {years[0]}..{years[-1]}, the earlier one first")
    posterior = group(run)[["patients", "use", "intensity", "revenue"]]

    def factors(year: int) -> list[DataArray]:
        at = posterior.sel(year=year, drop=True)
        pool = at["patients"].sum(("region", "depth"))
        return [pool, at["patients"] / pool, at["use"], at["intensity"] / MILLION]

    dims = (*SAMPLE, "region", "depth", "modality")
    shape = posterior["revenue"].sel(year=first, drop=True).transpose(*dims)
    old, new = ([f.broadcast_like(shape).transpose(*dims).values for f in factors(year)] for year in (first, last))
    split = DataArray(divisia(old, new), {**shape.coords, "effect": list(EFFECTS)}, ("effect", *dims))
    ends = {
        name: posterior["revenue"].sel(year=y, drop=True).sum("depth") for name, y in (("start", first), ("end", last))
    }
    return Dataset({"change": split.sum("depth").transpose(*SAMPLE, ...), **ends}).assign_attrs(first=first, last=last)


def bridge_table(bridged: Dataset, pset: PriorSet) -> pd.DataFrame:
    """The bridge of the total, each region and each modality, one row per effect; means add up, medians do not.

    Columns: `segment` (dimension and name, empty for the total), `effect` (start, those of `EFFECTS`, end), `mean`,
    `median`, `low_90`, `high_90`, in `unit`, and `share`, of the mean change.
    """
    rows = []
    for dim, name, part in _segments(bridged, pset):
        steps = _steps(part).transpose("effect", *SAMPLE)
        change = float((part["end"] - part["start"]).mean())
        draws = steps.values.reshape(steps.sizes["effect"], -1)
        figures = zip(draws.mean(axis=1), *np.quantile(draws, (0.5, 0.05, 0.95), axis=1), strict=True)
        for effect, (mean, median, low, high) in zip(steps["effect"].values, figures, strict=True):
            share = mean / change if effect in EFFECTS and change else np.nan
            row = {"mean": mean, "median": median, "low_90": low, "high_90": high, "share": share}
            rows.append({"segment": dim, "name": name, "effect": str(effect), **row})
    return pd.DataFrame(rows).assign(unit=f"{pset.ledger.report.currency} million")


def _ahead(bridged: Dataset) -> dict[str, DataArray]:
    """How much more each reading of "intensity per patient" adds than growing patient numbers [chain, draw]."""
    total = bridged["change"].sum(("region", "modality"))
    more = {
        "intensity alone": total.sel(effect="intensity"),
        "per patient": total.sel(effect=["adoption", "intensity", "mix"]).sum("effect"),
    }
    return {reading: (added - total.sel(effect="patients")).transpose(*SAMPLE) for reading, added in more.items()}


def claim(bridged: Dataset) -> pd.DataFrame:
    """The posterior probability that growth is "less about more patients and more about more intensity per patient".

    A draw agrees if in the total's bridge the one contribution exceeds that of patients. The words leave open what
    "intensity per patient" is, so both readings are given: `intensity alone` is spend per treated patient, that is
    price; `per patient` is all that makes a patient of the pool cost more: adoption, intensity and mix. If revenue
    grows, the second means that patients are less than half of growth. Returns `reading`, `meaning`,
    `probability`, its Monte-Carlo error `mcse`, and the 90 % interval of the difference in millions.
    """
    rows = []
    for reading, more in _ahead(bridged).items():
        agrees, (low, high) = more > 0, interval(more, 90)
        p, draws = float(agrees.mean()), diagnostics(agrees).ess_bulk  # for two values, the same as of their ranks
        figures = {"probability": p, "mcse": float(np.sqrt(p * (1 - p) / draws)), "low_90": low, "high_90": high}
        rows.append({"reading": reading, "meaning": READINGS[reading], **figures})
    return pd.DataFrame(rows)


def _segments(bridged: Dataset, pset: PriorSet) -> list[tuple[str, str, Dataset]]:
    """The total, every region and every modality: dimension, name and the bridge summed to it."""
    out = [("", "", bridged.sum(("region", "modality")))]
    for dim, other in (("region", "modality"), ("modality", "region")):
        out += [(dim, name, bridged.sel({dim: name}).sum(other)) for name in pset.ledger.segments[dim]]
    return out


def _steps(part: Dataset) -> DataArray:
    ends = [part[name].expand_dims(effect=[name]) for name in ("start", "end")]
    return concat([ends[0], part["change"], ends[1]], "effect", coords="minimal", compat="override", join="outer")
