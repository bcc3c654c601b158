"""What a user may turn without editing a ledger."""

from __future__ import annotations

from dataclasses import dataclass

ADOPTION_SCOPES = ("alone", "with_launched")
UPTAKE_SHAPES = ("even", "early", "late")


@dataclass(frozen=True)
class Settings:
    """What a user may turn without editing a ledger.

    `priors`: the name of the prior set. `coverage`: prior mass that a stated range holds (fraction). `trust`: a trust
    level named in the ledger. `adoption_scope`: whether the adoption claim counts the adopted modality `alone`, or
    `with_launched` ones too (patients who had the procedure by then). `uptake_shape`: how the rise between two anchors
    is expected to spread over the years, `even`, `early` or `late`. `leave_out`: ids of claims not to be used.
    """

    priors: str = "report"
    coverage: float = 0.9
    trust: str = "default"
    adoption_scope: str = "alone"
    uptake_shape: str = "even"
    leave_out: tuple[str, ...] = ()
