"""Memory that holds code: what loading changes in the direct map, and what freeing leaves there."""

from __future__ import annotations

import pytest

from models.kernel.chains import take
from models.kernel.code_pages import AREA
from models.kernel.direct_map import READ_ONLY, RESTORED
from models.kernel.errors import KernelRefusal
from models.kernel.kernel import Kernel
from models.kernel.pages.allocator import free_pages
from models.kernel.pages.layout import MOVABLE
from tests.models.kernel.machines import MapIdentity, boot, check_pages
from tests.models.kernel.ownership import chain


@pytest.fixture
def kernel() -> Kernel:
    return boot({"memory": "4GiB", "cpus": 2})


def flags(kernel: Kernel, pfn: int) -> int:
    return int(kernel.state.pages.pages["flags"][pfn])


def splits(kernel: Kernel) -> int:
    return int(kernel.state.direct_map.counters[0]["level2_splits"])


def test_only_the_protected_part_becomes_read_only(kernel: Kernel) -> None:
    """Text and read-only data of an area; its writable data stays as it is until the area is freed."""
    area = kernel.code.allocate(0, 10)
    pfns = chain(kernel.state, area.holder, AREA)
    kernel.code.protect(0, area, 6)
    assert [bool(flags(kernel, pfn) & READ_ONLY) for pfn in pfns] == [True] * 6 + [False] * 4


def test_freeing_resets_every_page_of_the_area(kernel: Kernel) -> None:
    """`VM_FLUSH_RESET_PERMS` concerns the whole area: data pages lose their GLOBAL bit too; nothing is read-only."""
    area = kernel.code.allocate(0, 10)
    pfns = chain(kernel.state, area.holder, AREA)
    kernel.code.protect(0, area, 6)
    kernel.code.free(0, area)
    assert {flags(kernel, pfn) & (READ_ONLY | RESTORED) for pfn in pfns} == {RESTORED}
    assert splits(kernel) >= 1
    assert kernel.state.direct_map.counters[0]["level2_collapses"] == 0
    check_pages(kernel.store)


def test_an_area_that_was_never_protected_leaves_no_trace(kernel: Kernel) -> None:
    """Ordinary vmalloc memory changes nothing in the direct map."""
    kernel.code.free(0, kernel.code.allocate(0, 300))
    assert splits(kernel) == 0


def test_protection_flushes_once_and_a_reset_once(kernel: Kernel) -> None:
    """Beside the flushes of splits: one for `set_memory_ro`, of single pages up to the ceiling, one for the reset."""
    area = kernel.code.allocate(0, 40)
    charge = kernel.state.charge[0]
    made = splits(kernel)
    kernel.code.protect(0, area, 20)
    in_splits = splits(kernel) - made + 1  # and the 1G entry
    assert charge["flushes"] - in_splits == 1
    assert charge["full_flushes"] - in_splits == 0
    kernel.code.protect(0, area, 40)
    assert charge["full_flushes"] - charge["flushes"] == -1
    before = int(charge["flushes"])
    kernel.code.free(0, area)
    assert charge["flushes"] == before + 1


def test_a_huge_area_splits_no_2m_entry_until_it_is_freed(kernel: Kernel) -> None:
    """A pack of one 2M block is rewritten in place; freeing resets its pages one by one and splits it [6.1]."""
    identity = MapIdentity(kernel.state.direct_map)
    area = kernel.code.allocate(0, 512, huge=True)
    assert area.blocks == 1
    kernel.code.protect(0, area, area.blocks)
    assert splits(kernel) == 0
    assert kernel.state.direct_map.counters[0]["level3_splits"] == 1
    kernel.code.free(0, area)
    assert splits(kernel) == 1
    identity.check()
    check_pages(kernel.store)


def test_a_huge_area_falls_back_to_single_pages() -> None:
    """Where no 2M block is to be had, a pack is made of 512 pages."""
    kernel = boot({"memory": "64MiB", "cpus": 1}, {"compaction": {"direct": False}})
    taken = []
    while (pfn := int(take(kernel.handle, 0, 0, 0, MOVABLE))) >= 0:
        taken.append(pfn)
    for pfn in taken[::2]:
        free_pages(kernel.store.handle, 0, pfn, 0)
    area = kernel.code.allocate(0, 512, huge=True)
    assert area.blocks == 512


def test_code_space_takes_a_page_table_for_every_2m(kernel: Kernel) -> None:
    """Page tables of the module area are taken as it grows and stay."""
    before = check_pages(kernel.store).used
    areas = [kernel.code.allocate(0, 100) for _ in range(6)]
    assert check_pages(kernel.store).used == before + 600 + 2
    for area in areas:
        kernel.code.free(0, area)
    assert check_pages(kernel.store).used == before + 2


def test_without_memory_a_module_is_refused() -> None:
    """ENOMEM, with nothing left behind."""
    kernel = boot({"memory": "40MiB", "cpus": 1})
    used = check_pages(kernel.store).used
    with pytest.raises(KernelRefusal) as refusal:
        kernel.code.allocate(0, 1 << 16)
    assert refusal.value.name == "ENOMEM"
    assert check_pages(kernel.store).used == used


def test_code_leaves_an_unchangeable_direct_map_alone() -> None:
    """arm64 without `rodata=full` does not touch the alias: no split, and no reset at the end."""
    kernel = boot({"memory": "4GiB", "arch": "arm64", "boot": {"rodata_full": False}})
    area = kernel.code.allocate(0, 10)
    kernel.code.protect(0, area, 10)
    kernel.code.free(0, area)
    assert splits(kernel) == 0
