"""Compaction: what it moves, what pins a pageblock, what a request of order 9 gets out of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.kernel.ageing import Life
from models.kernel.chains import take
from models.kernel.kernel import Kernel
from models.kernel.limits import User
from models.kernel.migration import take_compacting
from models.kernel.pages.allocator import free_pages
from models.kernel.pages.fallback import LRU
from models.kernel.pages.layout import MOVABLE, UNMOVABLE
from models.kernel.records import ANON
from tests.models.kernel.machines import boot, check_pages
from tests.models.kernel.ownership import chain

HUGE = 9


def fragmented(options: dict[str, Any] | None = None, memory: str = "256MiB") -> tuple[Kernel, list[int], int]:
    """A machine full of ordinary pages, every other one freed again: its kernel, the pages left, their mapping."""
    kernel = boot({"memory": memory, "cpus": 2}, options)
    task = kernel.first_task(User("user"))
    kept, given_up = kernel.map_ordinary(task, 1 << 20), kernel.map_ordinary(task, 1 << 20)
    from models.kernel.address_space import touch_anon  # noqa: PLC0415

    while all(touch_anon(kernel.handle, 0, 0, mapping.holder, 1) for mapping in (kept, given_up)):
        pass
    kernel.munmap(task, given_up, 0)
    return kernel, chain(kernel.state, kept.holder, ANON), kept.holder


def test_a_request_of_order_9_gets_its_block_by_compaction() -> None:
    """Half of memory is free and no block of 2 MiB among it; direct compaction makes one after the other."""
    kernel, _, _ = fragmented()
    assert kernel.compactor.order9_free() <= 2
    blocks = []
    while (pfn := int(take_compacting(kernel.handle, 0, 0, HUGE, MOVABLE))) >= 0:
        blocks.append(pfn)
    assert len(blocks) > 50
    assert all(pfn % 512 == 0 for pfn in blocks)
    assert int(kernel.compactor.totals[0]["successes"]) >= len(blocks) - 4
    check_pages(kernel.store)


def test_a_moved_page_keeps_its_place_with_its_holder() -> None:
    """The chain has as many pages as before, in both directions, and pages moved towards the end of memory."""
    kernel, before, holder = fragmented()
    for _ in range(20):
        assert take_compacting(kernel.handle, 0, 0, HUGE, MOVABLE) >= 0
    after = chain(kernel.state, holder, ANON)
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(moved) == int(kernel.compactor.totals[0]["moved"]) > 0
    assert all(new > old for old, new in moved)
    check_pages(kernel.store)


def test_order_0_never_compacts() -> None:
    """A request of one page takes what is free; compaction has no part in it."""
    kernel, _, _ = fragmented()
    while take_compacting(kernel.handle, 0, 0, 0, UNMOVABLE) >= 0:
        pass
    assert int(kernel.compactor.totals[0]["attempts"]) == 0


def test_switched_off_the_request_fails_at_once() -> None:
    """`compaction: {direct: false}`."""
    kernel, _, _ = fragmented({"compaction": {"direct": False}})
    while take(kernel.handle, 0, 0, HUGE, MOVABLE) >= 0:
        pass
    assert take_compacting(kernel.handle, 0, 0, HUGE, MOVABLE) < 0
    assert int(kernel.compactor.totals[0]["moved"]) == 0


def pin(kernel: Kernel) -> int:
    """Take the blocks of 2 MiB that are left and make a page of each other pageblock unmovable; how many those were."""
    while take(kernel.handle, 0, 0, HUGE, MOVABLE) >= 0:
        pass
    page, pinned = kernel.store.pages, 0
    for first in range(0, len(page), 512):
        inside = np.flatnonzero(page["flags"][first : first + 512] & LRU)
        if len(inside):
            page["flags"][first + inside[0]] &= ~LRU
            pinned += 1
    return pinned


def test_one_unmovable_page_pins_its_pageblock() -> None:
    """With an unmovable page in every pageblock nothing can be made and nothing is moved: the request fails."""
    kernel, _, _ = fragmented()
    assert pin(kernel) > 50
    assert kernel.compactor.order9_available() == kernel.compactor.order9_free() == 0
    assert take_compacting(kernel.handle, 0, 0, HUGE, MOVABLE) < 0
    assert int(kernel.compactor.totals[0]["moved"]) == 0


def test_secret_pages_pin_what_ordinary_pages_do_not() -> None:
    """The same number of pages, scattered alike: as ordinary pages they cost no block of 2 MiB, as secret ones many."""
    available = {}
    for secret in (False, True):
        kernel = boot({"memory": "256MiB", "cpus": 1})
        task = kernel.first_task(User("user", memlock_pages=1 << 20))
        file = kernel.memfd_secret(task, 0)
        kernel.ftruncate(file, 100)
        mapping = kernel.mmap(task, file, 100, 0)
        gaps = []
        for _ in range(100):
            if secret:
                kernel.fault(task, mapping, 0)
            else:
                kernel.touch(task, 0)
            gaps += [int(take(kernel.handle, 0, 0, 0, UNMOVABLE if secret else MOVABLE)) for _ in range(300)]
        for pfn in gaps:
            free_pages(kernel.store.handle, 0, pfn, 0)
        available[secret] = kernel.compactor.order9_available()
    assert available[False] - available[True] > 40


def test_pool_faults_compact_before_they_fail() -> None:
    """A pool's chunk is a request of order 9: without compaction no file gets one, with it many do."""
    chunks = {}
    for direct in (False, True):
        kernel, _, _ = fragmented({"secretmem": {"policy": "pmd_pool"}, "compaction": {"direct": direct}})
        while take(kernel.handle, 0, 0, HUGE, MOVABLE) >= 0:
            pass
        task = kernel.first_task(User("pool", memlock_pages=1 << 20))
        file = kernel.memfd_secret(task, 0)
        kernel.ftruncate(file, 512 * 40)
        mapping = kernel.mmap(task, file, 512 * 40, 0)
        chunks[direct] = kernel.fault(task, mapping, 0, 512 * 40).done // 512
    assert chunks[False] == 0
    assert chunks[True] == 40


def test_after_failures_attempts_are_left_out() -> None:
    """Each failure doubles how many attempts are skipped (`defer_compaction`): a hopeless request costs little."""
    kernel, _, _ = fragmented()
    pin(kernel)
    for _ in range(100):
        assert take_compacting(kernel.handle, 0, 0, HUGE, UNMOVABLE) < 0
    totals = kernel.compactor.totals[0]
    assert int(totals["attempts"]) > 0
    assert int(totals["deferred"]) > 5 * int(totals["attempts"])


def test_background_compaction_keeps_to_its_budget() -> None:
    """A round looks at some pageblocks and moves what is in them; rounds add up to free blocks."""
    kernel, _, _ = fragmented()
    free = kernel.compactor.order9_free()
    first = kernel.compactor.background(0, 4)
    assert 0 < first <= 4 * 512
    for _ in range(60):
        kernel.compactor.background(0, 4)
    assert kernel.compactor.order9_free() > free + 20
    check_pages(kernel.store)


def test_what_can_still_be_had_is_what_requests_get() -> None:
    """The estimate is an upper bound, and a close one: reserves below the watermarks are all that it leaves out."""
    kernel, _, _ = fragmented()
    promised, got = kernel.compactor.order9_available(), 0
    while take_compacting(kernel.handle, 0, 0, HUGE, MOVABLE) >= 0:
        got += 1
    assert 0.8 * promised <= got <= promised


def test_moving_pages_costs_time() -> None:
    """The one who asked pays for looking and for moving."""
    kernel, _, _ = fragmented()
    while take(kernel.handle, 0, 0, HUGE, MOVABLE) >= 0:
        pass
    kernel.state.charge[:] = np.zeros(1, kernel.state.charge.dtype)
    take_compacting(kernel.handle, 0, 0, HUGE, MOVABLE)
    moved = int(kernel.compactor.totals[0]["moved"])
    assert int(kernel.state.charge[0]["cpu_ns"]) > moved * int(kernel.state.costs[0]["page_fault"]) > 0


@given(seed=st.integers(0, 10_000), used=st.floats(0.2, 0.85), rounds=st.integers(1, 30))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_page_is_lost_on_the_way(seed: int, used: float, rounds: int) -> None:
    """Memory that lives on while pages are moved: the books of the allocator stay right, and all of it can be freed."""
    kernel = boot({"memory": "64MiB", "cpus": 2})
    managed = int(kernel.store.zones["managed"].sum())
    life = Life(kernel.state, np.random.default_rng(seed), int(used * managed))
    life.churn(2 * managed)
    held = check_pages(kernel.store).used
    assert held == life.held_pages
    for _ in range(rounds):
        kernel.compactor.background(0, 8)
        pfn = int(take_compacting(kernel.handle, 1, 0, HUGE, MOVABLE))
        if pfn >= 0:
            free_pages(kernel.store.handle, 1, pfn, HUGE)
        life.churn(64)
    assert check_pages(kernel.store).used == life.held_pages


@pytest.mark.parametrize("order", [9, 10])
def test_a_free_machine_can_give_all_of_itself(order: int) -> None:
    """Before anything is taken, what can be had is what is free, and taking a block takes its share."""
    kernel = boot({"memory": "256MiB", "cpus": 1})
    before = kernel.compactor.order9_available()
    assert before == kernel.compactor.order9_free() >= 100
    assert take(kernel.handle, 0, 0, order, UNMOVABLE) >= 0
    lists = 1 if order == HUGE else 0  # a per-CPU list of order 9 takes two blocks
    assert kernel.compactor.order9_available() == before - (1 << (order - HUGE))
    assert kernel.compactor.order9_free() >= before - (1 << (order - HUGE)) - lists
