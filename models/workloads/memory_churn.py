"""Workload `memory_churn`: page cache, anonymous and kernel memory that come and go, as on any machine in use."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from models.kernel.ageing import KERNEL_SHARE, Life
from models.workloads.base import Positive, Wait, Workload, WorkloadConfig
from models.workloads.thread import Thread
from simcore.units import Bytes

__all__ = ["MemoryChurn", "MemoryChurnConfig"]

PAGE_BYTES = 4096


class MemoryChurnConfig(WorkloadConfig):
    """``steps`` steps; in each, ``step`` bytes are taken and about as many given back, see `models.kernel.ageing.Life`.

    It changes nothing in the direct map by itself, but moves the place where the next free pages lie.

    Attributes:
        used: part of memory that is in use all the time, taken before the first step.
        kernel_share: part of what comes and goes that is the kernel's own memory, which cannot be moved.
    """

    kind: Literal["memory_churn"] = "memory_churn"
    steps: Positive = 64
    step: Annotated[Bytes, Field(ge=PAGE_BYTES)] = 64 << 20
    used: Annotated[float, Field(gt=0, lt=1)] = 0.5
    kernel_share: Annotated[float, Field(ge=0, le=1)] = KERNEL_SHARE


class MemoryChurn(Workload):
    """See `MemoryChurnConfig`."""

    Config = MemoryChurnConfig
    config: MemoryChurnConfig
    COUNTS = ("held_pages",)

    def run(self, thread: Thread) -> Wait:
        """Fill memory, then take and give back, step by step."""
        config, kernel = self.config, self.system.kernel
        target = int(config.used * int(kernel.store.zones["managed"].sum()))
        life = Life(kernel.state, self.random, target, config.kernel_share)
        fault_ns = kernel.costs.ns("ordinary_fault")
        for step in range(config.steps + 1):
            if step:
                yield from self.paced(thread, step - 1)
            pages = config.step // PAGE_BYTES if step else target
            life.churn(pages)
            kernel.spent_ns += pages * fault_ns
            self.progress["held_pages"] = life.held_pages
            yield from thread.spend()
