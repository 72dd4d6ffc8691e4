"""Counters alone: the recorded splits lie where placements of the unknown free blocks put them."""

from __future__ import annotations

import numpy as np
import pytest

from models.host.comparison import Options
from models.host.placements import compare, snapshot_of
from models.host.recording import CountersRecording
from tests.ground_truth.recorded import compared, names, read, shortfalls

#: Recordings of which 20 placements take more than a quarter of a minute.
LONG = (
    "churn-4g-page-distribution",
    "churn-4g-page-minimal",
    "churn-4g-pmd_pool-minimal",
    "churn-4g-pmd_pool_pagewise-minimal",
    "fork_bomb-4g-page-distribution",
    "fork_bomb-4g-page-minimal",
    "fork_bomb-4g-pmd_pool-minimal",
    "many_files-4g-page-distribution",
)


def recording(name: str) -> CountersRecording:
    found = read("counters", name)
    assert isinstance(found, CountersRecording)
    return found


def cases() -> list[object]:
    """All recordings, the long ones marked."""
    return [pytest.param(name, marks=[pytest.mark.long] if name in LONG else []) for name in names("counters")]


@pytest.mark.parametrize("name", cases())
def test_recorded_splits_are_inside_the_placements(name: str) -> None:
    """Inside the range of 20 placements, and near their median."""
    assert not shortfalls(compared("counters", name))


@pytest.mark.parametrize("name", names("counters"))
def test_the_snapshot_is_what_the_recording_says(name: str) -> None:
    """Zones, free blocks and tiles go into the model unchanged."""
    given = recording(name)
    snapshot = snapshot_of(given)
    assert {counts.zone: counts.blocks for counts in snapshot.free_blocks} == {
        zone: blocks for zone, blocks in given.free_blocks.items() if given.machine.zones[zone].managed
    }
    assert [zone.start_pfn for zone in snapshot.zones] == sorted(zone.start_pfn for zone in snapshot.zones)
    assert given.direct_map_tiles is not None
    assert snapshot.direct_map.tiles is not None
    assert np.array_equal(snapshot.direct_map.tiles, given.direct_map_tiles)


@pytest.mark.parametrize("name", names("counters"))
def test_marks_tell_whether_there_are_huge_pages(name: str) -> None:
    """The minimal build has none: its pageblocks are of the highest order, and no CPU keeps blocks of 2M."""
    given = recording(name)
    snapshot = snapshot_of(given)
    minimal = given.source.build == "minimal"
    assert snapshot.pageblock_order == (10 if minimal else 9)
    assert (snapshot.kernel.transparent_hugepage == "unsupported") == minimal


def test_placements_follow_the_seed() -> None:
    """Another seed draws other placements, the same one the same."""
    given = recording("spread-a511-4g-page-distribution")
    first, same, other = (compare(given, Options(placements=3, seed=seed)) for seed in (1, 1, 2))
    assert first.to_json() == same.to_json()
    assert first.to_json() != other.to_json()
