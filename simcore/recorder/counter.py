"""Counters: numbers of happenings since the start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.recorder.buffered import CHUNK, Buffered

if TYPE_CHECKING:
    from simcore.environment import Environment

__all__ = ["Counter"]


class Counter(Buffered):
    """A number of happenings since the start; it only grows.

    Nearly always by one: then the time tells everything, and ``_values`` holds only what was added otherwise.
    """

    def __init__(self, env: Environment, name: str, max_points: int) -> None:
        super().__init__(env, name, "q", max_points)
        self._positions: list[int] = []
        self._taken_over = 0
        self._before = 0
        self.add(0)

    @property
    def value(self) -> int:
        """The number now."""
        return self._before + len(self._times)

    def add(self, amount: int = 1) -> None:
        """Count ``amount`` more at the current time.

        Raises:
            ValueError: ``amount`` is negative.
        """
        times = self._times
        if amount != 1:
            if amount < 0:
                raise ValueError(f"counter {self.name!r} cannot go back by {-amount}")
            self._before += amount - 1
            self._positions.append(len(times))
            self._values.append(amount)
        times.append(self._env._now)
        if len(times) == CHUNK:
            self.flush()

    def _taken(self) -> NDArray[Any]:
        # Nothing here may wrap around: what is counted in all bounds every partial sum.
        self._packed([self.value], "q")
        numbers = np.ones(len(self._times), dtype=np.int64)
        numbers[self._positions] = self._packed(self._values, "q")
        numbers[0] += self._taken_over
        self._taken_over = self.value
        self._before = self.value
        self._positions.clear()
        self._values.clear()
        return numbers.cumsum()
