"""A second process that draws a run's figures while this one samples and writes, which saves 2 s of a forecast.

It loads matplotlib while this one compiles and samples. It never starts JAX, so it may fork: one copy per core then
draws the figures.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pandas as pd
from xarray import DataTree

from postcgrp.inference.settings import workers
from postcgrp.models import variables as v
from postcgrp.priors import PriorSet
from postcgrp.reports.process import begin_helper, helper_command, helper_environment
from postcgrp.reports.runs.groups import group

_INHERITED: list[Any] = []  # in a forked copy: the draws, the prior set, the folder and the recipe


@dataclass(frozen=True)
class Drawing:
    """The figures of one run: draws and tables go to the process that draws them, the files' paths come back."""

    pset: PriorSet
    process: Connection

    def begin(self, run: DataTree) -> None:
        """Hand over the draws; the figure of the priors needs none and is being drawn already."""
        shown = shown_variables(self.pset)
        self.send(DataTree.from_dict({name: group(run, name)[shown] for name in ("prior", "posterior")}))

    def add(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """Hand over the tables, for the figures that show these."""
        self.send(dict(tables))

    def finish(self) -> dict[str, Path]:
        """Wait for the figures; returns their PNGs by name, or raises what drawing them raised."""
        try:
            reply = self.process.recv()
        except (EOFError, ConnectionError):
            raise OSError("the process that draws the figures was killed") from None
        if isinstance(reply, Exception):
            raise reply
        return dict(reply)

    def send(self, message: Any) -> None:
        """Send one object to the process that draws."""
        with suppress(ConnectionError):  # that process has failed, and `finish` will say how
            self.process.send(message)


def shown_variables(pset: PriorSet) -> list[str]:
    """The variables that figures show, a small part of what a run stores."""
    adopted = [pset.own(v.ADOPTION_MEAN, m) for m in pset.modalities("adoption")]
    launched = [v.level(pset, m) for m in pset.modalities("launch")]
    return [v.REVENUE, v.REVENUE_TOTAL, v.PATIENTS, v.PRICE, *adopted, *launched]


@contextmanager
def drawing(pset: PriorSet, folder: Path, recipe: str) -> Iterator[Drawing]:
    """A process that draws the figures of one run into `folder` as PNG and SVG, each with the hash of its recipe.

    It starts at once and ends with the block. `multiprocessing` is no use here: its processes run the caller's script
    again, take Ctrl-C for themselves and wait forever once their parent is killed.
    """
    here, there = Pipe()
    with here, there:
        process = subprocess.Popen(  # noqa: S603  this interpreter, this module
            helper_command(__name__, str(there.fileno())),
            pass_fds=[there.fileno()],
            env=helper_environment(),
            start_new_session=True,
        )
        there.close()
        try:
            figures = Drawing(pset, here)
            figures.send((pset, folder, recipe))
            yield figures
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with its forked copies
            process.wait()


def _draw(name: str) -> dict[str, Path]:
    """Draw one figure of the run, in a forked copy."""
    # matplotlib is loaded by the process that draws, and not by the one that imports this module for `drawing`
    from postcgrp.reports.forecast.figures import RUN_FIGURES, save_figures

    run, pset, folder, recipe = _INHERITED
    return save_figures(run, pset, folder, recipe, {name: RUN_FIGURES[name]})


def draw_as_told(connection: Connection) -> None:
    """Draw what the other side of the connection asks for, until that process has its answer or is gone."""
    begin_helper()
    from postcgrp.reports.forecast.attribution_figures import TABLE_FIGURES
    from postcgrp.reports.forecast.figures import RUN_FIGURES, save_figures, save_priors

    with suppress(EOFError, ConnectionError):
        pset, folder, recipe = connection.recv()
        try:
            prior_figure = save_priors(pset, folder, recipe)
            inherited = (connection.recv(), pset, folder, recipe)
            # A forked copy has the draws already, so that only a figure's name or small tables are sent to it.
            size = workers(len(RUN_FIGURES) + len(TABLE_FIGURES))
            with ProcessPoolExecutor(size, get_context("fork"), _INHERITED.extend, (inherited,)) as pool:
                begun = [pool.submit(_draw, name) for name in RUN_FIGURES]
                tables = connection.recv()
                begun += [
                    pool.submit(save_figures, tables, pset, folder, recipe, {name: draw})
                    for name, draw in TABLE_FIGURES.items()
                ]
                drawn = {name: path for figure in begun for name, path in figure.result().items()}
            connection.send(drawn | prior_figure)
        except (EOFError, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, the other side raises it
            connection.send(error)


if __name__ == "__main__":
    draw_as_told(Connection(int(sys.argv[1])))
