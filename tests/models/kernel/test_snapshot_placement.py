"""Where a snapshot's free blocks are put when nothing but their numbers is known."""

import numpy as np
import pytest

from models.host.snapshot import take_snapshot
from models.kernel.pages.layout import MOVABLE
from models.kernel.snapshot_placement import place_blocks
from tests.models.host.proc_machines import sources


@pytest.mark.parametrize("machine", ["zen5_guest_24g", "arm64_6_6", "container_6_8"])
def test_blocks_are_as_many_as_counted_and_lie_apart(machine: str) -> None:
    """No page is free twice, no two buddies are left that the allocator would have merged, all lie in the zone."""
    snapshot = take_snapshot(sources(machine))
    for zone in snapshot.zones:
        placed = place_blocks(snapshot, zone, np.random.default_rng(3))
        counted = np.zeros(11, np.int64)
        for line in snapshot.free_blocks:
            if (line.node, line.zone) == (zone.node, zone.name):
                counted += np.array(line.blocks)
        found = np.bincount(placed.orders, minlength=11)
        pages = int(found @ (1 << np.arange(11)))
        assert abs(pages - int(counted @ (1 << np.arange(11)))) <= max(1024, pages // 50)
        ends = placed.pfns + (1 << placed.orders)
        assert (placed.pfns[1:] >= ends[:-1]).all()
        assert (placed.pfns % (1 << placed.orders) == 0).all()
        assert placed.pfns[0] >= zone.start_pfn - (zone.start_pfn % 512)
        assert ends[-1] <= zone.end_pfn
        blocks = set(zip(placed.pfns.tolist(), placed.orders.tolist(), strict=True))
        assert not any((pfn ^ (1 << order), order) in blocks for pfn, order in blocks if order < 9)
        assert not np.isin(placed.spare, placed.pfns).any()


def test_small_blocks_of_kernel_memory_lie_in_kernel_pageblocks() -> None:
    """Mobility grouping is what bounds the splits: an unmovable block in a movable pageblock would undo it."""
    snapshot = take_snapshot(sources("zen5_guest_24g"))
    zone = next(zone for zone in snapshot.zones if zone.name == "Normal")
    placed = place_blocks(snapshot, zone, np.random.default_rng(4))
    kinds = placed.types[(placed.pfns >> placed.shift) - placed.first_block]
    for line in snapshot.free_blocks:
        if line.zone == "Normal" and line.type == "Movable":
            assert abs(int(((kinds == MOVABLE) & (placed.orders == 0)).sum()) - line.blocks[0]) == 0
