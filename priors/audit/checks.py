"""The report against itself: its claims compared with each other and with arithmetic."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations, groupby, pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from postcgrp.priors.build import effective
from postcgrp.priors.errors import InputError
from postcgrp.priors.ledger.ledger import Claim, Ledger, Modality, middle

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["agrees", "differs", "ambiguous", "derived"]

USED = frozenset({"prior", "evidence"})
SUBSETS = (("moh", "acute_use"),)
MILLION = 1e6
PERCENT = {"fraction": " %", "fraction per year": " % a year"}
DECIMALS = {"fraction": 2, "fraction per year": 3}
DIRECTION = {-1: "down", 0: "no direction", 1: "up"}


@dataclass(frozen=True)
class Finding:
    """One comparison of the report with itself.

    `check` names the comparison; `status` is its outcome (`derived`: nothing is stated to compare with); `claims`
    are the ids of the claims it rests on; `expected` and `found` are its two sides, with units; `treatment` says how
    the forecast treats it.
    """

    check: str
    status: Status
    claims: tuple[str, ...]
    expected: str
    found: str
    treatment: str


class Cell(NamedTuple):
    """Where a claim stands; None: all of that dimension."""

    year: int | None = None
    region: str | None = None
    depth: str | None = None
    modality: str | None = None

    def at(self, dim: str, label: str | None) -> Cell:
        """The same place with another label of one dimension."""
        return Cell(**{**self._asdict(), dim: label})

    def __str__(self) -> str:
        """The labels, or the whole market."""
        return " ".join(str(label) for label in (*self[1:], self.year) if label is not None) or "whole market"


class Point(NamedTuple):
    """A yearly figure worked out from claims: its middle, its ends over the stated ranges, and the claims' ids."""

    year: int
    value: float
    low: float
    high: float
    ids: tuple[str, ...]


type Ends = tuple[float, float]
type Series = list[Point]


def audit(ledger: Ledger) -> tuple[Finding, ...]:
    """Every comparison that the claims of a ledger allow; one whose claims are missing is left out."""
    return tuple(finding for check in CHECKS for finding in check(ledger))


def rows(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Findings as rows, claim ids joined by a comma."""
    return [{**vars(finding), "claims": ", ".join(finding.claims)} for finding in findings]


def table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Findings as a table, one row each."""
    import pandas as pd  # half a second, which `postcgrp audit` does without

    return pd.DataFrame(rows(findings), columns=list(Finding.__dataclass_fields__))


# ---- checks --------------------------------------------------------------------------------------


def _sums(ledger: Ledger) -> Iterator[Finding]:
    """Totals of the whole market against the sum over each dimension, or what is left for the part not stated."""
    for quantity in ("revenue", "patients"):
        cells = _cells(ledger, quantity)
        for dim, names in ledger.segments.items():
            for cell, total in sorted(cells.items(), key=lambda item: item[0].year or 0):
                parts = {name: part for name in names if (part := cells.get(cell.at(dim, name)))}
                if cell == Cell(cell.year) and parts:
                    yield _sum(f"{quantity}_by_{dim}", total, parts, [name for name in names if name not in parts])


def _sum(check: str, total: Claim, parts: dict[str, Claim], missing: list[str]) -> Finding:
    low, high = (sum(_ends(part)[side] for part in parts.values()) for side in (0, 1))
    slack = _slack(total) + sum(_slack(part) for part in parts.values())
    terms = " + ".join(_ends_text(part) for part in parts.values())
    over = low > _ends(total)[1] + slack
    ids = (total.id, *(part.id for part in parts.values()))
    if missing and not over:
        rest = _text((max(_ends(total)[0] - high, 0.0), _ends(total)[1] - low), total.unit)
        absent = ", ".join(missing)
        return Finding(
            check,
            "derived",
            ids,
            f"{Cell(total.year, modality=absent)}: no figure stated",
            f"{_ends_text(total)} - ({terms}) leaves {rest}",
            f"The total enters as {total.role} in place of {absent} {total.quantity}; the derived figure is not fitted."
            if total.role in USED
            else f"The total is only compared, so no claim carries {absent} {total.quantity}.",
        )
    status: Status = "differs" if over or high < _ends(total)[0] - slack else "agrees"
    return Finding(
        check,
        status,
        ids,
        f"total {_where(total)}: {_stated(total)}",
        f"{terms} = {_text((low, high), total.unit)}",
        _sum_treatment(total, list(parts.values())),
    )


def _sum_treatment(total: Claim, parts: Sequence[Claim]) -> str:
    fitted = [part.role in USED for part in parts if middle(part)]  # a zero cannot be evidence
    if total.role in USED and all(fitted):
        return "Total and parts are all in use, which counts them twice: make one of them a check."
    if total.role in USED:
        return "The total is in use as stated; parts that are not in use are only compared."
    if any(fitted):
        return "The parts are in use as stated; the total follows from them, so it is a check and not evidence."
    return "Neither the total nor its parts are in use."


def _share_sums(ledger: Ledger) -> Iterator[Finding]:
    """Shares over one dimension against the whole, where every share is stated or those stated exceed it."""
    for quantity in ("depth_share", "revenue_share"):
        cells = _cells(ledger, quantity)
        for dim, names in ledger.segments.items():
            for base in dict.fromkeys(cell.at(dim, None) for cell in cells if getattr(cell, dim) is not None):
                shares = [share for name in names if (share := cells.get(base.at(dim, name)))]
                low, high = (sum(_ends(share)[side] for share in shares) for side in (0, 1))
                slack = sum(_slack(share) for share in shares)
                if len(shares) < len(names) and low <= 1 + slack:
                    continue
                yield Finding(
                    f"{quantity}_by_{dim}",
                    "agrees" if low - slack <= 1 <= high + slack else "differs",
                    tuple(share.id for share in shares),
                    f"shares of {base} sum to {_text((1, 1), 'fraction')}",
                    f"{' + '.join(_ends_text(share) for share in shares)} = {_text((low, high), 'fraction')}",
                    "The model normalises the shares, so they sum to one in every draw."
                    if shares[0].role in USED
                    else "The shares are only compared; they follow from figures in use.",
                )


def _stated_shares(ledger: Ledger) -> Iterator[Finding]:
    """Stated shares of revenue against the revenues of the same year."""
    revenue = _cells(ledger, "revenue")
    for cell, share in _cells(ledger, "revenue_share").items():
        part, total = revenue.get(cell), revenue.get(Cell(cell.year))
        if part is None or total is None or _ends(total)[0] <= _slack(total):
            continue
        low = (_ends(part)[0] - _slack(part)) / (_ends(total)[1] + _slack(total))
        high = (_ends(part)[1] + _slack(part)) / (_ends(total)[0] - _slack(total))
        yield Finding(
            "stated_share",
            "agrees" if _overlap((low, high), _ends(share), _slack(share)) else "differs",
            (share.id, part.id, total.id),
            f"{cell}: {_stated(share)} of revenue",
            f"{_ends_text(part)} / {_ends_text(total)} = {_percent(middle(part) / middle(total))} %",
            "The share is evidence beside the revenues, which tells the model twice: make it a check."
            if share.role in USED
            else "Only compared: the revenues carry the share.",
        )


def _growth(ledger: Ledger) -> Iterator[Finding]:
    """A stated yearly growth against the first and last revenues stated for the same segment."""
    for cell, rate in _cells(ledger, "growth_rate").items():
        stated = _years(_cells(ledger, "revenue"), cell)
        if len(stated) < 2:  # noqa: PLR2004  a rate needs two ends
            continue
        (start, first), *_, (end, last) = stated
        low = _rate(_ends(first)[1] + _slack(first), _ends(last)[0] - _slack(last), end - start)
        high = _rate(_ends(first)[0] - _slack(first), _ends(last)[1] + _slack(last), end - start)
        series = [Point(year, middle(c), *_ends(c), (c.id,)) for year, c in stated]
        at_rate = middle(first) * (1 + middle(rate)) ** (end - start)
        yield Finding(
            "growth_rate",
            "agrees" if _overlap((low, high), _ends(rate), _slack(rate)) else "differs",
            (rate.id, *(c.id for _, c in stated)),
            f"{_stated(rate)}: {end} at {at_rate:,.0f} {last.unit}",
            f"{_path(series, first.unit)}: {_rates(series)}",
            "Not used: the yearly figures are kept and a growth rate follows from them.",
        )


def _subsets(ledger: Ledger) -> Iterator[Finding]:
    """A share of patients that lies inside another one, and the conditional share that the two imply."""
    for inner_name, outer_name in SUBSETS:
        outers = _cells(ledger, outer_name)
        for cell, inner in _cells(ledger, inner_name).items():
            outer = outers.get(cell)
            if outer is None or not _ends(outer)[0] > 0:
                continue
            (low, high), (outer_low, outer_high) = _ends(inner), _ends(outer)
            if low > outer_high:
                status: Status = "differs"
            else:
                status = "agrees" if high <= outer_low else "ambiguous"
            given = (low / outer_high, min(high / outer_low, 1.0))
            yield Finding(
                f"{inner_name}_within_{outer_name}",
                status,
                (inner.id, outer.id),
                f"{cell}: {inner_name} not above {outer_name}, {_stated(outer)}",
                f"{inner_name} {_stated(inner)}"
                + ("" if status == "differs" else f", so {_text(given, 'fraction')} of those with {outer_name}"),
                f"{inner_name} is modelled as {outer_name} times a conditional share, so it never exceeds it."
                if inner.role in USED and outer.role in USED
                else "Only compared: not both are in use.",
            )


def _spend(ledger: Ledger) -> Iterator[Finding]:
    """Spend per user implied by revenue, a flat patient count and the middle of the adoption ranges."""
    for modality in ledger.modalities:
        adopted = modality.uptake == "adoption"
        series = _spend_per_user(ledger, modality)
        if not series:
            continue
        yield Finding(
            f"spend_per_{'adopter' if adopted else 'patient'}",
            "derived",
            _ids(series),
            f"{modality.name}: no figure stated; constant if {'adoption' if adopted else 'patients'} alone "
            "carried the revenue",
            f"{ledger.report.currency} {_path(series, '')} per user and year at a flat patient count"
            + (f": {_rates(series)}" if len(series) > 1 else ""),
            "Spend per user has its own prior and growth; revenue in evidence and the uptake decide the split.",
        )


def _premium(ledger: Ledger) -> Iterator[Finding]:
    """A region's share of value against its share of patients: spend per patient relative to all other regions."""
    signs = {_cell(claim): claim for claim in ledger.claims if claim.quantity == "intensity_direction"}
    for cell, share in _cells(ledger, "revenue_share").items():
        count, total = _patients(ledger, cell.year, cell.region), _patients(ledger, cell.year)
        if cell != Cell(cell.year, cell.region) or cell.region is None or count is None or total is None:
            continue
        if not (0 < count.value < total.value and _ends(share)[0] > 0 and _ends(share)[1] < 1):
            continue
        patients = count.value / total.value
        low, high = (_odds(end) / _odds(patients) for end in _ends(share))
        times = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"
        sign = signs.get(Cell(region=cell.region))
        yield Finding(
            "region_premium",
            _side(low - 1, high - 1, sign.value or 0.0) if sign else "derived",
            (share.id, *count.ids, *total.ids, *((sign.id,) if sign else ())),
            f"{cell.region}: {_text((patients, patients), 'fraction')} of value if every patient cost the same"
            + (f"; intensity said to be {_direction(sign)}" if sign else ""),
            f"{_stated(share)} of value: spend per patient {times} times that of all others",
            "The share is evidence on the regional premium, whose prior is an assumption."
            if share.role in USED
            else "Only compared: the regional premium rests on its prior, an assumption.",
        )


def _region_lists(ledger: Ledger) -> Iterator[Finding]:
    """The lists of regions in the report against the regions that the ledger declares."""
    lists = [claim for claim in ledger.claims if claim.quantity == "region_list"]
    if not lists:
        return
    wordings = [_wordings(ledger, claim) for claim in lists]
    complete = [words for words in wordings if all(words)]
    counts = {middle(claim) for claim in lists} | {len(ledger.regions)}
    if len(counts) > 1 or len(set(wordings)) > 1:
        status: Status = "differs"
    else:
        status = "agrees" if complete else "ambiguous"
    told = (
        f"{claim.id}: {middle(claim):g}" + (f" ({', '.join(words)})" if all(words) else "")
        for claim, words in zip(lists, wordings, strict=True)
    )
    yield Finding(
        "region_lists",
        status,
        tuple(claim.id for claim in lists),
        f"{len(ledger.regions)} regions: {', '.join(ledger.segments['region'])}",
        "; ".join(told),
        "The forecast uses the regions that come with patient counts; other lists serve only for directions.",
    )


def _wordings(ledger: Ledger, claim: Claim) -> tuple[str, ...]:
    """The longest of each region's names that stands in a claim's quote, empty where none does."""

    def longest(names: Iterable[str]) -> str:
        there = [name for name in names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", claim.quote)]
        return max(there, key=len, default="")

    return tuple(longest((region.name, *region.aliases)) for region in ledger.regions)


def _adoption_restated(ledger: Ledger) -> Iterator[Finding]:
    """Adoption of a modality against the treatment action of the same name and year."""
    for modality in _adopted(ledger):
        actions = _cells(ledger, "treatment_action", modality.name)
        for cell, adoption in _cells(ledger, "adoption").items():
            action = actions.get(cell)
            if cell.modality != modality.name or action is None:
                continue
            slack = _slack(adoption) + _slack(action)
            same = all(abs(a - b) <= slack / 2 for a, b in zip(_ends(adoption), _ends(action), strict=True))
            yield Finding(
                "adoption_restated",
                "agrees" if same else "differs",
                (adoption.id, action.id),
                f"adoption, {cell}: {_stated(adoption)}",
                f"as a treatment action: {_stated(action)}",
                f"Adoption is read as users of {modality.name} only.",
            )


def _adoption_scope(ledger: Ledger) -> Iterator[Finding]:
    """Whether adoption counts users of launched modalities in years when these are sold and no other claim says."""
    launched = {m.name for m in ledger.modalities if m.uptake == "launch"}
    sold = [c for c in _cells(ledger, "revenue").values() if c.modality in launched and middle(c) > 0]
    users = _launched_users(ledger)
    for modality in _adopted(ledger):
        actions = _cells(ledger, "treatment_action", modality.name)
        adoption = {c.year: c for cell, c in _cells(ledger, "adoption").items() if cell.modality == modality.name}
        beside = [c for c in sold if c.year in adoption]
        if not beside:
            continue
        told = {cell.year for cell in actions}
        open_years = [year for year in adoption if year not in told and any(c.year == year for c in beside)]
        shown = [
            f"{year}: from {_percent(middle(adoption[year]))} to {_percent(middle(adoption[year]) - users[year])} %"
            for year in open_years
            if year in users
        ]
        rest = "; a year's assumed procedures inside would lower the middle of the range, " + ", ".join(shown)
        names = ", ".join(sorted({str(c.modality) for c in beside}))
        yield Finding(
            "adoption_scope",
            "ambiguous" if open_years else "agrees",
            tuple(c.id for c in (*adoption.values(), *actions.values(), *beside)),
            f"adoption of {modality.name} alone",
            f"{', '.join(str(year) for year in open_years)}: not said whether users of {names} are counted"
            + (rest if shown else "")
            if open_years
            else f"every year in which {names} is sold has its own claim on {modality.name}",
            f"Adoption is read as users of {modality.name} only; {names} has an uptake of its own.",
        )


def _launched_users(ledger: Ledger) -> dict[int, float]:
    """Patients with a launched procedure in a year, fraction of all, at the medians of the assumed uptake."""
    shares = {c.depth: middle(c) for c in _cells(ledger, "depth_share").values() if c.role == "prior"}
    users: dict[int, float] = {}
    try:
        pset = effective(ledger)
        for modality in pset.modalities("launch"):
            priors = pset.blocks[pset.own("launch_level", modality)].priors
            eligible = sum(
                shares[depth] * pset.number("eligible_share", depth=depth, modality=modality.name)
                for depth in ledger.segments["depth"]
            )
            for year, prior in zip(pset.launch_anchors(modality.name), priors, strict=True):
                users[year] = users.get(year, 0.0) + eligible * float(prior.quantile(0.5))
    except (InputError, KeyError):  # an illustration: a ledger without the assumptions is audited without it
        return {}
    return users


def _restated(ledger: Ledger) -> Iterator[Finding]:
    """Claims that say the same quantity again, perhaps more loosely, against the one in use or the closed one."""

    def key(claim: Claim) -> str:
        return "|".join(str(part) for part in (claim.quantity, claim.item, claim.unit, *_cell(claim)[1:]))

    numbers = sorted((c for c in ledger.claims if c.unit not in ("sign", "count")), key=key)
    for _, group in groupby(numbers, key):
        claims = sorted(group, key=lambda c: (c.role not in USED, c.value is None and None in (c.low, c.high)))
        for k, claim in enumerate(claims):
            same = [c for c in claims[:k] if claim.year == c.year or claim.year is None or c.year is None]
            if len({c.year for c in same}) != 1:
                continue
            reference = same[0]
            slack = _slack(claim) + _slack(reference)
            (low, high), (inner_low, inner_high) = _ends(claim), _ends(reference)
            if low - slack <= inner_low and inner_high <= high + slack:
                status: Status = "agrees"
            else:
                status = "ambiguous" if _overlap((low, high), (inner_low, inner_high), slack) else "differs"
            yield Finding(
                f"{claim.quantity}_restated",
                status,
                (reference.id, claim.id),
                f"{_where(reference)}: {_stated(reference)}",
                f"said again: {_stated(claim)}",
                _restated_treatment(reference, claim),
            )


def _restated_treatment(reference: Claim, claim: Claim) -> str:
    if claim.role in USED:
        return "Both are in use, which tells the model twice: make one of them a check."
    if reference.role in USED:
        return f"{reference.id} is in use; {claim.id} is only compared."
    return "Neither is in use."


def _overlapping_actions(ledger: Ledger) -> Iterator[Finding]:
    """Shares of patients by treatment action against the whole."""
    actions = [c for c in ledger.claims if c.quantity == "treatment_action" and _closed(c)]
    for base in dict.fromkeys(_cell(c).at("modality", None) for c in actions):
        group = [c for c in actions if _cell(c).at("modality", None) == base]
        low, high = (sum(_ends(c)[side] for c in group) for side in (0, 1))
        fitted = [c.id for c in group if c.role in USED]
        yield Finding(
            "treatment_action_overlap",
            "ambiguous" if low > 1 + sum(_slack(c) for c in group) else "agrees",
            tuple(c.id for c in group),
            f"{base}: at most {_text((1, 1), 'fraction')} if no patient had two actions",
            f"{len(group)} actions sum to {_text((low, high), 'fraction')}",
            f"In use: {', '.join(fitted)}." if fitted else "Not used: actions overlap and none comes with a spend.",
        )


def _directions(ledger: Ledger) -> Iterator[Finding]:
    """Directions that the report gives in words against the figures that it gives for the same thing."""
    for claim in ledger.claims:
        measure = MEASURED.get(claim.quantity)
        series = measure(ledger, claim) if measure and claim.region is None and claim.depth is None else []
        if claim.unit != "sign" or not claim.value or len(series) < 2:  # noqa: PLR2004  a change needs two ends
            continue
        change = series[-1].value - series[0].value
        path = ", ".join(f"{_percent(point.value)} % in {point.year}" for point in series)
        yield Finding(
            claim.quantity,
            _side(change, change, claim.value),
            (claim.id, *_ids(series)),
            f"{claim.modality or 'whole market'}: {_direction(claim)}",
            f"{MEASURED_AS[claim.quantity]}: {path}",
            "A direction in words: the figures carry it and it is not fitted again.",
        )


def _contradictions(ledger: Ledger) -> Iterator[Finding]:
    """Directions of one quantity that differ although they speak of the same segment, or of all and of a part."""
    signs = [claim for claim in ledger.claims if claim.unit == "sign"]
    for quantity in dict.fromkeys(claim.quantity for claim in signs):
        pairs = combinations([claim for claim in signs if claim.quantity == quantity], 2)
        clash = [pair for pair in pairs if pair[0].value != pair[1].value and _nested(_cell(pair[0]), _cell(pair[1]))]
        claims = list(dict.fromkeys(claim for pair in clash for claim in pair))
        if not claims:
            continue
        fitted = [claim.id for claim in claims if claim.role in USED]
        yield Finding(
            f"{quantity}_contradiction",
            "ambiguous",
            tuple(claim.id for claim in claims),
            "one direction",
            "; ".join(f"{_where(claim)} {_direction(claim)}: “{claim.quote.strip('“”')}”" for claim in claims),
            f"In use: {', '.join(fitted)}."
            if fitted
            else "None is fitted; where a prior takes its sign from one, the assumptions' ledger quotes it.",
        )


def _adopted(ledger: Ledger) -> list[Modality]:
    return [modality for modality in ledger.modalities if modality.uptake == "adoption"]


# ---- series worked out from claims ---------------------------------------------------------------


def _revenue(ledger: Ledger, modality: str) -> Series:
    """Revenue of a modality by year (USD million), derived from the total where it alone is not stated."""
    cells = _cells(ledger, "revenue")
    series = []
    for year in sorted({cell.year for cell in cells if cell.year is not None}):
        own, total = cells.get(Cell(year, modality=modality)), cells.get(Cell(year))
        others = [cells.get(Cell(year, modality=m)) for m in ledger.segments["modality"] if m != modality]
        if own is not None:
            series.append(Point(year, middle(own), *_ends(own), (own.id,)))
        elif total is not None and all(others):
            stated = [other for other in others if other is not None]
            value = middle(total) - sum(middle(c) for c in stated)
            low, high = (_ends(total)[side] - sum(_ends(c)[1 - side] for c in stated) for side in (0, 1))
            series.append(Point(year, value, low, high, (total.id, *(c.id for c in stated))))
    return series


def _spend_per_user(ledger: Ledger, modality: Modality) -> Series:
    """Spend per user and year of a modality that everyone uses or that has adoption claims; empty for a launch."""
    adoption = _cells(ledger, "adoption")
    series = []
    for revenue in _revenue(ledger, modality.name):
        patients, used = _patients(ledger, revenue.year), adoption.get(Cell(revenue.year, modality=modality.name))
        ids: tuple[str, ...] = ()
        if modality.uptake == "everyone":
            share, ends = 1.0, (1.0, 1.0)
        elif modality.uptake == "adoption" and used is not None:
            share, ends, ids = middle(used), _ends(used), (used.id,)
        else:
            continue
        if patients is None or not (patients.value > 0 and ends[0] > 0 and revenue.value > 0):
            continue
        scale = MILLION / patients.value
        figures = (revenue.value / share * scale, revenue.low / ends[1] * scale, revenue.high / ends[0] * scale)
        series.append(Point(revenue.year, *figures, (*revenue.ids, *ids, *patients.ids)))
    return series


def _patients(ledger: Ledger, year: int | None, region: str | None = None) -> Point | None:
    """The patient count nearest before a year (the first one otherwise), of a region or of all."""
    cells = _cells(ledger, "patients")
    counts: dict[int, list[Claim]] = {}
    for cell, claim in cells.items():
        if cell.year is not None and cell == Cell(cell.year, region):
            counts[cell.year] = [claim]
    if region is None:
        for known in {cell.year for cell in cells if cell.year is not None}:
            regions = [cells.get(Cell(known, name)) for name in ledger.segments["region"]]
            if known not in counts and all(regions):
                counts[known] = [claim for claim in regions if claim is not None]
    if not counts:
        return None
    before = [known for known in counts if year is not None and known <= year]
    known = max(before) if before else min(counts)
    low, high = (sum(_ends(c)[side] for c in counts[known]) for side in (0, 1))
    return Point(known, sum(middle(c) for c in counts[known]), low, high, tuple(c.id for c in counts[known]))


def _adoption_path(ledger: Ledger, claim: Claim) -> Series:
    stated = _years(_cells(ledger, "adoption"), Cell(modality=claim.modality))
    return [Point(year, middle(c), *_ends(c), (c.id,)) for year, c in stated]


def _mix_path(ledger: Ledger, claim: Claim) -> Series:
    totals = {cell.year: c for cell, c in _cells(ledger, "revenue").items() if cell == Cell(cell.year)}
    parts = _revenue(ledger, claim.modality) if claim.modality else []
    series = []
    for part in parts:
        total = totals.get(part.year)
        if total is not None and middle(total) > 0:
            share = part.value / middle(total)
            series.append(Point(part.year, share, share, share, tuple(dict.fromkeys((*part.ids, total.id)))))
    return series


def _spend_growth_path(ledger: Ledger, claim: Claim) -> Series:
    modality = next((m for m in ledger.modalities if m.name == claim.modality), None)
    series = _spend_per_user(ledger, modality) if modality else []
    rates = ((a, b, _rate(a.value, b.value, b.year - a.year)) for a, b in pairwise(series))
    return [Point(b.year, rate, rate, rate, (*a.ids, *b.ids)) for a, b, rate in rates]


MEASURED: dict[str, Callable[[Ledger, Claim], Series]] = {
    "adoption_trend_direction": _adoption_path,
    "mix_direction": _mix_path,
    "intensity_growth_direction": _spend_growth_path,
}
MEASURED_AS = {
    "adoption_trend_direction": "adoption, middle of the range",
    "mix_direction": "share of revenue",
    "intensity_growth_direction": "yearly growth of spend per user up to the year",
}


# ---- reading and writing claims ------------------------------------------------------------------


def _closed(claim: Claim) -> bool:
    return claim.value is not None or None not in (claim.low, claim.high)


def _cell(claim: Claim) -> Cell:
    return Cell(claim.year, claim.region, claim.depth, claim.modality)


def _cells(ledger: Ledger, quantity: str, item: str | None = None) -> dict[Cell, Claim]:
    """Points and closed ranges of a quantity by cell; where two claims share one, the one in use."""
    found = [c for c in ledger.claims if (c.quantity, c.item) == (quantity, item) and _closed(c)]
    cells: dict[Cell, Claim] = {}
    for claim in sorted(found, key=lambda c: c.role not in USED):
        cells.setdefault(_cell(claim), claim)
    return cells


def _years(cells: dict[Cell, Claim], cell: Cell) -> list[tuple[int, Claim]]:
    """The positive claims of one segment by year."""
    return sorted(
        (
            (year, claim)
            for (year, *segment), claim in cells.items()
            if year is not None and segment == list(cell[1:]) and _ends(claim)[0] > _slack(claim)
        ),
        key=lambda pair: pair[0],
    )


def _ends(claim: Claim) -> Ends:
    if claim.value is not None:
        return claim.value, claim.value
    return (
        -float("inf") if claim.low is None else claim.low,
        float("inf") if claim.high is None else claim.high,
    )


def _slack(claim: Claim) -> float:
    """Half a unit of the last digit stated."""
    numbers = [n for n in (claim.value, claim.low, claim.high) if n is not None]
    digits = [-int(Decimal(repr(float(n))).normalize().as_tuple().exponent) for n in numbers]
    # Trailing zeros are lost in a float: whole numbers count as exact to the unit, percentages to the percent.
    return 0.5 * 10.0 ** -max(*digits, DECIMALS.get(claim.unit, 0))


def _overlap(one: Ends, other: Ends, slack: float) -> bool:
    return one[0] <= other[1] + slack and other[0] <= one[1] + slack


def _nested(one: Cell, other: Cell) -> bool:
    return all(a == b or None in (a, b) for a, b in zip(one, other, strict=True))


def _side(low: float, high: float, sign: float) -> Status:
    """Whether a change between `low` and `high` goes the way of a sign."""
    ends = {(end > 0) - (end < 0) for end in (low, high)}
    if ends == {(sign > 0) - (sign < 0)}:
        return "agrees"
    return "ambiguous" if len(ends) > 1 else "differs"


def _odds(share: float) -> float:
    return share / (1 - share)


def _rate(first: float, last: float, years: int) -> float:
    return float((last / first) ** (1 / years) - 1)


def _rates(series: Series) -> str:
    first, last = series[0], series[-1]
    whole = f"{_percent(_rate(first.value, last.value, last.year - first.year))} % a year"
    steps = [f"{_percent(_rate(a.value, b.value, b.year - a.year))} % to {b.year}" for a, b in pairwise(series)]
    return whole + (f" ({', '.join(steps)})" if len(steps) > 1 else "")


def _path(series: Series, unit: str) -> str:
    """Figures by year; those worked out (no unit of a claim) to three digits, with their ends."""

    def figure(point: Point) -> str:
        numbers = [n if unit else float(f"{n:.3g}") for n in (point.value, point.low, point.high)]
        value, low, high = (f"{n:,.10g}" for n in numbers)
        return value if low == high else f"{value} ({low} to {high})"

    path = ", ".join(f"{figure(point)} in {point.year}" for point in series)
    return f"{path} {unit}".rstrip()


def _ids(series: Series) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for point in series for name in point.ids))


def _percent(share: float) -> str:
    return f"{100 * share:.3g}"


def _number(number: float, unit: str) -> str:
    return _percent(number) if unit in PERCENT else f"{number:,.10g}"


def _text(ends: Ends, unit: str) -> str:
    low, high = (_number(end, unit) for end in ends)
    return (low if low == high else f"{low} to {high}") + PERCENT.get(unit, f" {unit}")


def _ends_text(claim: Claim) -> str:
    return _text(_ends(claim), claim.unit).removesuffix(f" {claim.unit}")


def _stated(claim: Claim) -> str:
    if _closed(claim):
        return _text(_ends(claim), claim.unit)
    end = middle(claim)
    return f"{'at least' if claim.high is None else 'at most'} {_text((end, end), claim.unit)}"


def _where(claim: Claim) -> str:
    return str(_cell(claim))


def _direction(claim: Claim) -> str:
    value = claim.value or 0.0
    return DIRECTION[(value > 0) - (value < 0)]


CHECKS: tuple[Callable[[Ledger], Iterator[Finding]], ...] = (
    _sums,
    _share_sums,
    _stated_shares,
    _growth,
    _subsets,
    _spend,
    _premium,
    _region_lists,
    _adoption_restated,
    _adoption_scope,
    _restated,
    _overlapping_actions,
    _directions,
    _contradictions,
)
