"""Whose turn it is on a CPU that kernel threads want beside its task: 6.1's fair scheduler [kernel/sched/fair.c].

All have the same weight, so that virtual runtime is time on the CPU. Whoever wakes is placed at most half a scheduling
period behind the others, and is to get the CPU at once if it is far enough behind whoever runs; otherwise a tick
decides. But a kernel that is not preemptible gives the CPU away only where it asks whether it should, and that may take
long. By then the queue's clock is the one of the wake-up, since that has spared the next switch its look at the clock
(`rq_clock_skip_update` in `check_preempt_curr`): the thread is charged for the time in which it waited, and the task,
which ran meanwhile, is not. So after a long wait the thread is not behind any more, does not get the CPU at once when
it is woken the next time, and waits for one tick more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["SLEEPER_NS", "RunQueue", "turn_is_over"]

_TASK: Final = ""
_LATENCY_NS: Final = 6_000_000
"""`sysctl_sched_latency` of one CPU."""
SLEEPER_NS: Final = _LATENCY_NS // 2
"""How far behind a sleeper is placed at the most (`place_entity`)."""
_WAKEUP_GRANULARITY_NS: Final = 1_000_000
"""By how much somebody who wakes has to be behind to get the CPU at once (`wakeup_gran`)."""
_MIN_GRANULARITY_NS: Final = 750_000


def turn_is_over(on_cpu_ns: int, ahead_ns: int, slice_ns: int) -> bool:
    """Whether a tick looks whose turn it is, as somebody waits (`check_preempt_tick`).

    Args:
        on_cpu_ns: for how long who runs has had the CPU now.
        ahead_ns: by how much more of it he has had in all than the one who is furthest behind.
        slice_ns: his share of a scheduling period.
    """
    return on_cpu_ns > slice_ns or (on_cpu_ns >= _MIN_GRANULARITY_NS and ahead_ns > slice_ns)


class RunQueue:
    """Time on one CPU of its task, which has just been woken, and of kernel threads, which take no time themselves.

    All tasks of a machine are one here, and it runs whenever no thread does.

    Attributes:
        resched: whether the CPU is to be given away.
    """

    def __init__(self) -> None:
        self.resched = False
        self._ran_ns = {_TASK: -SLEEPER_NS}  # virtual runtimes
        self._least_ns = 0  # of them so far, of those who want the CPU (`min_vruntime`)
        self._queue: list[str] = []
        self._running = _TASK
        self._clock_ns = 0
        self._clock_stays = False  # until the next switch (`RQCF_REQ_SKIP`)
        self._picked_ns = 0  # when the task got the CPU

    def _charge(self, now_ns: int) -> None:
        """Charge whoever runs for the time since the clock was looked at (`update_curr`)."""
        self._ran_ns[self._running] += now_ns - self._clock_ns
        self._clock_ns = now_ns
        self._advance()

    def _advance(self) -> None:
        least_ns = min(self._ran_ns[one] for one in (_TASK, self._running, *self._queue))
        self._least_ns = max(self._least_ns, least_ns)

    def tick(self, now_ns: int) -> None:
        """Look whether the task's turn is over, if others wait."""
        self._charge(now_ns)
        if self._queue and not self.resched:
            slice_ns, on_cpu_ns = _LATENCY_NS // (1 + len(self._queue)), now_ns - self._picked_ns
            ahead_ns = self._ran_ns[_TASK] - min(self._ran_ns[one] for one in self._queue)
            self.resched = turn_is_over(on_cpu_ns, ahead_ns, slice_ns)

    def wake(self, thread: str, now_ns: int) -> None:
        """A thread wants the CPU, if it did not already."""
        if thread in self._queue:
            return
        self._charge(now_ns)
        placed_ns = self._least_ns - SLEEPER_NS
        self._ran_ns[thread] = max(self._ran_ns.get(thread, placed_ns), placed_ns)
        self._queue.append(thread)
        self.resched |= self._ran_ns[self._running] - self._ran_ns[thread] > _WAKEUP_GRANULARITY_NS
        self._clock_stays |= self.resched

    def switch(self, now_ns: int, run: Callable[[str], object], *, idle: bool = False) -> None:
        """Give the CPU to the threads whose turn it is, one after the other, and back to the task.

        Args:
            now_ns: when the CPU is given away; threads take no time.
            run: called with each thread; it may wake others.
            idle: the task sleeps.
        """
        if not self._clock_stays:
            self._charge(now_ns)
        self.resched = self._clock_stays = False
        while self._queue:
            thread = min(self._queue, key=self._ran_ns.__getitem__)
            if not idle and self._ran_ns[thread] > self._ran_ns[_TASK]:
                break
            self._queue.remove(thread)
            self._running = thread
            run(thread)
            self._charge(now_ns)
            self.resched = self._clock_stays = False
            self._running = _TASK
            self._advance()
        self._picked_ns = now_ns

    def clear(self) -> None:
        """No thread has anything to do any more."""
        self._queue.clear()
        self.resched = self._clock_stays = False
