"""The error for input that the user can correct, and a collector of several such faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Bad input: one line per fault, naming the value, the rule and the way out. The command line exits with 2.

    Parameters: `faults`, each a line of its own; `args` holds them, and the text joins them by line ends.
    """

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)

    @property
    def faults(self) -> tuple[str, ...]:
        """The lines, in the order in which they were found."""
        return tuple(str(fault) for fault in self.args)

    def __str__(self) -> str:
        """All faults, each on its own line."""
        return "\n".join(self.faults)


class Faults:
    """Collects the faults of several checks, so that all are said in one go."""

    def __init__(self) -> None:
        self.lines: dict[str, None] = {}  # an ordered set: one slip is often found by two checks

    @contextmanager
    def caught(self, before: str = "") -> Iterator[None]:
        """Keeps the faults of an :class:`InputError` raised inside, each after the text `before`."""
        try:
            yield
        except InputError as error:
            self.lines |= dict.fromkeys(before + fault for fault in error.faults)

    def raise_any(self) -> None:
        """Raises an :class:`InputError` with everything that was caught; does nothing if that is nothing."""
        if self.lines:
            raise InputError(*self.lines)
