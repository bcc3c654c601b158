"""What the folder imports, and when: a command waits for what it uses only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import postcgrp.priors as package

HEAVY = ("numpy", "pandas", "pydantic", "scipy", "xarray")


@pytest.mark.fit
@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        (
            "import postcgrp.priors.shipped as s; postcgrp.priors.InputError, postcgrp.priors.Settings, s.shipped()",
            set(),
        ),
        ("postcgrp.priors.load_ledger()", {"pydantic"}),
        ("import postcgrp.priors.audit as a; a.findings_rows(a.audit(postcgrp.priors.load_ledger()))", {"pydantic"}),
        ("postcgrp.priors.effective(postcgrp.priors.load_ledger())", {"numpy", "pydantic"}),
    ],
    ids=["settings", "ledger", "audit", "priors"],
)
def test_a_step_imports_what_it_uses_only(code: str, loaded: set[str]) -> None:
    code = f"import sys, postcgrp.priors; {code}; print(*sys.modules.keys() & {set(HEAVY)!r})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(result.stdout.split()) == loaded


def test_every_public_name_is_found_and_hides_no_module() -> None:
    assert all(getattr(package, name).__name__ == name for name in package.__all__)
    (folder,) = package.__path__
    assert not set(package.__all__) & {path.stem for path in Path(folder).iterdir()}
    wrong = "Priors"
    with pytest.raises(AttributeError, match="no attribute 'Priors'"):
        getattr(package, wrong)
