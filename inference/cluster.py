"""Units of work on a Dask cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor
from contextlib import contextmanager

from postcgrp.priors import InputError

RETRIES = 3  # of a unit whose worker was lost or failed; units are idempotent
SECONDS = 10


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """An executor on the workers of the scheduler at `address`; what has not begun is dropped on the way out.

    Workers need this package in the same version, and nothing else: a unit carries its programs and data. A worker's
    programs are executed as they are, so use only a cluster that none but you can reach. Raises :class:`InputError`
    where Dask is not installed, no scheduler answers or it is lost, or one unit has lost worker after worker.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise InputError("--scheduler: needs Dask: pip install 'postcgrp[cluster]'") from None
    try:
        client = Client(address, timeout=SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(f"--scheduler {address}: no scheduler answers ({error}): start one or leave it out") from None
    with _hushed(), client:
        # Pure: a task's key is the hash of its arguments.
        executor = client.get_executor(retries=RETRIES, pure=True)
        try:
            yield executor
        except CancelledError:  # what Dask makes of all that runs when it has lost its scheduler
            raise InputError(
                f"--scheduler {address}: the connection was lost: start the scheduler again and repeat; what was "
                "finished and kept in a folder is not done again"
            ) from None
        except KilledWorker as error:
            raise InputError(
                f"--scheduler {address}: {error.allowed_failures + 1} workers died of one unit of work: look for the "
                "cause in their logs (memory?) and repeat; what was finished and kept in a folder is not done again"
            ) from None
        finally:
            executor.shutdown(wait=False)


@contextmanager
def _hushed() -> Iterator[None]:
    """Without Dask's own account of a lost connection, three tracebacks long; what is raised says so."""
    handlers = logging.getLogger("distributed").handlers
    levels = [handler.level for handler in handlers]
    for handler in handlers:
        handler.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)
