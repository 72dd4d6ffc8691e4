"""The page allocator in the state that a snapshot describes; what the snapshot does not know is drawn at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.kernel.pages.allocator import ALLOC_DEFAULT
from models.kernel.pages.fallback import ALLOC_NOFRAGMENT
from models.kernel.pages.layout import (
    FREE,
    HIGHATOMIC,
    MAX_ORDER,
    MOVABLE,
    RECLAIMABLE,
    UNMOVABLE,
    Store,
)
from models.kernel.pages.lists import buddy_list
from models.kernel.snapshot_lists import append_blocks, fill_lists
from models.kernel.snapshot_per_cpu import fill_as_refilled, fill_unmarked
from models.kernel.snapshot_placement import Placement, place_blocks, read_pages
from models.kernel.watermarks import per_cpu_rules
from models.machine.snapshot import Snapshot, ZoneSnapshot

__all__ = ["snapshot_pages"]

_ZONE_KINDS = {"DMA": 0, "DMA32": 1, "Normal": 2, "Movable": 3, "Device": 4}


def snapshot_pages(snapshot: Snapshot, cpus: int, nodes: int, random: np.random.Generator) -> Store:
    """Build the allocator of a machine as its snapshot found it.

    Known: zones, marks, numbers of free blocks; where they lie, if /proc/kpageflags could be read; and the lists
    themselves, if the kernel's memory could. Drawn is what is not: positions, the order inside each list below the
    highest order, what per-CPU lists hold.

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
    settings["tuned_per_cpu"] = per_cpu_rules(snapshot.kernel.version)
    kinds = [_ZONE_KINDS[zone.name] for zone in zones]
    settings["highest_kind"] = max(kinds)
    mixed = 2 in kinds and len(set(kinds)) > 1
    settings["alloc_flags"] = ALLOC_DEFAULT | (ALLOC_NOFRAGMENT if mixed else 0)
    for number, zone in enumerate(zones):
        _set_zone(store, number, zone, kinds[number])
    known = None if snapshot.pages is None else read_pages(snapshot)
    if snapshot.lists is None:
        for number, zone in enumerate(zones):
            placement = (
                place_blocks(snapshot, zone, random) if known is None else known.within(zone.start_pfn, zone.end_pfn)
            )
            _fill_zone(store, number, placement, random)
            if known is None:
                fill_as_refilled(store, number, zone, placement, random)
            else:
                fill_unmarked(store, number, zone, placement, snapshot.kernel_pages or 0, random)
    else:
        if known is not None:
            count = min(len(known.types), len(store.block_types))
            store.block_types[:count] = known.types[:count] ^ MOVABLE
        fill_lists(store, snapshot.lists, {(zone.node, zone.name): number for number, zone in enumerate(zones)})
    for node in range(nodes):
        order = _zone_order(zones, kinds, node, nodes)
        store.zonelists[node, : len(order)] = order
    store.touched[:] = 1
    return store


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
        local["high_min"], local["high_max"] = 4, 4
        for lists in zone.pagesets:
            if lists.cpu == cpu:
                local["high"] = max(lists.high, lists.high_min or 0, 1)
                local["high_min"], local["high_max"] = lists.high_min or 0, lists.high_max or 0
                local["batch"], local["stat_threshold"] = lists.batch, lists.stat_threshold


def _fill_zone(store: Store, number: int, placement: Placement, random: np.random.Generator) -> None:
    """Put the free blocks on their lists: the highest order in ascending order, the others shuffled.

    What the kernel counts is what the lists hold; the snapshot's own count is of another moment.
    """
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
            append_blocks(store, int(buddy_list(number, order, migratetype)), pfns)
    free = int((np.int64(1) << placement.orders).sum())
    store.zones[number]["free_pages"] = free
    store.config[0]["free_pages"] += free
