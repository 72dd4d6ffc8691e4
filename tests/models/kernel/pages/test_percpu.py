"""Per-CPU lists: batches in, first in first out within one, last in first out on reuse, batches out."""

from __future__ import annotations

import pytest

from models.kernel.pages.allocator import alloc_from_zone, free_pages, take_bulk_page
from models.kernel.pages.layout import MOVABLE, NONE, RECLAIMABLE, UNMOVABLE, Store
from models.kernel.pages.percpu import drain, list_index
from tests.models.kernel.machines import buddy_blocks, check_pages, per_cpu_blocks
from tests.models.kernel.stores import CPU, LARGEST, LOW_MARK, ZONE, empty_store, give, give_all, give_run


def alloc(store: Store, order: int = 0, migratetype: int = MOVABLE, cpu: int = CPU) -> int:
    return int(alloc_from_zone(store.handle, ZONE, cpu, order, migratetype, LOW_MARK))


def test_a_refill_brings_a_batch_in_ascending_order() -> None:
    """The first of a batch is handed out first, the rest waits on the CPU's list."""
    store = empty_store(batch=7)
    give(store, 0, 10)
    assert alloc(store) == 0
    assert per_cpu_blocks(store, ZONE, CPU, list_index(0, MOVABLE)) == [1, 2, 3, 4, 5, 6]
    assert [alloc(store) for _ in range(7)] == [1, 2, 3, 4, 5, 6, 7]
    assert int(store.config[0]["refills"]) == 2


@pytest.mark.parametrize(("order", "blocks"), [(0, 63), (1, 31), (2, 15), (3, 7)])
def test_a_batch_counts_pages_not_blocks(order: int, blocks: int) -> None:
    """A refill of a higher order brings fewer blocks."""
    store = empty_store(batch=63, high=252)
    give_run(store, 0, 4)
    alloc(store, order)
    assert len(per_cpu_blocks(store, ZONE, CPU, list_index(order, MOVABLE))) == blocks - 1


def test_a_refill_of_whole_pageblocks_takes_two() -> None:
    """With huge pages, order 9 has per-CPU lists too, one for movable blocks and one for all others."""
    store = empty_store(batch=63, high=252, huge=True)
    give_run(store, 0, 4)
    assert alloc(store, 9) == 0
    assert per_cpu_blocks(store, ZONE, CPU, list_index(9, MOVABLE)) == [512]
    assert list_index(9, UNMOVABLE) == list_index(9, RECLAIMABLE) != list_index(9, MOVABLE)


def test_orders_without_a_list_bypass_the_cpu() -> None:
    """Orders 4 to 8 and 10 come straight from the buddy lists."""
    store = empty_store(huge=True)
    give_run(store, 0, 8)
    for order in (4, 8, 10):
        assert alloc(store, order) != NONE
    assert int(store.config[0]["per_cpu_pages"]) == 0


def test_a_freed_page_is_used_again_at_once() -> None:
    """Last in, first out: a free puts the page on the head."""
    store = empty_store()
    give(store, 0, 10)
    pfns = [alloc(store) for _ in range(5)]
    for pfn in pfns:
        free_pages(store.handle, CPU, pfn, 0)
    assert [alloc(store) for _ in range(5)] == pfns[::-1]


def test_a_page_goes_to_the_list_of_its_pageblock() -> None:
    """What a page was asked as does not matter when it is freed; the type of its pageblock does."""
    store = empty_store()
    give(store, 0, 10, RECLAIMABLE)
    pfn = alloc(store, 0, UNMOVABLE)
    before = len(per_cpu_blocks(store, ZONE, CPU, list_index(0, UNMOVABLE)))
    free_pages(store.handle, CPU, pfn, 0)
    kind = UNMOVABLE  # the fallback has claimed the whole block
    assert per_cpu_blocks(store, ZONE, CPU, list_index(0, kind))[0] == pfn
    assert len(per_cpu_blocks(store, ZONE, CPU, list_index(0, kind))) == before + 1


def test_nothing_is_drained_below_the_high_mark() -> None:
    """Churn below the mark never reaches the buddy lists."""
    store = empty_store(batch=7, high=28)
    give(store, 0, 10)
    pfns = [alloc(store) for _ in range(21)]
    drains = int(store.config[0]["drains"])
    for pfn in pfns:
        free_pages(store.handle, CPU, pfn, 0)
    assert int(store.config[0]["drains"]) == drains
    assert int(store.per_cpu[ZONE, CPU]["count"]) == 21


def test_at_the_high_mark_a_batch_goes_back() -> None:
    """The page that reaches the mark sends a batch from the tails to the buddy lists."""
    store = empty_store(batch=7, high=28)
    give(store, 0, 10)
    pfns = [alloc(store) for _ in range(28)]
    for pfn in pfns:
        free_pages(store.handle, CPU, pfn, 0)
    assert int(store.config[0]["drains"]) == 1
    assert int(store.per_cpu[ZONE, CPU]["count"]) == 28 - 7
    # The tails are the pages freed first.
    assert per_cpu_blocks(store, ZONE, CPU, list_index(0, MOVABLE)) == pfns[:6:-1]


def test_long_freeing_drains_more_at_a_time_and_allocating_less() -> None:
    """`free_factor` doubles the drained batch, up to high - batch; each allocation through the lists halves it."""
    store = empty_store(batch=7, high=70)
    give(store, 0, 10)
    pfns = [alloc(store) for _ in range(140)]
    for pfn in pfns:
        free_pages(store.handle, CPU, pfn, 0)
    factor = int(store.per_cpu[ZONE, CPU]["free_factor"])
    assert factor > 1
    alloc(store)
    assert int(store.per_cpu[ZONE, CPU]["free_factor"]) == factor >> 1


def test_a_failing_attempt_halves_the_factor_a_bulk_allocation_does_not() -> None:
    """As the exact recordings demand."""
    store = empty_store()
    store.per_cpu[ZONE, CPU]["free_factor"] = 4
    assert alloc(store) == NONE
    assert int(store.per_cpu[ZONE, CPU]["free_factor"]) == 2
    give(store, 0, 10)
    assert take_bulk_page(store.handle, ZONE, CPU, MOVABLE, LOW_MARK) == 0
    assert int(store.per_cpu[ZONE, CPU]["free_factor"]) == 2


def test_high_orders_are_drained_whole_while_freeing_goes_on() -> None:
    """After a drain has happened, a freed block of orders 1 to 3 empties the lists."""
    store = empty_store(batch=7, high=28)
    give(store, 0, 10)
    pair = alloc(store, 1)
    store.per_cpu[ZONE, CPU]["free_factor"] = 1
    free_pages(store.handle, CPU, pair, 1)
    assert int(store.per_cpu[ZONE, CPU]["count"]) == 0
    assert buddy_blocks(store, ZONE, 10, MOVABLE) == [0]


def test_reclaim_lowers_the_high_mark() -> None:
    """While kswapd works, a CPU keeps four batches at the most."""
    store = empty_store(batch=3, high=100)
    give(store, 0, 10)
    pfns = [alloc(store) for _ in range(12)]
    store.zones[ZONE]["reclaim_active"] = 1
    for pfn in pfns:
        free_pages(store.handle, CPU, pfn, 0)
    assert int(store.config[0]["drains"]) == 1


def test_a_drain_goes_from_list_to_list() -> None:
    """From the list that it begins with on, each from its tail until it is empty, round to the first."""
    store = empty_store(batch=2, high=100)
    give_all(store, [2048, 2050, 2052, 2054], 0, UNMOVABLE)
    give_all(store, [4096, 4098, 4100, 4102], 0, MOVABLE)
    for migratetype in (UNMOVABLE, MOVABLE):
        alloc(store, 0, migratetype)
        alloc(store, 0, migratetype)
        alloc(store, 0, migratetype)
    assert per_cpu_blocks(store, ZONE, CPU, list_index(0, UNMOVABLE)) == [2054]
    assert per_cpu_blocks(store, ZONE, CPU, list_index(0, MOVABLE)) == [4102]
    drain(store.handle, ZONE, CPU, 1, list_index(0, MOVABLE), CPU)
    assert buddy_blocks(store, ZONE, 0, MOVABLE) == [4102]
    assert per_cpu_blocks(store, ZONE, CPU, list_index(0, UNMOVABLE)) == [2054]
    drain(store.handle, ZONE, CPU, 5, list_index(0, MOVABLE), CPU)
    assert buddy_blocks(store, ZONE, 0, UNMOVABLE) == [2054]
    assert int(store.per_cpu[ZONE, CPU]["count"]) == 0


def test_each_cpu_has_its_own_lists() -> None:
    """Another CPU starts with a batch of its own, and a page freed elsewhere stays there."""
    store = empty_store(cpus=2, batch=7)
    give(store, 0, 10)
    assert (alloc(store, cpu=0), alloc(store, cpu=1)) == (0, 7)
    free_pages(store.handle, 1, 0, 0)
    assert alloc(store, cpu=0) == 1
    assert alloc(store, cpu=1) == 0


def test_pages_are_nowhere_twice_and_nowhere_missing() -> None:
    """After much traffic of all orders and types, the books agree."""
    store = empty_store(cpus=2, batch=7, huge=True)
    give_run(store, 0, store.pages.size // LARGEST)
    held = []
    for step in range(400):
        order, migratetype, cpu = (0, 0, 1, 0, 3, 9, 2)[step % 7], step % 3, step % 2
        pfn = alloc(store, order, migratetype, cpu)
        if pfn != NONE:
            held.append((pfn, order))
        if step % 3 == 2:
            free_pages(store.handle, (step + 1) % 2, *held.pop(step * 7 % len(held)))
    check_pages(store)
    for pfn, order in held:
        free_pages(store.handle, CPU, pfn, order)
    assert check_pages(store).used == 0
