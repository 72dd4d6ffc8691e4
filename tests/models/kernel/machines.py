"""Machines for tests of the kernel, and what must be true of any kernel at any time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.kernel.build import boot_kernel
from models.kernel.config import KernelConfig
from models.kernel.direct_map import ABSENT, DirectMap
from models.kernel.kernel import Kernel
from models.kernel.pages.buddy import block_type
from models.kernel.pages.layout import FREE, MAX_ORDER, NONE, PCP_LISTS, PER_CPU, TYPES, USED, Store
from models.kernel.pages.lists import buddy_list, per_cpu_list
from models.machine.machine import MachineConfig, build_machine

LIST_LIMIT = 1 << 20


def boot(machine: Mapping[str, Any], kernel: Mapping[str, Any] | None = None, seed: int = 0) -> Kernel:
    """A kernel on a machine, in the `bare` boot profile and with every page free unless told otherwise."""
    settings = {"boot": "bare", "state": {"profile": "pristine"}, **(kernel or {})}
    return boot_kernel(
        build_machine(MachineConfig.model_validate(machine)),
        KernelConfig.model_validate(settings),
        np.random.default_rng(seed),
    )


def elements(store: Store, index: int) -> list[int]:
    """First frames of a list's elements, head first, read in both directions.

    Raises:
        AssertionError: the links do not agree, or the count of blocks does not.
    """
    page, which = store.pages, store.lists[index]
    found: list[int] = []
    before, pfn, blocks = NONE, int(which["head"]), 0
    while pfn != NONE:
        assert int(page["prev"][pfn]) == before, f"list {index}: {pfn} does not point back to {before}"
        assert len(found) < LIST_LIMIT, f"list {index} has no end"
        found.append(pfn)
        blocks += int(page["owner"][pfn]) + 1
        before, pfn = pfn, int(page["next"][pfn])
    assert int(which["tail"]) == before, f"list {index}: tail {which['tail']}, last element {before}"
    assert int(which["blocks"]) == blocks, f"list {index}: {which['blocks']} blocks counted, {blocks} there"
    return found


def buddy_blocks(store: Store, zone: int, order: int, migratetype: int) -> list[int]:
    """First frames of the free blocks of an order and type, head first, runs written out."""
    return [
        pfn + (k << (MAX_ORDER - 1))
        for pfn in elements(store, int(buddy_list(zone, order, migratetype)))
        for k in range(int(store.pages["owner"][pfn]) + 1)
    ]


def per_cpu_blocks(store: Store, zone: int, cpu: int, index: int) -> list[int]:
    """First frames of the blocks of a per-CPU list, head first."""
    return elements(store, int(per_cpu_list(store.handle, zone, cpu, index)))


def per_cpu_order(index: int, pageblock_order: int) -> int:
    return pageblock_order if index >= 12 else index // 3


class PageCensus:
    """Every managed page of a small machine and where it is.

    Attributes:
        where: per frame, FREE, PER_CPU or USED; 0 where no block of the allocator lies.
        used_blocks: first frame to order, of every block handed out.
        free: pages on buddy lists; per_cpu: on per-CPU lists.
    """

    def __init__(self, store: Store) -> None:
        self.where: NDArray[np.int8] = np.zeros(len(store.pages), np.int8)
        self.used_blocks: dict[int, int] = {}
        self.free = self.per_cpu = 0
        page, block_order = store.pages, int(store.config[0]["pageblock_order"])
        for zone in range(len(store.zones)):
            for order in range(MAX_ORDER):
                for migratetype in range(TYPES):
                    for pfn in buddy_blocks(store, zone, order, migratetype):
                        self._claim(pfn, order, FREE)
                        self._merged(store, zone, pfn, order, migratetype)
                        self.free += 1 << order
            for cpu in range(store.per_cpu.shape[1]):
                on_cpu = 0
                for index in range(PCP_LISTS):
                    order = per_cpu_order(index, block_order)
                    for pfn in per_cpu_blocks(store, zone, cpu, index):
                        assert (page["state"][pfn], page["order"][pfn]) == (PER_CPU, order)
                        self._claim(pfn, order, PER_CPU)
                        on_cpu += 1 << order
                assert int(store.per_cpu[zone, cpu]["count"]) == on_cpu
                self.per_cpu += on_cpu
        for pfn in np.flatnonzero(page["state"] == USED).tolist():
            order = int(page["order"][pfn])
            self._claim(pfn, order, USED)
            self.used_blocks[pfn] = order

    @property
    def used(self) -> int:
        """Pages handed out."""
        return int((self.where == USED).sum())

    def _claim(self, pfn: int, order: int, what: int) -> None:
        block = self.where[pfn : pfn + (1 << order)]
        assert not block.any(), f"pages {pfn} to {pfn + (1 << order) - 1} are in two places"
        block[:] = what

    def _merged(self, store: Store, zone: int, pfn: int, order: int, migratetype: int) -> None:
        """No block lies beside a free buddy that it should have become one with."""
        page, block_order = store.pages, int(store.config[0]["pageblock_order"])
        if order == MAX_ORDER - 1:
            return
        assert (page["state"][pfn], page["order"][pfn], page["migratetype"][pfn]) == (FREE, order, migratetype)
        buddy = pfn ^ (1 << order)
        record = store.zones[zone]
        if not record["start_pfn"] <= buddy < record["end_pfn"]:
            return
        free_alike = page["state"][buddy] == FREE and page["order"][buddy] == order
        if free_alike and order >= block_order:
            types = {int(block_type(store.handle, each)) for each in (pfn, buddy)}
            free_alike = len(types) == 1 or max(types) <= 2
        assert not free_alike, f"free buddies of order {order} at {pfn} and {buddy} are not merged"


def check_pages(store: Store) -> PageCensus:
    """Check the page allocator's books.

    Raises:
        AssertionError: a page is in two places or nowhere, a list's links or a counter is wrong, or free buddies of
            the same type are not merged.
    """
    census = PageCensus(store)
    managed = int(store.zones["managed"].sum())
    assert census.free + census.per_cpu + census.used == managed
    assert int(store.config[0]["free_pages"]) == census.free
    assert int(store.config[0]["per_cpu_pages"]) == census.per_cpu
    by_zone = store.zones["free_pages"] + store.per_cpu["free_pages_diff"].sum(axis=1)
    assert int(by_zone.sum()) == census.free
    return census


class MapIdentity:
    """The counter identity of the direct map, from a given moment on."""

    def __init__(self, direct_map: DirectMap) -> None:
        self._map = direct_map
        self._boot = self._now()

    def _now(self) -> dict[str, int]:
        record: Any = self._map.counters[0]
        return {name: int(record[name]) for name in self._map.counters.dtype.names or ()}

    def check(self) -> None:
        """Compare the three sizes with the counters of splits and collapses, in kB as the kernel prints them.

        Raises:
            AssertionError: they do not agree.
        """
        boot, now = self._boot, self._now()
        splits_2m = now["level2_splits"] - boot["level2_splits"] - now["level2_collapses"] + boot["level2_collapses"]
        splits_1g = now["level3_splits"] - boot["level3_splits"] - now["level3_collapses"] + boot["level3_collapses"]
        kib = {size: 4 * (now[f"pages_{size}"] - boot[f"pages_{size}"]) for size in ("4k", "2m", "1g")}
        assert kib["4k"] == 2048 * splits_2m
        assert kib["2m"] == 1048576 * splits_1g - 2048 * splits_2m
        assert kib["1g"] == -1048576 * splits_1g


def absent_pages(store: Store) -> int:
    """Pages whose entry of the direct map is not present, counted one by one."""
    return int((store.pages["flags"] & ABSENT != 0).sum())


def tables(direct_map: DirectMap) -> set[int]:
    """Frames of the tables that splits have taken and that are in use."""
    found = {int(pfn) for pfn in direct_map._giga_tables if pfn}
    return found | {
        int(direct_map.table(mega << 9, 2)) for mega in range(len(direct_map._mega)) if direct_map._mega_tables[mega]
    }
