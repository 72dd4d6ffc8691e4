"""The page allocator in the state that a snapshot describes; what the snapshot does not know is drawn at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.kernel.pages.allocator import ALLOC_DEFAULT
from models.kernel.pages.fallback import ALLOC_NOFRAGMENT
from models.kernel.pages.layout import (
    FREE,
    HIGHATOMIC,
    MAX_ORDER,
    MOVABLE,
    PER_CPU,
    RECLAIMABLE,
    UNMOVABLE,
    Store,
)
from models.kernel.pages.lists import buddy_list, per_cpu_list
from models.kernel.snapshot_lists import append_blocks, fill_lists
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
            _fill_per_cpu(store, number, zone, placement, snapshot.kernel_pages or 0, random)
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
    share = {UNMOVABLE: int(random.integers(most + 1))}
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
            append_blocks(store, int(per_cpu_list(store.handle, number, lists.cpu, migratetype)), pfns)
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
    # Exponential clocks: the order of drawing without replacement.
    order = np.argsort(random.exponential(size=len(pages)) / weights[block], kind="stable")
    drawn: NDArray[np.int64] = pages[order]
    return drawn
