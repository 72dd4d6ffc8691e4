"""The direct map kept as changes: nothing is lost but what happened within a bucket of time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.kernel.direct_map import LEVEL_1G, LEVEL_2M, LEVEL_4K, DirectMap, collapse, note_secret, split
from models.kernel.map_changes import FIRST_SLOT, GIGA, LEVEL_MASK, SECRET, MapChanges, stamp

GIGA_PAGES = 1 << 18


def direct_map(gigabytes: int) -> DirectMap:
    return DirectMap(gigabytes * GIGA_PAGES, [(0, gigabytes * GIGA_PAGES, LEVEL_1G)])


def levels(tiling: DirectMap, gigabytes: int, until_ns: int) -> NDArray[np.int64]:
    """Replay the changes one by one; the level of each 2M region."""
    level = np.full(gigabytes * 512, LEVEL_1G)
    for time_ns, region, code in zip(*(part.tolist() for part in tiling.changes.rows()), strict=True):
        if time_ns > until_ns:
            break
        span = slice(region * 512, region * 512 + 512) if code & GIGA else region
        level[span] = code & LEVEL_MASK
    return level


def book_of(changes: MapChanges) -> NDArray[np.void]:
    return changes.arrays[3]


def test_splits_and_collapses_are_told_in_order_with_their_time() -> None:
    """A region's last change before a moment is its state then, whole 1G regions included."""
    tiling = direct_map(2)
    split(tiling.handle, GIGA_PAGES, LEVEL_1G, 7)
    split(tiling.handle, GIGA_PAGES + 512, LEVEL_2M, 8)
    stamp(tiling.handle, 10)
    collapse(tiling.handle, GIGA_PAGES + 512, LEVEL_2M)
    collapse(tiling.handle, GIGA_PAGES, LEVEL_1G)
    stamp(tiling.handle, 25)

    assert np.all(levels(tiling, 2, 9) == LEVEL_1G)
    at_10 = levels(tiling, 2, 10)
    assert np.all(at_10[:512] == LEVEL_1G)
    assert at_10[513] == LEVEL_4K
    assert np.count_nonzero(at_10 == LEVEL_2M) == 511
    assert np.all(levels(tiling, 2, 25) == LEVEL_1G)


def test_a_change_without_a_time_is_not_told() -> None:
    """What an operation did becomes visible when its time is known, like the series."""
    tiling = direct_map(1)
    split(tiling.handle, 0, LEVEL_1G, 7)
    assert len(tiling.changes.rows()[0]) == 0
    stamp(tiling.handle, 3)
    assert tiling.changes.rows()[0].tolist() == [3]


def test_secret_pages_are_told_when_the_first_comes_and_the_last_goes() -> None:
    """One row per transition, not one per page: a full region costs as many rows as a single page."""
    tiling = direct_map(1)
    for page in range(3):
        note_secret(tiling.handle, page, 1)
        stamp(tiling.handle, page)
    for page in range(3):
        note_secret(tiling.handle, page, -1)
        stamp(tiling.handle, 10 + page)
    times, _, codes = tiling.changes.rows()
    assert times.tolist() == [0, 12]
    assert [bool(code & SECRET) for code in codes] == [True, False]


def test_a_full_ring_forgets_only_what_a_bucket_hides() -> None:
    """At the end of every bucket each region's state is exact, however many changes came."""
    gigabytes, rounds = 1, 90_000
    tiling = direct_map(gigabytes)
    book = book_of(tiling.changes)
    capacity = int(book["capacity"][0])
    split(tiling.handle, 0, LEVEL_1G, 7)
    stamp(tiling.handle, 0)
    random = np.random.default_rng(5)
    truth: list[tuple[int, int, int]] = []
    small = np.zeros(512, bool)
    for step in range(4 * rounds):
        region = int(random.integers(512))
        if small[region]:
            collapse(tiling.handle, region * 512, LEVEL_2M)
        else:
            split(tiling.handle, region * 512, LEVEL_2M, 9)
        small[region] = not small[region]
        stamp(tiling.handle, step)
        truth.append((step, region, LEVEL_4K if small[region] else LEVEL_2M))
    assert len(truth) > capacity
    times, regions, codes = tiling.changes.rows()
    assert len(times) <= capacity
    bucket = tiling.changes.bucket_ns
    assert bucket > 1
    assert np.all(np.diff(times) >= 0)

    for end_ns in [bucket * number - 1 for number in (1, 2, 1000, 4 * rounds // bucket)]:
        expected, found = np.full(512, LEVEL_2M), np.full(512, LEVEL_2M)
        for time_ns, region, level in truth:
            if time_ns > end_ns:
                break
            expected[region] = level
        for time_ns, region, code in zip(times.tolist(), regions.tolist(), codes.tolist(), strict=True):
            if time_ns > end_ns:
                break
            if code & GIGA:
                found[:] = code & LEVEL_MASK
            else:
                found[region] = code & LEVEL_MASK
        assert np.array_equal(expected, found)


def test_a_direct_map_keeps_the_changes_in_its_header() -> None:
    """Compiled code reaches the arrays through the direct map's handle; the slots must be theirs."""
    tiling = direct_map(1)
    slots = tiling._header[FIRST_SLOT : FIRST_SLOT + len(tiling.changes.arrays)]
    assert slots.tolist() == [array.ctypes.data for array in tiling.changes.arrays]
