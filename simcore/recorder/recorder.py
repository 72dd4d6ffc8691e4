"""All that one run records, by unique name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from simcore.recorder.buffered import Buffered
from simcore.recorder.counter import Counter
from simcore.recorder.level import Level
from simcore.recorder.tally import Tally
from simcore.recorder.vector import Vector

if TYPE_CHECKING:
    from simcore.columns import Columns
    from simcore.environment import Environment

__all__ = ["Column", "Recorder"]


class Column(NamedTuple):
    """One recorded series: a column of a store."""

    name: str
    columns: Columns
    position: int


class Recorder:
    """All that one run records, by unique name.

    Args:
        env: The environment whose clock stamps the changes.
        max_points: Cap on stored rows per series; ``simcore.columns`` says what is kept beyond it.
    """

    def __init__(self, env: Environment, max_points: int = 65536) -> None:
        self._env = env
        self._max_points = max_points
        self._single: dict[str, Buffered] = {}
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
