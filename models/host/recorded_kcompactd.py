"""kswapd and kcompactd of a recorded machine, in the turns that they had."""

from __future__ import annotations

from typing import cast

import simpy

from models.host.recorded_schedule import Schedule
from models.kernel.compaction.background import Background
from models.kernel.compaction.control import FOR_EVER
from models.workloads.background_compaction import Kcompactd
from models.workloads.fair_cpus import FairCpu
from models.workloads.system import System
from models.workloads.waits import Wait

__all__ = ["RecordedKcompactd"]


class RecordedKcompactd(Kcompactd):
    """Both threads. What they do in a turn is the model's; where nothing is to be done for them, a turn is passed over.

    Attributes:
        passed_over: how many were.
    """

    def __init__(self, system: System, background: Background, schedule: Schedule) -> None:
        """Start the threads, asleep.

        Args:
            system: a system with a `FairCpu`.
            schedule: the turns that they are to have.
        """
        self._cpu = cast(FairCpu, system.cpus)
        self._cpu.asks_often = True
        self._turns = schedule.turns
        self._at = self.passed_over = 0
        self._removed, self._base = 0, int(system.kernel.store.config[0]["requests"])
        self._running = False
        super().__init__(system, background, 0)

    def _place(self) -> tuple[int, int]:
        """How far the tasks are: see `Turn.place`."""
        kernel, control = self._system.kernel, self.background.compaction.control[0]
        own, counts = int(control["pages_moved"] + control["pages_released"]), kernel.state.counts[0]
        removed = int(counts["removed_pages"])
        if removed != self._removed:
            self._removed, self._base = removed, int(counts["removed_at"]) - own
        return removed, int(kernel.store.config[0]["requests"]) - own - self._base

    def look(self) -> None:
        """A thread has done something, and asks: whoever's turn begins by now has the CPU next."""
        place = self._place()
        while self._at < len(self._turns) and self._turns[self._at].place <= place and self._asleep is not None:
            turn = self._turns[self._at]
            if turn.work is None:
                if not self.background.boosted and not self._next_is_over(place):
                    return  # the request that boosts comes later here
                self.passed_over += not self.background.boosted
                self.background.wake_kswapd()
                self._at += 1
                continue
            self._at += 1
            if self._running or self.background.requested or self.background.fragmented():
                self._begin_turn(turn.work)
            else:
                self.passed_over += 1

    def _next_is_over(self, place: tuple[int, int]) -> bool:
        """Whether kswapd's next turn but one begins by now, too."""
        later = (turn.place for turn in self._turns[self._at + 1 :] if turn.work is None)
        return next(later, (place[0] + 1, 0)) <= place

    def _begin_turn(self, work: int) -> None:
        assert self._asleep is not None
        woken, self._asleep = self._asleep, None
        self._until_work = self.background.work_done + work

        def pass_on(given: simpy.Event) -> None:
            woken.succeed(given.value)

        self._cpu.preempt(self).callbacks.append(pass_on)

    def _run(self) -> Wait:
        while True:
            self._asleep = self._system.env.event()
            cpu = yield self._asleep
            self._system.kernel.now_ns = self._system.env.now
            self._running = True
            yield from self._compact(cpu, whole=not self.background.requested)
            self._running = self.background.requested = False

    def _turn_is_over(self, began_ns: int) -> bool:
        """Whether the turn is over; until then threads that take no time may run."""
        if self.background.work_done >= self._until_work:
            if self._at < len(self._turns):
                return True
            self._until_work = FOR_EVER  # there is no turn left in which it could go on
        self._cpu.settle()
        return False

    def _ends_with_run(self) -> bool:
        return self._until_work >= FOR_EVER

    def _give_way(self, cpu: int) -> simpy.Event:
        self._cpu.release(cpu)
        self._asleep = self._system.env.event()  # from the next question on it may have a turn again
        return self._asleep
