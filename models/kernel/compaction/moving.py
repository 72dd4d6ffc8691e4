"""Runs of compaction over a kernel's memory: holders follow their pages, and the work costs CPU time."""

from models.kernel.compaction.control import control
from models.kernel.compaction.zone_run import CONTINUE, moved, step
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
def run_for(handle: int, own: int, budget_ns: int, move_ns: int) -> tuple[int, int]:
    """Go on with a run until it is at its end, or a time has been spent.

    Looking at the pages of a pageblock takes as long as writing a table of its entries.

    Args:
        move_ns: what it takes to move a page.

    Returns:
        What the run has come to, and the time spent.
    """
    store, cc, prices = page_handle(handle), control(own), costs(handle)
    per_block = prices.split_2m - prices.flush_all
    shift, spent_ns, result = config(store).pageblock_order, 0, CONTINUE
    while result == CONTINUE and spent_ns < budget_ns:
        scanned = cc.pages_scanned
        result, source, target = step(store, own)
        if source != NONE:
            relink(handle, source, target)
            moved(store, own, source, target)
            spent_ns += move_ns
        spent_ns += (cc.pages_scanned - scanned) * per_block >> shift
    return int(result), int(spent_ns)
