"""Lists of free blocks: doubly linked through the page records, with the kernel's head and tail.

An element may stand for a *run* of blocks of the highest order, in ascending order: memory that was free at boot and
never touched. Only the first block of a run has a page record in use.
"""

from simcore.compiled import jit

from .layout import FREE, LOG_ENTRIES, MAX_ORDER, NONE, PCP_LISTS, TYPES, config, lists, log, pages

__all__ = ["add_head", "add_run", "add_tail", "buddy_list", "per_cpu_list", "record", "remove", "take_block"]


@jit
def buddy_list(zone: int, order: int, migratetype: int) -> int:
    """Index of the buddy list of a zone, order and migratetype."""
    return (zone * MAX_ORDER + order) * TYPES + migratetype


@jit
def per_cpu_list(handle: int, zone: int, cpu: int, index: int) -> int:
    """Index of a per-CPU list; `index` is 3 * order + migratetype, 12 and 13 for blocks of pageblock order."""
    settings = config(handle)
    return int(settings.zones * MAX_ORDER * TYPES + (zone * settings.cpus + cpu) * PCP_LISTS + index)


@jit
def add_head(handle: int, index: int, pfn: int) -> None:
    """Put a block at the head of a list (`list_add`)."""
    page, which = pages(handle), lists(handle)[index]
    head = which.head
    page[pfn].next = head
    page[pfn].prev = NONE
    if head == NONE:
        which.tail = pfn
    else:
        page[head].prev = pfn
    which.head = pfn
    which.blocks += 1


@jit
def add_tail(handle: int, index: int, pfn: int) -> None:
    """Put a block at the tail of a list (`list_add_tail`)."""
    page, which = pages(handle), lists(handle)[index]
    tail = which.tail
    page[pfn].prev = tail
    page[pfn].next = NONE
    if tail == NONE:
        which.head = pfn
    else:
        page[tail].next = pfn
    which.tail = pfn
    which.blocks += 1


@jit
def add_run(handle: int, index: int, pfn: int, blocks: int, migratetype: int) -> None:
    """Put untouched memory at a list's tail: `blocks` blocks of the highest order from `pfn` upwards."""
    page = pages(handle)
    page[pfn].owner = blocks - 1
    page[pfn].state = FREE
    page[pfn].order = MAX_ORDER - 1
    page[pfn].migratetype = migratetype
    add_tail(handle, index, pfn)
    lists(handle)[index].blocks += blocks - 1


@jit
def remove(handle: int, index: int, pfn: int) -> None:
    """Take an element off its list (`list_del`); of a run, its first block, and the rest stays where it was."""
    page, which = pages(handle), lists(handle)[index]
    before, after = page[pfn].prev, page[pfn].next
    which.blocks -= 1
    if page[pfn].owner > 0:
        rest = pfn + (1 << (MAX_ORDER - 1))
        page[rest].owner = page[pfn].owner - 1
        page[rest].state = FREE
        page[rest].order = MAX_ORDER - 1
        page[rest].migratetype = page[pfn].migratetype
        page[rest].prev = before
        page[rest].next = after
        page[pfn].owner = 0
        if before == NONE:
            which.head = rest
        else:
            page[before].next = rest
        if after == NONE:
            which.tail = rest
        else:
            page[after].prev = rest
        return
    if before == NONE:
        which.head = after
    else:
        page[before].next = after
    if after == NONE:
        which.tail = before
    else:
        page[after].prev = before


@jit
def take_block(handle: int, index: int, pfn: int) -> bool:
    """Make one block of the highest order an element of its own, when it lies inside a run of the list.

    Returns:
        Whether the block is free in the list, as an element or inside a run.
    """
    page = pages(handle)
    size = 1 << (MAX_ORDER - 1)
    first = lists(handle)[index].head
    while first != NONE:
        last = first + page[first].owner * size
        if first <= pfn <= last:
            break
        first = page[first].next
    if first == NONE:
        return False
    after = page[first].next
    last = first + page[first].owner * size
    previous = first
    for start in (pfn, pfn + size):
        if start <= first or start > last:
            continue
        page[start].owner = (last - start) // size
        page[previous].owner = (start - previous) // size - 1
        page[start].state = FREE
        page[start].order = MAX_ORDER - 1
        page[start].migratetype = page[first].migratetype
        page[start].prev = previous
        page[start].next = after
        page[previous].next = start
        if after == NONE:
            lists(handle)[index].tail = start
        else:
            page[after].prev = start
        previous = start
    return True


@jit
def record(
    handle: int, kind: int, zone: int, order: int, migratetype: int, pfn: int, a: int, b: int, c: int
) -> None:
    """Note what the allocator decided by itself, when somebody listens (`config.logging`)."""
    settings = config(handle)
    if settings.logging == 0 or settings.log_used >= LOG_ENTRIES:
        return
    entry = log(handle)[settings.log_used]
    entry.kind, entry.zone, entry.order, entry.type, entry.pfn = kind, zone, order, migratetype, pfn
    entry.aux[0], entry.aux[1], entry.aux[2] = a, b, c
    settings.log_used += 1
