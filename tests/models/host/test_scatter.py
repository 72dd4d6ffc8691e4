"""What is asked for to scatter free kernel memory."""

import numpy as np

from models.host.kernel_memory.free_lists import BuddyList
from models.host.scatter import free_split_regions, scatter_request


def test_only_regions_that_are_free_as_a_whole_are_taken_again() -> None:
    """Regions in use are not handed out as a whole, of free ones those at 2M are fresh, kernel memory is counted."""
    free = [
        BuddyList(0, "Normal", 10, "Movable", np.array([0, 4096])),
        BuddyList(0, "Normal", 9, "Movable", np.array([1536])),
        BuddyList(0, "Normal", 9, "Unmovable", np.array([3072])),
        BuddyList(0, "Normal", 8, "Movable", np.array([2048])),
    ]
    assert free_split_regions(free, [(0, 512, 1), (512, 1024, 2), (1536, 2048, 1), (3584, 8192, 3)]) == 2
    assert free_split_regions([], [(0, 512, 1)]) == 0


def test_leftovers_are_bounded() -> None:
    """However many there are: the machine is not filled with page tables."""
    request = scatter_request(4, 100, 1, cpus=(0,), split_regions=1 << 20)
    assert request["leftovers"] <= 1 << 18
    assert request["cpus"] == [0]
