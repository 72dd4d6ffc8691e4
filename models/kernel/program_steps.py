"""Footprints at work: the rows of an operation carried out, for a holder.

A step takes pages or objects and notes them in a slot of the holder, or gives a slot's content back, at once or later.
"""

from typing import Any, Final

import numpy as np

from models.kernel.address_space import GATHER_PAGES as GATHER_BATCH
from models.kernel.chains import append, give_chain, take
from models.kernel.deferral import defer
from models.kernel.layout import counts, held_pages, object_at, objects, page_at, page_handle, program_rows, runs
from models.kernel.nodes import give_nodes, take_node
from models.kernel.pages.allocator import bulk_zone, free_pages, take_bulk_page
from models.kernel.pages.fallback import LRU
from models.kernel.pages.layout import MOVABLE, NONE, config, pages
from models.kernel.records import ANON, MAX_TASKS, OTHER_OBJECTS, OTHER_PAGES, TASK_OBJECTS, TASK_PAGES
from models.kernel.slab_caches import give_object, take_object
from simcore.compiled import jit

__all__ = [
    "GIVE_CHAIN", "GIVE_NODES", "GIVE_OBJECTS", "GIVE_PAGES", "NO_SLOT", "ON_CHAIN", "ON_NODES", "SCRATCH",
    "TAKE_OBJECTS", "TAKE_PAGES", "reset_holder", "run_program",
]  # fmt: skip

SCRATCH: Final = 0
"""Holder of what an operation takes and gives back by itself; it is the kernel's own."""

# Kinds of rows.
TAKE_PAGES: Final = 0
TAKE_OBJECTS: Final = 1
GIVE_PAGES: Final = 2
GIVE_OBJECTS: Final = 3
GIVE_CHAIN: Final = 4
GIVE_NODES: Final = 5
# Where a row notes what it takes, if not in a slot.
NO_SLOT: Final = -1  # nobody gives it back
ON_CHAIN: Final = -2
ON_NODES: Final = -3
ALLOC_BULK: Final = 1
"""Flags of a bulk request: low watermark, types may mix (`alloc_pages_bulk` passes no more)."""


@jit
def reset_holder(handle: int, holder: int) -> None:
    """Empty the slots of a holder that is about to be used."""
    held, kept = held_pages(handle), objects(handle)
    many = holder < MAX_TASKS
    for slot in range(TASK_PAGES if many else OTHER_PAGES):
        held[page_at(holder, slot)] = NONE
    for slot in range(TASK_OBJECTS if many else OTHER_OBJECTS):
        kept[object_at(holder, slot)] = NONE


@jit
def _take_pages(handle: int, row: Any, cpu: int, node: int, holder: int, order: int) -> bool:
    if counts(handle).before_start:
        return True
    store = page_handle(handle)
    order = row.what if order < 0 else order
    settings = config(store)
    zone = NONE
    if row.bulk and row.count > 1:
        zone = bulk_zone(store, node, row.count, ALLOC_BULK, settings.highest_kind)
    for k in range(row.count):
        pfn = NONE
        if zone != NONE:
            pfn = take_bulk_page(store, zone, cpu, row.migratetype, ALLOC_BULK)
        if pfn == NONE:
            pfn = take(handle, cpu, node, order, row.migratetype)
        if pfn == NONE:
            return False
        if row.slot == ON_CHAIN:
            append(handle, holder, ANON, pfn, LRU if row.migratetype == MOVABLE else 0)
        elif row.slot != NO_SLOT:
            pages(store)[pfn].owner = holder
            held_pages(handle)[page_at(holder, row.slot + k)] = pfn
        elif row.migratetype == MOVABLE:
            pages(store)[pfn].flags |= LRU  # memory of a process, which compaction may move
    return True


@jit
def _take_objects(handle: int, row: Any, cpu: int, node: int, holder: int, generation: int) -> bool:
    for k in range(row.count * (generation if row.per_generation else 1)):
        if row.slot == ON_NODES:
            if not take_node(handle, cpu, node, row.what, holder):
                return False
            continue
        slab = take_object(handle, cpu, node, row.what)
        if slab == NONE:
            return False
        if row.slot != NO_SLOT:
            objects(handle)[object_at(holder, row.slot + k)] = slab
    return True


@jit
def _give(handle: int, row: Any, cpu: int, holder: int, now_ns: int, most: int) -> int:
    """Give back what a row's slots hold, at the most ``most`` things, the last first; returns how many they were."""
    store, when, given = page_handle(handle), row.when, 0
    if row.kind == GIVE_CHAIN:
        return int(give_chain(handle, cpu, holder, row.slot, most, GATHER_BATCH if row.bulk else 1, False))
    if row.kind == GIVE_NODES:
        give_nodes(handle, cpu, holder, when, now_ns)
        return 0
    for k in range(row.count - 1, -1, -1):
        if given == most:
            break
        if row.kind == GIVE_PAGES:
            at = page_at(holder, row.slot + k)
            number = held_pages(handle)[at]
            held_pages(handle)[at] = NONE
        else:
            at = object_at(holder, row.slot + k)
            number = np.int64(objects(handle)[at])
            objects(handle)[at] = NONE
        if number == NONE:
            continue
        given += 1
        if when > 0:
            defer(handle, cpu, when, now_ns, int(row.kind == GIVE_PAGES), number)
        elif row.kind == GIVE_PAGES:
            free_pages(store, cpu, number, pages(store)[number].order)
        else:
            give_object(handle, cpu, number, now_ns)
    return given


@jit
def run_program(
    handle: int,
    program: int,
    start: int,
    end: int,
    cpu: int,
    node: int,
    holder: int,
    flags: int,
    generation: int,
    order: int,
    now_ns: int,
) -> bool:
    """Carry out the steps of one operation for a holder.

    Args:
        program: number of the program; start, end: its rows.
        flags: conditions that hold (`Programs.flag`).
        generation: how many forks the task is away from the first one.
        order: of the pages that it takes, where only the caller knows; else NONE.
        now_ns: time, for what is given back after a delay.

    Returns:
        Whether there was memory; if not, what was taken so far stays noted with the holder.
    """
    rows = program_rows(handle)
    runs(handle)[program] += 1
    run, left = runs(handle)[program], 0
    for index in range(start, end):
        row = rows[index]
        if row.flag and not row.flag & flags:
            continue
        counted = run
        if row.per:
            forked = counts(handle).tasks_alive - counts(handle).first_tasks
            counted = min(run, forked + row.per - 1, row.reached + 1)
            if counted <= row.reached:
                continue
            row.reached = counted
        if counted < row.first or (counted - row.first) % row.every != 0:
            continue
        whose = SCRATCH if row.scratch else holder
        if row.kind == TAKE_PAGES:
            if not _take_pages(handle, row, cpu, node, whose, order):
                return False
        elif row.kind == TAKE_OBJECTS:
            if not _take_objects(handle, row, cpu, node, whose, generation):
                return False
        else:
            left = row.limit if row.limit > 0 else left
            left -= _give(handle, row, cpu, whose, now_ns, left)
    return True
