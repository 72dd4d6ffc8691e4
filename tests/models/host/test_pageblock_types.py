"""Pageblock types, inferred from what lies in the blocks and fitted to the counts."""

import numpy as np
from numpy.typing import NDArray

from models.host.page_flags import BUDDY, PGTABLE, evidence
from models.host.pageblock_types import fit_types

BLOCK = 512


def _machine() -> tuple[NDArray[np.uint64], list[str]]:
    """Twelve pageblocks: kernel memory, file caches, user memory, and one whole free block."""
    random = np.random.default_rng(7)
    flags = np.zeros(12 * BLOCK, np.uint64)
    kinds = ["Unmovable"] * 3 + ["Reclaimable"] * 2 + ["Movable"] * 7
    for block, kind in enumerate(kinds):
        part = flags[block * BLOCK : (block + 1) * BLOCK]
        part[:] = {"Unmovable": 1 << PGTABLE, "Reclaimable": 1 << 7, "Movable": 1 << 5}[kind]
        if kind == "Unmovable":
            part[random.permutation(BLOCK)[:60]] = 0
        part[random.permutation(BLOCK)[: 20 + 7 * block]] = 1 << BUDDY
    flags[-BLOCK:] = 1 << BUDDY
    return flags, kinds


def test_types_are_found_from_what_lies_in_the_blocks() -> None:
    """With true counts, every block gets its type and no free block is left over."""
    flags, kinds = _machine()
    seen = evidence(flags, BLOCK)
    free = {
        kind: sum((seen.free[block] for block, its in enumerate(kinds) if its == kind), np.zeros(11, np.int64))
        for kind in set(kinds)
    }
    types, misfit = fit_types(seen, 0, 12, {"Unmovable": 3, "Reclaimable": 2}, free)
    assert types == kinds
    assert misfit == 0


def test_a_wrong_first_guess_is_mended_by_the_counts() -> None:
    """A kernel block that looks like user memory is found, since only with it the free blocks add up."""
    flags, kinds = _machine()
    flags[:BLOCK][flags[:BLOCK] == np.uint64(1 << PGTABLE)] = 1 << 7  # slab pages only, as reclaimable blocks have
    seen = evidence(flags, BLOCK)
    free = {
        kind: sum((seen.free[block] for block, its in enumerate(kinds) if its == kind), np.zeros(11, np.int64))
        for kind in set(kinds)
    }
    types, misfit = fit_types(seen, 0, 12, {"Unmovable": 3, "Reclaimable": 2}, free)
    assert types == kinds
    assert misfit == 0
