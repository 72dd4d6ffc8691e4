"""The cyclic garbage collector during a run: out of the way, without letting cycles pile up."""

from __future__ import annotations

import gc
from types import TracebackType

__all__ = ["QuietCollector"]

_COLLECT_AFTER = 2_000_000


class QuietCollector:
    """Context in which automatic collection is off; what was there before is restored after it.

    A run makes many long-lived objects (processes, events), and nearly all that die do so by reference count.
    Automatic collection would traverse the living again and again; here ``step``, called every now and then,
    collects only after as many new objects as survived the last time, so that the cost stays linear.
    """

    def __init__(self) -> None:
        self._was_enabled = gc.isenabled()
        self._limit = _COLLECT_AFTER

    def __enter__(self) -> QuietCollector:
        self._was_enabled = gc.isenabled()
        gc.disable()
        gc.collect(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._was_enabled:
            gc.enable()

    def step(self) -> None:
        """Collect if many objects were made since the last time."""
        made = gc.get_count()[0]
        if made > self._limit:
            gc.collect()
            self._limit = max(_COLLECT_AFTER, made)
