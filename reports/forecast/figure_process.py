"""Figures drawn by a second process: it imports what draws, and draws, while this one samples and writes.

It never starts JAX, so that it may fork: one copy a core then draws the figures that are left.
"""

from __future__ import annotations

import gc
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

from postcgrp.models import variables as v
from postcgrp.priors import PriorSet
from postcgrp.reports.process import without_dask
from postcgrp.reports.runs.groups import group

# A process with more threads cannot fork.
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}
_GIVEN: list[Any] = []  # in a copy: the draws, the prior set, the folder and the recipe


@dataclass(frozen=True)
class Drawing:
    """The two sides of one run's figures: the draws go to the process that draws, the files' paths come back."""

    pset: PriorSet
    process: Connection

    def begin(self, run: DataTree) -> None:
        """Hand over the draws that figures show; the figures of the priors are begun already."""
        shown = shown_variables(self.pset)
        self.send(DataTree.from_dict({name: group(run, name)[shown] for name in ("prior", "posterior")}))

    def add(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """Hand over the tables that the other figures show."""
        self.send(dict(tables))

    def finish(self) -> dict[str, Path]:
        """Wait for the figures: their PNGs by name. Raises what drawing raised."""
        try:
            reply = self.process.recv()
        except (EOFError, ConnectionError):
            raise OSError("the process that draws the figures was killed") from None
        if isinstance(reply, Exception):
            raise reply
        return dict(reply)

    def send(self, what: Any) -> None:
        """One thing to the process that draws."""
        with suppress(ConnectionError):  # it has failed: `finish` says how
            self.process.send(what)


def shown_variables(pset: PriorSet) -> list[str]:
    """The variables that figures are made of: a fraction of what is stored of a draw."""
    adopted = [pset.own(v.ADOPTION_MEAN, m) for m in pset.modalities("adoption")]
    launched = [v.level(pset, m) for m in pset.modalities("launch")]
    return [v.REVENUE, v.REVENUE_TOTAL, v.PATIENTS, v.PRICE, *adopted, *launched]


@contextmanager
def drawing(pset: PriorSet, folder: Path, recipe: str) -> Iterator[Drawing]:
    """A process that draws the figures of one run into `folder` as PNG and SVG, each naming its recipe.

    It starts at once and ends with the block. Not one of `multiprocessing`: those run the caller's script again, take
    Ctrl-C for themselves and wait forever once their parent is killed.
    """
    here, there = Pipe()
    with here, there:
        process = subprocess.Popen(  # noqa: S603  this interpreter, this module
            [sys.executable, "-m", __name__, str(there.fileno())],
            pass_fds=[there.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **ONE_THREAD},
            start_new_session=True,
        )
        there.close()
        try:
            figures = Drawing(pset, here)
            figures.send((pset, folder, recipe))
            yield figures
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and its copies
            process.wait()


def _draw(name: str) -> dict[str, Path]:
    from postcgrp.reports.forecast.figures import FIGURES, save_figures

    run, pset, folder, recipe = _GIVEN
    return save_figures(run, pset, folder, recipe, {name: FIGURES[name]})


def main(connection: Connection) -> None:
    """Draw what is asked for; the end of the connection is the end of the asking process."""
    gc.disable()  # a short life
    without_dask()
    from postcgrp.reports.forecast.attribution_figures import OF_TABLES
    from postcgrp.reports.forecast.figures import FIGURES, save_figures, save_priors

    with suppress(EOFError, ConnectionError):
        pset, folder, recipe = connection.recv()
        try:
            last = save_priors(pset, folder, recipe)
            given = (connection.recv(), pset, folder, recipe)
            # A forked copy has the draws already; nothing is sent to it but a figure's name, or small tables.
            with ProcessPoolExecutor(os.cpu_count() or 1, get_context("fork"), _GIVEN.extend, (given,)) as pool:
                begun = [pool.submit(_draw, name) for name in FIGURES]
                tables = connection.recv()
                begun += [
                    pool.submit(save_figures, tables, pset, folder, recipe, {name: draw})
                    for name, draw in OF_TABLES.items()
                ]
                drawn = {name: path for one in begun for name, path in one.result().items()}
            connection.send(drawn | last)
        except (EOFError, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, it is for the other side to raise
            connection.send(error)


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
