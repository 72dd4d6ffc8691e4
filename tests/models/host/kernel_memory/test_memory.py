"""Reading this kernel's memory, where it lets one."""

import os
import threading
from pathlib import Path

import pytest

from models.host.kernel_memory import memory as module
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
    """The list of all processes has this one as its head; two walks in one call do not mix."""
    types = TypeInfo.of_this_kernel()
    link = types.offset("task_struct", "tasks")
    with KernelMemory(1 << 16) as memory:
        head = memory.current_task() + link
        one, same = memory.walk([head, head])
        assert len(set(one.tolist()) ^ set(same.tolist())) <= 8  # processes come and go
        group = {memory.word(int(found) - link + types.offset("task_struct", "tgid")) & 0xFFFFFFFF for found in one}
        assert 1 in group or 2 in group
        assert memory.walk([]) == []


@needs_kernel_memory
def test_bad_addresses_and_long_lists_are_errors() -> None:
    """No fault, no endless walk."""
    types = TypeInfo.of_this_kernel()
    with KernelMemory(2) as memory:
        with pytest.raises(KernelMemoryError, match="0x10"):
            memory.read(0x10, 8)
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


def test_another_architecture_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system call has another number everywhere."""
    monkeypatch.setattr(module, "_SYS_BPF", {})
    with pytest.raises(KernelMemoryError, match=os.uname().machine):
        KernelMemory(1)
