"""What a terminal shows: as wide as it is, what is left out named, and nothing lost when the reader leaves."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

from postcgrp.reports.cli.terminal import answer, show

TABLE = pd.DataFrame(
    {
        "quantity": [f"a quantity with a long name {k}" for k in range(12)],
        "value": [1234.5] * 12,
        "error": [0.1234] * 12,
        "unit": ["USD per treated patient-year"] * 12,
        "note": ["upfront at which the value is zero; negative: the deal loses money even free"] * 12,
    }
)


def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    show(TABLE, "A table", most=10, where="value.csv")
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_a_table_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    assert max(map(len, shown(capsys, monkeypatch, columns))) <= columns


def test_what_is_not_shown_is_named_and_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown(capsys, monkeypatch, 80)[-1] == "not shown: 2 more rows and columns note: in value.csv"
    wide = shown(capsys, monkeypatch, 200)
    assert wide[-1] == "not shown: 2 more rows: in value.csv"
    assert any("negative" in line for line in wide)
    show(TABLE, "A table")
    assert "not shown: 2 more" not in capsys.readouterr().out


def test_a_pipe_is_as_wide_as_any_table_needs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    show(TABLE, "A table")
    assert "not shown" not in capsys.readouterr().out


def test_an_answer_is_text_and_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    answer("revenue [2030] is 660")
    assert capsys.readouterr().out == "revenue [2030] is 660\n"


def test_work_goes_on_when_the_reader_leaves() -> None:
    """As with `postcgrp diagnose RUN | head -c 10`."""
    program = (
        "import sys\n"
        "from postcgrp.reports.cli.terminal import say, show\n"
        "for k in range(2000): say('a line')\n"
        "show([{'a': 1.0}], 'A table')\n"
        "print('the end', file=sys.stderr)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b"the end\n"
    assert process.returncode == 0
