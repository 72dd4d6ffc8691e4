"""Whose turn it is between tasks and kernel threads, where a call may keep the CPU for long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.workloads.run_queue import Entity, RunQueue

MS = 1_000_000
TICK_NS = 4 * MS
SLEEPER_NS = 3 * MS


class Cpu:
    """A queue with a task that runs, and a record of the kernel threads that have."""

    def __init__(self, until_ns: int = 100 * MS) -> None:
        self.queue, self.task = RunQueue(), Entity()
        self.ran: list[str] = []
        self.queue.wake(self.task, 0)
        assert self.queue.resched  # it idled
        assert self.queue.switch(0, sleeps=True) is self.task
        if until_ns:
            self.queue.tick(until_ns)

    def thread(self, name: str) -> Entity:
        """A kernel thread that takes no time."""
        return Entity(lambda: self.ran.append(name))

    def give_way(self, now_ns: int) -> Entity | None:
        """The task asks whether it should."""
        return self.queue.switch(now_ns, sleeps=False)


def after_wait(wait_ns: int) -> tuple[Cpu, Entity]:
    """A CPU on which a thread was woken at 100 ms that got it some time later."""
    cpu = Cpu()
    thread = cpu.thread("a")
    cpu.queue.wake(thread, 100 * MS)
    assert cpu.give_way(100 * MS + wait_ns) is cpu.task
    cpu.ran.clear()
    return cpu, thread


def test_a_sleeper_gets_the_cpu_at_once() -> None:
    """It is placed 3 ms behind the task, and 1 ms is enough."""
    cpu = Cpu()
    cpu.queue.wake(cpu.thread("a"), 100 * MS)
    assert cpu.queue.resched
    assert cpu.give_way(100 * MS) is cpu.task
    assert cpu.ran == ["a"]
    assert not cpu.queue.resched
    cpu.give_way(101 * MS)
    assert cpu.ran == ["a"]


def test_a_task_that_has_just_been_woken_keeps_the_cpu_until_the_next_tick() -> None:
    """Both have slept, and the task has not run for a millisecond yet; its slice is over at the tick."""
    cpu = Cpu(0)
    cpu.queue.wake(cpu.thread("a"), MS)
    assert not cpu.queue.resched
    cpu.queue.tick(TICK_NS)
    assert cpu.queue.resched


@given(waits_ns=st.lists(st.integers(0, TICK_NS), min_size=1, max_size=30))
def test_a_thread_is_charged_for_its_wait(waits_ns: list[int]) -> None:
    """Woken at every tick, given the CPU some time later: by then it is less behind by twice that, as the task is not
    charged; and it is never placed more than 3 ms behind. If that is not enough, it comes a tick later, uncharged."""
    cpu = Cpu()
    queue, thread, now_ns, behind_ns = cpu.queue, cpu.thread("a"), 100 * MS, SLEEPER_NS
    for wait_ns in waits_ns:
        queue.wake(thread, now_ns)
        assert queue.resched == (behind_ns > MS)
        if not queue.resched:
            now_ns += TICK_NS
            queue.tick(now_ns)
            assert queue.resched
            behind_ns += TICK_NS + 2 * wait_ns  # the clock is looked at
        cpu.give_way(now_ns + wait_ns)
        now_ns += TICK_NS
        queue.tick(now_ns)
        behind_ns = min(SLEEPER_NS, behind_ns - wait_ns + (TICK_NS - wait_ns))


def test_after_a_long_wait_a_thread_has_to_wait_for_a_tick_more() -> None:
    """It has been charged for 3.6 ms, so that half a millisecond later it is ahead of the task."""
    cpu, thread = after_wait(3_600_000)
    cpu.queue.tick(104 * MS)
    cpu.queue.wake(thread, 104 * MS)
    assert not cpu.queue.resched
    cpu.queue.tick(108 * MS)
    assert cpu.queue.resched
    cpu.give_way(108 * MS)
    assert cpu.ran == ["a"]


@pytest.mark.parametrize(("wait_ns", "expected"), [(2_400_000, ["a", "b"]), (2_750_000, ["b", "a"])])
def test_who_is_further_behind_runs_first(wait_ns: int, expected: list[str]) -> None:
    """But the one that has preempted comes first if the other one is less than a millisecond behind it."""
    cpu, thread = after_wait(wait_ns)
    cpu.queue.tick(104 * MS)
    cpu.queue.wake(thread, 104 * MS)
    assert cpu.queue.resched
    cpu.queue.wake(cpu.thread("b"), 104 * MS)
    cpu.give_way(104 * MS)
    assert cpu.ran == expected


def test_of_those_that_are_equally_behind_the_first_one_runs_first() -> None:
    """They were woken at the same time, after a long sleep."""
    equal = Cpu()
    for name in "ba":
        equal.queue.wake(equal.thread(name), 100 * MS)
    equal.give_way(100 * MS)
    assert equal.ran == ["b", "a"]


@pytest.mark.parametrize(("wait_ns", "expected"), [(0, ["a", "b", "a"]), (3_500_000, ["a", "b"])])
def test_a_thread_that_another_one_wakes_runs_before_the_task_only_if_it_is_behind(
    wait_ns: int, expected: list[str]
) -> None:
    """`a` was charged for 3.5 ms when `b` wakes it again: then it waits until the task sleeps."""
    cpu, now_ns = Cpu(), 100 * MS + wait_ns
    first = cpu.thread("a")

    def run_second() -> None:
        cpu.ran.append("b")
        cpu.queue.wake(first, now_ns)

    second = Entity(run_second)
    cpu.queue.wake(first, 100 * MS)
    cpu.queue.wake(second, 100 * MS)
    assert cpu.give_way(now_ns) is cpu.task
    assert cpu.ran == expected
    assert cpu.queue.switch(now_ns, sleeps=True) is None
    assert cpu.ran == ["a", "b", "a"]


def test_who_is_woken_after_a_long_wait_of_another_is_placed_behind_the_task() -> None:
    """`a` was charged for 3.9 ms, which puts it ahead of the task; that is no matter to `b`."""
    for wait_ns in (0, 3_900_000):
        cpu, _ = after_wait(wait_ns)
        for late_ns in range(100_000, 3 * MS, 100_000):
            cpu.queue.tick(100 * MS + wait_ns + late_ns)
        cpu.queue.wake(cpu.thread("b"), 103 * MS + wait_ns)
        assert cpu.queue.resched
        cpu.give_way(103 * MS + wait_ns)
        assert cpu.ran == ["b"]


def test_while_the_task_sleeps_all_run() -> None:
    """Nobody else wants the CPU, however much they have had."""
    cpu, thread = after_wait(4 * MS)
    cpu.queue.wake(thread, 104 * MS)
    assert cpu.queue.switch(104 * MS, sleeps=True) is None
    assert cpu.ran == ["a"]


def test_a_task_that_has_slept_preempts_and_a_kernel_thread_does_not_preempt_it() -> None:
    """Both are placed as far behind: so the thread waits until that task sleeps, and does not come before it."""
    cpu, parent = Cpu(), Entity()
    cpu.queue.wake(parent, 100 * MS)
    assert cpu.queue.resched
    assert cpu.give_way(100 * MS) is parent
    cpu.queue.wake(cpu.thread("a"), 100 * MS + 400_000)
    assert not cpu.queue.resched
    assert cpu.queue.switch(100 * MS + 500_000, sleeps=True) is cpu.task
    assert cpu.ran == ["a"]


@pytest.mark.parametrize(("others", "share_ns"), [(0, 3 * MS), (1, 2 * MS), (20, 750_000)])
def test_a_new_task_comes_after_all_others_by_its_share_of_a_period(others: int, share_ns: int) -> None:
    """Of 6 ms, but nobody has less than 0.75."""
    cpu, child = Cpu(), Entity()
    for _ in range(others):
        cpu.queue.fork(Entity(), 100 * MS)
    for waiting in cpu.queue.waiting:
        waiting.ran_ns = cpu.task.ran_ns + 100 * MS
    cpu.queue.fork(child, 100 * MS)
    assert not cpu.queue.resched
    assert child.ran_ns - cpu.task.ran_ns == share_ns


@pytest.mark.parametrize(("ran_ns", "over"), [(3 * MS, False), (3 * MS + 1, True)])
def test_a_turn_ends_at_the_first_tick_after_a_slice(ran_ns: int, over: bool) -> None:
    """Half of 6 ms, with one other."""
    cpu, other = Cpu(), Entity()
    cpu.queue.fork(other, 100 * MS)
    cpu.give_way(100 * MS)
    cpu.queue.tick(100 * MS + ran_ns)
    assert cpu.queue.resched == over


def test_a_slice_ahead_is_enough() -> None:
    """Somebody who is far ahead loses the CPU at the next tick, once it has had it for three quarters of a ms."""
    for on_cpu_ns, over in ((700_000, False), (800_000, True)):
        cpu, other = Cpu(), Entity()
        cpu.queue.wake(other, 100 * MS)
        cpu.task.ran_ns += 4 * MS
        assert cpu.give_way(100 * MS) is other
        other.ran_ns = cpu.task.ran_ns + 4 * MS
        cpu.queue.tick(100 * MS + on_cpu_ns)
        assert cpu.queue.resched == over


def test_who_cannot_be_stopped_keeps_the_cpu_and_is_asked_again() -> None:
    """The other one still waits."""
    cpu, other = Cpu(), Entity()
    cpu.queue.wake(other, 100 * MS)
    assert cpu.give_way(100 * MS) is other
    cpu.queue.keep(cpu.task)
    assert cpu.queue.running is cpu.task
    assert cpu.queue.waiting == [other]
    assert cpu.queue.resched
    assert cpu.give_way(101 * MS) is other
    cpu.queue.keep(other)  # it has it anyway
    assert not cpu.queue.resched


def test_who_leaves_the_queue_gets_nothing() -> None:
    """Nobody else is there."""
    cpu, thread = Cpu(), Entity()
    cpu.queue.wake(thread, 100 * MS)
    cpu.queue.leave(thread)
    assert cpu.give_way(101 * MS) is cpu.task


@pytest.mark.parametrize("behind_ms", [0, 3])
@pytest.mark.parametrize("ran_ms", [0, 50, 500])
def test_who_preempts_is_next_whatever_all_have_had(ran_ms: int, behind_ms: int) -> None:
    """As soon as who runs asks, and before others that wait; who was preempted comes back after it."""
    cpu, other, preempts = Cpu(), Entity(), Entity()
    cpu.queue.wake(other, 100 * MS)
    cpu.task.ran_ns -= behind_ms * MS  # as one that has slept, and has just been woken
    preempts.ran_ns = ran_ms * MS
    cpu.queue.preempt(preempts, 100 * MS)
    assert cpu.queue.resched
    assert cpu.give_way(101 * MS) is preempts
    assert cpu.queue.switch(101 * MS, sleeps=True) in (cpu.task, other)
