"""What a model records while it runs: counters, levels, tallies and vectors, written on change.

All of them keep their changes in a column store (``simcore.columns``). From Python a change is two appends to
compact buffers, which the store takes over in chunks; the result does not depend on where chunks end.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from simcore.columns import Columns, Store
    from simcore.environment import Environment

__all__ = ["Column", "Counter", "Level", "Recorder", "Tally", "Vector"]

_CHUNK = 4096


class Column(NamedTuple):
    """One recorded series: a column of a store."""

    name: str
    columns: Columns
    position: int


class _Buffered:
    """A single column that collects changes in two lists and hands them to its store in chunks."""

    __slots__ = ("_code", "_columns", "_env", "_max_points", "_times", "_values", "name", "value")

    def __init__(self, env: Environment, name: str, code: str, max_points: int) -> None:
        self._env = env
        self.name = name
        self._code = code
        self._times: list[int] = []
        self._values: list[Any] = []
        self._max_points = max_points
        self._columns: Columns | None = None
        self.value: Any = 0

    def flush(self) -> Columns:
        """Hand over what is buffered; return the store, whole up to now.

        Raises:
            TypeError: A value that the series cannot hold, e.g. a float in a level of integers.
            ValueError: A time before the one recorded last, or a NaN.
        """
        if self._columns is None:
            # Numba takes a moment to import: only a run that records pays for it.
            from simcore.columns import Columns  # noqa: PLC0415

            self._columns = Columns(
                [self.name], np.int64 if self._code == "q" else np.float64, self._max_points
            )
        if self._times:
            times: NDArray[np.int64] = np.frombuffer(self._packed(self._times, "q"), dtype=np.int64)
            values: NDArray[Any] = np.frombuffer(self._packed(self._values, self._code), self._columns.dtype)
            self._times.clear()
            self._values.clear()
            self._take(values)
            self._columns.append(times, values)
        return self._columns

    def _packed(self, numbers: list[Any], code: str) -> bytes:
        # struct is three times as fast as np.array, and refuses what does not fit where NumPy would round it.
        try:
            return struct.pack(f"{len(numbers)}{code}", *numbers)
        except struct.error:
            for number in numbers:
                try:
                    struct.pack(code, number)
                except struct.error:
                    kind = "64-bit integers" if code == "q" else "numbers"
                    raise TypeError(f"series {self.name!r} holds {kind}, not {number!r}") from None
            raise

    def _take(self, values: NDArray[Any]) -> None:
        """See a chunk before it goes to the store."""


class Level(_Buffered):
    """A quantity that holds its value until it changes: memory in use, tasks alive. Time-weighted.

    ``value`` is the value now; read it, and write it through ``set`` or ``add``.
    """

    __slots__ = ()

    def __init__(self, env: Environment, name: str, initial: int | float, max_points: int) -> None:
        super().__init__(env, name, "d" if isinstance(initial, float) else "q", max_points)
        self.set(initial)

    def set(self, value: int | float) -> None:
        """Change the value at the current time. A level that began with an int holds only ints."""
        self._values.append(value)
        times = self._times
        times.append(self._env._now)
        self.value = value
        if len(times) == _CHUNK:
            self.flush()

    def add(self, amount: int | float) -> None:
        """Change the value by ``amount`` at the current time."""
        value = self.value + amount
        self._values.append(value)
        times = self._times
        times.append(self._env._now)
        self.value = value
        if len(times) == _CHUNK:
            self.flush()

    def set_at(self, time_ns: int, value: int | float) -> None:
        """Change the value at ``time_ns``, not before the last change; for work done ahead in one event."""
        self._values.append(value)
        self._times.append(time_ns)
        self.value = value
        if len(self._times) == _CHUNK:
            self.flush()


class Counter(_Buffered):
    """A number of happenings since the start; it only grows."""

    __slots__ = ()

    def __init__(self, env: Environment, name: str, max_points: int) -> None:
        super().__init__(env, name, "q", max_points)
        self._times.append(env._now)
        self._values.append(0)

    def add(self, amount: int = 1) -> None:
        """Count ``amount`` more at the current time.

        Raises:
            ValueError: ``amount`` is negative.
        """
        if amount < 0:
            raise ValueError(f"counter {self.name!r} cannot go back by {-amount}")
        value = self.value + amount
        self._values.append(value)
        times = self._times
        times.append(self._env._now)
        self.value = value
        if len(times) == _CHUNK:
            self.flush()


class Tally(_Buffered):
    """Single observations without duration, not time-weighted: the wait of each task, say."""

    __slots__ = ("_deviation", "_maximum", "_mean", "_minimum", "_seen")

    def __init__(self, env: Environment, name: str, max_points: int) -> None:
        super().__init__(env, name, "d", max_points)
        self._seen = 0
        self._mean = 0.0
        self._deviation = 0.0
        self._minimum = math.inf
        self._maximum = -math.inf

    def observe(self, value: int | float) -> None:
        """Take one observation at the current time."""
        self._values.append(value)
        times = self._times
        times.append(self._env._now)
        if len(times) == _CHUNK:
            self.flush()

    def _take(self, values: NDArray[Any]) -> None:
        # Welford's recurrence, one observation at a time: the sums do not depend on where chunks end.
        seen, mean, deviation = self._seen, self._mean, self._deviation
        for value in values.tolist():
            seen += 1
            delta = value - mean
            mean += delta / seen
            deviation += delta * (value - mean)
        self._seen, self._mean, self._deviation = seen, mean, deviation
        self._minimum = min(self._minimum, float(values.min()))
        self._maximum = max(self._maximum, float(values.max()))

    def statistics(self) -> dict[str, int | float]:
        """Return ``count`` and, if there is any, ``mean``, ``std`` (n - 1), ``min`` and ``max``."""
        self.flush()
        if not self._seen:
            return {"count": 0}
        spread = math.sqrt(self._deviation / (self._seen - 1)) if self._seen > 1 else 0.0
        return {
            "count": self._seen,
            "mean": self._mean,
            "std": spread,
            "min": self._minimum,
            "max": self._maximum,
        }


class Vector:
    """Levels that change together, in one int64 array that the model owns and compiled code may write.

    Change ``values`` in place, then ``note()``: a row is written when any of them differs from the row
    before. The first note sets the starting values. Compiled code does the same with
    ``simcore.columns.note(store.rows, store.book, now, values)``; times must not decrease between notes of
    either kind.

    Attributes:
        names: One name per value.
        values: int64 array of the current values.
    """

    def __init__(self, env: Environment, names: tuple[str, ...], max_points: int) -> None:
        from simcore.columns import Columns  # noqa: PLC0415 - see _Buffered.flush

        self._env = env
        self.names = names
        self.values: NDArray[np.int64] = np.zeros(len(names), dtype=np.int64)
        self._columns = Columns(names, np.int64, max_points)

    @property
    def store(self) -> Store:
        """The plain arrays that compiled code writes to."""
        return self._columns.store

    def note(self) -> None:
        """Record ``values`` at the current time if any has changed."""
        self._columns.note(self._env._now, self.values)

    def note_at(self, time_ns: int) -> None:
        """Record ``values`` at ``time_ns``; for work done ahead in one event."""
        self._columns.note(time_ns, self.values)

    def flush(self) -> Columns:
        """Return the store."""
        return self._columns


class Recorder:
    """All that one run records, by unique name.

    Args:
        env: The environment whose clock stamps the changes.
        max_points: Cap on stored rows per series; ``simcore.columns`` says what is kept beyond it.
    """

    def __init__(self, env: Environment, max_points: int = 65536) -> None:
        self._env = env
        self._max_points = max_points
        self._single: dict[str, _Buffered] = {}
        self._vectors: list[Vector] = []
        self._names: set[str] = set()

    def counter(self, name: str) -> Counter:
        """Return a new counter.

        Raises:
            ValueError: The name is taken (as for all that follow).
        """
        self._claim([name])
        counter = Counter(self._env, name, self._max_points)
        self._single[name] = counter
        return counter

    def level(self, name: str, initial: int | float = 0) -> Level:
        """Return a new level; it holds int64, or float64 when ``initial`` is a float."""
        self._claim([name])
        level = Level(self._env, name, initial, self._max_points)
        self._single[name] = level
        return level

    def tally(self, name: str) -> Tally:
        """Return a new tally of float64 observations."""
        self._claim([name])
        tally = Tally(self._env, name, self._max_points)
        self._single[name] = tally
        return tally

    def vector(self, names: Iterable[str]) -> Vector:
        """Return a new vector of int64 levels that change together."""
        names = tuple(names)
        self._claim(names)
        vector = Vector(self._env, names, self._max_points)
        self._vectors.append(vector)
        return vector

    @property
    def names(self) -> list[str]:
        """All series names, sorted."""
        return sorted(self._names)

    def finish(self) -> None:
        """Settle everything up to the current time; called once, at the end of a run."""
        for vector in self._vectors:
            vector.note()
        for single in self._single.values():
            single.flush()

    def columns(self) -> Iterator[Column]:
        """Yield every series in order of name, whole up to now. A series without any row is left out."""
        found = [Column(name, single.flush(), 0) for name, single in self._single.items()]
        for vector in self._vectors:
            found += [Column(name, vector.flush(), position) for position, name in enumerate(vector.names)]
        return (column for column in sorted(found, key=lambda column: column.name) if len(column.columns))

    def statistics(self, end_ns: int) -> dict[str, dict[str, int | float]]:
        """Return per series its ``final``, ``min``, ``max``, ``mean`` over time and exact ``integral``.

        A tally has ``count``, ``mean``, ``std``, ``min``, ``max`` of its observations instead.
        """
        result: dict[str, dict[str, int | float]] = {}
        for name, columns, position in self.columns():
            single = self._single.get(name)
            if isinstance(single, Tally):
                result[name] = {"final": columns.final(position)} | single.statistics()
                continue
            integral = columns.integral(position, end_ns)
            elapsed_ns = end_ns - columns.began_ns
            result[name] = {
                "final": columns.final(position),
                "min": columns.minimum(position),
                "max": columns.maximum(position),
                "mean": integral / elapsed_ns if elapsed_ns else float(columns.final(position)),
                "integral": integral,
            }
        return result

    def _claim(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._names:
                raise ValueError(f"there is already a series named {name!r}")
            if not name or name == "time_ns" or name.endswith((".min", ".max")):
                raise ValueError(
                    f"{name!r} cannot name a series: time_ns, *.min and *.max are the table's own"
                )
            self._names.add(name)
