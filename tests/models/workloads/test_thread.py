"""Tasks in time: what an operation takes, who waits for whom, and how tasks die."""

from __future__ import annotations

from collections.abc import Callable, Generator
from itertools import pairwise
from typing import Any

import pytest
import simpy

from models.kernel.errors import KernelRefusal
from models.kernel.limits import User
from models.workloads.cpus import SLICE_NS
from models.workloads.system import System
from models.workloads.thread import Thread
from models.workloads.ticks import Ticks
from models.workloads.waits import Killed
from tests.models.kernel.machines import absent_pages
from tests.models.kernel.systems import check_owners_of, system, thread_of

Life = Generator[simpy.Event, Any, Any]


def live(system: System, *lives: Life) -> list[simpy.Process]:
    processes = [system.env.process(life) for life in lives]
    while system.env.advance(1000):
        pass
    return processes


def secret_pages(thread: Thread, pages: int) -> Life:
    yield from thread.run()
    file = yield from thread.open_secret(pages)
    mapping = yield from thread.map_secret(file, pages)
    yield from thread.touch_secret(mapping, pages)
    return mapping


def test_operations_take_the_time_that_they_cost() -> None:
    """Opening, mapping and faulting moves the clock by at least the costs of the preset."""
    machine = system()
    costs = machine.kernel.costs
    seen: list[int] = []

    def life(thread: Thread) -> Life:
        yield from thread.run()
        file = yield from thread.open_secret(3)
        seen.append(machine.env.now)
        mapping = yield from thread.map_secret(file, 3)
        seen.append(machine.env.now)
        yield from thread.touch_secret(mapping, 3)
        seen.append(machine.env.now)

    live(machine, life(thread_of(machine)))
    assert seen[0] == costs.ns("memfd_secret") + costs.ns("ftruncate")
    assert seen[1] - seen[0] == costs.ns("mmap")
    assert seen[2] - seen[1] >= 3 * costs.ns("secret_fault")


def test_a_refusal_takes_time_and_only_that_of_the_refused() -> None:
    """What the kernel spent on saying no is not charged to whoever comes next."""
    machine = system()
    taken: list[int] = []

    def life(thread: Thread) -> Life:
        yield from thread.run()
        with pytest.raises(KernelRefusal):
            yield from thread.open_secret(1)
        taken.append(machine.env.now)
        yield from thread.spend()
        taken.append(machine.env.now)

    live(machine, life(thread_of(machine, User("user", files_max=0))))
    assert 0 < taken[0] == taken[1]


def test_beyond_the_end_of_a_file_a_task_dies() -> None:
    """SIGBUS, with the pages that it got."""
    machine = system()

    def life(thread: Thread) -> Life:
        yield from thread.run()
        file = yield from thread.open_secret(2)
        mapping = yield from thread.map_secret(file, 5)
        with pytest.raises(Killed, match="SIGBUS"):
            yield from thread.touch_secret(mapping, 5)
        return mapping.touched

    (process,) = live(machine, life(thread_of(machine)))
    assert process.value == 2


def test_tasks_share_one_cpu_in_slices() -> None:
    """While others wait, nobody keeps the CPU much longer than a slice; all get their pages."""
    machine = system(memory="256MiB")
    ran: list[tuple[int, int]] = []

    def life(thread: Thread, name: int) -> Life:
        yield from thread.run()
        for _ in range(40):
            began = machine.env.now
            yield from thread.touch(200)
            ran.append((name, machine.env.now - began))
        yield from thread.exit()

    live(machine, *(life(thread_of(machine), name) for name in range(3)))
    changes = sum(one[0] != other[0] for one, other in pairwise(ran))
    assert changes >= 6
    assert machine.env.now >= 3 * SLICE_NS
    assert machine.cpus.running == 0


def test_a_killed_task_gives_everything_back() -> None:
    """OOM on a full machine: the largest task dies, its secret pages are restored, and the others go on."""
    machine = system(cpus=2)
    ended: list[str] = []

    def life(thread: Thread, pages: int, name: str) -> Life:
        thread.task.process = machine.env.active_process
        try:
            yield from secret_pages(thread, 100)
            yield from thread.touch(pages)
            ended.append(f"{name} done")
        except (Killed, simpy.Interrupt):
            ended.append(f"{name} killed")
        thread.task.process = None
        yield from thread.exit()

    live(machine, life(thread_of(machine), 100_000, "large"), life(thread_of(machine), 4000, "small"))
    assert sorted(ended) == ["large killed", "small done"]
    assert machine.kernel.oom_kills == 1
    assert absent_pages(machine.kernel.store) == 0
    assert not machine.kernel.tasks
    check_owners_of(machine.kernel)


@pytest.mark.parametrize("secret", [False, True])
@pytest.mark.parametrize("at_ns", [1, 20_000, 200_000])
def test_who_is_killed_while_memory_is_given_back_gives_all_of_it_back(secret: bool, at_ns: int) -> None:
    """A fair CPU may be given away in the midst of such a call: its end comes first, and nothing is lost."""
    machine = system(fair=True)
    thread, killed = thread_of(machine), list[bool]()

    def killer(victim: simpy.Process) -> Life:
        yield machine.env.timeout(at_ns)
        victim.interrupt("SIGKILL")

    def life() -> Life:
        yield from thread.run()
        mapping = yield from secret_pages(thread, 600)
        yield from thread.touch(2000)
        machine.env.process(killer(process))
        try:
            if secret:
                yield from thread.unmap(mapping)
                yield from thread.close(thread.task.files[0])
            else:
                yield from thread.unmap(machine.kernel.ordinary(thread.task))
        except simpy.Interrupt:
            killed.append(True)
        yield from thread.exit()

    process = machine.env.process(life())
    live(machine)
    assert killed
    assert absent_pages(machine.kernel.store) == 0
    assert thread.task.user.secret_pages == 0
    check_owners_of(machine.kernel)


def test_a_pool_without_memory_livelocks_and_lets_others_run() -> None:
    """Under 6.1 the fault is retried for ever; whoever can make use of the CPU gets it."""
    machine = system(policy="pmd_pool")
    done: list[int] = []

    def spinner(thread: Thread) -> Life:
        thread.task.process = machine.env.active_process
        yield from secret_pages(thread, 1 << 16)

    def other(thread: Thread) -> Life:
        yield machine.env.timeout(10**9)
        yield from thread.run()
        yield from thread.touch(10)
        done.append(machine.env.now)

    live(machine, spinner(thread_of(machine, User("root", cap_ipc_lock=True))), other(thread_of(machine)))
    assert machine.livelocked == 1
    assert machine.kernel.oom_kills == 0
    assert done


def test_a_task_killed_when_a_cpu_has_just_become_its_own_gives_it_back() -> None:
    """No CPU is lost between the scheduler's decision and a signal in the same instant."""
    machine = system()
    first, second, third = (thread_of(machine) for _ in range(3))
    got: list[str] = []

    def holder() -> Life:
        yield from first.run()
        yield machine.env.timeout(100)
        first.sleep()
        victim.interrupt("SIGKILL")

    def waiting() -> Life:
        try:
            yield from second.run()
            got.append("second")
        except simpy.Interrupt:
            pass

    def patient() -> Life:
        yield from third.run()
        got.append("third")
        third.sleep()

    machine.env.process(holder())
    victim = machine.env.process(waiting())
    live(machine, patient())
    assert got == ["third"]
    assert machine.cpus.running == 0


@pytest.mark.parametrize("fair", [False, True])
def test_only_a_fair_cpu_is_asked_in_the_midst_of_an_unmapping(fair: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere the call is one operation, whose time passes once."""
    machine, spent = system(fair=fair), list[int]()
    thread, spend = thread_of(machine), Thread.spend

    def watched(thread: Thread) -> Life:
        spent.append(machine.env.now)
        return spend(thread)

    def life() -> Life:
        yield from thread.run()
        yield from thread.touch(100)
        monkeypatch.setattr(Thread, "spend", watched)
        yield from thread.unmap(machine.kernel.ordinary(thread.task))

    live(machine, life())
    assert (len(spent) > 1) == fair


def test_an_interrupted_cpu_ends_later() -> None:
    """A fault on another CPU flushes all: an operation in progress is put off by the interrupt's time."""

    def ends(other_faults: bool) -> int:
        machine = system(cpus=2)
        end: list[int] = []

        def long() -> Life:
            thread = thread_of(machine)
            yield from thread.run()
            machine.kernel.spent_ns = 1_000_000
            yield from thread.spend()
            end.append(machine.env.now)

        lives = [long()]
        if other_faults:
            lives.append(secret_pages(thread_of(machine), 10))
        live(machine, *lives)
        return end[0]

    machine = system(cpus=2)
    interrupted = int(machine.kernel.state.costs[0]["interrupted"])
    assert interrupted > 0
    assert ends(True) - ends(False) >= 10 * interrupted


def leave_callbacks(thread: Thread, at_ns: int = 0) -> Life:
    """Have a file and let go of it, at a time or later: what is left of it waits for a grace period."""
    mapping = yield from secret_pages(thread, 1)
    yield from thread.wait_out(max(0, at_ns - thread.system.env.now))
    yield from thread.unmap(mapping)
    yield from thread.close(mapping.file)


@pytest.mark.parametrize(("preemptible", "ticks"), [(True, 3), (False, 4)])
def test_a_task_that_was_just_woken_is_not_preempted_by_the_grace_period(preemptible: bool, ticks: int) -> None:
    """A callback runs at the third tick; at the fourth when the first comes before a kernel thread may take the CPU."""
    machine = system(fair=not preemptible)
    machine.ticks = Ticks(machine.ticks.period_ns, 500_000)
    seen: list[bool] = []

    def life(thread: Thread) -> Life:
        yield from leave_callbacks(thread)
        for tick in range(1, 6):
            yield machine.env.timeout(500_000 + (tick - 1) * machine.ticks.period_ns + 1 - machine.env.now)
            seen.append(machine.kernel.deferred_since_ns() is not None)

    live(machine, life(thread_of(machine)))
    assert seen.index(False) + 1 == ticks


@pytest.mark.parametrize("preemptible", [True, False])
def test_kernel_threads_wait_for_the_end_of_a_call_in_a_kernel_that_is_not_preemptible(preemptible: bool) -> None:
    """A grace period begins and ends with a kernel thread; while one call lasts there, it does neither."""
    machine = system(fair=not preemptible)
    waiting: list[bool] = []

    def life(thread: Thread) -> Life:
        yield from leave_callbacks(thread)
        yield from thread.wait_out(10 * machine.ticks.period_ns)
        waiting.append(machine.kernel.deferred_since_ns() is not None)
        yield from thread.wait_out(4 * machine.ticks.period_ns)
        yield from thread.wait_out(4 * machine.ticks.period_ns)
        waiting.append(machine.kernel.deferred_since_ns() is not None)

    live(machine, life(thread_of(machine)))
    assert waiting == [not preemptible, False]


@pytest.mark.parametrize(
    ("busy_from", "busy_until", "runs"), [(9, 9, 1), (0, 0.6, 10), (0, 2.5, 2.5), (0, 0, 10), (0.5, 20, 10)]
)
def test_a_call_gives_way_where_it_asks(busy_from: float, busy_until: float, runs: float) -> None:
    """In ticks of a call that lasts ten: at one while it still asks, where it asks once more, or at its end."""
    machine = system(fair=True)
    period_ns, ran = machine.ticks.period_ns, list[int]()
    run_kthread = machine.grace.run_kthread

    def watch(now_ns: int, waiting: Callable[[int], int]) -> None:
        ran.append(now_ns)
        run_kthread(now_ns, waiting)

    machine.grace.run_kthread = watch  # type: ignore[method-assign]

    def life(thread: Thread) -> Life:
        yield from leave_callbacks(thread, 2 * period_ns)  # it has run for long
        began_ns = 2 * period_ns
        machine.kernel.busy_from_ns = began_ns + round(busy_from * period_ns)
        machine.kernel.busy_until_ns = began_ns + round(busy_until * period_ns)
        yield from thread.wait_out(began_ns + 10 * period_ns - machine.env.now)
        yield from thread.wait_out(period_ns)

    live(machine, life(thread_of(machine)))
    assert next(time for time in ran if time > 2 * period_ns) == 2 * period_ns + round(runs * period_ns)
