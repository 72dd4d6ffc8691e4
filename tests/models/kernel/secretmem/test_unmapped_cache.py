"""Policy `unmapped_cache`: one cache of unmapped blocks for all files (row `unmapped_cache`)."""

from __future__ import annotations

from models.kernel.errors import FaultResult
from models.kernel.limits import Group
from models.kernel.secretmem.unmapped_cache import UnmappedCachePolicy
from tests.models.kernel.machines import PageCensus
from tests.models.kernel.secret_steps import (
    HUGE_PAGES,
    absent_pages,
    charge,
    costs,
    free_pages,
    leave_no_huge_block,
    let_go,
    secret_kernel,
    task_of,
    tiling,
    touch,
)  # fmt: skip


def cache(policy: object) -> UnmappedCachePolicy:
    assert isinstance(policy, UnmappedCachePolicy)
    return policy


def test_pages_of_all_files_come_from_the_same_block() -> None:
    """512 one-page files cost one 2M block, the 513th a second one."""
    kernel = secret_kernel("unmapped_cache")
    task = task_of(kernel)
    for _ in range(HUGE_PAGES):
        touch(kernel, task, 1)
    assert len(absent_pages(kernel)) == HUGE_PAGES
    touch(kernel, task, 1)
    assert len(absent_pages(kernel)) == 2 * HUGE_PAGES
    assert cache(kernel.policy).blocks_taken == 2


def test_removal_and_flush_once_per_block() -> None:
    """The first page pays for 512; the second only for its fault. No 4K entry."""
    kernel = secret_kernel("unmapped_cache")
    task, before = task_of(kernel), tiling(kernel)
    _, mapping, _ = touch(kernel, task, 1, 2)
    first, price = charge(kernel), costs(kernel)
    assert first["flushes"] == 2  # the 1G split's and the block's
    assert first["after_ns"] == price["flush_all"]
    kernel.fault(task, mapping, 0)
    second = charge(kernel)
    assert (second["flushes"], second["lock_ns"], second["cpu_ns"]) == (0, 0, price["pool_fault"])
    assert tiling(kernel)["pages_4k"] == before["pages_4k"]


def test_freed_pages_stay_unmapped_and_serve_the_next_file() -> None:
    """Churn costs no block, no split and no flush; pages are cleared as they return."""
    kernel = secret_kernel("unmapped_cache")
    task = task_of(kernel)
    file, mapping, _ = touch(kernel, task, 100)
    charge(kernel)
    let_go(kernel, task, file, mapping)
    assert charge(kernel)["cpu_ns"] >= 100 * costs(kernel)["clear_page"]
    assert len(absent_pages(kernel)) == HUGE_PAGES
    touch(kernel, task, HUGE_PAGES)
    assert charge(kernel)["flushes"] == 0
    assert cache(kernel.policy).blocks_taken == 1


def test_without_2m_blocks_the_largest_is_taken() -> None:
    """Smaller blocks mean 4K entries, one split region per block."""
    kernel = secret_kernel("unmapped_cache", machine={"memory": "256MiB", "cpus": 1})
    task = task_of(kernel)
    leave_no_huge_block(kernel, task)
    before = tiling(kernel)
    assert touch(kernel, task, 100)[2].result is FaultResult.DONE
    orders = set(cache(kernel.policy).blocks.values())
    assert max(orders) < 9
    assert min(orders) >= 6
    assert tiling(kernel)["pages_4k"] > before["pages_4k"]


def test_under_pressure_idle_blocks_go_back() -> None:
    """Blocks without a page in use return to the direct map and to the allocator; blocks in use stay."""
    kernel = secret_kernel("unmapped_cache")
    task = task_of(kernel, memlock_pages=1 << 20)
    keep, _, _ = touch(kernel, task, 10)
    file, mapping, _ = touch(kernel, task, 3 * HUGE_PAGES)
    let_go(kernel, task, file, mapping)
    free, absent, used = free_pages(kernel), len(absent_pages(kernel)), PageCensus(kernel.store).used
    assert absent == 4 * HUGE_PAGES
    assert kernel.policy.shrink(0) == 3 * HUGE_PAGES
    assert free_pages(kernel) == free + 3 * HUGE_PAGES
    assert len(absent_pages(kernel)) == HUGE_PAGES
    assert PageCensus(kernel.store).used == used - 3 * HUGE_PAGES
    assert keep.present == 10
    assert kernel.policy.shrink(0) == 0
    assert touch(kernel, task, HUGE_PAGES)[2].result is FaultResult.DONE


def test_limits_are_those_of_page() -> None:
    """Groups per page; failure is that of an order-0 request."""
    kernel = secret_kernel("unmapped_cache")
    group = Group("g", 10)
    _, _, got = touch(kernel, task_of(kernel, group=group), 11)
    assert (got.done, group.pages) == (10, 10)
    assert not kernel.policy.costly


def test_without_memory_the_fault_fails() -> None:
    """When nothing is left, not even a page."""
    kernel = secret_kernel("unmapped_cache", machine={"memory": "128MiB", "cpus": 1})
    _, _, got = touch(kernel, task_of(kernel, memlock_pages=1 << 30), 1 << 15)
    assert got.result is FaultResult.OOM
    assert got.done > 20000
