"""Whose turn it is on a CPU: 6.1's fair scheduler [kernel/sched/fair.c], for one CPU.

All have the same weight, so that virtual runtime is time on the CPU. Whoever has had least of it is next. Who wakes is
placed at most half a scheduling period behind the others, and is to get the CPU at once if far enough behind whoever
runs; a new task is placed behind all others by its share of a period. Otherwise a tick decides.

A kernel that is not preemptible gives the CPU away only where it asks whether it should, and that may take long. By
then the queue's clock is the one of the wake-up, since that has spared the next switch its look at the clock
(`rq_clock_skip_update` in `check_preempt_curr`): who gets the CPU is charged for the time for which it waited, and who
ran meanwhile is not. So after a long wait a kernel thread is not behind any more, does not get the CPU at once when it
is woken the next time, and waits for one tick more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["Entity", "RunQueue"]

_LATENCY_NS: Final = 6_000_000
"""`sysctl_sched_latency` of one CPU."""
_SLEEPER_NS: Final = _LATENCY_NS // 2
"""How far behind a sleeper is placed at the most (`place_entity`)."""
_WAKEUP_GRANULARITY_NS: Final = 1_000_000
"""By how much somebody who wakes has to be behind to get the CPU at once (`wakeup_gran`)."""
_MIN_GRANULARITY_NS: Final = 750_000
"""Nobody has less for a turn (`sysctl_sched_min_granularity`): with more than eight a period gets longer."""


class Entity:
    """Somebody who runs on the CPU at times.

    Attributes:
        work: what a kernel thread does that takes no time; None: it takes some.
        ran_ns: virtual runtime.
    """

    __slots__ = ("ran_ns", "work")

    def __init__(self, work: Callable[[], object] | None = None) -> None:
        self.work = work
        self.ran_ns = 0


class RunQueue:
    """Who runs on one CPU, and who wants to.

    Attributes:
        running: who has the CPU; None: it idles.
        waiting: who else wants it, in the order in which they came.
        resched: whether it is to be given away.
    """

    def __init__(self) -> None:
        self.running: Entity | None = None
        self.waiting: list[Entity] = []
        self.resched = False
        self._next: Entity | None = None  # woken to get the CPU at once
        self._least_ns = 0  # virtual runtime that all have had, so far (`min_vruntime`)
        self._clock_ns = 0
        self._clock_stays = False  # until the next switch (`RQCF_REQ_SKIP`)
        self._on_cpu_ns = 0  # since who runs was picked

    def wake(self, entity: Entity, now_ns: int) -> None:
        """Somebody who has slept wants the CPU."""
        if entity is self.running or entity in self.waiting:
            return
        self._charge(now_ns)
        entity.ran_ns = max(entity.ran_ns, self._least_ns - _SLEEPER_NS)
        self._join(entity)

    def fork(self, entity: Entity, now_ns: int) -> None:
        """A new task wants the CPU (`START_DEBIT`)."""
        self._charge(now_ns)
        parent_ns = self._least_ns if self.running is None else self.running.ran_ns
        entity.ran_ns = max(parent_ns, self._least_ns + self._slice_ns(1))
        self._join(entity)

    def preempt(self, entity: Entity, now_ns: int) -> None:
        """Somebody who neither runs nor waits is to have the CPU as soon as whoever runs asks, whatever all have had.

        That is nothing that 6.1 does, so that the next switch looks at the clock as always.
        """
        self._charge(now_ns)
        others = self.waiting if self.running is None else [self.running, *self.waiting]
        entity.ran_ns = min([self._least_ns, *(one.ran_ns for one in others)])
        self.waiting.append(entity)
        self.resched, self._next = True, entity

    def _join(self, entity: Entity) -> None:
        self.waiting.append(entity)
        if self.running is None:
            self.resched = True
        elif not self.resched and self.running.ran_ns - entity.ran_ns > _WAKEUP_GRANULARITY_NS:
            self.resched, self._next = True, entity
        self._clock_stays |= self.resched and self.running is not None

    def leave(self, entity: Entity) -> None:
        """Somebody who waits does not want the CPU any more."""
        self.waiting.remove(entity)
        if self._next is entity:
            self._next = None

    def tick(self, now_ns: int) -> None:
        """Look whether the turn of who runs is over, if others wait (`check_preempt_tick`)."""
        self._charge(now_ns)
        if self.running is None or not self.waiting or self.resched:
            return
        slice_ns, ahead_ns = self._slice_ns(), self.running.ran_ns - min(one.ran_ns for one in self.waiting)
        self.resched = self._on_cpu_ns > slice_ns or (self._on_cpu_ns >= _MIN_GRANULARITY_NS and ahead_ns > slice_ns)

    def switch(self, now_ns: int, *, sleeps: bool) -> Entity | None:
        """Give the CPU away: kernel threads run whose turn it is.

        Args:
            now_ns: the time.
            sleeps: who runs does not want the CPU any more.

        Returns:
            Who has it then, and takes time; None: it idles.
        """
        chosen = self._pick(now_ns, sleeps=sleeps)
        while chosen is not None and chosen.work is not None:
            chosen.work()
            chosen = self._pick(now_ns, sleeps=True)
        return chosen

    def first(self, now_ns: int) -> Entity | None:
        """Who would get the CPU if it was given away now; None: nobody wants it."""
        if not self._clock_stays:
            self._charge(now_ns)
        return self._choose([*self.waiting, self.running] if self.running is not None else self.waiting)

    def keep(self, entity: Entity) -> None:
        """Who has just given the CPU away goes on for a while, since it cannot be stopped right now."""
        if self.running is not entity:
            if self.running is not None:
                self.waiting.append(self.running)
            self.waiting.remove(entity)
            self.running, self.resched = entity, True

    def _pick(self, now_ns: int, *, sleeps: bool) -> Entity | None:
        """Put who runs back, and pick who is next (`pick_next_entity`)."""
        if not self._clock_stays:
            self._charge(now_ns)
        self.resched = self._clock_stays = False
        if self.running is not None and not sleeps:
            self.waiting.append(self.running)
        self.running = None
        self._advance()
        chosen = self._choose(self.waiting)
        if chosen is self._next:
            self._next = None
        if chosen is not None:
            self.waiting.remove(chosen)
            self.running, self._on_cpu_ns = chosen, 0
        return chosen

    def _choose(self, wanting: list[Entity]) -> Entity | None:
        """Who has had least; but the one that has preempted if it has had little more."""
        if not wanting:
            return None
        least, preempts = min(wanting, key=_virtual_runtime), self._next
        if preempts in wanting and preempts.ran_ns - least.ran_ns <= _WAKEUP_GRANULARITY_NS:
            return preempts
        return least

    def _slice_ns(self, more: int = 0) -> int:
        """Share of a scheduling period (`sched_slice`), with so many more who want the CPU."""
        return max(_LATENCY_NS // (len(self.waiting) + (self.running is not None) + more), _MIN_GRANULARITY_NS)

    def _charge(self, now_ns: int) -> None:
        """Charge whoever runs for the time since the clock was looked at (`update_curr`)."""
        if self.running is not None:
            self.running.ran_ns += now_ns - self._clock_ns
            self._on_cpu_ns += now_ns - self._clock_ns
            self._advance()
        self._clock_ns = now_ns

    def _advance(self) -> None:
        wanting = self.waiting if self.running is None else [self.running, *self.waiting]
        if wanting:
            self._least_ns = max(self._least_ns, min(one.ran_ns for one in wanting))


def _virtual_runtime(entity: Entity) -> int:
    return entity.ran_ns
