"""Chunks for pools of secret pages: taken, handed out page by page, given back [patch set v6].

A chunk is 2 MiB; only the cache of unmapped blocks also takes smaller ones.
"""

from typing import Final

from models.kernel.address_space import cover
from models.kernel.direct_map import ABSENT, change_presence, note_secret
from models.kernel.flush import flush_removed
from models.kernel.layout import chains, charge, costs, counts, holders, map_handle, page_handle
from models.kernel.list_costs import charge_lists
from models.kernel.migration import take_compacting
from models.kernel.nodes import take_cache_nodes
from models.kernel.pages.allocator import free_pages
from models.kernel.pages.layout import MOVABLE, NONE, UNMOVABLE, UNUSED, USED, pages
from models.kernel.records import CHAINS, FILE_PAGES, POOL_OWNER
from models.kernel.secret_pages import OUT_OF_MEMORY, remove_range
from simcore.compiled import jit

__all__ = [
    "CHUNK_ORDER", "CHUNK_PAGES", "add_chunk", "charge_chunk", "claim_block", "forget_pages", "give_block",
    "give_chunk", "hand_out", "reset_chunk", "restore_block", "take_back", "take_block", "unmap_block",
]  # fmt: skip

CHUNK_ORDER: Final = 9
CHUNK_PAGES: Final = 1 << CHUNK_ORDER


@jit
def claim_block(handle: int, pfn: int, count: int) -> None:
    """Make a block one of single pages that a pool owns (`split_page`)."""
    page = pages(page_handle(handle))
    for k in range(pfn, pfn + count):
        page[k].state, page[k].order, page[k].owner = USED, 0, POOL_OWNER


@jit
def unmap_block(handle: int, cpu: int, node: int, pfn: int, count: int, flush_all: bool) -> bool:
    """Take a pool's block out of the direct map in one call, then flush all CPUs, or only this one.

    Returns:
        Whether there was memory for tables; if not, the block is mapped as before.
    """
    if remove_range(handle, cpu, node, pfn, count) == OUT_OF_MEMORY:
        return False
    if flush_all:
        flush_removed(handle, count > 1)
    else:
        due, cost = charge(handle), costs(handle)
        due.after_ns += cost.local_flush
        due.flush_ns += cost.local_flush
    return True


@jit
def take_block(handle: int, cpu: int, node: int, order: int, migratetype: int) -> int:
    """Take a block of an order for a pool and clear it; returns its first pfn, or NONE."""
    pfn = take_compacting(handle, cpu, node, order, migratetype)
    if pfn != NONE:
        claim_block(handle, pfn, 1 << order)
        charge(handle).cpu_ns += (costs(handle).pool_chunk << order) >> CHUNK_ORDER
    return pfn


@jit
def restore_block(handle: int, pfn: int, count: int) -> None:
    """Put a block back into the direct map: no flush, no merge."""
    change_presence(map_handle(handle), page_handle(handle), pfn, count, True)


@jit
def give_block(handle: int, cpu: int, pfn: int, order: int) -> None:
    """Give a block that nobody uses back to the direct map and, as one block, to the page allocator."""
    store = page_handle(handle)
    restore_block(handle, pfn, 1 << order)
    charge(handle).cpu_ns += costs(handle).map_step
    page = pages(store)
    for k in range(pfn, pfn + (1 << order)):
        page[k].owner, page[k].state = 0, UNUSED
    page[pfn].state, page[pfn].order = USED, order
    free_pages(store, cpu, pfn, order)


@jit
def take_back(handle: int, pfn: int, clear: bool) -> None:
    """Give a page that a file had back to its pool; it stays unmapped."""
    pages(page_handle(handle))[pfn].owner = POOL_OWNER
    note_secret(map_handle(handle), pfn, -1)
    if clear:
        charge(handle).cpu_ns += costs(handle).clear_page


@jit
def add_chunk(handle: int, cpu: int, node: int, mapping: int, index: int, movable: bool) -> int:
    """Take an aligned 2M block for a pool, as the fault of a page of a mapping does.

    Args:
        movable: the request's migratetype is MOVABLE, else UNMOVABLE.

    Returns:
        First pfn of the block, or NONE when there is no memory.
    """
    if not cover(handle, cpu, node, mapping, index):
        return NONE
    return take_block(handle, cpu, node, CHUNK_ORDER, MOVABLE if movable else UNMOVABLE)


@jit
def hand_out(
    handle: int,
    cpu: int,
    node: int,
    mapping: int,
    file: int,
    index: int,
    pfn: int,
    remove: bool,
    node_cache: int,
    node_shift: int,
) -> bool:
    """Hand a page of a chunk to a file.

    Args:
        remove: take this page out of the direct map, with a flush of all CPUs.

    Returns:
        Whether there was memory for page tables.
    """
    due, cost = charge(handle), costs(handle)
    if not cover(handle, cpu, node, mapping, index):
        return False
    if remove:
        if remove_range(handle, cpu, node, pfn, 1) == OUT_OF_MEMORY:
            return False
        flush_removed(handle, False)
    pages(page_handle(handle))[pfn].owner = file
    note_secret(map_handle(handle), pfn, 1)
    due.cpu_ns += cost.pool_fault
    take_cache_nodes(handle, cpu, node, node_cache, node_shift, file)
    holders(handle)[file].present += 1
    holders(handle)[mapping].present += 1
    counts(handle).secret_pages += 1
    counts(handle).secret_faults += 1
    return True


@jit
def give_chunk(handle: int, cpu: int, pfn: int, whole: bool, clear: bool) -> None:
    """Put a chunk back into the direct map and free its pages one by one through the per-CPU list.

    Args:
        whole: the chunk left the direct map as a whole.
        clear: clear the pages first, if it left page by page those alone that files had.
    """
    store, tiling = page_handle(handle), map_handle(handle)
    page, cost = pages(store), costs(handle)
    if whole:
        change_presence(tiling, store, pfn, 1 << CHUNK_ORDER, True)
    charge(handle).cpu_ns += (cost.chunk_page - (0 if clear and whole else cost.clear_page)) << CHUNK_ORDER
    for k in range(1 << CHUNK_ORDER):
        if page[pfn + k].flags & ABSENT:
            change_presence(tiling, store, pfn + k, 1, True)
            charge(handle).cpu_ns += cost.clear_page if clear else 0
        if page[pfn + k].owner > 0:
            note_secret(tiling, pfn + k, -1)
        free_pages(store, cpu, pfn + k, 0)
    charge_lists(handle)


@jit
def reset_chunk(handle: int, pfn: int, clear: bool) -> None:
    """Give a chunk's pages back to the area that it came from, cleared or not."""
    page = pages(page_handle(handle))
    for k in range(pfn, pfn + CHUNK_PAGES):
        if page[k].owner > 0:
            note_secret(map_handle(handle), k, -1)
        page[k].owner = POOL_OWNER
    if clear:
        charge(handle).cpu_ns += costs(handle).clear_page << CHUNK_ORDER


@jit
def charge_chunk(handle: int) -> None:
    """Charge for adding a chunk to a pool and clearing it."""
    charge(handle).cpu_ns += costs(handle).pool_chunk


@jit
def forget_pages(handle: int, file: int) -> None:
    """Count a file's pages as gone; they are freed with their chunks."""
    record = holders(handle)[file]
    charge(handle).cpu_ns += costs(handle).truncate_page * record.present
    counts(handle).secret_pages -= record.present
    record.present = 0
    chains(handle)[file * CHAINS + FILE_PAGES].blocks = 0
