"""Prior sets: small TOML overlays on the ledger, each a view that somebody could hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ValidationError

from postcgrp.priors.build import effective
from postcgrp.priors.changes import Change, Laid, fitting, ids_left_out
from postcgrp.priors.correlations import CorrelationRow, PriorCorrelation, faults
from postcgrp.priors.errors import InputError
from postcgrp.priors.evidence import Evidence
from postcgrp.priors.ledger import Ledger, Number, Row, Source, Text, Trust, checked_ledger
from postcgrp.priors.messages import InputFault, faults_in_words
from postcgrp.priors.priorset import PriorSet
from postcgrp.priors.reads import rows_read
from postcgrp.priors.settings import Settings
from postcgrp.priors.shipped import shipped
from postcgrp.priors.toml_file import FromFile, TomlFile
from postcgrp.priors.toml_lines import Location

POOL_TABLE = "member"  # what a file of sets with weights has, and a set has not


class SetSettings(Row):
    """The settings that a set changes; None leaves one as it was. See :class:`postcgrp.priors.Settings`."""

    coverage: Number | None = None
    trust: Text | None = None
    adoption_scope: Text | None = None
    uptake_shape: Text | None = None
    stringency: Text | None = None
    vendor_build_up: Number | None = None
    leave_out: tuple[Text, ...] | None = None


class Overlay(FromFile, Row):
    """One prior set: its name, the line a modeller would say for it, and what it changes.

    `any_ledger`: whether it is meant for any market: what one does not have is then skipped, and otherwise refused.
    """

    KIND: ClassVar[str] = "prior set"
    name: Text
    says: Text
    any_ledger: bool = False
    settings: SetSettings = SetSettings()
    trust: tuple[Trust, ...] = ()
    source: tuple[Source, ...] = ()
    assumption: tuple[Change, ...] = ()
    claim: tuple[Change, ...] = ()
    correlation: tuple[CorrelationRow, ...] = ()


@dataclass(frozen=True)
class Applied:
    """A set laid over a ledger: the changed ledger and settings, and what of the set the market does not have."""

    ledger: Ledger
    settings: Settings
    skipped: tuple[str, ...]


def load_overlay(name: str | Path) -> Overlay:
    """Returns a shipped set by its name, or the set of a TOML file.

    Raises :class:`InputError` with one line per fault, naming the line, the value, the rule and the way out.
    """
    path = shipped().get(str(name), Path(name))
    if not path.suffix and not path.exists():
        names = ", ".join(shipped())
        raise InputError(f"prior set {str(name)!r} is not shipped: use one of {names}, or a .toml file")
    file = TomlFile.read_versioned(path)
    if POOL_TABLE in file.content:
        raise InputError(f"{file.name}: is a pool of sets: here, name one of its members")
    try:
        return Overlay.model_validate(file.content, context=file)
    except ValidationError as error:
        raise file.error(faults_in_words(error, Overlay, file.content, guide="docs/prior-sets.md")) from None


def apply(ledger: Ledger, overlay: Overlay) -> Applied:
    """Returns a ledger as changed by a set, with the settings that the set brings.

    Raises :class:`InputError`, with every fault, for a change to what the ledger does not have, or to what no model of
    it takes; a set for any ledger skips such a change instead.
    """
    result, wrong, missing = _laid(ledger, overlay)
    settings = {key: value for key, value in overlay.settings.model_dump().items() if value is not None}
    skipped = [_reason(fault) for fault in missing]
    if overlay.any_ledger and wrong and all(fault.at for fault in wrong):
        rest = apply(ledger, _without(overlay, [fault.at for fault in wrong]))
        return replace(rest, skipped=(*map(_reason, wrong), *rest.skipped))
    if result is None or (missing and not overlay.any_ledger):
        raise overlay.error([*wrong, *missing])
    if overlay.any_ledger:
        settings, unfit = fitting(result, settings)
        skipped += unfit
    return Applied(result, replace(Settings(), priors=overlay.name, **settings), tuple(dict.fromkeys(skipped)))


def _reason(fault: InputFault) -> str:
    """Returns what a fault says without its way out, of which there is no need where the change is skipped."""
    return fault.text.rpartition(": ")[0] or fault.text


def _laid(ledger: Ledger, overlay: Overlay) -> tuple[Ledger | None, list[InputFault], list[InputFault]]:
    """Returns the changed ledger, what is wrong with its rows, and which changes it has nothing for, by change."""
    laid, missing = Laid(ledger, overlay.name), list[InputFault]()
    for table, changes in (("assumption", overlay.assumption), ("claim", overlay.claim)):
        for k, change in enumerate(changes):
            try:
                laid.change(table, k, change)
            except InputError as error:
                missing += [InputFault((table, k), fault) for fault in error.faults]
    levels = {row.level: row for row in (*ledger.trust, *overlay.trust)}
    kinds = {row.kind: row for row in (*ledger.sources, *overlay.source)}
    changed = ledger.model_dump() | {
        "assumptions": [row.model_dump() for row in laid.assumptions],
        "claims": [row.model_dump() for row in laid.claims],
        "trust": [row.model_dump() for row in levels.values()],
        "sources": [row.model_dump() for row in kinds.values()],
    }
    result, faults = checked_ledger(changed)
    # A change of several rows makes one mistake in each of them: the first is said.
    wrong = {at: InputFault(at, fault.text) for fault in reversed(faults) for at in [_change_of(laid, fault)]}
    if result is not None:
        read = {("assumptions", k) for k in rows_read(result)} | {("claims", k) for k in range(len(result.claims))}
        missing += [
            InputFault(
                at, f"assumption {overlay.assumption[int(at[1])].id!r}, here, is one that no model takes: remove it"
            )
            for at, rows in laid.touched.items()
            if not rows & read
        ]
    return result, list(wrong.values()), missing


def _change_of(laid: Laid, fault: InputFault) -> Location:
    """Returns the last change that touched the row at fault; the whole set if none did."""
    changes = [at for at, rows in laid.touched.items() if fault.at[:2] in rows]
    return changes[-1] if changes else ()


def _without(overlay: Overlay, changes: Sequence[Location]) -> Overlay:
    rows = {table: getattr(overlay, table) for table in ("assumption", "claim")}
    kept = {table: tuple(c for k, c in enumerate(all_) if (table, k) not in changes) for table, all_ in rows.items()}
    return overlay.model_copy(update=kept)


def prior_set(
    ledger: Ledger,
    overlay: Overlay | None = None,
    *,
    turned: Mapping[str, Any] | None = None,
    evidence: Sequence[Evidence] = (),
) -> PriorSet:
    """Returns the effective priors and evidence of a ledger under a set.

    Parameters: `turned`, settings that override the set's; `evidence`, rows beside the report's. Raises
    :class:`InputError`.
    """
    settings = Settings()
    if overlay is not None:
        applied = apply(ledger, overlay)
        ledger, settings = applied.ledger, applied.settings
    settings = replace(settings, **(turned or {}))
    settings = replace(settings, leave_out=ids_left_out(ledger, settings.leave_out))
    pset = effective(ledger, settings)
    if overlay is not None and overlay.correlation:
        pset = replace(pset, correlations=_correlations(pset, overlay))
    return pset.with_evidence([*pset.evidence, *evidence]) if evidence else pset


def _correlations(pset: PriorSet, overlay: Overlay) -> tuple[PriorCorrelation, ...]:
    """Returns the correlations of a set. Raises :class:`InputError` with every row that its priors cannot have."""
    rows = tuple(
        PriorCorrelation(*row.between, row.value, row.source or f"prior set {overlay.name}", row.reason)
        for row in overlay.correlation
    )
    if wrong := [InputFault(("correlation", k), text) for k, text in faults(pset.priors, rows)]:
        raise overlay.error(wrong)
    return rows
