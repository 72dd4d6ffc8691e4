"""CPUs as tasks get them: first come, first served, with time slices when others wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import simpy

from models.workloads.clocks import Clocks
from models.workloads.cpu_queue import add_thread, adopt_thread, drop_row, release, set_up, take_idle
from models.workloads.seats import NOBODY
from simcore.environment import Environment

__all__ = ["SLICE_NS", "Cpus"]

SLICE_NS: Final = 3_000_000
"""How long a task may run on while others wait: the base slice of 6.1's fair scheduler."""


class Cpus:
    """A machine's CPUs.

    A task acquires a CPU, keeps it over as many operations as it likes, and releases it when it sleeps or ends; when
    others wait it gives way after `SLICE_NS`. A task that comes back gets the CPU that it had, if that one is idle.

    Attributes:
        slice_ns: for how long a thread that got a CPU need not ask whether it gives way.
        count: how many there are.
        waiting: events of the threads that wait, by row of the queue.
        starting: CPUs given to children without a thread that have not begun yet: events, by row.
        start: called with row and CPU when such a child may begin.
    """

    slice_ns = SLICE_NS

    def __init__(self, env: Environment, clocks: Clocks) -> None:
        self._env = env
        self._arrays = clocks  # keeps them alive
        self._clocks = clocks.handle
        self._queue = memoryview(clocks.queue.view("<i8"))  # type: ignore[arg-type]  # NumPy hides its buffer
        self._first, self._idle = (list(clocks.queue.dtype.names or ()).index(name) for name in ("first", "idle"))
        self.count = len(clocks.seats)
        self.waiting: dict[int, simpy.Event] = {}
        self.starting: dict[int, simpy.Event] = {}
        self.start: Callable[[int, int], None]
        self._gone: set[simpy.Event] = set()
        set_up(self._clocks)

    @property
    def running(self) -> int:
        """CPUs in use."""
        return self.count - self._queue[self._idle]

    @property
    def contended(self) -> bool:
        """Whether a task waits for a CPU."""
        return self._queue[self._first] != NOBODY

    @property
    def calm(self) -> bool:
        """Whether no thread will be asked to give way before the next event."""
        return not self.contended

    def gives_way(self, since_ns: int) -> bool:
        """Whether a thread has to give way that has had its CPU since a time."""
        return self._env.now - since_ns >= SLICE_NS and self.contended

    def try_acquire(self, last: int = NOBODY, who: object = None, *, new: bool = False) -> int:
        """An idle CPU, at once: the given one if it is idle, else the one idle longest; -1: none is.

        Args:
            last: the CPU that is preferred.
            who: wants it.
            new: and has never run.
        """
        return take_idle(self._clocks, last)

    def acquire(self, who: object = None, *, new: bool = False) -> simpy.Event:
        """An event whose value will be a CPU, for when none is idle; arguments are those of `try_acquire`."""
        event = self.waiting[add_thread(self._clocks)] = self._env.event()
        return event

    def leave_queue(self, event: simpy.Event) -> None:
        """A thread was killed that waits for the event of a CPU: it is passed over when its turn comes."""
        self._gone.add(event)

    def release(self, cpu: int, *, sleeps: bool = True) -> None:
        """Give a CPU to the task that has waited longest, or let it idle.

        Args:
            cpu: the CPU.
            sleeps: who had it does not want it any more.
        """
        while (row := release(self._clocks, cpu)) != NOBODY:
            event = self.waiting.pop(row, None)
            if event is None:
                self._start(row, cpu)
                return
            drop_row(self._clocks, row)
            if event not in self._gone:
                event.succeed(cpu)
                return
            self._gone.remove(event)

    def hand_over(self, row: int, *, waits: bool) -> simpy.Event | None:
        """A child without a thread gets one: the event of the CPU that it waits for; None: it waits for none.

        Args:
            waits: it is in the queue.
        """
        event = self.starting.pop(row, None)
        if event is not None:
            event.callbacks.clear()
        elif waits:
            event = self.waiting[row] = self._env.event()
            adopt_thread(self._clocks, row)
        return event

    def _start(self, row: int, cpu: int) -> None:
        event = self.starting[row] = self._env.event()

        def begin(_: simpy.Event) -> None:
            del self.starting[row]
            self.start(row, cpu)

        event.callbacks.append(begin)
        event.succeed(cpu)
