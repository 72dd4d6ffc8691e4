"""Policy `pmd_pool`: a pool of 2M chunks per file, no fallback (row `pmd_pool` of the policies)."""

from __future__ import annotations

import pytest

from models.kernel.errors import FaultResult
from models.kernel.limits import Group
from models.kernel.pages.buddy import block_type
from models.kernel.pages.layout import MOVABLE, UNMOVABLE
from tests.models.kernel.secret_steps import (
    GIGA_PAGES,
    HUGE_PAGES,
    absent_pages,
    charge,
    costs,
    leave_no_huge_block,
    let_go,
    open_file,
    secret_kernel,
    task_of,
    tiling,
    touch,
)  # fmt: skip


def test_every_file_takes_a_chunk_of_its_own() -> None:
    """One secret page costs 2 MiB of RAM, 512-fold; 512 pages of one file cost no more."""
    kernel = secret_kernel("pmd_pool")
    task = task_of(kernel)
    for files in range(1, 6):
        touch(kernel, task, 1)
        assert len(absent_pages(kernel)) == files * HUGE_PAGES
    touch(kernel, task, HUGE_PAGES)
    assert len(absent_pages(kernel)) == 6 * HUGE_PAGES


def test_removal_is_one_call_per_chunk_and_splits_1g_only() -> None:
    """The PMD stays one leaf: no 4K entry, one 1G entry becomes 2M."""
    kernel = secret_kernel("pmd_pool")
    before, task = tiling(kernel), task_of(kernel)
    touch(kernel, task, 1)
    after = tiling(kernel)
    assert after["level2_splits"] == before["level2_splits"]
    assert after["pages_4k"] == before["pages_4k"]
    assert before["pages_1g"] - after["pages_1g"] == GIGA_PAGES
    assert absent_pages(kernel)[0] % HUGE_PAGES == 0


@pytest.mark.parametrize(("version", "flushes", "key"), [("v6", 0, "local_flush"), ("v7", 1, "flush_all")])
def test_the_flush_is_once_per_chunk_local_in_v6(version: str, flushes: int, key: str) -> None:
    """v6 flushes the CPU that faults, v7 all of them; pages from the pool need no flush."""
    kernel = secret_kernel("pmd_pool", {"version": version})
    task = task_of(kernel)
    touch(kernel, task, 1)  # splits the 1G entry
    charge(kernel)
    _, mapping, _ = touch(kernel, task, 1, 2)
    adding = charge(kernel)
    assert (adding["flushes"], adding["after_ns"]) == (flushes, costs(kernel)[key])
    kernel.fault(task, mapping, 0)
    served = charge(kernel)
    assert (served["flushes"], served["after_ns"], served["lock_ns"]) == (0, 0, 0)
    assert served["cpu_ns"] == costs(kernel)["pool_fault"]


def test_flush_option_overrides_the_version() -> None:
    """A what-if: v6 with v7's flush."""
    kernel = secret_kernel("pmd_pool", {"version": "v6", "flush": "all"})
    touch(kernel, task_of(kernel), 1)
    assert charge(kernel)["flushes"] == 2  # the 1G split's and the chunk's


def test_removal_page_by_page_shatters_every_chunk() -> None:
    """The what-if: each page handed out is a 4K removal with its own flush."""
    kernel = secret_kernel("pmd_pool", {"removal": "page"})
    before, task = tiling(kernel), task_of(kernel)
    for _ in range(5):
        touch(kernel, task, 1)
    assert tiling(kernel)["level2_splits"] - before["level2_splits"] == 5
    assert len(absent_pages(kernel)) == 5
    charge(kernel)
    _, mapping, _ = touch(kernel, task, 1, 2)
    charge(kernel)
    kernel.fault(task, mapping, 0)
    assert charge(kernel)["after_ns"] == costs(kernel)["flush_page"]


@pytest.mark.parametrize(("migratetype", "number"), [("movable", MOVABLE), ("unmovable", UNMOVABLE)])
def test_chunks_come_from_movable_blocks(migratetype: str, number: int) -> None:
    """v6's mask asks for movable blocks, although the pages never move."""
    kernel = secret_kernel("pmd_pool", {"migratetype": migratetype})
    touch(kernel, task_of(kernel), 1)
    assert int(block_type(kernel.store.handle, absent_pages(kernel)[0])) == number


@pytest.mark.parametrize(("removal", "cleared"), [("chunk", HUGE_PAGES), ("page", 3)])
def test_chunks_go_when_the_file_goes_and_are_not_cleared_before_v8(removal: str, cleared: int) -> None:
    """munmap gives nothing back; eviction maps what had left again and frees all; v8 clears what had left first."""
    price = {}
    for version in ("v7", "v8"):
        kernel = secret_kernel("pmd_pool", {"version": version, "removal": removal})
        task = task_of(kernel)
        file, mapping, _ = touch(kernel, task, 3)
        kernel.munmap(task, mapping, 0)
        assert len(absent_pages(kernel)) == cleared
        charge(kernel)
        let_go(kernel, task, file, None)
        price[version] = charge(kernel)["cpu_ns"]
        assert absent_pages(kernel) == []
        assert tiling(kernel)["level2_splits"] == (1 if removal == "page" else 0)
    assert price["v8"] - price["v7"] == cleared * costs(kernel)["clear_page"]


def test_control_groups_are_charged_nothing_before_v7_and_chunks_since() -> None:
    """v6: nobody is charged. v7: 512 pages a chunk, refused when the group has no room for one."""
    charged = {}
    for version in ("v6", "v7"):
        kernel = secret_kernel("pmd_pool", {"version": version})
        group = Group("g", 2 * HUGE_PAGES + 100)
        task = task_of(kernel, group=group)
        results = [touch(kernel, task, 1)[2].result for _ in range(3)]
        charged[version] = (group.pages, results[-1], group.failures)
    assert charged["v6"] == (0, FaultResult.DONE, 0)
    assert charged["v7"] == (2 * HUGE_PAGES, FaultResult.GROUP_OOM, 1)


def test_group_gets_its_chunks_back() -> None:
    """What was charged for a chunk is given back with it."""
    kernel = secret_kernel("pmd_pool", {"version": "v7"})
    group = Group("g", 4 * HUGE_PAGES)
    task = task_of(kernel, group=group)
    file, mapping, _ = touch(kernel, task, HUGE_PAGES + 1)
    assert group.pages == 2 * HUGE_PAGES
    let_go(kernel, task, file, mapping)
    assert group.pages == 0


def test_only_the_length_of_the_mapping_is_charged_to_memlock() -> None:
    """16 pages of budget (the default up to 5.15) buy 32 MiB of RAM."""
    kernel = secret_kernel("pmd_pool")
    task = task_of(kernel, memlock_pages=16)
    for _ in range(16):
        touch(kernel, task, 1)
    with pytest.raises(Exception, match="EAGAIN"):
        open_file(kernel, task, 1)
    assert len(absent_pages(kernel)) == 16 * HUGE_PAGES


def test_without_a_2m_block_the_fault_fails_though_memory_is_free() -> None:
    """No order-0 fallback; and on 6.1 no OOM kill either, since the order is costly."""
    kernel = secret_kernel("pmd_pool", machine={"memory": "256MiB", "cpus": 1})
    task = task_of(kernel)
    leave_no_huge_block(kernel, task)
    _, _, got = touch(kernel, task, 1)
    assert (got.done, got.result) == (0, FaultResult.OOM)
    assert int(kernel.store.config[0]["free_pages"]) > 30000
    assert kernel.policy.costly
