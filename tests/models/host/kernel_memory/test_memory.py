"""Reading this kernel's memory, where it lets one."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from models.host.kernel_memory.memory import KernelMemory, KernelMemoryError
from models.host.kernel_memory.type_info import TypeInfo
from tests.models.host.kernel_memory.kernel import needs_kernel_memory


@needs_kernel_memory
def test_this_thread_is_found_by_its_name() -> None:
    """The task that the kernel names is the one that asks."""
    types = TypeInfo.of_this_kernel()
    with KernelMemory(16) as memory:
        name = memory.read(memory.current_task() + types.offset("task_struct", "comm"), 16).partition(b"\0")[0]
        assert name.decode() == Path(f"/proc/self/task/{threading.get_native_id()}/comm").read_text().strip()
        pid = memory.word(memory.current_task() + types.offset("task_struct", "tgid")) & 0xFFFFFFFF
        assert pid == os.getpid()


@needs_kernel_memory
def test_a_walk_meets_every_process_and_comes_back() -> None:
    """The list of all processes has this one as its head; its children's list has the child that it started."""
    types = TypeInfo.of_this_kernel()
    tasks, children, sibling, tgid = (
        types.offset("task_struct", name) for name in ("tasks", "children", "sibling", "tgid")
    )
    with KernelMemory(1 << 16) as memory, subprocess.Popen(["sleep", "60"]) as child:
        try:
            this = memory.word(memory.current_task() + types.offset("task_struct", "group_leader"))
            everybody, own = memory.walk([this + tasks, this + children])
            numbers = {memory.word(int(found) - tasks + tgid) & 0xFFFFFFFF for found in everybody}
            assert child.pid in numbers
            assert child.pid in {memory.word(int(found) - sibling + tgid) & 0xFFFFFFFF for found in own}
            assert len(own) < len(everybody)
            assert memory.walk([]) == []
        finally:
            child.kill()


@needs_kernel_memory
def test_bad_addresses_and_long_lists_are_errors() -> None:
    """No fault, no endless walk."""
    types = TypeInfo.of_this_kernel()
    with KernelMemory(2) as memory:
        for address in (0x10, -8, (1 << 64) - 4, 1 << 70):
            with pytest.raises(KernelMemoryError, match="no 8 bytes"):
                memory.read(address, 8)
        with pytest.raises(KernelMemoryError, match="changed while it was walked"):
            memory.walk([0x10])
        with pytest.raises(ValueError, match="1 to 1048576"):
            memory.read(memory.current_task(), 0)
        with pytest.raises(KernelMemoryError, match="no per-CPU data"):
            memory.per_cpu_element(1 << 20)
        tasks = memory.current_task() + types.offset("task_struct", "tasks")
        with pytest.raises(KernelMemoryError, match="too long"):
            memory.walk([tasks] * (1 << 15))


@needs_kernel_memory
def test_nothing_stays_open() -> None:
    """Programs and maps go with the descriptors."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with KernelMemory(16):
            assert len(os.listdir("/proc/self/fd")) > before
    assert len(os.listdir("/proc/self/fd")) == before
