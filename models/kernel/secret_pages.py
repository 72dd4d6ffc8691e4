"""Secret pages one by one: the fault that takes a page out of the direct map, and the release that puts it back [6.1].

Order of what one fault allocates, on the recorded kernels: the user's page table, the secret page, the table of a
1G split, the table of a 2M split, and last the page-cache node.
"""

from typing import Final

from models.kernel.address_space import cover
from models.kernel.attributes import NO_TABLE, split_range
from models.kernel.chains import PAGEVEC, append, take, unlink
from models.kernel.direct_map import change_presence, note_secret
from models.kernel.flush import flush_removed
from models.kernel.layout import chains, charge, costs, counts, holders, map_handle, page_handle
from models.kernel.nodes import take_cache_nodes
from models.kernel.pages.allocator import free_pages
from models.kernel.pages.layout import NONE, UNMOVABLE, config, pages
from models.kernel.records import CHAINS, FILE_PAGES
from simcore.compiled import jit

__all__ = ["ALL_PAGES", "OUT_OF_MEMORY", "SPLIT", "fault_page", "release_pages", "remove_range"]

SPLIT: Final = 1
"""A fault's result: an entry of the direct map was split."""
OUT_OF_MEMORY: Final = -1


@jit
def remove_range(handle: int, cpu: int, node: int, pfn: int, count: int) -> int:
    """Take pages out of the direct map, splitting what they cover in part; no flush (`set_direct_map_invalid_noflush`).

    Every step holds the global map lock. A split holds it for a flush of all CPUs as well.

    Returns:
        Entries split, or OUT_OF_MEMORY when there is no page for a table; the direct map is then as before,
        but for splits already made.
    """
    asked = config(page_handle(handle)).requests
    made = split_range(handle, cpu, node, pfn, count)
    if made == NO_TABLE:
        return OUT_OF_MEMORY
    change_presence(map_handle(handle), page_handle(handle), pfn, count, False)
    counts(handle).removed_pages += count
    counts(handle).removed_at = asked
    charge(handle).lock_ns += costs(handle).map_step
    return made


@jit
def fault_page(
    handle: int, cpu: int, node: int, mapping: int, file: int, index: int, node_cache: int, node_shift: int
) -> int:
    """First touch of a page of a secret file under the `page` policy.

    Args:
        mapping: through which the page is touched.
        index: page of the mapping, which is the file's next page to come into being.
        node_cache: slab cache of page-cache nodes, or NONE; node_shift: log2 of a node's slots.

    Returns:
        0, SPLIT, or OUT_OF_MEMORY with nothing left behind but page tables and splits.
    """
    cost, due, tiling, store = costs(handle), charge(handle), map_handle(handle), page_handle(handle)
    if not cover(handle, cpu, node, mapping, index):
        return OUT_OF_MEMORY
    pfn = take(handle, cpu, node, 0, UNMOVABLE)
    if pfn == NONE:
        return OUT_OF_MEMORY
    due.cpu_ns += cost.secret_fault
    made = remove_range(handle, cpu, node, pfn, 1)
    if made == OUT_OF_MEMORY:
        free_pages(store, cpu, pfn, 0)
        return OUT_OF_MEMORY
    if not take_cache_nodes(handle, cpu, node, node_cache, node_shift, file):
        change_presence(tiling, store, pfn, 1, True)
        free_pages(store, cpu, pfn, 0)
        return OUT_OF_MEMORY
    append(handle, file, FILE_PAGES, pfn, 0)
    note_secret(tiling, pfn, 1)
    holders(handle)[file].present += 1
    holders(handle)[mapping].present += 1
    counts(handle).secret_pages += 1
    counts(handle).secret_faults += 1
    flush_removed(handle, False)
    return SPLIT if made > 0 else 0


ALL_PAGES: Final = 1 << 62
"""For `release_pages`: not to stop before all are freed."""


@jit
def release_pages(handle: int, cpu: int, file: int, most: int) -> int:
    """Free a file's secret pages in batches of a pagevec: map them again, clear them, free the last one first.

    Args:
        most: pages after which no batch is begun.

    Returns:
        Pages freed.
    """
    store, tiling = page_handle(handle), map_handle(handle)
    page, chain = pages(store), chains(handle)[file * CHAINS + FILE_PAGES]
    freed = 0
    while chain.blocks > 0 and freed < most:
        size = min(PAGEVEC, chain.blocks)
        pfn = chain.head
        last = pfn
        for _ in range(size):
            change_presence(tiling, store, pfn, 1, True)
            note_secret(tiling, pfn, -1)
            last = pfn
            pfn = page[pfn].next
        for _ in range(size):
            before = page[last].prev
            unlink(handle, file, FILE_PAGES, last)
            free_pages(store, cpu, last, 0)
            last = before
        freed += size
    holders(handle)[file].present = chain.blocks
    counts(handle).secret_pages -= freed
    charge(handle).cpu_ns += costs(handle).free_secret_page * freed
    return freed
