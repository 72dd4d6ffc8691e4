"""Runs of compaction over a kernel's memory: holders follow their pages, and the work costs CPU time."""

from models.kernel.compaction.control import control
from models.kernel.compaction.zone_run import CONTINUE, keep_target, moved, step
from models.kernel.layout import CHAINS, NOBODY, chains, costs, page_handle
from models.kernel.pages.fallback import LRU
from models.kernel.pages.layout import NONE, USED, config, pages
from simcore.compiled import jit

__all__ = ["relink", "run_for"]


@jit
def relink(handle: int, source: int, target: int) -> None:
    """Put a page in another's place: its owner's chain, if it has one, now leads over the new page."""
    page = pages(page_handle(handle))
    old, new = page[source], page[target]
    new.state, new.order, new.owner = USED, 0, old.owner
    new.flags |= LRU
    if old.owner == NOBODY:
        return
    new.next, new.prev = old.next, old.prev
    listed = chains(handle)
    for kind in range(CHAINS):
        chain = listed[old.owner * CHAINS + kind]
        if chain.blocks > 0 and old.prev == NONE and chain.head == source:
            chain.head = target
        if chain.blocks > 0 and old.next == NONE and chain.tail == source:
            chain.tail = target
    if old.prev != NONE:
        page[old.prev].next = target
    if old.next != NONE:
        page[old.next].prev = target


@jit
def _move(handle: int, own: int) -> None:
    """Move the page that has a place, unless it has been freed by now."""
    store, cc = page_handle(handle), control(own)
    source, target = cc.source, cc.target
    cc.source = cc.target = NONE
    if pages(store)[source].state == USED and pages(store)[source].flags & LRU:
        relink(handle, source, target)
        moved(store, own, source, target)
    else:
        keep_target(store, own, target)


@jit
def run_for(
    handle: int, own: int, budget_ns: int, move_ns: int, isolate_ns: int, release_ns: int
) -> tuple[int, int]:
    """Go on with a run until it is at its end, or a time has been spent.

    The CPU is given away where `migrate_pages` and what it calls ask for that: before a page gets a place, and before
    it moves there, but not while blocks are split into places, nor while those that were left are given back. Looking
    at the pages of a pageblock takes as long as writing a table of its entries.

    Args:
        move_ns: what it takes to move a page.
        isolate_ns: to make a page of a free block a place to move to.
        release_ns: to give such a page back.

    Returns:
        What the run has come to, and the time spent.
    """
    store, cc, prices = page_handle(handle), control(own), costs(handle)
    per_block = prices.split_2m - prices.flush_all
    shift, spent_ns, result = config(store).pageblock_order, 0, CONTINUE
    while result == CONTINUE and spent_ns < budget_ns:
        if cc.source != NONE:
            _move(handle, own)
            spent_ns += move_ns
            continue
        scanned, isolated, released = cc.pages_scanned, cc.pages_isolated, cc.pages_released
        result, cc.source, cc.target = step(store, own)
        spent_ns += (cc.pages_scanned - scanned) * per_block >> shift
        spent_ns += (cc.pages_isolated - isolated) * isolate_ns + (cc.pages_released - released) * release_ns
    return int(result), int(spent_ns)
