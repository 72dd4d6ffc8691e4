"""Policy `boot_reserve`: chunks of a reservation made and unmapped at boot (row `boot_reserve`)."""

from __future__ import annotations

import pytest

from models.kernel.errors import FaultResult
from models.kernel.limits import Group
from models.kernel.secretmem.boot_reserve import BootReservePolicy
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

RESERVE = {"reserve": "64MiB"}
CHUNKS = 32


def area(policy: object) -> tuple[int, int]:
    assert isinstance(policy, BootReservePolicy)
    return policy.start_pfn, policy.area_pages


def test_the_whole_reservation_leaves_the_direct_map_at_boot() -> None:
    """Before any file exists; at 2M: no 4K entry, one 1G entry split."""
    plain, kernel = secret_kernel("page"), secret_kernel("boot_reserve", RESERVE)
    start, size = area(kernel.policy)
    assert size == CHUNKS * HUGE_PAGES
    assert start % HUGE_PAGES == 0
    assert absent_pages(kernel) == list(range(start, start + size))
    assert tiling(kernel)["pages_4k"] == tiling(plain)["pages_4k"]
    assert tiling(kernel)["level3_splits"] == 1
    assert free_pages(plain) - free_pages(kernel) == size + 1  # and the table of the split
    assert not any(charge(kernel).values())


def test_a_large_reservation_is_1g_aligned_and_splits_nothing() -> None:
    """Twice the reserve exceeds 1 GiB: aligned to 1G, and a whole 1G entry is rewritten in place."""
    kernel = secret_kernel("boot_reserve", {"reserve": "1GiB"})
    start, _ = area(kernel.policy)
    assert start % GIGA_PAGES == 0
    assert tiling(kernel)["level3_splits"] == 0
    assert tiling(kernel)["unmapped_pages"] == GIGA_PAGES


def test_a_fault_touches_neither_the_map_nor_other_cpus() -> None:
    """Everything is unmapped already: no lock, no flush, a chunk's bookkeeping and clear, then pool faults."""
    kernel = secret_kernel("boot_reserve", RESERVE)
    task = task_of(kernel)
    before = tiling(kernel)
    _, mapping, _ = touch(kernel, task, 1, 2)
    adding, price = charge(kernel), costs(kernel)
    assert (adding["flushes"], adding["lock_ns"], adding["after_ns"]) == (0, 0, 0)
    assert adding["cpu_ns"] >= price["pool_chunk"] + price["pool_fault"]
    kernel.fault(task, mapping, 0)
    assert charge(kernel)["cpu_ns"] == price["pool_fault"]
    assert tiling(kernel) == before


def test_empty_means_failure_without_fallback() -> None:
    """One chunk per file: 32 one-page files, then VM_FAULT_OOM though the rest of memory is free."""
    kernel = secret_kernel("boot_reserve", RESERVE)
    task = task_of(kernel)
    results = [touch(kernel, task, 1)[2].result for _ in range(CHUNKS + 1)]
    assert results == [FaultResult.DONE] * CHUNKS + [FaultResult.OOM]
    assert kernel.policy.costly
    assert kernel.policy.results()["area_lowest_bytes"] == 0


def test_chunks_return_to_the_reservation_unmapped() -> None:
    """A file's release feeds the next file, and gives the page allocator nothing."""
    kernel = secret_kernel("boot_reserve", RESERVE)
    task = task_of(kernel)
    first = [touch(kernel, task, 1) for _ in range(CHUNKS)]
    before = tiling(kernel)
    let_go(kernel, task, *first[3][:2])
    assert tiling(kernel) == before
    assert touch(kernel, task, HUGE_PAGES)[2].result is FaultResult.DONE
    assert touch(kernel, task, 1)[2].result is FaultResult.OOM


def test_the_reservation_is_the_only_limit_on_memory() -> None:
    """Control groups are charged nothing."""
    kernel = secret_kernel("boot_reserve", RESERVE)
    group = Group("g", 1)
    assert touch(kernel, task_of(kernel, group=group), 100)[2].result is FaultResult.DONE
    assert group.pages == 0


def test_bad_reservations_are_refused() -> None:
    """Not a multiple of 2 MiB; more than there is."""
    with pytest.raises(ValueError, match="multiple of 2 MiB"):
        secret_kernel("boot_reserve", {"reserve": "3MiB"})
    with pytest.raises(ValueError, match="no free area"):
        secret_kernel("boot_reserve", {"reserve": "8GiB"})
    with pytest.raises(ValueError, match="is 0"):
        secret_kernel("boot_reserve", {"reserve": 0})
