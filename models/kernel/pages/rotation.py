"""Rotating a free list, as compaction's scanners do after a search."""

from simcore.compiled import jit

from .layout import FREE, NONE, lists, pages
from .lists import buddy_list, record

__all__ = ["rotate_free_list"]


@jit
def rotate_free_list(handle: int, zone: int, order: int, migratetype: int, pfn: int, to_tail: bool) -> bool:
    """Rotate a list so that a block becomes its head, or its tail; the order around the ring stays.

    Returns:
        Whether the block is on that list.
    """
    index = buddy_list(zone, order, migratetype)
    page, which = pages(handle), lists(handle)[index]
    if page[pfn].state != FREE or page[pfn].order != order or page[pfn].migratetype != migratetype:
        return False
    record(handle, ord("L"), zone, order, migratetype, pfn, int(to_tail), 0, 0)
    head, tail = which.head, which.tail
    first = page[pfn].next if to_tail else pfn  # the new head
    if first == NONE or first == head:
        return True
    last = page[first].prev  # the new tail
    page[tail].next = head
    page[head].prev = tail
    page[last].next = NONE
    page[first].prev = NONE
    which.head, which.tail = first, last
    return True
