"""Pages in use, by holder: taking blocks for a holder and giving its chains back."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.kernel.layout import chains, page_handle
from models.kernel.pages.allocator import alloc_block, free_pages
from models.kernel.pages.fallback import ALLOC_KSWAPD
from models.kernel.pages.layout import NONE, config, pages
from models.kernel.records import CHAINS
from simcore.compiled import jit

__all__ = [
    "PAGEVEC", "append", "give_chain", "give_single", "join", "list_blocks", "move", "prepend", "take", "take_quietly",
    "unlink",
]  # fmt: skip

PAGEVEC: Final = 15
"""Pages that the kernel collects before it frees them together (`PAGEVEC_SIZE`)."""
ALLOC_WMARK_MIN: Final = 0x800  # and may wake kswapd


@jit
def take(handle: int, cpu: int, node: int, order: int, migratetype: int) -> int:
    """Take a block: above the low watermark, else, as the slow path does, above the minimum.

    Returns:
        Its pfn, or NONE: the caller is out of memory.
    """
    store = page_handle(handle)
    settings = config(store)
    pfn = alloc_block(store, node, cpu, order, migratetype, settings.alloc_flags, settings.highest_kind)
    if pfn == NONE:
        pfn = alloc_block(store, node, cpu, order, migratetype, ALLOC_WMARK_MIN, settings.highest_kind)
    return pfn


@jit
def take_quietly(handle: int, cpu: int, node: int, order: int, migratetype: int) -> int:
    """Take a block that may as well be smaller: the first attempt wakes nobody (`__GFP_NOWARN | __GFP_NORETRY`)."""
    store = page_handle(handle)
    settings = config(store)
    pfn = alloc_block(store, node, cpu, order, migratetype, settings.alloc_flags & ~ALLOC_KSWAPD, settings.highest_kind)
    return pfn if pfn != NONE else take(handle, cpu, node, order, migratetype)


@jit
def append(handle: int, holder: int, kind: int, pfn: int, flags: int) -> None:
    """Put a block at the end of a holder's chain."""
    page, chain = pages(page_handle(handle)), chains(handle)[holder * CHAINS + kind]
    record = page[pfn]
    record.owner = holder
    record.flags |= flags
    record.next = NONE
    if chain.blocks == 0:
        record.prev = NONE
        chain.head = pfn
    else:
        record.prev = chain.tail
        page[chain.tail].next = pfn
    chain.tail = pfn
    chain.blocks += 1


@jit
def prepend(handle: int, holder: int, kind: int, pfn: int) -> None:
    """Put a block at the start of a holder's chain."""
    page, chain = pages(page_handle(handle)), chains(handle)[holder * CHAINS + kind]
    record = page[pfn]
    record.owner = holder
    record.prev = NONE
    if chain.blocks == 0:
        record.next = NONE
        chain.tail = pfn
    else:
        record.next = chain.head
        page[chain.head].prev = pfn
    chain.head = pfn
    chain.blocks += 1


@jit
def join(handle: int, holder: int, kind: int, other: int) -> None:
    """Hang a chain of a holder at the end of another one of its chains."""
    page, listed = pages(page_handle(handle)), chains(handle)
    chain, added = listed[holder * CHAINS + kind], listed[holder * CHAINS + other]
    if added.blocks == 0:
        return
    if chain.blocks == 0:
        chain.head = added.head
    else:
        page[chain.tail].next = added.head
        page[added.head].prev = chain.tail
    chain.tail = added.tail
    chain.blocks += added.blocks
    added.blocks = 0


@jit
def move(handle: int, giver: int, kind: int, taker: int, other: int, flags: int) -> None:
    """Hand a whole chain of one holder over to another, to the end of a chain of its; its blocks get flags."""
    page, chain = pages(page_handle(handle)), chains(handle)[giver * CHAINS + kind]
    pfn, left = chain.head, chain.blocks
    chain.blocks = 0
    while left > 0:
        following = page[pfn].next
        append(handle, taker, other, pfn, flags)
        pfn = following
        left -= 1


@jit
def unlink(handle: int, holder: int, kind: int, pfn: int) -> None:
    """Take a block off its holder's chain."""
    page, chain = pages(page_handle(handle)), chains(handle)[holder * CHAINS + kind]
    before, after = page[pfn].prev, page[pfn].next
    if before == NONE:
        chain.head = after
    else:
        page[before].next = after
    if after == NONE:
        chain.tail = before
    else:
        page[after].prev = before
    chain.blocks -= 1


@jit
def give_single(handle: int, cpu: int, holder: int, kind: int, pfn: int) -> None:
    """Take a block off its chain and free it."""
    unlink(handle, holder, kind, pfn)
    free_pages(page_handle(handle), cpu, pfn, pages(page_handle(handle))[pfn].order)


@jit
def give_chain(
    handle: int, cpu: int, holder: int, kind: int, blocks: int, batch: int, from_tail: bool
) -> int:
    """Free blocks of a chain.

    Args:
        blocks: how many at the most.
        batch: pages that the kernel collects first; it frees each such batch last page first. 1: one by one.
        from_tail: take them from the chain's end, not from its start.

    Returns:
        Blocks freed.
    """
    store, page = page_handle(handle), pages(page_handle(handle))
    chain = chains(handle)[holder * CHAINS + kind]
    freed = 0
    while freed < blocks and chain.blocks > 0:
        size = min(batch, chain.blocks, blocks - freed)
        pfn = chain.tail if from_tail else chain.head
        for _ in range(size - 1):
            pfn = page[pfn].prev if from_tail else page[pfn].next
        for _ in range(size):
            other = page[pfn].next if from_tail else page[pfn].prev
            unlink(handle, holder, kind, pfn)
            free_pages(store, cpu, pfn, page[pfn].order)
            pfn = other
        freed += size
    return freed


@jit
def list_blocks(handle: int, holder: int, kind: int, into: NDArray[np.int64]) -> None:
    """List the first frames of a chain's first blocks, as many as there is room for; there are as many."""
    page = pages(page_handle(handle))
    pfn = chains(handle)[holder * CHAINS + kind].head
    for at in range(len(into)):
        into[at] = pfn
        pfn = page[pfn].next
