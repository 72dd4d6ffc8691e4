"""Policy `page`: one page per fault, 4K of the direct map, a flush of all CPUs each (row `page` of the policies)."""

from __future__ import annotations

from models.kernel.errors import FaultResult
from models.kernel.limits import Group
from models.kernel.pages.buddy import block_type
from models.kernel.pages.layout import UNMOVABLE
from tests.models.kernel.secret_steps import (
    GIGA_PAGES,
    HUGE_PAGES,
    absent_pages,
    charge,
    costs,
    free_pages,
    let_go,
    secret_kernel,
    task_of,
    tiling,
    touch,
)  # fmt: skip


def test_allocation_is_one_unmovable_page_per_fault() -> None:
    """RAM taken equals pages touched (plus tables); the pages lie in unmovable pageblocks."""
    kernel = secret_kernel("page")
    touch(kernel, task_of(kernel), 100)
    pfns = absent_pages(kernel)
    assert len(pfns) == 100
    assert {int(block_type(kernel.store.handle, pfn)) for pfn in pfns} == {UNMOVABLE}


def test_removal_is_4k_at_a_time_with_a_flush_of_all_cpus() -> None:
    """The first page splits a 1G and a 2M entry; the second, in the same region, only costs its own flush."""
    kernel = secret_kernel("page")
    before, task = tiling(kernel), task_of(kernel)
    _, mapping, _ = touch(kernel, task, 1, 2)
    after, first = tiling(kernel), charge(kernel)
    assert after["level2_splits"] - before["level2_splits"] == 1
    assert after["level3_splits"] - before["level3_splits"] == 1
    assert before["pages_1g"] - after["pages_1g"] == GIGA_PAGES
    assert after["pages_4k"] - before["pages_4k"] == HUGE_PAGES
    assert first["flushes"] == 3
    kernel.fault(task, mapping, 0)
    second, price = charge(kernel), costs(kernel)
    assert tiling(kernel)["level2_splits"] == after["level2_splits"]
    assert (second["flushes"], second["after_ns"], second["lock_ns"]) == (1, price["flush_page"], price["map_step"])
    assert second["interrupted_ns"] == price["interrupted"]


def test_free_maps_again_without_flush_or_merge() -> None:
    """The region stays tiled with 4K; pages come back to the allocator, cleared, and nothing is absent."""
    kernel = secret_kernel("page")
    task = task_of(kernel)
    free = free_pages(kernel)
    file, mapping, _ = touch(kernel, task, 1000)
    peak = tiling(kernel)
    charge(kernel)
    let_go(kernel, task, file, mapping)
    after, cost = tiling(kernel), charge(kernel)
    assert absent_pages(kernel) == []
    assert {**peak, "unmapped_pages": 0} == after
    assert cost["flushes"] == 0
    assert cost["cpu_ns"] >= 1000 * costs(kernel)["free_secret_page"]
    tables = after["level2_splits"] + after["level3_splits"]
    assert free_pages(kernel) >= free - tables - 100  # what slabs keep


def test_groups_are_charged_per_page() -> None:
    """The page cache charges each page; the group's limit is met at the page."""
    kernel = secret_kernel("page")
    group = Group("g", 10)
    file, mapping, got = touch(kernel, task_of(kernel, group=group), 10, 20)
    assert (got.done, got.result, group.pages) == (10, FaultResult.DONE, 10)
    assert kernel.fault(task_of(kernel), mapping, 0).result is FaultResult.GROUP_OOM
    assert (group.pages, group.failures, file.present) == (10, 1, 10)


def test_without_memory_the_fault_is_oom_and_may_kill() -> None:
    """Failure is VM_FAULT_OOM of an order-0 request, for which the OOM killer is called."""
    kernel = secret_kernel("page", machine={"memory": "128MiB", "cpus": 1})
    task = task_of(kernel, memlock_pages=1 << 30)
    _, _, got = touch(kernel, task, 1 << 15)
    assert got.result is FaultResult.OOM
    assert 20000 < got.done == len(absent_pages(kernel))
    assert not kernel.policy.costly
