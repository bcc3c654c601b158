"""The settings under which a ledger is read. Standard library only: the command line's help needs no more."""

from __future__ import annotations

from dataclasses import dataclass

ADOPTION_SCOPES = ("alone", "with_launched")
UPTAKE_SHAPES = ("even", "early", "late")
STRINGENCIES = ("base", "strict", "lenient")


@dataclass(frozen=True)
class Settings:
    """What a user may choose without editing a ledger.

    `priors`: the name of the prior set. `coverage`: the prior mass inside a stated range (fraction). `trust`: a level
    of trust that the ledger names. `adoption_scope`: whether the adoption claim counts users of the adopted modality
    `alone`, or patients `with_launched` procedures too. `uptake_shape`: how the rise between two anchors is expected to
    spread over the years, `even`, `early` or `late`. `stringency`: which shares of patients are eligible for a launched
    modality, `base`, `strict` or `lenient`. `vendor_build_up`: how strongly the report's revenue follows its own
    patients and adoption (fraction), None for the assumption's range. `leave_out`: ids of claims that are not used.
    """

    priors: str = "report"
    coverage: float = 0.9
    trust: str = "default"
    adoption_scope: str = "alone"
    uptake_shape: str = "even"
    stringency: str = "base"
    vendor_build_up: float | None = None
    leave_out: tuple[str, ...] = ()
