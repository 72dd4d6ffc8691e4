"""Where free pages lie, from `/proc/kpageflags`, and what lies in each pageblock."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.machine.page_runs import MAX_ORDER, cut_blocks, runs_of

__all__ = ["BUDDY", "PGTABLE", "BlockEvidence", "evidence", "marked", "unmarked_pages"]

# Bits of /proc/kpageflags [include/uapi/linux/kernel-page-flags.h].
LRU: Final = 5
SLAB: Final = 7
BUDDY: Final = 10
ANON: Final = 12
PGTABLE: Final = 26


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
    """Count what lies in each pageblock of a machine whose page frames start at 0.

    Args:
        flags: of every page frame.
        block_pages: pages of a pageblock.
    """
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
