"""The tricks that commands play on their own process, and the time that each saves a user. There are no others.

| trick | saves | where |
|---|---|---|
| no Dask unless a command asks for a cluster | 0.6 s in each process that loads xarray | :func:`without_dask` |
| garbage is collected rarely | 0.2 s of a forecast, 1.2 s of one that compiles | :func:`begin_command` |
| the interpreter is not dismantled at the end | 0.5 s of a command that loaded JAX and PyMC | :func:`end_command` |
| heavy libraries are imported by the functions that use them | what they take to load | at each such import |

Seconds of processor time on two cores; more by the clock where these are busy. What libraries take to load: PyMC 1.7 s,
JAX 1.2, arviz_stats 2.3, scipy.stats 1.5. So bad input is refused, and help printed, before any of them is loaded.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from typing import Any, NoReturn

ALLOCATIONS = 50_000  # between two searches for garbage; Python's own 2 000 searches what will never be garbage
# What XLA itself says on standard error, such as "Very slow compile?", helps nobody who did not write XLA.
ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP
WITHOUT_XLA_REMARKS = ("TF_CPP_MIN_LOG_LEVEL", "3")
_MODULES: dict[str, Any] = sys.modules


def without_dask() -> None:
    """Keep xarray from importing Dask, as it does wherever Dask is installed.

    None in place of a module is how Python itself says that there is no such module.
    """
    _MODULES.setdefault("dask", None)


def with_dask() -> None:
    """Let Dask be imported again, for a command that needs a cluster."""
    if _MODULES.get("dask", sys) is None:
        del _MODULES["dask"]


class Terminated(KeyboardInterrupt):
    """The process was asked to end, by a supervisor or with its terminal: it cleans up as after Ctrl-C."""


def terminate(*signalled: object) -> NoReturn:
    """Raise :class:`Terminated`: a handler of signals."""
    raise Terminated(*signalled)


def begin_command() -> None:
    """Prepare this process for one command."""
    for ending in ENDINGS:
        if signal.getsignal(ending) is signal.SIG_DFL:  # under nohup, SIGHUP is ignored and must stay so
            signal.signal(ending, terminate)
    os.environ.setdefault(*WITHOUT_XLA_REMARKS)  # before XLA is loaded
    without_dask()
    gc.freeze()  # what is imported by now stays until the end
    gc.set_threshold(ALLOCATIONS)


def end_command(status: int) -> NoReturn:
    """End this process with an exit status, once everything printed has left it. Nothing else is cleaned up."""
    with suppress(BrokenPipeError, ValueError):  # nobody reads standard output, or it is closed
        sys.stdout.flush()
    os._exit(status)
