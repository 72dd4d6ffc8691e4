"""Records of what the kernel keeps, and the numbers in them: holders, slabs, costs, charges, what is given back later.

A *holder* is whoever owns pages: a task or a file. Its pages hang on chains, linked through the page records like the
allocator's lists (a page in use needs no other link), one chain per kind of page; its kernel objects are remembered
by the slab that they lie in.
"""

from typing import Final

import numpy as np

__all__ = [
    "ANON",
    "CACHE",
    "CHAINS",
    "CHARGE",
    "COSTS",
    "COUNTS",
    "CPU_SLAB",
    "DEFERRED",
    "DEFERRED_SLOTS",
    "FILE_PAGES",
    "FIRST_RUN",
    "HOLDER",
    "INHERITED",
    "MAP_TABLE",
    "MAX_OTHERS",
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
]  # fmt: skip

# Kinds of pages that a holder keeps on separate chains, because they are given back at different times.
ANON: Final = 0
PAGE_TABLES: Final = 1
INHERITED: Final = 2  # of a task: copies that its parent made before, and which it alone shares
FILE_PAGES: Final = 0
CHAINS: Final = 3

MAX_TASKS: Final = 1 << 22
"""Holders below are tasks, above files and mappings."""
MAX_OTHERS: Final = 1 << 24
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
        ("chunk_page", "<i8"), ("truncate_page", "<i8"), ("drain_page", "<i8"), ("slab", "<i8"),
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
        ("drained", "<i8"),  # pages drained from CPUs' lists, all that have been paid for
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
        ("per", "<i8"), ("reached", "<i8"),  # what `every` counts (see `programs`); how far it came, written by runs
        ("limit", "<i8"),  # of a step that gives: most things given by it and its further rows; 0: such a further row
    ]
)  # fmt: skip
"""A step of a program, compiled by `models.kernel.programs`, carried out by `models.kernel.program_steps`."""
COUNTS: Final = np.dtype(
    [
        ("secret_pages", "<i8"), ("tasks_alive", "<i8"), ("flushes", "<i8"),
        ("first_tasks", "<i8"),  # of those alive, tasks that nobody forked
        ("faults", "<i8"), ("secret_faults", "<i8"),
        ("reach_ns", "<i8"), ("flush_ns", "<i8"), ("refill_ns", "<i8"),  # what translation costs, see observe.SERIES
        ("full_flushes", "<i8"),
        ("open_files", "<i8"),  # secret files that exist
        # From the direct map, so far; `CONFIG.requests` when the last of them were to be.
        ("removed_pages", "<i8"), ("removed_at", "<i8"),
        ("before_start", "<i8"),  # 1 while the state of a boot is set up: new slabs take no pages
    ]
)  # fmt: skip
