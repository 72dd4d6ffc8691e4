"""Levels: quantities that hold their value until it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simcore.recorder.buffered import CHUNK, Buffered, Collector, sender

if TYPE_CHECKING:
    from simcore.environment import Environment

__all__ = ["Level"]


class Level(Buffered):
    """A quantity that holds its value until it changes: memory in use, tasks alive. Time-weighted.

    Attributes:
        value: The value now; read it, and write it through the functions that follow.
        set: ``set(value)`` changes the value at the current time. A level that began with an int holds only ints.
        add: ``add(amount)`` changes the value by ``amount`` at the current time.
    """

    def __init__(self, env: Environment, name: str, initial: int | float, max_points: int) -> None:
        super().__init__(env, name, "d" if isinstance(initial, float) else "q", max_points)
        self.value: Any = initial
        self.set: Callable[[int | float], None] = sender(self._values_set())
        self.add: Callable[[int | float], None] = sender(self._amounts_added())
        self.set(initial)

    def _values_set(self) -> Collector:
        env, times, values = self._env, self._times, self._values
        while True:
            for _ in range(CHUNK):
                value = yield
                values.append(value)
                times.append(env._now)
                self.value = value
            self.flush()

    def _amounts_added(self) -> Collector:
        env, times, values = self._env, self._times, self._values
        while True:
            for _ in range(CHUNK):
                amount = yield
                value = self.value + amount
                values.append(value)
                times.append(env._now)
                self.value = value
            self.flush()

    def set_at(self, time_ns: int, value: int | float) -> None:
        """Change the value at ``time_ns``, not before the last change; for work done ahead in one event."""
        self._values.append(value)
        self._times.append(time_ns)
        self.value = value
        if len(self._times) >= CHUNK:
            self.flush()
