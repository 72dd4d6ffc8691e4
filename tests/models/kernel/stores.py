"""Page allocators of a few pageblocks, set up by hand, so that every list is known."""

from __future__ import annotations

from collections.abc import Iterable

from models.kernel.pages.buddy import change_block_type, free_block
from models.kernel.pages.layout import MAX_ORDER, MOVABLE, Store
from models.kernel.pages.lists import add_run, buddy_list

BLOCK = 512
LARGEST = 1 << (MAX_ORDER - 1)
ZONE, CPU, NODE = 0, 0, 0
LOW_MARK = 0x801
"""Flags of a request that keeps to the low watermark."""
NO_WATERMARKS = 0x804


def empty_store(
    pages: int = 8 * LARGEST, cpus: int = 1, *, batch: int = 7, high: int = 28, huge: bool = False
) -> Store:
    """One zone without a free page, all of it movable pageblocks, no watermarks."""
    store = Store(pages, 1, cpus, 1, 9, huge_lists=huge)
    record = store.zones[ZONE]
    record["start_pfn"], record["end_pfn"], record["managed"] = 0, pages, pages
    store.per_cpu["batch"], store.per_cpu["high"] = batch, high
    store.zonelists[0, 0] = ZONE
    return store


def give(store: Store, pfn: int, order: int, migratetype: int = MOVABLE, *, to_tail: bool = False) -> None:
    """Free a block to the buddy lists, with its pageblock's type set to the block's."""
    change_block_type(store.handle, pfn, migratetype)
    free_block(store.handle, ZONE, CPU, pfn, order, migratetype, to_tail)


def give_all(store: Store, pfns: Iterable[int], order: int, migratetype: int = MOVABLE) -> None:
    """Free blocks, each to the tail of its list."""
    for pfn in pfns:
        give(store, pfn, order, migratetype, to_tail=True)


def give_run(store: Store, pfn: int, blocks: int, migratetype: int = MOVABLE) -> None:
    """Add memory that nobody has touched."""
    add_run(store.handle, int(buddy_list(ZONE, MAX_ORDER - 1, migratetype)), pfn, blocks, migratetype)
    store.zones[ZONE]["free_pages"] += blocks * LARGEST
    store.config[0]["free_pages"] += blocks * LARGEST
