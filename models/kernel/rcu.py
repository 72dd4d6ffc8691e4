"""When callbacks run that wait for an RCU grace period: the tick's softirq, the grace-period kthread, ksoftirqd [6.1].

The rules are those of `rcu_core`, `rcu_gp_kthread` and `__do_softirq`. Callbacks are told apart by when they were
queued, since they run in that order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["NONE_RUN", "GracePeriods"]

NONE_RUN = -1
"""A time before all callbacks."""
_FORCE_AFTER_TICKS: Final = 2
"""Ticks until the kthread looks at CPUs that report nothing: `jiffies_till_first_fqs` is 1, and a timer of one jiffy
rings at the second tick, since it must not ring early (`calc_index`)."""


class GracePeriods:
    """The grace periods of one kernel, from tick to tick.

    A callback joins the grace period after the one in progress, at the first tick after it was queued. The kthread
    that ends a grace period, and begins the next one when somebody waits for it, is woken by the tick that reports the
    CPU's quiescent state: there has been one since it last went to sleep. The callbacks of a grace period that has
    ended run in the next tick's softirq. That softirq gives way after `batch` callbacks, since the kthread wants to
    run; if there are more, ksoftirqd runs them, and after the kthread those of the grace period that ends only now.

    So a callback waits for two to three ticks, where many are queued for one to two.

    A CPU that idles has no tick and reports nothing. While there is one, a grace period lasts until the kthread looks
    for itself and finds it idle: one tick longer, and ksoftirqd ends none.

    Attributes:
        batch: callbacks that a softirq runs before it gives way (`rcutree.blimit`).
        kthread_woken: the grace-period kthread wants to run.
        softirqd_woken: ksoftirqd wants to run.
    """

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self._done_ns = NONE_RUN  # callbacks queued until then may run
        self.rest()

    def rest(self) -> None:
        """Nothing waits: whatever was in progress ends without consequence."""
        self._in_progress = False
        self._next_ns = NONE_RUN  # callbacks queued until then wait for the grace period in progress
        self._ticks = 0  # since it began
        self.kthread_woken = self.softirqd_woken = False

    def tick(self, now_ns: int, waiting: Callable[[int], int], *, idle: bool = False) -> int:
        """Do what the softirq of a tick does.

        Args:
            now_ns: time of the tick.
            waiting: how many callbacks wait that were queued up to a time.
            idle: whether a CPU idles.

        Returns:
            Callbacks queued up to this time may run now. If more are left than the softirq runs, `softirqd_woken` is to
            be set.
        """
        if not self.kthread_woken:
            if self._in_progress:
                self._ticks += 1
                # Quiescent states are reported, or looked for.
                self.kthread_woken = not idle or self._ticks >= _FORCE_AFTER_TICKS
            elif waiting(now_ns) > waiting(self._done_ns):
                self.kthread_woken, self._next_ns = True, now_ns
        return self._done_ns

    def run_kthread(self, now_ns: int, waiting: Callable[[int], int]) -> None:
        """Let the kthread end the grace period and begin the next one; arguments are those of `tick`."""
        if self._in_progress:
            self._done_ns, self._next_ns = self._next_ns, now_ns
            self._in_progress = waiting(now_ns) > waiting(self._done_ns)
        else:
            self._in_progress = True
        self.kthread_woken, self._ticks = False, 0

    def run_softirqd(self, *, idle: bool = False) -> int:
        """Let ksoftirqd run; callbacks queued up to the time returned may run now.

        It reports a quiescent state too: a grace period that has begun right before it can end right after it.
        """
        self.softirqd_woken = False
        self.kthread_woken |= self._in_progress and not idle
        return self._done_ns
