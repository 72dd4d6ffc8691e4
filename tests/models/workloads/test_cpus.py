"""CPUs: first come, first served, and back to where one was."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy

from models.workloads.clocks import Clocks
from models.workloads.cpus import Cpus
from simcore.environment import Environment


def test_the_cpu_idle_longest_is_taken_unless_the_last_one_is_idle() -> None:
    """A task that comes back finds its caches where it left them."""
    cpus = Cpus(Environment(), Clocks(3))
    assert [cpus.try_acquire() for _ in range(3)] == [0, 1, 2]
    assert cpus.try_acquire() == -1
    assert cpus.running == 3
    for cpu in (2, 0, 1):
        cpus.release(cpu)
    assert cpus.try_acquire(last=1) == 1
    assert cpus.try_acquire(last=1) == 2
    assert cpus.running == 2


def test_first_come_first_served() -> None:
    """A released CPU goes to the task that has waited longest."""
    env = Environment()
    cpus = Cpus(env, Clocks(1))
    served: list[tuple[str, int]] = []

    def task(name: str) -> Generator[simpy.Event, Any, None]:
        cpu = cpus.try_acquire()
        if cpu < 0:
            cpu = yield cpus.acquire()
        served.append((name, env.now))
        yield env.timeout(10)
        cpus.release(cpu)

    for name in "abc":
        env.process(task(name))
    env.run()
    assert served == [("a", 0), ("b", 10), ("c", 20)]
    assert not cpus.contended
    assert cpus.running == 0


def test_a_task_killed_while_it_waits_is_passed_over() -> None:
    """Its place in the queue does not swallow a CPU."""
    env = Environment()
    cpus = Cpus(env, Clocks(1))
    holder = cpus.try_acquire()
    got: list[int] = []

    def victim() -> Generator[simpy.Event, Any, None]:
        wanted = cpus.acquire()
        try:
            yield wanted
        except simpy.Interrupt:
            cpus.leave_queue(wanted)

    def patient() -> Generator[simpy.Event, Any, None]:
        got.append((yield cpus.acquire()))

    killed = env.process(victim())
    env.process(patient())

    def end() -> Generator[simpy.Event, Any, None]:
        yield env.timeout(1)
        killed.interrupt("SIGKILL")
        yield env.timeout(1)
        cpus.release(holder)

    env.process(end())
    env.run()
    assert got == [holder]
