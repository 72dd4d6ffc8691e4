"""What became of the direct map since it was last asked: nothing lost, nothing twice, nothing of the past."""

from __future__ import annotations

import numpy as np

from models.kernel.attributes import change_attributes
from models.kernel.direct_map import change_presence
from models.kernel.map_changes import stamp
from models.workloads.map_reader import MapReader, boot_sizes, present_sizes
from tests.models.kernel.machines import boot


def test_readers_see_each_change_once_and_each_at_its_own_pace() -> None:
    """Two readers; a split of 1G and 2M, then a hole: levels, times and holes as they happened."""
    kernel = boot({"memory": "4GiB", "cpus": 1}, {})
    direct_map, pfn = kernel.state.direct_map, (1 << 18) + 512 * 7
    early, late = MapReader(direct_map), MapReader(direct_map)
    change_attributes(kernel.handle, 0, 0, pfn, 1, 0, 0)
    assert list(early.new()) == []
    stamp(direct_map.handle, 100)
    first = list(early.new())
    assert [(c.time_ns, c.number, c.gigantic, c.size) for c in first if c.gigantic] == [(100, pfn >> 18, True, 1)]
    assert [(c.number, c.size, c.holed) for c in first if not c.gigantic] == [(pfn >> 9, 0, False)]
    change_presence(direct_map.handle, kernel.store.handle, pfn, 1, False)
    stamp(direct_map.handle, 200)
    (hole,) = early.new()
    assert (hole.time_ns, hole.number, hole.holed) == (200, pfn >> 9, True)
    assert list(late.new()) == [*first, hole]
    assert list(late.new()) == []
    assert list(MapReader(direct_map).new()) == []


def test_a_record_that_was_thinned_out_still_tells_every_regions_state() -> None:
    """More changes than the record holds: the reader ends with the state that the direct map is in."""
    kernel = boot({"memory": "256MiB", "cpus": 1}, {})
    direct_map = kernel.state.direct_map
    reader, sizes, holes = MapReader(direct_map), {}, {}
    steps = 260
    for step in range(steps):
        for region in range(8, 120):
            change_attributes(kernel.handle, 0, 0, region << 9, 1, 0, 0)
            for present in (False, True, step % 3 == 0) * 6:
                change_presence(direct_map.handle, kernel.store.handle, region << 9, 1, present)
                stamp(direct_map.handle, step * 1000 + region)
        if step % 40 == 39:
            for change in reader.new():
                sizes[change.number], holes[change.number] = change.size, change.holed
    for change in reader.new():
        sizes[change.number], holes[change.number] = change.size, change.holed
    assert direct_map.changes.bucket_ns > 1
    regions = np.array(sorted(sizes))
    assert len(regions) == 112
    assert [sizes[region] for region in regions] == present_sizes(direct_map, regions).tolist()
    assert all(holes[region] == ((steps - 1) % 3 != 0) for region in regions.tolist())


def test_the_boots_tiling_stays_known() -> None:
    """After splits the boot's sizes are still those before them."""
    kernel = boot({"memory": "4GiB", "cpus": 1}, {})
    direct_map, regions = kernel.state.direct_map, np.arange(0, 2048, 3)
    before = present_sizes(direct_map, regions)
    assert (boot_sizes(direct_map, regions) == before).all()
    change_attributes(kernel.handle, 0, 0, 1 << 18, 1, 0, 0)
    assert (boot_sizes(direct_map, regions) == before).all()
    assert (present_sizes(direct_map, regions) != before).any()
