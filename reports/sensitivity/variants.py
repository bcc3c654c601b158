"""Which posteriors are asked for: shipped prior sets, a grid of settings, and claims left out together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from itertools import product
from typing import Any

from postcgrp.priors import InputError, Ledger, PriorSet, Settings, load_ledger
from postcgrp.priors.sets import apply, load_overlay, prior_set
from postcgrp.priors.shipped import shipped
from postcgrp.reports.runs.run import Run
from postcgrp.reports.sensitivity.leave_out import claim_groups, further_rows

NUMBERS = ("coverage", "vendor_build_up")  # settings that are no words
TOGETHER = "claims left out together"


@dataclass(frozen=True)
class Variant:
    """One posterior of the table: its kind, its name, and the prior set, or why there is none."""

    kind: str
    name: str
    pset: PriorSet | None
    why: str = ""

    @property
    def key(self) -> str:
        """Its name among all."""
        return f"{self.kind}: {self.name}"


def original(run: Run) -> Ledger:
    """The ledger that a run was made from, before any prior set: other sets change that one.

    A run that was made in Python may not have its files; then it is the run's own ledger.
    """
    files = [folder / name for folder in run.folders[-1:] for name in ("report.toml", "assumptions.toml")]
    return load_ledger(*files) if files and all(path.is_file() for path in files) else run.priors.ledger


def sets(ledger: Ledger, pset: PriorSet) -> list[Variant]:
    """Every shipped prior set, with the run's further evidence; one that changes what a ledger lacks has a reason."""
    out = []
    for name in shipped():
        try:
            out.append(Variant("prior set", name, prior_set(ledger, load_overlay(name), evidence=further_rows(pset))))
        except InputError as error:
            out.append(Variant("prior set", name, None, str(error)))
    return out


def together(pset: PriorSet) -> list[Variant]:
    """Claims left out together, see :func:`claim_groups`; a group that the model cannot do without has a reason."""
    return [
        Variant(TOGETHER, name, None, without) if isinstance(without, str) else Variant(TOGETHER, name, without)
        for name, without in claim_groups(pset).items()
    ]


def skipped(ledger: Ledger) -> list[str]:
    """What each shipped prior set changes that a market does not have, and so leaves out there, one sentence each."""
    of_sets = {name: apply(ledger, load_overlay(name)).skipped for name in shipped()}
    return [
        f"prior set {name} skips what this market lacks: {'; '.join(what)}" for name, what in of_sets.items() if what
    ]


def crossed(pset: PriorSet, ledger: Ledger, vary: Sequence[str]) -> list[Variant]:
    """The product of settings to vary, all others as in the run; a prior set brings its own settings.

    Parameters: `ledger`, that prior sets change; `vary`, texts `NAME=VALUE,VALUE`. Raises :class:`InputError`.
    """
    axes: dict[str, list[Any]] = {}
    for text in vary:
        name, values = parse_vary(text)
        if name in axes:
            raise InputError(f"--vary {name}: stands twice: give all of its values at once, separated by commas")
        axes[name] = values
    out = []
    for cell in product(*axes.values()) if axes else ():
        turned = dict(zip(axes, cell, strict=True))
        label = ", ".join(f"{name}={_said(value)}" for name, value in turned.items())
        if (chosen := turned.pop("priors", None)) is not None:
            made = prior_set(ledger, load_overlay(chosen), turned=turned, evidence=further_rows(pset))
        else:
            made = prior_set(pset.ledger, turned={**asdict(pset.settings), **turned}, evidence=further_rows(pset))
            made = made.with_correlations(pset.correlations)
        out.append(Variant("grid", label, made))
    return out


def parse_vary(text: str) -> tuple[str, list[Any]]:
    """A setting and its values from `NAME=VALUE,VALUE`. Raises :class:`InputError`."""
    name, _, listed = text.partition("=")
    name, values = name.strip().replace("-", "_"), [value.strip() for value in listed.split(",") if value.strip()]
    known = list(Settings.__dataclass_fields__)
    if name not in known:
        near = get_close_matches(name, known, 1)
        raise InputError(f"--vary {text!r}: {name!r} is no setting: use {near[0] if near else ', '.join(known)}")
    try:
        read = [float(value) for value in values] if name in NUMBERS else list(values)
    except ValueError:
        raise InputError(f"--vary {text!r}: {name} is a number: write {name}=0.5,0.8,0.9") from None
    if not read or len(set(read)) < len(read):
        raise InputError(f"--vary {text!r}: needs distinct values: write {name}=A,B")
    return name, [(value,) for value in read] if name == "leave_out" else read


def _said(value: Any) -> str:
    return "+".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)
