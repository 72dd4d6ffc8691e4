"""Splitting and merging of blocks, and where in its list a merged block goes."""

from __future__ import annotations

import pytest

from models.kernel.pages.buddy import block_type, change_block_type, free_block, isolate, smallest
from models.kernel.pages.layout import (
    FREE,
    HIGHATOMIC,
    MAX_ORDER,
    MOVABLE,
    NONE,
    RECLAIMABLE,
    UNMOVABLE,
    UNUSED,
    USED,
)
from tests.models.kernel.machines import buddy_blocks
from tests.models.kernel.stores import BLOCK, CPU, LARGEST, ZONE, empty_store, give, give_all, give_run


def test_upper_halves_go_to_the_heads_of_the_lower_lists() -> None:
    """Consecutive single pages sweep a block upwards, since what is left over is used first."""
    store = empty_store()
    give(store, 0, 4)
    assert [int(smallest(store.handle, ZONE, 0, MOVABLE)) for _ in range(16)] == list(range(16))
    assert smallest(store.handle, ZONE, 0, MOVABLE) == NONE


def test_the_smallest_fitting_block_is_taken_wherever_it_lies() -> None:
    """Small leftovers are used before large blocks, whatever their address."""
    store = empty_store()
    give(store, 0, 10)
    give(store, 6 * LARGEST, 3)
    assert smallest(store.handle, ZONE, 2, MOVABLE) == 6 * LARGEST
    assert buddy_blocks(store, ZONE, 2, MOVABLE) == [6 * LARGEST + 4]
    assert buddy_blocks(store, ZONE, 10, MOVABLE) == [0]


def test_the_head_of_a_list_is_taken() -> None:
    """Of equal blocks the one freed last goes first, unless it went to the tail."""
    store = empty_store()
    for pfn in (0, 64, 128):
        give(store, pfn, 3)
    give(store, 192, 3, to_tail=True)
    assert [int(smallest(store.handle, ZONE, 3, MOVABLE)) for _ in range(4)] == [128, 64, 0, 192]


def test_untouched_memory_is_used_upwards() -> None:
    """Blocks of a run are taken in the order of their addresses."""
    store = empty_store()
    give_run(store, LARGEST, 3)
    assert [int(smallest(store.handle, ZONE, 10, MOVABLE)) for _ in range(3)] == [LARGEST, 2 * LARGEST, 3 * LARGEST]


@pytest.mark.parametrize("order", range(MAX_ORDER - 1))
def test_buddies_merge(order: int) -> None:
    """Two halves of a block become one, in whichever order they are freed."""
    for first, second in ((0, 1), (1, 0)):
        store = empty_store()
        give(store, LARGEST + (first << order), order)
        give(store, LARGEST + (second << order), order)
        assert buddy_blocks(store, ZONE, order, MOVABLE) == []
        assert buddy_blocks(store, ZONE, order + 1, MOVABLE) == [LARGEST]


def test_merging_goes_up_to_the_highest_order_and_ends_there() -> None:
    """A whole run of single pages becomes one block; blocks of the highest order do not merge."""
    store = empty_store()
    for pfn in range(2 * LARGEST):
        give(store, pfn, 0)
    assert sorted(buddy_blocks(store, ZONE, 10, MOVABLE)) == [0, LARGEST]
    assert int(store.config[0]["free_pages"]) == 2 * LARGEST


def test_neighbours_that_are_no_buddies_stay_apart() -> None:
    """Pages 1 and 2 are not halves of one block."""
    store = empty_store()
    give_all(store, [1, 2], 0)
    assert buddy_blocks(store, ZONE, 0, MOVABLE) == [1, 2]


def test_no_merge_across_the_end_of_a_zone() -> None:
    """A buddy in another zone is none."""
    store = empty_store()
    store.zones[ZONE]["start_pfn"] = 1
    store.pages["state"][0], store.pages["order"][0] = FREE, 0
    give(store, 1, 0)
    assert buddy_blocks(store, ZONE, 0, MOVABLE) == [1]


def test_a_block_whose_next_buddy_up_is_free_goes_to_the_tail() -> None:
    """Tail placement: a block that may soon become a larger one is used last (`buddy_merge_likely`)."""
    store = empty_store()
    give_all(store, [64, 80], 0)
    give(store, 2, 1)  # buddy of pages 0 and 1 together
    give(store, 0, 0)
    assert buddy_blocks(store, ZONE, 0, MOVABLE) == [64, 80, 0]
    give(store, 96, 0)
    assert buddy_blocks(store, ZONE, 0, MOVABLE) == [96, 64, 80, 0]


def test_tail_placement_looks_at_the_block_after_the_merge() -> None:
    """A pair that has just merged goes to the tail when the other pair is free, not because a single page was."""
    store = empty_store()
    give_all(store, [64], 1)
    give(store, 4, 2)  # buddy of pages 0 to 3
    give_all(store, [0], 0)
    give(store, 1, 0)
    assert buddy_blocks(store, ZONE, 1, MOVABLE) == [64, 0]


@pytest.mark.parametrize(
    ("types", "merge"),
    [
        ((UNMOVABLE, MOVABLE), True),
        ((MOVABLE, RECLAIMABLE), True),
        ((HIGHATOMIC, HIGHATOMIC), True),
        ((MOVABLE, HIGHATOMIC), False),
        ((HIGHATOMIC, UNMOVABLE), False),
    ],
)
def test_whole_pageblocks_of_different_types_merge_unless_one_is_special(types: tuple[int, int], merge: bool) -> None:
    """Ordinary types mix in blocks above a pageblock; a high-order atomic reserve stays apart."""
    store = empty_store()
    give(store, 0, 9, types[0])
    give(store, BLOCK, 9, types[1])
    assert (buddy_blocks(store, ZONE, 10, types[1]) == [0]) is merge
    assert (buddy_blocks(store, ZONE, 9, types[0]) == [0]) is not merge


def test_only_the_first_page_of_a_block_says_what_it_is() -> None:
    """Parts of a merged block, handed out before, are no longer blocks in use."""
    store = empty_store()
    give(store, 0, 3)
    pfns = [int(smallest(store.handle, ZONE, 0, MOVABLE)) for _ in range(8)]
    assert (store.pages["state"][:8] == USED).all()
    for pfn in pfns:
        free_block(store.handle, ZONE, CPU, pfn, 0, MOVABLE, False)
    assert store.pages["state"][0] == FREE
    assert (store.pages["state"][1:8] == UNUSED).all()


def test_a_pageblock_that_nobody_touched_is_movable() -> None:
    """The boot's type needs no memory; a change of type is remembered."""
    store = empty_store()
    assert block_type(store.handle, 700) == MOVABLE
    change_block_type(store.handle, 700, RECLAIMABLE)
    assert block_type(store.handle, BLOCK) == RECLAIMABLE
    assert block_type(store.handle, 0) == MOVABLE


def test_free_pages_are_folded_into_the_zone_beyond_the_threshold() -> None:
    """A CPU's difference reaches the zone's counter, which watermarks read, only when it is large enough."""
    store = empty_store()
    store.per_cpu["stat_threshold"] = 10
    give(store, 0, 3)
    assert (store.zones[ZONE]["free_pages"], store.per_cpu[ZONE, CPU]["free_pages_diff"]) == (0, 8)
    give(store, 64, 3)
    assert (store.zones[ZONE]["free_pages"], store.per_cpu[ZONE, CPU]["free_pages_diff"]) == (16, 0)
    assert int(store.config[0]["free_pages"]) == 16


def test_isolating_a_block_of_untouched_memory() -> None:
    """Compaction may take any block out of a run; a large part of a pageblock turns it movable."""
    store = empty_store()
    give_run(store, 0, 4, UNMOVABLE)
    for pfn in range(0, 4 * LARGEST, BLOCK):
        change_block_type(store.handle, pfn, UNMOVABLE)
    isolate(store.handle, ZONE, CPU, 2 * LARGEST, 10)
    assert buddy_blocks(store, ZONE, 10, UNMOVABLE) == [0, LARGEST, 3 * LARGEST]
    assert block_type(store.handle, 2 * LARGEST) == block_type(store.handle, 2 * LARGEST + BLOCK) == MOVABLE
    assert block_type(store.handle, LARGEST) == UNMOVABLE
