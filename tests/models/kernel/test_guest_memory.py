"""Memory of guests: what leaves the direct map, what is only cut, and what comes back."""

from __future__ import annotations

import pytest

from models.kernel.guest_memory import KEEP, REMOVE, SPLIT_ONLY, fault_guest, release_guest
from models.kernel.kernel import Kernel
from tests.models.kernel.machines import MapIdentity, boot, check_pages


@pytest.fixture
def kernel() -> Kernel:
    return boot({"memory": "4GiB", "cpus": 2})


def counters(kernel: Kernel) -> tuple[int, int, int]:
    record = kernel.state.direct_map.counters[0]
    return int(record["level2_splits"]), int(record["level3_splits"]), int(record["unmapped_pages"])


def populate(kernel: Kernel, folios: int, order: int, how: int) -> int:
    guest = kernel.new_holder()
    for number in range(folios):
        assert fault_guest(kernel.handle, 0, 0, guest, order, how, order == 0 and number % 512 == 0)
    return guest


def test_removed_folios_leave_the_direct_map_with_a_flush_each(kernel: Kernel) -> None:
    """A guest's whole memory at 4K and not present; on release it is present again, and stays at 4K."""
    identity = MapIdentity(kernel.state.direct_map)
    guest = populate(kernel, 1024, 0, REMOVE)
    made, giga, absent = counters(kernel)
    assert absent == 1024
    assert made >= 2
    assert kernel.state.charge[0]["flushes"] == 1024 + made + giga
    release_guest(kernel.handle, 0, guest)
    assert counters(kernel) == (made, giga, 0)
    identity.check()
    assert check_pages(kernel.store).used == made + giga


def test_a_removed_2m_folio_splits_no_2m_entry(kernel: Kernel) -> None:
    """It covers its entry whole."""
    populate(kernel, 3, 9, REMOVE)
    assert counters(kernel) == (0, 1, 3 * 512)


def test_a_private_4k_page_cuts_its_entry_and_stays_mapped(kernel: Kernel) -> None:
    """SNP: entries of 4K, all present; they stay cut when the guest is gone."""
    guest = populate(kernel, 1024, 0, SPLIT_ONLY)
    cut = counters(kernel)
    assert cut[0] >= 2
    assert cut[2] == 0
    release_guest(kernel.handle, 0, guest)
    assert counters(kernel) == cut


def test_a_private_2m_page_changes_nothing(kernel: Kernel) -> None:
    """SNP with huge private pages: no split at all."""
    populate(kernel, 8, 9, KEEP)
    assert counters(kernel) == (0, 0, 0)


def test_the_guests_own_page_tables_are_unmovable_pages_too(kernel: Kernel) -> None:
    """One per 2 MiB of guest memory, given back with it."""
    guest = populate(kernel, 1024, 0, KEEP)
    assert check_pages(kernel.store).used == 1024 + 2
    release_guest(kernel.handle, 0, guest)
    assert check_pages(kernel.store).used == 0


def test_a_guest_without_memory_gets_no_folio() -> None:
    """The fault fails and leaves nothing behind but page tables."""
    kernel = boot({"memory": "40MiB", "cpus": 1})
    guest = kernel.new_holder()
    while fault_guest(kernel.handle, 0, 0, guest, 0, REMOVE, False):
        pass
    got = release_guest(kernel.handle, 0, guest)
    assert got > 1000
    assert counters(kernel)[2] == 0
