"""Changing attributes of pages in the direct map: splits, then entries, then a flush (`set_memory_*`) [6.1, 6.12].

What code, drivers and confidential guests do to their own mappings is done to the direct map as well, since every
other mapping of a page must agree with it (`cpa_process_alias`). A vmalloc area is scattered over single pages, so
its pages are changed one by one, each as a range of its own; neighbours in memory do not help.
"""

from typing import Final

from models.kernel.chains import take
from models.kernel.direct_map import (
    ABSENT,
    KEPT_4K,
    LEVEL_1G,
    READ_ONLY,
    RESTORED,
    UNCACHED,
    change_presence,
    next_split,
    note_changed,
    split,
)  # fmt: skip
from models.kernel.flush import flush_split
from models.kernel.layout import chains, charge, costs, map_handle, page_handle
from models.kernel.pages.layout import NONE, UNMOVABLE, pages
from models.kernel.records import CHAINS, MAP_TABLE
from simcore.compiled import jit

__all__ = [
    "ATTRIBUTES", "NO_TABLE", "change_attributes", "change_chain", "reset_pages", "split_range",
]  # fmt: skip

ATTRIBUTES: Final = ABSENT | RESTORED | READ_ONLY | UNCACHED | KEPT_4K
"""The page flags in which two entries of the direct map can differ."""
NO_TABLE: Final = -1
"""No page for a table of the direct map."""


@jit
def split_range(handle: int, cpu: int, node: int, pfn: int, count: int) -> int:
    """Split what a range of pages covers in part; each split holds the map lock for a flush of all CPUs.

    Returns:
        Entries split, or NO_TABLE when there is no page for a table; splits already made stay.
    """
    tiling, store = map_handle(handle), page_handle(handle)
    cost, due = costs(handle), charge(handle)
    made = 0
    while True:
        first, level = next_split(tiling, pfn, count)
        if level == 0:
            return made
        table = take(handle, cpu, node, 0, UNMOVABLE)
        if table == NONE:
            return NO_TABLE
        pages(store)[table].owner = MAP_TABLE
        split(tiling, first, level, table)
        due.lock_ns += cost.split_1g if level == LEVEL_1G else cost.split_2m
        flush_split(handle)
        made += 1


@jit
def change_attributes(handle: int, cpu: int, node: int, pfn: int, count: int, to_set: int, to_clear: int) -> int:
    """Set and clear attributes (READ_ONLY, UNCACHED, KEPT_4K) of a range of pages; no flush.

    Returns:
        Entries split, or NO_TABLE.
    """
    made = split_range(handle, cpu, node, pfn, count)
    if made == NO_TABLE:
        return NO_TABLE
    page = pages(page_handle(handle))
    if to_set | to_clear:  # records of pages that nobody ever changed stay untouched, and take no memory
        for current in range(pfn, pfn + count):
            page[current].flags = (page[current].flags | to_set) & ~to_clear
    charge(handle).lock_ns += costs(handle).map_step
    note_changed(map_handle(handle), pfn, count)
    return made


@jit
def change_chain(
    handle: int, cpu: int, node: int, holder: int, kind: int, count: int, to_set: int, to_clear: int
) -> int:
    """Change attributes of the first ``count`` blocks of a chain, one block at a time; no flush.

    Returns:
        Entries split, or NO_TABLE; what was changed until then stays changed.
    """
    page = pages(page_handle(handle))
    pfn, made = chains(handle)[holder * CHAINS + kind].head, 0
    for _ in range(count):
        splits = change_attributes(handle, cpu, node, pfn, 1 << page[pfn].order, to_set, to_clear)
        if splits == NO_TABLE:
            return NO_TABLE
        made += splits
        pfn = page[pfn].next
    return made


@jit
def reset_pages(handle: int, cpu: int, node: int, pfn: int, count: int) -> int:
    """Make a range invalid and then default again (`set_direct_map_invalid_noflush`, `set_direct_map_default_noflush`).

    The entries come back writable, but without their GLOBAL bit. The flush between the two is left to the caller.

    Returns:
        Entries split, or NO_TABLE with nothing changed but splits.
    """
    tiling, store = map_handle(handle), page_handle(handle)
    made = split_range(handle, cpu, node, pfn, count)
    if made == NO_TABLE:
        return NO_TABLE
    page = pages(store)
    change_presence(tiling, store, pfn, count, False)
    for current in range(pfn, pfn + count):
        page[current].flags &= ~READ_ONLY
    change_presence(tiling, store, pfn, count, True)
    charge(handle).lock_ns += 2 * costs(handle).map_step
    return made
