"""Watermarks: whether a zone may give a block, and the order in which zones are asked [6.1]."""

from typing import Final

from simcore.compiled import jit

from .layout import HIGHATOMIC, MAX_ORDER, NONE, PCP_TYPES, config, lists, zone_at, zones
from .lists import buddy_list

__all__ = ["ALLOC_HARDER", "ALLOC_HIGH", "ALLOC_NO_WATERMARKS", "ALLOC_OOM", "next_zone", "watermark_ok"]

ALLOC_WMARK_MASK: Final = 0x3
ALLOC_NO_WATERMARKS: Final = 0x4
ALLOC_OOM: Final = 0x8
ALLOC_HARDER: Final = 0x10
ALLOC_HIGH: Final = 0x20


@jit
def watermark_ok(
    handle: int, zone: int, order: int, alloc_flags: int, highest_kind: int, extra_pages: int
) -> bool:
    """Whether a zone stays above the watermark that `alloc_flags` names (`zone_watermark_fast`).

    Args:
        highest_kind: highest kind of zone that the request may use; selects the lowmem reserve.
        extra_pages: pages wanted beyond the first block (bulk requests).
    """
    record = zones(handle)[zone]
    listed = lists(handle)
    harder = alloc_flags & (ALLOC_HARDER | ALLOC_OOM)
    lowest = record.wmark[alloc_flags & ALLOC_WMARK_MASK] + record.boost + extra_pages
    free = record.free_pages - ((1 << order) - 1)
    if not harder:
        free -= record.reserved_highatomic
    if alloc_flags & ALLOC_HIGH:
        lowest -= lowest // 2
    if alloc_flags & ALLOC_OOM:
        lowest -= lowest // 2
    elif alloc_flags & ALLOC_HARDER:
        lowest -= lowest // 4
    if free <= lowest + record.lowmem_reserve[highest_kind]:
        return False
    if order == 0:
        return True
    for current in range(order, MAX_ORDER):
        for migratetype in range(PCP_TYPES):
            if listed[buddy_list(zone, current, migratetype)].head != NONE:
                return True
        if harder and listed[buddy_list(zone, current, HIGHATOMIC)].head != NONE:
            return True
    return False


@jit
def next_zone(
    handle: int, node: int, position: int, order: int, alloc_flags: int, highest_kind: int, extra_pages: int
) -> int:
    """First place in a node's zonelist, from `position` on, whose zone may give the block.

    Returns:
        A position in the zonelist, or NONE.
    """
    zone = zones(handle)
    while position < config(handle).zones and zone_at(handle, node, position) != NONE:
        candidate = zone_at(handle, node, position)
        if zone[candidate].kind <= highest_kind and (
            alloc_flags & ALLOC_NO_WATERMARKS
            or watermark_ok(handle, candidate, order, alloc_flags, highest_kind, extra_pages)
        ):
            return position
        position += 1
    return NONE
