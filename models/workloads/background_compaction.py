"""kcompactd in time: asked for by kswapd after fragmentation, or at its own look at how fragmented memory is."""

from __future__ import annotations

from typing import Final, cast

import simpy

from models.kernel.compaction.background import Background
from models.kernel.compaction.control import FOR_EVER
from models.workloads.run_queue import Entity
from models.workloads.running import begin
from models.workloads.system import System
from models.workloads.waits import Wait
from models.workloads.watched_cpus import WatchedCpus

__all__ = ["TICK_NS", "Kcompactd", "next_check_ns", "timer_ticks"]

TICK_NS: Final = 4_000_000
"""Period of the timer (HZ=250)."""
_CHECK_TICKS: Final = 125
"""`HPAGE_FRAG_CHECK_INTERVAL_MSEC`, 500 ms."""


def timer_ticks(ticks: int) -> int:
    """Ticks from one that is a multiple of 512 until a timer of some ticks rings [6.1 kernel/time/timer.c].

    From 63 ticks on timers are kept in steps of 8, 64, 512 ... ticks; they ring at the next step after their time.
    """
    level, limit = 0, 63
    while ticks >= limit:
        level, limit = level + 1, limit * 8
    return ((ticks >> 3 * level) + 1) << 3 * level


def next_check_ns(started_ns: int, now_ns: int, steps_from_ns: int = 0) -> int:
    """When kcompactd next looks how fragmented memory is, if it has always found it well and nobody has asked for it.

    Args:
        started_ns: when the thread was started.
        now_ns: the time.
        steps_from_ns: a time at which the timer's count of ticks was a multiple of 8.
    """
    step_ns = 8 * TICK_NS
    first_ns = (started_ns + _CHECK_TICKS * TICK_NS - steps_from_ns) // step_ns * step_ns + step_ns + steps_from_ns
    period_ns = timer_ticks(_CHECK_TICKS) * TICK_NS
    return first_ns + max(0, -(-(now_ns - first_ns) // period_ns)) * period_ns


class Kcompactd:
    """The thread, with kswapd in front of it.

    Attributes:
        background: what the two do.
    """

    def __init__(self, system: System, background: Background, first_check_ns: int) -> None:
        """Start the thread, asleep.

        Args:
            system: a system with `WatchedCpus`; its threads are watched from now on.
            first_check_ns: when it first looks how fragmented memory is.
        """
        self._system = system
        self.background = background
        self._asleep: simpy.Event | None = None
        self._check_ns = first_check_ns
        self._until_work = FOR_EVER
        self._kswapd = Entity(self._run_kswapd)
        cast(WatchedCpus, system.cpus).look = self.look
        system.env.process(self._run())

    def look(self) -> None:
        """A thread has done something: wake kswapd if that has boosted a watermark."""
        if not self.background.boosted:
            return
        if self._system.fair is None:
            self._run_kswapd()
        else:
            self._system.fair.wake(self._kswapd)

    def _run_kswapd(self) -> None:
        """What kswapd does takes no time; it may wake kcompactd."""
        if self.background.wake_kswapd() and self._asleep is not None:
            woken, self._asleep = self._asleep, None
            self._acquire(woken)

    def _acquire(self, woken: simpy.Event) -> None:
        """Let an event happen with a CPU, once there is one."""
        cpus = self._system.cpus
        cpu = cpus.try_acquire(who=self)
        if cpu >= 0:
            woken.succeed(cpu)
        else:

            def pass_on(given: simpy.Event) -> None:
                woken.succeed(given.value)

            cpus.acquire(self).callbacks.append(pass_on)

    def _run(self) -> Wait:
        env, background = self._system.env, self.background
        while True:
            event = self._asleep = env.event()
            if background.proactive:
                yield event | env.timeout(max(0, self._check_ns - env.now))
            else:
                yield event
            woken, self._asleep = self._asleep is None, None
            ticks = _CHECK_TICKS
            if woken or background.requested or background.fragmented():
                if not woken:
                    self._acquire(event)
                cpu = yield event
                self._system.kernel.now_ns = env.now
                before, whole = background.score(), not background.requested
                yield from self._compact(cpu, whole=whole)
                background.requested = False
                if whole and background.score() >= before:
                    ticks <<= 6
            self._check_ns = (env.now // TICK_NS) * TICK_NS + timer_ticks(ticks) * TICK_NS

    def _turn_is_over(self, began_ns: int) -> bool:
        return self._system.cpus.gives_way(began_ns)

    def _ends_with_run(self) -> bool:
        """Whether the turn ends with the run over a zone, though there is another one."""
        return False

    def _give_way(self, cpu: int) -> simpy.Event:
        """Give the CPU away; returns the event of getting it again."""
        self._system.cpus.release(cpu, sleeps=False)
        return self._system.cpus.acquire(self)

    def _compact(self, cpu: int, *, whole: bool) -> Wait:
        """Run over all zones, asking after each tick whether to give way, and for good in the end."""
        system, background = self._system, self.background
        env, kernel, cpus, began_ns = system.env, system.kernel, system.cpus, system.env.now
        ran = False
        for zone in range(len(kernel.store.zones)):
            ended = not background.begin(zone, cpu, whole=whole)
            gives_way = ran and not ended and self._ends_with_run()
            while not ended:
                if gives_way:
                    system.switches += 1
                    cpu = yield self._give_way(cpu)
                    kernel.now_ns = began_ns = env.now
                    background.compaction.control["cpu"] = cpu
                ended, spent_ns = background.run_for(max(1, system.ticks.after(env.now) - env.now), self._until_work)
                begin(kernel.handle, system.clocks.handle, cpu, env.now, spent_ns)
                end = system.operations.end_of(cpu)
                if end is not None:
                    yield end
                gives_way = not ended and self._turn_is_over(began_ns)
            ran = True
        system.switches += 1
        cpus.release(cpu)
