"""Attributes of the direct map: what splits, what is rewritten in place, what a reset leaves behind."""

from __future__ import annotations

import pytest

from models.kernel.attributes import NO_TABLE, change_attributes, reset_pages, split_range
from models.kernel.chains import take
from models.kernel.direct_map import ABSENT, READ_ONLY, RESTORED, UNCACHED
from models.kernel.kernel import Kernel
from models.kernel.pages.layout import MOVABLE
from models.kernel.records import MAP_TABLE
from tests.models.kernel.machines import MapIdentity, boot

GIGA_PFN = 1 << 18


@pytest.fixture
def kernel() -> Kernel:
    return boot({"memory": "4GiB", "cpus": 2})


def flags(kernel: Kernel, pfn: int) -> int:
    return int(kernel.state.pages.pages["flags"][pfn]) & (ABSENT | RESTORED | READ_ONLY | UNCACHED)


def splits(kernel: Kernel) -> tuple[int, int]:
    counters = kernel.state.direct_map.counters[0]
    return int(counters["level2_splits"]), int(counters["level3_splits"])


@pytest.mark.parametrize(
    ("pfn", "count", "expected"),
    [
        (GIGA_PFN + 512 * 7 + 3, 1, (1, 1)),
        (GIGA_PFN + 512 * 7, 512, (0, 1)),
        (GIGA_PFN + 512 * 7, 513, (1, 1)),
        (GIGA_PFN, 1 << 18, (0, 0)),
    ],
)
def test_a_range_splits_what_it_covers_in_part(
    kernel: Kernel, pfn: int, count: int, expected: tuple[int, int]
) -> None:
    """4K inside 1G splits twice, an aligned 2M once, a whole 1G not at all (section 5 of the kernel's rules)."""
    identity = MapIdentity(kernel.state.direct_map)
    made = change_attributes(kernel.handle, 0, 0, pfn, count, UNCACHED, 0)
    assert splits(kernel) == expected
    assert made == sum(expected)
    assert flags(kernel, pfn) == flags(kernel, pfn + count - 1) == UNCACHED
    assert flags(kernel, pfn + count) == 0
    identity.check()


def test_every_split_takes_a_page_and_flushes_all_cpus(kernel: Kernel) -> None:
    """The tables come from the page allocator; the flush of a split waits under the map lock."""
    free = int(kernel.store.config[0]["free_pages"]) + int(kernel.store.config[0]["per_cpu_pages"])
    assert split_range(kernel.handle, 0, 0, GIGA_PFN + 5, 1) == 2
    left = int(kernel.store.config[0]["free_pages"]) + int(kernel.store.config[0]["per_cpu_pages"])
    charge, costs = kernel.state.charge[0], kernel.state.costs[0]
    assert free - left == 2
    assert charge["flushes"] == 2
    assert charge["lock_ns"] == costs["split_2m"] + costs["split_1g"]
    tables = [kernel.state.direct_map.table(GIGA_PFN + 5, level) for level in (2, 3)]
    assert {int(kernel.state.pages.pages["owner"][pfn]) for pfn in tables} == {MAP_TABLE}


def test_setting_back_makes_an_entry_equal_again(kernel: Kernel) -> None:
    """An entry that stayed present all the time keeps its GLOBAL bit: write-back again, it is as before."""
    change_attributes(kernel.handle, 0, 0, 5000, 1, UNCACHED, 0)
    change_attributes(kernel.handle, 0, 0, 5000, 1, 0, UNCACHED)
    assert flags(kernel, 5000) == 0


def test_a_reset_takes_read_only_and_the_global_bit_away(kernel: Kernel) -> None:
    """Invalid, then default: writable and present, but different from its neighbours for good."""
    change_attributes(kernel.handle, 0, 0, 5000, 1, READ_ONLY, 0)
    reset_pages(kernel.handle, 0, 0, 5000, 1)
    assert flags(kernel, 5000) == RESTORED
    assert kernel.state.direct_map.counters[0]["unmapped_pages"] == 0


def test_without_memory_for_a_table_nothing_changes(kernel: Kernel) -> None:
    """`set_memory_*` answers -ENOMEM and leaves the attributes alone."""
    while take(kernel.handle, 0, 0, 0, MOVABLE) >= 0:
        pass
    assert change_attributes(kernel.handle, 0, 0, GIGA_PFN + 5, 1, READ_ONLY, 0) == NO_TABLE
    assert flags(kernel, GIGA_PFN + 5) == 0
    assert splits(kernel) == (0, 0)
