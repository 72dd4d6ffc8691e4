"""A machine's only CPU as 6.1 gives it away: to tasks and kernel threads, whoever has had least of it."""

from __future__ import annotations

from collections.abc import Callable

import simpy

from models.workloads.clocks import Clocks
from models.workloads.run_queue import Entity, RunQueue
from models.workloads.seats import NOBODY
from models.workloads.watched_cpus import WatchedCpus
from simcore.environment import Environment

__all__ = ["FairCpu"]


class FairCpu(WatchedCpus):
    """One CPU with a run queue. See `Cpus`; nobody waits in its arrays, so that compiled code does not know of it.

    So there are no broods on it, and faults that are batched are not interrupted by tasks: memory that is in pieces,
    for which kcompactd wants the CPU, is faulted in singly.

    Attributes:
        queue: who runs, and who waits.
        contend: called when somebody has to wait: ticks decide for how long.
        asks_often: whoever runs asks after every single fault whether to give way, even if nobody waits.
    """

    contend: Callable[[], None]
    asks_often = False

    def __init__(self, env: Environment, clocks: Clocks) -> None:
        super().__init__(env, clocks)
        self.queue = RunQueue()
        self._entities: dict[object, Entity] = {}
        self._given: dict[Entity, simpy.Event] = {}
        self._handed_over = False

    @property
    def running(self) -> int:
        """See `Cpus.running`."""
        return int(self.queue.running is not None)

    @property
    def contended(self) -> bool:
        """See `Cpus.contended`."""
        return bool(self.queue.waiting)

    @property
    def calm(self) -> bool:
        """See `Cpus.calm`."""
        return not self.queue.resched and not self.asks_often

    def gives_way(self, since_ns: int) -> bool:
        """See `Cpus.gives_way`; lets kernel threads run."""
        self._look()
        before = self.queue.running
        if self.queue.resched and not self._handed_over:
            self._handed_over = self.queue.switch(self._env.now, sleeps=False) is not before
        return self._handed_over

    def settle(self) -> None:
        """Let kernel threads run whose turn it is, though who runs does not ask."""
        before, now_ns = self.queue.running, self._env.now
        first = self.queue.first(now_ns)
        if first is not None and first.work is not None:
            self.queue.switch(now_ns, sleeps=False)
            if before is not None:
                self.queue.keep(before)

    def wake(self, entity: Entity) -> None:
        """A kernel thread that takes no time wants the CPU; ticks look after it if it has to wait."""
        self.queue.wake(entity, self._env.now)
        self._wait_for_ticks()

    def preempt(self, who: object) -> simpy.Event:
        """As `acquire`, for somebody who is next, whatever all have had: as soon as whoever runs asks."""
        entity = self._entities.setdefault(who, Entity())
        self.queue.preempt(entity, self._env.now)
        return self._wait(entity)

    def try_acquire(self, last: int = NOBODY, who: object = None, *, new: bool = False) -> int:
        """See `Cpus.try_acquire`."""
        if self.queue.running is not None or self.queue.waiting:
            return NOBODY
        self._place(who, new=new)
        self.queue.switch(self._env.now, sleeps=True)
        return 0

    def acquire(self, who: object = None, *, new: bool = False) -> simpy.Event:
        """See `Cpus.acquire`; who was told to give way waits already."""
        return self._wait(self._place(who, new=new))

    def _wait(self, entity: Entity) -> simpy.Event:
        """Let somebody wait who is in the queue; on an idle CPU not for long."""
        event = self._given[entity] = self._env.event()
        if self.queue.running is None:
            chosen = self.queue.switch(self._env.now, sleeps=True)
            if chosen is not None:
                self._give(chosen)
        self._wait_for_ticks()
        return event

    def leave_queue(self, event: simpy.Event) -> None:
        """See `Cpus.leave_queue`."""
        entity = next(one for one, given in self._given.items() if given is event)
        del self._given[entity]
        self.queue.leave(entity)

    def release(self, cpu: int, *, sleeps: bool = True) -> None:
        """See `Cpus.release`."""
        chosen = self.queue.running
        if not self._handed_over:
            self._look()
            chosen = self.queue.switch(self._env.now, sleeps=sleeps)
        self._handed_over = False
        if chosen is not None:
            self._give(chosen)

    def _wait_for_ticks(self) -> None:
        if self.queue.waiting:
            self.contend()

    def _place(self, who: object, *, new: bool) -> Entity:
        entity = self._entities.setdefault(who, Entity())
        if entity is not self.queue.running and entity not in self.queue.waiting:
            (self.queue.fork if new else self.queue.wake)(entity, self._env.now)
        return entity

    def _give(self, entity: Entity) -> None:
        self._given.pop(entity).succeed(0)
