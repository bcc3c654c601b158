"""Evidence from files: how people write CSV, what each source's error does, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postcgrp.models import build_model
from postcgrp.models.simulator import simulate
from postcgrp.priors import Evidence, InputError, Ledger, PriorSet
from postcgrp.priors.evidence_file import COLUMNS, read_evidence, template
from postcgrp.priors.sets import prior_set

HEADER = ",".join(COLUMNS)
ROW = "actuals,revenue,2026,,,,455,USD million,,"
EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def read(pset: PriorSet, folder: Path, content: str | bytes) -> tuple[Evidence, ...]:
    path = folder / "rows.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_evidence(path, pset.ledger, pset.trust)


def joined(pset: PriorSet, rows: tuple[Evidence, ...]) -> PriorSet:
    return pset.with_evidence([*pset.evidence, *rows])


@pytest.mark.parametrize(
    "content",
    {
        "plain": f"{HEADER}\n{ROW}\n",
        "carriage returns": f"{HEADER}\r\n{ROW}\r\n",
        "byte order mark": b"\xef\xbb\xbf" + f"{HEADER}\r\n{ROW}\r\n".encode(),
        "Unicode text": f"{HEADER}\r\n{ROW}\r\n".replace(",", "\t").encode("utf-16"),
        "semicolons": f"{HEADER}\n{ROW}\n".replace(",", ";"),
        "semicolons and decimal comma": f"{HEADER};\n{ROW};\n".replace(",", ";").replace("455", "455,0"),
        "a hint": f"sep=;\n{HEADER}\n{ROW}\n".replace(",", ";"),
        "blank lines and cells": f"{HEADER},,\n\n,,,,,,,,,,,\n{ROW},,\n,,,\n",
        "another order, fewer columns": "year,value,unit,quantity,source\n2026,455,USD million,revenue,actuals\n",
        "capitals and blanks": f"{HEADER.upper()}\n actuals , revenue,2026.0,,,, 455 ,USD million,,\n",
        "grouped thousands": f"{HEADER}\n{ROW.replace('455', chr(34) + '0,000,455.0' + chr(34))}\n",
        "quoted note": f'{HEADER}\n{ROW}"filings, added up"\n',
    }.items(),
    ids=lambda item: item[0],
)
def test_files_as_spreadsheets_save_them(pset: PriorSet, tmp_path: Path, content: tuple[str, str | bytes]) -> None:
    (row,) = read(pset, tmp_path, content[1])
    assert (row.source, row.quantity, row.year, row.value) == ("actuals", "revenue", 2026, 455.0)
    assert row.cell == ("revenue", 2026, None, None, None)
    assert row.log_sd == 0.02  # what the kind of source says
    assert joined(pset, (row,)).sources == ("smr", "actuals")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty: `postcgrp evidence template`"),
        ("\n\n", "is empty"),
        (b"PK\x03\x04", "is a workbook, not a CSV file: save it as CSV UTF-8"),
        (f"{HEADER}\n", "has a header and no rows"),
        ("source;quantity;year;value\nx", "column 'unit' is missing"),
        (HEADER.replace("unit", "units") + "\n" + ROW, "column 'units' is not known: write 'unit'"),
        (HEADER + ",colour\n" + ROW, "column 'colour' is not known: remove it"),
        (HEADER + ",year\n" + ROW + ",", "column 'year' stands 2 times: keep one"),
        (f"{HEADER}\n{ROW},x", "line 2: has 11 cells, but the header has 10"),
        (f"{HEADER}\nactuals,revenue,2026", "line 2: has 3 cells, but the header has 10"),
        (f'{HEADER}\n{ROW}"open', "line 2: unexpected end of data: close the quotes"),
        (f"{HEADER}\n\n{ROW}\n{ROW.replace('455', '')}", "line 4: value is empty: fill it in or delete the row"),
        (f"{HEADER}\n{ROW.replace('2026', '2026.5')}", "line 2: year = 2026.5: is not whole"),
        (f"{HEADER}\n{ROW.replace('2026', '2036')}", "year 2036 is outside 2025..2035"),
        (f"{HEADER}\n{ROW.replace('455', 'many')}", "value = 'many': is not a number"),
        (f"{HEADER}\n{ROW.replace('455', '-455')}", "value = -455 has no logarithm: evidence must be above zero"),
        (f"{HEADER}\n{ROW.replace('455', 'nan')}", "value = nan has no logarithm"),
        (f"{HEADER};\n{ROW}".replace(",", ";").replace("455", "1.455"), "may be 1455 or 1.455: write it without"),
        (f"{HEADER}\n{ROW.replace('455', chr(34) + '1,455' + chr(34))}", "may be 1455 or 1.455: write it without"),
        (f"{HEADER}\n{ROW.replace('USD million', 'EUR million')}", "unit 'EUR million': evidence on revenue is in"),
        (f"{HEADER}\n{ROW.replace('revenue', 'profit')}", "evidence on 'profit', but the model observes revenue"),
        (
            f"{HEADER}\n{ROW.replace('actuals', 'hearsay')}",
            "'hearsay' has no error model: use one of smr, vendor",
        ),
        (f"{HEADER}\nstudy,adoption,2025,,,non_invasive,11 %,fraction,,", "write percentages as fractions (0.11)"),
        (f"{HEADER}\nstudy,adoption,2025,,,non_invasive,11,fraction,,", "is a share over 1: write percentages as fr"),
        (
            f"{HEADER}\nstudy,adoption,2025,,,,0.11,fraction,,",
            "is of one that not everyone uses: name non_inv",
        ),
        (f"{HEADER}\nstudy,patients_share,2025,,,,0.5,fraction,,", "a share of all is 1: name the region, depth"),
        (f"{HEADER}\nstudy,moh,2025,,,non_invasive,0.4,fraction,,", "moh has no modality: remove it"),
        (
            f"{HEADER}\nstudy,patients,2025,Mars,,,5,patients,,",
            "'Mars' is not declared: use one of United States",
        ),
        (f"{HEADER}\nactuals,revenue,2026,,,implantable,5,USD million,,", "before its launch_year 2027"),
    ],
)
def test_a_slip_gives_one_clear_line(pset: PriorSet, tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        joined(pset, read(pset, tmp_path, content))
    said = str(caught.value)
    assert message in said, said
    assert "rows.csv" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((ROW, ROW), "stands 2 times"),
        ((ROW, ROW.replace("455", "460")), "stands 2 times"),
        ((ROW, "actuals,revenue,2026,EU5,,,500,USD million,,"), "more than the 455 of 'actuals revenue 2026'"),
        ((ROW, "actuals: other,revenue,2026,,,,900,USD million,,"), "sd apart by their own errors"),
        (("vendor,revenue,2025,,,non_invasive,4400,USD million,0.1,",), "sd apart by their own errors"),
    ],
)
def test_rows_at_odds_with_each_other(pset: PriorSet, tmp_path: Path, rows: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        joined(pset, read(pset, tmp_path, "\n".join([HEADER, *rows])))


def test_missing_files_are_one_line(pset: PriorSet, tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_evidence(path, pset.ledger, pset.trust)


def test_the_template_asks_for_values_and_takes_them(pset: PriorSet, tmp_path: Path) -> None:
    blank = template(pset.ledger)
    with pytest.raises(InputError, match="value is empty"):
        read(pset, tmp_path, blank)
    rows = read(pset, tmp_path, blank.replace(",,USD million", ",450,USD million"))
    assert [row.value for row in rows] == [450.0] * 4


def test_the_worked_examples_are_sources_of_their_own(pset: PriorSet) -> None:
    rows = [
        row
        for name in ("second_vendor", "actuals")
        for row in read_evidence(EXAMPLES / f"{name}.csv", pset.ledger, pset.trust)
    ]
    both = joined(pset, tuple(rows))
    assert both.sources == ("smr", "actuals", "vendor: second")
    assert both.source_log_sd("actuals", [2025, 2035]) == pytest.approx([0.03, 0.03])  # no drift
    names = build_model(both).named_vars
    assert {"source_error", "source_error_actuals", "source_error_vendor_second"} <= set(names)


def test_optimism_lowers_what_the_report_says(ledger: Ledger, pset: PriorSet) -> None:
    trust = pset.trust.model_copy(update={"final_log_bias": 0.2})
    with build_model(replace(pset, trust=trust)) as model:
        assert model["source_error_bias"].get_value() == pytest.approx([0.0, 0.1, 0.2])
    error = simulate(replace(pset, trust=trust), 4000, 3)["source_error"] - simulate(pset, 4000, 3)["source_error"]
    assert np.allclose(error, [0.0, 0.1, 0.2])
    assert prior_set(ledger).source_log_bias("smr", [2035]) == 0


@given(value=st.floats(0.001, 1e7), comma=st.booleans())
def test_numbers_come_back_as_they_were_written(value: float, comma: bool) -> None:
    from postcgrp.priors.evidence_file import _number

    text = f"{value:.4f}"
    assert _number("", "value", text.replace(".", ",") if comma else text, comma=comma) == float(text)
