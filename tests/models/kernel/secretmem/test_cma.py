"""Policy `cma`: chunks of a contiguous area, unmapped one by one; the area is a hard cap (row `cma`)."""

from __future__ import annotations

import pytest

from models.kernel.errors import FaultResult, KernelRefusal
from models.kernel.limits import Group
from models.kernel.secretmem.cma import CmaPolicy
from tests.models.kernel.secret_steps import (
    GIGA_PAGES,
    HUGE_PAGES,
    absent_pages,
    charge,
    costs,
    let_go,
    secret_kernel,
    task_of,
    tiling,
    touch,
)  # fmt: skip

AREA = {"reserve": "64MiB"}
CHUNKS = 32


def area_start(policy: object) -> int:
    assert isinstance(policy, CmaPolicy)
    return policy.start_pfn


def test_without_an_area_the_system_call_fails() -> None:
    """ENOMEM from memfd_secret."""
    kernel = secret_kernel("cma")
    with pytest.raises(KernelRefusal, match="ENOMEM"):
        kernel.memfd_secret(task_of(kernel), 0)


def test_chunks_leave_the_direct_map_one_at_a_time_with_a_flush_of_all_cpus() -> None:
    """Nothing is absent at boot; each file's first fault removes 2M, in place once the 1G entry is split."""
    kernel = secret_kernel("cma", AREA)
    task = task_of(kernel)
    before = tiling(kernel)
    assert absent_pages(kernel) == []
    touch(kernel, task, 1)
    first = charge(kernel)
    touch(kernel, task, 1)
    second = charge(kernel)
    start = area_start(kernel.policy)
    assert absent_pages(kernel) == list(range(start, start + 2 * HUGE_PAGES))
    assert (first["flushes"], second["flushes"]) == (2, 1)
    assert second["after_ns"] == costs(kernel)["flush_all"]
    after = tiling(kernel)
    assert after["level3_splits"] - before["level3_splits"] == 1
    assert after["pages_4k"] == before["pages_4k"]


def test_damage_stays_in_the_area() -> None:
    """A full 1G-aligned area costs the 1G entries that it lies in, and no other."""
    kernel = secret_kernel("cma", {"reserve": "1GiB"})
    task = task_of(kernel, memlock_pages=1 << 20)
    before = tiling(kernel)
    for _ in range(512):
        assert touch(kernel, task, 1)[2].result is FaultResult.DONE
    after = tiling(kernel)
    assert area_start(kernel.policy) % GIGA_PAGES == 0
    assert before["pages_1g"] - after["pages_1g"] == GIGA_PAGES
    assert after["pages_4k"] == before["pages_4k"]
    assert touch(kernel, task, 1)[2].result is FaultResult.OOM


def test_empty_means_failure_at_the_fault() -> None:
    """A hard cap: the mapping is granted, the fault fails."""
    kernel = secret_kernel("cma", AREA)
    task = task_of(kernel)
    results = [touch(kernel, task, 1)[2].result for _ in range(CHUNKS + 1)]
    assert results == [FaultResult.DONE] * CHUNKS + [FaultResult.OOM]
    assert kernel.policy.costly


def test_groups_are_charged_per_2m() -> None:
    """512 pages for a one-page file; given back with it."""
    kernel = secret_kernel("cma", AREA)
    group = Group("g", HUGE_PAGES)
    task = task_of(kernel, group=group)
    file, mapping, _ = touch(kernel, task, 1)
    assert group.pages == HUGE_PAGES
    assert touch(kernel, task, 1)[2].result is FaultResult.GROUP_OOM
    let_go(kernel, task, file, mapping)
    assert group.pages == 0


def test_chunks_are_mapped_and_cleared_before_they_go_back() -> None:
    """Back to the area, not to the page allocator; no merge."""
    kernel = secret_kernel("cma", AREA)
    task = task_of(kernel)
    file, mapping, _ = touch(kernel, task, 5)
    free, splits = int(kernel.store.config[0]["free_pages"]), tiling(kernel)["level3_splits"]
    charge(kernel)
    let_go(kernel, task, file, mapping)
    assert charge(kernel)["cpu_ns"] >= HUGE_PAGES * costs(kernel)["clear_page"]
    assert absent_pages(kernel) == []
    assert abs(int(kernel.store.config[0]["free_pages"]) - free) < HUGE_PAGES
    assert tiling(kernel)["level3_splits"] == splits
    start = area_start(kernel.policy)
    touch(kernel, task, 1)
    assert absent_pages(kernel)[0] == start
