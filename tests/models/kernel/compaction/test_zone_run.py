"""Runs of compaction over a zone of a few pageblocks, where every page is known."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.kernel.compaction.control import FOR_EVER, Compaction, turn_is_over, work_done
from models.kernel.compaction.zone_run import (
    COMPLETE,
    CONTENDED,
    CONTINUE,
    SUCCESS,
    begin_run,
    drain_lists,
    fragmentation_score,
    gives_way,
    moved,
    step,
    suitable,
)  # fmt: skip
from models.kernel.direct_map import ABSENT
from models.kernel.pages.allocator import alloc_from_zone
from models.kernel.pages.fallback import LRU
from models.kernel.pages.layout import MOVABLE, NONE, UNMOVABLE, USED, Store
from tests.models.kernel.machines import buddy_blocks
from tests.models.kernel.stores import BLOCK, CPU, LOW_MARK, ZONE, empty_store, give

ORDER = 9
BLOCKS = 8


def store_with(free: dict[int, int], *, kept: dict[int, int] | None = None) -> Store:
    """Pageblocks of movable pages in use, every second page free in some; the first one is the kernel's.

    Args:
        free: pageblock to its number of free pages, spread out from its start.
        kept: page to flags that it has instead of those of a movable page.
    """
    store = empty_store(BLOCKS * BLOCK, batch=63, high=1024)
    store.zones[ZONE]["start_pfn"] = 1  # no machine has a page 0 to give
    store.pages["state"][: BLOCKS * BLOCK] = USED
    store.pages["flags"][BLOCK : BLOCKS * BLOCK] = LRU
    for pfn, flags in (kept or {}).items():
        store.pages["flags"][pfn] = flags
    for block, count in free.items():
        for pfn in range(block * BLOCK, block * BLOCK + 2 * count, 2):
            store.pages["flags"][pfn] = 0
            give(store, pfn, 0)
    return store


def run(store: Store, compaction: Compaction, *, whole: bool = False) -> tuple[int, list[tuple[int, int]]]:
    """Run to the end; returns what came of it, and the pages moved."""
    begin_run(store.handle, compaction.handle, ZONE, CPU, -1 if whole else ORDER, whole)
    pairs = []
    while True:
        result, source, target = step(store.handle, compaction.handle)
        if source != NONE:
            moved(store.handle, compaction.handle, source, target)
            pairs.append((source, target))
        if result != CONTINUE:
            return result, pairs


def test_the_first_pageblock_is_emptied_into_the_last_ones() -> None:
    """Pages go from the zone's start to its end, and a run ends as soon as there is a block."""
    store = store_with({1: 200, 5: 200, 6: 200})
    result, pairs = run(store, Compaction(store))
    assert result == SUCCESS
    assert buddy_blocks(store, ZONE, ORDER, MOVABLE) == [BLOCK]
    sources, targets = zip(*pairs, strict=True)
    assert {pfn // BLOCK for pfn in sources} == {1}
    assert len(set(sources)) == len(sources) == BLOCK - 200
    assert {pfn // BLOCK for pfn in targets} <= {5, 6}
    assert all(store.pages["flags"][pfn] & LRU for pfn in targets)


def test_pages_are_moved_a_cluster_at_first_and_then_the_rest_from_the_end() -> None:
    """32 pages are taken, then all others of the pageblock; each time the last one taken is moved first."""
    store = store_with({1: 200, 5: 200, 6: 200})
    _, pairs = run(store, Compaction(store))
    sources = [source for source, _ in pairs]
    assert sources[:32] == sorted(sources[:32], reverse=True)
    assert sources[32:] == sorted(sources[32:], reverse=True)
    assert max(sources[:32]) < min(sources[32:])


def test_free_pages_that_were_not_needed_are_given_back() -> None:
    """No page is lost: what was taken as a target and not used is free again."""
    store = store_with({1: 200, 5: 200, 6: 200})
    run(store, Compaction(store))
    drain_lists(store.handle, ZONE, CPU, CPU)
    free = int(store.zones[ZONE]["free_pages"] + store.per_cpu["free_pages_diff"].sum())
    assert free == 600
    assert int(store.per_cpu[ZONE, CPU]["count"]) == 0


def test_a_page_that_cannot_be_moved_keeps_its_pageblock() -> None:
    """The scanners meet without a block: memory is as free as before, and the next run begins anew."""
    kept = {block * BLOCK + 511: 0 for block in range(BLOCKS)}
    store = store_with({1: 200, 5: 200, 6: 200}, kept=kept)
    compaction = Compaction(store)
    result, pairs = run(store, compaction)
    assert result == COMPLETE
    assert not {source for source, _ in pairs} & set(kept)
    assert buddy_blocks(store, ZONE, ORDER, MOVABLE) == []
    record = compaction.zones[0]
    assert record["cached_migrate_sync"] == store.zones[ZONE]["start_pfn"]


def test_secret_pages_are_taken_and_stay() -> None:
    """They are on an LRU list; moving one is refused, and the place goes to the next page."""
    secret = [BLOCK + 401, BLOCK + 403]
    store = store_with({1: 200, 5: 200, 6: 200}, kept=dict.fromkeys(secret, ABSENT))
    _, pairs = run(store, Compaction(store))
    assert not {source for source, _ in pairs} & set(secret)
    assert len({target for _, target in pairs}) == len(pairs)
    assert all(store.pages["state"][pfn] == USED for pfn in secret)


def test_a_pageblock_just_searched_is_passed_over() -> None:
    """Hints: a block that gave no page is not looked at by the next run."""
    store = store_with({5: 200, 6: 200, 7: 200}, kept=dict.fromkeys(range(0, 2 * BLOCK), 0))
    compaction = Compaction(store)
    run(store, compaction)
    assert compaction.skip[1] == 1


def test_an_unasked_run_goes_on_until_memory_is_in_larger_pieces() -> None:
    """It disregards hints, and ends when at most four fifths of the free memory are in small blocks."""
    store = store_with(dict.fromkeys(range(1, 7), 240))
    assert fragmentation_score(store.handle, ZONE, ORDER) == 100
    compaction = Compaction(store)
    compaction.skip[:] = 1
    result, pairs = run(store, compaction, whole=True)
    drain_lists(store.handle, ZONE, CPU, CPU)
    assert pairs
    assert result in (SUCCESS, COMPLETE)
    assert fragmentation_score(store.handle, ZONE, ORDER) < 100


def test_a_run_without_places_gives_up() -> None:
    """No free page that may be taken: the run is over, and nothing has moved."""
    store = store_with({5: 200, 6: 200})
    store.zones[ZONE]["wmark"][:] = 400
    result, pairs = run(store, Compaction(store))
    assert result in (CONTENDED, COMPLETE)
    assert pairs == []


@pytest.mark.parametrize(("pages", "expected"), [(200, False), (1200, True)])
def test_compaction_needs_room_and_pieces(pages: int, expected: bool) -> None:
    """There must be two blocks' worth of pages above the low mark."""
    store = store_with(dict.fromkeys(range(1, 7), pages // 6))
    store.zones[ZONE]["wmark"][:] = 100
    assert suitable(store.handle, ZONE, ORDER, 0) is expected


def test_compaction_is_for_those_who_have_no_block() -> None:
    """With a block of the order free there is nothing to do."""
    store = store_with(dict.fromkeys(range(1, 6), 240))
    store.pages["flags"][7 * BLOCK :] = 0
    give(store, 7 * BLOCK, ORDER)
    assert not suitable(store.handle, ZONE, ORDER, 0)
    assert alloc_from_zone(store.handle, ZONE, CPU, ORDER, UNMOVABLE, LOW_MARK) == 7 * BLOCK
    assert suitable(store.handle, ZONE, ORDER, 0)


def run_in_turns(store: Store, compaction: Compaction, turns: list[int], *, whole: bool) -> list[tuple[int, int]]:
    """Run to the end, giving way wherever a turn is over: so many pages each, in a circle; returns the pages moved."""
    handle, own, pairs, turn = store.handle, compaction.handle, list[tuple[int, int]](), 0
    begin_run(handle, own, ZONE, CPU, -1 if whole else ORDER, whole)
    result = CONTINUE
    while result == CONTINUE:
        compaction.control["stop_work"] = work_done(own) + turns[turn % len(turns)]
        while result == CONTINUE and not (gives_way(own) and turn_is_over(handle, own)):
            result, source, target = step(handle, own)
            if source != NONE:
                moved(handle, own, source, target)
                pairs.append((source, target))
        turn += 1
    assert turn > 1
    return pairs


def listed(store: Store) -> list[list[int]]:
    """Free blocks of all orders, in the order of the lists."""
    return [buddy_blocks(store, ZONE, order, MOVABLE) for order in range(ORDER + 1)]


@pytest.mark.parametrize("steals", [False, True])
def test_a_scan_goes_on_in_its_pageblock_whatever_becomes_of_that(steals: bool) -> None:
    """A pageblock that is stolen meanwhile is looked through to its end all the same, as one call does it in 6.1."""
    store = store_with({1: 200, 6: 100, 7: 100})
    compaction = Compaction(store)
    own, control, targets = compaction.handle, compaction.control[0], list[int]()
    begin_run(store.handle, own, ZONE, CPU, -1, True)
    compaction.control["stop_work"] = 10
    stood = 0
    for _ in range(5000):
        if not stood and control["scan_stage"] and turn_is_over(store.handle, own):
            stood = int(control["scan_at"])
            compaction.control["stop_work"] = FOR_EVER
            if steals:
                store.block_types[stood // BLOCK] = UNMOVABLE ^ MOVABLE
        result, source, target = step(store.handle, own)
        if source != NONE:
            moved(store.handle, own, source, target)
            targets += [target] if stood else []
        if result != CONTINUE:
            break
    assert stood % 32 == 0
    assert stood // BLOCK == BLOCKS - 1
    assert any(target // BLOCK == stood // BLOCK and target >= stood for target in targets)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(turns=st.lists(st.integers(1, 40), min_size=1, max_size=5), whole=st.booleans())
def test_where_a_run_gives_way_makes_no_difference_by_itself(turns: list[int], whole: bool) -> None:
    """Also in the midst of the scan for free pages: it goes on where it stood, and nothing is lost or taken twice."""
    free = {1: 200, 2: 130, 5: 90, 6: 200, 7: 30}
    at_once, in_turns = store_with(free), store_with(free)
    _, expected = run(at_once, Compaction(at_once), whole=whole)
    assert run_in_turns(in_turns, Compaction(in_turns), turns, whole=whole) == expected
    assert listed(in_turns) == listed(at_once)
