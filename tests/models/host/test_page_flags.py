"""Free blocks and pageblock types from page flags."""

import numpy as np
from numpy.typing import NDArray

from models.host.page_flags import BUDDY, PGTABLE, evidence, fit_types, unmarked_pages
from models.machine.page_runs import cut_blocks, decode_runs, encode_runs, runs_of

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


def test_runs_survive_being_written() -> None:
    """The file's text must give the same frames back."""
    mask = np.random.default_rng(1).random(5000) < 0.3
    runs = runs_of(mask)
    assert np.array_equal(decode_runs(encode_runs(runs)), runs)
    assert decode_runs(encode_runs(runs[:0])).shape == (0, 2)


def test_runs_are_cut_as_the_buddy_allocator_would() -> None:
    """Blocks are aligned, cover the run exactly, and no two buddies are left that would have merged."""
    pfns, orders = cut_blocks(np.array([[1, 4000], [5000, 5001], [8192, 12288 + 3]]))
    assert int((1 << orders).sum()) == 3999 + 1 + 4099
    assert (pfns % (1 << orders) == 0).all()
    blocks = set(zip(pfns.tolist(), orders.tolist(), strict=True))
    assert not any((pfn ^ (1 << order), order) in blocks for pfn, order in blocks if order < 10)


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


def test_whole_blocks_without_marks_are_no_candidates() -> None:
    """Memory that the allocator has not been given yet shows no flags at all."""
    flags = np.zeros(3 * BLOCK, np.uint64)
    flags[5] = 1 << 7
    assert int(unmarked_pages(flags, BLOCK).sum()) == BLOCK - 1
