"""Free blocks from page flags."""

import numpy as np

from models.host.page_flags import unmarked_pages
from models.machine.page_runs import cut_blocks, decode_pages, decode_runs, encode_pages, encode_runs, runs_of

BLOCK = 512


def test_runs_survive_being_written() -> None:
    """The file's text must give the same frames back."""
    mask = np.random.default_rng(1).random(5000) < 0.3
    runs = runs_of(mask)
    assert np.array_equal(decode_runs(encode_runs(runs)), runs)
    assert decode_runs(encode_runs(runs[:0])).shape == (0, 2)


def test_pages_survive_in_their_order() -> None:
    """What was given back last comes first again: the order is what matters."""
    pfns = np.array([700, 3, 70_000_000])
    assert np.array_equal(decode_pages(encode_pages(pfns)), pfns)
    assert len(decode_pages(encode_pages(pfns[:0]))) == 0


def test_runs_are_cut_as_the_buddy_allocator_would() -> None:
    """Blocks are aligned, cover the run exactly, and no two buddies are left that would have merged."""
    pfns, orders = cut_blocks(np.array([[1, 4000], [5000, 5001], [8192, 12288 + 3]]))
    assert int((1 << orders).sum()) == 3999 + 1 + 4099
    assert (pfns % (1 << orders) == 0).all()
    blocks = set(zip(pfns.tolist(), orders.tolist(), strict=True))
    assert not any((pfn ^ (1 << order), order) in blocks for pfn, order in blocks if order < 10)


def test_whole_blocks_without_marks_are_no_candidates() -> None:
    """Memory that the allocator has not been given yet shows no flags at all."""
    flags = np.zeros(3 * BLOCK, np.uint64)
    flags[5] = 1 << 7
    assert int(unmarked_pages(flags, BLOCK).sum()) == BLOCK - 1
