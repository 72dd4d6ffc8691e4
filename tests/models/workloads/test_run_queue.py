"""Whose turn it is between a task and kernel threads, where a call may keep the CPU for long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.workloads.run_queue import RunQueue

MS = 1_000_000
TICK_NS = 4 * MS
SLEEPER_NS = 3 * MS


def settled(until_ns: int = 100 * MS) -> RunQueue:
    """A queue whose task has run for long."""
    queue = RunQueue()
    queue.tick(until_ns)
    return queue


def after_wait(wait_ns: int) -> RunQueue:
    """The same, and at 100 ms a thread `a` was woken that got the CPU some time later."""
    queue = settled()
    queue.wake("a", 100 * MS)
    queue.switch(100 * MS + wait_ns, lambda _: None)
    return queue


def test_a_sleeper_gets_the_cpu_at_once() -> None:
    """It is placed 3 ms behind the task, and 1 ms is enough."""
    queue, ran = settled(), list[str]()
    queue.wake("a", 100 * MS)
    assert queue.resched
    queue.switch(100 * MS, ran.append)
    assert ran == ["a"]
    assert not queue.resched
    queue.switch(101 * MS, ran.append)
    assert ran == ["a"]


def test_a_task_that_was_just_woken_keeps_the_cpu_until_the_next_tick() -> None:
    """Both have slept, and the task has not run for a millisecond yet; its slice is over at the tick."""
    queue = RunQueue()
    queue.wake("a", MS - 1)
    assert not queue.resched
    queue.tick(TICK_NS)
    assert queue.resched


@given(waits_ns=st.lists(st.integers(0, TICK_NS), min_size=1, max_size=30))
def test_a_thread_is_charged_for_its_wait(waits_ns: list[int]) -> None:
    """Woken at every tick, given the CPU some time later: by then it is less behind by twice that, as the task is not
    charged; and it is never placed more than 3 ms behind. If that is not enough, it comes a tick later, uncharged."""
    queue, now_ns, behind_ns = settled(), 100 * MS, SLEEPER_NS
    for wait_ns in waits_ns:
        queue.wake("a", now_ns)
        assert queue.resched == (behind_ns > MS)
        if not queue.resched:
            now_ns += TICK_NS
            queue.tick(now_ns)
            assert queue.resched
            behind_ns += TICK_NS + 2 * wait_ns  # the clock is looked at
        queue.switch(now_ns + wait_ns, lambda _: None)
        now_ns += TICK_NS
        queue.tick(now_ns)
        behind_ns = min(SLEEPER_NS, behind_ns - wait_ns + (TICK_NS - wait_ns))


def test_after_a_long_wait_a_thread_has_to_wait_for_a_tick_more() -> None:
    """It has been charged for 3.6 ms, so that half a millisecond later it is ahead of the task."""
    queue, ran = after_wait(3_600_000), list[str]()
    queue.tick(104 * MS)
    queue.wake("a", 104 * MS)
    assert not queue.resched
    queue.tick(108 * MS)
    assert queue.resched
    queue.switch(108 * MS, ran.append)
    assert ran == ["a"]


def test_who_is_further_behind_runs_first() -> None:
    """The one that has not been charged for a wait; of those that are equal, the one that was woken first."""
    queue, ran = after_wait(2_400_000), list[str]()
    queue.tick(104 * MS)
    queue.wake("a", 104 * MS)
    queue.wake("b", 104 * MS)
    queue.switch(104 * MS, ran.append)
    assert ran == ["b", "a"]
    equal = settled()
    equal.wake("b", 100 * MS)
    equal.wake("a", 100 * MS)
    equal.switch(100 * MS, ran.append)
    assert ran[2:] == ["b", "a"]


def test_a_thread_that_another_one_wakes_runs_only_before_the_task_if_it_is_behind() -> None:
    """`a` was charged for 3.5 ms when `b` wakes it again: then it waits."""

    def run(thread: str) -> None:
        ran.append(thread)
        if thread == "b":
            queue.wake("a", now_ns)

    for wait_ns, expected in ((0, ["a", "b", "a"]), (3_500_000, ["a", "b"])):
        queue, ran = settled(), list[str]()
        queue.wake("a", 100 * MS)
        queue.wake("b", 100 * MS)
        now_ns = 100 * MS + wait_ns
        queue.switch(now_ns, run)
        assert ran == expected
        queue.switch(now_ns, ran.append, idle=True)
        assert ran == ["a", "b", "a"]


def test_who_is_woken_after_a_long_wait_of_another_is_placed_behind_the_task() -> None:
    """`a` was charged for 3.9 ms, which puts it ahead of the task; that is no matter to `b`."""
    for wait_ns in (0, 3_900_000):
        queue = after_wait(wait_ns)
        for late_ns in range(100_000, 3 * MS, 100_000):
            queue.tick(100 * MS + wait_ns + late_ns)
        queue.wake("b", 103 * MS + wait_ns)
        assert queue.resched
        ran = list[str]()
        queue.switch(103 * MS + wait_ns, ran.append)
        assert ran == ["b"]


def test_while_the_task_sleeps_all_run() -> None:
    """Nobody else wants the CPU, however much they have had."""
    queue, ran = after_wait(4 * MS), list[str]()
    queue.wake("a", 104 * MS)
    queue.switch(104 * MS, ran.append, idle=True)
    assert ran == ["a"]


def test_nothing_is_left_of_who_has_nothing_to_do() -> None:
    """A queue that was cleared gives the CPU to nobody."""
    queue, ran = settled(), list[str]()
    queue.wake("a", 100 * MS)
    queue.clear()
    queue.switch(101 * MS, ran.append)
    assert ran == []
    assert not queue.resched
