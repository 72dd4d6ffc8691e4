"""The page allocator in the state that a snapshot describes; what the snapshot does not know is drawn at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.kernel.pages.allocator import ALLOC_DEFAULT, free_pages
from models.kernel.pages.fallback import ALLOC_NOFRAGMENT
from models.kernel.pages.layout import (
    FREE,
    HIGHATOMIC,
    MAX_ORDER,
    MOVABLE,
    PER_CPU,
    RECLAIMABLE,
    UNMOVABLE,
    USED,
    Store,
)
from models.kernel.pages.lists import add_tail, buddy_list, per_cpu_list
from models.kernel.snapshot_placement import Placement, place_blocks, read_pages
from models.machine.page_runs import decode_pages
from models.machine.snapshot import Snapshot, ZoneSnapshot

__all__ = ["snapshot_pages"]

_ZONE_KINDS = {"DMA": 0, "DMA32": 1, "Normal": 2, "Movable": 3, "Device": 4}


def snapshot_pages(snapshot: Snapshot, cpus: int, nodes: int, random: np.random.Generator) -> Store:
    """Build the allocator of a machine as its snapshot found it.

    Known: zones, marks, numbers of free blocks, and, where /proc/kpageflags could be read, where they lie. Drawn: the
    order inside each list below the highest order, what per-CPU lists hold, and all positions where none are known.
    Pages that were given back after the reading go through the allocator, and so to the heads of its lists.

    Args:
        snapshot: has zones and free blocks.
        cpus: CPUs of the machine.
        nodes: its NUMA nodes.
        random: the stream ``host.placement``.
    """
    zones = [zone for zone in snapshot.zones if zone.name in _ZONE_KINDS]
    end_pfn = max(zone.end_pfn for zone in zones)
    huge = snapshot.kernel.transparent_hugepage != "unsupported"
    store = Store(end_pfn, len(zones), cpus, nodes, snapshot.pageblock_order, huge_lists=huge)
    settings = store.config[0]
    settings["watermark_boost_factor"] = 15000
    kinds = [_ZONE_KINDS[zone.name] for zone in zones]
    settings["highest_kind"] = max(kinds)
    mixed = 2 in kinds and len(set(kinds)) > 1
    settings["alloc_flags"] = ALLOC_DEFAULT | (ALLOC_NOFRAGMENT if mixed else 0)
    known = None if snapshot.pages is None else read_pages(snapshot)
    for number, zone in enumerate(zones):
        _set_zone(store, number, zone, kinds[number])
        placement = (
            place_blocks(snapshot, zone, random) if known is None else known.within(zone.start_pfn, zone.end_pfn)
        )
        _fill_zone(store, number, zone, placement, random)
        _fill_per_cpu(store, number, zone, placement, snapshot.kernel_pages or 0, random)
        # What the kernel counts is what the lists hold; the snapshot's own count is of another moment.
        free = int((np.int64(1) << placement.orders).sum())
        store.zones[number]["free_pages"] = free
        settings["free_pages"] += free
    for node in range(nodes):
        order = _zone_order(zones, kinds, node, nodes)
        store.zonelists[node, : len(order)] = order
    _give_back(store, snapshot, random)
    store.touched[:] = 1
    return store


def _give_back(store: Store, snapshot: Snapshot, random: np.random.Generator) -> None:
    """Let the allocator take back what was held while the machine was read.

    How many of these pages others take before the run does is drawn. Where they came back on several CPUs, so that
    tasks will take turns with them, their order is drawn too.
    """
    page = store.pages
    lists = () if snapshot.pages is None else snapshot.pages.given_back
    for cpu, text in lists:
        pfns = decode_pages(text)
        if len(lists) > 1:
            random.shuffle(pfns)
        taken = int(random.integers(min(_OTHERS_PAGES, len(pfns) // 4) + 1))
        for pfn in pfns[: len(pfns) - taken].tolist():
            page["state"][pfn], page["order"][pfn] = USED, 0
            free_pages(store.handle, min(cpu, store.per_cpu.shape[1] - 1), pfn, 0)


_OTHERS_PAGES = 256
"""Kernel pages that a process takes when it starts, and some."""


def _zone_order(zones: Sequence[ZoneSnapshot], kinds: Sequence[int], node: int, nodes: int) -> list[int]:
    return sorted(range(len(zones)), key=lambda number: ((zones[number].node - node) % nodes, -kinds[number]))


def _set_zone(store: Store, number: int, zone: ZoneSnapshot, kind: int) -> None:
    record = store.zones[number]
    record["node"], record["kind"], record["managed"] = zone.node, kind, zone.managed
    record["start_pfn"], record["end_pfn"] = zone.start_pfn, zone.end_pfn
    record["wmark"] = (zone.min, zone.low, zone.high)
    reserve = zone.protection[:5]
    record["lowmem_reserve"][: len(reserve)] = reserve
    for cpu in range(store.per_cpu.shape[1]):
        local = store.per_cpu[number, cpu]
        local["batch"], local["high"], local["stat_threshold"] = 1, 4, 0
        for lists in zone.pagesets:
            if lists.cpu == cpu:
                # From 6.7 on the mark tunes itself between high_min and high_max: it stays as found.
                local["high"] = max(lists.high, lists.high_min or 0, 1)
                local["batch"], local["stat_threshold"] = lists.batch, lists.stat_threshold


def _fill_zone(
    store: Store, number: int, zone: ZoneSnapshot, placement: Placement, random: np.random.Generator
) -> None:
    """Put the free blocks on their lists: the highest order in ascending order, the others shuffled."""
    shift = int(store.config[0]["pageblock_order"])
    first, types = placement.first_block, placement.types
    store.block_types[first : first + len(types)] = types ^ MOVABLE
    listed = types[(placement.pfns >> shift) - first] if len(placement.pfns) else np.zeros(0, np.uint8)
    page = store.pages
    page["state"][placement.pfns], page["order"][placement.pfns] = FREE, placement.orders
    page["migratetype"][placement.pfns] = listed
    reserved = int((types == HIGHATOMIC).sum())
    store.zones[number]["reserved_highatomic"] = reserved << shift
    for order in range(MAX_ORDER):
        for migratetype in (UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC):
            pfns = placement.pfns[(placement.orders == order) & (listed == migratetype)]
            if order < MAX_ORDER - 1:
                random.shuffle(pfns)
            _append(store, int(buddy_list(number, order, migratetype)), pfns)


def _fill_per_cpu(
    store: Store, number: int, zone: ZoneSnapshot, placement: Placement, kernel_pages: int, random: np.random.Generator
) -> None:
    """Draw what the per-CPU lists hold: their lengths are known, which pages and of which type is not.

    Candidates are the pages of a type's pageblocks that carry no mark. Of the unmarked ones in unmovable blocks, as
    many as vmalloc and per-CPU data take are the kernel's own; how many of the rest are on the lists is drawn.
    """
    shift = int(store.config[0]["pageblock_order"])
    wanted = sum(lists.count for lists in zone.pagesets if lists.cpu < store.per_cpu.shape[1])
    if wanted == 0 or len(placement.spare) == 0:
        return
    types = placement.types[(placement.spare >> shift) - placement.first_block]
    spare = {kind: _drawn(placement, types == kind, random) for kind in (UNMOVABLE, MOVABLE, RECLAIMABLE)}
    batch = max(lists.batch for lists in zone.pagesets)
    unmovable = len(spare[UNMOVABLE])
    most = min(wanted, unmovable, max(unmovable - kernel_pages, 4 * batch * len(zone.pagesets)))
    recent = int(np.isin(spare[UNMOVABLE], placement.recent).sum())
    share = {UNMOVABLE: int(random.integers(min(recent, most), most + 1))}
    share[MOVABLE] = min(len(spare[MOVABLE]), wanted - share[UNMOVABLE])
    share[RECLAIMABLE] = min(len(spare[RECLAIMABLE]), wanted - share[UNMOVABLE] - share[MOVABLE], 2 * batch)
    cpus = [lists.cpu for lists in zone.pagesets]
    counts = np.array([lists.count for lists in zone.pagesets], float)
    for migratetype, number_of in share.items():
        owner = random.choice(cpus, len(spare[migratetype]), p=counts / counts.sum())
        for lists in zone.pagesets:
            if lists.cpu >= store.per_cpu.shape[1]:
                continue
            pfns = spare[migratetype][:number_of][owner[:number_of] == lists.cpu]
            _append(store, int(per_cpu_list(store.handle, number, lists.cpu, migratetype)), pfns)
            store.pages["state"][pfns], store.pages["order"][pfns] = PER_CPU, 0
            store.pages["migratetype"][pfns] = migratetype
            store.per_cpu[number, lists.cpu]["count"] += len(pfns)
            store.config[0]["per_cpu_pages"] += len(pfns)


def _drawn(placement: Placement, mask: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.int64]:
    """Return candidates in the order in which they are drawn.

    The likelier the more free pages and page tables lie in their pageblock: pages come and go there. A block with
    hardly any besides its unmarked pages holds something of the kernel's own, such as vmalloc memory.
    """
    pages = placement.spare[mask]
    if not len(pages):
        return pages
    shift, first, blocks = placement.shift, placement.first_block, len(placement.types)
    block = (pages >> shift) - first
    unmarked = np.bincount(block, minlength=blocks)
    tables = np.bincount((placement.tables >> shift) - first, minlength=blocks)
    free = np.zeros(blocks, np.int64)
    np.add.at(free, (placement.pfns >> shift) - first, np.minimum(1 << placement.orders, 1 << shift))
    weights = np.square((free + tables) / np.maximum(1, free + tables + unmarked))
    if not weights[block].any():
        return np.asarray(random.permutation(pages))
    pages, block = pages[weights[block] > 0], block[weights[block] > 0]
    # Exponential clocks: the order of drawing without replacement. What was freed last lies at the head.
    clocks = random.exponential(size=len(pages)) / weights[block]
    clocks[np.isin(pages, placement.recent)] -= 1e12
    order = np.argsort(clocks, kind="stable")
    drawn: NDArray[np.int64] = pages[order]
    return drawn


def _append(store: Store, index: int, pfns: NDArray[np.int64]) -> None:
    for pfn in pfns.tolist():
        add_tail(store.handle, index, pfn)
