"""Policy `pmd_pool_fallback`: 2M chunks while there are any, then single pages (row `pmd_pool_fallback`)."""

from __future__ import annotations

from models.kernel.errors import FaultResult
from models.kernel.limits import Group
from models.kernel.secretmem.pmd_pool_fallback import FallbackPolicy
from tests.models.kernel.secret_steps import (
    HUGE_PAGES,
    absent_pages,
    leave_no_huge_block,
    let_go,
    secret_kernel,
    task_of,
    tiling,
    touch,
)  # fmt: skip

SMALL = {"memory": "256MiB", "cpus": 1}


def test_with_2m_blocks_it_is_a_pool() -> None:
    """One chunk per file, no 4K entries."""
    kernel = secret_kernel("pmd_pool_fallback")
    before, task = tiling(kernel), task_of(kernel)
    touch(kernel, task, 1)
    touch(kernel, task, 1)
    assert len(absent_pages(kernel)) == 2 * HUGE_PAGES
    assert tiling(kernel)["pages_4k"] == before["pages_4k"]


def test_without_2m_blocks_it_takes_single_pages_at_4k() -> None:
    """Where `pmd_pool` fails, the fallback goes on, one page and one 4K removal per fault."""
    kernel = secret_kernel("pmd_pool_fallback", machine=SMALL)
    task = task_of(kernel)
    leave_no_huge_block(kernel, task)
    before = tiling(kernel)
    _, _, got = touch(kernel, task, 100)
    assert (got.done, got.result) == (100, FaultResult.DONE)
    assert len(absent_pages(kernel)) == 100
    assert tiling(kernel)["pages_4k"] > before["pages_4k"]
    assert isinstance(kernel.policy, FallbackPolicy)
    assert kernel.policy.results() == {"fallbacks": 100}


def test_chunks_and_single_pages_of_one_file_all_come_back() -> None:
    """A file that began with a chunk and went on with single pages leaves nothing unmapped and nothing counted."""
    kernel = secret_kernel("pmd_pool_fallback", machine=SMALL)
    task = task_of(kernel)
    file, mapping, _ = touch(kernel, task, HUGE_PAGES, HUGE_PAGES + 50)
    leave_no_huge_block(kernel, task)
    assert kernel.fault(task, mapping, 0, 50).done == 50
    assert int(kernel.state.counts[0]["secret_pages"]) == HUGE_PAGES + 50
    let_go(kernel, task, file, mapping)
    assert absent_pages(kernel) == []
    assert int(kernel.state.counts[0]["secret_pages"]) == 0
    assert task.user.secret_pages == 0


def test_groups_are_charged_as_for_page() -> None:
    """Per page of the file, not per chunk; failure ends in an order-0 request."""
    kernel = secret_kernel("pmd_pool_fallback")
    group = Group("g", 10)
    _, _, got = touch(kernel, task_of(kernel, group=group), 11)
    assert (got.done, got.result, group.pages) == (10, FaultResult.GROUP_OOM, 10)
    assert not kernel.policy.costly
