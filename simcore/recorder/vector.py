"""Vectors: levels that change together, in an array that compiled code may write."""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from simcore.recorder.buffered import CHUNK

if TYPE_CHECKING:
    from simcore.columns import Columns, Store
    from simcore.environment import Environment

__all__ = ["Vector"]


class Vector:
    """Levels that change together, in one int64 array that the model owns and compiled code may write.

    Change ``values`` in place, then ``note()``: a row is written when any of them differs from the row
    before. The first note sets the starting values. Compiled code does the same with
    ``simcore.columns.note(store.rows, store.book, now, values)``; times must not decrease between notes of
    either kind.

    Attributes:
        names: One name per value.
        values: int64 array of the current values.
        note: ``note()`` records ``values`` at the current time if any has changed.
    """

    def __init__(self, env: Environment, names: tuple[str, ...], max_points: int) -> None:
        from simcore.columns import Columns  # noqa: PLC0415 - see Buffered.flush

        self._env = env
        self.names = names
        self.values: Final[NDArray[np.int64]] = np.zeros(len(names), dtype=np.int64)
        self._columns = Columns(names, np.int64, max_points)
        self._cells = self.values.data.cast("B")
        self._times: list[int] = []
        self._noted = bytearray()
        collector = self._notes()
        next(collector)
        self.note: Callable[[], None] = collector.__next__

    @property
    def store(self) -> Store:
        """The plain arrays that compiled code writes to; from now on every note reaches them at once."""
        self.note = self._note_at_once
        return self.flush().store

    def _notes(self) -> Generator[None, None, None]:
        # Like the collectors of single series: see simcore.recorder.buffered.
        env, times, noted, cells = self._env, self._times, self._noted, self._cells
        while True:
            for _ in range(CHUNK):
                yield
                noted += cells
                times.append(env._now)
            self.flush()

    def _note_at_once(self) -> None:
        self.note_at(self._env._now)

    def note_at(self, time_ns: int) -> None:
        """Record ``values`` at ``time_ns``; for work done ahead in one event."""
        self.flush().note(time_ns, self.values)

    def flush(self) -> Columns:
        """Hand over what has been noted; return the store, whole up to now.

        Raises:
            ValueError: A time before the one recorded last.
        """
        if self._times:
            times = np.frombuffer(struct.pack(f"{len(self._times)}q", *self._times), dtype=np.int64)
            values = np.frombuffer(bytes(self._noted), dtype=np.int64)
            self._times.clear()
            self._noted.clear()
            self._columns.append(times, values)
        return self._columns
