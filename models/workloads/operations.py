"""Operations in progress as threads see them: an event for the end of each, and the one alarm that rings for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import simpy

from models.kernel.kernel import Kernel
from models.workloads.burst import CPU_BITS, burst
from models.workloads.clocks import Clocks
from models.workloads.running import cancel, pop
from models.workloads.seats import NOBODY
from simcore.environment import NEVER_NS, Environment

__all__ = ["Operations"]

_LAST: Final = simpy.events.EventPriority(simpy.events.NORMAL + 1)
"""Priority of the alarm: of what happens in the same nanosecond, operations end last."""
_CPU_MASK: Final = (1 << CPU_BITS) - 1


class Operations:
    """Who waits for the end of which operation.

    A thread whose operation ends before anything else happens moves the clock itself and goes on. All others wait for
    an event that belongs to their CPU. The order in which operations end is the same either way, and so is every
    number: at the end of an operation nothing is left that was due before.
    """

    child_ended: Callable[[int], None]
    """Called with the CPU when the operation of a child without a thread has ended and it asks how to go on."""

    def __init__(self, env: Environment, kernel: Kernel, clocks: Clocks, batching: bool) -> None:
        """Begin with none.

        Args:
            batching: False: one operation ends per event, and one fault is one operation of its thread.
        """
        self._env, self._kernel = env, kernel
        self._clocks = clocks.handle
        self._in_progress = memoryview(clocks.clock["in_progress"])  # type: ignore[arg-type]  # NumPy hides its buffer
        self._batching = batching
        self._waiting: list[simpy.Event | None] = [None] * len(clocks.seats)
        self._alarm: simpy.Event | None = None
        self._alarm_ns = NEVER_NS

    @property
    def in_progress(self) -> int:
        """Operations that have begun and not ended."""
        return self._in_progress[0]

    def end_of(self, cpu: int) -> simpy.Event | None:
        """The event that the operation of a CPU ends, begun just now; None: it has ended, and the clock shows it."""
        env = self._env
        code = self._advance(NOBODY) if self._batching else self._look()
        if self._batching and code & _CPU_MASK == cpu + 1 and env.pass_time(code >> CPU_BITS):
            pop(self._clocks)
            return None
        self._set_alarm(env.now + (code >> CPU_BITS))
        event = self._waiting[cpu] = simpy.Event(env)
        return event

    def attend(self) -> None:
        """Operations have begun that no thread waits for: see to it that they end."""
        code = self._advance(NOBODY)
        if code >= 0:
            self._set_alarm(self._env.now + (code >> CPU_BITS))

    def wait_for(self, cpu: int) -> simpy.Event:
        """The event that a CPU's operation ends, which nobody has waited for so far."""
        event = self._waiting[cpu] = simpy.Event(self._env)
        return event

    def run_alone(self, cpu: int) -> None:
        """Do what faults of a CPU can follow its first one before anybody else does anything."""
        if self._batching:
            self._advance(cpu)

    def forget(self, cpu: int) -> None:
        """A CPU's operation will not end: its thread was killed."""
        if cancel(self._clocks, cpu):
            self._waiting[cpu] = None

    def _advance(self, only: int) -> int:
        env, kernel = self._env, self._kernel
        return burst(
            kernel.handle, self._clocks, env.now, env.next_event_ns, only, kernel.node_cache, kernel.node_shift
        )

    def _look(self) -> int:
        """When the next operation ends, without doing anything."""
        return burst(self._kernel.handle, self._clocks, self._env.now, self._env.now, NOBODY, 0, 0)

    def _set_alarm(self, at_ns: int) -> None:
        if at_ns >= self._alarm_ns:
            return
        env = self._env
        alarm = simpy.Event(env)
        alarm._ok, alarm._value = True, None
        alarm.callbacks = [self._ring]
        env.schedule(alarm, _LAST, at_ns - env.now)
        self._alarm, self._alarm_ns = alarm, at_ns

    def _ring(self, alarm: simpy.Event) -> None:
        """Let operations end that are due, and wake their threads."""
        if alarm is not self._alarm:
            return
        env = self._env
        self._alarm, self._alarm_ns = None, NEVER_NS
        rung = False
        while (code := self._advance(NOBODY)) >= 0:
            delay_ns, cpu = code >> CPU_BITS, (code & _CPU_MASK) - 1
            if cpu < 0 or (rung and not self._batching) or not env.pass_time(delay_ns):
                self._set_alarm(env.now + delay_ns)
                return
            rung = True
            pop(self._clocks)
            event, self._waiting[cpu] = self._waiting[cpu], None
            if event is None:
                self.child_ended(cpu)
                continue
            callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
            event._ok, event._value = True, None
            for callback in callbacks:
                callback(event)
