"""CPUs on which the tasks of a recorded fork run where they ran."""

from __future__ import annotations

from collections import deque

import simpy

from models.host.recorded_schedule import Placement
from models.kernel.entities import Task
from models.workloads.clocks import Clocks
from models.workloads.cpu_queue import take_idle
from models.workloads.on_cpu import OnCpu
from models.workloads.seats import NOBODY
from models.workloads.watched_cpus import WatchedCpus
from simcore.environment import Environment

__all__ = ["PlacedCpus"]


class PlacedCpus(WatchedCpus):
    """See `Cpus`: a new task, and the parent whenever it is woken to fork, wait for the CPU that they had.

    Who waits for a certain CPU ends nobody's time slice.
    """

    def __init__(self, env: Environment, clocks: Clocks, placement: Placement) -> None:
        super().__init__(env, clocks)
        self._placement, self._seats = placement, clocks.seats
        self._parent: Task | None = None
        self._waiting_for: list[deque[simpy.Event]] = [deque() for _ in range(self.count)]

    def _wanted(self, who: object, *, new: bool) -> int:
        """The CPU that somebody is to get; NOBODY: any."""
        if not isinstance(who, OnCpu):
            return NOBODY
        if self._parent is None:
            self._parent = who.task
        forked, placement = self._parent.forks, self._placement
        if who.task is self._parent:
            return placement.parents[forked] if forked < len(placement.parents) else NOBODY
        return placement.children[forked - 1] if new and forked <= len(placement.children) else NOBODY

    def try_acquire(self, last: int = NOBODY, who: object = None, *, new: bool = False) -> int:
        """See `Cpus.try_acquire`."""
        cpu = self._wanted(who, new=new)
        if cpu == NOBODY:
            return super().try_acquire(last, who, new=new)
        return take_idle(self._clocks, cpu) if self._seats[cpu]["idle"] else NOBODY

    def acquire(self, who: object = None, *, new: bool = False) -> simpy.Event:
        """See `Cpus.acquire`."""
        cpu = self._wanted(who, new=new)
        if cpu == NOBODY:
            return super().acquire(who, new=new)
        event = self._env.event()
        self._waiting_for[cpu].append(event)
        return event

    def leave_queue(self, event: simpy.Event) -> None:
        """See `Cpus.leave_queue`."""
        queue = next((queue for queue in self._waiting_for if event in queue), None)
        if queue is None:
            super().leave_queue(event)
        else:
            queue.remove(event)

    def release(self, cpu: int, *, sleeps: bool = True) -> None:
        """See `Cpus.release`: first of all to who waits for this very one."""
        if self._waiting_for[cpu]:
            self._look()
            self._waiting_for[cpu].popleft().succeed(cpu)
        else:
            super().release(cpu, sleeps=sleeps)
