"""What is asked for to scatter free kernel memory."""

import numpy as np

from models.host.page_flags import BUDDY
from models.host.scatter import free_split_regions, scatter_request


def test_only_regions_that_are_free_as_a_whole_are_taken_again() -> None:
    """One page in use, and the allocator does not hand the region out as a whole; beyond the end there is none."""
    flags = np.full(4 * 512, 1 << BUDDY, np.uint64)
    flags[512 + 7] = 0
    assert free_split_regions(bytearray(flags.tobytes()), (0, 512, 1536, 2048)) == 2
    assert free_split_regions(bytearray(), (0,)) == 0


def test_leftovers_are_bounded() -> None:
    """However many there are: the machine is not filled with page tables."""
    request = scatter_request(4, 100, 1, cpus=(0,), split_regions=1 << 20)
    assert request["leftovers"] <= 1 << 18
    assert request["cpus"] == [0]
