"""CPUs as tasks get them: first come, first served, with time slices when others wait."""

from collections import deque
from typing import Final

import simpy

from simcore.environment import Environment

__all__ = ["SLICE_NS", "Cpus"]

SLICE_NS: Final = 3_000_000
"""How long a task may run on while others wait: the base slice of 6.1's fair scheduler."""


class Cpus:
    """A machine's CPUs.

    A task acquires a CPU, keeps it over as many operations as it likes, and releases it when it sleeps or ends; when
    others wait it gives way after `SLICE_NS`. A task that comes back gets the CPU that it had, if that one is idle.

    Attributes:
        running: CPUs in use.
    """

    def __init__(self, env: Environment, count: int) -> None:
        self._env = env
        self._idle: dict[int, None] = dict.fromkeys(range(count))
        self._waiting: deque[simpy.Event] = deque()
        self.count = count

    @property
    def running(self) -> int:
        """CPUs in use."""
        return self.count - len(self._idle)

    @property
    def contended(self) -> bool:
        """Whether a task waits for a CPU."""
        return bool(self._waiting)

    def try_acquire(self, last: int = -1) -> int:
        """An idle CPU, at once: the given one if it is idle, else the one idle longest; -1: none is."""
        idle = self._idle
        if not idle:
            return -1
        if last in idle:
            del idle[last]
            return last
        cpu = next(iter(idle))
        del idle[cpu]
        return cpu

    def acquire(self) -> simpy.Event:
        """An event whose value will be a CPU; for when none is idle."""
        event = self._env.event()
        self._waiting.append(event)
        return event

    def release(self, cpu: int) -> None:
        """Give a CPU to the task that has waited longest, or let it idle."""
        waiting = self._waiting
        while waiting:
            event = waiting.popleft()
            if event.callbacks:  # a task that was killed while it waited has none left
                event.succeed(cpu)
                return
        self._idle[cpu] = None
