"""Bad memory: a page that failed is taken out of use and out of the direct map, for good [6.1 mm/memory-failure.c]."""

from typing import Final

from models.kernel.attributes import NO_TABLE, split_range
from models.kernel.chains import unlink
from models.kernel.direct_map import change_presence, level_of
from models.kernel.flush import flush_kernel
from models.kernel.layout import chains, charge, costs, map_handle, page_handle
from models.kernel.pages.blocks import block_around
from models.kernel.pages.buddy import add_free, block_type, change_free_pages, delete_free, zone_of
from models.kernel.pages.compaction import drain_zone
from models.kernel.pages.fallback import LRU
from models.kernel.pages.layout import FREE, NONE, PER_CPU, USED, pages
from models.kernel.records import CHAINS, NOBODY
from simcore.compiled import jit

__all__ = ["IGNORED", "TAKEN_FREE", "TAKEN_USED", "poison_page", "take_free_page"]

IGNORED: Final = 0
"""The kernel itself uses the page, or it is bad already: nothing can be done, and the direct map stays as it is."""
TAKEN_FREE: Final = 1
TAKEN_USED: Final = 2
"""A task's page: it is unmapped; who touches it again gets SIGBUS."""


@jit
def take_free_page(handle: int, cpu: int, pfn: int) -> bool:
    """Take one free page off the buddy lists, the rest of its block staying free (`take_page_off_buddy`)."""
    page, zone = pages(handle), zone_of(handle, pfn)
    first = block_around(handle, pfn)
    if first == NONE:
        return False
    if page[first].state == PER_CPU:
        # `shake_page`: all lists of the zone are drained, until the page is on a buddy list.
        drain_zone(handle, zone, cpu)
        first = block_around(handle, pfn)
    if page[first].state != FREE:
        return False
    order, migratetype = page[first].order, page[first].migratetype
    delete_free(handle, zone, first)
    while order > 0:
        order -= 1
        half = first + (1 << order)
        if pfn >= half:
            add_free(handle, zone, first, order, migratetype, False)
            first = half
        else:
            add_free(handle, zone, half, order, migratetype, False)
    page[pfn].state, page[pfn].order = USED, 0
    if block_type(handle, pfn) != 5:
        change_free_pages(handle, zone, cpu, -1)
    return True


@jit
def _take_from_owner(handle: int, pfn: int) -> None:
    """Take a page off its owner's chain, whichever of them it is on."""
    page, listed = pages(page_handle(handle)), chains(handle)
    owner, first = page[pfn].owner, pfn
    while page[first].prev != NONE:
        first = page[first].prev
    for kind in range(CHAINS):
        chain = listed[owner * CHAINS + kind]
        if chain.blocks > 0 and chain.head == first:
            unlink(handle, owner, kind, pfn)
            return


@jit
def poison_page(handle: int, cpu: int, node: int, pfn: int) -> int:
    """A page has failed: take it out of use, and make it non-present with a flush (`memory_failure`, `set_mce_nospec`).

    Returns:
        IGNORED, TAKEN_FREE or TAKEN_USED.
    """
    store, tiling = page_handle(handle), map_handle(handle)
    page = pages(store)
    if level_of(tiling, pfn) == 0:
        return IGNORED
    result = TAKEN_FREE
    if page[pfn].state == USED and page[pfn].flags & LRU:
        if page[pfn].owner > NOBODY:
            _take_from_owner(handle, pfn)
        page[pfn].flags &= ~LRU
        result = TAKEN_USED
    elif not take_free_page(store, cpu, pfn):
        return IGNORED
    page[pfn].owner = NOBODY
    charge(handle).cpu_ns += costs(handle).page_fault
    if split_range(handle, cpu, node, pfn, 1) == NO_TABLE:
        return IGNORED
    change_presence(tiling, store, pfn, 1, False)
    charge(handle).lock_ns += costs(handle).map_step
    flush_kernel(handle, False)
    return result
