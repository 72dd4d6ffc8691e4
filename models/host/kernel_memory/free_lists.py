"""The page allocator's lists as they are, in their order: the buddy lists of every zone, and what CPUs keep."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.host.kernel_memory.memory import KernelMemory, KernelMemoryError
from models.host.kernel_memory.page_tables import PageTables
from models.host.kernel_memory.type_info import TypeInfo

__all__ = ["BuddyList", "FreeLists", "Lists", "PerCpuList"]

_COMM_BYTES: Final = 16
_NAME_BYTES: Final = 16
_SMALL_ORDERS: Final = 4
_PER_CPU_TYPES: Final = ("Unmovable", "Movable", "Reclaimable")
"""A CPU has a list for each of these types and small orders; after them come those of pageblock order."""
_TYPE_NAMES: Final = {
    "MIGRATE_UNMOVABLE": "Unmovable", "MIGRATE_MOVABLE": "Movable", "MIGRATE_RECLAIMABLE": "Reclaimable",
    "MIGRATE_HIGHATOMIC": "HighAtomic", "MIGRATE_CMA": "CMA", "MIGRATE_ISOLATE": "Isolate",
}  # fmt: skip


class BuddyList(NamedTuple):
    """Free blocks of one zone, order and type: int64 first page frames, head first."""

    node: int
    zone: str
    order: int
    migratetype: str
    pfns: NDArray[np.int64]


class PerCpuList(NamedTuple):
    """Blocks on one list of a CPU: int64 first page frames, head first."""

    node: int
    zone: str
    cpu: int
    order: int
    migratetype: str
    pfns: NDArray[np.int64]


class Lists(NamedTuple):
    """All lists that are not empty."""

    buddy: tuple[BuddyList, ...]
    per_cpu: tuple[PerCpuList, ...]


class _Zone(NamedTuple):
    node: int
    name: str
    address: int


class FreeLists:
    """Where the lists are. What takes long is done when this is made; `read` is quick, so that it sees one state."""

    def __init__(
        self, memory: KernelMemory, types: TypeInfo, tables: PageTables, cpus: int, pageblock_order: int
    ) -> None:
        """Find the lists of every populated zone.

        Args:
            memory: of the kernel.
            types: its structures.
            tables: its page tables.
            cpus: possible CPUs.
            pageblock_order: order of a pageblock.

        Raises:
            KernelMemoryError: They cannot be found.
            TypeInfoError: The kernel has no such structures.
        """
        self._memory, self._types = memory, types
        self._page_bytes = types.size("page")
        self._link = types.offset("page", "lru")  # `buddy_list` and `pcp_list` of later kernels share its place
        self._first_page = self._find_pages(tables)
        self._keys: list[tuple[_Zone, int | None, int, str]] = []
        self._heads: list[int] = []
        for zone in self._find_zones():
            self._add_buddy(zone)
            self._add_per_cpu(zone, cpus, pageblock_order)

    def read(self) -> Lists:
        """Walk all lists.

        Raises:
            KernelMemoryError: They change too fast.
        """
        buddy, per_cpu = [], []
        for (zone, cpu, order, migratetype), links in zip(self._keys, self._memory.walk(self._heads), strict=True):
            if not len(links):
                continue
            pfns = self._pfns(links)
            if cpu is None:
                buddy.append(BuddyList(zone.node, zone.name, order, migratetype, pfns))
            else:
                per_cpu.append(PerCpuList(zone.node, zone.name, cpu, order, migratetype, pfns))
        return Lists(tuple(buddy), tuple(per_cpu))

    def _pfns(self, links: NDArray[np.uint64]) -> NDArray[np.int64]:
        return (links - np.uint64(self._first_page + self._link)).astype(np.int64) // self._page_bytes

    def _find_pages(self, tables: PageTables) -> int:
        """Find the `struct page` of frame 0: this thread's stack knows the structures of its pages."""
        task = self._memory.current_task()
        stack = self._memory.word(task + self._types.offset("task_struct", "stack"))
        area = self._memory.word(task + self._types.offset("task_struct", "stack_vm_area"))
        pages = self._memory.word(area + self._types.offset("vm_struct", "pages"))
        return self._memory.word(pages) - (tables.physical(stack) >> 12) * self._page_bytes

    def _find_zones(self) -> list[_Zone]:
        """Find the populated zones: the thread `kswapd` of each node knows its node's."""
        memory, types = self._memory, self._types
        zone_bytes, number_at = types.size("zone"), types.offset("pglist_data", "nr_zones")
        zones = []
        for task in self._tasks():
            comm = memory.read(task + types.offset("task_struct", "comm"), _COMM_BYTES)
            if not comm.startswith(b"kswapd") or memory.word(task + types.offset("task_struct", "mm")):
                continue  # anybody may call himself so, but only the kernel's own threads have no memory
            kthread = memory.word(task + types.offset("task_struct", "worker_private"))
            node = memory.word(kthread + types.offset("kthread", "data"))
            node_id = _int(memory, node + types.offset("pglist_data", "node_id"))
            for number in range(_int(memory, node + number_at)):
                address = node + types.offset("pglist_data", "node_zones") + number * zone_bytes
                if memory.word(address + types.offset("zone", "present_pages")):
                    name = memory.read(memory.word(address + types.offset("zone", "name")), _NAME_BYTES)
                    zones.append(_Zone(node_id, name.partition(b"\0")[0].decode("ascii"), address))
        if not zones:
            raise KernelMemoryError("no kswapd, whose node's zones would be known")
        return zones

    def _tasks(self) -> list[int]:
        """Every process but this one: their first threads are on one list."""
        link = self._types.offset("task_struct", "tasks")
        first = self._memory.word(self._memory.current_task() + self._types.offset("task_struct", "group_leader"))
        return [int(found) - link for found in self._memory.walk([first + link])[0]]

    def _add_buddy(self, zone: _Zone) -> None:
        types = self._types
        areas, area_bytes = zone.address + types.offset("zone", "free_area"), types.size("free_area")
        lists_at = types.offset("free_area", "free_list")
        values = types.enumerators("migratetype")
        names = {values[key]: name for key, name in _TYPE_NAMES.items() if key in values}
        for order in range(types.length("zone", "free_area")):
            for number in range(types.length("free_area", "free_list")):
                self._keys.append((zone, None, order, names[number]))
                self._heads.append(areas + order * area_bytes + lists_at + number * _LIST_HEAD_BYTES)

    def _add_per_cpu(self, zone: _Zone, cpus: int, pageblock_order: int) -> None:
        memory, types = self._memory, self._types
        pageset = memory.word(zone.address + types.offset("zone", "per_cpu_pageset"))
        lists_at, count = types.offset("per_cpu_pages", "lists"), types.length("per_cpu_pages", "lists")
        kinds = [(order, name) for order in range(_SMALL_ORDERS) for name in _PER_CPU_TYPES]
        # Of pageblock order there are none, one, or one for all that is not movable and one for what is.
        large = {0: (), 1: ("Movable",), 2: ("Unmovable", "Movable")}.get(count - len(kinds))
        if large is None:
            raise KernelMemoryError(f"{count} lists for each CPU: not known which they are")
        kinds += [(pageblock_order, name) for name in large]
        for cpu in range(cpus):
            first = self._per_cpu_base(cpu) + pageset + lists_at
            for index, (order, name) in enumerate(kinds):
                self._keys.append((zone, cpu, order, name))
                self._heads.append(first + index * _LIST_HEAD_BYTES & _MASK)

    def _per_cpu_base(self, cpu: int) -> int:
        """What is added to a per-CPU pointer: the address of an element of a per-CPU map, less its pointer."""
        memory, types = self._memory, self._types
        files = memory.word(memory.current_task() + types.offset("task_struct", "files"))
        table = memory.word(files + types.offset("files_struct", "fdt"))
        opened = memory.word(table + types.offset("fdtable", "fd"))
        file = memory.word(opened + 8 * memory.per_cpu_fd)
        array = memory.word(file + types.offset("file", "private_data"))
        pointer = memory.word(array + types.offset("bpf_array", "pptrs"))
        return memory.per_cpu_element(cpu) - pointer


_LIST_HEAD_BYTES: Final = 16
_MASK: Final = (1 << 64) - 1


def _int(memory: KernelMemory, address: int) -> int:
    return int.from_bytes(memory.read(address, 4), "little")
