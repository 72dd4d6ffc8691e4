"""Who gets a CPU that a kernel thread and a task both want: rules of 6.1's fair scheduler [kernel/sched/fair.c].

Both have the same weight, so that virtual runtime is time on the CPU. What counts is by how much the thread has had
more of it. Somebody who wakes is placed at most half a scheduling period behind who runs, and takes the CPU at once if
far enough behind. Otherwise a tick decides: it looks whose turn it is once who runs has had its slice, or is a slice
ahead. That may also be who runs already, and then a new slice begins.
"""

from __future__ import annotations

from models.workloads.cpus import SLICE_NS
from models.workloads.run_queue import SLEEPER_NS, turn_is_over
from models.workloads.system import System

__all__ = ["FairShare"]


class FairShare:
    """Time on the CPU of a kernel thread beside that of all tasks."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._ahead_ns = -SLEEPER_NS
        self._noted_ns = 0
        self._running = False

    @property
    def ahead_ns(self) -> int:
        """By how much the thread has run for longer; it is its turn when this is less than 0."""
        since_ns = self._system.env.now - self._noted_ns
        return self._ahead_ns + (since_ns if self._running else -since_ns)

    def switch(self, *, running: bool) -> None:
        """The thread gets the CPU, or a task does."""
        self._ahead_ns, self._noted_ns, self._running = self.ahead_ns, self._system.env.now, running

    def wake(self) -> None:
        """The thread has slept, and wants the CPU."""
        self.switch(running=False)
        self._ahead_ns = max(self._ahead_ns, -SLEEPER_NS)

    def turn_end_ns(self) -> int:
        """When who gets the CPU now has to give it to the other one: at a tick (`check_preempt_tick`)."""
        now_ns, ticks = self._system.env.now, self._system.ticks
        lead_ns = self.ahead_ns if self._running else -self.ahead_ns
        since_ns, at_ns = now_ns, ticks.after(now_ns)
        while True:
            ran_ns, ahead_ns = at_ns - since_ns, lead_ns + at_ns - now_ns
            if turn_is_over(ran_ns, ahead_ns, SLICE_NS):
                if ahead_ns > 0:
                    return at_ns
                since_ns = at_ns
            at_ns = ticks.after(at_ns)
