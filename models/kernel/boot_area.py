"""Contiguous areas set aside while the machine boots, from the top of memory downwards (memblock, CMA)."""

from __future__ import annotations

from models.kernel.layout import State
from models.kernel.pages.buddy import change_free_pages, delete_free, free_block
from models.kernel.pages.layout import MAX_ORDER, MOVABLE, NONE
from models.kernel.pages.lists import buddy_list, take_block
from simcore.compiled import jit

__all__ = ["alignment_pages", "take_area"]

_LARGEST_PAGES = 1 << (MAX_ORDER - 1)
_HUGE_PAGES = 512
_GIGA_PAGES = 262144


def alignment_pages(size_pages: int) -> int:
    """Alignment of an area for secret memory: 2M, or 1G when twice the area exceeds 1 GiB [patch set]."""
    return _GIGA_PAGES if 2 * size_pages > _GIGA_PAGES else _HUGE_PAGES


def take_area(state: State, size_pages: int, align_pages: int) -> int:
    """Take the highest free area of a size and alignment that lies in one zone; its zone manages that much less.

    Watermarks stay those of a machine without the area.

    Args:
        state: a kernel that has just booted: free memory lies in blocks of the highest order.
        size_pages: a multiple of 512.
        align_pages: a multiple of 512.

    Returns:
        First page frame.

    Raises:
        ValueError: the size is no whole number of 2 MiB, or there is no such area.
    """
    if size_pages <= 0 or size_pages % _HUGE_PAGES:
        raise ValueError(f"an area for secret memory is a multiple of 2 MiB, not {size_pages * 4} KiB")
    best, home = NONE, NONE
    for zone in range(len(state.pages.zones)):
        for start, end in _free_runs(state, zone):
            first = (end - size_pages) // align_pages * align_pages
            if first >= start and first > best:
                best, home = first, zone
    if best == NONE:
        raise ValueError(f"there is no free area of {size_pages * 4} KiB, aligned to {align_pages * 4} KiB")
    _set_aside(state.pages.handle, home, best, best + size_pages)
    record = state.pages.zones[home]
    record["free_pages"] -= size_pages
    record["managed"] -= size_pages
    state.pages.config[0]["free_pages"] -= size_pages
    return best


def _free_runs(state: State, zone: int) -> list[tuple[int, int]]:
    """Ranges of page frames in free blocks of the highest order, ascending, neighbours joined."""
    page, found = state.pages.pages, []
    pfn = int(state.pages.lists[buddy_list(zone, MAX_ORDER - 1, MOVABLE)]["head"])
    while pfn != NONE:
        found.append((pfn, pfn + (int(page[pfn]["owner"]) + 1) * _LARGEST_PAGES))
        pfn = int(page[pfn]["next"])
    joined: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


@jit
def _set_aside(handle: int, zone: int, start: int, end: int) -> None:
    """Take the blocks of the highest order that cover a range off their list, and give back what lies outside."""
    size = 1 << (MAX_ORDER - 1)
    first = start // size * size
    while first < end:
        take_block(handle, buddy_list(zone, MAX_ORDER - 1, MOVABLE), first)
        delete_free(handle, zone, first)
        first += size
    # `free_block` counts what it gets as newly free, but these pages were counted all along.
    if start % size != 0:
        free_block(handle, zone, 0, start // size * size, MAX_ORDER - 2, MOVABLE, True)
        change_free_pages(handle, zone, 0, -size // 2)
    if end % size != 0:
        free_block(handle, zone, 0, end, MAX_ORDER - 2, MOVABLE, True)
        change_free_pages(handle, zone, 0, -size // 2)
