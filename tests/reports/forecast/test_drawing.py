"""Figures as files: formats, the hash that each carries, fonts, and a folder that is there wholly or not at all."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from xarray import DataTree

from postcgrp.priors import InputError
from postcgrp.reports.cli.main import main
from postcgrp.reports.forecast.drawing import draw, save_figure, undrawable, use_fonts
from postcgrp.reports.forecast.figure_set import run_figures
from postcgrp.reports.forecast.gallery import parse_formats
from postcgrp.reports.forecast.style import figure, mark, names, quantity
from postcgrp.reports.forecast.tables import bench_tables
from postcgrp.tests.helpers.markets import CHANGES, prior_set_of
from postcgrp.tests.helpers.stored import prior_run, prior_tree
from postcgrp.tests.helpers.variants import variants

RECIPE = "0123abcd" * 8
TABLE = pd.DataFrame({"name": ["one", "two"], "value": [1.0, 2.5]})


def bars(*labels: str) -> dict[str, object]:
    table = pd.DataFrame({"name": labels, "value": range(1, 1 + len(labels))})
    encoding = {"y": names("name", list(labels)), "x": quantity("value", "value")}
    return figure("Bars", "of two", table, layer=[mark("bar", encoding)], width=200, height=60)


def test_each_file_carries_the_recipe_and_the_same_figure_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        made = save_figure(TABLE, bars("one", "two"), tmp_path / f"{name}.v1", RECIPE, ("svg", "png", "json"))
        assert [path.name for path in made] == [f"{name}.v1.{kind}" for kind in ("csv", "svg", "png", "json")]
    for path in tmp_path.glob("a.*"):
        content = path.read_bytes()
        assert content == path.with_name(path.name.replace("a", "b", 1)).read_bytes()
        assert path.suffix == ".csv" or RECIPE.encode() in content
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "a.v1.csv"), TABLE)
    png = (tmp_path / "a.v1.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    kinds, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kinds.append(png[at + 4 : at + 8])
        at += 12 + length
    assert kinds[0] == b"IHDR"
    assert b"tEXt" in kinds
    assert kinds[-1] == b"IEND"
    assert json.loads((tmp_path / "a.v1.json").read_text())["data"]["values"][1] == {"name": "two", "value": 2}


def test_characters_that_no_svg_may_hold_are_replaced(tmp_path: Path) -> None:
    draw(bars("a\x00b", "\x1b[31m"), tmp_path / "odd", RECIPE)
    assert "a\N{REPLACEMENT CHARACTER}b" in (tmp_path / "odd.svg").read_text()


def test_characters_that_no_font_has_are_named(tmp_path: Path) -> None:
    assert undrawable([bars("Ärzte – Ω − 12 …", "plain")]) == ""
    private = "\U0010f123"
    assert undrawable([bars(f"label {private}")]) == private
    with pytest.raises(InputError, match="holds no font"):
        use_fonts(tmp_path)


@pytest.mark.parametrize(
    ("text", "formats"), [("svg,png", ("svg", "png")), (" png ", ("png",)), ("json,json", ("json",))]
)
def test_formats_are_a_list(text: str, formats: tuple[str, ...]) -> None:
    assert parse_formats(text) == formats


@pytest.mark.parametrize(("text", "named"), [("svg,pdf", "pdf"), ("", "nothing"), (",", "nothing")])
def test_other_formats_are_refused(text: str, named: str) -> None:
    with pytest.raises(InputError, match=rf"--to {text}: {named} is no format: use svg, png, json"):
        parse_formats(text)


@pytest.mark.fit
def test_specs_need_neither_altair_nor_the_library_that_draws() -> None:
    code = (
        "import sys, postcgrp.reports.forecast.figure_set, postcgrp.reports.valuation.figures\n"
        "print(*(m for m in ('altair', 'vl_convert', 'matplotlib') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.fit
@pytest.mark.parametrize(
    "name", variants(["one region, one depth, one modality", "two adoption curves", "only launch", "euros"], stay=1)
)
def test_any_market_has_its_figures(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import vl_convert

    market = prior_set_of(CHANGES[name])
    posterior = prior_tree(market, 40)["posterior"].to_dataset()
    run = DataTree.from_dict({"prior": posterior, "posterior": posterior})
    made = run_figures(run, market, bench_tables(run, market))
    assert {"fan_total", "fan_modality", "exceedance", "growth_bridge", "prior_posterior"} <= set(made)
    assert ("composition_region" in made) == (len(market.ledger.regions) > 1)
    assert ("adoption" in made) == bool(market.modalities("adoption"))
    capfd.readouterr()
    for one in made.values():
        vl_convert.vegalite_to_svg(json.loads(json.dumps(one.spec, allow_nan=False)), show_warnings=True)
    assert not capfd.readouterr().err


@pytest.mark.fit
def test_the_command_writes_figures_and_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = prior_run(prior_set_of(CHANGES["one region, one depth, one modality"]), tmp_path / "run", 20)
    assert main(["figures", str(run.folder), "--to", "svg"]) == 0
    out = tmp_path / "run-figures"
    said = json.loads((out / "manifest.json").read_text())
    assert said["recipe_sha256"] == run.recipe
    assert {path.name for path in out.iterdir()} == {
        "manifest.json",
        *(f"{name}.{kind}" for name in said["figures"] for kind in ("csv", "svg")),
    }
    assert main(["figures", str(run.folder), "--to", "png", "--out", str(out)]) == 0  # its own folder, written anew
    assert not list(out.glob("*.svg"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    capsys.readouterr()
    assert main(["figures", str(run.folder), "--out", str(tmp_path / "mine")]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert main(["figures", str(run.folder), "--to", "gif"]) == 2
    assert "gif is no format" in capsys.readouterr().err
