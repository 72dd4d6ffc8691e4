"""Where free pages lie, from `/proc/kpageflags`, and which type each pageblock probably has.

The kernel tells free blocks by type only as counts (`/proc/pagetypeinfo`); the type of a pageblock is inferred from
what lies in it, and then fitted to those counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.machine.page_runs import MAX_ORDER, cut_blocks, runs_of

__all__ = ["BUDDY", "PGTABLE", "BlockEvidence", "evidence", "fit_types", "marked", "unmarked_pages"]

# Bits of /proc/kpageflags [include/uapi/linux/kernel-page-flags.h].
LRU: Final = 5
SLAB: Final = 7
BUDDY: Final = 10
ANON: Final = 12
PGTABLE: Final = 26
_NAMES: Final = ("Movable", "Unmovable", "Reclaimable")
_ROUNDS: Final = 4000


class BlockEvidence(NamedTuple):
    """What lies in each pageblock, pages; and its free blocks by order, shape (blocks, 11)."""

    lru: NDArray[np.int64]
    slab: NDArray[np.int64]
    tables: NDArray[np.int64]
    unmarked: NDArray[np.int64]
    free: NDArray[np.int64]


def marked(flags: NDArray[np.uint64], bit: int) -> NDArray[np.bool_]:
    """Return which pages have a flag."""
    found: NDArray[np.bool_] = (flags >> np.uint64(bit) & np.uint64(1)).astype(bool)
    return found


def unmarked_pages(flags: NDArray[np.uint64], block_pages: int) -> NDArray[np.bool_]:
    """Return which pages have no flag at all, without whole pageblocks of them.

    Such a page is on a per-CPU list, or the kernel took it for itself (stacks, vmalloc, per-CPU data). Whole blocks
    of them are memory that the allocator has not been given yet, huge pages on per-CPU lists, or large kernel buffers.
    """
    unmarked: NDArray[np.bool_] = flags == 0
    whole = len(flags) // block_pages * block_pages
    blocks = unmarked[:whole].reshape(-1, block_pages)
    blocks[blocks.all(axis=1)] = False
    return unmarked


def evidence(flags: NDArray[np.uint64], block_pages: int) -> BlockEvidence:
    """Count what lies in each pageblock of a machine whose page frames start at 0."""
    whole = -(-len(flags) // block_pages) * block_pages
    padded = np.zeros(whole, np.uint64)
    padded[: len(flags)] = flags

    def per_block(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        counted: NDArray[np.int64] = mask.reshape(-1, block_pages).sum(axis=1).astype(np.int64)
        return counted

    slab = marked(padded, SLAB)
    lru = (marked(padded, LRU) | marked(padded, ANON)) & ~slab
    pfns, orders = cut_blocks(runs_of(marked(padded, BUDDY)))
    blocks = whole // block_pages
    free = np.zeros((blocks, MAX_ORDER + 1), np.int64)
    np.add.at(free, (pfns // block_pages, orders), 1)
    tables, unmarked = marked(padded, PGTABLE), unmarked_pages(padded, block_pages)
    return BlockEvidence(per_block(lru), per_block(slab), per_block(tables), per_block(unmarked), free)


def fit_types(
    seen: BlockEvidence, first: int, end: int, blocks: Mapping[str, int], free: Mapping[str, NDArray[np.int64]]
) -> tuple[list[str], int]:
    """Give each pageblock of a zone a type, so that the types' numbers and free blocks come out as counted.

    A first choice goes by what lies in a block: page tables and unmarked pages speak for UNMOVABLE, slab pages alone
    for RECLAIMABLE, user and file pages for MOVABLE. Swaps of two blocks then bring the free blocks of each type
    nearer to the counts.

    Args:
        seen: of all pageblocks.
        first: the zone's first pageblock.
        end: one past its last.
        blocks: number of pageblocks by type, from /proc/pagetypeinfo.
        free: free blocks by type, each int64[11].

    Returns:
        Type of each block, and how many free blocks that are not movable fit no count.
    """
    count = end - first
    lru, slab, tables, unmarked = (part[first:end] for part in seen[:4])
    have = seen.free[first:end, :10]  # a block of order 10 covers two pageblocks, and is movable almost always
    used = lru + slab + tables + unmarked
    unmovable = 8 * tables + unmarked + 0.2 * slab - 0.5 * lru
    reclaimable = slab - 4.0 * tables - unmarked - lru
    types = np.zeros(count, np.int64)
    for number, score in ((1, unmovable), (2, reclaimable)):
        eligible = np.flatnonzero((types == 0) & (used > 0))
        wanted = min(blocks.get(_NAMES[number], 0), len(eligible))
        types[eligible[np.argsort(-score[eligible], kind="stable")[:wanted]]] = number
    target = np.array([free.get(name, np.zeros(11, np.int64))[:10] for name in _NAMES])
    pages = 1 << np.arange(10)
    types = _swap(types, have, target, pages.astype(np.float64), np.stack([np.zeros(count), unmovable, reclaimable]))
    wrong = sum(int(np.abs(have[types == number].sum(axis=0) - target[number]).sum()) for number in (1, 2))
    return [_NAMES[number] for number in types.tolist()], wrong // 2


def _swap(
    types: NDArray[np.int64],
    have: NDArray[np.int64],
    target: NDArray[np.int64],
    pages: NDArray[np.float64],
    score: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Swap the types of two blocks as long as free pages of the wrong type become fewer, likelier swaps first."""
    types = types.copy()
    movable_like = np.argsort(-np.maximum(score[1], score[2]), kind="stable")[: 4 * int((types > 0).sum()) + 8]
    excess = np.array([have[types == number].sum(axis=0) for number in range(3)]) - target
    for _ in range(_ROUNDS):
        best, found = 0.0, None
        for a in (1, 2):
            inside = np.flatnonzero(types == a)
            outside = movable_like[types[movable_like] != a]
            if not len(inside) or not len(outside):
                continue
            delta = have[outside][None, :, :] - have[inside][:, None, :]
            after_a = np.abs(excess[a] + delta) @ pages
            others = types[outside]
            # Movable blocks do not count: user memory comes and goes between two readings.
            counts = others > 0
            after_b = np.abs(excess[others][None, :, :] - delta) @ pages * counts
            before = np.abs(excess[a]) @ pages + np.abs(excess[others]) @ pages * counts
            gain = before[None, :] - after_a - after_b
            # What lies in a block still counts: a page of misfit for each five pages of evidence.
            against = score[a][inside][:, None] - score[a][outside][None, :]
            gain = gain - np.maximum(against, 0) * 0.2
            at = np.unravel_index(int(np.argmax(gain)), gain.shape)
            if gain[at] > best + 1e-9:
                best, found = float(gain[at]), (int(inside[at[0]]), int(outside[at[1]]), a)
        if found is None:
            return types
        one, other, a = found
        b = int(types[other])
        moved = have[other] - have[one]
        excess[a] += moved
        excess[b] -= moved
        types[one], types[other] = b, a
    return types
