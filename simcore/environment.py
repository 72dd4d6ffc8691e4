"""The clock: a SimPy environment in integer nanoseconds, with the run's randomness and records."""

from __future__ import annotations

from heapq import heappop, heappush
from operator import index
from typing import TYPE_CHECKING, Any

import simpy
from simpy.core import BoundClass, StopSimulation

from simcore.recorder import Recorder
from simcore.streams import Streams

if TYPE_CHECKING:
    from simcore.trace import Trace

__all__ = ["NEVER_NS", "Environment", "LateTimeout", "Timeout"]

#: Later than any event: the time of "no event is scheduled".
NEVER_NS = (1 << 63) - 1

_NORMAL = simpy.events.NORMAL
_LAST = _NORMAL + 1
#: Every so often an event is made where none is needed, so that progress shows and limits of wall time hold.
_PASSES = 1024


class Timeout(simpy.Timeout):
    """An event that happens after a whole number of nanoseconds.

    Raises:
        TypeError: The delay is not an integer.
        ValueError: The delay is negative.
    """

    def __init__(self, env: Environment, delay: int, value: Any = None) -> None:
        if type(delay) is not int:
            delay = _whole_ns(delay)
        if delay < 0:
            raise ValueError(f"a delay of {delay} ns is negative")
        # Inlined from simpy.Timeout and Environment.schedule: this is the most frequent call of any run.
        self.env = env
        self.callbacks = []
        self._value = value
        self._delay = delay
        self._ok = True
        heappush(env._queue, (env._now + delay, _NORMAL, next(env._eid), self))


class LateTimeout(Timeout):
    """A timeout that comes after all other events of its nanosecond."""

    env: Environment

    def __init__(self, env: Environment, delay: int) -> None:
        self.env = env
        self.callbacks = []
        self._value = None
        self._delay = delay
        self._ok = True
        heappush(env._queue, (env._now + delay, _LAST, next(env._eid), self))

    def again(self, delay: int) -> LateTimeout:
        """Happen once more, ``delay`` ns from now: for a process that waits again and again; it has been processed."""
        env = self.env
        self.callbacks = []
        heappush(env._queue, (env._now + delay, _LAST, next(env._eid), self))
        return self


def _whole_ns(delay: Any) -> int:
    """Return a NumPy or other integer as int."""
    if not isinstance(delay, bool):
        try:
            return index(delay)
        except TypeError:
            pass
    raise TypeError(f"a delay is a whole number of nanoseconds, not {delay!r} ({type(delay).__name__})")


class Environment(simpy.Environment):
    """A ``simpy.Environment`` whose clock counts integer nanoseconds from 0.

    Args:
        seed: Root of all random streams of the run.
        replication: Which repetition this is; every stream differs between replications.
        max_points: Cap on stored rows per recorded series.

    Attributes:
        streams: Random generators by name.
        recorder: Counters, levels, tallies and vectors by name.
        until_ns: The run stops here at the latest; ``next_event_ns`` never lies beyond it.
        trace: Where the model reports what happens, None when nobody asked for a trace; set before it is built.
    """

    def __init__(self, seed: int = 0, replication: int = 0, max_points: int = 65536) -> None:
        super().__init__(initial_time=0)
        self.streams = Streams(seed, replication)
        self.recorder = Recorder(self, max_points)
        self.until_ns = NEVER_NS
        self.trace: Trace | None = None
        self._count_reads = 0
        self._passes = 0
        self._shared = False

    if TYPE_CHECKING:
        _now: int
        _queue: list[tuple[int, int, int, simpy.Event]]  # type: ignore[assignment]

        @property
        def now(self) -> int:
            """Current simulated time, ns."""

        def timeout(self, delay: int = 0, value: Any = None) -> Timeout:  # type: ignore[override]
            """Return an event that happens after ``delay`` ns."""
    else:
        timeout = BoundClass(Timeout)

    @property
    def next_event_ns(self) -> int:
        """Time of the next scheduled event or of the run's end, the sooner; ``NEVER_NS`` if neither.

        While others still wait to be told of the present event, that is now.
        """
        if self._shared:
            return self._now
        queue = self._queue
        if queue and queue[0][0] < self.until_ns:
            return queue[0][0]
        return self.until_ns

    @property
    def events(self) -> int:
        """Number of events scheduled so far."""
        # SimPy's counter of events can only be read by drawing from it. A gap is harmless: numbers order
        # ties.
        drawn = next(self._eid)
        self._count_reads += 1
        return drawn - (self._count_reads - 1)

    def pass_time(self, delay_ns: int) -> bool:
        """Let time pass within the present event, if nothing else can happen meanwhile.

        It is the same as yielding a timeout, without the cost of one. Now and then it declines all the same, so that
        whoever drives the run is not kept waiting.

        Returns:
            Whether the time has passed; if not, yield a timeout.
        """
        self._passes += 1
        end_ns, queue = self._now + delay_ns, self._queue
        if end_ns >= self.until_ns or (queue and end_ns >= queue[0][0]) or self._shared or self._passes % _PASSES == 0:
            return False
        self._now = end_ns
        return True

    def step(self) -> None:
        """Process one event."""
        queue = self._queue
        self._shared = bool(queue) and len(queue[0][3].callbacks or ()) > 1
        try:
            super().step()
        finally:
            self._shared = False

    def _tell_all(self, callbacks: list[Any], event: simpy.Event) -> None:
        """Call all callbacks of an event at the same time: only the last may let time pass."""
        *others, last = callbacks
        self._shared = True
        try:
            for callback in others:
                callback(event)
        finally:
            self._shared = False
        last(event)

    def advance(self, max_events: int) -> bool:
        """Process up to ``max_events`` events that are due before ``until_ns``.

        Stops early when a callback raises ``simpy.core.StopSimulation`` (see ``stop_at``).

        Returns:
            True when there may be more to do, False when the run is over. The clock then stands at
            ``until_ns`` if events were left beyond it, else at the last event.
        """
        # The loop of simpy.Environment.step, inlined: a call per event costs a tenth of the event.
        queue = self._queue
        until_ns = self.until_ns
        try:
            for _ in range(max_events):
                if not queue:
                    return False
                entry = heappop(queue)
                now = entry[0]
                if now >= until_ns:
                    heappush(queue, entry)
                    self._now = until_ns
                    return False
                self._now = now
                event = entry[3]
                callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
                if len(callbacks) == 1:
                    callbacks[0](event)
                elif callbacks:
                    self._tell_all(callbacks, event)
                if not event._ok and not hasattr(event, "_defused"):
                    raise event._value
        except StopSimulation:
            return False
        return True

    def stop_at(self, event: simpy.Event) -> None:
        """End ``advance`` when ``event`` is processed.

        Raises:
            ValueError: The event has been processed already.
        """
        if event.callbacks is None:
            raise ValueError(f"{event!r} has already been processed")
        event.callbacks.append(StopSimulation.callback)
