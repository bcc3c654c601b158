"""Evidence from files: how people write CSV, what each source's error does, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from postcgrp.models import build_model
from postcgrp.models.inputs import arrays
from postcgrp.models.simulator import simulate
from postcgrp.priors import Evidence, InputError, Ledger, PriorSet
from postcgrp.priors.catalogue import DATES
from postcgrp.priors.evidence_file import EVIDENCE_COLUMNS, read_evidence, template
from postcgrp.priors.sets import prior_set
from postcgrp.tests.helpers.paths import EXAMPLES

HEADER = "source,quantity,year,region,depth,modality,value,unit,log_sd,note"
ROW = "actuals,revenue,2026,,,,455,USD million,,"


def read(pset: PriorSet, folder: Path, content: str | bytes) -> tuple[Evidence, ...]:
    path = folder / "rows.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_evidence([path], pset.ledger, pset.trust)


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
        "a note of two lines": f'{HEADER}\r\n{ROW}"filings,\nadded up"\r\n',
        "old Macintosh": f"{HEADER}\r{ROW}\r",
        "empty cells left away": f"{HEADER}\n{ROW[:-2]}\n",  # as Excel does at the end of a row
        "row numbers of R": f'"",{HEADER}\n"1",{ROW}\n',
        "row numbers of R, with no heading over them": f'{HEADER}\n"1",{ROW}\n',
        "row numbers of pandas": f",{HEADER}\n0,{ROW}\n",
        "NA of R": f"{HEADER}\n{ROW.replace(',,,,455', ',NA,NA,NA,455').replace('million,,', 'million,NA,')}\n",
        "R's write.csv2": f'"";{HEADER};\n"1";{ROW};\n'.replace(",", ";").replace("455", "455,0"),
        "a German Excel": f"{HEADER}\r\n{ROW}\r\n".replace(",", ";").replace("455", "0.000.455,00").encode("cp1252"),
        "a French Excel": f"{HEADER}\r\n{ROW}\r\n".replace(",", ";").replace("455", "000\u202f455,0").encode(),
        "a unit in capitals": f"{HEADER}\n{ROW}\n".replace("USD million", "USD Million"),
        "a blank that does not break": f"{HEADER}\n{ROW}\n".replace("USD million", "USD\u00a0million"),
    }.items(),
    ids=lambda item: item[0],
)
def test_files_as_spreadsheets_save_them(pset: PriorSet, tmp_path: Path, content: tuple[str, str | bytes]) -> None:
    (row,) = read(pset, tmp_path, content[1])
    assert (row.source, row.quantity, row.year, row.value) == ("actuals", "revenue", 2026, 455.0)
    assert row.cell == ("revenue", 2026, None, None, None, None, None)
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
        (HEADER + ",year\n" + ROW + ",", "column 'year' appears 2 times: keep one"),
        (f"{HEADER}\n{ROW},x", "line 2: has 11 cells, but the header has 10"),
        (f"{HEADER}\nactuals,revenue,2026", "line 2: value and unit are empty: fill it in or delete the row"),
        (f"{HEADER}\n{ROW}\n{HEADER}\n", "line 3: repeats the heading: remove this line"),
        (f"{HEADER},\n{ROW},aside", "line 2: column 11 has no name, but holds 'aside': name it or remove it"),
        (f',{HEADER}\n"a",{ROW}', "line 2: column 1 has no name, but holds 'a': name it or remove it"),
        (f"{HEADER}\n{ROW[:-1]}5,", "log_sd = 5: is a factor of over 20: write percentages with a %"),
        (f"{HEADER}\n{ROW.replace('revenue', 'sales')}", "evidence on 'sales', but .*: write 'revenue'"),
        (f"{HEADER}\n{ROW.replace('actuals', 'vendor: ' + 'v' * 300)}", "is 308 characters long: shorten it to 80"),
        (f"{ROW}\n{ROW}", "the first row names none of the columns: write source, quantity"),
        (HEADER.replace(",", "|"), "the first row names none of the columns"),
        (f"{HEADER}\r\n".replace(",", "\t").encode("utf-16-le"), "is not text: save it as CSV UTF-8"),
        (bytes(100), "is not text: save it as CSV UTF-8"),
        (f"{HEADER}\n{ROW.replace('2026', 'inf')}", "line 2: year = inf is not a whole number"),
        (f"{HEADER}\n{ROW.replace('2026', 'nan')}", "line 2: year = nan is not a whole number"),
        (f"{HEADER}\n{ROW.replace('455', '1e300')}", "value = 1e+300 is no size of a market in USD million"),
        (f"{HEADER}\n{ROW[:-1]}1e-200,", "log_sd = 1e-200: no count is so exact: write 0.0001 or more"),
        *(
            (f"{HEADER}\n{ROW.replace('455', chr(34) + text + chr(34))}", f"value = {text!r} is not a number")
            for text in ("1..2", "1.2.3", "4,5,5", "4 5 5", "1_000", "1,234.5.6", "0x10")
        ),
        (f"{HEADER}\n{ROW.replace('455', '45 %')}", "only a value in unit 'fraction' may be a percentage"),
        (f'{HEADER}\n{ROW}"open', "line 2: unexpected end of data: close the quotes"),
        (f"{HEADER}\n\n{ROW}\n{ROW.replace('455', '')}", "line 4: value is empty: fill it in or delete the row"),
        (f"{HEADER}\n{ROW.replace('2026', '2026.5')}", "line 2: year = 2026.5 is not a whole number"),
        (f"{HEADER}\n{ROW.replace('2026', '2036')}", "year 2036 is outside 2025..2035"),
        (f"{HEADER}\n{ROW.replace('455', 'many')}", "value = 'many' is not a number"),
        (f"{HEADER}\n{ROW.replace('455', '-455')}", "value = -455 has no logarithm: evidence must be above zero"),
        (f"{HEADER}\n{ROW.replace('455', 'nan')}", "value = nan has no logarithm"),
        (f"{HEADER};\n{ROW}".replace(",", ";").replace("455", "1.455"), "may be 1455 or 1.455: write it without"),
        (f"{HEADER}\n{ROW}".replace(",", "\t").replace("455", "1,455"), "may be 1455 or 1.455: write it without"),
        (f"{HEADER}\n{ROW.replace('USD million', 'EUR million')}", "unit 'EUR million': evidence on revenue is in"),
        (f"{HEADER}\n{ROW.replace('million', 'millions')}", "unit 'USD millions': .*: write 'USD million'"),
        (f"{HEADER}\n{ROW.replace('revenue', 'profit')}", "evidence on 'profit', but the model observes revenue"),
        (
            f"{HEADER}\n{ROW.replace('actuals', 'hearsay')}",
            "'hearsay' has no error model: use one of smr, vendor",
        ),
        (f"{HEADER}\nstudy,adoption,2025,,,non_invasive,110 %,fraction,,", "value = 1.1 is a share over 1"),
        (f"{HEADER}\nstudy,adoption,2025,,,non_invasive,11,fraction,,", "is a share over 1: write percentages as fr"),
        (
            f"{HEADER}\nstudy,adoption,2025,,,,0.11,fraction,,",
            "is of a modality that not everyone uses: name",
        ),
        (f"{HEADER}\nstudy,patients_share,2025,,,,0.5,fraction,,", "the share of all is 1: name the region, depth"),
        (f"{HEADER}\nstudy,moh,2025,,,non_invasive,0.4,fraction,,", "moh has no modality: remove it"),
        (
            f"{HEADER}\nstudy,price,2025,,,,3000,USD per patient-year,,",
            "a price is of one modality: name pharmacologic or",
        ),
        (f"{HEADER}\nstudy,price,2025,,,non_invasive,3,USD million,,", "unit 'USD million': evidence on price is in"),
        (f"{HEADER}\nstudy,price,2025,,,non_invasive,0,USD per patient-year,,", "value = 0 has no logarithm"),
        (
            f"{HEADER}\nstudy,price,2025,,,implantable,9000,USD per patient-year,,",
            "before its vendor_launch_year 2026",
        ),
        (
            f"{HEADER}\nstudy,patients,2025,Mars,,,5,patients,,",
            "'Mars' is not declared: use one of United States",
        ),
        (f"{HEADER}\nsmr,revenue,2025,,,implantable,5,USD million,,", "before its vendor_launch_year 2026"),
    ],
)
def test_a_slip_gives_one_clear_line(pset: PriorSet, tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        joined(pset, read(pset, tmp_path, content))
    (said,) = caught.value.faults
    assert re.search(re.escape(message).replace(r"\.\*", ".*"), said), said
    assert "rows.csv" in said
    assert "\n" not in said


WIDE = ",".join(EVIDENCE_COLUMNS)


def wide(**cells: object) -> str:
    """A file with one row that may fill any column."""
    return f"{WIDE}\n{','.join(str(cells.get(name, '')) for name in EVIDENCE_COLUMNS)}\n"


USE = {"source": "study", "quantity": "line_use", "year": 2026, "line": "gepant", "value": 0.2, "unit": "fraction"}
GROWN = {"source": "actuals", "quantity": "revenue_growth", "year_from": 2025, "year": 2026, "value": 1.1}
GROWN |= {"unit": "ratio"}
DATED = {"source": "study", "quantity": "launch_year", "modality": "implantable", "value": 2029.5, "unit": "year"}
NOT_BEFORE = DATED | {"quantity": "launch_not_before"}
NOTHING = DATED | {"quantity": "revenue", "year": 2028, "value": 0, "unit": "USD million"}
SOLD = NOTHING | {"source": "actuals", "value": 5}
RANGE = {"source": "study", "quantity": "moh", "year": 2025, "low": "30 %", "high": 0.4, "unit": "fraction"}


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (USE | {"line": ""}, "line '': `line_use` is of one line: name toxin or cgrp_antibody or gepant or"),
        (USE | {"line": "device"}, "line 'device': all users of its modality use it: name toxin or"),
        (USE | {"line": "gepants"}, "line 'gepants' is not declared: write 'gepant'"),
        (USE | {"modality": "pharmacologic"}, "line_use has no modality: remove it"),
        (USE | {"value": 20}, "value = 20 is a share over 1"),
        (
            USE | {"quantity": "revenue", "unit": "USD million", "modality": "non_invasive"},
            "line 'gepant' says of which modality it is: leave `modality` empty",
        ),
        (USE | {"quantity": "price", "unit": "USD per patient-year"}, "line 'gepant': price has no line: remove it"),
        (GROWN | {"year_from": ""}, "growth is between two years: give `year_from`"),
        (GROWN | {"year_from": 2026}, "year_from 2026 is not before year 2026: swap or correct them"),
        (GROWN | {"year_from": 2027}, "year_from 2027 is not before year 2026"),
        (GROWN | {"year_from": 2020}, "year 2020 is outside 2025..2035"),
        (GROWN | {"year_from": 2025.5}, "year_from = 2025.5 is not a whole number"),
        (GROWN | {"value": "7 %"}, "only a value in unit 'fraction' may be a percentage"),
        (GROWN | {"unit": "%"}, "unit '%': evidence on revenue_growth is in 'ratio': write 1.07 for 7 %"),
        (GROWN | {"modality": "implantable"}, "implantable has evidence in 2025, before its vendor_launch_year"),
        (GROWN | {"source": "smr"}, "follows from its own figures: state these, or name another source"),
        (GROWN | {"quantity": "users_growth"}, "users are of one modality: name pharmacologic or non_invasive"),
        (GROWN | {"quantity": "revenue", "unit": "USD million"}, "year_from 2025: only a growth has one"),
        (RANGE | {"value": 0.35}, "value beside `low` and `high`, which say it: keep one"),
        (RANGE | {"log_sd": 0.1}, "log_sd beside `low` and `high`, which say it: keep one"),
        (RANGE | {"low": 0.5}, "low = 0.5 is not below high = 0.4: swap or widen them"),
        (RANGE | {"low": 0.4}, "low = 0.4 is not below high = 0.4"),
        (RANGE | {"low": ""}, "low is empty: fill it in or delete the row"),
        (RANGE | {"high": ""}, "high is empty: fill it in or delete the row"),
        (RANGE | {"low": 0}, "low = 0 has no logarithm: evidence must be above zero"),
        (RANGE | {"high": "110 %"}, "high = 110 % is a share over 1"),
        (RANGE | {"coverage": 90}, "coverage = 90 is not inside 0..1: write percentages as fractions (0.9)"),
        (USE | {"coverage": 0.9}, "coverage = 0.9: is of a range: give `low` and `high`, or leave it empty"),
        (USE | {"sd": 0.5}, "sd = 0.5: is of a date, in years: write how far a size may be off into `log_sd`"),
        (DATED | {"log_sd": 0.1}, "log_sd = 0.1: a date is off by years: write them into `sd`"),
        (DATED | {"sd": 0.01}, "sd = 0.01 years: must lie in 0.05..1000: correct it"),
        (DATED | {"sd": "half"}, "sd = 'half' is not a number"),
        (DATED | {"sd": 0.5, "low": 2028, "high": 2030, "value": ""}, "sd beside `low` and `high`, which say it"),
        (DATED | {"year": 2029}, "year 2029: a date is the value itself: leave `year` empty"),
        (DATED | {"value": 29}, "value = 29 is no date: write one such as 2029.5, the middle of 2029"),
        (
            DATED | {"modality": ""},
            "'' is not to be launched: a date says when something is: name implantable or",
        ),
        (DATED | {"modality": "non_invasive"}, "'non_invasive' is not to be launched: a date says"),
        (DATED | {"depth": "3+"}, "launch_year has no depth: remove it"),
        (DATED | {"source": "smr"}, "a date is told by a source other than the report, which assumes"),
        (NOT_BEFORE | {"value": "", "low": 2028, "high": 2030}, "launch_not_before is one date: write `value`, and"),
        (NOTHING | {"log_sd": 0.1}, "log_sd = 0.1: a date is off by years: write them into `sd`"),
        (NOTHING | {"modality": "non_invasive"}, "'non_invasive' is not to be launched: a year without sales says"),
        (NOTHING | {"modality": "", "line": "gepant"}, "'gepant' is not to be launched: a year without sales says"),
        (NOTHING | {"depth": "3+"}, "depth '3+': a launch is for all depths: leave it empty"),
        (NOTHING | {"source": "smr"}, "a year without sales is told by a source other than the report"),
        (NOTHING | {"quantity": "revenue_share", "unit": "fraction"}, "value = 0 has no logarithm"),
    ],
)
def test_a_slip_in_a_later_column_gives_one_clear_line(
    pset: PriorSet, tmp_path: Path, cells: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        read(pset, tmp_path, wide(**cells))
    (said,) = caught.value.faults
    assert message in said
    assert "rows.csv: line 2" in said


def test_the_use_of_a_line_and_growth_between_two_years_are_read(pset: PriorSet, tmp_path: Path) -> None:
    (use,) = read(pset, tmp_path, wide(**USE | {"line": "Preventive gepant", "region": "US", "depth": "3+"}))
    assert use.cell == ("line_use", 2026, "United States", "3+", None, "gepant", None)
    assert use.shared_error == {}
    (grown,) = read(pset, tmp_path, wide(**GROWN))
    assert (grown.id, grown.value) == ("actuals revenue_growth 2025-2026", 1.1)
    assert grown.shared_error == {2025: -1.0, 2026: 1.0}
    assert [(end.quantity, end.year) for end in grown.ends] == [("revenue", 2025), ("revenue", 2026)]


@pytest.mark.parametrize(("given", "coverage"), [({}, 0.9), ({"coverage": 0.5}, 0.5), ({"coverage": "50 %"}, 0.5)])
def test_a_range_is_read_as_that_of_a_claim(
    pset: PriorSet, tmp_path: Path, given: dict[str, object], coverage: float
) -> None:
    (row,) = read(pset, tmp_path, wide(**RANGE | given))
    inside = norm(np.log(row.value), row.log_sd).cdf(np.log([0.3, 0.4]))
    assert inside == pytest.approx([(1 - coverage) / 2, (1 + coverage) / 2])
    (in_percent,) = read(pset, tmp_path, wide(**RANGE | given | {"low": 30, "high": "40 %", "unit": "%"}))
    assert in_percent.value == pytest.approx(row.value)
    share = next(c for c in pset.ledger.claims if c.quantity == "revenue_share")
    claimed = next(r for r in pset.evidence if r.id == share.id)
    cells = {"quantity": "revenue_share", "region": share.region, "low": share.low, "high": share.high}
    (same,) = read(pset, tmp_path, wide(**RANGE | cells))
    assert (same.value, same.log_sd) == pytest.approx((claimed.value, claimed.log_sd))
    (half,) = read_evidence([tmp_path / "rows.csv"], pset.ledger, pset.trust, coverage=0.5)
    assert half.log_sd > same.log_sd  # the setting, where the row has none


def test_dates_are_off_by_years(pset: PriorSet, tmp_path: Path) -> None:
    (row,) = read(pset, tmp_path, wide(**DATED))
    assert (row.year, row.stated, row.log_sd, row.is_bound) == (None, 2029.5, 0.25, False)
    (ranged,) = read(pset, tmp_path, wide(**DATED | {"value": "", "low": 2028, "high": 2031}))
    inside = norm(ranged.stated, ranged.log_sd).cdf([2028, 2031])
    assert inside == pytest.approx([0.05, 0.95])
    (bound,) = read(pset, tmp_path, wide(**NOT_BEFORE | {"sd": 1, "region": "Japan"}))
    assert (bound.stated, bound.log_sd, bound.is_bound, bound.region) == (2029.5, 1.0, True, "Japan")
    (nothing,) = read(pset, tmp_path, wide(**NOTHING))
    assert (nothing.stated, nothing.log_sd, nothing.is_bound) == (2028.5, 0.25, True)
    assert nothing.shared_error == {}
    (sold,) = read(pset, tmp_path, wide(**SOLD))
    with_all = joined(pset, (row, bound, nothing))
    assert with_all.seen_launched == set()
    assert joined(pset, (replace(sold, year=2031),)).seen_launched == {"implantable"}
    assert {launch: len(rows) for launch, rows in with_all.bounds.items()} == {"implantable": 2}
    assert [row.id for row in with_all.evidence if row not in with_all.measured] == [bound.id, nothing.id]


def test_a_file_of_ranges_needs_no_value(pset: PriorSet, tmp_path: Path) -> None:
    (row,) = read(pset, tmp_path, "source,quantity,year,low,high,unit\nactuals,revenue,2026,440,470,USD million\n")
    assert 440 < row.value < 470


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((GROWN, GROWN | {"value": 1.2}), "keep one of them"),
        ((GROWN, GROWN | {"source": "actuals: other", "value": 1.6}), "sd apart by their own errors"),
        (
            (
                GROWN | {"quantity": "revenue", "unit": "USD million", "year_from": "", "line": "gepant", "value": 90},
                GROWN
                | {"quantity": "revenue", "unit": "USD million", "year_from": "", "modality": "pharmacologic"}
                | {"value": 80},
            ),
            "states 90, more than the 80",
        ),
        ((NOTHING, SOLD), "says that nothing of implantable is sold before 2028.5, and 'actuals revenue 2028 impl"),
        ((NOTHING, SOLD | {"year": 2027, "region": "Japan"}), "says that nothing of implantable is sold before 2028.5"),
        ((NOT_BEFORE, DATED | {"value": 2027}), "says that nothing of implantable is sold before 2029.5"),
        ((NOT_BEFORE, NOT_BEFORE | {"value": 2030}), "keep one of them"),
    ],
)
def test_later_rows_at_odds_with_each_other(
    pset: PriorSet, tmp_path: Path, rows: tuple[dict[str, object], ...], message: str
) -> None:
    text = WIDE + "\n" + "".join(wide(**cells).partition("\n")[2] for cells in rows)
    with pytest.raises(InputError, match=message):
        read(pset, tmp_path, text)


REGIONS = ("United States", "EU5", "Japan", "Other Developed", "Rest of World")


def parts(*values: float, quantity: str = "revenue", unit: str = "USD million") -> tuple[str, ...]:
    """Actuals of 2026 by region."""
    return tuple(
        f"actuals,{quantity},2026,{region},,,{value},{unit},," for region, value in zip(REGIONS, values, strict=False)
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((ROW, ROW), "line 3: states 455 for 'actuals revenue 2026', and .*line 2 455: keep one"),
        ((ROW, ROW.replace("455", "460")), "line 3: states 460 for .*line 2 455: keep one"),
        ((ROW, *parts(200, 150, 100, 50, 50)), "add up to 550, and their whole is 455: .* correct one"),
        ((ROW, *parts(200, 50, 50, 20, 20)), "add up to 340, and their whole is 455: .* correct one"),
        (parts(0.8, 0.7, quantity="revenue_share", unit="fraction"), "add up to 1.5, and their whole is 1:"),
        (
            ("vendor: a b,revenue,2026,,,,455,USD million,,", "vendor: a_b,revenue,2027,,,,455,USD million,,"),
            "punctuation only",
        ),
        ((ROW, "actuals: other,revenue,2026,,,,900,USD million,,"), "sd apart by their own errors"),
        (("vendor,revenue,2025,,,non_invasive,4400,USD million,0.1,",), "sd apart by their own errors"),
    ],
)
def test_rows_at_odds_with_each_other(pset: PriorSet, tmp_path: Path, rows: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        joined(pset, read(pset, tmp_path, "\n".join([HEADER, *rows])))


def test_parts_may_miss_their_whole_by_rounding(pset: PriorSet, tmp_path: Path) -> None:
    for rows in ((ROW, *parts(251, 101, 41, 41, 22)), (ROW, *parts(251, 101)), parts(200, 150, 100)):
        assert joined(pset, read(pset, tmp_path, "\n".join([HEADER, *rows])))


@pytest.mark.parametrize(
    ("text", "unit", "delimiter", "value"),
    [
        ("1,455", "USD million", ",", 1455),  # where a comma parts cells, a point is the decimal mark
        ("1.455", "USD million", ",", 1.455),
        ("1,455", "USD million", ";", 1.455),
        ("12,34,567.5", "USD million", ",", 1234567.5),
        ("1\u202f455,5", "USD million", ";", 1455.5),
        ("1\u2019455.5", "USD million", ";", 1455.5),
        ("131,000", "patients", ",", 131000),
        ("131.000", "patients", ";", 131000),
        ("131,000", "patients", "\t", 131000),
        ("131\u00a0000", "patients", ";", 131000),
        ("0,455", "fraction", ",", 0.455),
        ("55%", "fraction", ",", 0.55),
        ("55,5 %", "fraction", ";", 0.555),
    ],
)
def test_numbers_as_spreadsheets_format_them(
    pset: PriorSet, tmp_path: Path, text: str, unit: str, delimiter: str, value: float
) -> None:
    quantity = {"USD million": "revenue", "patients": "patients", "fraction": "acute_use"}[unit]
    cells = ("study", quantity, "2026", "", "", "", f'"{text}"', unit, "2 %", "")
    (row,) = read(pset, tmp_path, f"{HEADER.replace(',', delimiter)}\n{delimiter.join(cells)}\n")
    assert row.value == pytest.approx(value)
    assert row.log_sd == 0.02


def test_all_faults_of_all_files_are_said_at_once(pset: PriorSet, tmp_path: Path) -> None:
    first, second = (tmp_path / f"{name}.csv" for name in ("first", "second"))
    first.write_text(f"{HEADER}\n{ROW}\nactuals,revenue,2036,Mars,,,x,USD million,,\n{ROW.replace('455', '-1')}\n")
    second.write_text(f"{HEADER}\nactuals,profit,2026,,,,4,USD million,,\nhearsay,revenue,1.5,,,,4,USD million,,\n")
    with pytest.raises(InputError) as caught:
        read_evidence([first, second], pset.ledger, pset.trust)
    said = [line.removeprefix(f"{tmp_path}/") for line in caught.value.faults]
    assert [line.split(":")[0] for line in said] == ["first.csv"] * 3 + ["second.csv"] * 3
    assert [line.split(":")[1].strip() for line in said] == ["line 3", "line 3", "line 4", "line 2", "line 3", "line 3"]
    for line, words in zip(said, ("Mars", "'x' is not", "-1", "profit", "1.5 is not", "hearsay"), strict=True):
        assert words in line


@pytest.mark.parametrize(("value", "unit"), [("34 %", "fraction"), ("34", "%"), ("34 %", "%"), ("0.34", "Fraction")])
def test_percentages(pset: PriorSet, tmp_path: Path, value: str, unit: str) -> None:
    (row,) = read(pset, tmp_path, f"{HEADER}\nstudy,moh,2025,,,,{value},{unit},,")
    assert row.value == pytest.approx(0.34)
    assert row.unit == "fraction"


@pytest.mark.parametrize("name", ["US", "u.s.", "united  states", "North America", "United States"])
def test_segments_go_by_any_of_their_names(pset: PriorSet, tmp_path: Path, name: str) -> None:
    text = f"{HEADER}\nactuals,revenue,2026,{name},3 or more failed preventives,Pharmacologic,155,USD million,,"
    (row,) = read(pset, tmp_path, text)
    assert row.cell == ("revenue", 2026, "United States", "3+", "pharmacologic", None, None)
    assert row.id == "actuals revenue 2026 United States 3+ pharmacologic"


def test_several_files_are_checked_against_each_other_and_the_run(pset: PriorSet, tmp_path: Path) -> None:
    first, second = (tmp_path / f"{name}.csv" for name in ("first", "second"))
    first.write_text(f"{HEADER}\n{ROW}\n")
    second.write_text(f"{HEADER}\n{ROW.replace('2026', '2027')}\n{ROW.replace('455', '460')}\n")
    with pytest.raises(InputError, match=r"second.csv: line 3: states 460 for .*first.csv: line 2 455: keep one"):
        read_evidence([first, second], pset.ledger, pset.trust)
    with pytest.raises(InputError, match=r"first.csv: line 2: states 455 .*first.csv: line 2 455"):
        read_evidence([first, first], pset.ledger, pset.trust)
    known = read_evidence([first], pset.ledger, pset.trust)
    with pytest.raises(InputError, match=r"second.csv: line 3: 'actuals revenue 2026' states 455"):
        read_evidence([second], pset.ledger, pset.trust, known)


def test_missing_files_are_one_line(pset: PriorSet, tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_evidence([path], pset.ledger, pset.trust)


def test_the_columns_are_public() -> None:
    assert ",".join(EVIDENCE_COLUMNS) == (
        "source,quantity,year_from,year,region,depth,modality,line,value,low,high,coverage,unit,log_sd,sd,note"
    )


def test_the_template_asks_for_values_and_takes_them(pset: PriorSet, tmp_path: Path) -> None:
    blank = template(pset.ledger)
    with pytest.raises(InputError, match="value is empty"):
        read(pset, tmp_path, blank)
    answers = {"USD million": 450.0, "USD per patient-year": 5000.0, "ratio": 1.1, "fraction": 0.5, "year": 2029.5}
    table = [line.split(",") for line in blank.split("\r\n") if line]
    at, unit = (EVIDENCE_COLUMNS.index(name) for name in ("value", "unit"))
    for cells in table[1:]:
        cells[at] = str(0 if "nothing" in cells[-1] else answers[cells[unit]])
    rows = read(pset, tmp_path, "\r\n".join(map(",".join, table)))
    assert [row.value for row in rows] == [450.0] * 4 + [5000.0, 1.1, 0.5, 2029.5, 2029.5, 0]
    assert {row.quantity for row in rows} == {"revenue", "price", "revenue_growth", "line_use", *DATES}
    assert joined(pset, rows)


def test_the_worked_examples_are_sources_of_their_own(pset: PriorSet) -> None:
    rows = [
        row
        for name in ("second_vendor", "actuals")
        for row in read_evidence([EXAMPLES / f"{name}.csv"], pset.ledger, pset.trust)
    ]
    both = joined(pset, tuple(rows))
    assert both.sources == ("smr", "actuals", "vendor: second")
    assert both.source_log_sd("actuals", [2025, 2035]) == pytest.approx([0.03, 0.03])  # no drift
    names = build_model(both).named_vars
    assert {"source_error", "source_error_actuals", "source_error_vendor_second"} <= set(names)


def test_optimism_lowers_what_the_report_says(ledger: Ledger, pset: PriorSet) -> None:
    trust = pset.trust.model_copy(update={"final_log_bias": 0.2})
    hopeful = replace(pset, trust=trust)
    assert arrays(hopeful)["source_error_bias"] == pytest.approx([0.0, 0.1, 0.2])
    error = simulate(hopeful, 400, 3)["source_error"] - simulate(pset, 400, 3)["source_error"]
    assert np.allclose(error, [0.0, 0.1, 0.2])
    assert prior_set(ledger).source_log_bias("smr", [2035]) == 0


@given(value=st.floats(0.001, 1e7), comma=st.booleans())
def test_numbers_come_back_as_they_were_written(value: float, comma: bool) -> None:
    from postcgrp.priors.evidence_file import _number

    text = f"{value:.4f}"
    assert _number("value", text.replace(".", ",") if comma else text, ";" if comma else ",") == float(text)
