"""Tallies: observations without duration, and their moments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from simcore.recorder.buffered import CHUNK, Buffered, Collector, sender

if TYPE_CHECKING:
    from simcore.environment import Environment

__all__ = ["Tally"]


class Tally(Buffered):
    """Single observations without duration, not time-weighted: the wait of each task, say.

    Attributes:
        observe: ``observe(value)`` takes one observation at the current time.
    """

    def __init__(self, env: Environment, name: str, max_points: int) -> None:
        super().__init__(env, name, "d", max_points)
        self._moments = (0, 0.0, 0.0)
        self._minimum = math.inf
        self._maximum = -math.inf
        self.observe: Callable[[int | float], None] = sender(self._observations())

    def _observations(self) -> Collector:
        env, times, values = self._env, self._times, self._values
        while True:
            for _ in range(CHUNK):
                value = yield
                values.append(value)
                times.append(env._now)
            self.flush()

    def _taken(self) -> NDArray[Any]:
        from simcore.recorder.moments import take  # noqa: PLC0415 - see Buffered.flush

        values = super()._taken()
        self._moments = take(*self._moments, values)
        self._minimum = min(self._minimum, float(values.min()))
        self._maximum = max(self._maximum, float(values.max()))
        return values

    def statistics(self) -> dict[str, int | float]:
        """Return ``count`` and, if there is any, ``mean``, ``std`` (n - 1), ``min`` and ``max``."""
        self.flush()
        seen, mean, deviation = self._moments
        if not seen:
            return {"count": 0}
        return {
            "count": seen,
            "mean": mean,
            "std": math.sqrt(deviation / (seen - 1)) if seen > 1 else 0.0,
            "min": self._minimum,
            "max": self._maximum,
        }
