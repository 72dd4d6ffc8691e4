"""kcompactd in time: asked for by kswapd after fragmentation, or at its own look at how fragmented memory is."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final, cast

import simpy

from models.kernel.compaction.background import Background
from models.workloads.cpus import Cpus
from models.workloads.fair_share import FairShare
from models.workloads.running import begin
from models.workloads.system import System
from models.workloads.waits import Wait

__all__ = ["TICK_NS", "Kcompactd", "WatchedCpus", "next_check_ns", "timer_ticks"]

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
        self._cpus = cast(WatchedCpus, system.cpus)
        self._cpus.look = self.look
        self._share = FairShare(system)
        system.env.process(self._run())

    def look(self) -> None:
        """A thread has done something: wake kswapd if that has boosted a watermark.

        kswapd preempts whoever runs: it has slept for long, and sleeps again soon. Who is behind gets the CPU then.
        """
        cpus, share = self._cpus, self._share
        if not self.background.boosted:
            return
        if self.background.wake_kswapd() and self._asleep is not None:
            woken, self._asleep = self._asleep, None
            share.wake()
            cpu = cpus.try_acquire()
            if cpu >= 0:
                woken.succeed(cpu)
                return
            self._queue(woken)
        if cpus.kept_until_ns is not None:
            cpus.kept_until_ns = 0 if share.ahead_ns < 0 else share.turn_end_ns()

    def _queue(self, woken: simpy.Event) -> None:
        """Wait for a CPU, and let an event happen once there is one."""
        self._cpus.kept_until_ns = 0

        def wake(given: simpy.Event) -> None:
            self._cpus.kept_until_ns = None
            woken.succeed(given.value)

        self._cpus.acquire().callbacks.append(wake)

    def _run(self) -> Wait:
        env, background = self._system.env, self.background
        while True:
            event = self._asleep = env.event()
            if background.proactive:
                yield event | env.timeout(max(0, self._check_ns - env.now))
            else:
                yield event
            self._asleep = None
            ticks = _CHECK_TICKS
            if background.requested or background.fragmented():
                cpu = cast(int, event.value) if event.triggered else (yield from self._cpu())
                self._system.kernel.now_ns = env.now
                before, whole = background.score(), not background.requested
                yield from self._compact(cpu, whole=whole)
                background.requested = False
                if whole and background.score() >= before:
                    ticks <<= 6
            self._check_ns = (env.now // TICK_NS) * TICK_NS + timer_ticks(ticks) * TICK_NS

    def _compact(self, cpu: int, *, whole: bool) -> Wait:
        """Run over all zones, giving the CPU away as any task does, and for good in the end."""
        system, background, share = self._system, self.background, self._share
        env, kernel, cpus = system.env, system.kernel, self._cpus
        share.switch(running=True)
        end_ns = share.turn_end_ns()
        for zone in range(len(kernel.store.zones)):
            ended = not background.begin(zone, cpu, whole=whole)
            while not ended:
                ended, spent_ns = background.run_for(max(1, end_ns - env.now))
                begin(kernel.handle, system.clocks.handle, cpu, env.now, spent_ns)
                end = system.operations.end_of(cpu)
                if end is not None:
                    yield end
                if not ended and env.now >= end_ns and cpus.contended:
                    system.switches += 1
                    share.switch(running=False)
                    cpus.release(cpu)
                    woken = env.event()
                    self._queue(woken)
                    cpus.kept_until_ns = share.turn_end_ns()
                    cpu = yield woken
                    kernel.now_ns = env.now
                    background.compaction.control["cpu"] = cpu
                    share.switch(running=True)
                    end_ns = share.turn_end_ns()
        system.switches += 1
        share.switch(running=False)
        cpus.release(cpu)

    def _cpu(self) -> Generator[simpy.Event, Any, int]:
        """Get a CPU after a sleep that nobody ended."""
        self._share.wake()
        cpu = self._cpus.try_acquire()
        if cpu < 0:
            woken = self._system.env.event()
            self._queue(woken)
            cpu = yield woken
        self._system.kernel.now_ns = self._system.env.now
        return cpu


class WatchedCpus(Cpus):
    """CPUs beside whose threads kswapd is woken.

    Attributes:
        look: called whenever a thread asks whether it should give way, or does.
        kept_until_ns: until when a thread keeps its CPU for which kcompactd waits, unless it sleeps; None: it does not.
    """

    slice_ns = 0
    look: Callable[[], None] | None = None
    kept_until_ns: int | None = None

    @property
    def calm(self) -> bool:
        """See `Cpus.calm`; but for what `look` may find."""
        return self.kept_until_ns is None and super().calm

    def gives_way(self, since_ns: int) -> bool:
        """See `Cpus.gives_way`."""
        if self.look is not None:
            self.look()
        if self.kept_until_ns is not None:
            return self._env.now >= self.kept_until_ns
        return self.contended and super().gives_way(since_ns)

    def release(self, cpu: int) -> None:
        """See `Cpus.release`."""
        if self.look is not None:
            self.look()
        super().release(cpu)
