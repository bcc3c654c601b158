"""Draws from other tools: whatever numbers rows is no alternative, and every locale's numbers are numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from postcgrp.priors import InputError
from postcgrp.reports.cli.main import main
from postcgrp.reports.valuation import information
from postcgrp.reports.valuation.decision import decision_table
from postcgrp.reports.valuation.draws_file import grouped, read_decision, read_draws

DRAWS = 60


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=DRAWS)
    return pd.DataFrame({"pass": 0.0, "invest": x + 0.3 * rng.normal(size=DRAWS)}).round(4)


def r_names(table: pd.DataFrame) -> str:
    """As R's `write.csv` leaves it: row names under an empty heading."""
    return table.set_axis(range(1, DRAWS + 1)).to_csv(quoting=2)


def r_table(table: pd.DataFrame) -> str:
    """As R's `write.table(sep = ",")` leaves it: row names without any heading."""
    return r_names(table).replace('"",', "", 1)


def numbered(**columns: object) -> object:
    return lambda table: pd.concat([pd.DataFrame(columns), table], axis=1).to_csv(index=False)


TWO = {"chain": np.repeat([1, 2], DRAWS // 2), "draw": np.tile(np.arange(DRAWS // 2), 2)}
WRITERS = {
    "R row names": r_names,
    "R write.table": r_table,
    "words as row names": lambda t: t.set_axis([f"draw {k}" for k in range(DRAWS)]).to_csv(quoting=2),
    "pandas with its index": lambda t: t.to_csv(),
    "pandas, read and written again": lambda t: t.reset_index(names="Unnamed: 0").to_csv(index=False),
    "R, read and written again": numbered(X=range(1, DRAWS + 1)),
    "chain and draw": numbered(**TWO),
    "Stan": numbered(chain__=TWO["chain"], iter__=TWO["draw"], draw__=range(DRAWS)),
    "posterior": numbered(**{".chain": TWO["chain"], ".iteration": TWO["draw"], ".draw": range(1, DRAWS + 1)}),
    "Iteration": numbered(Iteration=range(1, DRAWS + 1)),
    "Germany": lambda t: t.to_csv(index=False, sep=";", decimal=","),
    "France, tabs": lambda t: t.to_csv(index=False, sep="\t", decimal=","),
    "Excel's hint and marks": lambda t: "\ufeffsep=;\r\n" + t.to_csv(index=False, sep=";", lineterminator="\r\n"),
    "commas after each row": lambda t: t.to_csv(index=False).replace("\n", ",\n"),
    "commas after each row but the first": lambda t: t.to_csv(index=False).replace("\n", ",\n").replace(",\n", "\n", 1),
    "blank lines at the end": lambda t: t.to_csv(index=False) + "\n\n",
}


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_what_numbers_rows_is_no_alternative(frame: pd.DataFrame, tmp_path: Path, writer: object) -> None:
    path = tmp_path / "nb.csv"
    path.write_text(writer(frame), encoding="utf-8")  # type: ignore[operator]
    table, _ = read_draws(path)
    assert list(table) == ["pass", "invest"]
    np.testing.assert_allclose(table, frame)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_every_encoding_of_excel_is_read(frame: pd.DataFrame, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "nb.csv"
    path.write_text(frame.rename(columns={"invest": "Käufer"}).to_csv(index=False), encoding=encoding)
    assert list(read_draws(path)[0]) == ["pass", "Käufer"]


def test_the_command_recommends_an_alternative(
    frame: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nb.csv").write_text(r_names(frame))
    (tmp_path / "x.csv").write_text(numbered(Iteration=range(1, DRAWS + 1))(frame[["invest"]]))  # type: ignore[operator]
    given = ["--net-benefit", str(tmp_path / "nb.csv"), "--inputs", str(tmp_path / "x.csv")]
    assert main(["voi", *given, "--out", str(tmp_path / "voi")]) == 0
    assert "Unnamed" not in capsys.readouterr().out
    found = pd.read_csv(tmp_path / "voi" / "voi.csv")
    expected = decision_table(frame)["expected_loss"].min()
    assert found.loc[0, "value"] == pytest.approx(expected)
    assert list(found["name"]) == ["everything", "invest"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pass,invest,invest\n1,2,3\n", "'invest' stands twice in the heading"),
        ("pass,,,invest\n1,2,3,4\n", "a column without a name stands twice"),
        ("pass,,invest\n0,0.5,3\n0,0.7,2\n0,0.1,2\n", "column 2 has no name"),
        ("step,pass,invest\n1,0,3\n2,0,3.5\n3,0,4\n", "'step' only counts the rows"),
        ("draw,pass\n0.5,0\n1.5,0\n", "'draw' is to number draws, but holds more than whole numbers"),
        ("iter__,Iteration,pass\n1,1,0\n2,2,0\n", "'iter__' and 'Iteration' both number draws"),
        ("a;b\n1.234,5;2\n3,2;2\n", "'1.234,5' in line 2: give finite numbers"),
        ("a,b\n1,2\n3,lots\n", "'lots' in line 3"),
        ("a,b\n1,2\n3,\n4,5\n", "an empty cell in line 3"),
        ("a,b\n1,2\n3,4,5\n", "cannot be read"),
        ("", "is empty"),
    ],
)
def test_a_file_that_may_be_misread_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        read_draws(tmp_path / "bad.csv")
    assert "\n" not in str(caught.value)


def test_draws_travel_by_csv(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 3)), columns=["price[2025]", "price[2030]", "pool"])
    index = pd.DataFrame({".chain": np.repeat([1, 2], 30), ".iteration": [*range(30)] * 2, ".draw": range(60)})
    pd.concat([index, frame], axis=1).to_csv(tmp_path / "x.csv", index=False)
    table, chains = read_draws(tmp_path / "x.csv")
    inputs = grouped(table)
    assert chains == 2
    assert {name: array.shape for name, array in inputs.items()} == {"price": (60, 2), "pool": (60,)}
    np.testing.assert_allclose(inputs["price"], frame.to_numpy()[:, :2])
    gains = pd.DataFrame({"pass": 0.0, "invest": frame["pool"]})
    gains.to_csv(tmp_path / "nb.csv", index=False)
    drawn, known, _, _ = read_decision(tmp_path / "nb.csv", tmp_path / "x.csv")
    assert drawn.chains == 2
    assert information.evppi(drawn, known, "pool") == information.evppi(gains, inputs, "pool", chains=2)
    mixed = pd.concat([index, frame], axis=1).sample(frac=1, random_state=1)
    mixed.to_csv(tmp_path / "mixed.csv", index=False)
    pd.concat([index, gains], axis=1).to_csv(tmp_path / "named.csv", index=False)
    again, shuffled, _, _ = read_decision(tmp_path / "named.csv", tmp_path / "mixed.csv")  # joined by their ids
    np.testing.assert_array_equal(again.values, drawn.values)
    np.testing.assert_array_equal(shuffled["pool"], inputs["pool"])
    gains.loc[mixed.index].to_csv(tmp_path / "alike.csv", index=False)
    again, shuffled, _, _ = read_decision(tmp_path / "alike.csv", tmp_path / "mixed.csv")  # no ids: by their rows
    np.testing.assert_array_equal(again.values, drawn.values)
    np.testing.assert_array_equal(shuffled["pool"], inputs["pool"])
    mixed.iloc[1:].to_csv(tmp_path / "fewer.csv", index=False)
    with pytest.raises(InputError, match=r"are not those of .*named.csv: give the same draws"):
        read_decision(tmp_path / "named.csv", tmp_path / "fewer.csv")
    pd.concat([mixed, mixed.tail(1)]).to_csv(tmp_path / "twice.csv", index=False)
    with pytest.raises(InputError, match="the draw in line 62 stands twice"):
        read_draws(tmp_path / "twice.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_draws(tmp_path / "none.csv")
