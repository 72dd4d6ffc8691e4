"""Steps that tests of secretmem policies have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.kernel.direct_map import ABSENT
from models.kernel.entities import Mapping, SecretFile, Task
from models.kernel.errors import FaultResult
from models.kernel.kernel import Kernel
from models.kernel.limits import User
from models.kernel.secretmem.base import Faults
from tests.models.kernel.machines import boot

HUGE_PAGES = 512
GIGA_PAGES = 262144
MEMORY = {"memory": "4GiB", "cpus": 2}


def secret_kernel(policy: str, options: dict[str, Any] | None = None, **rest: Any) -> Kernel:
    """A 4 GiB machine with 1G entries, every page free, under a policy."""
    machine = rest.pop("machine", MEMORY)
    secretmem = {"policy": policy, "options": options or {}, **rest.pop("secretmem", {})}
    return boot(machine, {"secretmem": secretmem, **rest})


def task_of(kernel: Kernel, name: str = "user", **limits: Any) -> Task:
    """A task of a new user."""
    return kernel.first_task(User(name, **limits))


def open_file(kernel: Kernel, task: Task, pages: int) -> tuple[SecretFile, Mapping]:
    """A mapped file of a length, untouched."""
    file = kernel.memfd_secret(task, 0)
    kernel.ftruncate(file, pages)
    return file, kernel.mmap(task, file, pages, 0)


def touch(kernel: Kernel, task: Task, pages: int, length: int | None = None) -> tuple[SecretFile, Mapping, Faults]:
    """A new file of which pages are touched."""
    file, mapping = open_file(kernel, task, length or pages)
    return file, mapping, kernel.fault(task, mapping, 0, pages)


def let_go(kernel: Kernel, task: Task, file: SecretFile, mapping: Mapping | None) -> None:
    """Unmap and close a file."""
    if mapping is not None:
        kernel.munmap(task, mapping, 0)
    kernel.close(task, file, 0)


def tiling(kernel: Kernel) -> dict[str, int]:
    """Counters of the direct map."""
    record = kernel.state.direct_map.counters[0]
    return {name: int(record[name]) for name in record.dtype.names}


def charge(kernel: Kernel) -> dict[str, int]:
    """Take what has been charged since this was last asked."""
    record = kernel.state.charge[0]
    taken = {name: int(record[name]) for name in record.dtype.names}
    kernel.state.charge[:] = np.zeros_like(kernel.state.charge)
    return taken


def costs(kernel: Kernel) -> dict[str, int]:
    """What single steps cost."""
    record = kernel.state.costs[0]
    return {name: int(record[name]) for name in record.dtype.names}


def absent_pages(kernel: Kernel) -> list[int]:
    """Frames that are out of the direct map."""
    found: list[int] = np.flatnonzero(kernel.store.pages["flags"] & ABSENT).tolist()
    return found


def free_pages(kernel: Kernel) -> int:
    """Pages free, per-CPU lists included."""
    record = kernel.store.config[0]
    return int(record["free_pages"]) + int(record["per_cpu_pages"])


def leave_no_huge_block(kernel: Kernel, task: Task) -> Mapping:
    """Take all memory as page tables, then free all but one of every 300: nothing of 2 MiB is left in one piece."""
    between, kept = kernel.map_ordinary(task, 1 << 31), kernel.map_ordinary(task, 1 << 30)
    while True:
        if kernel.touch_tables(between, 0, 299).result is FaultResult.OOM:
            break
        if kernel.touch_tables(kept, 0, 1).result is FaultResult.OOM:
            break
    kernel.munmap(task, between, 0)
    return kept
