"""Linear pools: forecasts mixed by weight, how far their members lie apart, and a run that other commands take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from xarray import DataArray

from postcgrp.priors import Ledger, PriorSet, load_overlay, prior_set
from postcgrp.reports.cli.main import main
from postcgrp.reports.forecast import linear_pool as pools
from postcgrp.reports.forecast.linear_pool import linear_pool, pool_spread, turns
from postcgrp.reports.runs.run import Run, open_run
from postcgrp.tests.helpers.paths import EXAMPLES, ROOT
from postcgrp.tests.helpers.stored import prior_run

pytestmark = pytest.mark.slow

WEIGHTS = (0.7, 0.3)
DEAL = EXAMPLES / "noninvasive_us.toml"


@pytest.fixture(scope="module")
def members(ledger: Ledger, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("members")
    sets = {name: prior_set(ledger, load_overlay(name)) for name in ("report", "bottom-up")}
    return {name: prior_run(pset, folder / name, 300, seed) for seed, (name, pset) in enumerate(sets.items())}


@pytest.fixture(scope="module")
def pool(members: dict[str, Run], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return linear_pool(members, WEIGHTS, "panel", out=tmp_path_factory.mktemp("pool") / "run").run


@pytest.mark.parametrize("weights", [(0.7, 0.3), (0.05, 0.15, 0.8), (1.0, 0.0), (0.01, 0.99)])
def test_no_stretch_of_draws_has_more_of_a_member_than_its_weight(weights: tuple[float, ...]) -> None:
    whose = turns(weights, 1000)
    for k, weight in enumerate(weights):
        had = np.cumsum(whose == k)
        assert np.abs(had - weight * np.arange(1, 1001)).max() < len(weights) - 1 + 1e-9


def test_spread_within_and_between_members_is_that_of_the_mixture(pset: PriorSet) -> None:
    rng, anchors = np.random.default_rng(1), list(pset.ledger.report.anchors)

    def totals(mean: float, sd: float) -> DataArray:
        values = rng.normal(mean, sd, (2, 5000, len(anchors)))
        return DataArray(values, {"year": anchors}, ("chain", "draw", "year"))

    found = pool_spread({"low": totals(600, 50), "high": totals(900, 100)}, (0.75, 0.25), pset)
    last = found[found["year"] == anchors[-1]].set_index("set")
    assert last.loc["", "mean"] == pytest.approx(675, abs=4)
    assert last.loc["", "within_sd"] == pytest.approx((0.75 * 50**2 + 0.25 * 100**2) ** 0.5, rel=0.03)
    assert last.loc["", "between_sd"] == pytest.approx(300 * (0.75 * 0.25) ** 0.5, rel=0.03)
    within, between, both = (last[name].astype(float)[""] ** 2 for name in ("within_sd", "between_sd", "sd"))
    assert within + between == pytest.approx(both)
    assert last.loc["low", "median"] == pytest.approx(600, abs=4)
    assert last["between_sd"].isna().tolist() == [True, True, False]


def test_every_draw_of_a_pool_is_one_of_a_member_whole(pool: Run, members: dict[str, Run]) -> None:
    def rows(run: Run) -> list[tuple[float, float]]:
        total = run.posterior["revenue_total"].sel(year=[2025, 2035]).transpose("chain", "draw", "year").values
        return list(map(tuple, total.reshape(-1, 2)))

    mixture, of = rows(pool), {name: set(rows(run)) for name, run in members.items()}
    taken = {name: sum(row in theirs for row in mixture) for name, theirs in of.items()}
    assert taken == {"report": round(0.7 * len(mixture)), "bottom-up": round(0.3 * len(mixture))}
    assert "log_prior" not in pool.tree.children  # of one prior set: a mixture has none
    assert "source_error_lifesciences_industry_research" not in pool.posterior


def test_a_pool_says_what_it_is_and_what_it_is_made_of(pool: Run, members: dict[str, Run]) -> None:
    assert pool.note.startswith("a linear pool of 0.70 report, 0.30 bottom-up")
    assert [part["recipe_sha256"] for part in pool.manifest["linear_pool"]] == [run.recipe for run in members.values()]
    assert pool.recipe not in {run.recipe for run in members.values()}
    assert set(pd.read_csv(pool.folder / "priors.csv")["set"]) == {"report", "bottom-up"}
    assert "A linear pool of 0.70 report" in (pool.folder / "report.html").read_text(encoding="utf-8")


def test_another_weight_is_another_recipe(pool: Run, members: dict[str, Run], tmp_path: Path) -> None:
    again = linear_pool(members, WEIGHTS, "panel", out=tmp_path / "again").run
    other = linear_pool(members, (0.6, 0.4), "panel", out=tmp_path / "other").run
    assert again.recipe == pool.recipe != other.recipe


@pytest.mark.fit
@pytest.mark.parametrize(
    "command",
    [
        ["value", "--deal", str(DEAL)],
        ["export", "--to", "parquet"],
        pytest.param(["export", "--to", "xlsx"], marks=pytest.mark.slow),
        ["page"],
        pytest.param(["figures"], marks=pytest.mark.slow),
        pytest.param(["workbook"], marks=pytest.mark.slow),
        ["exposure", "--shares", str(ROOT / "priors" / "shares.toml")],
        pytest.param(["voi", "--deal", str(DEAL)], marks=pytest.mark.slow),
    ],
    ids=lambda command: " ".join(command[:3:2]),
)
def test_other_commands_take_a_pool(pool: Run, tmp_path: Path, command: list[str]) -> None:
    verb, *rest = command
    suffix = {"page": ".html", "workbook": ".xlsx"}.get(verb, ".xlsx" if "xlsx" in rest else "")
    assert main([verb, str(pool.folder), *rest, "--out", str(tmp_path / f"out{suffix}")]) == 0


@pytest.mark.parametrize("command", [["sensitivity"], ["diagnose"], ["update", "--evidence", "EVIDENCE"]])
def test_what_needs_one_prior_set_refuses_a_pool(
    pool: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("source,quantity,year,value,unit\nvendor,revenue,2027,500,USD million\n", encoding="utf-8")
    verb, *rest = [str(rows) if part == "EVIDENCE" else part for part in command]
    assert main([verb, str(pool.folder), *rest, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "is a linear pool, whose draws are of several prior sets" in said
    assert "ask the runs of its members, report, bottom-up" in said


def test_a_pool_is_compared_without_attribution(pool: Run, members: dict[str, Run]) -> None:
    from postcgrp.reports.sensitivity.comparison import compare

    found = compare(pool, members["report"])
    assert "a linear pool has no density of its own" in found.refused
    assert not found.moved.empty


@pytest.mark.fit
def test_two_sets_make_two_priors_go_together(ledger: Ledger, pset: PriorSet, tmp_path: Path) -> None:
    """What docs/prior-sets.md says of a correlation that no prior set can state: means and sds stay, rho is added."""
    rho, names = 0.6, ("pool_error", "line_price_common")
    runs = {}
    for sign in (1, -1):
        moved = {}
        for name in names:
            (prior,) = pset.blocks[name].priors
            moved[name] = replace(prior, mu=prior.mu + sign * prior.sd * rho**0.5, sd=prior.sd * (1 - rho) ** 0.5)
        blocks = {name: replace(pset.blocks[name], priors=(prior,)) for name, prior in moved.items()}
        to = replace(pset, blocks=pset.blocks | blocks).with_evidence([])
        runs[f"{sign}"] = prior_run(to, tmp_path / f"{sign}", 2000, seed=sign + 2)
    mixture = linear_pool(runs, (0.5, 0.5), "together", out=tmp_path / "pool").run
    draws = np.array([mixture.posterior[name].values.ravel() for name in names])
    assert np.corrcoef(draws)[0, 1] == pytest.approx(rho, abs=0.05)
    for name, values in zip(names, draws, strict=True):
        (prior,) = pset.blocks[name].priors
        assert values.mean() == pytest.approx(prior.mu, abs=0.06 * prior.sd)
        assert values.std() == pytest.approx(prior.sd, rel=0.05)


@pytest.mark.slow
@pytest.mark.fit
def test_a_forecast_of_a_linear_pool_goes_on_from_finished_members(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "panel.toml"
    file.write_text(
        'schema = 1\nname = "panel"\nsays = "so"\npool = "linear"\n'
        '[[member]]\nset = "report"\nweight = 0.67\n[[member]]\nset = "sceptic"\nweight = 0.33\n',
        encoding="utf-8",
    )
    few = ["--draws", "20", "--tune", "40", "--chains", "2"]
    out = tmp_path / "panel"
    assert main(["forecast", "--priors", str(file), "--out", str(out), *few]) == 3  # so few draws miss the gate
    said = capsys.readouterr()
    assert "Medians of 2035 by set: report" in said.out
    assert "the gate of a member failed; the pool is marked so" in said.err
    assert [open_run(tmp_path / "panel-members" / name).sizes for name in ("report", "sceptic")] == [(2, 20)] * 2

    def again(*_: object, **__: object) -> None:
        raise AssertionError("a finished member is fitted again")

    monkeypatch.setattr(pools, "forecast", again)
    assert main(["forecast", "--priors", str(file), "--out", str(out), *few]) == 3
    with pytest.raises(AssertionError, match="fitted again"):
        main(["forecast", "--priors", str(file), "--out", str(out), "--seed", "2", *few])
