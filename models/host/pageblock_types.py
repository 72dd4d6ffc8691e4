"""Which type each pageblock probably has.

The kernel tells free blocks by type only as counts (`/proc/pagetypeinfo`); the type of a pageblock is inferred from
what lies in it, and then fitted to those counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.host.page_flags import BlockEvidence
from simcore.compiled import jit

__all__ = ["fit_types"]

_NAMES: Final = ("Movable", "Unmovable", "Reclaimable")
_SWEEPS: Final = 12
_EVIDENCE_PAGES: Final = 0.2
"""Pages of misfit that outweigh a page of evidence: one for each five."""


def fit_types(
    seen: BlockEvidence, first: int, end: int, blocks: Mapping[str, int], free: Mapping[str, NDArray[np.int64]]
) -> tuple[list[str], int]:
    """Give each pageblock of a zone a type, so that the types' numbers and free blocks come out as counted.

    A first choice goes by what lies in a block: page tables and unmarked pages speak for UNMOVABLE, slab pages
    alone for RECLAIMABLE, user and file pages for MOVABLE. Swaps of two blocks then bring the free blocks of each type
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
    _swap(types, have, target, np.stack([np.zeros(count), unmovable, reclaimable]))
    wrong = sum(int(np.abs(have[types == number].sum(axis=0) - target[number]).sum()) for number in (1, 2))
    return [_NAMES[number] for number in types.tolist()], wrong // 2


def _swap(
    types: NDArray[np.int64], have: NDArray[np.int64], target: NDArray[np.int64], score: NDArray[np.float64]
) -> None:
    """Swap the types of two blocks as long as free pages of the wrong type become fewer.

    Each block that is not movable is offered all others, those with the least evidence for their type first, and takes
    the swap that gains most. Movable blocks' own fit does not count: user memory comes and goes between two readings.

    Args:
        types: int64[blocks], 0 movable, 1 unmovable, 2 reclaimable; changed.
        have: int64[blocks, 10], free blocks by order.
        target: int64[3, 10], free blocks of each type by order.
        score: float64[3, blocks], evidence for each type.
    """
    likely = np.argsort(-np.maximum(score[1], score[2]), kind="stable")[: 4 * int((types > 0).sum()) + 8]
    have = np.ascontiguousarray(have)
    excess = np.array([have[types == number].sum(axis=0) for number in range(3)]) - target
    for _ in range(_SWEEPS):
        inside = np.flatnonzero(types > 0)
        changed = False
        for one in inside[np.argsort(score[types[inside], inside], kind="stable")].tolist():
            other = int(_best_partner(one, likely, types, have, excess, score))
            if other < 0:
                continue
            a, b = int(types[one]), int(types[other])
            moved = have[other] - have[one]
            excess[a] += moved
            excess[b] -= moved
            types[one], types[other] = b, a
            changed = True
        if not changed:
            return


@jit
def _best_partner(
    one: int,
    candidates: NDArray[np.int64],
    types: NDArray[np.int64],
    have: NDArray[np.int64],
    excess: NDArray[np.int64],
    score: NDArray[np.float64],
) -> int:
    """Return the block of another type that block ``one`` should swap its type with, or -1."""
    a = types[one]
    best, found = 1e-9, -1
    for other in candidates:
        b = types[other]
        if b == a:
            continue
        gain = 0.0
        for order in range(have.shape[1]):
            moved = have[other, order] - have[one, order]
            gain += (abs(excess[a, order]) - abs(excess[a, order] + moved)) * (1 << order)
            if b > 0:
                gain += (abs(excess[b, order]) - abs(excess[b, order] - moved)) * (1 << order)
        gain -= _EVIDENCE_PAGES * max(score[a, one] - score[a, other], 0.0)
        if gain > best:
            best, found = gain, other
    return found
