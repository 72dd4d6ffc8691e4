"""The page allocator's lists as a snapshot read them from the kernel's memory: every block in its place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.kernel.pages.layout import FREE, HIGHATOMIC, MOVABLE, NONE, PER_CPU, UNMOVABLE, USED, Store
from models.kernel.pages.lists import add_tail, buddy_list, per_cpu_list, remove
from models.kernel.pages.percpu import list_index
from models.kernel.snapshot_placement import MIGRATETYPES
from models.machine.page_runs import decode_pages
from models.machine.snapshot import ListSnapshot

__all__ = ["append_blocks", "fill_lists", "let_others_take"]


def fill_lists(store: Store, lists: ListSnapshot, numbers: Mapping[tuple[int, str], int]) -> None:
    """Put every block on its list, and give the pageblocks of free blocks their type.

    Args:
        store: its lists are empty.
        lists: of the machine.
        numbers: number of each zone by its node and name; others are left out.
    """
    page, shift = store.pages, int(store.config[0]["pageblock_order"])
    for buddy in lists.buddy:
        number = numbers.get((buddy.node, buddy.zone))
        if number is None:
            continue
        pfns, migratetype = decode_pages(buddy.pfns), MIGRATETYPES[buddy.type]
        append_blocks(store, int(buddy_list(number, buddy.order, migratetype)), pfns)
        page["state"][pfns], page["order"][pfns], page["migratetype"][pfns] = FREE, buddy.order, migratetype
        blocks = (pfns >> shift)[:, None] + np.arange(max(1, 1 << buddy.order >> shift))
        store.block_types[blocks.ravel()] = migratetype ^ MOVABLE
        store.zones[number]["free_pages"] += len(pfns) << buddy.order
        store.config[0]["free_pages"] += len(pfns) << buddy.order
    for listed in lists.per_cpu:
        number = numbers.get((listed.node, listed.zone))
        if number is None or listed.cpu >= store.per_cpu.shape[1]:
            continue
        pfns = decode_pages(listed.pfns)
        index = int(list_index(listed.order, MIGRATETYPES[listed.type]))
        append_blocks(store, int(per_cpu_list(store.handle, number, listed.cpu, index)), pfns)
        page["state"][pfns], page["order"][pfns] = PER_CPU, listed.order
        page["migratetype"][pfns] = MIGRATETYPES[listed.type]
        store.per_cpu[number, listed.cpu]["count"] += len(pfns) << listed.order
        store.config[0]["per_cpu_pages"] += len(pfns) << listed.order
    for number in numbers.values():
        zone = store.zones[number]
        types = store.block_types[int(zone["start_pfn"]) >> shift : int(zone["end_pfn"]) >> shift]
        zone["reserved_highatomic"] = int((types == HIGHATOMIC ^ MOVABLE).sum()) << shift


def let_others_take(store: Store, random: np.random.Generator) -> None:
    """Take kernel pages off the CPUs' lists for other processes: some before the run begins, some beside it.

    How many is not known, and drawn: up to `_BEFORE_PAGES` of each list, and up to `_BESIDE_SHARE` of what follows.
    """
    for number in range(len(store.zones)):
        for cpu in range(store.per_cpu.shape[1]):
            listed = int(per_cpu_list(store.handle, number, cpu, UNMOVABLE))
            pfns = _list_pfns(store, listed)
            before = int(random.integers(_BEFORE_PAGES + 1))
            beside = random.random(len(pfns)) < random.uniform(0.0, _BESIDE_SHARE)
            beside[:before] = True
            for pfn in pfns[beside].tolist():
                remove(store.handle, listed, pfn)
            store.pages["state"][pfns[beside]] = USED
            store.per_cpu[number, cpu]["count"] -= int(beside.sum())
            store.config[0]["per_cpu_pages"] -= int(beside.sum())


_BEFORE_PAGES = 32
_BESIDE_SHARE = 0.1


def _list_pfns(store: Store, index: int) -> NDArray[np.int64]:
    pfns, pfn = [], int(store.lists[index]["head"])
    while pfn != NONE:
        pfns.append(pfn)
        pfn = int(store.pages["next"][pfn])
    return np.array(pfns, np.int64)


def append_blocks(store: Store, index: int, pfns: NDArray[np.int64]) -> None:
    """Put blocks at the tail of a list, in their order."""
    for pfn in pfns.tolist():
        add_tail(store.handle, index, pfn)
