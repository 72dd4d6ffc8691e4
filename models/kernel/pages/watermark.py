"""Watermarks: whether a zone may give a block, and the order in which zones are asked [6.1]."""

from typing import Final

from simcore.compiled import jit

from .layout import HIGHATOMIC, MAX_ORDER, NONE, PCP_TYPES, config, lists, zone_at, zones
from .lists import buddy_list

__all__ = [
    "ALLOC_HIGHATOMIC", "ALLOC_MIN_RESERVE", "ALLOC_NON_BLOCK", "ALLOC_NO_WATERMARKS", "ALLOC_OOM", "REQUEST_ATOMIC",
    "next_zone", "watermark_ok",
]  # fmt: skip

ALLOC_WMARK_MASK: Final = 0x3
ALLOC_NO_WATERMARKS: Final = 0x4
ALLOC_OOM: Final = 0x8
ALLOC_NON_BLOCK: Final = 0x10
"""The caller cannot sleep."""
ALLOC_MIN_RESERVE: Final = 0x20
"""`__GFP_HIGH`: may take half of what lies below the watermark, and five eighths if it cannot sleep either."""
ALLOC_HIGHATOMIC: Final = 0x200
"""A request of an order above 0 that may take pageblocks of the high-atomic reserve, and reserves its own."""
ALLOC_RESERVES: Final = ALLOC_NON_BLOCK | ALLOC_MIN_RESERVE | ALLOC_OOM
REQUEST_ATOMIC: Final = 0x10000
"""Not one of the kernel's ALLOC_* bits: the request has `__GFP_ATOMIC`, which the check reads as well."""


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
    mark = alloc_flags & ALLOC_WMARK_MASK
    if _above(handle, zone, order, alloc_flags, highest_kind, record.wmark[mark] + record.boost + extra_pages):
        return True
    if order == 0 and alloc_flags & REQUEST_ATOMIC and record.boost > 0 and mark == 0:
        # Boosts are there to wake reclaim early, not to make atomic requests fail.
        return bool(_above(handle, zone, order, alloc_flags, highest_kind, record.wmark[mark]))
    return False


@jit
def _above(handle: int, zone: int, order: int, alloc_flags: int, highest_kind: int, lowest: int) -> bool:
    """Whether a zone stays above a number of free pages and has a block of the order (`__zone_watermark_ok`)."""
    record = zones(handle)[zone]
    listed = lists(handle)
    free = record.free_pages - ((1 << order) - 1)
    if not alloc_flags & ALLOC_RESERVES:
        free -= record.reserved_highatomic
    if alloc_flags & ALLOC_MIN_RESERVE:
        lowest -= lowest // 2
        if alloc_flags & ALLOC_NON_BLOCK:
            lowest -= lowest // 4
    if alloc_flags & ALLOC_OOM:
        lowest -= lowest // 2
    if free <= lowest + record.lowmem_reserve[highest_kind]:
        return False
    if order == 0:
        return True
    for current in range(order, MAX_ORDER):
        for migratetype in range(PCP_TYPES):
            if listed[buddy_list(zone, current, migratetype)].head != NONE:
                return True
        reserved = listed[buddy_list(zone, current, HIGHATOMIC)].head != NONE
        if reserved and alloc_flags & (ALLOC_HIGHATOMIC | ALLOC_OOM):
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
