"""Memory of virtual machines that leaves the direct map or cuts it: guest_memfd, SEV-SNP private pages."""

from typing import Final

from models.kernel.attributes import NO_TABLE, change_attributes
from models.kernel.chains import append, give_chain, take
from models.kernel.direct_map import KEPT_4K, change_presence, note_changed
from models.kernel.flush import flush_removed
from models.kernel.layout import chains, charge, costs, map_handle, page_handle
from models.kernel.migration import take_compacting
from models.kernel.pages.allocator import free_pages
from models.kernel.pages.layout import NONE, UNMOVABLE, pages
from models.kernel.records import CHAINS, FILE_PAGES, PAGE_TABLES
from models.kernel.secret_pages import OUT_OF_MEMORY, remove_range
from simcore.compiled import jit

__all__ = ["KEEP", "REMOVE", "SPLIT_ONLY", "fault_guest", "release_guest"]

KEEP: Final = 0
"""The direct map stays as it is: 2M private pages under SNP."""
REMOVE: Final = 1
"""The folio leaves the direct map, with a flush (guest_memfd without direct map, not merged)."""
SPLIT_ONLY: Final = 2
"""The page's entry becomes 4K and is not changed otherwise (`set_memory_4k`, for a 4K private page under SNP)."""


@jit
def fault_guest(handle: int, cpu: int, node: int, guest: int, order: int, how: int, new_table: bool) -> bool:
    """Populate a guest's next folio: unmovable, cleared, then dealt with in the direct map.

    Args:
        how: KEEP, REMOVE or SPLIT_ONLY.
        new_table: the guest's page table needs another page first, one per 2 MiB mapped with 4K.

    Returns:
        Whether there was memory.
    """
    store = page_handle(handle)
    if new_table:
        pfn = take(handle, cpu, node, 0, UNMOVABLE)
        if pfn == NONE:
            return False
        append(handle, guest, PAGE_TABLES, pfn, 0)
    pfn = take_compacting(handle, cpu, node, order, UNMOVABLE)
    if pfn == NONE:
        return False
    charge(handle).cpu_ns += costs(handle).page_fault + costs(handle).clear_page * ((1 << order) - 1)
    if how == REMOVE:
        if remove_range(handle, cpu, node, pfn, 1 << order) == OUT_OF_MEMORY:
            free_pages(store, cpu, pfn, order)
            return False
        flush_removed(handle, order > 5)  # more pages than are flushed one by one
    if how == SPLIT_ONLY and change_attributes(handle, cpu, node, pfn, 1 << order, KEPT_4K, 0) == NO_TABLE:
        free_pages(store, cpu, pfn, order)
        return False
    append(handle, guest, FILE_PAGES, pfn, 0)
    return True


@jit
def release_guest(handle: int, cpu: int, guest: int) -> int:
    """Free a guest's memory, put back into the direct map if it had left it; no entry merges by itself.

    Returns:
        Folios freed.
    """
    store, tiling = page_handle(handle), map_handle(handle)
    page, chain = pages(store), chains(handle)[guest * CHAINS + FILE_PAGES]
    pfn, count = chain.head, chain.blocks
    for _ in range(count):
        if change_presence(tiling, store, pfn, 1 << page[pfn].order, True) > 0:
            charge(handle).lock_ns += costs(handle).map_step
        for k in range(1 << page[pfn].order):
            if page[pfn + k].flags & KEPT_4K:
                page[pfn + k].flags &= ~KEPT_4K
                note_changed(tiling, pfn + k, 1)
        pfn = page[pfn].next
    charge(handle).cpu_ns += costs(handle).free_page * count
    give_chain(handle, cpu, guest, FILE_PAGES, count, 1, False)
    give_chain(handle, cpu, guest, PAGE_TABLES, 1 << 60, 1, False)
    return int(count)
