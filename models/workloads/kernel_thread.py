"""A kernel thread in time: it wakes at an interval, works on a CPU like any task, and sleeps again."""

from __future__ import annotations

from collections.abc import Callable

from models.workloads.running import begin
from models.workloads.system import System
from models.workloads.waits import Wait

__all__ = ["kernel_thread"]


def kernel_thread(system: System, interval_ns: int, work: Callable[[int], object]) -> Wait:
    """Call ``work`` with a CPU every ``interval_ns``, counted from the end of the round before; for ever."""
    env, kernel, cpus, cpu, who = system.env, system.kernel, system.cpus, -1, object()
    while True:
        yield env.timeout(interval_ns)
        cpu = cpus.try_acquire(cpu, who)
        if cpu < 0:
            cpu = yield cpus.acquire(who)
        kernel.now_ns = env.now
        work(cpu)
        spent_ns, kernel.spent_ns = kernel.spent_ns, 0
        begin(kernel.handle, system.clocks.handle, cpu, env.now, spent_ns)
        end = system.operations.end_of(cpu)
        if end is not None:
            yield end
        cpus.release(cpu)
