"""Whether memory is so plentiful that a small request cannot fail, whatever it is for."""

from typing import Final

from models.kernel.layout import page_handle
from models.kernel.pages.layout import MAX_ORDER, NONE, PCP_TYPES, config, lists, zone_at, zones
from models.kernel.pages.lists import buddy_list
from simcore.compiled import jit

__all__ = ["plenty"]

_HIGH: Final = 2
_MARGIN_PAGES: Final = 4096
"""More than any operation takes for a task that has one file: some 60 slabs of up to 8 pages, and page tables."""


@jit
def plenty(handle: int, node: int) -> bool:
    """Whether the first zone that a node's tasks ask is far above its watermarks and has a block of the highest order.

    From such a block a request of any order and type is served, by stealing if need be.
    """
    store = page_handle(handle)
    highest = config(store).highest_kind
    for position in range(config(store).zones):
        zone = zone_at(store, node, position)
        if zone == NONE:
            return False
        record = zones(store)[zone]
        if record.kind > highest:
            continue
        least = record.wmark[_HIGH] + record.boost + record.lowmem_reserve[highest] + record.reserved_highatomic
        if record.free_pages < least + _MARGIN_PAGES:
            return False
        for migratetype in range(PCP_TYPES):
            if lists(store)[buddy_list(zone, MAX_ORDER - 1, migratetype)].head != NONE:
                return True
        return False
    return False
