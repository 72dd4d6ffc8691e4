"""When a type has no free block: whose memory is taken, how much of it, and what becomes of the pageblock."""

from __future__ import annotations

import pytest

from models.kernel.pages.buddy import block_type
from models.kernel.pages.fallback import ALLOC_NOFRAGMENT, LRU, take
from models.kernel.pages.layout import MOVABLE, NONE, RECLAIMABLE, UNMOVABLE, USED, Store
from tests.models.kernel.machines import buddy_blocks
from tests.models.kernel.stores import BLOCK, LARGEST, LOW_MARK, ZONE, empty_store, give, give_all


def take_one(store: Store, migratetype: int, order: int = 0, flags: int = LOW_MARK) -> int:
    return int(take(store.handle, ZONE, order, migratetype, flags))


def test_unmovable_falls_back_to_reclaimable_before_movable() -> None:
    """Of equal blocks, that of the type named first is taken."""
    store = empty_store()
    give(store, 0, 9, MOVABLE)
    give(store, 2 * LARGEST, 9, RECLAIMABLE)
    assert take_one(store, UNMOVABLE) == 2 * LARGEST
    assert block_type(store.handle, 2 * LARGEST) == UNMOVABLE
    assert block_type(store.handle, 0) == MOVABLE


def test_the_largest_block_is_taken_whatever_its_type() -> None:
    """Size goes before the order of types."""
    store = empty_store()
    give(store, 0, 10, MOVABLE)
    give(store, 2 * LARGEST, 8, RECLAIMABLE)
    assert take_one(store, UNMOVABLE) == 0


def test_whole_pageblocks_change_their_type() -> None:
    """Both pageblocks of a block of the highest order become the requester's."""
    store = empty_store()
    give(store, 0, 10, MOVABLE)
    take_one(store, UNMOVABLE)
    assert block_type(store.handle, 0) == block_type(store.handle, BLOCK) == UNMOVABLE
    assert buddy_blocks(store, ZONE, 9, UNMOVABLE) == [BLOCK]
    assert int(store.config[0]["steals"]) == 1


def fill_block(store: Store, used: range, free_order: int, free_at: int, *, lru: bool) -> None:
    """A movable pageblock at 0 with pages in use and one free block."""
    store.pages["state"][used.start : used.stop] = USED
    store.pages["flags"][used.start : used.stop] = LRU if lru else 0
    give(store, free_at, free_order, MOVABLE)


@pytest.mark.parametrize(("free_order", "claimed"), [(8, True), (7, False)])
def test_a_pageblock_is_claimed_when_half_of_it_is_free(free_order: int, claimed: bool) -> None:
    """All its free blocks move to the requester's lists; its type changes only from one half on."""
    store = empty_store()
    fill_block(store, range(1 << free_order), free_order, 1 << free_order, lru=True)
    store.pages["state"][2 << free_order : BLOCK] = USED
    store.pages["flags"][2 << free_order : BLOCK] = LRU
    assert take_one(store, UNMOVABLE) == 1 << free_order
    assert (block_type(store.handle, 0) == UNMOVABLE) is claimed
    assert all(not buddy_blocks(store, ZONE, order, MOVABLE) for order in range(11))


def test_pages_that_are_not_movable_count_for_an_unmovable_request() -> None:
    """Pages in use in a movable pageblock that nobody could move are good company for unmovable ones."""
    store = empty_store()
    fill_block(store, range(256, 512), 7, 0, lru=False)
    store.pages["state"][128:256] = USED
    take_one(store, UNMOVABLE)
    assert block_type(store.handle, 0) == UNMOVABLE


def test_a_movable_request_takes_the_smallest_block_of_others() -> None:
    """It leaves unmovable pageblocks as whole as it can, unless it can have a large part."""
    store = empty_store()
    give(store, 0, 2, UNMOVABLE)
    give(store, 2 * LARGEST, 3, UNMOVABLE)
    assert take_one(store, MOVABLE) == 0
    assert block_type(store.handle, 0) == UNMOVABLE
    assert buddy_blocks(store, ZONE, 3, UNMOVABLE) == [2 * LARGEST]


def test_a_movable_request_claims_large_parts() -> None:
    """Half a pageblock or more (order 4 and above may claim) goes with its pageblock."""
    store = empty_store()
    give(store, 0, 9, UNMOVABLE)
    take_one(store, MOVABLE)
    assert block_type(store.handle, 0) == MOVABLE


def test_no_mixing_while_other_zones_can_give() -> None:
    """With ALLOC_NOFRAGMENT only whole pageblocks change hands."""
    store = empty_store()
    give(store, 0, 8, MOVABLE)
    assert take_one(store, UNMOVABLE, flags=LOW_MARK | ALLOC_NOFRAGMENT) == NONE
    give(store, 2 * LARGEST, 9, MOVABLE)
    assert take_one(store, UNMOVABLE, flags=LOW_MARK | ALLOC_NOFRAGMENT) == 2 * LARGEST


def test_nothing_free_is_nothing_taken() -> None:
    """NONE, and no steal is counted."""
    store = empty_store()
    assert take_one(store, UNMOVABLE) == NONE
    assert int(store.config[0]["steals"]) == 0


def test_mixing_types_raises_the_watermarks() -> None:
    """A steal of part of a pageblock boosts the zone's watermarks, up to a limit; one of whole blocks does not."""
    store = empty_store()
    store.config[0]["watermark_boost_factor"] = 15000
    store.zones[ZONE]["wmark"] = (10, 20, 600)
    give(store, 0, 9, MOVABLE)
    take_one(store, UNMOVABLE, 9)
    assert int(store.zones[ZONE]["boost"]) == 0
    for block in range(2, 5):
        give(store, block * LARGEST, 5, MOVABLE)
        take_one(store, UNMOVABLE, 5)
    assert int(store.zones[ZONE]["boost"]) == 900


def test_stolen_blocks_go_to_the_tails() -> None:
    """Free blocks of a claimed pageblock come after those that the type had."""
    store = empty_store()
    give_all(store, [2 * LARGEST], 1, UNMOVABLE)
    give_all(store, [0, 8], 1, MOVABLE)
    give(store, 256, 8, MOVABLE)
    assert take_one(store, UNMOVABLE, 3) == 256
    assert buddy_blocks(store, ZONE, 1, UNMOVABLE) == [2 * LARGEST, 0, 8]
