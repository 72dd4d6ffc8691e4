"""Grace periods: a callback waits for whole ticks, few of them where ksoftirqd is at work."""

from __future__ import annotations

from models.kernel.rcu import GracePeriods

TICK_NS = 4_000_000
BATCH = 10


class Ring:
    """Callbacks by when they were queued, and when they ran."""

    def __init__(self, queued_ns: list[int]) -> None:
        self.waiting = sorted(queued_ns)
        self.ran: dict[int, int] = {}

    def until(self, time_ns: int) -> int:
        return sum(queued <= time_ns for queued in self.waiting)

    def run(self, until_ns: int, now_ns: int, most: int = 1 << 30) -> None:
        for queued in [one for one in self.waiting if one <= until_ns][:most]:
            self.ran[queued] = now_ns
            self.waiting.remove(queued)


def ticks(ring: Ring, number: int, *, late_ns: int = 0, idle: bool = False) -> None:
    """Let ticks come; kernel threads run `late_ns` after them."""
    grace = GracePeriods(BATCH)
    for tick in range(1, number + 1):
        now_ns = tick * TICK_NS
        arrived = Ring([one for one in ring.waiting if one <= now_ns])
        done_ns = grace.tick(now_ns, arrived.until, idle=idle)
        ring.run(done_ns, now_ns, BATCH)
        grace.softirqd_woken = ring.until(done_ns) > 0
        later = Ring([one for one in ring.waiting if one <= now_ns + late_ns])
        if grace.kthread_woken:
            grace.run_kthread(now_ns + late_ns, later.until)
        if grace.softirqd_woken:
            ring.run(grace.run_softirqd(idle=idle), now_ns + late_ns)
            if grace.kthread_woken:
                grace.run_kthread(now_ns + late_ns, later.until)


def test_a_callback_alone_runs_at_the_third_tick() -> None:
    """The first begins a grace period, the second ends it, the softirq of the third runs what waited."""
    ring = Ring([1])
    ticks(ring, 5)
    assert ring.ran == {1: 3 * TICK_NS}


def test_while_another_cpu_idles_a_grace_period_is_a_tick_longer() -> None:
    """It reports nothing: the kthread looks for itself, at the second tick of the grace period."""
    alone, steady = Ring([1]), Ring([tick * TICK_NS + 5 for tick in range(20)])
    ticks(alone, 5, idle=True)
    ticks(steady, 60, idle=True)
    assert alone.ran == {1: 4 * TICK_NS}
    assert all(3 * TICK_NS < ran - queued <= 5 * TICK_NS for queued, ran in steady.ran.items())


def test_few_callbacks_wait_two_to_three_ticks() -> None:
    """One every tick: each waits for the grace period after the one in progress."""
    ring = Ring([tick * TICK_NS + 5 for tick in range(20)])
    ticks(ring, 30)
    assert len(ring.ran) == 20
    assert all(2 * TICK_NS < ran - queued <= 3 * TICK_NS for queued, ran in ring.ran.items())


def test_many_callbacks_are_run_by_ksoftirqd_a_tick_earlier() -> None:
    """Once a softirq has more than its batch, the thread that finishes the rest runs after the grace period's end."""
    ring = Ring([step * TICK_NS // 40 for step in range(1, 40 * 20)])
    ticks(ring, 30)
    steady = {queued: ran for queued, ran in ring.ran.items() if queued > 6 * TICK_NS}
    assert all(ran - queued <= 2 * TICK_NS for queued, ran in steady.items())
    assert max(ran - queued for queued, ran in ring.ran.items()) > 2 * TICK_NS


def test_kernel_threads_that_come_late_take_later_callbacks_along() -> None:
    """What was queued until the kthread ran joins the grace period that it begins."""
    ring = Ring([1, TICK_NS + 1, 2 * TICK_NS + 10])
    ticks(ring, 6, late_ns=100)
    assert ring.ran[2 * TICK_NS + 10] == 4 * TICK_NS


def test_callbacks_run_in_the_order_in_which_they_were_queued() -> None:
    """However many there are."""
    ring = Ring([step * 37_000 for step in range(1, 900)])
    ticks(ring, 40)
    assert len(ring.ran) == 899
    assert list(ring.ran) == sorted(ring.ran)
    assert list(ring.ran.values()) == sorted(ring.ran.values())


def test_rest_forgets_what_was_in_progress() -> None:
    """A kernel where nothing waits any more begins a new grace period for the next callback."""
    grace = GracePeriods(BATCH)
    grace.tick(TICK_NS, Ring([1]).until)
    assert grace.kthread_woken
    grace.rest()
    assert not grace.kthread_woken
    assert grace.tick(9 * TICK_NS, Ring([]).until) < TICK_NS
    assert not grace.kthread_woken


def test_who_ends_a_grace_period_before_ksoftirqd_runs_can_end_the_next_after_it() -> None:
    """It reports a quiescent state, unless a CPU idles or nothing is in progress."""
    for idle, begun in ((False, True), (True, True), (False, False)):
        grace = GracePeriods(BATCH)
        if begun:
            grace.tick(TICK_NS, Ring([1]).until)
            grace.run_kthread(TICK_NS, Ring([1]).until)
        grace.run_softirqd(idle=idle)
        assert grace.kthread_woken == (begun and not idle)
