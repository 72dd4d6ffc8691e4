"""How threads wait: generators of events, to be used with ``yield from``."""

from collections.abc import Generator
from typing import Any, Final, cast

import simpy

__all__ = ["AT_ONCE", "Killed", "Wait"]

Wait = Generator[simpy.Event, Any, Any]
AT_ONCE: Final = cast(Wait, ())
"""What there is to wait for when time has passed already."""


class Killed(Exception):  # noqa: N818 - an end that a task may meet, not a fault of the program
    """The task got a signal that ends it: SIGBUS, or SIGKILL from the OOM killer."""

    def __init__(self, signal: str) -> None:
        super().__init__(signal)
        self.signal = signal
