"""From 6.7 on per-CPU lists tune themselves: refills double, drains follow frees, the mark stays between its bounds."""

from __future__ import annotations

import numpy as np
import pytest

from models.kernel.pages.allocator import alloc_from_zone, free_pages
from models.kernel.pages.layout import MOVABLE, Store
from models.kernel.pages.percpu import list_index
from tests.models.kernel.machines import check_pages, per_cpu_blocks
from tests.models.kernel.stores import CPU, LOW_MARK, ZONE, empty_store, give_run

BATCH, LOW, MOST = 7, 28, 2000


def _store(high_max: int = MOST, rules: int = 2) -> Store:
    store = empty_store(batch=BATCH, high=LOW)
    store.config[0]["tuned_per_cpu"] = rules
    local = store.per_cpu[ZONE, CPU]
    local["high_min"], local["high_max"] = LOW, high_max
    give_run(store, 0, 8)
    return store


def _alloc(store: Store, order: int = 0) -> int:
    return int(alloc_from_zone(store.handle, ZONE, CPU, order, MOVABLE, LOW_MARK))


def _refills(store: Store, number: int) -> list[int]:
    """Sizes of the next refills, by taking pages until the list is empty."""
    sizes = []
    for _ in range(number):
        _alloc(store)
        rest = len(per_cpu_blocks(store, ZONE, CPU, list_index(0, MOVABLE)))
        sizes.append(rest + 1)
        for _ in range(rest):
            _alloc(store)
    return sizes


def test_refills_double_while_nothing_is_freed() -> None:
    """Up to 32 batches; a free halves the exponent."""
    store = _store()
    assert _refills(store, 7) == [BATCH << k for k in (0, 1, 2, 3, 4, 5, 5)]
    pfn = _alloc(store)
    for _ in range(len(per_cpu_blocks(store, ZONE, CPU, list_index(0, MOVABLE)))):
        _alloc(store)
    free_pages(store.handle, CPU, pfn, 0)
    assert _alloc(store) == pfn
    assert _refills(store, 1) == [BATCH << (5 >> 1)]


def test_with_one_mark_a_refill_leaves_room_below_it() -> None:
    """Where the bounds are equal (a sysctl), doubling ends when the mark is near; nothing ever exceeds it."""
    assert _refills(_store(LOW), 5) == [BATCH, 2 * BATCH, 3 * BATCH, 3 * BATCH, 3 * BATCH]


def test_the_mark_grows_with_refills_and_with_frees_to_its_upper_bound() -> None:
    """A CPU that takes much, and gives back much at once, keeps it."""
    store = _store()
    local = store.per_cpu[ZONE, CPU]
    pfns = [_alloc(store) for _ in range(1500)]
    grown = int(local["high"])
    assert LOW < grown <= MOST
    for pfn in pfns:
        free_pages(store.handle, CPU, pfn, 0)
    assert grown <= int(local["high"]) <= MOST
    assert int(local["count"]) <= int(local["high"])
    check_pages(store)


@pytest.mark.parametrize(("rules", "freed"), [(1, 3), (2, 6)])
def test_high_orders_freed_one_after_the_other_are_given_back(rules: int, freed: int) -> None:
    """Once a batch came back without being taken the lists are drained; from 6.16 on half the lower bound besides."""
    store = _store(rules=rules)
    blocks = [_alloc(store, 2) for _ in range(20)]
    counts = []
    for pfn in blocks[: freed + 1]:
        free_pages(store.handle, CPU, pfn, 2)
        counts.append(int(store.per_cpu[ZONE, CPU]["count"]))
    assert counts[: freed - 1] == sorted(counts[: freed - 1])
    assert min(counts[freed - 1 :]) == 0
    check_pages(store)


@pytest.mark.parametrize("seed", range(5))
def test_no_page_is_lost(seed: int) -> None:
    """Any order of taking and freeing: every page is free, on a list, or taken, once; the mark keeps its bounds."""
    random, store = np.random.default_rng(seed), _store(int(np.random.default_rng(seed).integers(LOW, MOST)))
    taken: list[tuple[int, int]] = []
    local = store.per_cpu[ZONE, CPU]
    for _ in range(3000):
        if taken and random.random() < 0.5:
            free_pages(store.handle, CPU, *taken.pop(int(random.integers(len(taken)))))
        else:
            order = int(random.choice([0, 0, 0, 1, 3]))
            taken.append((_alloc(store, order), order))
        assert LOW <= int(local["high"]) <= int(local["high_max"])
    check_pages(store)
