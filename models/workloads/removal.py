"""Workload `removal`: every page given to a task leaves the direct map, as with XPFO and guest_memfd."""

from __future__ import annotations

from typing import Any, Literal

from models.kernel.flush import flush_removed
from models.kernel.layout import charge
from models.workloads.base import Positive, Wait, Workload, WorkloadConfig
from models.workloads.thread import Thread
from simcore.compiled import jit
from simcore.units import Nanoseconds

__all__ = ["Removal", "RemovalConfig"]


class RemovalConfig(WorkloadConfig):
    """``tasks`` tasks, each on a CPU of its own, are given ``pages`` pages each, one after the other.

    The map is at 4K where that happens, so that nothing is split. The summary has, over all tasks, ``base_ns``, the
    system time without removal, and ``spent_ns``, the system time with it: work, flushes, other tasks' interrupts.

    Attributes:
        base: system time per page without removal.
        work: what removal adds to it beside the flush: looking the entry up, changing it, keeping account.
    """

    kind: Literal["removal"] = "removal"
    tasks: Positive = 4
    pages: Positive = 500
    base: Nanoseconds = 1000
    work: Nanoseconds = 0


@jit
def _remove(handle: int, work_ns: int) -> None:
    charge(handle).cpu_ns += work_ns
    flush_removed(handle, False)


class Removal(Workload):
    """See `RemovalConfig`."""

    Config = RemovalConfig
    config: RemovalConfig

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.progress |= dict.fromkeys(("base_ns", "spent_ns", "pages"), 0)

    def run(self, thread: Thread) -> Wait:
        """Run the tasks side by side, to their end."""
        config, system = self.config, self.system
        self.count("base_ns", config.tasks * config.pages * config.base)
        others = [system.env.process(self._task(None)) for _ in range(config.tasks - 1)]
        yield from self._task(thread)
        thread.sleep()
        yield system.env.all_of(others)
        yield from thread.run()

    def _task(self, thread: Thread | None) -> Wait:
        system, config = self.system, self.config
        own = thread
        if own is None:
            task = system.kernel.first_task(self.user)
            own = Thread(system, task)
            yield from own.run()
        for _ in range(config.pages):
            began_ns = system.env.now
            _remove(system.kernel.handle, config.base + config.work)
            yield from own.spend()
            self.count("spent_ns", system.env.now - began_ns)
            self.count("pages")
        if thread is None:
            yield from own.exit()
