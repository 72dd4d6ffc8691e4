"""What per-CPU lists hold when a snapshot tells their lengths, and which pages could be on them at most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.kernel.pages.layout import COSTLY_ORDER, MOVABLE, PER_CPU, RECLAIMABLE, UNMOVABLE, Store
from models.kernel.pages.lists import per_cpu_list
from models.kernel.pages.percpu import list_index
from models.kernel.snapshot_lists import append_blocks
from models.kernel.snapshot_placement import Placement
from models.machine.snapshot import ZoneSnapshot

__all__ = ["fill_as_refilled", "fill_unmarked"]

#: Lists that any kernel takes from: slabs come in all these orders, what is movable in single pages.
_IN_USE = (
    *((migratetype, order) for order in range(COSTLY_ORDER, -1, -1) for migratetype in (UNMOVABLE, RECLAIMABLE)),
    (MOVABLE, 0),
)


def fill_as_refilled(
    store: Store, number: int, zone: ZoneSnapshot, placement: Placement, random: np.random.Generator
) -> None:
    """Draw what the per-CPU lists hold where nothing but their lengths is known.

    A list that is in use holds from nothing to what a refill brings, `max(batch >> order, 2)` blocks [6.1:
    __rmqueue_pcplist]. What is left of the length was freed without being taken again, by the boot or since, as single
    pages; which share of it is unmovable is drawn too.

    Args:
        store: whose free blocks are placed.
        number: of the zone in the store.
        zone: the same zone, as the snapshot has it.
        placement: of its free blocks; of its spare pages some get onto lists.
        random: the stream ``host.placement``.
    """
    types = placement.types[(placement.spare >> placement.shift) - placement.first_block]
    room = {kind: placement.spare[types == kind] for kind in (UNMOVABLE, MOVABLE, RECLAIMABLE)}
    for lists in zone.pagesets:
        if lists.cpu >= store.per_cpu.shape[1]:
            continue
        left = lists.count

        def put(migratetype: int, order: int, blocks: int, cpu: int = lists.cpu) -> int:
            pfns, room[migratetype] = _cut(room[migratetype], order, blocks, random)
            _append(store, number, cpu, migratetype, order, pfns)
            return len(pfns) << order

        for migratetype, order in _IN_USE:
            blocks = int(random.integers(max(lists.batch >> order, 2) + 1))
            left -= put(migratetype, order, min(blocks, left >> order))
        left -= put(UNMOVABLE, 0, int(random.integers(left + 1)))
        put(MOVABLE, 0, left)


def _cut(
    room: NDArray[np.int64], order: int, count: int, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw up to ``count`` whole blocks from ascending pages; return their first pages, and the pages left."""
    size = 1 << order
    first = np.flatnonzero(room[: max(0, len(room) - size + 1)] % size == 0)
    whole = first[room[first + size - 1] - room[first] == size - 1]
    drawn = random.permutation(whole)[:count]
    return room[drawn], np.delete(room, drawn[:, None] + np.arange(size))


def fill_unmarked(
    store: Store, number: int, zone: ZoneSnapshot, placement: Placement, kernel_pages: int, random: np.random.Generator
) -> None:
    """Draw what the per-CPU lists hold: their lengths are known, which pages and of which type is not.

    Candidates are the pages of a type's pageblocks that carry no mark. Of the unmarked ones in unmovable blocks, as
    many as vmalloc and per-CPU data take are the kernel's own; how many of the rest are on the lists is drawn.

    Args:
        store, number, zone, placement, random: see `fill_as_refilled`.
        kernel_pages: pages of vmalloc and per-CPU data.
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
            _append(store, number, lists.cpu, migratetype, 0, pfns)


def _append(
    store: Store, number: int, cpu: int, migratetype: int, order: int, pfns: NDArray[np.int64]
) -> None:
    append_blocks(store, int(per_cpu_list(store.handle, number, cpu, int(list_index(order, migratetype)))), pfns)
    store.pages["state"][pfns], store.pages["order"][pfns] = PER_CPU, order
    store.pages["migratetype"][pfns] = migratetype
    store.per_cpu[number, cpu]["count"] += len(pfns) << order
    store.config[0]["per_cpu_pages"] += len(pfns) << order


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
