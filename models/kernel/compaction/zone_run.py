"""A run over a zone, in steps between which its thread may give the CPU away [6.1 mm/compaction.c, `compact_zone`]."""

from typing import Final

from models.kernel.compaction.control import (
    SYNC_LIGHT,
    block_start,
    control,
    isolation_list,
    scanners_met,
    zone_state,
)  # fmt: skip
from models.kernel.compaction.free_scanner import isolate_free_pages
from models.kernel.compaction.migrate_scanner import isolate_migrate_pages
from models.kernel.direct_map import ABSENT
from models.kernel.pages.allocator import free_pages
from models.kernel.pages.compaction import fragmentation_index
from models.kernel.pages.fallback import LRU
from models.kernel.pages.layout import (
    BATCH_SCALE_MAX,
    HIGHATOMIC,
    MAX_ORDER,
    NONE,
    PCP_TYPES,
    USED,
    config,
    lists,
    pages,
    per_cpu,
    zones,
)  # fmt: skip
from models.kernel.pages.lists import buddy_list, record
from models.kernel.pages.percpu import drain
from models.kernel.pages.watermark import watermark_ok
from simcore.compiled import jit

__all__ = [
    "COMPLETE", "CONTENDED", "CONTINUE", "SUCCESS", "begin_run", "drain_lists", "fragmentation_score", "gives_way",
    "keep_target", "moved", "step", "suitable",
]  # fmt: skip

_EXTFRAG_THRESHOLD: Final = 500
_WMARK_LOW: Final = 1
_MAX_DEFER_SHIFT: Final = 6
CONTINUE: Final = 0
SUCCESS: Final = 1
COMPLETE: Final = 2
CONTENDED: Final = 3


@jit
def drain_lists(store: int, zone: int, cpu: int, by_cpu: int) -> None:
    """Give back all that a CPU's lists hold, in steps (`drain_pages_zone`)."""
    local = per_cpu(store, zone, cpu)
    while local.count > 0:
        drain(store, zone, cpu, min(local.count, local.batch << BATCH_SCALE_MAX), 0, by_cpu)


@jit
def suitable(store: int, zone: int, order: int, highest_kind: int) -> bool:
    """Whether compacting a zone makes sense: enough free memory, in pieces, and no block yet."""
    if watermark_ok(store, zone, order, 0, highest_kind, 0):
        return False
    if not watermark_ok(store, zone, 0, _WMARK_LOW, highest_kind, 2 << order):
        return False
    index = fragmentation_index(store, zone, order)
    return not 0 <= index <= _EXTFRAG_THRESHOLD


@jit
def begin_run(store: int, own: int, zone: int, cpu: int, order: int, whole_zone: bool) -> None:
    """Set a run up where the last one ended, or over the whole zone, whatever the hints say."""
    cc, record_ = control(own), zones(store)[zone]
    cc.zone, cc.cpu, cc.order, cc.search_order, cc.mode = zone, cpu, order, order, SYNC_LIGHT
    cc.proactive = cc.ignore_skip = cc.whole_zone = whole_zone
    cc.fast_start = cc.fast_search_fail = 0
    cc.free_head, cc.free_count, cc.isolated, cc.moved_to = NONE, 0, 0, 0
    cc.last_migrated = cc.moving = cc.failed = cc.unfinished = 0
    cc.source, cc.target, cc.unsplit, cc.scan_stage = NONE, NONE, 0, 0
    cc.running = 1
    state = zone_state(own)
    last_block = block_start(store, record_.end_pfn - 1)
    if whole_zone:
        cc.migrate_pfn, cc.free_pfn = record_.start_pfn, last_block
        return
    if not record_.start_pfn <= state.cached_free < record_.end_pfn:
        state.cached_free = last_block
    if not record_.start_pfn <= state.cached_migrate_sync < record_.end_pfn:
        state.cached_migrate_async = state.cached_migrate_sync = record_.start_pfn
    cc.free_pfn, cc.migrate_pfn = state.cached_free, state.cached_migrate_sync
    cc.whole_zone = cc.migrate_pfn <= state.init_migrate


@jit
def fragmentation_score(store: int, zone: int, order: int) -> int:
    """Share of the free memory that is in blocks below an order, in percent (`extfrag_for_order`)."""
    listed, free, in_blocks = lists(store), 0, 0
    for current in range(MAX_ORDER):
        for migratetype in range(HIGHATOMIC + 1):
            blocks = listed[buddy_list(zone, current, migratetype)].blocks
            free += blocks << current
            if current >= order:
                in_blocks += blocks << current
    if free == 0:
        return 0
    return int((free - in_blocks) * 100 // free)


@jit
def _finished(store: int, own: int) -> int:
    """Whether the run is at its end (`__compact_finished`)."""
    cc, record_ = control(own), zones(store)[control(own).zone]
    if scanners_met(store, own):
        state = zone_state(own)
        state.cached_migrate_async = state.cached_migrate_sync = record_.start_pfn
        state.cached_free = block_start(store, record_.end_pfn - 1)
        return COMPLETE
    if cc.proactive:
        score = fragmentation_score(store, cc.zone, config(store).pageblock_order)
        return CONTINUE if score > 80 else SUCCESS
    if cc.migrate_pfn & ((1 << config(store).pageblock_order) - 1):
        return CONTINUE
    for order in range(cc.order, MAX_ORDER):
        for migratetype in range(PCP_TYPES):
            if lists(store)[buddy_list(cc.zone, order, migratetype)].head != NONE:
                return SUCCESS
    return CONTINUE


@jit
def _end(store: int, own: int) -> None:
    """Give back what no page was moved to (`release_freepages`)."""
    cc, state, page = control(own), zone_state(own), pages(store)
    highest = 0
    while cc.free_count > 0:
        pfn = cc.free_head
        cc.free_head = page[pfn].next
        cc.free_count -= 1
        page[pfn].state = USED
        record(store, ord("f"), cc.zone, 0, 0, pfn, 0, 0, 0)
        free_pages(store, cc.cpu, pfn, 0)
        cc.pages_released += 1
        highest = max(highest, pfn)
    if highest > 0:
        state.cached_free = max(state.cached_free, block_start(store, highest))
    cc.running = 0


@jit
def _take_target(store: int, own: int) -> int:
    cc = control(own)
    if cc.free_count == 0:
        return NONE
    pfn = cc.free_head
    cc.free_head = pages(store)[pfn].next
    cc.free_count -= 1
    return int(pfn)


@jit
def keep_target(store: int, own: int, pfn: int) -> None:
    """Nothing was moved to a page: it is the next one's place."""
    cc = control(own)
    pages(store)[pfn].next = cc.free_head
    cc.free_head = pfn
    cc.free_count += 1


@jit
def gives_way(own: int) -> bool:
    """Whether the thread asks, before it goes on, if it should give its CPU away (`cond_resched`).

    It does before pages are isolated, before each page gets a place, at every 32nd page while free blocks are looked
    for one after the other (`free_scanner`), and before a page moves. It does not while these blocks are split, which
    takes longer, and from the last page of a batch on until the run is found not to be at its end: full drains and
    what a run gives back in the end are not interrupted.
    """
    cc = control(own)
    return bool(cc.source != NONE or cc.scan_stage or (cc.moved_to > 0 if cc.moving else cc.unfinished))


@jit
def step(store: int, own: int) -> tuple[int, int, int]:
    """Do the next thing of a run: take pages to be moved, or find a place for the next of them.

    The caller then puts the page in its new place with `moved`.

    Returns:
        What the run has come to (`CONTINUE` until its end), and a page and its new place, or NONE twice.
    """
    cc, page = control(own), pages(store)
    if not cc.moving and not cc.unfinished:
        result = _finished(store, own)
        if result != CONTINUE:
            _end(store, own)
        cc.unfinished = result == CONTINUE
        return result, NONE, NONE
    if not cc.moving:
        cc.unfinished = 0
        cc.iteration_start = cc.migrate_pfn
        cc.rescan = block_start(store, cc.last_migrated) == block_start(store, cc.iteration_start)
        cc.failed = 0
        if isolate_migrate_pages(store, own):
            cc.last_migrated = cc.iteration_start
            cc.moving, cc.moved_to = 1, cc.isolated
            cc.batches += 1
            return CONTINUE, NONE, NONE
    elif cc.moved_to > 0:
        source = isolation_list(own)[cc.moved_to - 1]
        gone = page[source].state != USED or not page[source].flags & (LRU | ABSENT)  # freed in the meantime
        if (cc.scan_stage or (cc.free_count == 0 and not gone)) and not isolate_free_pages(store, own):
            return CONTINUE, NONE, NONE
        cc.pages_isolated += cc.unsplit
        cc.unsplit = 0
        cc.moved_to -= 1
        if gone:
            return CONTINUE, NONE, NONE
        target = _take_target(store, own)
        if target == NONE:
            cc.failed, cc.moved_to = 1, 0
            return CONTINUE, NONE, NONE
        if page[source].flags & ABSENT:
            keep_target(store, own, target)
            return CONTINUE, NONE, NONE
        return CONTINUE, int(source), int(target)
    cc.moving = cc.isolated = 0
    if cc.failed and not scanners_met(store, own):
        _end(store, own)
        return CONTENDED, NONE, NONE
    if cc.order > 0 and cc.last_migrated > 0 and cc.last_migrated < (cc.migrate_pfn >> cc.order) << cc.order:
        cc.pages_drained += per_cpu(store, cc.zone, cc.cpu).count
        cc.drains += 1
        drain_lists(store, cc.zone, cc.cpu, cc.cpu)
        cc.last_migrated = 0
    return CONTINUE, NONE, NONE


@jit
def moved(store: int, own: int, source: int, target: int) -> None:
    """Give the old page of a pair back, after its holder has been led to the new one."""
    cc, page = control(own), pages(store)
    page[target].state, page[target].order = USED, 0
    page[target].flags |= LRU
    record(store, ord("f"), cc.zone, 0, 0, source, 0, 0, 0)
    free_pages(store, cc.cpu, source, 0)
    cc.pages_moved += 1
