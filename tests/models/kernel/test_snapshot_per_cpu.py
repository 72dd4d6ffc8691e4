"""Per-CPU lists of which a snapshot tells the lengths alone."""

import numpy as np
import pytest

from models.host.snapshot import take_snapshot
from models.kernel.pages.layout import COSTLY_ORDER, FREE, PCP_LISTS, PCP_TYPES, PER_CPU, UNMOVABLE, Store
from models.kernel.pages.lists import per_cpu_list
from models.kernel.snapshot_pages import snapshot_pages
from models.kernel.snapshot_per_cpu import fill_as_refilled
from models.kernel.snapshot_placement import Placement
from models.machine.snapshot import Snapshot
from tests.models.host.proc_machines import sources

CPUS = 2


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    """A machine of which only the counters in /proc are known."""
    return take_snapshot(sources("zen5_guest_24g")).model_copy(update={"lists": None, "pages": None})


def _store(snapshot: Snapshot, seed: int) -> Store:
    return snapshot_pages(snapshot, CPUS, 1, np.random.default_rng(seed))


def test_lists_are_as_long_as_counted(snapshot: Snapshot) -> None:
    """What is drawn is what lies where, not how much: a list too long or too short is drained too early or late."""
    store = _store(snapshot, 1)
    for number, zone in enumerate(snapshot.zones[: len(store.zones)]):
        counted = {lists.cpu: lists.count for lists in zone.pagesets}
        for cpu in range(CPUS):
            assert int(store.per_cpu[number, cpu]["count"]) == counted.get(cpu, 0)
    listed = store.pages["state"] == PER_CPU
    first = np.flatnonzero(listed)
    assert int((1 << store.pages["order"][first].astype(np.int64)).sum()) == int(store.per_cpu["count"].sum())


def test_blocks_on_lists_are_aligned_and_free_of_others(snapshot: Snapshot) -> None:
    """A page that two lists hold would be handed out twice."""
    store = _store(snapshot, 2)
    first = np.flatnonzero((store.pages["state"] == PER_CPU) | (store.pages["state"] == FREE))
    sizes = 1 << store.pages["order"][first].astype(np.int64)
    assert (first % sizes == 0).all()
    assert (first[1:] >= (first + sizes)[:-1]).all()


def test_each_list_in_use_holds_up_to_a_refill(snapshot: Snapshot) -> None:
    """All lists that slabs are taken from are filled in some draws, none beyond what one refill brings."""
    zone = max(range(len(snapshot.zones)), key=lambda number: snapshot.zones[number].managed)
    batch = max(lists.batch for lists in snapshot.zones[zone].pagesets)
    longest = np.zeros(PCP_LISTS, int)
    for seed in range(12):
        store = _store(snapshot, seed)
        for cpu in range(CPUS):
            for index in range(PCP_LISTS):
                listed = int(per_cpu_list(store.handle, zone, cpu, index))
                longest[index] = max(longest[index], int(store.lists[listed]["blocks"]))
    for order in range(1, COSTLY_ORDER + 1):
        unmovable, movable, reclaimable = longest[PCP_TYPES * order : PCP_TYPES * (order + 1)]
        assert 0 < unmovable <= max(batch >> order, 2)
        assert 0 < reclaimable <= max(batch >> order, 2)
        assert movable == 0
    assert longest[:PCP_TYPES].all()


@pytest.mark.parametrize("pages", range(10))
def test_less_room_than_a_block(snapshot: Snapshot, pages: int) -> None:
    """Where fewer pages are left than a block of some order has, none of that order is drawn."""
    zone = max(snapshot.zones, key=lambda zone: zone.managed)
    nothing, spare = np.zeros(0, np.int64), np.arange(pages, dtype=np.int64)
    placement = Placement(nothing, nothing, spare, nothing, 0, np.full(1, UNMOVABLE, np.uint8), 9)
    for seed in range(5):
        store = Store(512, 1, CPUS, 1, 9, huge_lists=True)
        fill_as_refilled(store, 0, zone, placement, np.random.default_rng(seed))
        assert int(store.per_cpu["count"].sum()) <= pages
