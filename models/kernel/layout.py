"""What the kernel keeps besides pages and the direct map: who holds which pages, slabs, costs, charges, counters.

A *holder* is whoever owns pages: a task or a file. Its pages hang on chains, linked through the page records like the
allocator's lists (a page in use needs no other link), one chain per kind of page; its kernel objects are remembered
by the slab that they lie in.
"""

from typing import Any, Final

import numpy as np

from models.kernel.arena import array_address, header, prefer_huge_pages, reserve, slot_array
from models.kernel.direct_map import DirectMap
from models.kernel.numbers import Numbers
from models.kernel.pages.layout import LIST, Store
from simcore.compiled import jit

__all__ = [
    "ANON",
    "CACHE",
    "CHAINS",
    "CHARGE",
    "COSTS",
    "COUNTS",
    "CPU_SLAB",
    "FILE_PAGES",
    "FIRST_RUN",
    "HOLDER",
    "INHERITED",
    "MAP_TABLE",
    "MAX_TASKS",
    "NOBODY",
    "NODE",
    "OTHER_OBJECTS",
    "OTHER_PAGES",
    "PAGE_TABLES",
    "PINNED",
    "POOL_OWNER",
    "ROW",
    "SLAB",
    "SLAB_OWNER",
    "TASK_OBJECTS",
    "TASK_PAGES",
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

# Kinds of pages that a holder keeps on separate chains, because they are given back at different times.
ANON: Final = 0
PAGE_TABLES: Final = 1
INHERITED: Final = 2  # of a task: copies that its parent made before, and which it alone shares
FILE_PAGES: Final = 0
CHAINS: Final = 3

MAX_TASKS: Final = 1 << 22
"""Holders below are tasks, above files and mappings."""
_MAX_OTHERS: Final = 1 << 24
FIRST_RUN: Final = MAX_TASKS + (1 << 23)
"""Holders from here on are runs of memory that comes and goes, see `models.kernel.ageing`."""
TASK_OBJECTS: Final = 52
OTHER_OBJECTS: Final = 12
"""Kernel objects that a task, and a file or a mapping, can hold."""
TASK_PAGES: Final = 18
OTHER_PAGES: Final = 2
"""Single blocks of pages that they can hold beside their chains."""

# Owners of pages that no holder has.
NOBODY: Final = 0
MAP_TABLE: Final = -1
POOL_OWNER: Final = -2
SLAB_OWNER: Final = -3  # less the number of the cache

PINNED: Final = -2
"""In `tables`: the page table is there from the task's birth and stays to its end."""

HOLDER: Final = np.dtype(
    [
        ("start", "<i8"), ("pages", "<i8"),  # of a mapping: first page of user address space, length
        ("present", "<i8"),  # of a file: pages in the page cache; of a mapping: pages touched
        ("covered", "<i4", (3,)),  # of a mapping: where its last page tables lie, in units of 2M, 1G, 512G
        ("first_table", "<i4", (3,)), ("last_table", "<i4", (3,)),  # of a mapping: tables at its ends, or NONE
        ("task", "<i4"),  # of a mapping: the task whose address space it is in
        ("nodes", "<i4"),  # of a file: its page-cache nodes, first `NODE` or 0
        ("padding", "<i4"),
    ]
)  # fmt: skip

CACHE: Final = np.dtype(
    [
        ("objects_per_slab", "<i8"), ("order", "<i8"), ("migratetype", "<i8"),
        ("min_partial", "<i8"), ("cpu_partial_slabs", "<i8"),
        ("objects", "<i8"), ("slabs", "<i8"),
        ("partial_head", "<i8"), ("partial_tail", "<i8"), ("partial_slabs", "<i8"),
        ("typesafe_by_rcu", "<i8"),  # an empty slab's pages go back after a grace period only
    ]
)  # fmt: skip
CPU_SLAB: Final = np.dtype(
    [("slab", "<i8"), ("free_objects", "<i8"), ("partial", "<i8"), ("partial_slabs", "<i8")]
)
NODE: Final = np.dtype([("slab", "<i4"), ("next", "<i4")])
SLAB: Final = np.dtype(
    [("pfn", "<i8"), ("next", "<i4"), ("prev", "<i4"), ("in_use", "<i4"), ("where", "<i2"), ("cache", "<i2")]
)
COSTS: Final = np.dtype(
    [
        ("page_fault", "<i8"), ("secret_fault", "<i8"), ("split_2m", "<i8"), ("split_1g", "<i8"),
        ("map_step", "<i8"), ("flush_page", "<i8"), ("flush_all", "<i8"), ("interrupted", "<i8"),
        ("clear_page", "<i8"), ("free_page", "<i8"), ("free_secret_page", "<i8"), ("page_table", "<i8"),
        ("read_fault", "<i8"), ("scan_table", "<i8"), ("refill", "<i8"),
        ("local_flush", "<i8"), ("pool_chunk", "<i8"), ("pool_fault", "<i8"),
        ("chunk_page", "<i8"), ("truncate_page", "<i8"), ("drain_page", "<i8"),
        ("local_flush_page", "<i8"), ("interrupted_all", "<i8"),
        ("flush_mode", "<i8"), ("flush_batch", "<i8"), ("flush_period", "<i8"),  # see models.kernel.flush
    ]
)  # fmt: skip
CHARGE: Final = np.dtype(
    [
        ("cpu_ns", "<i8"),  # work before the map lock is asked for
        ("lock_ns", "<i8"),  # held under the global map lock, flushes of splits included
        ("after_ns", "<i8"),  # work and waiting after the lock is dropped
        ("flushes", "<i8"),  # flushes that interrupted every other CPU
        ("interrupted_ns", "<i8"),  # lost by each other CPU
        ("flush_ns", "<i8"),  # part of lock_ns and after_ns that is flushing and waiting for others to flush
        ("full_flushes", "<i8"),  # flushes that left nothing in any TLB
        ("pending", "<i8"),  # flushes put off
        ("refills", "<i8"),  # of lists of free pages, all that have been paid for
    ]
)

DEFERRED: Final = np.dtype([("due_ns", "<i8"), ("cpu", "<i4"), ("what", "<i4"), ("number", "<i8")])
"""Something to give back later, on a CPU: `what` 0: an object, `number` its slab; 1: pages, `number` their pfn."""
DEFERRED_SLOTS: Final = 1 << 26
ROW: Final = np.dtype(
    [
        ("kind", "<i8"), ("what", "<i8"),  # of step; order of the pages, or number of the slab cache
        ("migratetype", "<i8"), ("count", "<i8"), ("bulk", "<i8"), ("slot", "<i8"),
        ("when", "<i8"), ("every", "<i8"), ("first", "<i8"), ("flag", "<i8"),
        ("per_generation", "<i8"), ("scratch", "<i8"),
        ("per", "<i8"), ("reached", "<i8"),  # what `every` counts (`programs.compile_programs`), and how far it came
        ("limit", "<i8"),  # of a step that gives: most things given by it and its further rows; 0: such a further row
    ]
)  # fmt: skip
"""A step of a program, see `models.kernel.programs`."""
COUNTS: Final = np.dtype(
    [
        ("secret_pages", "<i8"), ("tasks_alive", "<i8"), ("flushes", "<i8"),
        ("faults", "<i8"), ("secret_faults", "<i8"),
        ("reach_ns", "<i8"), ("flush_ns", "<i8"), ("refill_ns", "<i8"),  # what translation costs, see observe.SERIES
        ("full_flushes", "<i8"),
        ("open_files", "<i8"),  # secret files that exist
        ("before_start", "<i8"),  # 1 while the state of a boot is set up: new slabs take no pages
    ]
)  # fmt: skip

_MAX_HOLDERS: Final = MAX_TASKS + _MAX_OTHERS
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
        self.objects = reserve(MAX_TASKS * TASK_OBJECTS + _MAX_OTHERS * OTHER_OBJECTS, np.int32)
        self.holders = reserve(_MAX_HOLDERS, HOLDER)
        self.nodes = reserve(_MAX_NODES, NODE)
        self.counts = np.zeros(1, COUNTS)
        self.held_pages = reserve(MAX_TASKS * TASK_PAGES + _MAX_OTHERS * OTHER_PAGES, np.int64)
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
