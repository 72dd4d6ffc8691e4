"""Where the kernel keeps what it holds besides pages and the direct map: arrays in one state, reached by one handle."""

from typing import Any, Final

import numpy as np

from models.kernel.arena import array_address, header, prefer_huge_pages, reserve, slot_array
from models.kernel.direct_map import DirectMap
from models.kernel.numbers import Numbers
from models.kernel.pages.layout import LIST, Store
from models.kernel.records import (
    CACHE,
    CHAINS,
    CHARGE,
    COSTS,
    COUNTS,
    CPU_SLAB,
    DEFERRED,
    DEFERRED_SLOTS,
    FIRST_RUN,
    HOLDER,
    MAX_OTHERS,
    MAX_TASKS,
    NODE,
    OTHER_OBJECTS,
    OTHER_PAGES,
    ROW,
    SLAB,
    TASK_OBJECTS,
    TASK_PAGES,
)  # fmt: skip
from simcore.compiled import jit

__all__ = [
    "State",
    "caches",
    "chains",
    "charge",
    "costs",
    "counts",
    "cpu_slabs",
    "deferred",
    "deferred_ends",
    "held_pages",
    "holders",
    "map_handle",
    "nodes",
    "object_at",
    "objects",
    "other_numbers",
    "page_at",
    "page_handle",
    "program_rows",
    "runs",
    "slab_ids",
    "slabs",
    "tables",
    "task_numbers",
]  # fmt: skip

_MAX_HOLDERS: Final = MAX_TASKS + MAX_OTHERS
_MAX_SLABS: Final = 1 << 26
_MAX_NODES: Final = 1 << 27
_MAX_TABLES: Final = 1 << 26
_MAX_COLUMNS: Final = 64


class State:
    """The arrays behind one kernel.

    Attributes:
        handle: first argument of the kernel's compiled operations.
        pages: state of the page allocator.
        direct_map: the direct map.
        charge: one `CHARGE` record, to which every operation adds what it costs.
        costs: one `COSTS` record, in ns.
        task_numbers: numbers of holders that are tasks.
        other_numbers: numbers of all other holders.
    """

    def __init__(
        self, pages: Store, direct_map: DirectMap, caches: int, programs: Any, program_count: int
    ) -> None:
        """Lay out the state.

        Args:
            pages: state of the page allocator.
            direct_map: the direct map.
            caches: number of slab caches.
            programs: `ROW` records, see `models.kernel.programs`.
            program_count: number of programs.
        """
        cpus = int(pages.config[0]["cpus"])
        self.pages, self.direct_map = pages, direct_map
        self.chains = reserve(_MAX_HOLDERS * CHAINS, LIST)
        self.caches = np.zeros(max(1, caches), CACHE)
        self.caches["partial_head"] = self.caches["partial_tail"] = -1
        self.cpu_slabs = np.zeros((max(1, caches), cpus), CPU_SLAB)
        self.cpu_slabs["slab"] = self.cpu_slabs["partial"] = -1
        self.slabs = reserve(_MAX_SLABS, SLAB)
        self.slab_ids = reserve(_MAX_SLABS + 2, np.int32)
        self.charge = np.zeros(1, CHARGE)
        self.costs = np.zeros(1, COSTS)
        self.objects = reserve(MAX_TASKS * TASK_OBJECTS + MAX_OTHERS * OTHER_OBJECTS, np.int32)
        self.holders = reserve(_MAX_HOLDERS, HOLDER)
        self.nodes = reserve(_MAX_NODES, NODE)
        self.counts = np.zeros(1, COUNTS)
        self.held_pages = reserve(MAX_TASKS * TASK_PAGES + MAX_OTHERS * OTHER_PAGES, np.int64)
        self.deferred = reserve(2 * DEFERRED_SLOTS, DEFERRED)
        self.deferred_ends = np.zeros(4, np.int64)
        self.runs = np.zeros(max(1, program_count), np.int64)
        self.tables = reserve(_MAX_TABLES, np.int64)
        self.value_steps = np.zeros(_MAX_COLUMNS, np.int64)
        self.task_numbers = Numbers(1, MAX_TASKS)
        self.other_numbers = Numbers(MAX_TASKS, FIRST_RUN)
        self.programs = programs
        self.header = header(
            [
                self.chains,
                self.caches,
                self.cpu_slabs,
                self.slabs,
                self.slab_ids,
                self.charge,
                self.costs,
                self.objects,
                self.programs,
                self.holders,
                self.nodes,
                self.counts,
                self.held_pages,
                self.deferred,
                self.deferred_ends,
                self.runs,
                self.tables,
                self.task_numbers.array,
                self.other_numbers.array,
            ]
        )
        self.header[30], self.header[31] = pages.handle, direct_map.handle
        self.handle = int(self.header.ctypes.data)

    def expect_many(self) -> None:
        """Many holders are about to come: commit memory for them in large pieces, at a tenth of the cost."""
        for array in (self.chains, self.objects, self.holders, self.held_pages, self.deferred, self.pages.pages):
            prefer_huge_pages(array)


@jit
def page_handle(handle: int) -> int:
    """Handle of the page allocator."""
    return array_address(handle, 30)


@jit
def map_handle(handle: int) -> int:
    """Handle of the direct map."""
    return array_address(handle, 31)


chains = slot_array(0, LIST)
"""`LIST` records; a holder's chain of a kind is at `holder * CHAINS + kind`. Empty when `blocks` is 0."""


caches = slot_array(1, CACHE)
"""`CACHE` records."""


cpu_slabs = slot_array(2, CPU_SLAB)
"""`CPU_SLAB` records, flat over (cache, cpu)."""


slabs = slot_array(3, SLAB)
"""`SLAB` records by slab number."""


slab_ids = slot_array(4, np.int32)
"""Slab numbers: [0] numbers ever used, [1] numbers given back, from [2] on a stack of those."""


_charge = slot_array(5, CHARGE)


@jit
def charge(handle: int) -> Any:
    """The `CHARGE` record."""
    return _charge(handle)[0]


_costs = slot_array(6, COSTS)


@jit
def costs(handle: int) -> Any:
    """The `COSTS` record."""
    return _costs(handle)[0]


objects = slot_array(7, np.int32)
"""Slab number of each kernel object of each holder, see `object_at`; a task's and the others' lie apart."""


@jit
def object_at(holder: int, slot: int) -> int:
    """Position of a holder's object in `objects`."""
    if holder < MAX_TASKS:
        return holder * TASK_OBJECTS + slot
    return MAX_TASKS * TASK_OBJECTS + (holder - MAX_TASKS) * OTHER_OBJECTS + slot


holders = slot_array(9, HOLDER)
"""`HOLDER` records."""


nodes = slot_array(10, NODE)
"""`NODE` records of page-cache nodes; [0] says how many were ever used and heads the list of unused ones."""


_counts = slot_array(11, COUNTS)


@jit
def counts(handle: int) -> Any:
    """The `COUNTS` record: what the kernel has counted since the start."""
    return _counts(handle)[0]


@jit
def page_at(holder: int, slot: int) -> int:
    """Position of a holder's single block of pages in `held_pages`."""
    if holder < MAX_TASKS:
        return holder * TASK_PAGES + slot
    return MAX_TASKS * TASK_PAGES + (holder - MAX_TASKS) * OTHER_PAGES + slot


held_pages = slot_array(12, np.int64)
"""First frame of each single block of pages of each holder, see `page_at`."""


deferred = slot_array(13, DEFERRED)
"""`DEFERRED` records of two rings, one behind the other: waiting for a grace period, and for a worker."""
deferred_ends = slot_array(14, np.int64)
"""For each ring: how many entries it ever got, and how many of them are done."""
runs = slot_array(15, np.int64)
"""int64[programs]: how often each program has run."""


tables = slot_array(16, np.int64)
"""int64: page tables that several mappings may need, by number: frame, NONE while there is none, or PINNED."""


task_numbers = slot_array(17, np.int32)
other_numbers = slot_array(18, np.int32)
"""int32: numbers of holders, see `models.kernel.numbers`."""


program_rows = slot_array(8, ROW)
"""`ROW` records: the steps of all programs."""
