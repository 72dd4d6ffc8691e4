"""Bad pages: what becomes of free, used and kernel pages, and of their entries."""

from __future__ import annotations

import pytest

from models.kernel.chains import take
from models.kernel.direct_map import ABSENT
from models.kernel.hwpoison import IGNORED, TAKEN_FREE, TAKEN_USED, poison_page
from models.kernel.kernel import Kernel
from models.kernel.limits import User
from models.kernel.pages.allocator import free_pages
from models.kernel.pages.layout import UNMOVABLE
from models.kernel.records import ANON
from tests.models.kernel.machines import MapIdentity, boot, check_pages
from tests.models.kernel.ownership import chain


@pytest.fixture
def kernel() -> Kernel:
    return boot({"memory": "4GiB", "cpus": 2})


def absent(kernel: Kernel, pfn: int) -> bool:
    return bool(int(kernel.state.pages.pages["flags"][pfn]) & ABSENT)


@pytest.mark.parametrize("pfn", [(1 << 18) + 777, (1 << 18) + 1024 * 90 + 1023, (1 << 18) + 512 * 511])
def test_a_bad_page_costs_a_1g_and_a_2m_split(kernel: Kernel, pfn: int) -> None:
    """Never-touched memory: the page leaves its block of 4 MiB, all others stay free, and its entry is not present."""
    identity, free = MapIdentity(kernel.state.direct_map), check_pages(kernel.store).free
    assert poison_page(kernel.handle, 0, 0, pfn) == TAKEN_FREE
    counters = kernel.state.direct_map.counters[0]
    assert (counters["level2_splits"], counters["level3_splits"]) == (1, 1)
    assert absent(kernel, pfn)
    assert counters["unmapped_pages"] == 1
    census = check_pages(kernel.store)
    assert free - census.free - census.per_cpu == 3  # the page and two tables
    identity.check()


def test_it_is_bad_once_and_for_ever(kernel: Kernel) -> None:
    """The second error in the same page changes nothing; the page is never handed out again."""
    assert poison_page(kernel.handle, 0, 0, 1 << 18) == TAKEN_FREE
    assert poison_page(kernel.handle, 0, 0, 1 << 18) == IGNORED
    taken = set()
    while (pfn := int(take(kernel.handle, 0, 0, 10, UNMOVABLE))) >= 0:
        taken.add(pfn)
    assert (1 << 18) not in taken


def test_a_task_loses_its_page_and_keeps_the_others(kernel: Kernel) -> None:
    """The page is unmapped from its owner, whose chain leads past it; at exit it stays where it is."""
    task = kernel.first_task(User("user"))
    kernel.touch(task, 0, 50)
    mapping = kernel.ordinary(task)
    pfns = chain(kernel.state, mapping.holder, ANON)
    for pfn in (pfns[0], pfns[20], pfns[-1]):
        assert poison_page(kernel.handle, 0, 0, pfn) == TAKEN_USED
    assert chain(kernel.state, mapping.holder, ANON) == [
        pfn for k, pfn in enumerate(pfns) if k not in (0, 20, len(pfns) - 1)
    ]
    kernel.munmap(task, mapping, 0)
    assert check_pages(kernel.store).where[pfns[20]] == 3


def test_the_kernels_own_pages_are_left_alone(kernel: Kernel) -> None:
    """An unmovable page in use, a page that boot kept, and a hole: ignored, and nothing is split."""
    held = int(take(kernel.handle, 0, 0, 3, UNMOVABLE))
    for pfn in (held, held + 5, 0, (3 << 18) + 5):
        assert poison_page(kernel.handle, 0, 0, pfn) == IGNORED
    assert kernel.state.direct_map.counters[0]["level2_splits"] == 0


def test_a_page_on_a_per_cpu_list_is_drained_first(kernel: Kernel) -> None:
    """Such a page is neither free nor in use for the allocator; the lists are drained until it is free."""
    pfn = int(take(kernel.handle, 1, 0, 0, UNMOVABLE))
    free_pages(kernel.store.handle, 1, pfn, 0)
    assert poison_page(kernel.handle, 0, 0, pfn) == TAKEN_FREE
    check_pages(kernel.store)
