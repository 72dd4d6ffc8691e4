"""Runs of compaction over a kernel's memory: holders follow their pages, and the work costs CPU time."""

from models.kernel.compaction.control import control, turn_is_over, worked_ns
from models.kernel.compaction.zone_run import CONTINUE, gives_way, keep_target, moved, step
from models.kernel.layout import chains, counts, page_handle
from models.kernel.pages.fallback import FORKED, LRU
from models.kernel.pages.layout import NONE, USED, pages
from models.kernel.records import CHAINS, NOBODY
from simcore.compiled import jit

__all__ = ["relink", "run_for"]


@jit
def relink(handle: int, source: int, target: int) -> None:
    """Put a page in another's place: its owner's chain, if it has one, now leads over the new page."""
    page = pages(page_handle(handle))
    old, new = page[source], page[target]
    new.state, new.order, new.owner = USED, 0, old.owner
    new.flags |= LRU | old.flags & FORKED
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
        if pages(store)[source].flags & FORKED:
            cc.processes_walked += counts(handle).tasks_alive - counts(handle).first_tasks
        relink(handle, source, target)
        moved(store, own, source, target)
    else:
        keep_target(store, own, target)


@jit
def run_for(handle: int, own: int, budget_ns: int, until_work: int) -> tuple[int, int]:
    """Go on with a run until it is at its end, or a time has been spent, or so much has been done (`work_done`).

    The CPU is given away where the kernel asks for that (`gives_way`), so not while blocks are split into places.

    Returns:
        What the run has come to, and the time spent.
    """
    store, cc, result = page_handle(handle), control(own), CONTINUE
    begun_ns = worked_ns(store, own)
    cc.stop_ns, cc.stop_work = begun_ns + budget_ns, until_work
    while result == CONTINUE and not (gives_way(own) and turn_is_over(store, own)):
        if cc.source != NONE:
            _move(handle, own)
        else:
            result, cc.source, cc.target = step(store, own)
    return int(result), int(worked_ns(store, own) - begun_ns)
