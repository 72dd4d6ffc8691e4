"""Where pages are moved to: free blocks from the zone's end downwards, found through the free lists or block by block.

A scan may be interrupted where the kernel asks whether to give way, and goes on from there when it is called again.
Sources: mm/compaction.c of 6.1, `isolate_freepages` and what it calls.
"""

from models.kernel.compaction.control import (
    ASYNC,
    CLUSTER,
    block_start,
    control,
    is_free_block,
    set_skip,
    skip_hints,
    turn_is_over,
    zone_state,
)  # fmt: skip
from models.kernel.compaction.free_search import isolate_block, search_lists, wanted_pages
from models.kernel.pages.buddy import block_type
from models.kernel.pages.layout import MOVABLE, NONE, USED, config, pages, zones
from simcore.compiled import jit

__all__ = ["isolate_free_pages"]

# What is looked through: nothing yet; what lies before and behind a block found through the lists; block by block.
_NOT_BEGUN, _BEFORE, _BEHIND, _BLOCKS = range(4)


@jit
def _begin_scan(own: int, stage: int, first: int, end: int, stride: int) -> None:
    cc = control(own)
    cc.scan_stage, cc.scan_at, cc.scan_end, cc.scan_stride, cc.scan_taken = stage, first, end, stride, 0


@jit
def _scan(store: int, own: int) -> bool:
    """Take the free blocks of a range until there are enough (`isolate_freepages_block`).

    At every 32nd page the thread asks whether to give its CPU away.

    Returns:
        False: it is to, and goes on from there later.
    """
    cc, page = control(own), pages(store)
    while cc.scan_at < cc.scan_end:
        pfn = cc.scan_at
        if pfn % CLUSTER == 0 and turn_is_over(store, own):
            return False
        cc.pages_scanned += 1
        if not is_free_block(store, pfn):
            # Blocks in use of higher orders are compound pages as far as the scanner sees: it steps over them.
            if page[pfn].state == USED and page[pfn].order > 0:
                pfn += (1 << page[pfn].order) - 1
            cc.scan_at = pfn + cc.scan_stride
            continue
        count = isolate_block(store, own, pfn)
        if count == 0:
            break
        cc.scan_taken += count
        cc.scan_at = pfn + count
        if wanted_pages(own) <= cc.free_count:
            break
        cc.scan_at += cc.scan_stride - 1
    cc.scan_at = min(cc.scan_at, cc.scan_end)
    return True


@jit
def _scan_around(store: int, own: int) -> bool:
    """Look through the rest of the pageblock in which the lists had a block (`fast_isolate_around`).

    Returns:
        False: not to its end yet, see `_scan`.
    """
    cc, zone = control(own), zones(store)[control(own).zone]
    start = block_start(store, cc.found)
    if cc.scan_stage == _NOT_BEGUN:
        if cc.free_count >= wanted_pages(own):
            return True
        _begin_scan(own, _BEFORE, max(start, zone.start_pfn), cc.found, 1)
    if cc.scan_stage == _BEFORE:
        if not _scan(store, own):
            return False
        if cc.free_count >= wanted_pages(own):
            return True
        end = min(start + (1 << config(store).pageblock_order), zone.end_pfn)
        _begin_scan(own, _BEHIND, cc.found + cc.found_pages, end, 1)
    if not _scan(store, own):
        return False
    if cc.free_count < wanted_pages(own):
        set_skip(store, own, cc.found)
    return True


@jit
def _scan_blocks(store: int, own: int) -> bool:
    """Look through pageblocks from where the last scan ended downwards; returns False: not to the end, see `_scan`."""
    cc, state, page, zone = control(own), zone_state(own), pages(store), zones(store)[control(own).zone]
    shift = config(store).pageblock_order
    size = 1 << shift
    lowest = block_start(store, cc.migrate_pfn) + size
    resumed = cc.scan_stage == _BLOCKS  # in the midst of a pageblock, whatever has become of it
    if not resumed:
        end = min(block_start(store, cc.free_pfn) + size, zone.end_pfn)
        _begin_scan(own, _BLOCKS, cc.free_pfn, end, CLUSTER if cc.mode == ASYNC else 1)
    while True:
        first = block_start(store, cc.scan_end - 1)
        if first < lowest:
            break
        whole = is_free_block(store, first) and page[first].order >= shift
        passed = not cc.ignore_skip and skip_hints(own)[first >> shift]
        if resumed or (not whole and not passed and block_type(store, first) == MOVABLE):
            resumed = False
            if not _scan(store, own):
                return False
            if cc.scan_at == cc.scan_end:
                set_skip(store, own, first)
                state.cached_free = min(state.cached_free, first)
            if cc.free_count >= wanted_pages(own):
                if cc.scan_at >= cc.scan_end:
                    cc.scan_at = first - size
                break
            if cc.scan_at < cc.scan_end:
                break
            stride = 1 if cc.scan_taken else min(CLUSTER, cc.scan_stride << 1)
        else:
            stride = cc.scan_stride
        _begin_scan(own, _BLOCKS, first - size, first, stride)
    cc.free_pfn = cc.scan_at
    return True


@jit
def isolate_free_pages(store: int, own: int) -> bool:
    """Take free pages for those that are to be moved, when there are none left (`isolate_freepages`).

    Returns:
        False: the thread gives its CPU away first, and calls this again.
    """
    cc = control(own)
    if cc.scan_stage == _NOT_BEGUN:
        search_lists(store, own)
    if cc.found != NONE and cc.scan_stage != _BLOCKS and not _scan_around(store, own):
        return False
    if (cc.free_count == 0 or cc.scan_stage == _BLOCKS) and not _scan_blocks(store, own):
        return False
    cc.scan_stage = _NOT_BEGUN
    return True
