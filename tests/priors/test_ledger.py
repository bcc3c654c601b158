"""Bad input: one line that names the value, the rule and the way out."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postcgrp.priors import InputError, Settings, effective, load_ledger
from postcgrp.priors.catalogue import ASSUMPTIONS, OBSERVED, PRIOR_CLAIMS, RANGED
from postcgrp.priors.ledger import UNITS, checked_ledger
from postcgrp.priors.lookup import assumption
from postcgrp.tests.helpers.markets import market
from postcgrp.tests.helpers.paths import DOCS, OTHER_MARKET
from postcgrp.tests.helpers.slips import (
    CASES,
    A,
    R,
    load,
)

LEDGER_PAGE = DOCS / "ledger.md"


@pytest.mark.parametrize(("name", "old", "new", "extra", "message"), CASES, ids=[case[4] for case in CASES])
def test_a_slip_gives_one_clear_line(tmp_path: Path, name: str, old: str, new: str, extra: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, name, old, new, extra)
    clear(caught.value, message)


def clear(error: InputError, message: str) -> None:
    """One slip gives one line, that holds the message (`.*`: anything) and none of a library's own words."""
    (said,) = error.faults
    assert re.search(re.escape(message).replace(r"\.\*", ".*"), said), said
    assert "\n" not in said
    assert not re.search(r"pydantic|Input should|Value error|Errno|Traceback", said)


ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1e300, float("nan"), "", "x", "a" * 400, [], {}, [1], {"a": 1}, [{}], 2024, "two\nlines",
    "日本" * 60,
)  # fmt: skip


def places(part: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested tables and lists."""
    steps = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    return [found for key, below in steps for found in ((*path, key), *places(below, (*path, key)))]


MARKET = json.loads(json.dumps(market(), default=list))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(places(MARKET)), st.sampled_from(ODD)), min_size=1, max_size=3))
def test_whatever_stands_in_a_ledger_it_is_read_or_refused_in_lines(slips: list[tuple[tuple[Any, ...], Any]]) -> None:
    tables = json.loads(json.dumps(MARKET))
    for (*way, key), odd in slips:
        here: Any = tables
        with suppress(KeyError, IndexError, TypeError):  # an earlier slip took this place away
            for step in way:
                here = here[step]
            here[key] = odd
    ledger, faults = checked_ledger(tables)
    assert (ledger is None) == bool(faults)
    assert not [fault for fault in faults if "\n" in fault.text or "Input should" in fault.text]
    if ledger is not None:
        with suppress(InputError):
            effective(ledger)


def test_names_fit_into_the_files_that_they_go_into() -> None:
    """NetCDF takes names of 256 bytes, and a modality's stands inside those of its variables."""
    for name, message in (
        ("c" * 300, "is 300 characters long: shorten it to 80 at most"),
        ("熱" * 70, "takes 210 bytes, and names of variables at most 180: give a shorter `name` and the full one as"),
    ):
        renamed = json.loads(json.dumps(market(), ensure_ascii=False).replace('"thermoplasty"', f'"{name}"'))
        ledger, faults = checked_ledger(renamed)
        assert ledger is None
        assert all(fault.at[:2] == ("modalities", 1) for fault in faults)
        assert message in faults[0].text


def test_all_faults_of_both_files_are_said_at_once_with_their_lines(tmp_path: Path) -> None:
    """As in a copy of the shipped assumptions for another market: every row that does not fit, file by file."""
    slips = {
        R: (
            ('region = "Europe"', 'region = "europe"', "region 'europe' is not declared: write it 'Europe'"),
            ("value = 1500\n", "value = -1500\n", "-1500 USD million is negative"),
        ),
        A: (
            ("value = 0.8", "value = 80", "value = 80 is outside 0..1"),
            ('id = "price"', 'id = "prise"', "'prise' for the whole market is not one that the model knows"),
            ("value = 0.1\n", "valeu = 0.1\n", "valeu is not known: write 'value'"),
            ("value = 0.01\n", "value = -0.01\n", "value = -0.01 must be at least zero"),
            (
                'id = "burden_correlation"',
                'id = "burden_correlation"\nmodality = "patch"',
                "modality 'patch' is not decl",
            ),
        ),
    }
    expected = []
    for source, changes in slips.items():
        text = (OTHER_MARKET / source).read_text(encoding="utf-8")
        for old, new, _ in changes:
            assert old in text
            text = text.replace(old, new, 1)
        (tmp_path / source).write_text(text, encoding="utf-8")
        expected += [(source, message) for *_, message in changes]
    with pytest.raises(InputError) as caught:
        load_ledger(tmp_path / R, tmp_path / A)
    said = caught.value.faults
    for source, message in expected:
        (fault,) = [line for line in said if message in line]
        place = re.match(r"(.*): line (\d+): ", fault)
        assert place is not None, fault
        assert place[1] == source
    assert len(said) == len(expected)
    for source in slips:
        lines = [int(line.split("line ")[1].split(":")[0]) for line in said if line.startswith(source)]
        assert lines == sorted(lines)


def test_the_other_market_itself_is_fine(tmp_path: Path) -> None:
    load(tmp_path)


FILES = {
    "no such file": (None, "report.toml: cannot be read (No such file or directory): give the path of a readable TOML"),
    "a folder": ("folder", "report.toml: cannot be read (Is a directory): give the path of a readable TOML file"),
    "binary": (b"\x89PNG\r\n\xff\xfe", "report.toml: cannot be read as UTF-8 (.*): give a TOML text file"),
    "malformed": (
        b"schema = 1\n[report\n",
        "report.toml: is not valid TOML (.* (at line 2, column 8)): correct that line",
    ),
    "twice": (b"schema = 1\nschema = 1\n", "report.toml: is not valid TOML (.*line 2.*): correct that line"),
    "digits": (b"schema = 1\nx = " + b"9" * 5000, "report.toml: is not valid TOML (.*): correct that line"),
    "deep": (b"x = " + b"[" * 100_000, "report.toml: is not valid TOML (.*): correct that line"),
    "empty": (b"", "report.toml: schema = None, but this version reads 1 only: write `schema = 1` as its first line"),
    "another schema": (b"schema = 2", "report.toml: schema = 2, but this version reads 1 only: write `schema = 1`"),
    "schema as text": (b'schema = "1"', "report.toml: schema = '1', but this version reads 1 only: write `schema = 1`"),
    "a typo": (b"schema = 1\n[[claims]]\nid = 1", "report.toml: table 'claims' is not known: write 'claim'"),
    "a stray table": (
        b"schema = 1\n[[zoo]]\nid = 1",
        "report.toml: table 'zoo' is not known: use [report], [[region]]",
    ),
    "one bracket": (
        b"schema = 1\n[claim]\nid = 1\n",
        "report.toml: line 2: claim = .* is not a table: write it as [[claim]]",
    ),
    "a number": (b"schema = 1\nclaim = 3\n", "report.toml: line 2: claim = 3 is not a table: write it as [[claim]]"),
    "numbers": (
        b"schema = 1\nclaim = [3]\n",
        "report.toml: line 2: claim[1] = 3 is not a table: write it as [[claim]]",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_gives_one_clear_line(tmp_path: Path, name: str) -> None:
    content, message = FILES[name]
    path = tmp_path / R
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(
            content + (without("claim").encode() if b"claim]" in content or b"claim =" in content else b"")
        )
    with pytest.raises(InputError) as caught:
        load_ledger(path, OTHER_MARKET / A)
    clear(caught.value, message)


def test_an_empty_ledger_says_all_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / R).write_text("schema = 1\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_ledger(tmp_path / R, OTHER_MARKET / A)
    tables = ("report", "region", "depth", "modality", "claim")
    assert caught.value.faults == tuple(f"report.toml: {t} is missing: add it (docs/ledger.md)" for t in tables)


def without(table: str, name: str = R) -> str:
    """A file of the other market without the rows of one table, and without its schema."""
    text = (OTHER_MARKET / name).read_text(encoding="utf-8").replace("schema = 1", "")
    return re.sub(rf"(?ms)^\[\[{table}\]\]$.*?(?=^\[\[|\Z)", "", text)


@pytest.mark.parametrize("table", ["region", "depth", "modality", "claim", "trust", "assumption"])
def test_each_table_is_needed(tmp_path: Path, table: str) -> None:
    for name in (R, A):
        (tmp_path / name).write_text("schema = 1\n" + without(table, name), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_ledger(tmp_path / R, tmp_path / A)
    clear(caught.value, f"{A if table in ('trust', 'assumption') else R}: {table} is missing: add it")


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    for name in (R, A):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + (OTHER_MARKET / name).read_bytes())
    assert load_ledger(str(tmp_path / R), str(tmp_path / A)) == load_ledger(OTHER_MARKET / R, OTHER_MARKET / A)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(coverage=90), "coverage 90 is not between 0 and 1: write it as a fraction (0.9)"),
        (Settings(coverage=1.0), "coverage 1 is not between 0 and 1: write it as a fraction"),
        (Settings(coverage=1 - 1e-16), "coverage 1 is not between 0 and 1: write it as a fraction"),
        (Settings(coverage=0.0), "coverage 0 is not between 0 and 1: write it as a fraction"),
        (Settings(coverage=float("nan")), "coverage nan is not between 0 and 1: write it as a fraction"),
        (Settings(trust="blind"), "trust 'blind' is not in the ledger: use one of default"),
    ],
)
def test_settings_out_of_range_give_one_clear_line(settings: Settings, message: str) -> None:
    with pytest.raises(InputError) as caught:
        effective(load_ledger(OTHER_MARKET / R, OTHER_MARKET / A), settings)
    clear(caught.value, message)


def test_the_format_is_documented_as_it_is() -> None:
    """Every row of the reference tables is what the code reads: name, unit, form and what it may name."""
    text = LEDGER_PAGE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE))
    forms = {None: "number", "normal": "range", "lognormal": "range, above 0", "logitnormal": "range, inside 0..1"}
    for name, entry in ASSUMPTIONS.items():
        unit = entry.unit.replace("{currency}", "USD")
        form = "number, above 0" if entry.positive else forms[entry.family]
        form += ", or number" if entry.fixable else ", or range above 0" if name in RANGED else ""
        wanted = " | ".join((f"`{unit}`", form, ", ".join(entry.by) or "-"))
        assert rows[name].startswith(wanted), f"{name}: {wanted}"
    for names in (PRIOR_CLAIMS, OBSERVED, UNITS):
        assert all(f"`{name}`" in text for name in names)


def test_the_documented_example_loads(tmp_path: Path) -> None:
    report, row = re.findall(r"```toml\n(.*?)```", LEDGER_PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / R).write_text(report, encoding="utf-8")
    (tmp_path / A).write_text((OTHER_MARKET / A).read_text(encoding="utf-8") + row, encoding="utf-8")
    pset = effective(load_ledger(tmp_path / R, tmp_path / A))
    assert [prior.high for prior in pset.blocks["price"].priors] == [30000, 9000]


def test_a_copy_with_other_assumptions_is_asked_for_those() -> None:
    ledger = load_ledger()
    assert assumption(ledger, "spend_residual_sd", {"modality": "pharmacologic"}).value is not None
    rows = tuple(row.model_copy(update={"reason": "another"}) for row in ledger.assumptions)
    other = ledger.model_copy(update={"assumptions": rows})
    assert {row.reason for name in {row.id for row in rows} for _, row in other.assumed(name)} == {"another"}
    assert ledger != other
    assert ledger == load_ledger()
