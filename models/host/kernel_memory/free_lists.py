"""The page allocator's lists as they are, in their order: the buddy lists of every zone, and what CPUs keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.host.kernel_memory.memory import KernelMemory, KernelMemoryError
from models.host.kernel_memory.page_tables import PageTables
from models.host.kernel_memory.type_info import TypeInfo
from models.machine.page_runs import lie_apart

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
    start_pfn: int
    end_pfn: int


class _List(NamedTuple):
    zone: _Zone
    cpu: int | None  # None: a buddy list
    order: int
    migratetype: str


class FreeLists:
    """Where the lists are. What takes long is done when this is made; `read` is quick, so that it sees one state."""

    def __init__(
        self, memory: KernelMemory, types: TypeInfo, tables: PageTables, cpus: Sequence[int], pageblock_order: int
    ) -> None:
        """Find the lists of every populated zone.

        Args:
            memory: of the kernel.
            types: its structures.
            tables: its page tables.
            cpus: numbers of the possible CPUs.
            pageblock_order: order of a pageblock.

        Raises:
            KernelMemoryError: They cannot be found.
            TypeInfoError: The kernel has no such structures.
        """
        self._memory, self._types = memory, types
        self._page_bytes = types.size("page")
        self._first_link = self._find_pages(tables) + types.offset("page", "lru")
        self._lists: list[_List] = []
        self._heads: list[int] = []
        bases = self._per_cpu_bases(cpus)
        for zone in self._find_zones():
            self._add_buddy(zone)
            self._add_per_cpu(zone, bases, pageblock_order)

    def read(self) -> Lists:
        """Walk all lists.

        A page that moves from one list to another meanwhile is met twice; then all are walked again.

        Raises:
            KernelMemoryError: They change too fast.
        """
        for _ in range(_ATTEMPTS):
            found = [self._pfns(links) for links in self._memory.walk(self._heads)]
            if self._consistent(found):
                break
        else:
            raise KernelMemoryError("pages moved from list to list whenever these were read")
        buddy, per_cpu = [], []
        for (zone, cpu, order, migratetype), pfns in zip(self._lists, found, strict=True):
            if not len(pfns):
                continue
            if cpu is None:
                buddy.append(BuddyList(zone.node, zone.name, order, migratetype, pfns))
            else:
                per_cpu.append(PerCpuList(zone.node, zone.name, cpu, order, migratetype, pfns))
        return Lists(tuple(buddy), tuple(per_cpu))

    def _pfns(self, links: NDArray[np.uint64]) -> NDArray[np.int64]:
        return (links - np.uint64(self._first_link)).astype(np.int64) // self._page_bytes

    def _consistent(self, found: Sequence[NDArray[np.int64]]) -> bool:
        """Whether every block lies in its zone, and no page on two lists."""
        for listed, pfns in zip(self._lists, found, strict=True):
            if len(pfns) and not listed.zone.start_pfn <= pfns.min() <= pfns.max() < listed.zone.end_pfn:
                return False
        sizes = [np.full(len(pfns), 1 << listed.order) for listed, pfns in zip(self._lists, found, strict=True)]
        return lie_apart(np.concatenate(found), np.concatenate(sizes))

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
        zone_bytes, first_zone = types.size("zone"), types.offset("pglist_data", "node_zones")
        at = {name: types.offset("zone", name) for name in ("present_pages", "name", "zone_start_pfn", "spanned_pages")}
        zones = []
        for task in self._kernel_threads(b"kswapd"):
            kthread = memory.word(task + types.offset("task_struct", "worker_private"))
            node = memory.word(kthread + types.offset("kthread", "data"))
            node_id = _int(memory, node + types.offset("pglist_data", "node_id"))
            for number in range(_int(memory, node + types.offset("pglist_data", "nr_zones"))):
                address = node + first_zone + number * zone_bytes
                if memory.word(address + at["present_pages"]):
                    name = memory.read(memory.word(address + at["name"]), _NAME_BYTES).partition(b"\0")[0]
                    start = memory.word(address + at["zone_start_pfn"])
                    end = start + memory.word(address + at["spanned_pages"])
                    zones.append(_Zone(node_id, name.decode("ascii", "replace"), address, start, end))
        if not zones:
            raise KernelMemoryError("no kswapd, whose node's zones would be known")
        return zones

    def _kernel_threads(self, name: bytes) -> list[int]:
        """Find the kernel's own threads whose name begins so; anybody else may call himself that too."""
        memory = self._memory
        link, comm, flags = (self._types.offset("task_struct", part) for part in ("tasks", "comm", "flags"))
        leader = memory.word(memory.current_task() + self._types.offset("task_struct", "group_leader"))
        tasks = [int(found) - link for found in memory.walk([leader + link])[0]]
        return [
            task
            for task in tasks
            if memory.read(task + comm, _COMM_BYTES).startswith(name) and _int(memory, task + flags) & _PF_KTHREAD
        ]

    def _add_buddy(self, zone: _Zone) -> None:
        types = self._types
        areas, area_bytes = zone.address + types.offset("zone", "free_area"), types.size("free_area")
        lists_at = types.offset("free_area", "free_list")
        values = types.enumerators("migratetype")
        names = {values[key]: name for key, name in _TYPE_NAMES.items() if key in values}
        count = types.length("free_area", "free_list")
        if set(range(count)) - set(names):
            raise KernelMemoryError(f"{count} types of free blocks: not known which they are")
        for order in range(types.length("zone", "free_area")):
            for number in range(count):
                self._lists.append(_List(zone, None, order, names[number]))
                self._heads.append(areas + order * area_bytes + lists_at + number * _LIST_HEAD_BYTES)

    def _add_per_cpu(self, zone: _Zone, bases: Mapping[int, int], pageblock_order: int) -> None:
        memory, types = self._memory, self._types
        pageset = memory.word(zone.address + types.offset("zone", "per_cpu_pageset"))
        lists_at, count = types.offset("per_cpu_pages", "lists"), types.length("per_cpu_pages", "lists")
        kinds = [(order, name) for order in range(_SMALL_ORDERS) for name in _PER_CPU_TYPES]
        # Of pageblock order there are none, one, or one for all that is not movable and one for what is.
        large = {0: (), 1: ("Movable",), 2: ("Unmovable", "Movable")}.get(count - len(kinds))
        if large is None:
            raise KernelMemoryError(f"{count} lists for each CPU: not known which they are")
        kinds += [(pageblock_order, name) for name in large]
        for cpu, base in bases.items():
            first = base + pageset + lists_at
            for index, (order, name) in enumerate(kinds):
                self._lists.append(_List(zone, cpu, order, name))
                self._heads.append(first + index * _LIST_HEAD_BYTES & _MASK)

    def _per_cpu_bases(self, cpus: Sequence[int]) -> dict[int, int]:
        """What is added to a per-CPU pointer: the address of an element of a per-CPU map, less the map's pointer."""
        memory, types = self._memory, self._types
        files = memory.word(memory.current_task() + types.offset("task_struct", "files"))
        table = memory.word(files + types.offset("files_struct", "fdt"))
        opened = memory.word(table + types.offset("fdtable", "fd"))
        file = memory.word(opened + 8 * memory.per_cpu_fd)
        array = memory.word(file + types.offset("file", "private_data"))
        pointer = memory.word(array + types.offset("bpf_array", "pptrs"))
        return {cpu: memory.per_cpu_element(cpu) - pointer for cpu in cpus}


_PF_KTHREAD: Final = 0x0020_0000
_ATTEMPTS: Final = 8
_LIST_HEAD_BYTES: Final = 16
_MASK: Final = (1 << 64) - 1


def _int(memory: KernelMemory, address: int) -> int:
    return int.from_bytes(memory.read(address, 4), "little")
