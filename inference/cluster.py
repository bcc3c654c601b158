"""An executor that runs units of work on a Dask cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor
from contextlib import contextmanager

from postcgrp.priors import InputError

RETRIES = 3  # of a unit whose worker was lost or failed; to run a unit again does no harm
CONNECTION_SECONDS = 10


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """An executor on the workers of the scheduler at `address`; units that have not begun are dropped on the way out.

    Workers need this package in the same version, and nothing else: a unit carries its programs and data. They execute
    those programs unchecked, so use only a cluster that nobody else can reach. Raises :class:`InputError` where Dask is
    not installed, no scheduler answers, the connection is lost, or one unit has killed several workers.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise InputError("--scheduler: needs Dask: pip install 'postcgrp[cluster]'") from None
    try:
        client = Client(address, timeout=CONNECTION_SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(f"--scheduler {address}: no scheduler answers ({error}): start one or leave it out") from None
    with _hushed(), client:
        # `pure` names a task by the hash of its arguments: a unit sent twice is run once.
        executor = client.get_executor(retries=RETRIES, pure=True)
        try:
            yield executor
        except CancelledError:  # raised for every running task when Dask has lost its scheduler
            raise InputError(
                f"--scheduler {address}: the connection was lost: start the scheduler again and repeat; fits "
                "that were kept in a folder are not made again"
            ) from None
        except KilledWorker as error:
            raise InputError(
                f"--scheduler {address}: {error.allowed_failures + 1} workers died of one unit of work: look for the "
                "cause in their logs (memory?) and repeat; fits that were kept in a folder are not made again"
            ) from None
        finally:
            executor.shutdown(wait=False)


@contextmanager
def _hushed() -> Iterator[None]:
    """Silence Dask's own report of a lost connection, three tracebacks long; the error raised says it in one line."""
    handlers = logging.getLogger("distributed").handlers
    levels = [handler.level for handler in handlers]
    for handler in handlers:
        handler.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)
